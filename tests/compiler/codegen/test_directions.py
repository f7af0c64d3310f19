"""The native function of many directions, and sums whose terms may be added in another order."""

import itertools
import math
import random

import numpy as np
import pytest

import talweg as tw
from talweg.compiler.codegen import entry_points
from talweg.compiler.derivative_matrix import hessian_of
from talweg.compiler.differentiation import Differentiator
from talweg.compiler.runtime import llvm


def coupled(x):
    """Its Hessian is dense; parts of it do not depend on the direction, in loops and outside."""
    total = sum(a * a for a in x)
    return sum(tw.sin(a * b) * total for a, b in itertools.pairwise(x)) + tw.exp(0.1 * x[0] * x[-1])


def triangular(x):
    """A loop whose length varies."""
    return sum(tw.tanh(x[i] * x[j]) for i in range(len(x)) for j in range(i))


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
@pytest.mark.parametrize("on_stack", [True, False])
@pytest.mark.parametrize("f", [coupled, triangular])
def test_directions_in_lanes_and_rounds(f, on_stack, lanes, monkeypatch):
    monkeypatch.setattr(llvm, "lanes", lambda: lanes)
    if not on_stack:
        monkeypatch.setattr(entry_points, "_STACK_LIMIT", 0)
    n = 11
    x = np.random.default_rng(3).uniform(0.2, 1.0, size=n)
    programs, call = Differentiator(f, 0, "default").programs((x,), {})
    matrix = hessian_of(programs, call)
    kernel = matrix._map.kernel
    assert (kernel.lanes, kernel.rounds) == (lanes, -(-n // lanes))
    assert (kernel.work_size == 0) == on_stack
    assert kernel.hoisted > 0
    v = [tw.Value(a) for a in x]
    expected = [[h.data for h in tw.gradients(g, v)] for g in tw.gradients(f(v), v)]
    for _ in range(2):  # the second call finds the memory of the first
        assert matrix.dense(call) == pytest.approx(np.array(expected), rel=1e-10)


def test_compensated_sums_stay_compensated():
    """Running sums may be reordered, but nothing may be cancelled."""
    rng = random.Random(1)
    numbers = [rng.choice([1e16, -1e16, 1.0, 3.0]) * rng.random() for _ in range(400)]

    def kahan(xs):
        total, lost = 0.0, 0.0
        for x in xs:
            y = x - lost
            t = total + y
            lost = (t - total) - y
            total = t
        return total

    def neumaier(xs):
        total, lost = xs[0], 0.0
        for x in xs[1:]:
            t = total + x
            lost = lost + tw.where(
                tw.ops.le(tw.ops.abs(x), tw.ops.abs(total)), (total - t) + x, (x - t) + total
            )
            total = t
        return total + lost

    exact = math.fsum(numbers)
    for f in (kahan, neumaier):
        plain = f(numbers)
        assert tw.jit(f, mode="exact")(numbers) == plain
        for found in (tw.jit(f)(numbers), tw.value_and_grad(f)(np.array(numbers))[0]):
            assert abs(found - exact) <= 2.0 * abs(plain - exact) + 4.0
    assert abs(tw.value_and_grad(neumaier)(np.array(numbers))[0] - exact) <= 4.0
    assert abs(sum(numbers) - exact) > 4.0  # it is not easy


def test_long_sums_of_many_kinds_agree_with_the_eager_engine():
    rng = np.random.default_rng(5)
    rows = tuple(tuple(row) for row in rng.normal(size=(64, 7)).tolist())

    def loss(w):
        total = 0.0
        for row in rows:
            m = sum(a * b for a, b in zip(w, row, strict=True))
            total = total + tw.log(1.0 + tw.exp(-m)) + 0.1 * tw.relu(m) - tw.min(m, 0.3)
        return total

    for seed in range(3):
        w = np.random.default_rng(seed).normal(size=7)
        v = [tw.Value(a) for a in w]
        eager = loss(v)
        eager.backward()
        value, gradient = tw.value_and_grad(loss)(w)
        assert value == pytest.approx(eager.data, rel=1e-13)
        assert gradient == pytest.approx([a.grad for a in v], rel=1e-11, abs=1e-12)
