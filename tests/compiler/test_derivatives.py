"""Derivatives of functions: tw.grad, tw.value_and_grad, tw.hessian, tw.hvp."""

import itertools
import math
import random

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.errors import ArgumentError, OperationError, ShapeError, TraceError

MODES = ["exact", "default"]


def loss(model, xs, ys):
    return sum((model(x) - y) ** 2 for x, y in zip(xs, ys, strict=True))


def rosenbrock(v):
    return sum((1.0 - a) ** 2 + 100.0 * (b - a * a) ** 2 for a, b in itertools.pairwise(v))


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_of_a_known_function(mode):
    x, y = -0.7, 1.3
    value, (gx, gy) = tw.value_and_grad(rosenbrock, mode=mode)([x, y])
    assert value == pytest.approx((1 - x) ** 2 + 100 * (y - x * x) ** 2)
    assert gx == pytest.approx(-2 * (1 - x) - 400 * x * (y - x * x))
    assert gy == pytest.approx(200 * (y - x * x))
    matrix = [[2 - 400 * (y - 3 * x * x), -400 * x], [-400 * x, 200]]
    assert np.allclose(tw.hessian(rosenbrock, mode=mode)([x, y]), matrix, rtol=1e-13)
    product = tw.hvp(rosenbrock, mode=mode)([x, y], [0.3, -2.0])
    assert np.allclose(product, np.array(matrix) @ [0.3, -2.0], rtol=1e-13)


def test_derivatives_have_the_shape_of_the_argument():
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert (tw.grad(lambda a: a[0, 1] * a[1, 0])(array) == [[0.0, 3.0], [2.0, 0.0]]).all()
    assert tw.hessian(lambda a: a[0, 0] ** 3 * 1.0)(array).shape == (2, 2, 2, 2)
    assert tw.grad(lambda x: x * x)(3.0) == 6.0
    assert tw.hessian(lambda x: x**3)(2.0) == 12.0
    assert tw.grad(lambda d: d["a"] * d["b"][0])({"a": 2.0, "b": (3.0, 1.0)}) == {
        "a": 3.0,
        "b": (2.0, 0.0),
    }
    assert tw.grad(lambda x, y: x * y, argnum=1)(2.0, 5.0) == 2.0
    assert tw.grad(lambda x, y: x * y, argnum=-1)(2.0, 5.0) == 2.0


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "relu"])
def test_hessians_of_small_networks(activation):
    model = tw.MLP(2, [3, 2, 1], activation=activation, rng=random.Random(1))
    xs, ys = [[0.1, 0.2], [0.3, -0.4], [0.5, 0.5], [-1.0, 0.3]], [1.0, -1.0, 0.5, 0.0]
    parameters = model.parameters()
    first = tw.gradients(loss(model, xs, ys), parameters)
    dense = np.array([[h.data for h in tw.gradients(g, parameters)] for g in first])
    assert tw.grad(loss)(model, xs, ys) == pytest.approx([g.data for g in first], rel=1e-12)
    found = np.array(tw.hessian(loss)(model, xs, ys))
    assert np.allclose(found, dense, rtol=1e-12, atol=1e-13)
    vector = [math.cos(k) for k in range(len(parameters))]
    product = tw.hvp(loss)(model, xs, ys, vector)
    assert np.allclose(product, dense @ vector, rtol=1e-12, atol=1e-13)
    for p in parameters:  # other numbers, no new trace
        p.data += 0.1
    assert tw.gradcheck(loss, model, xs, ys)


def test_the_hessian_of_a_linear_function_is_zero():
    assert tw.hessian(lambda v: 2.0 * v[0] + v[1])([1.0, 2.0]) == [[0.0, 0.0], [0.0, 0.0]]


def test_misuse_of_derivatives():
    with pytest.raises(TraceError, match="argument 0 is str 'a', in which there is no number"):
        tw.grad(lambda x: x)("a")
    with pytest.raises(TraceError, match="must return one number, got list"):
        tw.grad(lambda x: [x, x])(1.0)
    with pytest.raises(ArgumentError, match="argnum is 3, but there are 1 arguments"):
        tw.grad(lambda x: x * x, argnum=3)(1.0)
    with pytest.raises(ShapeError, match="the vector has 1 numbers, argument 0 2"):
        tw.hvp(lambda v: v[0] * v[1])([1.0, 2.0], [1.0])
    with pytest.raises(OperationError, match="second derivative"):
        tw.gradients(tw.jit(lambda w: w * w)(Value(1.0)), [Value(1.0)])


# ---- derivatives inside other functions ----------------------------------------------------------


def test_derivatives_of_derivatives():
    cube = lambda x: x**3 + 2.0 * x * x  # noqa: E731
    assert tw.grad(tw.grad(cube))(2.0) == 16.0
    assert tw.grad(tw.grad(tw.grad(cube)))(2.0) == 6.0
    assert tw.hessian(tw.grad(cube))(2.0) == 6.0
    assert tw.grad(lambda x: tw.hessian(cube)(x) * x)(2.0) == 16.0 + 12.0
    assert tw.grad(lambda x: tw.hvp(cube)(x, x))(2.0) == 16.0 + 12.0


def test_a_derivative_in_a_compiled_function():
    def penalty(w, x):
        value, (slope,) = tw.value_and_grad(lambda v: (w * v[0]).tanh())([x])
        return value + slope * slope

    fast = tw.jit(penalty, mode="exact")
    for x in (0.3, 0.7, -0.2):
        w, v = Value(1.3), Value(1.3)
        result = fast(w, x)
        result.backward()
        at = Value(x)
        out = (v * at).tanh()
        (slope,) = tw.gradients(out, [at])
        expected = out + slope * slope
        expected.backward()
        assert result.data == pytest.approx(expected.data, rel=1e-14)
        assert w.grad == pytest.approx(v.grad, rel=1e-12)
    assert fast.traces == 1


def test_only_one_argument_is_differentiated_by_within_a_program():
    product = tw.jit(lambda x: tw.grad(lambda a, b: a * b)(x, x))
    assert product(3.0).data == 3.0


def test_data_of_a_value_is_a_number_that_may_change():
    s = Value(2.0)
    slope = tw.grad(lambda x: x * x * s.data)
    assert slope(1.0) == 4.0
    s.data = 3.0
    assert slope(2.0) == 12.0


def test_integers_are_differentiated_by_like_floats():
    assert tw.grad(lambda x: x * x)(3) == 6.0
    assert tw.grad(lambda v: v[0] * v[1])([3.0, 2]) == [2.0, 3.0]
    assert tw.hessian(lambda a: a[0] ** 2 * a[1])(np.array([3, 5])).tolist() == [[10, 6], [6, 0]]
    assert tw.grad(lambda x, n: x**n)(2.0, 3) == 12.0


def test_a_compiled_result_has_no_second_derivative():
    w = Value(2.0)
    with pytest.raises(OperationError, match=r"was compiled.*call tw\.hessian"):
        tw.gradients(tw.jit(lambda v: v * v)(w), [w])


# ---- derivatives that are Values -----------------------------------------------------------------


def test_the_derivative_by_a_value_is_a_value():
    x = Value(2.0)
    slope = tw.grad(lambda v: v**3)(x)
    (slope * x).backward()  # 3 x^3
    assert (slope.data, x.grad) == (12.0, 36.0)
    y = Value(2.0)
    second = tw.hessian(lambda v: v**4)(y)
    second.backward()
    assert (second.data, y.grad) == (48.0, 48.0)
    assert tw.hvp(lambda v: v**3)(y, 2.0).data == 24.0
    (row,) = tw.jacobian(lambda v: [v * v])(y)
    assert row.data == 4.0
    assert tw.grad(lambda v, k: v * k, 1)(Value(3.0), 2.0).data == 3.0
    found = tw.value_and_grad(lambda vs: vs[0] * vs[1], has_aux=False)([Value(3.0), 2.0])
    assert (found[0].data, found[1][0].data, found[1][1].data) == (6.0, 2.0, 3.0)


def test_a_penalty_on_the_slope_trains_the_weights_that_f_takes_from_outside():
    def loss(w, x):
        slope = tw.grad(lambda v: (w * v).tanh())(x)
        return (slope - 1.0) ** 2

    x = 0.3
    for compiled in (loss, tw.jit(loss), tw.jit(loss, mode="exact")):
        for start in (1.3, 0.4):
            w = Value(start)
            result = compiled(w, x)
            result.backward()
            t = math.tanh(start * x)
            slope = start * (1 - t * t)
            by_w = (1 - t * t) * (1 - 2 * t * start * x)
            assert result.data == pytest.approx((slope - 1) ** 2, rel=1e-12)
            assert w.grad == pytest.approx(2 * (slope - 1) * by_w, rel=1e-12)


@pytest.mark.parametrize("engine", ["eager", "native"])
def test_a_penalty_on_the_slope_in_a_training_loss(engine):
    """Fit w1 tanh(w2 x) to values and slopes, against a loop with the closed form."""
    data = [(0.1 * k, math.sin(0.1 * k)) for k in range(8)]

    def loss(model, example):
        x, y = example
        f = lambda v: model[0] * tw.tanh(model[1] * v)  # noqa: E731
        value, slope = tw.value_and_grad(f)(x)
        return (value - y) ** 2 + 0.5 * (slope - 1.0) ** 2

    weights = [Value(0.5), Value(1.5)]
    history = tw.minimize(loss, weights, data, steps=5, optimizer=tw.SGD(lr=0.05), engine=engine)
    a, b = 0.5, 1.5
    losses = []
    for _ in range(5):
        total = by_a = by_b = 0.0
        for x, y in data:
            t = math.tanh(b * x)
            d = 1 - t * t
            value, slope = a * t - y, a * b * d - 1.0
            total += value**2 + 0.5 * slope**2
            by_a += 2 * value * t + slope * b * d
            by_b += 2 * value * a * d * x + slope * (a * d - 2 * a * b * t * d * x)
        losses.append(total)
        a, b = a - 0.05 * by_a, b - 0.05 * by_b
    assert history.losses == pytest.approx(losses, rel=1e-10)
    assert [w.data for w in weights] == pytest.approx([a, b], rel=1e-10)


def test_second_order_through_three_kinds_of_derivatives():
    f = lambda x: tw.exp(x) * tw.sin(x)  # noqa: E731
    g = lambda x: tw.grad(f)(x) * x + tw.hessian(f)(x) + tw.hvp(f)(x, 2.0 * x)  # noqa: E731
    for compiled in (g, tw.jit(g)):
        for x in (0.4, -1.1):
            s, c, e = math.sin(x), math.cos(x), math.exp(x)
            first, second = e * (s + c), 2 * e * c
            third, fourth = 2 * e * (c - s), -4 * e * s
            v = Value(x)
            result = compiled(v)
            assert result.data == pytest.approx(first * x + second + 2 * x * second, rel=1e-12)
            result.backward()
            expected = second * x + first + third + 2 * second + 2 * x * third
            assert v.grad == pytest.approx(expected, rel=1e-12)
        assert tw.hessian(tw.grad(f))(0.4) == pytest.approx(
            2 * math.exp(0.4) * (math.cos(0.4) - math.sin(0.4)), rel=1e-12
        )
    assert tw.grad(tw.grad(tw.grad(tw.grad(f))))(0.4) == pytest.approx(
        -4 * math.exp(0.4) * math.sin(0.4), rel=1e-11
    )
    assert fourth == pytest.approx(-4 * math.exp(x) * math.sin(x))


def test_branches_on_numbers_are_followed_in_every_derivative():
    def f(v):
        return v[0] ** 3 * v[1] if v[0] > v[1] else v[0] * v[1] ** 2

    first, second, product = tw.value_and_grad(f), tw.hessian(f), tw.hvp(f)
    for _ in range(3):
        for x, y in ((2.0, 1.0), (1.0, 2.0), (3.0, -1.0)):
            point, p = np.array([x, y]), np.array([1.0, -1.0])
            if x > y:
                value, slope = x**3 * y, [3 * x * x * y, x**3]
                matrix = np.array([[6 * x * y, 3 * x * x], [3 * x * x, 0.0]])
            else:
                value, slope = x * y * y, [y * y, 2 * x * y]
                matrix = np.array([[0.0, 2 * y], [2 * y, 2 * x]])
            found = first(point)
            assert found[0] == pytest.approx(value)
            assert found[1].tolist() == pytest.approx(slope)
            assert second(point) == pytest.approx(matrix)
            assert product(point, p) == pytest.approx(matrix @ p)


def test_what_f_reads_from_outside_may_change_between_calls_on_arrays():
    settings = {"scale": 2.0}
    f = tw.value_and_grad(lambda v: settings["scale"] * v[0] * v[1])
    second = tw.hessian(lambda v: settings["scale"] * v[0] * v[1])
    x = np.array([3.0, 5.0])
    for scale in (2.0, 2.0, 2.0, 7.0, 2.0, 7.0):
        settings["scale"] = scale
        for shift in (0.0, 1.0, 2.0):
            assert f(x + shift)[1].tolist() == [scale * (5.0 + shift), scale * (3.0 + shift)]
            assert second(x + shift).tolist() == [[0.0, scale], [scale, 0.0]]


def test_threads_share_a_derivative():
    from concurrent.futures import ThreadPoolExecutor

    f = tw.value_and_grad(lambda v: sum(a * a * a for a in v))
    points = [np.linspace(0.0, k, 50) for k in range(1, 40)]
    with ThreadPoolExecutor(8) as pool:
        for x, (value, gradient) in zip(points * 10, pool.map(f, points * 10), strict=True):
            assert value == pytest.approx((x**3).sum())
            assert gradient == pytest.approx(3 * x * x)
