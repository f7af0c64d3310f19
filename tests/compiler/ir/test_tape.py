"""The verifier of tapes: the shape of its table, and its outputs."""

import dataclasses

import pytest

from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir.tape import verify
from talweg.errors import CompilerError


def tape_of_two():
    return trace(lambda x, y: (x * y) + x, 2.0, 3.0).tape


def test_a_table_of_another_shape_is_refused():
    tape = tape_of_two()
    broken = dataclasses.replace(tape, space=tape.space[:, :2])
    with pytest.raises(CompilerError, match=r"2 instructions, but operands of shape \(2, 2\)"):
        verify(broken)


@pytest.mark.parametrize("index", [-1, 2])
def test_an_output_outside_of_its_space_is_refused(index):
    tape = tape_of_two()
    [(space, _)] = tape.outputs
    broken = dataclasses.replace(tape, outputs=((space, index),))
    with pytest.raises(CompilerError, match=r"is outside its space of 2 numbers$"):
        verify(broken)
