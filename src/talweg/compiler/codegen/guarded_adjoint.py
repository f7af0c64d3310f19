"""Derivatives that tell whether anything has been added to them.

Where an operation is on a branch that `where` does not take, its adjoint must add nothing: a zero
times an infinite slope would be nan. The accumulator of such an operation starts at 0.0 and stays
there, in every bit, until a derivative is added; then a sum that is zero is stored as -0.0. So no
memory is needed beside the accumulator.

Start reading at `added`.
"""

from __future__ import annotations

from collections.abc import Sequence

from talweg.autodiff.operation import Number, Op
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.operations import name_of
from talweg.compiler.intrinsics.builder_protocol import Name


def added(b: NumberBuilder, total: Name, amount: Name, passing: Name | None) -> Name:
    """The accumulator after an addition, in the lanes of a mask if there is one."""
    result = b.add(total, amount)
    result = b.select(b.eq(result, b.constant(0.0)), b.constant(-0.0), result)
    return result if passing is None else b.select(passing, result, total)


def read(b: NumberBuilder, total: Name) -> tuple[Name, Name]:
    """Whether something was added to an accumulator, as a mask, and the sum."""
    return b.has_bits(total), b.add(total, b.constant(0.0))  # -0.0 + 0.0 is 0.0


def passing(
    b: NumberBuilder, op: Op, operand: int, operands: Sequence[Number], reached: Name | None
) -> Name | None:
    """Where the adjoint of an operation adds to the derivative by an operand; None: everywhere."""
    selector = op.selectors[operand]
    if selector is None:
        return reached
    selected = b.ne(name_of(b, selector(*operands)), b.constant(0.0))
    return selected if reached is None else b.mask_and(reached, selected)
