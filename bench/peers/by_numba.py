"""Numba: loops written by hand, samples innermost, the whole run in one compiled call.

The sizes are constants of the compiled function, and its sums may be reordered (fastmath), so
that LLVM can use SIMD.
"""

import math

import numba
import numpy as np

from peers.by_numpy import rates_of


def prepare(problem):
    run = compiled(problem)
    x, y = np.array(problem.inputs).T.copy(), np.array(problem.targets).T.copy()

    def train(steps):
        parameters, losses = np.array(problem.start), np.empty(steps)
        run(parameters, x, y, rates_of(problem, steps), losses)
        return parameters.tolist()

    return train


def compiled(problem):
    samples, widest, layers = len(problem.inputs), max(problem.sizes), tuple(problem.layers)
    depth, outputs = len(layers), problem.sizes[-1]
    squashes = tuple(problem.squashes)
    hinge, scale, decay = problem.hinge, problem.scale, problem.decay

    @numba.njit(fastmath=True, error_model="numpy")
    def forward(p, units):
        for layer in range(depth):
            nin, nout, first = layers[layer]
            for i in range(nout):
                at, out = first + i * (nin + 1), units[layer + 1, i]
                out[:] = p[at + nin]
                for j in range(nin):
                    for s in range(samples):
                        out[s] += p[at + j] * units[layer, j, s]
                if squashes[layer]:
                    for s in range(samples):
                        out[s] = math.tanh(out[s])

    @numba.njit(fastmath=True, error_model="numpy")
    def loss_of(units, y, errors):
        loss = 0.0
        for i in range(outputs):
            for s in range(samples):
                out, target = units[depth, i, s], y[i, s]
                if hinge:
                    margin = 1.0 - target * out
                    loss += scale * max(margin, 0.0)
                    errors[depth, i, s] = -scale * target if margin > 0.0 else 0.0
                else:
                    loss += scale * (out - target) ** 2
                    errors[depth, i, s] = 2.0 * scale * (out - target)
        return loss

    @numba.njit(fastmath=True, error_model="numpy")
    def backward(p, units, errors, gradient):
        for layer in range(depth - 1, -1, -1):
            nin, nout, first = layers[layer]
            errors[layer, :nin] = 0.0
            for i in range(nout):
                at, error, out = first + i * (nin + 1), errors[layer + 1, i], units[layer + 1, i]
                if squashes[layer]:
                    for s in range(samples):
                        error[s] *= 1.0 - out[s] * out[s]
                for j in range(nin):
                    slope = 0.0
                    for s in range(samples):
                        slope += error[s] * units[layer, j, s]
                    gradient[at + j] = slope
                    if layer > 0:
                        for s in range(samples):
                            errors[layer, j, s] += p[at + j] * error[s]
                gradient[at + nin] = error.sum()

    @numba.njit(fastmath=True, error_model="numpy")
    def run(p, x, y, rates, losses):
        units = np.empty((depth + 1, widest, samples))
        errors = np.empty((depth + 1, widest, samples))
        gradient = np.empty(p.size)
        units[0, : x.shape[0]] = x
        for k in range(rates.size):
            forward(p, units)
            losses[k] = loss_of(units, y, errors)
            backward(p, units, errors, gradient)
            for i in range(p.size):
                losses[k] += decay * p[i] * p[i]
                p[i] -= rates[k] * (gradient[i] + 2.0 * decay * p[i])

    return run
