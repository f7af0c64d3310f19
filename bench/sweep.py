"""The lesson's problem at 4,096 learning rates, 50 steps, one thread.

    .venv/bin/python bench/sweep.py

Prints microseconds a step and model for the native part of `tw.sweep`, for the whole call (with
compiled code in the cache), and for a loop written by hand in NumPy, with the models as its last
axis. The losses of both must agree to 1e-9: all of them at rates below 0.25, and those of the
first ten steps at larger ones, where runs leap about and any difference grows from step to step.
"""

import random
import time

import numpy as np

import talweg as tw
from talweg.native_sweep import Lanes

RATES, STEPS, REPEATS = np.geomspace(1e-3, 1.0, 4096), 50, 20
SIZES = [3, 4, 4, 1]


def make_model(rng):
    return tw.MLP(3, SIZES[1:], rng=rng)


def of_sample(model, sample):
    return tw.losses.squared_error(model(sample[0]), sample[1])


def by_numpy(layers, samples, targets, rates):
    """Losses, shape (models, steps): every array has the models as its last axis."""
    weights = [np.repeat(w[:, :, None], len(rates), axis=2) for w, _ in layers]
    biases = [np.repeat(b[:, None], len(rates), axis=1) for _, b in layers]
    losses = np.empty((STEPS, len(rates)))
    for step in range(STEPS):
        d_weights, d_biases = [0.0] * len(weights), [0.0] * len(weights)
        losses[step] = 0.0
        for x, y in zip(samples, targets, strict=True):
            outs = [np.repeat(x[:, None], len(rates), axis=1)]
            for w, b in zip(weights, biases, strict=True):
                outs.append(np.tanh((w * outs[-1]).sum(axis=1) + b))
            error = outs[-1] - y
            losses[step] += (error * error)[0]
            g = 2.0 * error
            for k in reversed(range(len(weights))):
                g = g * (1.0 - outs[k + 1] * outs[k + 1])
                d_biases[k] = d_biases[k] + g
                d_weights[k] = d_weights[k] + g[:, None] * outs[k]
                g = (weights[k] * g[:, None]).sum(axis=0)
        for k in range(len(weights)):
            weights[k] -= rates * d_weights[k]
            biases[k] -= rates * d_biases[k]
    return losses.T


def layers_of(model):
    """The weights, shape (out, in), and biases of each layer."""
    return [
        (
            np.array([[w.data for w in neuron.w] for neuron in layer.neurons]),
            np.array([neuron.b.data for neuron in layer.neurons]),
        )
        for layer in model.layers
    ]


def best(f):
    """The result and the shortest time of some calls."""
    f()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        result = f()
        times.append(time.perf_counter() - begin)
    return result, min(times)


def main():
    data = list(tw.lesson_data())
    model = make_model(random.Random(42))
    lanes = Lanes(
        [model],
        [tw.SGD(rate) for rate in RATES.tolist()],
        data,
        of_sample,
        mean=False,
        mode="default",
        threads=1,
    )
    weights = np.repeat(lanes.weights, len(RATES), axis=0)
    swept, native = best(lambda: lanes.sweeper.run(weights, RATES, STEPS))
    _, whole = best(
        lambda: tw.sweep(make_model, data, RATES.tolist(), steps=STEPS, engine="native", threads=1)
    )
    samples = [np.array(x, dtype=float) for x, _ in data]
    targets = [float(y) for _, y in data]
    by_hand, numpy = best(lambda: by_numpy(layers_of(model), samples, targets, RATES))
    calm = RATES < 0.25
    np.testing.assert_allclose(swept.losses[calm], by_hand[calm], rtol=1e-9)
    np.testing.assert_allclose(swept.losses[:, :10], by_hand[:, :10], rtol=1e-9)
    scale = 1e6 / (len(RATES) * STEPS)
    print(f"{len(RATES):,} learning rates, {STEPS} steps, {model!r}; one thread")
    for name, seconds in (
        ("Sweeper.run", native),
        ("tw.sweep, all of it", whole),
        ("NumPy by hand", numpy),
    ):
        print(
            f"{name:20} {seconds * 1e3:8.1f} ms {seconds * scale:8.4f} us a step and model "
            f"{seconds / native:6.1f} x"
        )


if __name__ == "__main__":
    main()
