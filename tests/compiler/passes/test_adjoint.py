"""The adjoint program: all operations in reverse order, and a verifier that holds it to that."""

import dataclasses

import pytest
from analysed import execution, random_program
from hypothesis import given, settings
from hypothesis import strategies as st

from talweg.compiler.ir.adjoint_program import AdjointLoop, AdjointProgram, verify
from talweg.compiler.ir.affine import Affine
from talweg.compiler.passes.adjoint import adjoint
from talweg.errors import CompilerError


def visited(nodes, iteration=()):
    """The instructions of an adjoint and the iterations that they name, in order of execution."""
    for node in nodes:
        if isinstance(node, AdjointLoop):
            for i in range(node.count.at(iteration)):
                yield from visited(node.body, (*iteration, i))
        else:
            yield node.instruction, tuple([x.at(iteration) for x in node.point])


@settings(max_examples=100)
@given(st.integers(0, 10**6))
def test_the_adjoint_visits_all_operations_in_reverse_order(seed):
    program = random_program(seed)
    if program is None:
        return
    expected = [(node, point) for node, point, _ in execution(program)][::-1]
    assert list(visited(adjoint(program).body)) == expected


def changed(nodes):
    """All adjoints with one node left out or doubled, or one affine function changed."""
    for k, node in enumerate(nodes):
        before, after = nodes[:k], nodes[k + 1 :]
        yield (*before, *after)
        yield (*before, node, node, *after)
        if isinstance(node, AdjointLoop):
            for by in (-1, 1):
                count = Affine(node.count.base + by, node.count.strides)
                yield (*before, dataclasses.replace(node, count=count), *after)
            for body in changed(node.body):
                yield (*before, dataclasses.replace(node, body=body), *after)
        else:
            for d, x in enumerate(node.point):
                for strides in [x.strides, (x.strides[0] + 1, *x.strides[1:])]:
                    other = Affine(x.base + (strides == x.strides), strides)
                    point = (*node.point[:d], other, *node.point[d + 1 :])
                    yield (*before, dataclasses.replace(node, point=point), *after)


@pytest.mark.slow
@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_the_verifier_refuses_every_change_that_changes_the_order(seed):
    program = random_program(seed)
    if program is None:
        return
    right = adjoint(program)
    verify(right)
    order = list(visited(right.body))
    for body in changed(right.body):
        wrong = AdjointProgram(body, program)
        if list(visited(wrong.body)) != order:
            with pytest.raises(CompilerError, match=r"^adjoint: [^\n]*$"):
                verify(wrong)


def test_the_verifier_refuses_the_order_of_the_program():
    program = random_program(0)
    with pytest.raises(CompilerError, match="adjoint: "):
        verify(AdjointProgram(adjoint(program).body[::-1], program))
