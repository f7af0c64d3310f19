"""math.exp of a Value is an error with a repair, and float of it is not."""
# ruff: noqa: PLW0108, PLC3002, RET503, RUF015 - each expression is the one that is tested

import array
import cmath
import math
import math as m
import struct
import textwrap
from math import exp, sqrt
from types import SimpleNamespace

import numpy as np
import pytest

from talweg.errors import NumberError
from talweg.value import Value

V = Value(0.5)
FUNCTION = math.log
NAMESPACE = SimpleNamespace(f=math.exp)
CALL_A_VALUE = textwrap.dedent(
    """
    import math
    from talweg import Value
    v = Value(2.0)
    found = math.sqrt(v)
    """
)


class Layer:
    kinds = {"tanh": math.tanh, "sin": math.sin}  # noqa: RUF012
    activation = staticmethod(math.cos)

    def __init__(self):
        self.own = math.atan


def by_local_name(v):
    f = math.exp
    return f(v)


def by_argument(v, f=math.exp):
    return f(v)


def in_a_loop(v):
    for x in map(math.exp, [v]):
        return x


def over_several_lines(v):
    return math.exp(
        v
        if v.data > 0.0
        else -v
    )  # fmt: skip


REFUSED = {
    "math.exp": lambda v: math.exp(v),
    "of an expression": lambda v: 1.0 + math.exp(-(v * 2.0)),
    "other module name": lambda v: m.tanh(v),
    "imported name": lambda v: exp(v),
    "sqrt": lambda v: sqrt(v),
    "pow": lambda v: math.pow(v, 2.0),
    "pow of a number": lambda v: math.pow(2.0, v),
    "floor": lambda v: math.floor(v),
    "fsum": lambda v: math.fsum([1.0, v]),
    "cmath": lambda v: cmath.exp(v),
    "map": lambda v: list(map(math.exp, [v])),
    "sum of map": lambda v: sum(map(math.exp, [v])),
    "comprehension": lambda v: [math.exp(x) for x in [v]],
    "map in a comprehension": lambda v: [x for x in map(math.exp, [v])],  # noqa: C416
    "map in a loop": in_a_loop,
    "choice": lambda v: math.exp(v if v.data > 0.0 else -v),
    "a local name": by_local_name,
    "an argument": by_argument,
    "a global name": lambda v: FUNCTION(v),
    "a dictionary": lambda v: Layer.kinds["tanh"](v),
    "an attribute of a name": lambda v: (lambda layer: layer.own(v))(Layer()),
    "an attribute of a class": lambda v: Layer.activation(v),
    "a namespace": lambda v, s=NAMESPACE: s.f(v),
    "several lines": over_several_lines,
    "no source": lambda v: exec(CALL_A_VALUE, {}),
    "keyword arguments": lambda v: math.dist([v], [0.0]),
    "float beside it": lambda v: math.exp(v) + float(v),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_a_function_of_math_is_refused(call):
    with pytest.raises(NumberError, match="would be a bare number without a derivative"):
        call(Value(0.5))


def test_the_error_is_a_type_error_in_one_line_with_the_repair():
    with pytest.raises(TypeError) as caught:
        math.exp(V)
    assert str(caught.value) == (
        "math.exp of a Value would be a bare number without a derivative; "
        "use tw.exp, or for the bare number use math.exp(v.data)"
    )
    with pytest.raises(TypeError, match=r"use tw\.abs, or"):
        math.fabs(V)
    with pytest.raises(TypeError, match=r"derivative; for the bare number use math\.gamma"):
        math.gamma(V)


ALLOWED = {
    "float": lambda v: float(v),
    "int": lambda v: int(v) + 0.5,
    "of an expression": lambda v: float(v * 1.0),
    "float beside math": lambda v: float(v) * math.exp(0.0),
    "math of float": lambda v: math.log(math.exp(float(v))),
    "float of math": lambda v: float(math.sqrt(1.0) * v),
    "map": lambda v: next(map(float, [v])),
    "list of map": lambda v: list(map(float, [v]))[0],
    "a comprehension": lambda v: [x for x in map(float, [v])][0],  # noqa: C416
    "both in a loop": lambda v: [y for x in map(float, [v]) for y in map(math.sqrt, [x * x])][0],
    "an array": lambda v: np.array([v], dtype=float)[0],
    "asarray": lambda v: np.asarray([v, v], dtype=np.float64)[1],
    "struct": lambda v: struct.unpack("d", struct.pack("d", v))[0],
    "array": lambda v: array.array("d", [v])[0],
    "percent": lambda v: float("%.3f" % v),  # noqa: UP031
    "format": lambda v: float(f"{v:.3f}"),
    "round": lambda v: round(v, 3),
    "assigned": lambda v: setattr(v, "data", float(v)) or v.data,
    "argument of another call": lambda v: max([float(v)], key=math.exp),
    "exec": lambda v: eval("float(v)", {"v": v}),
}


@pytest.mark.parametrize("call", ALLOWED.values(), ids=ALLOWED)
def test_a_bare_number_is_given_where_it_is_asked_for(call):
    assert call(Value(0.5)) == 0.5


def test_tests_of_a_number_are_allowed():
    assert (math.isnan(V), math.isinf(V), math.isfinite(V)) == (False, False, True)
    assert math.isclose(V, 0.5)
