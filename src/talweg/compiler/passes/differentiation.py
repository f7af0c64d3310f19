"""Differentiation flow: which operations have an adjoint, and what it reads.

Derivatives are computed by the numbers of some spaces (`wrt`). An operation has an adjoint if a
derivative flows through it to one of those numbers: if one of its operands is in such a space,
or is the result of an operation that has an adjoint.

Start reading at `differentiation_flow`.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from talweg.autodiff.operation import GATHER, OPERANDS, Op
from talweg.autodiff.selection import passes
from talweg.compiler.ir.tape import RESULT
from talweg.compiler.passes.iteration_map import IterationMap, Use
from talweg.compiler.passes.reaching_definitions import Definitions
from talweg.compiler.passes.storage import Storage


@dataclass(frozen=True, eq=False)
class DifferentiationFlow:
    """Where derivatives flow.

    Attributes:
        has_adjoint: for each instruction whether a derivative flows through it.
        active: the operands whose derivative is needed.
        reads: for each instruction the operands ("x", "y", "z") and the result ("out") that the
            derivative equations of its active operands mention.
    """

    has_adjoint: tuple[bool, ...]
    active: frozenset[Use]
    reads: tuple[frozenset[str], ...]


def differentiation_flow(
    iterations: IterationMap, definitions: Definitions, storage: Storage, wrt: Collection[str]
) -> DifferentiationFlow:
    """Which operations of a program have an adjoint.

    Args:
        iterations: the enumerated program.
        definitions: which instructions each operand reads.
        storage: the storage classes. Either all instructions of a class have an adjoint or
            none: each of them sets the location of the derivative to zero for the one before it.
        wrt: the spaces by whose numbers derivatives are computed.
    """
    nodes = iterations.instructions
    uses = [[(number, j) for j in range(node.op.arity)] for number, node in enumerate(nodes)]
    classes: list[int] = storage.class_of.tolist()
    has_adjoint = [False] * len(nodes)

    def is_active(use: Use) -> bool:
        number, j = use
        if nodes[number].op is GATHER and j:
            return False  # the row and the column count of a table are integers
        if not passes(nodes[number].op, j):
            return False
        space = nodes[number].operands[j].space
        return any(has_adjoint[i] for i in definitions[use]) if space == RESULT else space in wrt

    before = None
    while before != has_adjoint:
        before = has_adjoint.copy()
        for number in range(len(nodes)):
            if not has_adjoint[number]:
                has_adjoint[number] = any(map(is_active, uses[number]))
        reached = {classes[number] for number in range(len(nodes)) if has_adjoint[number]}
        has_adjoint = [one in reached for one in classes]
    active = [[use for use in own if is_active(use)] for own in uses]
    reads = [
        frozenset().union(*[mentioned(nodes[number].op, j) for number, j in own]) for own in active
    ]
    return DifferentiationFlow(
        tuple(has_adjoint), frozenset(use for own in active for use in own), tuple(reads)
    )


@cache
def mentioned(op: Op, operand: int) -> frozenset[str]:
    """Which of x, y, z and out the derivative equation of an operand mentions.

    >>> from talweg import ops
    >>> sorted(mentioned(ops.mul, 0)), sorted(mentioned(ops.tanh, 0)), sorted(mentioned(ops.add, 1))
    (['y'], ['out'], [])
    """
    names = {
        node.id
        for node in ast.walk(ast.parse(op.equations[operand], mode="eval"))
        if isinstance(node, ast.Name)
    }
    if "derivatives" in names:  # the derivative is a Python function, which may read everything
        return frozenset([*OPERANDS[: op.arity], "out"])
    return frozenset(name for name in (*OPERANDS, "out") if name in names)
