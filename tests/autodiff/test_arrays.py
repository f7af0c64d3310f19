"""NumPy and Values, element by element, in both orders."""

import math
import operator

import numpy as np
import pytest

import talweg as tw
from talweg.errors import NumberError
from talweg.value import Value

A = np.array([[1.0, 2.0], [3.0, 4.0]])


def numbers(result):
    return [v.data for v in np.ravel(result)]


def values(result):
    """An array of objects, all of them Values."""
    assert isinstance(result, np.ndarray)
    assert all(type(v) is Value for v in result.ravel())
    return result


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, object])
@pytest.mark.parametrize("symbol", ["add", "sub", "mul", "truediv", "pow"])
def test_operators_beside_an_array_of_numbers(symbol, dtype):
    f, array, v = getattr(operator, symbol), A.astype(dtype), Value(3.0)
    left, right = values(f(array, v)), values(f(v, array))
    assert left.shape == right.shape == (2, 2)
    assert numbers(left) == [f(float(x), 3.0) for x in A.ravel()]
    assert numbers(right) == [f(3.0, float(x)) for x in A.ravel()]


@pytest.mark.parametrize("symbol", ["add", "sub", "mul", "truediv"])
def test_operators_beside_an_array_of_values(symbol):
    f, v = getattr(operator, symbol), Value(3.0)
    w = np.array([Value(1.0), Value(2.0)])
    assert numbers(f(w, v)) == [f(1.0, 3.0), f(2.0, 3.0)]
    assert numbers(f(v, w)) == [f(3.0, 1.0), f(3.0, 2.0)]
    (f(w, v)[0] * 2.0 + f(v, w)[1]).backward()
    assert w[0].grad != 0.0
    assert v.grad != 0.0


def test_gradients_pass_through_arrays():
    """A whole batch at once, against the same program in lists."""
    x, t = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]]), np.array([1.0, -1.0, 0.5])
    w, b = [Value(0.3), Value(-0.2)], Value(0.1)
    loss = np.mean((np.tanh(np.dot(x, w) + b) - t) ** 2)
    loss.backward()
    w2, b2 = [Value(0.3), Value(-0.2)], Value(0.1)
    rows = [((w2[0] * p + w2[1] * q + b2).tanh() - y) ** 2 for (p, q), y in zip(x, t, strict=True)]
    expected = sum(rows) / 3
    expected.backward()
    assert loss.data == pytest.approx(expected.data, rel=1e-15)
    assert [v.grad for v in (*w, b)] == pytest.approx([v.grad for v in (*w2, b2)], rel=1e-14)


def test_products_of_matrices():
    w = np.array([[Value(1.0), Value(0.5)], [Value(-1.0), Value(2.0)]])
    assert numbers(A @ w) == numbers(np.matmul(A, w)) == numbers(A.dot(w)) == [-1.0, 4.5, -1.0, 9.5]
    assert numbers(w @ np.array([1.0, 2.0])) == [2.0, 3.0]
    assert (np.sum(w).data, np.trace(w).data, np.prod(w).data) == (2.5, 3.0, -1.0)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (np.exp, Value.exp), (np.log, Value.log), (np.sqrt, Value.sqrt), (np.tanh, Value.tanh),
        (np.sin, Value.sin), (np.cos, Value.cos), (np.abs, abs), (np.fabs, abs),
        (np.negative, operator.neg), (np.square, lambda v: v * v),
        (np.reciprocal, lambda v: 1.0 / v), (np.positive, lambda v: v),
        (np.log1p, tw.log1p), (np.arctan, tw.atan), (np.arcsin, tw.asin), (np.arccos, tw.acos),
        (np.tan, tw.tan), (np.sinh, tw.sinh), (np.log10, tw.log10), (np.floor, tw.floor),
    ],
)  # fmt: skip
def test_functions_of_one_value(function, expected):
    v, again = Value(0.7), Value(0.7)
    result, right = function(v), expected(again)
    assert type(result) is Value
    result.backward()
    right.backward()
    assert (result.data, v.grad) == (right.data, again.grad)


def test_functions_of_arrays_of_values():
    w = np.array([Value(0.5), Value(1.5)])
    assert numbers(np.exp(w)) == [Value(0.5).exp().data, Value(1.5).exp().data]
    np.sum(np.tanh(w)).backward()
    assert w[1].grad == pytest.approx(1.0 - np.tanh(1.5) ** 2)


def test_functions_of_two_numbers():
    v = Value(2.0)
    assert np.add(v, 1).data == np.add(1.0, v).data == 3.0
    assert (np.power(v, 3).data, np.maximum(v, 5.0).data, np.minimum(5.0, v).data) == (
        8.0,
        5.0,
        2.0,
    )
    assert (np.arctan2(v, 1.0).data, np.hypot(v, 1.5).data) == (math.atan2(2.0, 1.0), 2.5)
    assert numbers(np.maximum(A, v)) == [2.0, 2.0, 3.0, 4.0]
    assert numbers(np.multiply(A, v)) == [2.0, 4.0, 6.0, 8.0]


def test_reductions_and_other_forms_of_functions():
    v, w = Value(2.0), np.array([Value(1.0), Value(3.0)])
    assert (np.sum(v), np.sum(w).data, np.add.reduce([v, 1.0]).data) == (v, 4.0, 3.0)
    assert numbers(np.add.outer(v, A)) == [3.0, 4.0, 5.0, 6.0]
    assert numbers(np.cumsum(w)) == [1.0, 4.0]
    assert np.multiply(A, v, dtype=object)[1, 1].data == 8.0
    assert (np.mean(w).data, np.var(w).data, np.std(w).data) == (2.0, 1.0, 1.0)
    np.var(w).backward()
    assert [x.grad for x in w] == [-1.0, 1.0]
    assert (np.linalg.norm(w).data, np.outer(w, w)[1, 1].data) == (math.sqrt(10.0), 9.0)
    assert numbers(np.einsum("ij,j->i", A, w)) == [7.0, 15.0]


def test_a_bare_number_in_an_array_of_numbers():
    numbers_only = np.zeros(2)
    numbers_only[1] = Value(3.0)
    assert numbers_only.tolist() == [0.0, 3.0]
    assert np.float64(Value(3.0)) == 3.0


def test_comparisons_are_element_by_element():
    v = Value(2.0)
    assert (v < A).tolist() == [[False, False], [True, True]]
    assert (v >= A).tolist() == (v >= A).tolist() == [[True, True], [False, False]]
    assert (np.array([v, Value(2.0)]) == v).tolist() == [True, False]  # the same object
    assert (np.float64(1.0) < v, np.less(v, 1.0), np.isnan(v)) == (True, False, False)


def test_writing_into_an_array():
    w, v = np.array([Value(1.0), Value(2.0)]), Value(3.0)
    before = w
    w += v
    assert numbers(w) == [4.0, 5.0]
    assert w is before
    with pytest.raises(NumberError, match="do not fit into an array of numbers"):
        A.copy().__iadd__(v)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (np.cbrt, r"np\.cbrt is not an operation of talweg.*np\.cbrt\(v\.data\)"),
        (lambda v: v + np.array(["a"]), "the text 'a'"),
        (lambda v: np.add(v, "a"), "the text 'a'"),
    ],
)
def test_what_has_no_derivative_is_refused(call, words):
    with pytest.raises(NumberError, match=words):
        call(Value(2.0))


def test_operators_of_a_subclass_are_used_for_elements():
    class Own(Value):
        def __mul__(self, other):
            return Own(self.data * float(other), (self,), (float(other),))

    assert {type(x) for x in np.array([1.0, 2.0]) * Own(3.0)} == {Own}


# ---- derivatives and compiled functions ---------------------------------------------------------


def test_derivatives_of_functions_of_arrays():
    def loss(w, x):
        return np.sum(np.exp(w) * np.sin(x))

    w, x = np.array([0.1, -0.3]), np.array([0.5, 2.0])
    value, gradient = tw.value_and_grad(loss)(w, x)
    assert value == pytest.approx(np.sum(np.exp(w) * np.sin(x)), rel=1e-14)
    assert gradient == pytest.approx(np.exp(w) * np.sin(x), rel=1e-14)


def test_an_array_of_values_in_a_compiled_function():
    w, b = np.array([Value(0.3), Value(-0.2)]), Value(0.1)
    fast = tw.jit(lambda w, x: np.sum(np.tanh(np.dot(x, w) + b)))
    for x in (A, -A, 0.5 * A):
        expected = np.sum(np.tanh(np.dot(x, [0.3, -0.2]) + 0.1))
        assert fast(w, x).data == pytest.approx(expected, rel=1e-14)
