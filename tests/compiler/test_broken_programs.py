"""The back end of the compiler on programs with a point, and on code that is broken on purpose.

Programs without operations, with numbers that are not finite, with loops in loops that may run
in any order; and for each stage with a verifier or an interpreter, code that it must refuse.
"""

import dataclasses
import math
import random

import numpy as np
import pytest

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.codegen import entry_points, lower
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
    VirtualRegister,
)
from talweg.compiler.passes import adjoint
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.scheduling import schedule
from talweg.errors import CompilerError, NativeError

NOISE = [random.Random(k).uniform(0.1, 0.9) for k in range(50)]

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


@pytest.fixture
def no_unrolling(monkeypatch):
    """Small programs are compiled as large ones are: with loops, jammed, with arrays in memory."""
    monkeypatch.setattr(lower, "_SMALL_PROGRAM", 0)
    monkeypatch.setattr(lower, "_SMALL_LOOP", 0)
    monkeypatch.setattr(entry_points, "_STACK_LIMIT", 0)


# ---- programs with a point -------------------------------------------------------------------


def nested(rows, columns, length):
    """Loops that may run in any order in loops that may, with a sum in each iteration."""

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


SPECIAL = {
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
@pytest.mark.parametrize("name", SPECIAL)
def test_special_programs(name, as_table):
    case = case_of(SPECIAL[name], [0.5, -0.25], [0.3, 0.7, -0.9, 0.2])
    check_stages(case)
    check_native(case, exact=True, as_table=as_table)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308])
@pytest.mark.parametrize("as_table", [False, True])
def test_inputs_that_are_no_usual_numbers(number, as_table):
    def f(w, x):
        return [
            sum(tw.relu(a) + tw.max(a, w[0]) + tw.min(w[1], a) + abs(a) + a**2 for a in x),
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


# ---- what is broken is noticed ---------------------------------------------------------------


def network(w, x):
    """Two neurons after another on five samples, and a recurrence over their results."""
    seen = [tw.tanh(w[1] * tw.tanh(w[0] * a)) for a in x]
    state = 0.25
    for b in seen:
        state = tw.sin(state * w[2]) + b
    return [state]


@pytest.fixture
def case():
    return case_of(network, [0.5, -0.7, 0.9], [0.1, 0.4, -0.3, 0.8, -0.6])


def changed(statements, change):
    """Statements with some of them replaced; those that become None are left out."""
    made = []
    for s in statements:
        new = change(s)
        if isinstance(new, ForLoop):
            new = dataclasses.replace(new, body=changed(new.body, change))
        if new is not None:
            made.append(new)
    return tuple(made)


def replaced_operand(kind, by):
    """A change of the first operand of a kind in every operation forward."""

    def change(s):
        if not isinstance(s, Compute):
            return s
        operands = [by(x) if isinstance(x, kind) else x for x in s.operands]
        return dataclasses.replace(s, operands=tuple(operands))

    return change


def moved(by):
    return lambda x: Element(x.array, Affine(x.index.base + by, x.index.strides))


BREAKS = {
    "an operand left out": (
        lambda s: dataclasses.replace(s, operands=s.operands[1:]) if isinstance(s, Compute) else s,
        "places for",
    ),
    "a target left out": (
        lambda s: dataclasses.replace(s, targets=()) if isinstance(s, Compute) else s,
        "is read before it is written",
    ),
    "a cell that nobody writes": (
        replaced_operand(VirtualRegister, lambda x: VirtualRegister(x.number + 1000)),
        "r10[0-9]+ is read before it is written",
    ),
    "beyond the end": (replaced_operand(Element, moved(100)), "is number 1[0-9]+ of"),
    "before the beginning": (replaced_operand(Element, moved(-1)), "is number -1 of"),
    "an array that is not there": (
        replaced_operand(Element, lambda x: Element("y", x.index)),
        "no array 'y'",
    ),
    "an index for other loops": (
        replaced_operand(Element, lambda x: Element(x.array, Affine(0, (0,) * 7))),
        "is not in",
    ),
    "one iteration too many": (
        lambda s: dataclasses.replace(s, count=Affine(s.count.base + 1, s.count.strides))
        if isinstance(s, ForLoop) else s,
        "is number",
    ),
    "a recurrence in any order": (
        lambda s: dataclasses.replace(s, parallel=True) if isinstance(s, ForLoop) else s,
        "is read before it is written",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_the_verifier_refuses_broken_code(case, name):
    change, words = BREAKS[name]
    scheduled = schedule(find_loops(case.tape))
    scheduled_verifier.verify(scheduled, case.tape.sizes)
    broken = dataclasses.replace(scheduled, forward=changed(scheduled.forward, change))
    with pytest.raises(CompilerError, match=words) as caught:
        scheduled_verifier.verify(broken, case.tape.sizes)
    assert "\n" not in str(caught.value)


def test_the_verifier_refuses_broken_code_that_goes_backward(case):
    scheduled = schedule(find_loops(case.tape))

    def elsewhere(s):
        if not isinstance(s, AccumulateAdjoint):
            return s
        targets = [moved(50)(t) if isinstance(t, Element) else t for t in s.targets]
        return dataclasses.replace(s, targets=tuple(targets))

    broken = dataclasses.replace(scheduled, backward=changed(scheduled.backward, elsewhere))
    with pytest.raises(CompilerError, match=r"is number 5[0-9] of [0-9]+"):
        scheduled_verifier.verify(broken, case.tape.sizes)


def test_the_interpreter_of_scheduled_code_notices_other_numbers(case):
    """Whatever statement is left out, and whatever constant is changed, it shows."""
    scheduled = schedule(find_loops(case.tape))
    shares = []
    changed(
        scheduled.backward, lambda s: shares.append(s) if isinstance(s, AccumulateAdjoint) else s
    )
    assert len(shares) > 5
    for left_out in shares:
        without = changed(scheduled.backward, lambda s, out=left_out: None if s is out else s)
        broken = dataclasses.replace(scheduled, backward=without)
        _, found = scheduled_program.run(broken, case.inputs, case.cotangents)
        assert not same(found["w"], case.gradient["w"])
    other = replaced_operand(Literal, lambda x: Literal(x.number + 1.0))
    broken = dataclasses.replace(scheduled, forward=changed(scheduled.forward, other))
    assert not same(scheduled_program.run(broken, case.inputs)[0], case.outputs)


def test_a_number_that_was_overwritten_must_have_been_kept(case):
    scheduled = schedule(find_loops(case.tape))
    kept = []
    changed(scheduled.forward, lambda s: kept.append(s) if isinstance(s, SaveForBackward) else s)
    assert kept
    for keep in kept:
        without = changed(scheduled.forward, lambda s, out=keep: None if s is out else s)
        broken = dataclasses.replace(scheduled, forward=without)
        _, found = scheduled_program.run(broken, case.inputs, case.cotangents)
        assert not same(found["w"], case.gradient["w"])


def test_the_interpreter_of_the_adjoint_notices_the_wrong_order(case, monkeypatch):
    program = find_loops(case.tape)
    assert same(adjoint.run(program, case.inputs, case.cotangents)["w"], case.gradient["w"])
    right = adjoint.adjoint
    monkeypatch.setattr(adjoint, "adjoint", lambda program: right(program)[::-1])
    assert not same(adjoint.run(program, case.inputs, case.cotangents)["w"], case.gradient["w"])
