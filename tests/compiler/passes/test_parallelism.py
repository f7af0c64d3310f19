"""Parallel loops, compared with the reads of every single operation."""

import pytest
from analysed import analyses_of, execution, operands_of, random_program, traced_program
from hypothesis import given, settings
from hypothesis import strategies as st

import talweg as tw


def loops_with_dependences(found):
    """The loops in which an iteration needs another one, or whose registers are read outside."""
    program, storage, number = found.program, found.storage, found.iterations.number
    done = execution(program)
    dependent = set()
    for n, (_, point, around) in enumerate(done):
        for space, k in operands_of(program.tape, n):
            if space != "t":
                continue
            maker, made_at, made_around = done[k]
            for depth, loop in enumerate(made_around):
                if loop not in around:
                    if storage.in_register[number[maker]]:
                        dependent.add(loop)
                elif point[:depth] == made_at[:depth] and point[depth] != made_at[depth]:
                    dependent.add(loop)
    for s, k in program.tape.outputs:
        if program.tape.spaces[s] == "t" and storage.in_register[number[done[k][0]]]:
            dependent |= set(done[k][2])
    return dependent


@settings(max_examples=150)
@given(st.integers(0, 10**6))
def test_a_loop_is_parallel_if_no_operation_depends_on_another_iteration(seed):
    program = random_program(seed)
    if program is None:
        return
    found = analyses_of(program)
    assert found.parallel == set(found.iterations.inside) - loops_with_dependences(found)


def test_independent_iterations_are_parallel_and_a_recurrence_is_not():
    def f(w, x):
        made = [tw.tanh(w[0] * a) for a in x]
        state = 0.25
        for a in made:
            state = tw.sin(state * w[1]) + a
        return [state]

    found = analyses_of(traced_program(f, [0.5, 0.25], [0.1 * k for k in range(6)]))
    names = [node.op.name for node in found.iterations.instructions]
    by_name = {
        name: any(loop in found.parallel for loop in around)
        for name, around in zip(names, found.iterations.around, strict=True)
        if around
    }
    assert by_name["tanh"]
    assert not by_name["sin"]


def parallel_names(f):
    """The operations in parallel loops, those whose innermost loop is parallel."""
    found = analyses_of(traced_program(f, [0.5, 0.25], [0.1 * k for k in range(8)]))
    assert found.parallel == set(found.iterations.inside) - loops_with_dependences(found)
    pairs = zip(found.iterations.instructions, found.iterations.around, strict=True)
    return {node.op.name for node, around in pairs if around and around[-1] in found.parallel}


@pytest.mark.parametrize("last", ["an output", "read", "not read"])
def test_a_loop_whose_last_register_is_used_outside_is_not_parallel(last):
    def f(w, x):
        made = []
        for a in x:
            inner = tw.tanh(w[0] * a)
            made.append(tw.sin(inner))
        total = sum(a * b for a, b in zip(made, reversed(made), strict=True))
        return {
            "an output": [total, inner],
            "read": [total * inner],
            "not read": [total],
        }[last]

    assert ("tanh" in parallel_names(f)) == (last == "not read")


def test_a_loop_that_reads_an_earlier_execution_of_itself_is_parallel():
    """Each state is a function of the state before in reverse order."""

    def f(w, x):
        state = x
        for _ in range(5):
            state = [tw.tanh(w[0] * a) for a in reversed(state)]
        return [sum(a * a for a in state)]

    found = analyses_of(traced_program(f, [0.5], [0.1 * k for k in range(8)]))
    nested = {around for around in found.iterations.around if len(around) == 2}
    assert nested
    for outer, inner in nested:
        assert inner in found.parallel
        assert outer not in found.parallel
