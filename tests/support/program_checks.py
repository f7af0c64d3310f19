"""Programs in the public style, run eager and compiled, against an oracle.

A program is a function f(model, *args) of a model, which may keep state, and the numbers of a call.
Its oracle computes the same number from plain floats, by NumPy or a loop, without Values; the
gradient of the oracle is a finite difference. Start reading at `check`.
"""

import math
import random
import struct

import numpy as np

import talweg as tw
from talweg import Value

STEP = 1e-6


def numbers(count, seed=0, scale=1.0):
    """Random floats."""
    rng = random.Random(seed)
    return [rng.uniform(-scale, scale) for _ in range(count)]


def values(count, seed=0, scale=1.0):
    """Random Values."""
    return [Value(x) for x in numbers(count, seed, scale)]


def parameters_of(model):
    """The parameters of a list, a dictionary or an object with `parameters()`."""
    if hasattr(model, "parameters"):
        return list(model.parameters())
    if isinstance(model, dict):
        return [p for part in model.values() for p in parameters_of(part)]
    if isinstance(model, (list, tuple)):
        return [p for part in model for p in parameters_of(part)]
    return [model]


def bits(numbers):
    """Floats as bytes."""
    return struct.pack(f"<{len(numbers)}d", *numbers)


def ran(f, make, calls, state):
    """Value, gradient and state of each call, as lists of floats."""
    model = make()
    found = []
    for args in calls:
        parameters = parameters_of(model)
        for p in parameters:
            p.grad = 0.0
        result = f(model, *args)
        result.backward()
        kept = [x.data if isinstance(x, Value) else x for x in state(model)]
        found.append([result.data, *[p.grad for p in parameters], *kept])
    return found


def check(f, make, calls, oracle, state=lambda model: []):
    """A program by the eager engine, in exact and default mode, and by its oracle.

    Args:
        f: the program, f(model, *args), which returns one Value.
        make: makes a model; the same one each time.
        calls: the arguments of each call.
        oracle: oracle(w, kept, *args) returns the number, and what is kept after the call; w are
            the parameters as an array, `kept` is the list that `state` returned before.
        state: the numbers that a model keeps.
    """
    eager = ran(f, make, calls, state)
    exact = ran(tw.jit(f, mode="exact"), make, calls, state)
    assert [*map(bits, exact)] == [*map(bits, eager)]
    fast = ran(tw.jit(f), make, calls, state)
    for a, b in zip(fast, eager, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    w = np.array([p.data for p in parameters_of(make())])
    kept = [x.data if isinstance(x, Value) else x for x in state(make())]
    for args, (value, *rest) in zip(calls, eager, strict=True):
        expected, after = oracle(w, kept, *args)
        assert math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9), (value, expected)
        gradient = finite_difference(lambda w: oracle(w, kept, *args)[0], w)  # noqa: B023
        np.testing.assert_allclose(rest[: len(w)], gradient, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(rest[len(w) :], after, rtol=1e-9, atol=1e-12)
        kept = after


def finite_difference(f, w):
    """The gradient of f at w by central differences."""
    gradient = []
    for k in range(len(w)):
        up, down = w.copy(), w.copy()
        up[k] += STEP
        down[k] -= STEP
        gradient.append((f(up) - f(down)) / (2.0 * STEP))
    return gradient


def stateless(number):
    """The oracle of a program that keeps nothing, from a function of (w, *args)."""
    return lambda w, kept, *args: (number(w, *args), [])


def check_training(f, make, examples, number=None, steps=12, lr=0.02):
    """`tw.minimize` of a program by both engines: bits in exact mode, 1e-9 in default mode.

    Args:
        f: f(model, example), which returns one Value.
        make: makes a model.
        examples: the examples.
        number: number(w, example), the oracle of the first loss.
        steps: the number of updates.
        lr: the learning rate.
    """
    runs = {}
    for engine, mode in [("eager", "default"), ("native", "exact"), ("native", "default")]:
        model = make()
        w = np.array([p.data for p in parameters_of(model)])
        history = tw.minimize(
            f, model, examples, engine=engine, mode=mode, steps=steps, optimizer=tw.SGD(lr)
        )
        assert history.engine.startswith(engine)
        runs[engine, mode] = [*history.losses, *[p.data for p in parameters_of(model)]]
    eager = runs["eager", "default"]
    assert bits(runs["native", "exact"]) == bits(eager)
    np.testing.assert_allclose(runs["native", "default"], eager, rtol=1e-9, atol=1e-9)
    assert eager[steps - 1] < eager[0]
    if number is not None:
        expected = sum(number(w, example) for example in examples)
        assert math.isclose(eager[0], expected, rel_tol=1e-9)
