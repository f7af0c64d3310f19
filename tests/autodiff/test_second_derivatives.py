"""Second derivatives at difficult points: saturated functions, poles, the edges of domains.

Against mpmath where it has a number, else against the limit. Both engines, both modes.
"""

import math

import pytest
from mpmath import mp, mpf

import talweg as tw
from talweg import Value, ops
from talweg.autodiff.higher_order import gradients

INF = math.inf


def second(f, at):
    """The second derivative by the eager engine, and in both modes of compiled code."""
    x = Value(at)
    (slope,) = gradients(f(x), [x])
    (curvature,) = gradients(slope, [x])
    return [curvature.data, tw.hessian(f, mode="exact")(at), tw.hessian(f)(at)]


SATURATED = {
    "tanh": (tw.tanh, lambda x: -2 * mp.tanh(x) * mp.sech(x) ** 2),
    "sigmoid": (
        tw.sigmoid,
        lambda x: -mp.tanh(x / 2) / (4 * mp.cosh(x / 2) ** 2),
    ),
    "softplus": (tw.softplus, lambda x: 1 / (4 * mp.cosh(x / 2) ** 2)),
    "silu": (
        tw.silu,
        lambda x: (1 - x / 2 * mp.tanh(x / 2)) / (2 * mp.cosh(x / 2) ** 2),
    ),
    "gelu": (tw.gelu, lambda x: (2 - x * x) * mp.npdf(x)),
    "erf": (tw.erf, lambda x: -4 * x / mp.sqrt(mp.pi) * mp.exp(-x * x)),
    "atan": (tw.atan, lambda x: -2 * x / (1 + x * x) ** 2),
}


@pytest.mark.parametrize("name", SATURATED)
@pytest.mark.parametrize("x", [1e-9, -1e-3, 0.5, 4.0, -9.0, 19.0, -20.0, 25.0])
def test_where_the_function_is_flat(name, x):
    f, exact = SATURATED[name]
    with mp.workdps(60):
        expected = float(exact(mpf(x)))
    # exp(-x * x) of a rounded square: x**2 units of error
    assert second(f, x) == [pytest.approx(expected, rel=3e-16 * (8.0 + x * x), abs=1e-307)] * 3


@pytest.mark.parametrize("x", [40.0, -40.0, 300.0, -700.0])
def test_far_away(x):
    with mp.workdps(400):
        expected = [float(SATURATED[name][1](mpf(x))) for name in ("sigmoid", "softplus")]
    found = [second(tw.sigmoid, x), second(tw.softplus, x)]
    for numbers, number in zip(found, expected, strict=True):
        assert numbers == [pytest.approx(number, rel=1e-14)] * 3


NEAR_AN_EDGE = {
    "asin": (tw.asin, lambda x: x / (1 - x * x) ** mpf(1.5), 1.0),
    "acos": (tw.acos, lambda x: -x / (1 - x * x) ** mpf(1.5), 1.0),
    "sqrt": (tw.sqrt, lambda x: -1 / (4 * x ** mpf(1.5)), 0.0),
    "log": (tw.log, lambda x: -1 / x**2, 0.0),
    "log1p": (tw.log1p, lambda x: -1 / (1 + x) ** 2, -1.0),
}


@pytest.mark.parametrize("name", NEAR_AN_EDGE)
@pytest.mark.parametrize("distance", [2.0**-50, 2.0**-30, 2.0**-10])
def test_near_the_edge_of_a_domain(name, distance):
    f, exact, edge = NEAR_AN_EDGE[name]
    x = edge - distance if edge == 1.0 else edge + distance
    with mp.workdps(60):
        expected = float(exact(mpf(x)))
    assert second(f, x) == [pytest.approx(expected, rel=1e-14)] * 3


@pytest.mark.parametrize(
    ("f", "at", "first", "expected"),
    [
        (tw.sqrt, 0.0, INF, -INF),
        (tw.sqrt, -0.0, INF, -INF),
        (lambda x: x**0.5, 0.0, INF, -INF),
        (lambda x: x**1.5, 0.0, 0.0, INF),
        (lambda x: x**2, 0.0, 0.0, 2.0),
        (lambda x: x**2, -0.0, 0.0, 2.0),
        (lambda x: x**3, 0.0, 0.0, 0.0),
        (lambda x: x**-1.0, 0.0, -INF, INF),
        (tw.log, 0.0, INF, -INF),
        (tw.log2, 0.0, INF, -INF),
        (tw.log1p, -1.0, INF, -INF),
        (tw.asin, 1.0, INF, INF),
        (tw.asin, -1.0, INF, -INF),
        (tw.acos, 1.0, -INF, -INF),
        (tw.abs, 0.0, 0.0, 0.0),
        (tw.relu, 0.0, 0.0, 0.0),
        (lambda x: tw.leaky_relu(x, 0.5), 0.0, 0.5, 0.0),
        (tw.elu, 0.0, 1.0, 1.0),
        (lambda x: tw.max(x, 0.0), 0.0, 0.5, 0.0),
        (lambda x: tw.hypot(x, 0.0), 0.0, 0.0, 0.0),
        (lambda x: tw.hypot(x, 0.0), -2.0, -1.0, 0.0),
        (lambda x: tw.clip(x, 0.0, 1.0), 1.0, 1.0, 0.0),
        (tw.softplus, 1000.0, 1.0, 0.0),
        (tw.softplus, -1000.0, 0.0, 0.0),
        (tw.exp, 1000.0, INF, INF),
        (tw.tanh, INF, 0.0, 0.0),
        (tw.sigmoid, -INF, 0.0, 0.0),
        (tw.silu, -INF, 0.0, 0.0),
        (tw.gelu, INF, 1.0, 0.0),
        (tw.floor, 1.5, 0.0, 0.0),
        (tw.sign, 0.0, 0.0, 0.0),
    ],
)
def test_special_points(f, at, first, expected):
    x = Value(at)
    f(x).backward()
    assert x.grad == first == tw.grad(f)(at) == tw.grad(f, mode="exact")(at)
    assert second(f, at) == [expected] * 3


def test_third_derivatives_of_saturated_functions():
    for x in (0.5, 19.0, -21.0):
        v = Value(x)
        slopes = v.tanh()
        for _ in range(3):
            (slopes,) = gradients(slopes, [v])
        with mp.workdps(60):
            expected = float(mp.sech(x) ** 2 * (4 * mp.tanh(x) ** 2 - 2 * mp.sech(x) ** 2))
        assert slopes.data == pytest.approx(expected, rel=1e-14)


def test_atan2_of_numbers_whose_squares_overflow_or_vanish():
    for scale in (1e-200, 1e200):
        y, x = Value(scale), Value(scale)
        ops.atan2(y, x).backward()
        assert y.grad == pytest.approx(0.5 / scale, rel=1e-15)
        assert x.grad == pytest.approx(-0.5 / scale, rel=1e-15)
