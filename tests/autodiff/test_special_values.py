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
HALF_PI, NEAR_PI = 1.5707963267948966, 1.5697963271282298  # the latter is atan(1000)

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
    "tan": (0.0, -0.0, 1e-300, -1e-300, 1.4703241557027185, -1.4703241557027185, NAN, NAN, NAN),
    "asin": (0.0, -0.0, 1e-300, -1e-300, NAN, NAN, NAN, NAN, NAN),
    "acos": (HALF_PI, HALF_PI, HALF_PI, HALF_PI, NAN, NAN, NAN, NAN, NAN),
    "atan": (0.0, -0.0, 1e-300, -1e-300, NEAR_PI, -NEAR_PI, HALF_PI, -HALF_PI, NAN),
    "sinh": (0.0, -0.0, 1e-300, -1e-300, INF, -INF, INF, -INF, NAN),
    "cosh": (1.0, 1.0, 1.0, 1.0, INF, INF, INF, INF, NAN),
    "log1p": (0.0, -0.0, 1e-300, -1e-300, 6.90875477931522, NAN, INF, NAN, NAN),
    "expm1": (0.0, -0.0, 1e-300, -1e-300, INF, -1.0, INF, -1.0, NAN),
    "log2": (-INF, -INF, -996.5784284662087, NAN, 9.965784284662087, NAN, INF, NAN, NAN),
    "log10": (-INF, -INF, -300.0, NAN, 3.0, NAN, INF, NAN, NAN),
    "erf": (
        0.0,
        -0.0,
        1.1283791670955126e-300,
        -1.1283791670955126e-300,
        1.0,
        -1.0,
        1.0,
        -1.0,
        NAN,
    ),
    "normal_cdf": (0.5, 0.5, 0.5, 0.5, 1.0, 0.0, 1.0, 0.0, NAN),
    "gelu": (0.0, -0.0, 5e-301, -5e-301, 1000.0, -0.0, INF, -0.0, NAN),
    "silu": (0.0, -0.0, 5e-301, -5e-301, 1000.0, -0.0, INF, -0.0, NAN),
    "sign": (0.0, -0.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, NAN),
    "floor": (0.0, -0.0, 0.0, -1.0, 1000.0, -1000.0, INF, -INF, NAN),
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
    "tan": (1.0, 1.0, 1.0, 1.0, 3.161853122842912, 3.161853122842912, NAN, NAN, NAN),
    "asin": (1.0, 1.0, 1.0, 1.0, None, None, None, None, NAN),
    "acos": (-1.0, -1.0, -1.0, -1.0, None, None, None, None, NAN),
    "atan": (1.0, 1.0, 1.0, 1.0, 9.99999000001e-07, 9.99999000001e-07, 0.0, 0.0, NAN),
    "sinh": (1.0, 1.0, 1.0, 1.0, INF, INF, INF, INF, NAN),
    "cosh": (0.0, 0.0, 1e-300, -1e-300, INF, -INF, INF, -INF, NAN),
    "log1p": (1.0, 1.0, 1.0, 1.0, 0.000999000999000999, None, 0.0, None, NAN),
    "expm1": (1.0, 1.0, 1.0, 1.0, INF, 0.0, INF, 0.0, NAN),
    "log2": (INF, None, 1.4426950408889634e300, None, 0.0014426950408889634, None, 0.0, None, NAN),
    "log10": (INF, None, 4.342944819032518e299, None, 0.0004342944819032518, None, 0.0, None, NAN),
    "erf": (*(1.1283791670955126,) * 4, 0.0, 0.0, 0.0, 0.0, NAN),
    "normal_cdf": (*(0.3989422804014327,) * 4, 0.0, 0.0, 0.0, 0.0, NAN),
    "gelu": (0.5, 0.5, 0.5, 0.5, 1.0, 0.0, 1.0, 0.0, NAN),
    "silu": (0.5, 0.5, 0.5, 0.5, 1.0, 0.0, 1.0, 0.0, NAN),
    "sign": (0.0,) * 9,
    "floor": (0.0,) * 9,
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
    ("atan2", 0.0, 0.0, 0.0, NAN, NAN),
    ("atan2", -0.0, -0.0, -3.141592653589793, NAN, NAN),
    ("atan2", 0.0, -1.0, 3.141592653589793, -1.0, -0.0),
    ("atan2", -0.0, -1.0, -3.141592653589793, -1.0, 0.0),
    ("atan2", 1e-200, 1e-200, 0.7853981633974483, 5e199, -5e199),
    ("atan2", 1e200, -1e200, 2.356194490192345, -5e-201, -5e-201),
    ("atan2", INF, -INF, 2.356194490192345, NAN, NAN),
    ("atan2", 1.0, NAN, NAN, NAN, NAN),
    ("hypot", 3e300, 4e300, 5e300, 0.6, 0.8),
    ("hypot", 3 * 2.0**-1000, 4 * 2.0**-1000, 5 * 2.0**-1000, 0.6, 0.8),
    ("hypot", 1.7e308, 1.7e308, INF, 0.0, 0.0),
    ("hypot", INF, NAN, INF, NAN, NAN),
    ("hypot", 0.0, 0.0, 0.0, 0.0, 0.0),
    ("hypot", -5e-324, 0.0, 5e-324, -1.0, 0.0),
    ("leaky_relu", -INF, 0.01, -INF, 0.01, -INF),
    ("leaky_relu", INF, 0.01, INF, 1.0, 0.0),
    ("leaky_relu", NAN, 0.01, NAN, 0.01, NAN),
    ("elu", -INF, 2.0, -2.0, 0.0, -1.0),
    ("elu", INF, 2.0, INF, 1.0, 0.0),
    ("elu", NAN, 2.0, NAN, NAN, NAN),
    ("elu", 1000.0, 2.0, 1000.0, 1.0, 0.0),
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
    "asin": [((1.0,), (INF,)), ((-1.0,), (INF,))],
    "acos": [((1.0,), (-INF,)), ((-1.0,), (-INF,))],
    "atan2": [((0.0, 0.0), (NAN, NAN)), ((0.0, -1.0), (-1.0, -0.0))],
    "hypot": [((0.0, 0.0), (0.0, 0.0)), ((-0.0, 0.0), (0.0, 0.0))],
    "leaky_relu": [((0.0, 0.25), (0.25, 0.0)), ((-0.0, 0.25), (0.25, 0.0))],
    "elu": [((0.0, 0.25), (0.25, 0.0)), ((-0.0, 0.25), (0.25, 0.0))],
    "sign": [((0.0,), (0.0,))],
    "floor": [((2.0,), (0.0,))],
    "clip": [((1.0, 1.0, 2.0), (1.0, 0.0, 0.0)), ((2.0, 1.0, 2.0), (1.0, 0.0, 0.0))],
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
        found = tuple(x.grad for x in inputs)
        assert found == pytest.approx(promised, rel=0.0, abs=0.0, nan_ok=True), point


def test_derivative_of_sqrt_at_negative_zero():
    x = Value(-0.0)
    x.sqrt().backward()
    assert x.grad == INF


@pytest.mark.parametrize(
    ("name", "operand", "point"),
    [
        ("relu", 0, (-1.0,)),
        ("leaky_relu", 1, (1.0, 0.5)),
        ("elu", 1, (1.0, 0.5)),
        ("hypot", 0, (0.0, 0.0)),
        ("clip", 0, (3.0, 1.0, 2.0)),
        ("clip", 1, (3.0, 1.0, 2.0)),
        ("clip", 2, (1.5, 1.0, 2.0)),
        ("clip", 1, (0.0, 2.0, 1.0)),
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
