"""Operations as instructions: in place, as functions, or computed while the program is compiled."""

import math

import pytest
from native_functions import NativeFunction

import talweg as tw
from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.operations import TracedNumber, apply, intrinsic_for, name_of
from talweg.compiler.codegen.types import DOUBLE, Parameter
from talweg.errors import OperationError


def function_of_two(exact=False):
    """A function of x and y, with a builder for it and its operands as traced numbers."""
    f = Module(exact).function("f", [Parameter("x", DOUBLE), Parameter("y", DOUBLE)], DOUBLE)
    b = NumberBuilder(f)
    return f, b, [TracedNumber(b, x) for x in f.parameters.values()]


def test_an_operation_on_constants_is_computed_now():
    f, b, _ = function_of_two()
    assert b.known(apply(b, tw.ops.mul, b.constant(3.0), b.constant(0.5))) == 1.5
    assert len(f) == 0


def test_a_short_operation_is_appended_in_place():
    f, b, (x, y) = function_of_two()
    f.ret(apply(b, tw.ops.relu, (x + y).name))
    assert f.module.functions == [f]
    assert NativeFunction(f)(2.0, 0.5) == 2.5
    assert NativeFunction(f)(-2.0, 0.5) == 0.0


def test_a_long_operation_is_one_function_for_all_its_uses():
    f, b, (x, y) = function_of_two()
    both = [apply(b, tw.ops.tanh, z.name) for z in (x, y)]
    f.ret(b.add(*both))
    assert len(f.module.functions) == 2
    assert str(f).count("call double @tanh.1.0(") == 2
    assert NativeFunction(f)(0.5, -0.25) == pytest.approx(math.tanh(0.5) + math.tanh(-0.25))


def test_each_number_of_lanes_has_a_function_of_its_own():
    f, b, (x, _) = function_of_two()
    four = NumberBuilder(f, 4)
    apply(b, tw.ops.tanh, x.name)
    apply(four, tw.ops.tanh, four.broadcast(x.name))
    assert [g.name for g in f.module.functions] == ["f", "tanh.1.0", "tanh.4.1"]


def test_a_constant_operand_is_part_of_the_function():
    f, b, (x, _) = function_of_two()
    for exponent in (2.5, 3.5, 2.5):
        apply(b, tw.ops.pow, x.name, b.constant(exponent))
    assert [g.name for g in f.module.functions] == ["f", "pow.1.0", "pow.1.1"]
    assert [len(g.parameters) for g in f.module.functions[1:]] == [1, 1]


def test_equations_on_traced_numbers():
    f, b, (x, y) = function_of_two(exact=True)
    result = 2.0 - (1.0 + x * -y - 0.5 * y) * 3.0 + (x - y)
    f.ret(name_of(b, result))
    assert NativeFunction(f)(0.75, 0.125) == 2.0 - (1.0 + 0.75 * -0.125 - 0.5 * 0.125) * 3.0 + 0.625


def test_an_equation_may_give_a_constant():
    _, b, _ = function_of_two()
    assert b.known(name_of(b, 2)) == 2.0


def test_an_equation_cannot_depend_on_a_comparison():
    _, _, (x, y) = function_of_two()
    with pytest.raises(OperationError, match="compares"):
        x == y  # noqa: B015
    with pytest.raises(OperationError, match="branches"):
        bool(x)


def test_an_operation_without_emit_is_compiled_from_its_value():
    op = tw.ops.register("bump", lambda x: x * (1.0 - x) + 1.0, "g * (1.0 - 2.0 * x)", "A bump.")
    try:
        f, b, (x, _) = function_of_two(exact=True)
        f.ret(intrinsic_for(op)(b, x.name))
    finally:
        tw.ops.unregister("bump")
    assert NativeFunction(f)(3.0, 0.0) == -5.0


def test_an_operation_whose_value_is_not_arithmetic_needs_an_emit():
    op = tw.ops.register("round_up", lambda x: float(math.ceil(x)), "0.0 * g", "Rounds up.")
    try:
        _, b, (x, _) = function_of_two()
        with pytest.raises(OperationError, match=r"round_up: its value cannot be compiled .*emit="):
            intrinsic_for(op)(b, x.name)
    finally:
        tw.ops.unregister("round_up")
