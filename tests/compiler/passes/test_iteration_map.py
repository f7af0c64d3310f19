"""The iteration map and the reaching definitions, compared with an execution of the loops."""

import numpy as np
from analysed import analyses_of, execution, operands_of, random_program
from hypothesis import given, settings
from hypothesis import strategies as st

from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.find_loops import find_loops

seeds = st.integers(0, 10**6)


@settings(max_examples=60)
@given(seeds)
def test_every_operation_has_its_instruction_and_iteration(seed):
    program = random_program(seed)
    if program is None:
        return
    found = analyses_of(program).iterations
    done = execution(program)
    assert [found.instructions[owner] for owner in found.owner.tolist()] == [
        node for node, _, _ in done
    ]
    for (node, point, around), row in zip(done, found.points.tolist(), strict=True):
        assert tuple(row[: len(point)]) == point
        assert found.around[found.number[node]] == around


@settings(max_examples=60)
@given(seeds)
def test_positions_points_and_indices_of_an_instruction(seed):
    program = random_program(seed)
    if program is None:
        return
    found = analyses_of(program).iterations
    done = execution(program)
    for number, node in enumerate(found.instructions):
        at = [n for n, (other, _, _) in enumerate(done) if other is node]
        assert found.positions[number].tolist() == at
        assert found.points_of(number).tolist() == [list(done[n][1]) for n in at]
        for j in range(node.op.arity):
            read = [operands_of(program.tape, n)[j][1] for n in at]
            assert found.indices_of((number, j)).tolist() == read


@settings(max_examples=60)
@given(seeds)
def test_a_loop_contains_consecutive_instructions(seed):
    program = random_program(seed)
    if program is None:
        return
    found = analyses_of(program).iterations
    for loop, inside in found.inside.items():
        members = [k for k, around in enumerate(found.around) if loop in around]
        assert list(inside) == members


@settings(max_examples=60)
@given(seeds)
def test_reaching_definitions_are_the_instructions_whose_results_are_read(seed):
    program = random_program(seed)
    if program is None:
        return
    found = analyses_of(program)
    done = execution(program)
    expected = {}
    for n, (node, _, _) in enumerate(done):
        for j, (space, k) in enumerate(operands_of(program.tape, n)):
            if space == "t":
                use = (found.iterations.number[node], j)
                expected.setdefault(use, set()).add(found.iterations.number[done[k][0]])
    assert found.definitions == {use: tuple(sorted(made)) for use, made in expected.items()}


def test_a_program_without_operations_has_an_empty_map():
    found = analyses_of(find_loops(trace(lambda x: [x], 0.5).tape))
    assert len(found.iterations.owner) == 0
    assert found.definitions == {}
    assert np.array_equal(found.storage.class_of, [])
