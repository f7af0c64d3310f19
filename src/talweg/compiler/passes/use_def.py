"""Which instruction a reference to a result reads.

On the tape a result has a number; in the loops it has an instruction and an iteration. For
each reference `UseDefChains` solves one for the other: it looks up what is read in the first
iteration of the loops around the reader, one step along each of them, and in the last, and
finds

* one and the same instruction, in an iteration that depends linearly on the reader's; or
* the previous iteration of the reader's innermost loop (in the first, what came before the
  loop): a result that the loop *hands on*; or
* neither: then the link is empty, and only the number on the tape is known.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from talweg.compiler.ir.loop_program import Affine, Instruction, Loop, Node, Point, Program, depends
from talweg.compiler.ir.tape import RESULT


@dataclass(frozen=True, slots=True)
class Digit:
    """number // divide % modulo: one index of an array that is read as if it were flat.

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
    """Which instruction a reference to a result reads.

    Attributes:
        made_by: the instruction, or None if it is not one and the same.
        point: in which iteration of the loops around that instruction; each an affine
            function of the loops around the reader, or a digit of one.
        start: if the reader's innermost loop hands the result on to its next iteration,
            the instruction that gives the first one; else None.
    """

    made_by: Instruction | None
    point: tuple[Index, ...] = ()
    start: Instruction | None = None


class UseDefChains:
    """For every reference to a result, what it reads."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.starts: dict[int, list[int]] = {}  # of bodies that are the same in all iterations
        self.around = {id(node): loops for node, loops in program.walk()}
        self.links: dict[tuple[int, int], UseDef] = {}
        for node, loops in program.walk():
            if isinstance(node, Instruction):
                for j, operand in enumerate(node.operands):
                    if operand.space == RESULT:
                        self.links[id(node), j] = self._link(operand.index, loops)

    def all(self) -> Iterator[tuple[Instruction, UseDef]]:
        """Every reference to a result: its reader and its link, in order of the text."""
        for node, _ in self.program.walk():
            if isinstance(node, Instruction):
                for j in range(len(node.operands)):
                    if (id(node), j) in self.links:
                        yield node, self.links[id(node), j]

    def of(self, node: Instruction, operand: int) -> UseDef:
        """What an operand, a reference to a result, reads."""
        return self.links[id(node), operand]

    def locate(self, result: int) -> tuple[Instruction, Point]:
        """The instruction that made a result, and in which iteration."""
        nodes: Sequence[Node] = self.program.nodes
        point: Point = ()
        while True:
            starts = self._starts(nodes, point)
            k = bisect_right(starts, result) - 1
            node, result = nodes[k], result - starts[k]
            if isinstance(node, Instruction):
                return node, point
            if depends(node.body, len(point)):
                i = 0
                while result >= (length := self._starts(node.body, (*point, i))[-1]):
                    result, i = result - length, i + 1
            else:
                i, result = divmod(result, self._starts(node.body, (*point, 0))[-1])
            nodes, point = node.body, (*point, i)

    def _starts(self, nodes: Sequence[Node], point: Point) -> list[int]:
        """After how many operations each node begins, and how many they all are."""
        known = self.starts.get(id(nodes))
        if known is not None:
            return known
        lengths = [self._length(node, point) for node in nodes]
        starts = [0, *accumulate(lengths)]
        if not any(depends(nodes, depth) for depth in range(len(point))):
            self.starts[id(nodes)] = starts
        return starts

    def _length(self, node: Node, point: Point) -> int:
        if isinstance(node, Instruction):
            return 1
        count = node.count.at(point)
        if not depends(node.body, len(point)):
            return count * self._starts(node.body, (*point, 0))[-1]
        return sum(self._starts(node.body, (*point, i))[-1] for i in range(count))

    def _link(self, index: Affine, loops: Sequence[Loop]) -> UseDef:
        zero = (0,) * len(loops)
        made_by, origin = self.locate(index.base)
        counts = [loop.count.at(zero[:k]) for k, loop in enumerate(loops)]
        corners = [zero, tuple([max(0, count - 1) for count in counts])]
        corners += [_unit(k, len(loops)) for k, count in enumerate(counts) if count > 1]
        found = {corner: self.locate(index.at(corner)) for corner in corners}
        if all(node is made_by for node, _ in found.values()):
            steps = [found.get(_unit(k, len(loops)), (None, origin))[1] for k in range(len(loops))]
            point = tuple(
                [
                    Affine(origin[d], tuple([step[d] - origin[d] for step in steps]))
                    for d in range(len(origin))
                ]
            )
            if all(tuple([a.at(c) for a in point]) == p for c, (_, p) in found.items()):
                return UseDef(made_by, point)
            digits = self._digits(index, made_by, {c: p for c, (_, p) in found.items()})
            if digits:
                return UseDef(made_by, digits)
        return self._carried(index, loops, counts, made_by)

    def _digits(
        self, index: Affine, made_by: Instruction, found: Mapping[Point, Point]
    ) -> tuple[Index, ...]:
        """The point of a reader that runs through nested loops as through one; or ()."""
        around, result = self.around[id(made_by)], made_by.result
        if result is None or any(any(loop.count.strides) for loop in around):
            return ()
        places = list(found.values())
        free = [d for d in range(len(around)) if len({place[d] for place in places}) > 1]
        start = result.at(tuple([0 if d in free else k for d, k in enumerate(places[0])]))
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
        return tuple([digits.get(d, Affine(k, fixed)) for d, k in enumerate(places[0])])

    def _carried(
        self, index: Affine, loops: Sequence[Loop], counts: list[int], start: Instruction
    ) -> UseDef:
        """A link to the previous iteration of the innermost loop, if it is one."""
        if not loops or counts[-1] < 2:
            return UseDef(None)
        for before in ((0,) * (len(loops) - 1), tuple([c - 1 for c in counts[:-1]])):
            handed_on = None
            for i in (1, counts[-1] - 1):
                node, point = self.locate(index.at((*before, i)))
                same_loop = self.around[id(node)] and self.around[id(node)][-1] is loops[-1]
                if not same_loop or point != (*before, i - 1) or handed_on not in (None, node):
                    return UseDef(None)
                handed_on = node
            node, _ = self.locate(index.at((*before, 0)))
            if node is not start:
                return UseDef(None)
        return UseDef(handed_on, start=start)


def _unit(k: int, dimensions: int) -> Point:
    """The point one step along a loop."""
    return tuple([int(d == k) for d in range(dimensions)])


def here(dimensions: int) -> tuple[Affine, ...]:
    """The point that is the reader's own iteration."""
    return tuple(
        [Affine(0, tuple([int(d == k) for k in range(dimensions)])) for d in range(dimensions)]
    )
