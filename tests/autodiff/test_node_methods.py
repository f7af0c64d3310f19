"""The operators made from text compute what the records say, and so does the inner loop."""

import itertools
import math
import struct

import pytest

from talweg import ops
from talweg.autodiff.backward import step_for
from talweg.value import Value

BORDERS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -8.0,
    710.0,
    -745.2,
    1e200,
    -1e-320,
    math.inf,
    -math.inf,
    math.nan,
]
UNARY = ["neg", "abs", "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "relu", "softplus"]
BINARY = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**"}


def bits(x):
    return "nan" if math.isnan(x) else struct.pack("d", x)


@pytest.mark.parametrize("name", UNARY)
def test_functions_have_the_value_of_the_record(name):
    method = {"neg": Value.__neg__, "abs": Value.__abs__}.get(name) or getattr(Value, name)
    for x in BORDERS:
        y = method(Value(x))
        assert bits(y.data) == bits(ops.lookup(name).value(x)), x
        assert (y._record.name, type(y.data), y.grad) == (name, float, 0.0)


@pytest.mark.parametrize("name", BINARY)
def test_operators_have_the_value_of_the_record(name):
    op = ops.lookup(name)
    for x, y in itertools.product(BORDERS, repeat=2):
        a, b = Value(x), Value(y)
        names = {"a": a, "b": b, "x": x, "y": y}
        for text in (f"a {BINARY[name]} b", f"a {BINARY[name]} y", f"x {BINARY[name]} b"):
            node = eval(text, names)
            assert bits(node.data) == bits(op.value(x, y)), (text, x, y)
            assert (node._record, len(node._operands)) == (op, 2)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("number", [3, -1, True, 0, 10**400, -(10**400)])
def test_integers_are_numbers(name, number):
    v, as_float = Value(1.5), ops.to_float(number)
    for text in (f"v {BINARY[name]} n", f"n {BINARY[name]} v"):
        node = eval(text, {"v": v, "n": number})
        assert bits(node.data) == bits(eval(text, {"v": v, "n": as_float}).data)
        assert {type(x) for x in node._operands} == {Value, float}


@pytest.mark.parametrize("name", ["add", "mul"])
@pytest.mark.parametrize("numbers", list(itertools.product([0.3, -0.0, math.inf, 1e300], repeat=3)))
def test_the_inner_loop_does_what_the_step_does(name, numbers):
    x, y, g = numbers
    op = ops.lookup(name)

    def graph():
        a, b = Value(x), Value(y)
        return a, b, op(a, b)

    a, b, node = graph()
    (node * g).backward()
    c, d, by_step = graph()
    by_step.grad = 0.0 + g * 1.0
    step_for(op, (False, False))(by_step)
    assert [bits(v.grad) for v in (a, b)] == [bits(v.grad) for v in (c, d)]


def test_a_node_that_is_its_own_factor():
    x = Value(3.0)
    (x * x + (x + x)).backward()
    assert x.grad == 8.0
