"""Value: its graph, going backward, conversions, pickling, and what it refuses."""

import copy
import math
import pickle

import numpy as np
import pytest

from talweg import ops
from talweg.autodiff.higher_order import gradients
from talweg.errors import NumberError, OperationError
from talweg.value import Value

FUNCTIONS = [
    *("exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "relu", "softplus", "tan", "atan"),
    *("sinh", "cosh", "expm1", "log1p", "log2", "log10", "erf", "gelu", "silu", "sign", "floor"),
    "detach",
]


def grads(*values):
    return tuple(v.grad for v in values)


# ---- the graph -------------------------------------------------------------------------------


def test_parents_are_in_the_order_of_the_operands():
    a, b = Value(2.0), Value(3.0)
    assert (a - b)._prev == (a, b)
    assert (b / a)._prev == (b, a)
    assert (a * a)._prev == {a}
    assert (a * a)._children == (a, a)
    assert (a + b)._op == "+"
    assert ops.max(b, a)._children == (b, a)


def test_operands_that_no_derivative_reaches_are_constants():
    a, b, c = Value(2.0), Value(3.0), Value(4.0)
    condition, taken, other = ops.where(a, b, c)._children
    assert taken is b
    assert [(x._record.name, x.data) for x in (condition, other)] == [
        ("constant", 2.0),
        ("constant", 4.0),
    ]
    assert ops.detach(a)._children[0]._record.name == "constant"


def test_children_of_bare_numbers():
    a = Value(2.0)
    (constant, value) = (1.0 - a)._prev
    assert value is a
    assert constant.data == 1.0
    assert a._prev == set()
    assert a._children == ()
    assert a._op == ""


def test_methods_with_operands_that_may_be_left_out():
    v = Value(-2.0)
    assert [v.leaky_relu().data, v.leaky_relu(0.5).data] == [-0.02, -1.0]
    assert [v.elu().data, v.elu(2.0).data] == [math.expm1(-2.0), 2.0 * math.expm1(-2.0)]
    assert v.clip(-1.0, Value(1.0)).data == -1.0
    with pytest.raises(NumberError, match="clip takes 3 numbers, got 2"):
        v.clip(1.0)
    with pytest.raises(NumberError, match="elu takes 1 or 2 numbers, got 3"):
        v.elu(1.0, 2.0)


@pytest.mark.parametrize(
    ("expression", "symbol", "data", "slope"),
    [
        (lambda v: v + 3, "+", 5.0, 1.0),
        (lambda v: 3 + v, "+", 5.0, 1.0),
        (lambda v: v - 3, "-", -1.0, 1.0),
        (lambda v: 3 - v, "-", 1.0, -1.0),
        (lambda v: v * 3, "*", 6.0, 3.0),
        (lambda v: 3 * v, "*", 6.0, 3.0),
        (lambda v: v / 4, "/", 0.5, 0.25),
        (lambda v: 4 / v, "/", 2.0, -1.0),
        (lambda v: v**3, "**", 8.0, 12.0),
        (lambda v: 3**v, "**", 9.0, 9.0 * math.log(3.0)),
        (lambda v: -v, "neg", -2.0, -1.0),
        (lambda v: abs(-v), "abs", 2.0, 1.0),
        *((lambda v, n=n: getattr(v, n)(), n, ops.REGISTRY[n](2.0), None) for n in FUNCTIONS),
    ],
)
def test_operators_and_methods(expression, symbol, data, slope):
    v = Value(2.0)
    out = expression(v)
    out.backward()
    assert (out._op, out.data) == (symbol, data)
    if slope is None:
        slope = ops.REGISTRY[symbol].derivatives[0](1.0, 2.0, data)
    assert v.grad == pytest.approx(slope, rel=1e-15)


# ---- backward --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_chain_of_a_million_additions():
    x = Value(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + x
    y.backward()
    assert (y.data, x.grad) == (1_000_001.0, 1_000_001.0)


def test_the_sum_of_many_losses():
    w = Value(0.5)
    loss = sum((w * i - 1.0) ** 2 for i in range(20_000))
    loss.backward()
    assert w.grad == pytest.approx(sum(2.0 * (0.5 * i - 1.0) * i for i in range(20_000)), rel=1e-12)


def test_leaves_accumulate_and_inner_nodes_restart():
    x = Value(3.0)
    inner = x * x
    y = inner * 2.0
    y.backward()
    assert grads(x, inner, y) == (12.0, 2.0, 1.0)
    y.backward()
    assert grads(x, inner, y) == (24.0, 2.0, 1.0)
    (inner + x).backward()
    assert grads(x, inner, y) == (24.0 + 7.0, 1.0, 1.0)
    x.backward()
    assert x.grad == 32.0


def test_a_shared_subexpression_counts_once_for_each_use():
    a = Value(2.0)
    b = a * a  # 4
    c = b + b  # 8
    d = c * b  # 2 a**4
    d.backward()
    assert grads(a, b, c) == (64.0, 16.0, 4.0)
    x = Value(1.0)
    y = x
    for _ in range(60):  # 2**60 paths
        y = y + y
    y.backward()
    assert x.grad == 2.0**60


def test_an_operand_made_late_and_used_early_in_the_expression():
    """The order is that of creation, whatever the order of use."""
    x = Value(2.0)
    first = x * 3.0
    second = x * x
    y = second * first + first  # 3 x**3 + 3 x
    y.backward()
    assert x.grad == 39.0


def test_constants_get_no_gradient():
    x = Value(2.0)
    y = x * 5.0
    y.backward()
    assert y._prev[1].grad == 0.0


def test_overflow_gives_inf_and_nan():
    x = Value(1e200)
    y = x**2
    (y - y).backward()
    assert y.data == math.inf
    assert (y - y).data != (y - y).data
    assert (1.0 / Value(0.0)).data == math.inf
    assert math.isnan((Value(-8.0) ** 0.5).data)
    assert Value(1000.0).exp().data == math.inf
    assert math.isnan(Value(math.inf).sin().data)


# ---- second derivatives ----------------------------------------------------------------------


def test_gradients_are_values_and_change_no_grad():
    x, y = Value(2.0), Value(3.0)
    unused = Value(1.0)
    f = x * x * y + y
    by_x, by_y, by_unused = gradients(f, [x, y, unused])
    assert (by_x.data, by_y.data, by_unused.data) == (12.0, 5.0, 0.0)
    assert [g.data for g in gradients(by_x, [x, y])] == [6.0, 4.0]
    assert grads(x, y, f) == (0.0, 0.0, 0.0)
    assert [g.data for g in gradients(f, [f, f._prev[0]])] == [1.0, 1.0]


def test_gradients_refuse_an_operation_with_a_closure():
    x = Value(2.0)
    out = Value(4.0, (x,), "square")
    out._backward = lambda: None
    with pytest.raises(OperationError, match=r"'square'.*tw\.ops\.register"):
        gradients(out * 2.0, [x])


# ---- as a number -----------------------------------------------------------------------------


def test_comparisons_are_of_data_and_equality_of_the_object():
    a, b, c = Value(1.0), Value(2.0), Value(1.0)
    assert a < b <= 2.0 < Value(3.0)
    assert b > a >= c >= 1
    assert not a < c
    assert not a > c
    assert not Value(math.nan) <= a
    assert (3 > b, 1 >= b, np.float64(1.5) < b, np.float64(1.5) > b) == (True, False, True, False)  # noqa: SIM300
    assert max(a, b) is b
    assert sorted([b, a])[0] is a
    assert a == a  # noqa: PLR0124
    assert a != c
    assert a != 1.0
    assert len({a, b, c, a}) == 3


def test_conversions_and_repr():
    v = Value(2, label="v")
    assert type(v.data) is float
    assert float(v) == 2.0
    assert (int(Value(-2.7)), round(Value(2.567), 2), round(Value(2.5))) == (-2, 2.57, 2)
    assert all([v, Value(0.0), Value(-0.0), Value(math.nan)])  # an object, as in the lesson
    assert repr(v) == "Value(data=2.0, label='v')"
    w = v * 3.0
    assert repr(w) == "Value(data=6.0, op='*')"
    w.backward()
    assert str(v) == "Value(data=2.0, grad=3.0, label='v')"
    assert f"{w:.3f}|{w:8.1e}" == "6.000| 6.0e+00"
    assert f"{v}" == repr(v)
    w.label = "w"
    assert (v.label, w.label, Value(1.0).label) == ("v", "w", "")
    assert "label='w'" in repr(w)
    assert (Value(True).data, Value(10**400).data, Value(-(10**400)).data) == (
        1,
        math.inf,
        -math.inf,
    )


NUMPY_NUMBERS = [np.float64(2.0), np.float32(2.0), np.int64(2), np.uint8(2), np.array(2.0)]


@pytest.mark.parametrize("number", NUMPY_NUMBERS, ids=lambda n: f"{type(n).__name__}-{n.dtype}")
def test_numpy_scalars_on_both_sides(number):
    v = Value(3.0)
    results = [v + number, number + v, v - number, number - v, v * number, number * v]
    results += [v / number, number / v, v**number, number**v, Value(number)]
    expected = [5.0, 5.0, 1.0, -1.0, 6.0, 6.0, 1.5, 2.0 / 3.0, 9.0, 8.0, 2.0]
    assert all(type(r) is Value and type(r.data) is float for r in results)
    assert [r.data for r in results] == expected
    assert (v > number, number < v, number >= v) == (True, True, False)


def test_numpy_bool():
    assert (np.bool_(True) * Value(3.0)).data == 3.0


ARRAY = np.ones((2, 3))


@pytest.mark.parametrize(
    "expression",
    [
        lambda v: Value(ARRAY),
        lambda v: Value(np.ones(1)),
        lambda v: ops.max(v, ARRAY),
    ],
)
def test_the_message_for_an_array_has_the_repair(expression):
    with pytest.raises(
        NumberError, match=r"an array of shape \(.*\[tw\.Value\(a\) for a in array\]"
    ):
        expression(Value(2.0))


@pytest.mark.parametrize("bad", ["2", b"2", None, 1j, [1.0], {}, object()])
@pytest.mark.parametrize(
    "expression",
    [
        lambda v, bad: v + bad,
        lambda v, bad: bad - v,
        lambda v, bad: v < bad,
        lambda v, bad: Value(bad),
        lambda v, bad: ops.min(bad, v),
    ],
)
def test_other_objects_are_refused(expression, bad):
    with pytest.raises(NumberError, match="expected a number, got ") as caught:
        expression(Value(2.0), bad)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


def test_numpy_complex_is_refused():
    with pytest.raises(NumberError):
        Value(np.complex128(1j))


def test_a_value_of_a_value_is_refused():
    with pytest.raises(NumberError, match=r"use v\.data"):
        Value(Value(1.0))


@pytest.mark.parametrize("number", [3, True, np.float32(0.1), np.int64(-2), np.bool_(False)])
def test_a_number_assigned_to_data_is_a_float_of_64_bits(number):
    v = Value(1.0)
    v.data = number
    assert (type(v.data), v.data) == (float, float(number))
    assert (v * 0.1).data == float(number) * 0.1
    assert type(Value(number).data) is float


@pytest.mark.parametrize("bad", ["2.0", None, 1j, np.ones(2), [1.0]])
def test_something_else_assigned_to_data_is_refused_and_changes_nothing(bad):
    v = Value(1.0)
    with pytest.raises(NumberError):
        v.data = bad
    assert v.data == 1.0


# ---- pickle and copy -------------------------------------------------------------------------


def copies(thing):
    return [copy.deepcopy(thing)] + [
        pickle.loads(pickle.dumps(thing, protocol)) for protocol in (2, pickle.HIGHEST_PROTOCOL)
    ]


def test_copies_keep_everything():
    a, b = Value(2.0, label="a"), Value(-3.0)
    y = (a * b + 1.0).tanh()
    y.label = "y"
    y.backward()
    for twin in copies(y):
        assert twin is not y
        assert repr(twin) == repr(y)
        addition = twin._prev[0]
        assert (addition._op, addition.grad) == ("+", y._prev[0].grad)
        twin_a, twin_b = addition._prev[0]._prev
        assert repr(twin_a) == repr(a)
        twin.backward()
        assert twin_a.grad == 2.0 * a.grad
        assert twin_b.grad == 2.0 * b.grad
        assert addition._prev[1].grad == 0.0  # still a constant


def test_leaves_are_the_same_objects_within_one_copy():
    w, x = Value(2.0), Value(5.0)
    for twin in copies({"parameters": [w, x], "loss": w * x + w, "again": w * 2.0}):
        w2, x2 = twin["parameters"]
        assert twin["loss"]._prev[1] is w2 is twin["again"]._prev[0]
        twin["loss"].backward()
        assert grads(w2, x2) == (6.0, 2.0)
    assert w.grad == 0.0


@pytest.mark.slow
def test_a_deep_graph_can_be_pickled_and_copied():
    x = Value(1.0)
    y = x
    for _ in range(100_000):
        y = y + x
    for twin in (pickle.loads(pickle.dumps(y)), copy.deepcopy(y)):
        assert twin.data == 100_001.0
        (twin_x,) = [v for v in twin._prev if not v._prev]
        twin.backward()
        assert twin_x.grad == 100_001.0


def test_an_operation_with_a_closure_cannot_be_pickled():
    out = Value(1.0, (Value(1.0),), "mine")
    out._backward = lambda: None
    with pytest.raises(pickle.PicklingError, match=r"'mine'.*tw\.ops\.register"):
        pickle.dumps(out + 1.0)


@pytest.mark.parametrize(
    ("output", "inputs", "words"),
    [
        (Value(1.0), Value(2.0), "gradients(y, [x])"),
        (3.0, [Value(1.0)], "got float 3.0"),
        (Value(1.0), [2.0], "got float 2.0"),
    ],
)
def test_gradients_takes_values(output, inputs, words):
    with pytest.raises(NumberError) as caught:
        gradients(output, inputs)
    assert words in str(caught.value)
