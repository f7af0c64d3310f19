"""Finding the loops that a tape always was.

If three consecutive groups of instructions have one shape, and the indices of their
operands advance by one stride, they are a loop of three; a loop followed by one more such
group grows; and so on, nested. (Nested loop recognition: Ketterlin and Clauss, Prediction
and trace compression of data access through nested loop recognition, CGO 2008.)

The tape is read from left to right onto a stack of *terms*. A term is an instruction or a
loop; its *shape* (an interned number) says all that must be equal between iterations, its
*indices* what may advance by a stride. A loop's trip count is one of its indices, so the
inner loop of `for i: for j in range(i)` is one shape with an advancing count.

A loop that is found first may begin at the wrong place: `tanh | mul add tanh | mul add tanh
| mul add` is three times `tanh mul add` as well as twice `mul add tanh`. When the loop is
complete, `_align` turns it to where the fewest results are carried from one iteration to
the next, which is what a loop over neurons or samples looks like.

Three things keep it near one microsecond an instruction:

* candidates come from the last places of the same shape, never from trying all lengths;
* once a loop is on top of the stack, `_gallop` compares whole iterations of the raw tape
  with NumPy and only counts;
* terms are tuples of small integers.

Start reading at `roll`, then `_Stack.reduce`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from talweg.compiler.tape import NONE, RESULT, Array, Tape

Shape: TypeAlias = int
Indices: TypeAlias = tuple[int, ...]

_CANDIDATES = 6
"""How many earlier places of the same shape are tried as the previous iteration."""


@dataclass(slots=True)
class Term:
    """An instruction, or a loop over other terms.

    Attributes:
        shape: equal for terms that may be iterations of one loop.
        indices: of an instruction its operands' indices; of a loop its trip count and then
            the indices of its body's terms in the first iteration.
        at: the number of its first instruction on the tape.
        length: how many instructions of the tape it stands for.
        body: the terms of a loop's first iteration; empty for an instruction.
        strides: for a loop, by how much the indices of the body advance an iteration.
    """

    shape: Shape
    indices: Indices
    at: int
    length: int = 1
    body: list[Term] = field(default_factory=list)
    strides: Indices = ()

    @property
    def count(self) -> int:
        """The trip count of a loop."""
        return self.indices[0]

    @property
    def is_regular(self) -> bool:
        """Whether all iterations of a loop are equally long: no trip count in it advances."""
        at = 0
        for term in self.body:
            if term.body and (self.strides[at] or not term.is_regular):
                return False
            at += len(term.indices)
        return True


def roll(tape: Tape) -> list[Term]:
    """The tape as nested loops.

    Args:
        tape: the flat program.

    Returns:
        Terms that, written out again, give the tape back (`talweg.compiler.loops.verify`).
    """
    stack = _Stack(tape)
    here, n = 0, len(tape)
    while here < n:
        stack.push(stack.instruction(here))
        here += 1
        stack.reduce()
        here += stack.gallop(here)
    stack.align(whole=True)
    return stack.terms


class _Stack:
    """The terms so far, with the places of each shape."""

    def __init__(self, tape: Tape) -> None:
        self.index = tape.index
        self.is_result = tape.space == tape.spaces.index(RESULT)
        self.shapes = shapes_of(tape)
        self.arity = (tape.space != NONE).sum(axis=1)
        self.rows = _Rows(self.shapes, self.arity, tape.index)
        self.terms: list[Term] = []
        self.places: dict[Shape, list[int]] = {}
        self.loops: list[int] = []
        self.loop_shapes: dict[tuple[tuple[Shape, ...], Indices], Shape] = {}
        self.next_shape = int(self.shapes.max(initial=-1)) + 1

    def instruction(self, at: int) -> Term:
        """The tape's instruction of that number as a term."""
        shape, arity, index = self.rows[at]
        return Term(shape, tuple(index[:arity]), at)

    def push(self, term: Term) -> None:
        """Put a term on top."""
        self.places.setdefault(term.shape, []).append(len(self.terms))
        if term.body:
            self.loops.append(len(self.terms))
        self.terms.append(term)

    def pop(self, count: int) -> list[Term]:
        """Take the last terms off."""
        taken = self.terms[-count:]
        del self.terms[-count:]
        for term in reversed(taken):
            self.places[term.shape].pop()
            if term.body:
                self.loops.pop()
        return taken

    def reduce(self) -> None:
        """Fold the top of the stack into loops as long as that is possible."""
        while self.align() or self._grow() or self._begin():
            pass

    def _grow(self) -> bool:
        """A loop, followed by one more iteration: count it."""
        terms = self.terms
        for at in self.loops[: -1 - _CANDIDATES : -1]:
            loop, length = terms[at], len(terms) - 1 - at
            if length == len(loop.body) and _matching(loop, terms[at + 1 :]) == length:
                group = self.pop(length)
                loop.indices = (loop.count + 1, *loop.indices[1:])
                loop.length += sum(term.length for term in group)
                return True
        return False

    def _begin(self) -> bool:
        """Three consecutive groups that advance by one stride: make a loop of them."""
        terms = self.terms
        for length in self._lengths():
            if 3 * length > len(terms) or _advance(terms, -1, length) is None:
                continue  # the last terms alone tell most lengths that are not one
            strides = _common_strides(terms, length)
            if strides is None:
                continue
            groups = self.pop(3 * length)
            self.push(self._loop(groups[:length], strides, 3, sum(t.length for t in groups)))
            return True
        return False

    def _loop(self, body: list[Term], strides: Indices, count: int, length: int) -> Term:
        key = (tuple(term.shape for term in body), strides)
        shape = self.loop_shapes.get(key)
        if shape is None:
            shape = self.loop_shapes[key] = self.next_shape
            self.next_shape += 1
        indices = (count, *(k for term in body for k in term.indices))
        return Term(shape, indices, body[0].at, length, body, strides)

    def _lengths(self) -> Iterator[int]:
        """How long an iteration may be: how far below the top its shape was seen before."""
        if self.terms:
            top = len(self.terms) - 1
            for place in self.places[self.terms[top].shape][-2 : -2 - _CANDIDATES : -1]:
                yield top - place

    def align(self, whole: bool = False) -> bool:
        """Turn the last loop, if what follows it is only part of a next iteration.

        With r terms of the next iteration behind it, a loop may begin at any of its first
        r + 1 terms. It is turned to the first of those with the fewest carried results.

        Args:
            whole: the tape has ended, so that the last term too is part of an iteration.
        """
        if not self.loops:
            return False
        at = self.loops[-1]
        loop = self.terms[at]
        if not 0 < len(self.terms) - at - 1 <= len(loop.body):
            return False
        rest = self.terms[at + 1 :]
        matching = _matching(loop, rest)
        broken = len(rest) - matching
        if not matching or broken != (0 if whole else 1) or not loop.is_regular:
            return False
        carried = [self._carried(loop, turn) for turn in range(matching + 1)]
        turn = carried.index(min(carried))
        if not turn:
            return False
        self.pop(1 + len(rest))
        for term in [*loop.body[:turn], self._turned(loop, turn), *rest[turn:]]:
            self.push(term)
            self.reduce()
        return True

    def _carried(self, loop: Term, turn: int) -> int:
        """How many operands of an iteration are results of the one before it."""
        length = loop.length // loop.count
        begin = loop.at + length + sum(term.length for term in loop.body[:turn])
        index = self.index[begin : begin + length]
        before = (index >= begin - length) & (index < begin)
        return int((before & self.is_result[begin : begin + length]).sum())

    def _turned(self, loop: Term, turn: int) -> Term:
        """The same loop, begun `turn` terms later: as many terms more at its end."""
        sizes = [len(term.indices) for term in loop.body]
        cut = sum(sizes[:turn])
        step = loop.length // loop.count
        moved = []
        at = 0
        for term, size in zip(loop.body[:turn], sizes, strict=False):
            advance = loop.strides[at : at + size]
            indices = tuple([k + s for k, s in zip(term.indices, advance, strict=True)])
            moved.append(
                Term(term.shape, indices, term.at + step, term.length, term.body, term.strides)
            )
            at += size
        body = [*loop.body[turn:], *moved]
        strides = loop.strides[cut:] + loop.strides[:cut]
        return self._loop(body, strides, loop.count, loop.length)

    def gallop(self, here: int) -> int:
        """Count the iterations of the top loop that follow on the raw tape.

        Returns:
            How many instructions of the tape from `here` on went into the loop.
        """
        loop = self.terms[-1]
        if not loop.body or not loop.is_regular:
            return 0
        length = loop.length // loop.count
        shapes, index = self.shapes, self.index
        stride = index[here - length : here] - index[here - 2 * length : here - length]
        taken, chunk = 0, 1
        while True:
            begin = here + taken
            end = begin + min(chunk, (len(shapes) - begin) // length) * length
            if end == begin or shapes[begin] != shapes[begin - length]:
                break
            same = shapes[begin:end] == shapes[begin - length : end - length]
            steps = index[begin:end] - index[begin - length : end - length]
            same &= (steps.reshape(-1, *stride.shape) == stride).all(axis=2).reshape(-1)
            whole = len(same) if same.all() else int(np.argmin(same)) // length * length
            taken += whole
            if whole < len(same):
                break
            chunk *= 2
        if taken:
            loop.indices = (loop.count + taken // length, *loop.indices[1:])
            loop.length += taken
            self.reduce()
        return taken


class _Rows:
    """Rows of arrays as plain numbers, converted a block at a time where they are needed.

    Element by element NumPy is slow, and most rows of a tape that rolls are never looked at.
    """

    def __init__(self, *arrays: Array, block: int = 1024) -> None:
        self.arrays = arrays
        self.block = block
        self.begin, self.end = 0, 0
        self.lists: list[list[Any]] = []

    def __getitem__(self, at: int) -> tuple[Any, ...]:
        if not self.begin <= at < self.end:
            self.begin, self.end = at, at + self.block
            self.lists = [array[at : self.end].tolist() for array in self.arrays]
        return tuple([column[at - self.begin] for column in self.lists])


def shapes_of(tape: Tape) -> Array:
    """For each instruction a number that is equal where operation and spaces are."""
    if not len(tape):
        return np.zeros(0, dtype=np.int64)
    base = len(tape.spaces) + 1
    key = tape.code.astype(np.int64)
    for operand in range(3):
        key = key * base + tape.space[:, operand] + 1
    _, shapes = np.unique(key, return_inverse=True)
    return shapes.reshape(-1)


def _matching(loop: Term, group: list[Term]) -> int:
    """How many of these terms are the beginning of the loop's next iteration."""
    at = 1
    for i, (term, wanted) in enumerate(zip(group, loop.body, strict=False)):
        if term.shape != wanted.shape:
            return i
        for k in term.indices:
            if k != loop.indices[at] + loop.count * loop.strides[at - 1]:
                return i
            at += 1
    return min(len(group), len(loop.body))


def _common_strides(terms: list[Term], length: int) -> Indices | None:
    """By how much the last three groups of this length advance, if they do so evenly."""
    strides: list[int] = []
    for at in range(-length, 0):
        advance = _advance(terms, at, length)
        if advance is None:
            return None
        strides += advance
    return tuple(strides)


def _advance(terms: list[Term], at: int, length: int) -> list[int] | None:
    """By how much the indices advance from group to group at one place, if evenly."""
    a, b, c = terms[at - 2 * length], terms[at - length], terms[at]
    if not a.shape == b.shape == c.shape:
        return None
    steps = []
    for x, y, z in zip(a.indices, b.indices, c.indices, strict=True):
        if z - y != y - x:
            return None
        steps.append(y - x)
    return steps
