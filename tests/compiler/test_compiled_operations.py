"""Every operation of the registry, compiled: value, first and second derivatives.

In exact mode they have the bits of the eager engine, also at zeros, infinities, nan and the edges
of domains. In default mode they agree to rounding errors.
"""

import math
import random
import struct

import pytest

import talweg as tw
from talweg import Value, ops
from talweg.autodiff.higher_order import gradients

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, math.inf, -math.inf, math.nan, 1e-300, 800.0)
RANGES = {"asin": (-0.99, 0.99), "acos": (-0.99, 0.99), "log1p": (-0.9, 5.0)}
POSITIVE = ("log", "log2", "log10", "sqrt", "pow")


def bits(x):
    return "nan" if math.isnan(x) else struct.pack("<d", x + 0.0)


def points(op):
    rng = random.Random(op.name)
    special = [tuple(rng.choice(SPECIAL) for _ in range(op.arity)) for _ in range(24)]
    if op.arity == 1:
        special = [(x,) for x in SPECIAL]
    low, high = RANGES.get(op.name, (0.1, 4.0) if op.name in POSITIVE else (-4.0, 4.0))
    return special, [tuple(rng.uniform(low, high) for _ in range(op.arity)) for _ in range(6)]


def eager(op, point):
    """The value, the gradient, and the derivatives of the gradient's sum."""
    inputs = [Value(x) for x in point]
    y = op(*inputs)
    y.backward()
    first = gradients(y, inputs)
    second = gradients(sum((g * 1.0 for g in first), Value(0.0)), inputs)
    return y.data, [x.grad for x in inputs], [g.data for g in second]


def compiled(op, mode):
    def f(x):
        return op(*x) * 1.0

    def sum_of_slopes(x):
        return sum((g * 1.0 for g in tw.grad(f)(x)), Value(0.0))

    return tw.value_and_grad(f, mode=mode), tw.grad(sum_of_slopes, mode=mode)


every_operation = pytest.mark.parametrize("op", ops.REGISTRY.values(), ids=ops.REGISTRY)


@every_operation
def test_exact_mode(op):
    first, second = compiled(op, "exact")
    for point in [*points(op)[0], *points(op)[1]]:
        value, slopes, curvatures = eager(op, point)
        found, by_operand = first(list(point))
        assert bits(found) == bits(value), point
        assert list(map(bits, by_operand)) == list(map(bits, slopes)), point
        assert list(map(bits, second(list(point)))) == list(map(bits, curvatures)), point


@every_operation
def test_default_mode(op):
    first, second = compiled(op, "default")
    for point in points(op)[1]:
        value, slopes, curvatures = eager(op, point)
        found, by_operand = first(list(point))
        assert found == pytest.approx(value, rel=1e-14, abs=1e-15), point
        assert by_operand == pytest.approx(slopes, rel=1e-13, abs=1e-14), point
        assert second(list(point)) == pytest.approx(curvatures, rel=1e-12, abs=1e-13), point
