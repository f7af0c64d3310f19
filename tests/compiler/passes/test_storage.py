"""Storage classes: united by common reads, and in registers where a simulated register suffices."""

import pytest
from analysed import analyses_of, execution, operands_of, random_program, traced_program
from hypothesis import given, settings
from hypothesis import strategies as st

import talweg as tw
from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.find_loops import find_loops
from talweg.errors import NativeError

seeds = st.integers(0, 10**6)


def united(definitions, count):
    """Sets of instructions, united as long as two have a reader in common."""
    classes = [{i} for i in range(count)]
    for makers in definitions.values():
        common = [one for one in classes if one & set(makers)]
        classes = [one for one in classes if not one & set(makers)] + [set().union(*common)]
    return sorted(map(sorted, classes))


@settings(max_examples=60)
@given(seeds)
def test_instructions_with_a_common_reader_share_a_class(seed):
    program = random_program(seed)
    if program is None:
        return
    found = analyses_of(program)
    of = found.storage.class_of.tolist()
    own = [[i for i, c in enumerate(of) if c == number] for number in sorted(set(of))]
    assert sorted(own) == united(found.definitions, len(of))
    assert all(members[0] == of[members[0]] for members in own)


@settings(max_examples=100)
@given(seeds)
def test_a_class_is_in_a_register_if_one_register_serves_all_reads(seed):
    """The oracle keeps the last result of each class and notes reads of any other one."""
    program = random_program(seed)
    if program is None:
        return
    found = analyses_of(program)
    storage, number = found.storage, found.iterations.number
    register, missed = {}, set()
    classes = [int(storage.class_of[number[node]]) for node, _, _ in execution(program)]
    for n, own in enumerate(classes):
        for space, k in operands_of(program.tape, n):
            if space == "t" and register[classes[k]] != k:
                missed.add(classes[k])
        register[own] = n
    for s, k in program.tape.outputs:
        if program.tape.spaces[s] == "t" and register[classes[k]] != k:
            missed.add(classes[k])
    for instruction, own in enumerate(storage.class_of.tolist()):
        assert storage.in_register[instruction] == (own not in missed)
    for own in set(classes):
        assert storage.sizes[own] == classes.count(own)
        is_once = own not in missed and classes.count(own) == 1
        assert storage.is_written_once(own) == is_once


def test_a_running_sum_is_one_class_in_a_register():
    program = traced_program(
        lambda w, x: [sum(w[0] * a for a in x)], [0.5], [0.1 * k for k in range(6)]
    )
    found = analyses_of(program)
    names = [node.op.name for node in found.iterations.instructions]
    sums = {int(found.storage.class_of[k]) for k, name in enumerate(names) if name == "add"}
    assert len(sums) == 1
    assert found.storage.in_register.all()


def test_results_that_are_read_in_reverse_order_are_not_in_a_register():
    def f(w, x):
        made = [tw.tanh(w[0] * a) for a in x]
        return [sum(a * b for a, b in zip(made, reversed(made), strict=True))]

    found = analyses_of(traced_program(f, [0.5], [0.1 * k for k in range(6)]))
    names = [node.op.name for node in found.iterations.instructions]
    in_register = dict(zip(names, found.storage.in_register.tolist(), strict=True))
    assert not in_register["tanh"]
    assert in_register["add"]


def in_register(f):
    """Whether the storage of the results of tanh in a program is a register."""
    found = analyses_of(traced_program(f, [0.5, 0.25], [0.1 * k for k in range(8)]))
    return {
        bool(found.storage.in_register[k])
        for k, node in enumerate(found.iterations.instructions)
        if node.op.name == "tanh" and found.iterations.around[k]
    }


def test_a_result_that_is_read_just_after_the_next_write_is_not_in_a_register():
    def f(w, x, late):
        state, total = w[0], w[1]
        for a in x:
            new = tw.tanh(state * a)
            total = total + new * (state if late else new)
            state = new
        return [total]

    assert in_register(lambda w, x: f(w, x, late=False)) == {True}
    assert in_register(lambda w, x: f(w, x, late=True)) == {False}


@pytest.mark.parametrize(("output", "expected"), [(-2, True), (-3, False)])
def test_an_output_is_in_a_register_if_it_is_the_last_one_of_its_class(output, expected):
    def f(w, x):
        states = [w[0]]
        for a in x:
            states.append(tw.tanh(states[-1] * a))
        return [states[output], states[-1]]  # the last one is outside the loop

    assert in_register(f) == {expected}


def embedding_program(f):
    table = tw.Embedding(4, 2)
    return find_loops(trace(f, table, [1, 2], 0.5, integers=True).tape)


def test_gathered_numbers_have_no_storage_of_their_own():
    found = analyses_of(embedding_program(lambda table, ids, x: table[ids[0]][1] * x))
    names = [found.iterations.instructions[k].op.name for k in sorted(found.storage.gathers)]
    assert len(names) == 1
    assert "mul" not in names


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda table, ids, x: table[ids[0]][0], "returned as it is"),
        (
            lambda table, ids, x: sum(
                a * x for a in [table[ids[0]][0], table[ids[1]][0], x * x, x * x, x * x]
            ),
            "sometimes gathered",
        ),
    ],
)
def test_gathered_numbers_in_a_location_of_computed_ones_are_refused(f, words):
    with pytest.raises(NativeError, match=words):
        analyses_of(embedding_program(f))
