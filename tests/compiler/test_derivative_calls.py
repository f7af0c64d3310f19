"""What derivatives are taken by, and what they return: argnums, has_aux, shapes, misuse."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod

import talweg as tw
from talweg.errors import ArgumentError, ShapeError, TraceError

MODES = ["exact", "default"]


@pytest.fixture(autouse=True, params=["fast", "checked"])
def _repeated_checks(request, monkeypatch):
    """Calls on arrays take a short way when nothing is left to check."""
    monkeypatch.setenv("TALWEG_CHECK", "1" if request.param == "checked" else "0")


def rosenbrock(x):
    return sum(100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2 for a, b in itertools.pairwise(x))


def product(x, y):
    return x * x * y


# ---- which arguments -----------------------------------------------------------------------------


def test_argnums_as_users_of_jax_expect_them():
    assert tw.grad(product)(3.0, 5.0) == 30.0
    assert tw.grad(product, 1)(3.0, 5.0) == 9.0
    assert tw.grad(product, argnums=-1)(3.0, 5.0) == 9.0
    assert tw.grad(product, argnums=(1, 0))(3.0, 5.0) == (9.0, 30.0)
    assert tw.grad(product, argnums=[0])(3.0, 5.0) == (30.0,)
    assert tw.value_and_grad(product, (0, 1))(3.0, 5.0) == (45.0, (30.0, 9.0))
    assert tw.hessian(product, (0, 1))(3.0, 5.0) == ((10.0, 6.0), (6.0, 0.0))
    assert tw.hessian(product, (1,))(3.0, 5.0) == ((0.0,),)
    assert tw.hvp(product, (0, 1))(3.0, 5.0, (1.0, 10.0)) == (70.0, 6.0)
    assert tw.jacobian(lambda x, y: [x * y, y], (0, 1))(3.0, 5.0) == ([5.0, 0.0], [3.0, 1.0])
    assert tw.grad(product, argnum=1)(3.0, 5.0) == 9.0  # the former name


def test_blocks_of_several_arguments():
    f = lambda x, v: x * v[0] * v[1] ** 2  # noqa: E731
    second = tw.hessian(f, (0, 1))
    assert second(2.0, [3.0, 5.0]) == (
        (0.0, [25.0, 30.0]),
        ([25.0, 30.0], [[0.0, 20.0], [20.0, 12.0]]),
    )
    (_, row), (column, block) = second(2.0, np.array([3.0, 5.0]))
    assert row.tolist() == column.tolist() == [25.0, 30.0]
    assert block.tolist() == [[0.0, 20.0], [20.0, 12.0]]


def test_a_model_and_its_input_at_once():
    model = tw.MLP(2, [3, 1])
    f = lambda model, x: model(x) ** 2  # noqa: E731
    by_model, by_x = tw.grad(f, (0, 1))(model, np.array([0.3, -0.7]))
    x = [tw.Value(0.3), tw.Value(-0.7)]
    (model(x) ** 2).backward()
    assert by_model == pytest.approx([p.grad for p in model.parameters()], rel=1e-13)
    assert by_x == pytest.approx([v.grad for v in x], rel=1e-13)
    by_x, by_model_again = tw.grad(f, (1, 0))(model, np.array([0.3, -0.7]))
    assert by_model_again == by_model


def test_a_parameter_that_two_arguments_share_is_counted_in_both():
    class Scale:
        def __init__(self, w):
            self.w = w

        def parameters(self):
            return [self.w]

    w = tw.Value(3.0)
    f = lambda a, b: a.w * b.w * 2.0  # noqa: E731
    assert tw.grad(f, (0, 1))(Scale(w), Scale(w)) == ([12.0], [12.0])
    assert tw.hessian(f, (0, 1))(Scale(w), Scale(w)) == (([[4.0]], [[4.0]]), ([[4.0]], [[4.0]]))


# ---- other results -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_other_results_are_returned_as_they_are(mode):
    def f(x):
        return x**3, {"half": 0.5 * x, "array": np.array([x, 2.0 * x]), "name": "cube", "n": 3}

    expected = {"half": 1.0, "name": "cube", "n": 3}
    value, aux = tw.value_and_grad(f, has_aux=True, mode=mode)(2.0)[0]
    assert value == 8.0
    for found, derivative in (
        ((12.0, aux), 12.0),
        (tw.grad(f, has_aux=True, mode=mode)(2.0), 12.0),
        (tw.jacobian(f, has_aux=True, mode=mode)(2.0), 12.0),
        (tw.hessian(f, has_aux=True, mode=mode)(2.0), 12.0),
        (tw.hvp(f, has_aux=True, mode=mode)(2.0, 0.5), 6.0),
    ):
        assert found[0] == pytest.approx(derivative)
        array = found[1].pop("array") if "array" in found[1] else np.array([2.0, 4.0])
        assert array.dtype == float
        assert array.tolist() == [2.0, 4.0]
        assert found[1] == expected


def test_an_infinite_slope_of_another_result_stays_there():
    assert tw.grad(lambda x: (x * x + x, tw.log(x)), has_aux=True)(0.0) == (1.0, -math.inf)


# ---- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.array([2.0, 3.0]),
        np.array([2.0, 3.0], dtype=np.float32),
        np.array([2, 3]),
        np.array([2.0, 3.0], dtype=">f8"),
        np.array([2.0, 0.0, 3.0, 0.0])[::2],
        np.array([2.0, 3.0], dtype=np.longdouble),
    ],
    ids=["float64", "float32", "int64", "big endian", "strided", "long double"],
)
def test_arrays_of_any_real_type_give_float64(array):
    f = lambda v: v[0] ** 2 * v[1]  # noqa: E731
    for _ in range(3):  # new, compared, known
        gradient = tw.value_and_grad(f)(array)[1]
        assert gradient.dtype == np.float64
        assert gradient.tolist() == [12.0, 4.0]
    assert tw.hessian(f)(array).tolist() == [[6.0, 4.0], [4.0, 0.0]]


def test_arrays_of_no_two_and_three_dimensions():
    assert tw.value_and_grad(lambda x: x * x)(np.array(3.0)) == (9.0, 6.0)
    assert tw.grad(tw.sin)(np.array(0.0)) == 1.0
    for order in "CF":
        a = np.asarray(np.arange(6.0).reshape(2, 3), order=order)
        f = tw.value_and_grad(lambda a: sum(x * x * x for x in a.ravel()))
        for shift in (0.0, 1.0, 2.0):
            value, gradient = f(a + shift)
            assert value == ((a + shift) ** 3).sum()
            assert (gradient == 3.0 * (a + shift) ** 2).all()
    cube = np.arange(8.0).reshape(2, 2, 2)
    assert tw.hessian(lambda a: a[0, 0, 1] * a[1, 1, 1])(cube).shape == (2,) * 6


def test_nested_arguments_keep_their_containers():
    tree = {"a": [2.0, 1], "b": (3.0,), "c": np.array([[1.0], [2.0]]), "name": "text"}
    found = tw.grad(lambda t: t["a"][0] * t["b"][0] * t["c"][1, 0] + t["a"][1])(tree)
    assert found["a"] == [6.0, 1.0]
    assert found["b"] == (4.0,)
    assert found["c"].dtype == float
    assert found["c"].tolist() == [[0.0], [6.0]]
    assert found["name"] == "text"


def test_unused_arguments_and_constant_values_have_zero_derivatives():
    assert tw.grad(lambda x, y: x * x, (0, 1))(3.0, [1.0, 2.0]) == (6.0, [0.0, 0.0])
    value, gradient = tw.value_and_grad(lambda x, y: x * x, 1)(3.0, np.ones(2))
    assert (value, gradient.tolist()) == (9.0, [0.0, 0.0])
    assert tw.hessian(lambda x, y: x * x, 1)(3.0, np.ones(2)).tolist() == [[0.0, 0.0]] * 2
    assert tw.value_and_grad(lambda x: tw.Value(5.0))(3.0) == (5.0, 0.0)
    assert tw.hessian(lambda v: tw.Value(5.0))(np.ones(2)).tolist() == [[0.0, 0.0]] * 2
    assert tw.value_and_grad(lambda x: x)(3.0) == (3.0, 1.0)
    assert tw.hvp(lambda v: v[0])(np.ones(2), np.ones(2)).tolist() == [0.0, 0.0]
    assert tw.grad(lambda v, x: x * x + sum(v), (0, 1))(np.zeros(0), 2.0)[0].shape == (0,)


def test_results_of_two_calls_share_no_memory():
    f, x = tw.value_and_grad(rosenbrock), np.array([0.5, 1.5, -0.3])
    results = [f(x + k)[1] for k in range(4)]
    for k, found in enumerate(results):
        assert found == pytest.approx(rosen_der(x + k), rel=1e-12)
    second = tw.hessian(rosenbrock, sparse=True)
    first, other = second(x), second(x + 1.0)
    first.data[:] = 0.0
    first.eliminate_zeros()
    assert other.toarray() == pytest.approx(rosen_hess(x + 1.0), rel=1e-12)
    assert second(x).toarray() == pytest.approx(rosen_hess(x), rel=1e-12)


def test_an_array_of_another_shape_is_another_program():
    f = tw.value_and_grad(rosenbrock)
    for n in (5, 2, 5, 3, 2, 5):
        x = np.linspace(-1.0, 1.0, n)
        for shift in (0.0, 0.1):
            value, gradient = f(x + shift)
            assert value == pytest.approx(rosen(x + shift), rel=1e-12)
            assert gradient == pytest.approx(rosen_der(x + shift), rel=1e-12)


# ---- the vector of hvp ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_hvp_takes_the_vector_behind_its_argument_as_scipy_gives_it(mode):
    x, p = np.array([0.3, -1.2, 0.8, 1.1]), np.array([1.0, -2.0, 0.5, 3.0])
    along = tw.hvp(rosenbrock, mode=mode)
    assert along(x, p) == pytest.approx(rosen_hess_prod(x, p), rel=1e-12)
    assert along(x.tolist(), p.tolist()) == pytest.approx(rosen_hess_prod(x, p), rel=1e-12)
    scaled = tw.hvp(lambda x, a, b: a * rosenbrock(x) + b * x[0], mode=mode)
    assert scaled(x, p, 2.0, 3.0) == pytest.approx(2.0 * rosen_hess_prod(x, p), rel=1e-12)
    assert scaled(x, 2.0, 3.0, p) == pytest.approx(2.0 * rosen_hess_prod(x, p), rel=1e-12)
    same_length = tw.hvp(lambda x, a: sum(u * v * v for u, v in zip(a, x, strict=True)), mode=mode)
    assert same_length(x, p, x).tolist() == pytest.approx((2.0 * x * p).tolist())
    second = tw.hvp(lambda a, x: a * x**3, 1, mode=mode)
    assert second(10.0, 2.0, 1.0) == pytest.approx(120.0)


# ---- misuse --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: tw.grad(product, 2)(1.0, 2.0),
            ArgumentError,
            "argnum is 2, but there are 2 argu.*-2 to 1",
        ),
        (lambda: tw.grad(product, "x"), ArgumentError, "argnums must be an integer or a tuple"),
        (lambda: tw.grad(product, ()), ArgumentError, "argnums must be an integer or a tuple"),
        (lambda: tw.grad(product, True), ArgumentError, "argnums must be an integer or a tuple"),
        (lambda: tw.grad(product, (0, -2))(1.0, 2.0), ArgumentError, "names an argument twice"),
        (tw.grad(lambda: 1.0), ArgumentError, "argnum is 0, but there are 0 arguments"),
        (partial(tw.grad, 3.0), ArgumentError, "expected a function, got 3.0"),
        (lambda: tw.grad(lambda x: x * x, has_aux=True)(1.0), TraceError, "must return a pair"),
        (
            lambda: tw.grad(lambda x: (x, x, x), has_aux=True)(1.0),
            TraceError,
            "pair .*got a tuple of 3",
        ),
        (lambda: tw.grad(lambda x: (x * x, x))(1.0), TraceError, "write has_aux=True"),
        (lambda: tw.grad(lambda x: x * x)(np.ones(3)), TraceError, r"shape \(3,\); tw.jacobian"),
        (lambda: tw.grad(lambda x: 3.0)(1.0), TraceError, "float 3.0, which was not computed"),
        (lambda: tw.jacobian(lambda x: [3.0])(1.0), TraceError, "in which none was computed"),
        (lambda: tw.grad(lambda x: None)(1.0), TraceError, "must return one number, got NoneType"),
        (lambda: tw.grad(lambda x: x)(np.array([1j])), TraceError, "array of complex128.*x.real"),
        (lambda: tw.grad(lambda x: x)([1j]), TraceError, "is complex; .*the imaginary parts"),
        (
            lambda: tw.grad(lambda x: x)(True),
            TraceError,
            "is bool True, in which there is no number",
        ),
        (lambda: tw.grad(sum)(np.zeros(0)), TraceError, "there is no number to diff"),
        (lambda: tw.hvp(rosenbrock)(np.ones(3)), ArgumentError, r"hvp\(f\)\(x, vector, \*args\)"),
        (
            lambda: tw.hvp(rosenbrock)(np.ones(3), np.ones(2)),
            ShapeError,
            "has 2 numbers, argument 0 3",
        ),
        (
            lambda: tw.hessian(product, (0, 1), sparse=True),
            ArgumentError,
            r"sparse=True takes one argument, got argnums=\(0, 1\)",
        ),
        (
            lambda: tw.hessian(rosenbrock, sparse=True)([tw.Value(1.0), tw.Value(2.0)]),
            ArgumentError,
            "here derivatives are Values",
        ),
    ],
)
def test_misuse_is_one_clear_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
