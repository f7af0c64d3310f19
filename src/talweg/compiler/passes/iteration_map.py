"""The iteration map: for every operation of the tape, its instruction and its iteration.

The iteration space of the loops is enumerated with NumPy. The analyses of scheduling decide their
questions on the enumerated program; that is exact for this program and needs no dependence
analysis.

Start reading at `iteration_map`, then `IterationMap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from talweg.compiler.ir.affine import Point
from talweg.compiler.ir.loop_program import (
    Instruction,
    Loop,
    LoopProgram,
    Node,
    trip_counts_depend,
)
from talweg.compiler.ir.tape import RESULT, Array, Tape

Use: TypeAlias = tuple[int, int]
"""An operand: the number of its instruction in the text, and which of its operands it is."""


@dataclass(frozen=True, eq=False)
class IterationMap:
    """The loops of a program, enumerated.

    Attributes:
        program: the loops.
        instructions: the instructions of the program, in order of its text.
        around: the loops around each of them, outermost first.
        owner: for each operation of the tape the number of its instruction, shape (n,).
        points: its iteration, one column a loop, shape (n, deepest).
    """

    program: LoopProgram
    instructions: list[Instruction]
    around: list[tuple[Loop, ...]]
    owner: Array
    points: Array

    @property
    def tape(self) -> Tape:
        """The tape that the loops expand to."""
        return self.program.tape

    @cached_property
    def number(self) -> dict[Instruction, int]:
        """The number of each instruction."""
        return {node: i for i, node in enumerate(self.instructions)}

    @cached_property
    def positions(self) -> list[Array]:
        """For each instruction its operations on the tape, in order of execution."""
        order = np.argsort(self.owner, kind="stable")
        counts = np.bincount(self.owner, minlength=len(self.instructions))
        return np.split(order, np.cumsum(counts)[:-1])

    @cached_property
    def inside(self) -> dict[Loop, range]:
        """For each loop the instructions in it, which are consecutive."""
        found: dict[Loop, range] = {}
        for number, loops in enumerate(self.around):
            for loop in loops:
                found[loop] = range(found.get(loop, range(number, 0)).start, number + 1)
        return found

    @cached_property
    def returned(self) -> list[int]:
        """The results that are outputs of the program."""
        return [k for s, k in self.tape.outputs if self.tape.spaces[s] == RESULT]

    def points_of(self, number: int) -> Array:
        """The iterations of an instruction, one column for each loop around it."""
        points: Array = self.points[self.positions[number], : len(self.around[number])]
        return points

    def indices_of(self, use: Use) -> Array:
        """The indices of an operand on the tape, in order of execution."""
        number, operand = use
        indices: Array = self.tape.index[self.positions[number], operand]
        return indices


def iteration_map(program: LoopProgram) -> IterationMap:
    """Enumerate the loops of a program."""
    found = [(node, loops) for node, loops in program.walk() if isinstance(node, Instruction)]
    numbers = {node: i for i, (node, _) in enumerate(found)}
    deepest = max((len(loops) for _, loops in found), default=0)
    owner, points = _nodes(program.nodes, (), numbers, deepest)
    instructions, around = [node for node, _ in found], [loops for _, loops in found]
    return IterationMap(program, instructions, around, owner, points)


def _nodes(
    nodes: Sequence[Node], point: Point, numbers: dict[Instruction, int], deepest: int
) -> tuple[Array, Array]:
    owners, points = [np.zeros(0, np.int32)], [np.zeros((0, deepest), np.int32)]
    for node in nodes:
        if isinstance(node, Loop):
            owner, iterations = _loop(node, point, numbers, deepest)
        else:
            owner = np.array([numbers[node]], np.int32)
            iterations = np.array([[*point, *[0] * (deepest - len(point))]], np.int32)
        owners.append(owner)
        points.append(iterations.reshape(len(owner), deepest))
    return np.concatenate(owners), np.concatenate(points)


def _loop(
    loop: Loop, point: Point, numbers: dict[Instruction, int], deepest: int
) -> tuple[Array, Array]:
    count = loop.count.at(point)
    if trip_counts_depend(loop.body, len(point)):
        parts = [_nodes(loop.body, (*point, i), numbers, deepest) for i in range(count)]
        parts.append((np.zeros(0, np.int32), np.zeros((0, deepest), np.int32)))
        return np.concatenate([o for o, _ in parts]), np.concatenate([p for _, p in parts])
    owner, first = _nodes(loop.body, (*point, 0), numbers, deepest)
    points = np.tile(first, (count, 1))
    points[:, len(point)] = np.repeat(np.arange(count), len(owner))
    return np.tile(owner, count), points
