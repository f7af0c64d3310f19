"""The back end of the compiler against the eager engine, on random and special programs.

Every stage must give the eager bits, forward and backward; native code too in exact mode, and
in the default mode the eager numbers to 1e-12. The random programs are those of
`random_programs`, the comparison is `backend_cases`.
"""

import ctypes
import math
import random

import numpy as np
import pytest
from backend_cases import (
    R0,
    R1,
    W0,
    case_of,
    check_native,
    check_stages,
    close,
    eager,
    same,
    scheduled_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import PARTS, XS, mixed
from random_cases import random_case, short_enough, well_conditioned
from random_programs import NOISE, SMOOTH, WITH_KINKS
from special_programs import SPECIAL, read_long_after, swapped

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.codegen import entry_points, lower, training_spec
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir import scheduled_program, scheduled_verifier
from talweg.compiler.ir.affine import Affine
from talweg.compiler.ir.scheduled_program import Compute, Element, ForLoop, Literal
from talweg.compiler.runtime import llvm, trainer
from talweg.compiler.runtime.buffers import Memory

# ---- random programs --------------------------------------------------------------------------


KINDS = [SMOOTH, WITH_KINKS]


@pytest.mark.slow
@settings(max_examples=150)
@given(st.integers(0, 10**9), st.integers(0, 1))
def test_every_stage_of_random_programs(seed, kind):
    *_, case = random_case(seed, KINDS[kind])
    if case is not None:
        check_stages(case)


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize("seed", range(0, 12_000, 1000))
def test_exact_native_code_of_random_programs(seed, as_table, kind):
    *_, case = short_enough(seed + 77 * kind, KINDS[kind])
    check_native(case, exact=True, as_table=as_table)


@pytest.mark.slow
@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize("seed", range(100_000, 112_000, 1000))
def test_default_native_code_of_random_programs(seed, as_table):
    check_native(well_conditioned(seed), exact=False, as_table=as_table)


# ---- small programs compiled as large ones ------------------------------------------------------


def as_if_large(monkeypatch, jam, on_stack, quick):
    """Small programs stay in loops, and are laid out and compiled as large ones are."""
    monkeypatch.setattr(lower, "_SMALL_PROGRAM", 0)
    monkeypatch.setattr(lower, "_SMALL_LOOP", 0)
    monkeypatch.setattr(lower, "_JAM", jam)
    if not on_stack:
        monkeypatch.setattr(entry_points, "_STACK_LIMIT", 0)
    if quick:
        monkeypatch.setattr(llvm, "_LONG_TEXT", 0)


WIDTHS = [1, 2, 3, 4]
"""How many iterations of a parallel loop may be computed at once."""


@pytest.mark.parametrize("on_stack", [True, False])
@pytest.mark.parametrize("jam", WIDTHS)
def test_random_programs_that_stay_in_loops(monkeypatch, jam, on_stack):
    as_if_large(monkeypatch, jam, on_stack, quick=False)
    seed = 200_000 + 1000 * (2 * jam + on_stack)
    check_native(well_conditioned(seed, products=True), exact=False)


@pytest.mark.parametrize("on_stack", [True, False])
def test_random_programs_that_stay_in_loops_in_exact_mode(monkeypatch, on_stack):
    as_if_large(monkeypatch, 4, on_stack, quick=False)
    *_, case = short_enough(300_000 + on_stack, WITH_KINKS, products=True)
    check_native(case, exact=True)


@pytest.mark.parametrize("jam", WIDTHS)
def test_random_programs_compiled_with_few_passes(monkeypatch, jam):
    as_if_large(monkeypatch, jam, on_stack=jam % 2 == 0, quick=True)
    check_native(well_conditioned(400_000 + 1000 * jam, products=True), exact=False)


@pytest.mark.parametrize("seed", [500_000, 501_000, 502_000])
def test_random_programs_with_products_as_tables(seed):
    case = well_conditioned(seed, products=True)
    for exact in (False, True):
        check_native(case, exact, as_table=True)


@pytest.mark.parametrize("jam", WIDTHS)
def test_mixtures_that_stay_in_loops(monkeypatch, jam):
    as_if_large(monkeypatch, jam, on_stack=True, quick=False)
    rng = random.Random(jam)
    program = mixed([(part, rng.randrange(3, 9)) for part in rng.choices(PARTS, k=3)], jam)
    case = case_of(lambda w, x: [tw.tanh(w[0] * program(x))], [0.3], XS)
    check_native(case, exact=True)
    check_native(case, exact=False)


def squared(w, x):
    """Matrix products, each of the one before: in the adjoint, indices decrease."""
    matrix = [w[i : i + 4] for i in range(0, 16, 4)]
    for _ in range(5):
        columns = list(zip(*matrix, strict=True))
        matrix = [
            [sum(a * b for a, b in zip(row, c, strict=True)) * 0.3 for c in columns]
            for row in matrix
        ]
    return [matrix[0][0] * x[0]]


_RNG = random.Random(405)
POSITIVE = [_RNG.uniform(0.1, 0.9) for _ in range(16)]


@pytest.mark.parametrize("unrolled", [True, False])
def test_an_index_that_decreases(monkeypatch, unrolled):
    if not unrolled:
        as_if_large(monkeypatch, 4, on_stack=True, quick=False)
    case = case_of(squared, POSITIVE, [0.75])
    check_native(case, exact=True)
    check_native(case, exact=False)


@pytest.mark.parametrize(
    ("blocks", "jam", "in_memory"),
    [(1, 4, False), (1, 3, True), (2, 4, True), (3, 4, False), (8, 4, True)],
)
def test_training_steps_that_stay_in_loops(monkeypatch, blocks, jam, in_memory):
    as_if_large(monkeypatch, jam, on_stack=True, quick=False)
    monkeypatch.setattr(trainer, "lanes_and_blocks", lambda *_: (4, blocks))
    if in_memory:
        monkeypatch.setattr(training_spec, "STACK_LIMIT", 0)
    samples = [[0.125 * k] for k in range(1, 10)]
    found = [eager(squared, POSITIVE, x) for x in samples]
    steps = pipeline.trainer(
        case_of(squared, POSITIVE, samples[0]).tape,
        np.array(samples),
        update=tw.SGD(0.1).update,
        state_size=0,
        trained=16,
        mean=False,
    )
    steps.parameters[:] = POSITIVE
    assert close(steps.take([None], 0.1, 1).losses, [sum(outputs[0] for outputs, _ in found)])
    assert close(steps.gradient, np.sum([gradient["w"] for _, gradient in found], axis=0))


# ---- special programs ---------------------------------------------------------------------------


@pytest.mark.parametrize("f", SPECIAL)
def test_special_programs(f):
    w, x = [0.75, -0.5], [0.9, 0.1, -0.3, 0.7, 0.2, -0.8, 0.4, 0.6, -0.1, 0.5, 0.3]
    case = case_of(f, w, x)
    check_stages(case)
    for as_table in (False, True):
        check_native(case, exact=True, as_table=as_table)
        if np.isfinite([*case.outputs, *case.gradient["w"]]).all():
            check_native(case, exact=False, as_table=as_table)


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308])
def test_parameters_and_inputs_that_are_special_floats(x):
    def f(w, xs):
        state = w[0]
        for number in xs:
            state = tw.tanh(state) * number + tw.max(state, number) - tw.sqrt(number * number)
        return [state, w[1] * xs[0]]

    case = case_of(f, [0.5, x], [x, 0.25, x, -0.5, x])
    check_stages(case)
    check_native(case, exact=True)
    check_native(case, exact=True, as_table=True)


@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize("exact", [False, True])
def test_zeros_have_the_sign_of_the_eager_engine(exact, as_table):
    tape = trace(lambda w: [1.0 / (0.0 - w), 1.0 / (w + 0.0)], tw.Value(1.0)).tape
    compiled = pipeline.executable(tape, exact=exact, as_table=as_table)
    assert compiled.value([0.0], []) == (math.inf, math.inf)
    assert compiled.value([-0.0], []) == (math.inf, math.inf)


@pytest.mark.slow
def test_arrays_that_do_not_fit_on_the_stack():
    def f(w, xs):
        made = [tw.sin(w[0] * x) for x in xs]
        return [sum(a * b for a, b in zip(made, reversed(made), strict=True))]

    case = case_of(f, [0.7], [0.001 * k for k in range(6000)])
    found = check_stages(case)
    assert entry_points.work_size(found) > 4096
    check_native(case, exact=True)
    check_native(case, exact=False)


def test_a_long_program_without_pattern_runs_as_a_table():
    def f(w, xs):
        rng, pool = random.Random(5), [*w, *xs]
        for _ in range(4000):
            choose = rng.choice([tw.sin, tw.tanh, tw.cos])
            pool.append(choose(rng.choice(pool[-40:])) * rng.choice(pool[-40:]) + 0.1)
        return [sum(pool[-40:])]

    case = case_of(f, [0.3, 0.4], [0.5, 0.6])
    assert len(case.tape) > 8000
    compiled = pipeline.executable(case.tape, exact=True)
    assert compiled.scheduled is None
    assert same(compiled.value(case.inputs["w"], case.inputs["x"]), case.outputs)
    found = compiled.gradient(case.inputs["w"], case.inputs["x"], case.cotangents)
    assert same(found["w"], case.gradient["w"])


def test_derivatives_are_added_to_the_given_start_in_the_eager_order():
    case = case_of(swapped, [0.1, 0.2], [0.3] * 9)
    compiled = pipeline.executable(case.tape, exact=True)
    w, x = case.inputs["w"], case.inputs["x"]
    values = [tw.Value(a) for a in w]
    start = [1e-3, -1e3]
    for value, g in zip(values, start, strict=True):
        value.grad = g
    a, b = swapped(values, x)
    (a * 1.0 + b * -0.75).backward()
    found = compiled.gradient(w, x, [1.0, -0.75], {"w": start})
    assert same(found["w"], [value.grad for value in values])


@pytest.mark.parametrize("wrt", [("w",), ("x",), ("x", "w")])
def test_only_the_requested_derivatives_are_computed(wrt):
    case = case_of(read_long_after, [0.1, 0.2], [0.3, 0.1, -0.5, 0.25, 0.75, 0.5])
    w, x = case.inputs["w"], case.inputs["x"]
    for as_table in (False, True):
        compiled = pipeline.executable(case.tape, exact=True, wrt=wrt, as_table=as_table)
        for _ in range(2):
            found = compiled.gradient(w, x, case.cotangents)
            assert tuple(found) == wrt
            assert all(same(found[name], case.gradient[name]) for name in wrt)


# ---- small programs, and parallel loops --------------------------------------------------------


@pytest.fixture
def no_unrolling(monkeypatch):
    """Small programs are compiled as large ones are: with loops, jammed, with arrays in memory."""
    monkeypatch.setattr(lower, "_SMALL_PROGRAM", 0)
    monkeypatch.setattr(lower, "_SMALL_LOOP", 0)
    monkeypatch.setattr(entry_points, "_STACK_LIMIT", 0)


def nested(rows, columns, length):
    """Parallel loops inside a parallel loop, with a sum in each iteration."""

    def f(w, x):
        made = []
        for i in range(rows):
            for j in range(columns):
                total = x[i] * w[0]
                for k in range(length):
                    total = total + tw.tanh(x[j] * w[1]) * x[k]
                made.append(tw.sin(total))
        return [sum(a * a for a in made)]

    return f


@pytest.mark.usefixtures("no_unrolling")
@pytest.mark.parametrize("sizes", [(3, 3, 3), (4, 6, 5), (9, 5, 4), (7, 11, 3)])
def test_jammed_iterations_of_nested_loops_have_registers_of_their_own(sizes):
    case = case_of(nested(*sizes), [0.4, -0.3], NOISE[:12])
    scheduled = check_stages(case)
    outer = next(s for s in scheduled.forward if isinstance(s, ForLoop) and s.parallel)
    assert any(isinstance(s, ForLoop) and s.parallel for s in outer.body)
    check_native(case, exact=False)
    check_native(case, exact=True)


SMALL = {
    "an input": lambda w, x: [x[0]],
    "a parameter": lambda w, x: [w[0]],
    "a constant": lambda w, x: [tw.Value(3.0)],
    "all of them": lambda w, x: [w[0], x[1], tw.Value(3.0), w[0] * x[1]],
    "one result twice": lambda w, x: [w[0] * x[0]] * 2,
    "a result and what it is made of": lambda w, x: [w[0] * x[0], tw.tanh(w[0] * x[0]) * w[1]],
    "a square": lambda w, x: [w[0] * w[0]],
    "constants alone": lambda w, x: [tw.tanh(tw.Value(1.0)) + 2.0],
    "a loop of three": lambda w, x: [sum(w[0] * a for a in x[:3])],
    "huge constants": lambda w, x: [w[0] * 1e308 * x[0] * 100.0],
    "tiny constants": lambda w, x: [w[0] * 5e-324 + x[0] * 1e-308 * 0.25],
    "divisions by zero": lambda w, x: [w[0] / (x[0] - x[0]), (x[1] * 0.0) / (w[1] * 0.0)],
    "many results": lambda w, x: [w[k % 2] * a for k, a in enumerate(x * 3)][:4],
}


@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_small_programs(name, as_table):
    case = case_of(SMALL[name], [0.5, -0.25], [0.3, 0.7, -0.9, 0.2])
    check_stages(case)
    check_native(case, exact=True, as_table=as_table)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308])
@pytest.mark.parametrize("as_table", [False, True])
def test_inputs_that_are_special_floats(number, as_table):
    def f(w, x):
        return [
            sum(
                tw.relu(a) + tw.max(a, w[0]) + tw.min(w[1], a) + abs(a) + tw.ops.pow(a, 2.0)
                for a in x
            ),
            sum(w[0] / a for a in x),
            sum(tw.tanh(w[0] * a) + tw.where(a < w[1], a, tw.exp(a)) + tw.sqrt(a) for a in x),
        ]

    case = case_of(f, [0.5, -0.25], [0.3, number, -0.9, 0.2])
    check_stages(case)
    check_native(case, exact=True, as_table=as_table)


@pytest.mark.parametrize("exact", [True, False])
def test_a_hundred_thousand_operations_in_one_expression(exact):
    def f(w, x):
        total = x[0]
        for _ in range(50_000):
            total = tw.sin(total) * w[0]
        return [total]

    case = case_of(f, [0.999], [1.0])
    compiled = pipeline.executable(case.tape, exact=exact)
    assert compiled.scheduled is not None
    agree = same if exact else close
    assert agree(compiled.value(case.inputs["w"], case.inputs["x"]), case.outputs)
    found = compiled.gradient(case.inputs["w"], case.inputs["x"], [1.0])["w"]
    assert agree(found, case.gradient["w"])


# ---- native code of scheduled programs written by hand -----------------------------------------


def native_outputs(found, inputs, exact=True):
    """Run the native function `value` of a scheduled program."""
    library = llvm.compile(entry_points.kernels(found, exact))
    names = [field.name for field in entry_points.ARGUMENTS.fields]
    sizes = {"w": len(inputs), "out": len(found.outputs)}
    memory = Memory(entry_points.ARGUMENTS, dict.fromkeys(names, 1) | sizes)
    memory["w"][:] = inputs
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.address("value"))(memory.address)
    return memory["out"].tolist()


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("n", [3, 7, 40, 300])
def test_loops_in_native_code_are_those_of_the_interpreter(n, exact):
    """Sums over a triangle: unrolled, and as loops."""
    inner = ForLoop(Affine(1, (1,)), (
        Compute(tw.ops.add, (R0, Element("w", Affine(0, (0, 1)))), (R0,)),
    ))  # fmt: skip
    outer = ForLoop(Affine(n), (
        Compute(tw.ops.mul, (Element("w", Affine(0, (1,))), Literal(0.5)), (R0,)),
        inner,
        Compute(tw.ops.add, (R0, R1), (R1,)),
    ))  # fmt: skip
    start = Compute(tw.ops.add, (W0, Literal(0.0)), (R1,))
    found = scheduled_of([start, outer], outputs=(R1, R0))
    scheduled_verifier.verify(found, {"w": n, "x": 0})
    w = [float(k % 7) for k in range(n)]  # sums of small integers: exact in any order
    expected, _ = scheduled_program.run(found, {"w": w, "x": []})
    assert native_outputs(found, w, exact) == expected
