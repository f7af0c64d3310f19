"""The interpreter of adjoint programs, where a number is gathered from a table."""

import pytest

import talweg as tw
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir.adjoint_program import run
from talweg.compiler.passes.adjoint import adjoint
from talweg.compiler.passes.find_loops import find_loops

ROWS = [[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5], [3.0, 0.125]]
NUMBERS = [x for row in ROWS for x in row]


def loss(table, ids, x):
    """Row 2 is read twice, so its derivative is a sum."""
    return sum(table[i][0] * table[i][1] * x for i in ids)


@pytest.mark.parametrize("ids", [[1, 3], [2, 2], [0, 2, 2, 1]])
def test_the_derivative_of_a_gathered_number_is_that_of_the_table(ids):
    table = tw.Embedding(4, 2)
    for value, number in zip(table.parameters(), NUMBERS, strict=True):
        value.data = number
    traced = trace(loss, table, ids, 0.5, integers=True)
    loss(table, ids, 0.5).backward()
    inputs = {"w": NUMBERS, "x": traced.inputs}
    found = run(adjoint(find_loops(traced.tape)), inputs, [1.0])
    assert found["w"] == [p.grad for p in table.parameters()]
