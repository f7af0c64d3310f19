"""Which functions are inlined: all of a short program, the shortest parts of a long one."""

import random
import time

import pytest
from stages import check

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.codegen import entry_points, inlining
from talweg.compiler.codegen.builder import DOUBLE, Module, Parameter
from talweg.compiler.codegen.inlining import inlined_functions
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.operations import apply
from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.scheduling import schedule


class Function:
    def __init__(self, length, calls=(), inline=True):
        self.length = length
        self.calls = dict(calls)
        self.inline = inline

    def __len__(self):
        return self.length


@pytest.fixture(autouse=True)
def _limit(monkeypatch):
    monkeypatch.setattr(inlining, "LONGEST_EXPANSION", 100)


def test_a_short_program_has_all_its_functions_in_place():
    tanh, power = Function(20), Function(30)
    main = Function(500, {tanh: 2, power: 2}, inline=None)
    assert inlined_functions([main, tanh, power]) == {tanh, power}


def test_the_function_with_most_instructions_in_place_remains_a_call():
    tanh, power = Function(20), Function(30)
    main = Function(500, {tanh: 4, power: 1}, inline=None)
    assert inlined_functions([main, tanh, power]) == {power}


def test_calls_of_all_functions_count():
    tanh = Function(20)
    value, gradient = (Function(9, {tanh: 3}, inline=None) for _ in range(2))
    assert inlined_functions([value, tanh]) == {tanh}
    assert inlined_functions([value, gradient, tanh]) == set()


def test_functions_that_are_not_to_be_inlined_do_not_count():
    step = Function(1000, inline=False)
    main = Function(9, {step: 9}, inline=None)
    assert inlined_functions([main, step]) == set()


def test_a_body_in_place_is_there_with_the_bodies_that_it_contains():
    exp = Function(30)
    mish = Function(10, {exp: 2})
    twice, thrice = (Function(9, {mish: n}, inline=None) for n in (1, 2))
    assert inlined_functions([twice, mish, exp]) == {mish, exp}
    assert inlined_functions([thrice, mish, exp]) == {mish}  # 2 * (10 + 2 * 30) are too many


def test_a_function_that_remains_a_call_has_bodies_in_it():
    exp = Function(30)
    mish = Function(40, {exp: 1})
    main = Function(9, {mish: 3}, inline=None)
    assert inlined_functions([main, mish, exp]) == {exp}


def test_the_text_of_a_module_says_which():
    module = Module()
    f = module.function("f", [Parameter("x", DOUBLE)], DOUBLE)
    b, x = NumberBuilder(f), f.parameters["x"]
    once = apply(b, tw.ops.sigmoid, x)
    assert "@sigmoid.1.0(double %x) alwaysinline {" in str(module)
    result = apply(b, tw.ops.tanh, apply(b, tw.ops.tanh, apply(b, tw.ops.tanh, once)))
    f.ret(result)
    assert "@sigmoid.1.0(double %x) alwaysinline {" in str(module)
    assert "@tanh.1.1(double %x) noinline {" in str(module)


def test_most_constants_are_arguments():
    f = Module().function("f", [Parameter("x", DOUBLE)], DOUBLE)
    b, x = NumberBuilder(f), f.parameters["x"]
    for k in range(100):
        apply(b, tw.ops.pow, x, b.constant(1.1 + k))
    own = [g for g in f.module.functions if len(g.parameters) == 1 and g is not f]
    general = [g for g in f.module.functions if len(g.parameters) == 2]
    assert len(own) == 8
    assert [f.calls[g] for g in general] == [92]


# ---- programs -----------------------------------------------------------------------------------


def of_many_operations(xs):
    rng, numbers = random.Random(4), list(xs)
    for k in range(60):
        a, b = rng.choice(numbers), rng.choice(numbers)
        operation = [tw.tanh, tw.sin, tw.softplus, tw.exp][k % 4]
        numbers.append(operation(a - b) + abs(a) ** (1.25 + 0.125 * k) * 0.25 + abs(b) ** abs(a))
    return sum(numbers)


@pytest.mark.parametrize("longest", [0, 1000, 10**9])
def test_calls_compute_what_bodies_in_place_do(longest, monkeypatch):
    xs = [tw.Value(0.125 * k - 0.5) for k in range(9)]
    tape = trace(of_many_operations, xs).tape
    numbers, results = [x.data for x in xs], []
    for limit in (longest, 10**9):
        monkeypatch.setattr(inlining, "LONGEST_EXPANSION", limit)
        results.append(pipeline.executable(tape).value_and_gradient(numbers, [], [1.0]))
    assert results[0] == results[1]
    check(of_many_operations, xs, native=True)


def test_the_time_to_compile_does_not_explode(monkeypatch):
    """250 powers, all in place, take LLVM more than a minute; as calls they take half a second."""
    monkeypatch.undo()
    xs = [tw.Value(0.5 + 0.001 * k) for k in range(250)]
    tape = trace(lambda xs: sum((x**x for x in xs), 0.0), xs).tape
    assert "pow.1.0(double %x, double %y) noinline" in entry_points.kernels(
        schedule(find_loops(tape)), exact=False
    )
    start = time.process_time()
    pipeline.executable(tape)
    assert time.process_time() - start < 10.0
