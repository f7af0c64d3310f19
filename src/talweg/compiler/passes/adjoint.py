"""Reverse-mode differentiation of a loop program: its operations in reverse order.

The order is that of `Value.backward`, so all sums of derivatives are added up in the same order
and have the same bits. What an operation adds to which derivative follows from its derivative
equations and is not written down here; see `talweg.compiler.ir.adjoint_program`.

Start reading at `adjoint`.
"""

from __future__ import annotations

from collections.abc import Sequence

from talweg.compiler.ir.adjoint_program import (
    AdjointInstruction,
    AdjointLoop,
    AdjointNode,
    AdjointProgram,
    ForwardPoint,
    verify,
)
from talweg.compiler.ir.affine import Affine, compose
from talweg.compiler.ir.loop_program import Instruction, LoopProgram, Node


def adjoint(program: LoopProgram) -> AdjointProgram:
    """The adjoint of a program, verified.

    Args:
        program: the loops of a traced function.

    Returns:
        The program's operations in reverse order, as loops.
    """
    reverse = AdjointProgram(_reversed(program.nodes, ()), program)
    verify(reverse)
    return reverse


def _reversed(nodes: Sequence[Node], point: ForwardPoint) -> tuple[AdjointNode, ...]:
    reverse: list[AdjointNode] = []
    for node in reversed(nodes):
        if isinstance(node, Instruction):
            reverse.append(AdjointInstruction(node, point))
            continue
        count = compose(node.count, point)
        outer = tuple([Affine(x.base, (*x.strides, 0)) for x in point])
        own = Affine(count.base - 1, (*count.strides, -1))  # count - 1 - i
        reverse.append(AdjointLoop(count, _reversed(node.body, (*outer, own)), node))
    return tuple(reverse)
