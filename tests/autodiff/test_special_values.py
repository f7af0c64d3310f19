"""What each operation gives where mathematics does not say: zeros, infinities, nan, kinks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talweg import ops
from talweg.ops import REGISTRY
from talweg.value import Value

INF, NAN = math.inf, math.nan

every_operation = pytest.mark.parametrize("name", REGISTRY)


def same(x, y):
    """Equal as IEEE numbers: nan is nan, and 0.0 is not -0.0."""
    return repr(float(x)) == repr(float(y))


# ---- functions of one number -----------------------------------------------------------------


AT = (0.0, -0.0, 1e-300, -1e-300, 1000.0, -1000.0, INF, -INF, NAN)
LN2 = 0.6931471805599453

VALUES_AT = {
    "neg": (-0.0, 0.0, -1e-300, 1e-300, -1000.0, 1000.0, -INF, INF, NAN),
    "exp": (1.0, 1.0, 1.0, 1.0, INF, 0.0, INF, 0.0, NAN),
    "log": (-INF, -INF, -690.7755278982137, NAN, 6.907755278982137, NAN, INF, NAN, NAN),
    "sqrt": (0.0, -0.0, 1e-150, NAN, 31.622776601683793, NAN, INF, NAN, NAN),
    "sin": (0.0, -0.0, 1e-300, -1e-300, 0.8268795405320025, -0.8268795405320025, NAN, NAN, NAN),
    "cos": (1.0, 1.0, 1.0, 1.0, 0.5623790762907029, 0.5623790762907029, NAN, NAN, NAN),
    "tanh": (0.0, -0.0, 1e-300, -1e-300, 1.0, -1.0, 1.0, -1.0, NAN),
    "sigmoid": (0.5, 0.5, 0.5, 0.5, 1.0, 0.0, 1.0, 0.0, NAN),
    "relu": (0.0, 0.0, 1e-300, 0.0, 1000.0, 0.0, INF, 0.0, NAN),
    "softplus": (LN2, LN2, LN2, LN2, 1000.0, 0.0, INF, 0.0, NAN),
    "abs": (0.0, 0.0, 1e-300, 1e-300, 1000.0, 1000.0, INF, INF, NAN),
    "detach": AT,
}

# None: outside the domain the value is nan already, and the derivative is of no account.
DERIVATIVES_AT = {
    "neg": (-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0),
    "exp": (1.0, 1.0, 1.0, 1.0, INF, 0.0, INF, 0.0, NAN),
    "log": (INF, None, 1e300, None, 0.001, None, 0.0, None, NAN),
    "sqrt": (INF, None, 5e149, None, 0.015811388300841896, None, 0.0, None, NAN),
    "sin": (1.0, 1.0, 1.0, 1.0, 0.5623790762907029, 0.5623790762907029, NAN, NAN, NAN),
    "cos": (0.0, 0.0, -1e-300, 1e-300, -0.8268795405320025, 0.8268795405320025, NAN, NAN, NAN),
    "tanh": (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, NAN),
    "sigmoid": (0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0, NAN),
    "relu": (0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, None),
    "softplus": (0.5, 0.5, 0.5, 0.5, 1.0, 0.0, 1.0, 0.0, NAN),
    "abs": (0.0, 0.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 0.0),
    "detach": (0.0,) * 9,
}


def test_border_tables_are_complete():
    unary = [name for name, op in REGISTRY.items() if op.arity == 1]
    assert sorted(unary) == sorted(VALUES_AT) == sorted(DERIVATIVES_AT)


@pytest.mark.parametrize("name", VALUES_AT)
def test_unary_borders(name):
    op = REGISTRY[name]
    for x, value, slope in zip(AT, VALUES_AT[name], DERIVATIVES_AT[name], strict=True):
        out = op(x)
        assert same(out, value), (x, out)
        assert same(op(Value(x)).data, value), x
        if slope is not None:
            got = op.derivatives[0](1.0, x, out)
            assert got == pytest.approx(slope, rel=1e-15, abs=0.0, nan_ok=True), (x, got)


# ---- operations on two numbers, and where ----------------------------------------------------

BINARY_BORDERS = [
    # operation, x, y, value, derivative by x, derivative by y
    ("add", INF, -INF, NAN, 1.0, 1.0),
    ("add", 1e308, 1e308, INF, 1.0, 1.0),
    ("add", -0.0, -0.0, -0.0, 1.0, 1.0),
    ("sub", INF, INF, NAN, 1.0, -1.0),
    ("sub", 1.0, NAN, NAN, 1.0, -1.0),
    ("mul", 1e200, 1e200, INF, 1e200, 1e200),
    ("mul", INF, 0.0, NAN, 0.0, INF),
    ("mul", -1e-300, 1e-300, -0.0, 1e-300, -1e-300),
    ("div", 1.0, 0.0, INF, INF, -INF),
    ("div", 1.0, -0.0, -INF, -INF, -INF),
    ("div", -1.0, 0.0, -INF, INF, INF),
    ("div", 0.0, 0.0, NAN, INF, NAN),
    ("div", NAN, 0.0, NAN, INF, NAN),
    ("div", INF, 0.0, INF, INF, -INF),
    ("div", INF, INF, NAN, 0.0, NAN),
    ("div", 1.0, -INF, -0.0, 0.0, 0.0),
    ("div", 1e300, 1e-300, INF, 1e300, -INF),
    ("pow", 1e200, 2.0, INF, 2e200, INF),
    ("pow", -1e200, 3.0, -INF, INF, NAN),
    ("pow", 2.0, 1e300, INF, INF, INF),
    ("pow", -8.0, 0.5, NAN, NAN, NAN),
    ("pow", -2.0, 3.0, -8.0, 12.0, NAN),
    ("pow", 0.0, 2.0, 0.0, 0.0, 0.0),
    ("pow", 0.0, 1.0, 0.0, 1.0, 0.0),
    ("pow", -0.0, 3.0, -0.0, 0.0, 0.0),
    ("pow", 0.0, -1.0, INF, -INF, NAN),
    ("pow", -0.0, -1.0, -INF, -INF, NAN),
    ("pow", -0.0, -2.0, INF, INF, NAN),
    ("pow", 1.0, NAN, 1.0, NAN, 0.0),
    ("pow", NAN, 0.0, 1.0, NAN, NAN),
    ("pow", INF, -1.0, 0.0, 0.0, NAN),
    ("pow", 2.0, -INF, 0.0, NAN, 0.0),
    ("pow", -1.0, INF, 1.0, INF, NAN),
    ("max", -0.0, 0.0, -0.0, 0.5, 0.5),
    ("max", 1.0, NAN, NAN, None, None),
    ("max", NAN, 1.0, NAN, None, None),
    ("max", 1.0, -INF, 1.0, 1.0, 0.0),
    ("min", 0.0, -0.0, 0.0, 0.5, 0.5),
    ("min", 1.0, NAN, NAN, None, None),
    ("min", NAN, 1.0, NAN, None, None),
    ("min", 1.0, -INF, -INF, 0.0, 1.0),
    ("lt", NAN, 1.0, 0.0, 0.0, 0.0),
    ("lt", -0.0, 0.0, 0.0, 0.0, 0.0),
    ("lt", -INF, INF, 1.0, 0.0, 0.0),
    ("le", NAN, NAN, 0.0, 0.0, 0.0),
    ("le", 0.0, -0.0, 1.0, 0.0, 0.0),
    ("le", INF, INF, 1.0, 0.0, 0.0),
]


@pytest.mark.parametrize("case", BINARY_BORDERS, ids=str)
def test_binary_borders(case):
    name, x, y, value, by_x, by_y = case
    op = REGISTRY[name]
    out = op(x, y)
    assert same(out, value)
    assert same(op(Value(x), Value(y)).data, value)
    for rule, slope in zip(op.derivatives, (by_x, by_y), strict=True):
        if slope is not None:
            assert rule(1.0, x, y, out) == pytest.approx(slope, rel=1e-15, abs=0.0, nan_ok=True)


@pytest.mark.parametrize("condition", [1.0, -1.0, 1e-300, INF, NAN, True, 3])
def test_where_takes_x_unless_the_condition_is_zero(condition):
    assert ops.where(condition, 2.0, 3.0) == 2.0
    x, y = Value(2.0), Value(3.0)
    ops.where(condition, x, y).backward()
    assert (x.grad, y.grad) == (1.0, 0.0)


@pytest.mark.parametrize("condition", [0.0, -0.0, False])
def test_where_takes_y_if_the_condition_is_zero(condition):
    assert ops.where(condition, NAN, 3.0) == 3.0
    x, y = Value(NAN), Value(3.0)
    ops.where(condition, x, y).backward()
    assert (x.grad, y.grad) == (0.0, 1.0)


# ---- kinks and jumps -------------------------------------------------------------------------

NOT_SMOOTH = {
    # operation: where it is not smooth, and the derivatives that `not_smooth` promises there
    "pow": [((0.0, 0.5), (INF, 0.0)), ((0.0, 0.0), (0.0, 0.0)), ((-0.0, 0.5), (INF, 0.0))],
    "sqrt": [((0.0,), (INF,))],
    "relu": [((0.0,), (0.0,)), ((-0.0,), (0.0,))],
    "abs": [((0.0,), (0.0,)), ((-0.0,), (0.0,))],
    "max": [((2.0, 2.0), (0.5, 0.5)), ((0.0, -0.0), (0.5, 0.5)), ((INF, INF), (0.5, 0.5))],
    "min": [((2.0, 2.0), (0.5, 0.5)), ((0.0, -0.0), (0.5, 0.5)), ((INF, INF), (0.5, 0.5))],
    "where": [((0.0, 5.0, 7.0), (0.0, 0.0, 1.0))],
    "detach": [((2.0,), (0.0,))],
    "lt": [((2.0, 2.0), (0.0, 0.0))],
    "le": [((2.0, 2.0), (0.0, 0.0))],
}


def test_every_operation_that_is_not_smooth_is_pinned():
    assert sorted(NOT_SMOOTH) == sorted(name for name, op in REGISTRY.items() if op.not_smooth)


@pytest.mark.parametrize("name", NOT_SMOOTH)
def test_derivative_where_not_smooth(name):
    for point, promised in NOT_SMOOTH[name]:
        inputs = [Value(x) for x in point]
        REGISTRY[name](*inputs).backward()
        assert tuple(x.grad for x in inputs) == promised, point


def test_derivative_of_sqrt_at_negative_zero():
    x = Value(-0.0)
    x.sqrt().backward()
    assert x.grad == INF


@pytest.mark.parametrize(
    ("name", "operand", "point"),
    [
        ("relu", 0, (-1.0,)),
        ("max", 0, (1.0, 2.0)),
        ("max", 1, (2.0, 1.0)),
        ("min", 0, (2.0, 1.0)),
        ("min", 1, (1.0, 2.0)),
        ("where", 0, (1.0, 2.0, 3.0)),
        ("where", 1, (0.0, 2.0, 3.0)),
        ("where", 2, (1.0, 2.0, 3.0)),
        ("lt", 0, (1.0, 2.0)),
        ("le", 1, (1.0, 2.0)),
    ],
)
@pytest.mark.parametrize("g", [INF, NAN])
def test_an_infinite_slope_of_the_operand_not_selected_has_no_effect(name, operand, point, g):
    op = REGISTRY[name]
    assert op.derivatives[operand](g, *point, op(*point)) == 0.0


# ---- any floats at all -----------------------------------------------------------------------


@every_operation
@given(st.lists(st.floats(), min_size=4, max_size=4))
def test_no_float_raises(name, numbers):
    op = REGISTRY[name]
    g, *operands = numbers[: op.arity + 1]
    out = op(*operands)
    assert type(out) is float
    assert same(op(*map(Value, operands)).data, out)
    for rule in op.derivatives:
        assert type(rule(g, *operands, out)) is float


@every_operation
@given(st.lists(st.floats(), min_size=3, max_size=3))
def test_backward_is_the_rules_on_floats(name, numbers):
    op = REGISTRY[name]
    inputs = [Value(x) for x in numbers[: op.arity]]
    out = op(*inputs)
    out.backward()
    for x, rule in zip(inputs, op.derivatives, strict=True):
        assert same(x.grad, 0.0 + rule(1.0, *(v.data for v in inputs), out.data))
