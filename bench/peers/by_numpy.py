"""NumPy: forward and backward written by hand as matrix products. Also the reference.

All arrays with a row a sample are made once and written into: fresh ones of half a megabyte
cost more, in page faults, than the arithmetic does.
"""

import numpy as np


def prepare(problem):
    x, y = np.array(problem.inputs), np.array(problem.targets)
    outputs = [x, *(np.empty((len(x), size)) for size in problem.sizes[1:])]
    errors = [np.empty_like(out) for out in outputs]

    def train(steps):
        layers, losses = unpack(problem, problem.start), []
        for rate in rates_of(problem, steps).tolist():
            forward(problem, layers, outputs)
            losses.append(float(loss_of(problem, layers, outputs[-1], y, errors[-1])))
            descend(problem, layers, outputs, errors, rate)
        return pack(layers)

    return train


def loss_after(problem, parameters):
    """The loss of a network with these parameters."""
    layers, y = unpack(problem, parameters), np.array(problem.targets)
    outputs = [np.array(problem.inputs)]
    outputs += [np.empty((len(y), size)) for size in problem.sizes[1:]]
    forward(problem, layers, outputs)
    return float(loss_of(problem, layers, outputs[-1], y, np.empty_like(y)))


def rates_of(problem, steps):
    """The learning rates of so many steps, as an array."""
    return np.tile(problem.rates, -(-steps // len(problem.rates)))[:steps]


def unpack(problem, parameters):
    """(weights, biases) of each layer, copies; in the flat list a bias follows its weights."""
    flat, layers = np.array(parameters), []
    for nin, nout, first in problem.layers:
        both = flat[first : first + nout * (nin + 1)].reshape(nout, nin + 1)
        layers.append((both[:, :-1].copy(), both[:, -1].copy()))
    return layers


def pack(layers):
    return np.concatenate([np.column_stack(layer).ravel() for layer in layers]).tolist()


def forward(problem, layers, outputs):
    """Fill in the outputs of each layer; the first are the inputs."""
    for i, (weights, biases) in enumerate(layers):
        out = np.matmul(outputs[i], weights.T, out=outputs[i + 1])
        out += biases
        if problem.squashes[i]:
            np.tanh(out, out=out)


def loss_of(problem, layers, out, y, error):
    """The loss; its derivative by each output is written into `error`."""
    if problem.hinge:
        margin = 1.0 - y * out
        missed = margin > 0.0
        loss = np.vdot(margin, missed)
        np.multiply(y, missed, out=error)
        error *= -problem.scale
    else:
        np.subtract(out, y, out=error)
        loss = np.vdot(error, error)
        error *= 2.0 * problem.scale
    loss *= problem.scale
    if problem.decay:
        loss += problem.decay * sum(np.vdot(p, p) for layer in layers for p in layer)
    return loss


def descend(problem, layers, outputs, errors, rate):
    """Go backward through the layers and move each one, once its weights are needed no more."""
    shrink = 1.0 - rate * 2.0 * problem.decay
    for i in range(len(layers) - 1, -1, -1):
        weights, biases = layers[i]
        out, error = outputs[i + 1], errors[i + 1]
        if problem.squashes[i]:
            out *= out  # tanh' = 1 - tanh**2; the output itself is needed no more
            np.subtract(1.0, out, out=out)
            error *= out
        by_weights, by_biases = error.T @ outputs[i], error.sum(axis=0)
        if i:
            np.matmul(error, weights, out=errors[i])
        if problem.decay:
            weights *= shrink
            biases *= shrink
        by_weights *= rate
        by_biases *= rate
        weights -= by_weights
        biases -= by_biases
