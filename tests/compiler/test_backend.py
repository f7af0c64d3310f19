"""The back end of the compiler against the eager engine: random, special and broken programs.

Every stage must give the eager bits, forward and backward; native code too in exact mode, and
in the default mode the eager numbers to 1e-12. The random programs are `random_programs`.

Start reading at `check_stages` and `check_native`.
"""

import ctypes
import dataclasses
import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import PARTS, XS, mixed
from random_programs import NOISE, SMOOTH, WITH_KINKS, Author, TooLongError, computed

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.codegen import entry_points, lower, training_spec
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir import loop_program, scheduled_program, scheduled_verifier, tape
from talweg.compiler.ir.loop_program import Affine
from talweg.compiler.ir.scheduled_program import (
    AccumulateAdjoint,
    Compute,
    Element,
    ForLoop,
    Literal,
    SaveForBackward,
    ScheduledProgram,
    VirtualRegister,
)
from talweg.compiler.passes import adjoint
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.scheduling import schedule
from talweg.compiler.runtime import llvm, trainer
from talweg.compiler.runtime.buffers import Memory
from talweg.errors import CompilerError, NativeError

# ---- the oracle ---------------------------------------------------------------------------------

SEEDS = [1.0, -0.75, 2.5, 0.5]
"""Derivatives of a final result by the outputs; sums of a few of them have no rounding."""


@dataclasses.dataclass
class Case:
    """A program, traced, and what the eager engine says of it."""

    tape: tape.Tape
    inputs: dict
    cotangents: list
    outputs: list
    gradient: dict


def eager(f, w, x):
    """Outputs, and derivatives of the seeds' combination of them, by Values alone."""
    ws, xs = [tw.Value(a) for a in w], [tw.Value(a) for a in x]
    outputs = f(ws, xs)
    total = 0.0
    for seed, out in zip(SEEDS, outputs, strict=False):
        total = total + seed * out
    total.backward()
    return [out.data for out in outputs], {"w": [p.grad for p in ws], "x": [p.grad for p in xs]}


def case_of(f, w, x):
    """Trace a program f(parameters, inputs) -> list of Values."""
    outputs, gradient = eager(f, w, x)
    parameters = [tw.Value(a) for a in w]
    traced = trace(f, parameters, x)
    read = [parameters.index(p) for p in traced.parameters]  # the others are not on the tape
    gradient["w"] = [gradient["w"][k] for k in read]
    inputs = {"w": [p.data for p in traced.parameters], "x": traced.inputs}
    return Case(traced.tape, inputs, SEEDS[: len(outputs)], outputs, gradient)


def same(a, b):
    """Equal to the bit, where any nan equals any other."""
    a, b = np.array(a, np.float64), np.array(b, np.float64)
    equal = (a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b))
    return a.shape == b.shape and bool(equal.all())


def close(a, b):
    """Equal to 1e-12 of the largest."""
    a, b = np.array(a, np.float64), np.array(b, np.float64)
    return bool(np.abs(a - b).max(initial=0.0) <= 1e-12 * max(1.0, np.abs(b).max(initial=0.0)))


def check_stages(case):
    """Every interpreter gives the eager bits; returns the scheduled code, if there is one."""
    tape.verify(case.tape)
    assert same(tape.run(case.tape, case.inputs), case.outputs)
    program = find_loops(case.tape)
    assert same(loop_program.run(program, case.inputs), case.outputs)
    found = adjoint.run(program, case.inputs, case.cotangents)
    assert same(found["w"], case.gradient["w"])
    assert same(found["x"], case.gradient["x"])
    try:
        both = schedule(program, ("w", "x"))
        one = schedule(program, ("w",))
    except NativeError:
        return None
    for scheduled in (both, one):
        scheduled_verifier.verify(scheduled, case.tape.sizes)
        outputs, found = scheduled_program.run(scheduled, case.inputs, case.cotangents)
        assert same(outputs, case.outputs)
        assert tuple(found) == scheduled.wrt
        assert all(same(found[name], case.gradient[name]) for name in found)
    return both


def check_native(case, exact, as_table=False):
    """Native code gives the eager numbers, at the first call and at the second."""
    agree = same if exact else close
    compiled = pipeline.executable(case.tape, exact=exact, wrt=("w", "x"), as_table=as_table)
    w, x = case.inputs["w"], case.inputs["x"]
    for _ in range(2):
        assert agree(compiled.value(w, x), case.outputs)
        found = compiled.gradient(w, x, case.cotangents)
        assert agree(found["w"], case.gradient["w"])
        assert agree(found["x"], case.gradient["x"])


def drawn_case(description, w, x):
    """The case of a random program, unless it is too long."""
    try:
        return case_of(lambda w, x: computed(description, w, x), w, x)
    except TooLongError:
        return None


def random_case(seed, names, products=False):
    """A description, parameters, inputs and the case; None for a program that is too long."""
    description, w, x = Author(seed, names, products).program()
    return description, w, x, drawn_case(description, w, x)


def is_well_conditioned(description, w, x, case):
    """Whether what moves the numbers by 1e-9 moves outputs and gradient by little more."""
    moved = [[a * (1.0 + 1e-9 * (-1) ** k) for k, a in enumerate(part)] for part in (w, x)]
    again = drawn_case(description, *moved)
    then = [*case.outputs, *case.gradient["w"], *case.gradient["x"]]
    now = [*again.outputs, *again.gradient["w"], *again.gradient["x"]]
    if not np.isfinite(then).all():
        return False
    steps = np.abs(np.array(now) - np.array(then)).max()
    return bool(steps <= 1e-8 * max(1.0, np.abs(then).max()))


# ---- random programs: all stages --------------------------------------------------------------

KINDS = [SMOOTH, WITH_KINKS]


@settings(max_examples=150)
@given(st.integers(0, 10**9), st.integers(0, 1))
def test_every_stage_of_random_programs(seed, kind):
    *_, case = random_case(seed, KINDS[kind])
    if case is not None:
        check_stages(case)


def short_enough(seed, names, products=False):
    """The first random case from a seed on that is not too long, and has a loop."""
    for k in range(seed, seed + 1000):
        description, w, x, case = random_case(k, names, products)
        if case is not None and find_loops(case.tape).loops:
            return description, w, x, case
    raise AssertionError("no such program")


def well_conditioned(seed, products=False):
    """The first random case from a seed on that rounding hardly changes."""
    for k in range(seed, seed + 1000):
        description, w, x, case = short_enough(k, SMOOTH, products)
        if is_well_conditioned(description, w, x, case):
            return case
    raise AssertionError("no such program")


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize("seed", range(0, 12_000, 1000))
def test_exact_native_code_of_random_programs(seed, as_table, kind):
    *_, case = short_enough(seed + 77 * kind, KINDS[kind])
    check_native(case, exact=True, as_table=as_table)


@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize("seed", range(100_000, 112_000, 1000))
def test_default_native_code_of_random_programs(seed, as_table):
    check_native(well_conditioned(seed), exact=False, as_table=as_table)


# ---- the ways of large programs -----------------------------------------------------------------


def as_if_large(monkeypatch, jam, on_stack, quick):
    """Small programs keep their loops, and are laid out and compiled as told."""
    monkeypatch.setattr(lower, "_SMALL_PROGRAM", 0)
    monkeypatch.setattr(lower, "_SMALL_LOOP", 0)
    monkeypatch.setattr(lower, "_JAM", jam)
    if not on_stack:
        monkeypatch.setattr(entry_points, "_STACK_LIMIT", 0)
    if quick:
        monkeypatch.setattr(llvm, "_LONG_TEXT", 0)


WIDTHS = [1, 2, 3, 4]
"""How many iterations of a parallel loop may be computed side by side."""


@pytest.mark.parametrize("on_stack", [True, False])
@pytest.mark.parametrize("jam", WIDTHS)
def test_random_programs_that_keep_their_loops(monkeypatch, jam, on_stack):
    as_if_large(monkeypatch, jam, on_stack, quick=False)
    seed = 200_000 + 1000 * (2 * jam + on_stack)
    check_native(well_conditioned(seed, products=True), exact=False)


@pytest.mark.parametrize("on_stack", [True, False])
def test_random_programs_that_keep_their_loops_in_exact_mode(monkeypatch, on_stack):
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
def test_mixtures_that_keep_their_loops(monkeypatch, jam):
    as_if_large(monkeypatch, jam, on_stack=True, quick=False)
    rng = random.Random(jam)
    program = mixed([(part, rng.randrange(3, 9)) for part in rng.choices(PARTS, k=3)], jam)
    case = case_of(lambda w, x: [tw.tanh(w[0] * program(x))], [0.3], XS)
    check_native(case, exact=True)
    check_native(case, exact=False)


def squared(w, x):
    """Matrix products, each of the one before: going backward, indices fall."""
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
def test_an_index_that_falls(monkeypatch, unrolled):
    if not unrolled:
        as_if_large(monkeypatch, 4, on_stack=True, quick=False)
    case = case_of(squared, POSITIVE, [0.75])
    check_native(case, exact=True)
    check_native(case, exact=False)


@pytest.mark.parametrize(
    ("blocks", "jam", "in_memory"),
    [(1, 4, False), (1, 3, True), (2, 4, True), (3, 4, False), (8, 4, True)],
)
def test_training_steps_that_keep_their_loops(monkeypatch, blocks, jam, in_memory):
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


# ---- programs with something special about them -------------------------------------------------


def swapped(w, x):
    a, b = w[0], w[1]
    for number in x:
        a, b = b, tw.tanh(a * number + b)
    return [a, b]


def two_steps_back(w, x):
    old, now = w[0], w[1]
    for number in x:
        old, now = now, 0.5 * now + 0.25 * old * number
    return [now]


def read_long_after(w, x):
    seen, state = [], w[0]
    for number in x:
        state = tw.tanh(state * w[1] + number)
        seen.append(state)
    total = 0.0
    for k in range(len(x)):
        total = total + seen[-1 - k] * seen[k // 2]
    return [total, seen[3]]


def triangle(w, x):
    made = []
    for i, number in enumerate(x):
        total = w[0] * number
        for j in range(i):
            total = total + made[j] * x[i - j]
        made.append(tw.tanh(total))
    return [made[-1]]


def shrinking(w, x):
    row = [w[0] * number for number in x]
    while len(row) > 1:
        row = [tw.tanh(a * b + w[1]) for a, b in pairwise(row)]
    return row


def three_loops(w, x):
    """A loop in a loop in a loop, all but the innermost parallel: jammed twice."""
    outputs = []
    for i in range(9):
        for j in range(11):
            total = w[j % 2] * x[i]
            for k in range(13):
                total = total + w[(j + k) % 2] * x[(i + k) % len(x)]
            outputs.append(tw.tanh(total))
    return [sum(out * out for out in outputs)]


def dead_branches(w, x):
    total = w[0]
    for k, number in enumerate(x):
        total = total + tw.where(float(k % 2), number * w[1], tw.log(number - 5.0))
    return [total]


def constants_that_vary(w, x):
    total = 0.0
    for k, number in enumerate(x):
        total = total * (0.5 if k % 3 else 0.25) + (number - NOISE[k]) * w[0]
    return [total]


def nothing(w, x):
    return [w[0], tw.Value(3.0), w[1], w[0]]


def outputs_of_every_kind(w, x):
    total = tw.tanh(w[0] * x[0])
    return [total, w[1], x[1] + 0.0 * total, total]


def not_read(w, x):
    return [w[1] * 2.0 + 0.0 * x[0]]


def infinite(w, x):
    return [tw.exp(w[0] * 1e6) * x[0] + tw.log(w[1] - w[1]) * 1e300]


SPECIAL = [
    swapped, two_steps_back, read_long_after, triangle, shrinking, three_loops, dead_branches,
    constants_that_vary, nothing, outputs_of_every_kind, not_read, infinite,
]  # fmt: skip


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
def test_odd_numbers(x):
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


def test_derivatives_are_added_to_what_is_there_in_the_eager_order():
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
def test_only_what_is_wanted(wrt):
    case = case_of(read_long_after, [0.1, 0.2], [0.3, 0.1, -0.5, 0.25, 0.75, 0.5])
    w, x = case.inputs["w"], case.inputs["x"]
    for as_table in (False, True):
        compiled = pipeline.executable(case.tape, exact=True, wrt=wrt, as_table=as_table)
        for _ in range(2):
            found = compiled.gradient(w, x, case.cotangents)
            assert tuple(found) == wrt
            assert all(same(found[name], case.gradient[name]) for name in wrt)


# ---- programs that are broken on purpose --------------------------------------------------------


def moved(place, by=1):
    """The same element of an array, one further."""
    index = Affine(place.index.base + by, place.index.strides)
    return dataclasses.replace(place, index=index)


def variants_of(statement):
    """A statement with one of its places spoilt: another element, another cell."""

    def spoilt(place):
        if isinstance(place, Element):
            yield moved(place)
            yield moved(place, -1)
        elif isinstance(place, VirtualRegister):
            yield VirtualRegister(place.number + 1000, place.derivative)

    for f in dataclasses.fields(statement):
        now = getattr(statement, f.name)
        if isinstance(now, tuple):
            for k, place in enumerate(now):
                for other in spoilt(place):
                    changed = (*now[:k], other, *now[k + 1 :])
                    yield dataclasses.replace(statement, **{f.name: changed})
        else:
            for other in spoilt(now):
                yield dataclasses.replace(statement, **{f.name: other})


def broken(statements):
    """All that comes of spoiling one place, or one trip count, or leaving out one statement."""
    for k, s in enumerate(statements):
        before, after = statements[:k], statements[k + 1 :]
        yield before + after
        if isinstance(s, ForLoop):
            for by in (-1, 1):
                count = Affine(s.count.base + by, s.count.strides)
                yield (*before, dataclasses.replace(s, count=count), *after)
            for body in broken(s.body):
                yield (*before, dataclasses.replace(s, body=body), *after)
        else:
            for other in variants_of(s):
                yield (*before, other, *after)


def outcome(found, case):
    """What becomes of scheduled code: refused, stopped, or its numbers."""
    try:
        scheduled_verifier.verify(found, case.tape.sizes)
    except CompilerError:
        return "refused"
    try:
        outputs, grads = scheduled_program.run(found, case.inputs, case.cotangents)
    except (IndexError, KeyError):
        return "stopped"
    return outputs, grads


@pytest.mark.parametrize("f", [swapped, read_long_after, triangle, two_steps_back])
def test_every_broken_code_is_refused_or_gives_other_numbers(f):
    rng = random.Random(3)
    x = [rng.uniform(-0.9, 0.9) for _ in range(9)]
    case = case_of(f, [0.75, -0.5], x)
    good = schedule(find_loops(case.tape), ("w", "x"))
    right = outcome(good, case)
    assert same(right[0], case.outputs)
    count = {"refused": 0, "stopped": 0}
    spoilt = [dataclasses.replace(good, forward=s) for s in broken(good.forward)]
    spoilt += [dataclasses.replace(good, backward=s) for s in broken(good.backward)]
    for bad in spoilt:
        found = outcome(bad, case)
        if isinstance(found, str):
            count[found] += 1
            continue
        differs = not same(found[0], right[0])
        assert differs or any(not same(found[1][name], right[1][name]) for name in "wx"), bad
    assert count["refused"] > len(spoilt) / 10
    assert count["stopped"] == 0  # the verifier is asked first, and knows


def text_of(forward, backward=(), arrays=None, outputs=(), cotangents=()):
    return ScheduledProgram(
        tuple(forward), tuple(backward), arrays or {}, outputs, cotangents, [], ("w",)
    )


R0, R1 = VirtualRegister(0), VirtualRegister(1)
W0, W9 = Element("w", Affine(0)), Element("w", Affine(9))
ADD = tw.ops.add
ACROSS = Compute(ADD, (Element("w", Affine(0, (1,))), Literal(1.0)), (R0,))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (text_of([Compute(ADD, (R0, W0), (R1,))]), "r0 is read before it is written"),
        (text_of([], outputs=(R1,)), "r1 is read before it is written"),
        (text_of([SaveForBackward(R0, W0)]), "r0 is read before it is written"),
        (text_of([Compute(ADD, (W9, W0), (R0,))]), "number 9 of 3"),
        (text_of([Compute(ADD, (W0, W0), (Element("a", Affine(0)),))]), "no array 'a'"),
        (text_of([Compute(ADD, (W0,), (R0,))]), "1 places for 2 operands"),
        (text_of([ForLoop(Affine(4), (ACROSS,))]), "number 3 of 3"),
        (text_of([ForLoop(Affine(3), (Compute(ADD, (W0, W0), (R0,)),))]), "not in 1 loops"),
        (text_of([], cotangents=(W9,)), "number 9 of 3"),
        (
            text_of([], [AccumulateAdjoint(ADD, W0, (None, None), None, (W9, None))]),
            "number 9 of 3",
        ),
    ],
)
def test_the_verifier_of_code_says_what_is_wrong(bad, words):
    with pytest.raises(CompilerError, match=words) as caught:
        scheduled_verifier.verify(bad, {"w": 3, "x": 0})
    assert "\n" not in str(caught.value)


def test_the_verifier_of_code_is_called_by_the_scheduler(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "talweg.compiler.passes.scheduling.verify", lambda *found: seen.append(found)
    )
    case = case_of(swapped, [0.75, -0.5], [0.5] * 9)
    found = schedule(find_loops(case.tape))
    assert seen == [(found, case.tape.sizes)]


def test_the_verifier_takes_no_longer_for_more_iterations(monkeypatch):
    """It visits corners of loops, not all iterations."""
    visits = []
    at = Affine.at
    monkeypatch.setattr(Affine, "at", lambda self, point: visits.append(1) or at(self, point))
    counts = []
    for n in (20, 200):
        case = case_of(two_steps_back, [0.5, 0.25], [0.01] * n)
        found = schedule(find_loops(case.tape))
        visits.clear()
        scheduled_verifier.verify(found, case.tape.sizes)
        counts.append(len(visits))
    assert counts[0] == counts[1] > 0


def test_an_adjoint_in_another_order_gives_other_numbers(monkeypatch):
    case = case_of(two_steps_back, [0.5, 0.25], [0.3, -0.4, 0.5, 0.75, 0.1])
    program = find_loops(case.tape)
    right = adjoint.run(program, case.inputs, case.cotangents)
    assert same(right["w"], case.gradient["w"])
    steps = adjoint.adjoint(program)
    assert len(steps) > 1
    monkeypatch.setattr(adjoint, "adjoint", lambda _: tuple(reversed(steps)))
    assert not same(adjoint.run(program, case.inputs, case.cotangents)["w"], right["w"])


# ---- native code of a scheduled program built by hand -------------------------------------------


def native_outputs(found, inputs, exact=True):
    """Run the function `value` of scheduled code."""
    library = llvm.compile(entry_points.kernels(found, exact))
    names = [field.name for field in entry_points.ARGUMENTS.fields]
    sizes = {"w": len(inputs), "out": len(found.outputs)}
    memory = Memory(entry_points.ARGUMENTS, dict.fromkeys(names, 1) | sizes)
    memory["w"][:] = inputs
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.address("value"))(memory.address)
    return memory["out"].tolist()


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("n", [3, 7, 40, 300])
def test_loops_in_machine_code_are_those_of_the_interpreter(n, exact):
    """Sums over a triangle: unrolled, and as loops."""
    inner = ForLoop(Affine(1, (1,)), (
        Compute(ADD, (R0, Element("w", Affine(0, (0, 1)))), (R0,)),
    ))  # fmt: skip
    outer = ForLoop(Affine(n), (
        Compute(tw.ops.mul, (Element("w", Affine(0, (1,))), Literal(0.5)), (R0,)),
        inner,
        Compute(ADD, (R0, R1), (R1,)),
    ))  # fmt: skip
    start = Compute(ADD, (W0, Literal(0.0)), (R1,))
    found = text_of([start, outer], outputs=(R1, R0))
    scheduled_verifier.verify(found, {"w": n, "x": 0})
    w = [float(k % 7) for k in range(n)]  # sums of small integers are exact in any order
    expected, _ = scheduled_program.run(found, {"w": w, "x": []})
    assert native_outputs(found, w, exact) == expected
