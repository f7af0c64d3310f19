"""The loops written out: for every operation of the tape, which instruction and iteration made it.

Start reading at `iteration_map`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from talweg.compiler.ir.loop_program import Instruction, Loop, Node, Point, Program, depends
from talweg.compiler.ir.tape import Array


@dataclass(frozen=True, eq=False)
class IterationMap:
    """Where each operation of a tape stands in the loops.

    Attributes:
        instructions: the instructions of the program, in order of its text.
        around: the loops around each of them, outermost first.
        owner: for each operation of the tape the number of its instruction, shape (n,).
        points: its iteration, one column a loop, shape (n, deepest).
    """

    instructions: list[Instruction]
    around: list[tuple[Loop, ...]]
    owner: Array
    points: Array


def iteration_map(program: Program) -> IterationMap:
    """Write the loops of a program out."""
    found = [(node, loops) for node, loops in program.walk() if isinstance(node, Instruction)]
    numbers = {id(node): i for i, (node, _) in enumerate(found)}
    deepest = max((len(loops) for _, loops in found), default=0)
    owner, points = _nodes(program.nodes, (), numbers, deepest)
    return IterationMap([node for node, _ in found], [loops for _, loops in found], owner, points)


def _nodes(
    nodes: Sequence[Node], point: Point, numbers: dict[int, int], deepest: int
) -> tuple[Array, Array]:
    owners, points = [np.zeros(0, np.int32)], [np.zeros((0, deepest), np.int32)]
    for node in nodes:
        if isinstance(node, Loop):
            owner, iterations = _loop(node, point, numbers, deepest)
        else:
            owner = np.array([numbers[id(node)]], np.int32)
            iterations = np.array([[*point, *[0] * (deepest - len(point))]], np.int32)
        owners.append(owner)
        points.append(iterations.reshape(len(owner), deepest))
    return np.concatenate(owners), np.concatenate(points)


def _loop(loop: Loop, point: Point, numbers: dict[int, int], deepest: int) -> tuple[Array, Array]:
    count = loop.count.at(point)
    if depends(loop.body, len(point)):
        parts = [_nodes(loop.body, (*point, i), numbers, deepest) for i in range(count)]
        parts.append((np.zeros(0, np.int32), np.zeros((0, deepest), np.int32)))
        return np.concatenate([o for o, _ in parts]), np.concatenate([p for _, p in parts])
    owner, first = _nodes(loop.body, (*point, 0), numbers, deepest)
    points = np.tile(first, (count, 1))
    points[:, len(point)] = np.repeat(np.arange(count), len(owner))
    return np.tile(owner, count), points
