"""Use-def chains: which instruction computes the result that an operand reads.

On the tape a result has a number; in the loops it has an instruction and an iteration. For
each reference to a result, `UseDefChains` converts one into the other: it locates what is read in
the first iteration of the reader's loops, one step along each of them, and in the last, and finds

* one instruction, in an iteration that is an affine function of the reader's; or
* the previous iteration of the reader's innermost loop (in the first iteration, a result from
  before the loop): a *loop-carried* result; or
* neither: then the chain is empty, and only the number on the tape is known.

The chains serve `explain`. Scheduling enumerates all iterations instead; see
`talweg.compiler.passes.reaching_definitions`.

Start reading at `UseDef`, then `UseDefChains`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from talweg.compiler.ir.affine import Affine, Point
from talweg.compiler.ir.loop_program import (
    Instruction,
    Loop,
    LoopProgram,
    Node,
    trip_counts_depend,
)
from talweg.compiler.ir.tape import RESULT


@dataclass(frozen=True, slots=True)
class Digit:
    """number // divide % modulo: one coordinate of an element whose position is `number`.

    >>> str(Digit(Affine(1, (1,)), 6, 4))
    '(i+1)//6%4'
    """

    number: Affine
    divide: int
    modulo: int

    def __str__(self) -> str:
        text = f"({self.number})" if any(self.number.strides) else str(self.number)
        return f"{text}{f'//{self.divide}' if self.divide > 1 else ''}%{self.modulo}"


Index: TypeAlias = Affine | Digit


@dataclass(frozen=True, slots=True)
class UseDef:
    """The definition of a result that an operand reads.

    Attributes:
        definition: the instruction that computes it, or None if there are several.
        point: its iteration of the loops around that instruction; each coordinate is an affine
            function of the reader's loop variables, or a digit of one.
        initial: if the result is carried to the next iteration of the reader's innermost loop,
            the instruction that computes the first one; else None.
    """

    definition: Instruction | None
    point: tuple[Index, ...] = ()
    initial: Instruction | None = None


class UseDefChains:
    """For every reference to a result, its definition.

    Args:
        program: the loops.

    Attributes:
        around: for each node the loops around it.
    """

    def __init__(self, program: LoopProgram) -> None:
        self.program = program
        self._starts_of: dict[int, list[int]] = {}  # of bodies that are equal in all iterations
        self.around = dict(program.walk())
        self._chains: dict[tuple[Instruction, int], UseDef] = {}
        for node, loops in program.walk():
            if isinstance(node, Instruction):
                for j, operand in enumerate(node.operands):
                    if operand.space == RESULT:
                        self._chains[node, j] = self._chain(operand.index, loops)

    def all(self) -> Iterator[tuple[Instruction, UseDef]]:
        """Every reference to a result: its reader and its definition, in order of the text."""
        for node, _ in self.program.walk():
            if isinstance(node, Instruction):
                for j in range(len(node.operands)):
                    if (node, j) in self._chains:
                        yield node, self._chains[node, j]

    def of(self, node: Instruction, operand: int) -> UseDef:
        """The definition of an operand that is a result."""
        return self._chains[node, operand]

    def locate(self, result: int) -> tuple[Instruction, Point]:
        """The instruction and the iteration that compute a result."""
        nodes: Sequence[Node] = self.program.nodes
        point: Point = ()
        while True:
            starts = self._starts(nodes, point)
            k = bisect_right(starts, result) - 1
            node, result = nodes[k], result - starts[k]
            if isinstance(node, Instruction):
                return node, point
            if trip_counts_depend(node.body, len(point)):
                i = 0
                while result >= (length := self._starts(node.body, (*point, i))[-1]):
                    result, i = result - length, i + 1
            else:
                i, result = divmod(result, self._starts(node.body, (*point, 0))[-1])
            nodes, point = node.body, (*point, i)

    def _starts(self, nodes: Sequence[Node], point: Point) -> list[int]:
        """The count of operations before each node, and that of all of them."""
        known = self._starts_of.get(id(nodes))
        if known is not None:
            return known
        lengths = [self._length(node, point) for node in nodes]
        starts = [0, *accumulate(lengths)]
        if not any(trip_counts_depend(nodes, depth) for depth in range(len(point))):
            self._starts_of[id(nodes)] = starts
        return starts

    def _length(self, node: Node, point: Point) -> int:
        if isinstance(node, Instruction):
            return 1
        count = node.count.at(point)
        if not trip_counts_depend(node.body, len(point)):
            return count * self._starts(node.body, (*point, 0))[-1]
        return sum(self._starts(node.body, (*point, i))[-1] for i in range(count))

    def _chain(self, index: Affine, loops: Sequence[Loop]) -> UseDef:
        zero = (0,) * len(loops)
        definition, origin = self.locate(index.base)
        counts = [loop.count.at(zero[:k]) for k, loop in enumerate(loops)]
        corners = [zero, tuple([max(0, count - 1) for count in counts])]
        corners += [_unit(k, len(loops)) for k, count in enumerate(counts) if count > 1]
        found = {corner: self.locate(index.at(corner)) for corner in corners}
        if all(node is definition for node, _ in found.values()):
            steps = [found.get(_unit(k, len(loops)), (None, origin))[1] for k in range(len(loops))]
            point = tuple(
                [
                    Affine(origin[d], tuple([step[d] - origin[d] for step in steps]))
                    for d in range(len(origin))
                ]
            )
            if all(tuple([a.at(c) for a in point]) == p for c, (_, p) in found.items()):
                return UseDef(definition, point)
            digits = self._digits(index, definition, {c: p for c, (_, p) in found.items()})
            if digits:
                return UseDef(definition, digits)
        return self._carried(index, loops, counts, definition)

    def _digits(
        self, index: Affine, definition: Instruction, found: Mapping[Point, Point]
    ) -> tuple[Index, ...]:
        """The point of a reader whose one loop iterates over several nested loops; or ()."""
        around, result = self.around[definition], definition.result
        if result is None or any(any(loop.count.strides) for loop in around):
            return ()
        points = list(found.values())
        free = [d for d in range(len(around)) if len({point[d] for point in points}) > 1]
        start = result.at(tuple([0 if d in free else k for d, k in enumerate(points[0])]))
        counts = [around[d].count.base for d in free]
        step = result.strides[free[-1]]
        sizes = [math.prod(counts[n + 1 :]) for n in range(len(free))]
        number = [index.base - start, *index.strides]
        if [result.strides[d] for d in free] != [size * step for size in sizes]:
            return ()
        if any(k % step for k in number):
            return ()
        flat = Affine(number[0] // step, tuple([k // step for k in number[1:]]))
        if not all(0 <= flat.at(corner) < math.prod(counts) for corner in found):
            return ()
        digits = {d: Digit(flat, *pair) for d, *pair in zip(free, sizes, counts, strict=True)}
        fixed = (0,) * len(index.strides)
        return tuple([digits.get(d, Affine(k, fixed)) for d, k in enumerate(points[0])])

    def _carried(
        self, index: Affine, loops: Sequence[Loop], counts: list[int], initial: Instruction
    ) -> UseDef:
        """The definition in the previous iteration of the innermost loop, if it is there."""
        if not loops or counts[-1] < 2:
            return UseDef(None)
        for before in ((0,) * (len(loops) - 1), tuple([c - 1 for c in counts[:-1]])):
            carried = None
            for i in (1, counts[-1] - 1):
                node, point = self.locate(index.at((*before, i)))
                same_loop = self.around[node] and self.around[node][-1] is loops[-1]
                if not same_loop or point != (*before, i - 1) or carried not in (None, node):
                    return UseDef(None)
                carried = node
            node, _ = self.locate(index.at((*before, 0)))
            if node is not initial:
                return UseDef(None)
        return UseDef(carried, initial=initial)


def _unit(k: int, dimensions: int) -> Point:
    """The point one step along a loop."""
    return tuple([int(d == k) for d in range(dimensions)])


def own_iteration(dimensions: int) -> tuple[Affine, ...]:
    """The point that is the reader's own iteration: (i, j, ...)."""
    return tuple(
        [Affine(0, tuple([int(d == k) for k in range(dimensions)])) for d in range(dimensions)]
    )
