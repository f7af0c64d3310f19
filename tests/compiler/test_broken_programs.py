"""Scheduled programs and adjoints that are broken on purpose are refused or compute other numbers.

The verifier refuses what would read garbage or crash in native code. Of what it accepts the
reference interpreter must compute other numbers than those of the program that is not broken.
"""

import dataclasses
import random

import pytest
from backend_cases import R0, R1, W0, case_of, same, scheduled_of
from special_programs import read_long_after, swapped, triangle, two_steps_back

import talweg as tw
from talweg.compiler.ir import adjoint_program, scheduled_program, scheduled_verifier
from talweg.compiler.ir.affine import Affine
from talweg.compiler.ir.scheduled_program import (
    AccumulateAdjoint,
    Compute,
    Element,
    ForLoop,
    Literal,
    SaveForBackward,
    VirtualRegister,
)
from talweg.compiler.passes.adjoint import adjoint
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.scheduling import schedule
from talweg.errors import CompilerError

# ---- every small change --------------------------------------------------------------------------


def moved(element, by=1):
    """The same element of an array, one further."""
    index = Affine(element.index.base + by, element.index.strides)
    return dataclasses.replace(element, index=index)


def variants_of(statement):
    """A statement with one of its locations changed: another element, another register."""

    def others(location):
        if isinstance(location, Element):
            yield moved(location)
            yield moved(location, -1)
        elif isinstance(location, VirtualRegister):
            yield VirtualRegister(location.number + 1000, location.derivative)

    for f in dataclasses.fields(statement):
        now = getattr(statement, f.name)
        if isinstance(now, tuple):
            for k, location in enumerate(now):
                for other in others(location):
                    locations = (*now[:k], other, *now[k + 1 :])
                    yield dataclasses.replace(statement, **{f.name: locations})
        else:
            for other in others(now):
                yield dataclasses.replace(statement, **{f.name: other})


def broken(statements):
    """All programs with one location or trip count changed, or one statement left out."""
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
    """The result of a scheduled program: "refused", "stopped", or its numbers."""
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
def test_every_broken_program_is_refused_or_computes_other_numbers(f):
    rng = random.Random(3)
    x = [rng.uniform(-0.9, 0.9) for _ in range(9)]
    case = case_of(f, [0.75, -0.5], x)
    good = schedule(find_loops(case.tape), ("w", "x"))
    right = outcome(good, case)
    assert same(right[0], case.outputs)
    count = {"refused": 0, "stopped": 0}
    all_broken = [dataclasses.replace(good, forward=s) for s in broken(good.forward)]
    all_broken += [dataclasses.replace(good, backward=s) for s in broken(good.backward)]
    for bad in all_broken:
        found = outcome(bad, case)
        if isinstance(found, str):
            count[found] += 1
            continue
        differs = not same(found[0], right[0])
        assert differs or any(not same(found[1][name], right[1][name]) for name in "wx"), bad
    assert count["refused"] > len(all_broken) / 10
    assert count["stopped"] == 0  # the verifier, which is called first, refuses these


# ---- changes of one kind ------------------------------------------------------------------------


def network(w, x):
    """Two neurons one after the other on five samples, and a recurrence over their results."""
    hidden = [tw.tanh(w[1] * tw.tanh(w[0] * a)) for a in x]
    state = 0.25
    for b in hidden:
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
    """A change of all operands of a kind in every operation forward."""

    def change(s):
        if not isinstance(s, Compute):
            return s
        operands = [by(x) if isinstance(x, kind) else x for x in s.operands]
        return dataclasses.replace(s, operands=tuple(operands))

    return change


BREAKS = {
    "an operand left out": (
        lambda s: dataclasses.replace(s, operands=s.operands[1:]) if isinstance(s, Compute) else s,
        "locations for",
    ),
    "a target left out": (
        lambda s: dataclasses.replace(s, targets=()) if isinstance(s, Compute) else s,
        "is read before it is written",
    ),
    "a register that is never written": (
        replaced_operand(VirtualRegister, lambda x: VirtualRegister(x.number + 1000)),
        "r10[0-9]+ is read before it is written",
    ),
    "beyond the end": (
        replaced_operand(Element, lambda x: moved(x, 100)), "has index 1[0-9]+, outside"
    ),
    "before the start": (
        replaced_operand(Element, lambda x: moved(x, -1)), "has index -1, outside"
    ),
    "an array that does not exist": (
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
        "has index",
    ),
    "a recurrence as a parallel loop": (
        lambda s: dataclasses.replace(s, parallel=True) if isinstance(s, ForLoop) else s,
        "is read before it is written",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_the_verifier_refuses_broken_statements(case, name):
    change, words = BREAKS[name]
    scheduled = schedule(find_loops(case.tape))
    scheduled_verifier.verify(scheduled, case.tape.sizes)
    broken = dataclasses.replace(scheduled, forward=changed(scheduled.forward, change))
    with pytest.raises(CompilerError, match=words) as caught:
        scheduled_verifier.verify(broken, case.tape.sizes)
    assert "\n" not in str(caught.value)


def test_the_verifier_refuses_broken_statements_of_the_adjoint(case):
    scheduled = schedule(find_loops(case.tape))

    def elsewhere(s):
        if not isinstance(s, AccumulateAdjoint):
            return s
        targets = [moved(t, 50) if isinstance(t, Element) else t for t in s.targets]
        return dataclasses.replace(s, targets=tuple(targets))

    broken = dataclasses.replace(scheduled, backward=changed(scheduled.backward, elsewhere))
    with pytest.raises(CompilerError, match=r"has index 5[0-9], outside"):
        scheduled_verifier.verify(broken, case.tape.sizes)


def test_the_interpreter_computes_other_numbers_without_a_statement_or_with_another_constant(case):
    scheduled = schedule(find_loops(case.tape))
    found = []
    changed(
        scheduled.backward, lambda s: found.append(s) if isinstance(s, AccumulateAdjoint) else s
    )
    assert len(found) > 5
    for left_out in found:
        without = changed(scheduled.backward, lambda s, out=left_out: None if s is out else s)
        broken = dataclasses.replace(scheduled, backward=without)
        _, grads = scheduled_program.run(broken, case.inputs, case.cotangents)
        assert not same(grads["w"], case.gradient["w"])
    other = replaced_operand(Literal, lambda x: Literal(x.number + 1.0))
    broken = dataclasses.replace(scheduled, forward=changed(scheduled.forward, other))
    assert not same(scheduled_program.run(broken, case.inputs)[0], case.outputs)


def test_a_value_that_the_adjoint_needs_must_be_saved(case):
    scheduled = schedule(find_loops(case.tape))
    saved = []
    changed(scheduled.forward, lambda s: saved.append(s) if isinstance(s, SaveForBackward) else s)
    assert saved
    for save in saved:
        without = changed(scheduled.forward, lambda s, out=save: None if s is out else s)
        broken = dataclasses.replace(scheduled, forward=without)
        _, grads = scheduled_program.run(broken, case.inputs, case.cotangents)
        assert not same(grads["w"], case.gradient["w"])


# ---- the verifier of scheduled programs ----------------------------------------------------------

W9 = Element("w", Affine(9))
ADD = tw.ops.add
WEIGHT_PLUS_ONE = Compute(ADD, (Element("w", Affine(0, (1,))), Literal(1.0)), (R0,))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (scheduled_of([Compute(ADD, (R0, W0), (R1,))]), "r0 is read before it is written"),
        (scheduled_of([], outputs=(R1,)), "r1 is read before it is written"),
        (scheduled_of([SaveForBackward(R0, W0)]), "r0 is read before it is written"),
        (scheduled_of([Compute(ADD, (W9, W0), (R0,))]), "index 9, outside the 3 numbers"),
        (scheduled_of([Compute(ADD, (W0, W0), (Element("a", Affine(0)),))]), "no array 'a'"),
        (scheduled_of([Compute(ADD, (W0,), (R0,))]), "1 locations for 2 operands"),
        (scheduled_of([ForLoop(Affine(4), (WEIGHT_PLUS_ONE,))]), "index 3, outside the 3 numbers"),
        (scheduled_of([ForLoop(Affine(3), (Compute(ADD, (W0, W0), (R0,)),))]), "not in 1 loops"),
        (scheduled_of([], cotangents=(W9,)), "index 9, outside the 3 numbers"),
        (
            scheduled_of([], [AccumulateAdjoint(ADD, W0, (None, None), None, (W9, None))]),
            "index 9, outside the 3 numbers",
        ),
    ],
)
def test_the_verifier_names_the_error(bad, words):
    with pytest.raises(CompilerError, match=words) as caught:
        scheduled_verifier.verify(bad, {"w": 3, "x": 0})
    assert "\n" not in str(caught.value)


def test_the_scheduler_calls_the_verifier(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "talweg.compiler.passes.scheduling.verify", lambda *found: calls.append(found)
    )
    case = case_of(swapped, [0.75, -0.5], [0.5] * 9)
    found = schedule(find_loops(case.tape))
    assert calls == [(found, case.tape.sizes)]


def test_the_verifier_takes_no_longer_for_more_iterations(monkeypatch):
    """It visits three iterations of a loop, not all of them."""
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


# ---- adjoints -----------------------------------------------------------------------------------


def test_an_adjoint_in_another_order_computes_other_numbers():
    case = case_of(two_steps_back, [0.5, 0.25], [0.3, -0.4, 0.5, 0.75, 0.1])
    right = adjoint(find_loops(case.tape))
    found = adjoint_program.run(right, case.inputs, case.cotangents)
    assert same(found["w"], case.gradient["w"])
    assert len(right.body) > 1
    wrong = dataclasses.replace(right, body=right.body[::-1])
    assert not same(adjoint_program.run(wrong, case.inputs, case.cotangents)["w"], found["w"])
