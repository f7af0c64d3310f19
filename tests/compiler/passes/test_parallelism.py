"""Parallel loops, compared with the reads of every single operation."""

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


def test_a_loop_whose_last_register_is_an_output_is_not_parallel():
    def f(w, x):
        return [w[0] * a for a in x][-1:]

    found = analyses_of(traced_program(lambda w, x: [tw.tanh(f(w, x)[0])], [0.5], [0.25] * 5))
    assert found.parallel == set(found.iterations.inside) - loops_with_dependences(found)
