"""Every record of the table: value and derivatives, against mpmath at 50 digits.

`ORACLES` holds the truth for each operation. An operation without an entry fails the first
test, so adding a record to the table means adding a line here. Infinities, nan and kinks are
in test_borders.py.
"""

import copy
import itertools
import math
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from mpmath import mp, mpf

from talweg import ops
from talweg.autodiff.higher_order import gradients
from talweg.errors import NumberError, OperationError, TalwegError
from talweg.gradcheck import gradcheck
from talweg.ops import REGISTRY
from talweg.value import Value

REAL = (-8.0, 8.0)
POSITIVE = (0.05, 8.0)


@dataclass
class Oracle:
    """The truth about one operation.

    `ulp` bounds the error of the value in units in the last place, at points drawn from
    `ranges`. Measured with glibc, 3,000 points each: tanh 1.62, sigmoid 1.75, softplus 0.99,
    the other functions 0.51. The bound leaves a unit or two for other C libraries.
    `floor` is the size of what a derivative rule subtracts: 1 - tanh(x)**2 is exact to so
    many digits of 1, not of itself.
    """

    value: Callable[..., mpf]
    ulp: float
    ranges: tuple[tuple[float, float], ...]
    floor: float = 0.0
    is_constant: bool = False


UNIT = (-0.999, 0.999)


def normal_cdf(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def logistic(x):
    return 1 / (1 + mp.exp(-x))


def clipped(x, low, high):
    """`min` and `max` of mpmath numbers; complex ones, of which mp.diff takes many, have none."""
    above = x if x > low else low
    return above if above < high else high


ORACLES = {
    "add": Oracle(lambda x, y: x + y, 0.5, (REAL, REAL)),
    "sub": Oracle(lambda x, y: x - y, 0.5, (REAL, REAL)),
    "mul": Oracle(lambda x, y: x * y, 0.5, (REAL, REAL)),
    "div": Oracle(lambda x, y: x / y, 0.5, (REAL, REAL)),
    "neg": Oracle(lambda x: -x, 0.0, (REAL,)),
    "pow": Oracle(lambda x, y: x**y, 2.0, (POSITIVE, REAL)),
    "exp": Oracle(mp.exp, 2.0, ((-700.0, 700.0),)),
    "log": Oracle(mp.log, 2.0, (POSITIVE,)),
    "sqrt": Oracle(mp.sqrt, 0.5, (POSITIVE,)),
    "sin": Oracle(mp.sin, 2.0, ((-1000.0, 1000.0),)),
    "cos": Oracle(mp.cos, 2.0, ((-1000.0, 1000.0),)),
    "tan": Oracle(mp.tan, 2.0, ((-100.0, 100.0),)),
    "asin": Oracle(mp.asin, 2.0, (UNIT,)),
    "acos": Oracle(mp.acos, 2.0, (UNIT,)),
    "atan": Oracle(mp.atan, 2.0, (REAL,)),
    "atan2": Oracle(mp.atan2, 2.0, (REAL, REAL)),
    "sinh": Oracle(mp.sinh, 3.0, ((-700.0, 700.0),)),
    "cosh": Oracle(mp.cosh, 3.0, ((-700.0, 700.0),)),
    "tanh": Oracle(mp.tanh, 3.0, (REAL,), floor=1.0),
    "sigmoid": Oracle(logistic, 4.0, ((-40.0, 40.0),), floor=1.0),
    "log1p": Oracle(mp.log1p, 2.0, ((-0.95, 8.0),)),
    "expm1": Oracle(mp.expm1, 2.0, ((-30.0, 700.0),)),
    "log2": Oracle(lambda x: mp.log(x, 2), 2.0, (POSITIVE,)),
    "log10": Oracle(mp.log10, 2.0, (POSITIVE,)),
    "hypot": Oracle(lambda x, y: mp.sqrt(x * x + y * y), 1.5, (REAL, REAL)),
    "erf": Oracle(mp.erf, 2.0, (REAL,)),
    "normal_cdf": Oracle(normal_cdf, 3.0, ((-8.0, 8.0),)),
    "relu": Oracle(lambda x: x if x > 0 else mpf(0), 0.0, (REAL,)),
    "leaky_relu": Oracle(lambda x, y: x if x > 0 else y * x, 0.5, (REAL, (-1.0, 1.0))),
    "elu": Oracle(lambda x, y: x if x > 0 else y * mp.expm1(x), 3.0, (REAL, (0.5, 2.0))),
    "gelu": Oracle(lambda x: x * normal_cdf(x), 4.0, ((-8.0, 8.0),)),
    "silu": Oracle(lambda x: x * logistic(x), 4.0, ((-40.0, 40.0),), floor=1.0),
    "softplus": Oracle(lambda x: mp.log1p(mp.exp(x)), 3.0, ((-40.0, 40.0),)),
    "abs": Oracle(lambda x: x if x > 0 else -x, 0.0, (REAL,)),
    "sign": Oracle(mp.sign, 0.0, (REAL,), is_constant=True),
    "floor": Oracle(mp.floor, 0.0, (REAL,), is_constant=True),
    "max": Oracle(lambda x, y: x if x > y else y, 0.0, (REAL, REAL)),
    "min": Oracle(lambda x, y: x if x < y else y, 0.0, (REAL, REAL)),
    "clip": Oracle(clipped, 0.0, (REAL, (-8.0, 0.0), (0.0, 8.0))),
    "where": Oracle(lambda c, x, y: x if c != 0 else y, 0.0, (REAL, REAL, REAL)),
    "detach": Oracle(lambda x: x, 0.0, (REAL,), is_constant=True),
    "lt": Oracle(lambda x, y: mpf(x < y), 0.0, (REAL, REAL)),
    "le": Oracle(lambda x, y: mpf(x <= y), 0.0, (REAL, REAL)),
}

# Points beside those drawn: small and large operands, integer exponents, negative bases.
CHOSEN = {
    "add": [(0.1, 0.2), (1e16, 1.0)],
    "sub": [(0.3, 0.1), (1e16, -1.0)],
    "pow": [(-2.0, 3.0), (-1.5, -2.0), (3.0, 0.0), (3.0, 1.0), (0.5, 2.0), (7.0, -1.0)],
    "log": [(1e-300,), (1e300,), (1.0 + 2.0**-40,), (1.0 - 2.0**-40,)],
    "sqrt": [(1e-300,), (1e300,)],
    "exp": [(1e-9,), (-745.0,), (709.7,)],
    "sin": [(1e-9,), (math.pi,), (1e15,)],
    "cos": [(math.pi / 2.0,), (1e15,)],
    "tanh": [(1e-9,), (-1e-300,), (0.55,), (19.0,)],
    "sigmoid": [(-700.0,), (36.0,), (1e-9,)],
    "softplus": [(-700.0,), (36.0,), (1e-9,), (700.0,)],
    "div": [(1.0, 3.0), (1e-300, 1e-300), (1e300, -1e300)],
    "tan": [(1.5707963267948966,), (1e15,), (1e-9,)],
    "asin": [(1e-9,), (1.0 - 2.0**-40,), (-1.0 + 2.0**-40,)],
    "acos": [(1e-9,), (1.0 - 2.0**-40,), (-1.0 + 2.0**-40,)],
    "atan": [(1e-300,), (1e9,), (-1e9,)],
    "atan2": [(1e-200, 1e-200), (1e200, -1e200), (1.0, -1e-9), (-1e-9, -1.0)],
    "sinh": [(1e-9,), (710.0,)],
    "log1p": [(1e-300,), (-1e-9,), (1e300,), (-1.0 + 2.0**-40,)],
    "expm1": [(1e-300,), (-1e-9,), (-40.0,)],
    "log2": [(1e-300,), (8.0,), (1.0 + 2.0**-40,)],
    "log10": [(1e-300,), (1000.0,), (1.0 + 2.0**-40,)],
    "hypot": [(1e300, 1e300), (1e-300, 1e-300), (3.0, 4.0), (1e-9, 1.0)],
    "erf": [(1e-300,), (1e-9,), (0.5,), (6.0,)],
    "clip": [(-9.0, -1.0, 1.0), (9.0, -1.0, 1.0), (0.5, -1.0, 1.0)],
    "where": [(0.0, 2.0, 3.0), (-1.0, 2.0, 3.0), (1e-300, 2.0, 3.0)],
}

every_operation = pytest.mark.parametrize("name", ORACLES)


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def points(name, count):
    rng = random.Random(name)
    drawn = [[rng.uniform(*r) for r in ORACLES[name].ranges] for _ in range(count)]
    return [tuple(p) for p in drawn] + CHOSEN.get(name, [])


def exact_derivative(name, point, orders):
    """By mpmath, in the operands' relative change t: x (1 + t) keeps steps inside the domain."""
    if ORACLES[name].is_constant:
        return mpf(0)
    unit = [mpf(p) if p else mpf(1) for p in point]
    moved = [i for i, n in enumerate(orders) if n]  # the others stay exact: (-2)**(3 + 0j)

    def along(*t):
        x = [mpf(p) for p in point]
        for i, change in zip(moved, t, strict=True):
            x[i] += unit[i] * change
        return ORACLES[name].value(*x)

    slope = mp.diff(along, (mpf(0),) * len(moved), tuple(orders[i] for i in moved))
    for i in moved:
        slope /= unit[i] ** orders[i]
    return slope


# ---- the table itself ------------------------------------------------------------------------


def test_every_record_has_an_oracle():
    assert list(REGISTRY) == list(ORACLES)


@every_operation
def test_record_is_complete(name):
    op = REGISTRY[name]
    assert op.name == name
    assert op.symbol
    assert op.arity == len(ORACLES[name].ranges)
    assert op.doc.endswith(".")
    assert op.doc in op.__doc__
    assert op.domain in op.__doc__
    assert op.not_smooth in op.__doc__
    assert repr(op) == f"<operation {name}>"
    assert pickle.loads(pickle.dumps(op)) is op
    assert copy.deepcopy(op) is op
    assert getattr(ops, name) is op


def test_the_registry_is_read_only():
    with pytest.raises(TypeError):
        REGISTRY["tanh"] = REGISTRY["exp"]


# ---- values and derivatives ------------------------------------------------------------------


@every_operation
def test_value_is_within_its_bound(name):
    oracle = ORACLES[name]
    for point in points(name, 300):
        exact = oracle.value(*map(mpf, point))
        got = REGISTRY[name](*point)
        assert type(got) is float
        error = abs(mpf(got) - exact) / mpf(math.ulp(float(exact)))
        assert error <= oracle.ulp, (point, float(error))


@every_operation
def test_derivative_rules_are_the_derivatives(name):
    oracle, op = ORACLES[name], REGISTRY[name]
    for point in points(name, 60):
        out = op(*point)
        for i, rule in enumerate(op.derivatives):
            if name == "pow" and i == 1 and point[0] < 0.0:
                continue  # (-2)**y is a number only for integers y: no derivative
            if name == "where" and i == 0 and point[0] == 0.0:
                continue  # a jump
            orders = tuple(int(i == k) for k in range(op.arity))
            exact = exact_derivative(name, point, orders)
            got = rule(0.75, *point, out)
            bound = 32.0 * 2.0**-53 * max(abs(exact), oracle.floor) + mpf(math.ulp(0.0)) * 4
            assert abs(mpf(got) / 0.75 - exact) <= bound, (point, i, got, float(exact))


@every_operation
def test_second_derivatives(name):
    op = REGISTRY[name]
    moderate = [p for p in points(name, 12) if all(1e-9 <= abs(x) < 50.0 for x in p)]
    for point in moderate:
        inputs = [Value(x) for x in point]
        first = gradients(op(*inputs), inputs)
        for i, j in itertools.product(range(op.arity), repeat=2):
            if name == "pow" and (point[0] < 0.0 or point[1] == 0.0) and (i, j) != (0, 0):
                continue  # a negative base: as above; y = 0: see test_mixed_derivative_of_pow
            orders = [0] * op.arity
            orders[i] += 1
            orders[j] += 1
            exact = exact_derivative(name, point, tuple(orders))
            got = gradients(first[i], inputs)[j].data
            assert abs(got - exact) <= 1e-12 * max(1, abs(exact)), (point, i, j)


def test_mixed_derivative_of_pow_at_exponent_zero():
    x, y = Value(2.0), Value(0.0)
    by_x, by_y = gradients(x**y, [x, y])
    assert gradients(by_y, [x])[0].data == 0.5
    assert gradients(by_x, [y])[0].data == 0.5


@pytest.mark.parametrize("exponent", [0, 1, 2, 3])
def test_all_derivatives_of_a_polynomial_at_zero(exponent):
    x = Value(0.0)
    y = x**exponent
    for order in range(1, 6):
        (y,) = gradients(y, [x])
        assert y.data == (math.factorial(exponent) if order == exponent else 0.0), order


@pytest.mark.parametrize("name", [n for n in ORACLES if not ORACLES[n].is_constant])
def test_gradcheck_accepts_every_record(name):
    op = REGISTRY[name]
    moderate = [p for p in points(name, 10) if all(1e-3 < abs(x) < 50.0 for x in p)]
    for point in moderate:
        if max(abs(rule(1.0, *point, op(*point))) for rule in op.derivatives) > 1e5:
            continue  # too steep for differences
        if name == "pow" and point[0] < 0.0:
            report = gradcheck(lambda x, p=point: op(x, p[1]), point[0])
        else:
            report = gradcheck(op, *point)
            assert report.checked == op.arity
        assert report.worst < 1e-7


# ---- calling a record ------------------------------------------------------------------------


def test_records_take_python_and_numpy_numbers():
    for result in (ops.max(1, True), ops.exp(np.float32(0.0)), ops.mul(np.int64(1), 1.0)):
        assert type(result) is float
        assert result == 1.0
    mixed = ops.max(Value(1.0), np.float64(2.0))
    assert isinstance(mixed, Value)
    assert mixed.data == 2.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ops.tanh(1.0, 2.0), ["tanh takes 1 number, got 2"]),
        (lambda: ops.max([1.0, 2.0]), ["max takes 2 numbers, got 1", "functools.reduce"]),
        (lambda: ops.exp("1"), ["the text '1'", "float("]),
        (lambda: ops.exp(None), ["expected a number", "NoneType"]),
        (lambda: ops.exp(1j), ["expected a number", "complex"]),
        (lambda: ops.exp(np.ones((2, 3))), ["(2, 3)", "tw.Value(a) for a in array"]),
    ],
)
def test_call_errors(call, words):
    with pytest.raises(NumberError) as caught:
        call()
    assert all(w in str(caught.value) for w in words)
    assert "\n" not in str(caught.value)


def test_detach_is_the_number_without_its_history():
    assert type(ops.detach(2.5)) is float
    x = Value(3.0)
    y = x * ops.detach(x * 2.0)
    y.backward()
    assert (y.data, x.grad) == (18.0, 6.0)
    assert isinstance(ops.detach(x), Value)


# ---- operations from outside -----------------------------------------------------------------


@pytest.fixture
def softsign():
    op = ops.register(
        "softsign",
        lambda x: x / (1.0 + abs(x)),
        lambda g, x, out: g * ops.pow(1.0 + ops.abs(x), -2.0),
        "x / (1 + |x|).",
        symbol="ss",
    )
    yield op
    ops.unregister("softsign")


def test_a_registered_operation_works_on_floats_and_values(softsign):
    assert REGISTRY["softsign"] is softsign is ops.lookup("softsign")
    assert softsign(1.0) == 0.5
    x = Value(-3.0)
    y = softsign(x) * 2.0
    y.backward()
    assert (y.data, x.grad) == (-1.5, 0.125)
    assert y._prev[0]._op == "ss"
    assert gradcheck(lambda a, b: softsign(a * b), 0.5, 1.5).checked == 2
    (slope,) = gradients(softsign(x), [x])
    assert gradients(slope, [x])[0].data == pytest.approx(2.0 / 64.0, rel=1e-15)
    assert pickle.loads(pickle.dumps(y)).data == y.data


def test_a_registered_operation_of_two_numbers():
    equations = ("div(g * x, out)", "div(g * y, out)")
    op = ops.register("hypotenuse", math.hypot, equations, "sqrt(x*x + y*y).")
    try:
        assert op.arity == 2
        assert gradcheck(op, 3.0, -4.0).worst < 1e-9
        x, y = Value(3.0), Value(-4.0)
        (slope,) = gradients(op(x, y), [x])
        assert gradients(slope, [y])[0].data == pytest.approx(12.0 / 125.0, rel=1e-15)
    finally:
        ops.unregister("hypotenuse")
    assert "hypotenuse" not in REGISTRY


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ops.register("tanh", abs, lambda g, x, out: g, "x."), ["'tanh'", "already"]),
        (lambda: ops.register("two words", abs, lambda g, x, out: g, "x."), ["'two words'"]),
        (lambda: ops.register("", abs, lambda g, x, out: g, "x."), ["''", "identifier"]),
        (lambda: ops.register("half", abs, "g *", "x."), ["half", "'g *'", "not an expression"]),
        (lambda: ops.register("four", max, ("g",) * 4, "x."), ["four", "1 to 3 operands, got 4"]),
        (lambda: ops.unregister("nothing"), ["'nothing'", "known are", "tanh"]),
        (lambda: ops.lookup("nothing"), ["'nothing'", "register"]),
    ],
)
def test_registry_errors(call, words):
    with pytest.raises(OperationError) as caught:
        call()
    assert all(w in str(caught.value) for w in words)
    assert isinstance(caught.value, TalwegError)
    assert list(REGISTRY) == list(ORACLES)


@pytest.mark.parametrize("equation", ["g * nothing(x)", "g * y", "g * len(x)"])
def test_an_equation_may_use_only_its_operands_and_registered_operations(equation):
    try:
        with pytest.raises(OperationError):
            ops.register("typo", lambda x: x, equation, "x.")
    finally:
        if "typo" in REGISTRY:
            ops.unregister("typo")


def test_talweg_s_own_operations_cannot_be_removed():
    with pytest.raises(OperationError, match="tanh is one of talweg's own"):
        ops.unregister("tanh")
    assert ops.lookup("tanh") is ops.tanh


@pytest.mark.parametrize(
    ("value", "derivative", "words"),
    [
        (math.cosh, "g / x", ["Div", "div(a, b)"]),
        (math.cosh, "x ** 2", ["Pow", "pow(a, b)"]),
        (math.cosh, "g if x > 0 else 0.0", ["IfExp", "where"]),
        (math.cosh, "g.__class__", ["Attribute"]),
        (math.cosh, None, ["an equation or a function, got None"]),
        (3.0, "g", ["must be a function of floats"]),
    ],
)
def test_register_refuses_what_no_engine_can_run(value, derivative, words):
    with pytest.raises(OperationError) as caught:
        ops.register("strange", value, derivative, "Not to be.")
    assert all(word in str(caught.value) for word in words)
    assert "strange" not in REGISTRY
