"""NumPy: forward and backward written by hand as matrix products. Also the reference.

In a run of one network all arrays with a row a sample are made once and written into: fresh ones
of half a megabyte cost more, in page faults, than the arithmetic does.
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


def sweep(problem, rates, steps):
    """Many networks of tanh layers at once: every array has the networks as its last axis."""
    samples = [np.repeat(np.array(x)[:, None], len(rates), axis=1) for x in problem.inputs]
    targets = [np.array(y)[:, None] for y in problem.targets]

    def run():
        layers = [
            tuple(np.repeat(each[..., None], len(rates), axis=-1) for each in layer)
            for layer in unpack(problem, problem.start)
        ]
        losses = np.zeros((steps, len(rates)))
        for k in range(steps):
            slopes = [[0.0, 0.0] for _ in layers]
            for x, y in zip(samples, targets):
                losses[k] += add_slopes(layers, x, y, slopes)
            for (weights, biases), (by_weights, by_biases) in zip(layers, slopes):
                weights[:] -= rates * by_weights
                biases[:] -= rates * by_biases
        return losses.T

    return run


def add_slopes(layers, x, y, slopes):
    """The squared errors of one sample; their derivatives are added to the slopes."""
    outs = [x]
    for weights, biases in layers:
        outs.append(np.tanh((weights * outs[-1]).sum(axis=1) + biases))
    difference = outs[-1] - y
    error = 2.0 * difference
    for k in reversed(range(len(layers))):
        error = error * (1.0 - outs[k + 1] * outs[k + 1])
        slopes[k][0] = slopes[k][0] + error[:, None] * outs[k]
        slopes[k][1] = slopes[k][1] + error
        error = (layers[k][0] * error[:, None]).sum(axis=0)
    return (difference * difference).sum(axis=0)
