"""The terms that the loop finder works on, and the stack that it keeps them on.

A term is an instruction, known by its number on the tape, or a loop over terms, a `Rolled`.
Its *shape* (an interned number) says all that must be equal between iterations of a loop, its
*indices* what may advance by a stride. A loop's trip count is one of its indices, so the inner
loop of `for i: for j in range(i)` is one shape with an advancing count.

Start reading at `Rolled`, then `Stack`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate, islice
from operator import mul
from typing import TypeAlias

import numpy as np

from talweg.compiler.ir.tape import NONE, Array, Tape, shapes_of
from talweg.compiler.passes.stride_detection import (
    INDEX,
    MASK,
    PLACE,
    SHAPE,
    Ends,
    Powers,
    fingerprints,
)

Shape: TypeAlias = int
Indices: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """What loops of one shape have in common.

    Attributes:
        shape: the number of the shape.
        shapes: of the terms of the body.
        strides: by how much the indices of the body advance an iteration.
        starts: where the indices of each term begin among those of the body; and their end.
        lead: how many instructions the body begins with, before its first inner loop.
        is_regular: whether all iterations are equally long: no trip count in it advances.
    """

    shape: Shape
    shapes: tuple[Shape, ...]
    strides: Indices
    starts: tuple[int, ...]
    lead: int
    is_regular: bool


@dataclass(slots=True)
class Rolled:
    """A loop.

    Attributes:
        form: what it shares with loops of the same shape.
        indices: its trip count, then the indices of its body in the first iteration.
        body: the terms of the first iteration.
        begin: the number of its first instruction on the tape.
        length: how many instructions of the tape it stands for.
        stop: the first instruction behind it that is not the next term of its body, as far as
            that is known.
    """

    form: Form
    indices: Indices
    body: list[Term]
    begin: int
    length: int
    stop: int | None = None

    @property
    def count(self) -> int:
        """The trip count."""
        return self.indices[0]

    @property
    def end(self) -> int:
        """The number of the first instruction behind it."""
        return self.begin + self.length

    @property
    def period(self) -> int:
        """How many instructions of the tape an iteration is, if the loop is regular."""
        return self.length // self.count

    def expected(self) -> list[int]:
        """The indices of the body in the iteration after the last."""
        count = self.count
        return [k + count * s for k, s in zip(self.indices[1:], self.form.strides, strict=True)]


Term: TypeAlias = int | Rolled
"""The number of an instruction on the tape, or a loop."""


class Stack:
    """The terms of the beginning of a tape.

    Args:
        tape: the program.

    Attributes:
        terms: instructions and loops; neighbouring instructions are neighbours on the tape.
        shapes: the shape of each term.
        sums: for each height the fingerprint of all terms below it.
        places: where each shape is found.
        loops: the loops.
        at: where they are.
        full: how high the stack is when as many terms as a body has lie behind each of them.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.present = tape.space != NONE
        self.tape_shapes = shapes_of(tape)
        self.next_shape = int(self.tape_shapes.max(initial=-1)) + 1
        self.arity = np.zeros(self.next_shape, dtype=np.int64)
        self.arity[self.tape_shapes] = self.present.sum(axis=1)
        self.prints = fingerprints(self.tape_shapes, tape.index)
        self.rows = _Rows(self.tape_shapes, self.prints)
        self.powers, self.weights, self.marks = Powers(PLACE), Powers(INDEX), Powers(SHAPE)
        self.forms: dict[tuple[tuple[Shape, ...], Indices], Form] = {}
        self.terms: list[Term] = []
        self.shapes: list[Shape] = []
        self.sums: list[int] = [0]
        self.places: defaultdict[Shape, list[int]] = defaultdict(list)
        self.loops: list[Rolled] = []
        self.at: list[int] = []
        self.full: list[int] = []

    def push(self, term: Term) -> None:
        """Put a term on top."""
        height = len(self.terms)
        if isinstance(term, int):
            shape, mark = self.rows[term]
        else:
            shape, mark = term.form.shape, self._fingerprint(term)
            self.loops.append(term)
            self.at.append(height)
            self.full.append(height + 1 + len(term.body))
        self.places[shape].append(height)
        self.terms.append(term)
        self.shapes.append(shape)
        self.sums.append((self.sums[-1] * PLACE + mark) & MASK)

    def _fingerprint(self, loop: Rolled) -> int:
        mark = self.marks.upto(loop.form.shape)[loop.form.shape]
        weights = islice(self.weights.upto(len(loop.indices)), 1, None)
        total: int = sum(map(mul, loop.indices, weights))
        return mark + total

    def push_all(self, begin: int, end: int, ends: Ends) -> None:
        """Put instructions in a row on top, whose fingerprints are summed up already."""
        height = len(self.terms)
        shapes = self.tape_shapes[begin:end].tolist()
        self.terms.extend(range(begin, end))
        self.shapes.extend(shapes)
        for place, shape in enumerate(shapes, height):
            self.places[shape].append(place)
        below = np.uint64((self.sums[-1] - int(ends.sums[begin])) & MASK)
        sums = ends.sums[begin + 1 : end + 1] + below * ends.powers[1 : end - begin + 1]
        self.sums.extend(sums.tolist())

    def pop(self, count: int) -> list[Term]:
        """Take the last terms off."""
        height = len(self.terms) - count
        taken = self.terms[height:]
        for shape in self.shapes[height:]:
            self.places[shape].pop()
        del self.terms[height:], self.shapes[height:], self.sums[height + 1 :]
        while self.at and self.at[-1] >= height:
            del self.loops[-1], self.at[-1], self.full[-1]
        return taken

    def count(self, loop: Rolled, more: int, end: int) -> None:
        """Give the loop on top more iterations, up to an end on the tape."""
        loop.indices = (loop.count + more, *loop.indices[1:])
        loop.length = end - loop.begin
        loop.stop = None
        self.sums[-1] = (self.sums[-1] + more * INDEX) & MASK

    def indices(self, begin: int, end: int) -> list[int]:
        """The indices of the terms at these places."""
        found: list[int] = []
        for k in range(bisect_left(self.at, begin), bisect_left(self.at, end)):
            found += self._of_instructions(begin, self.at[k])
            found += self.loops[k].indices
            begin = self.at[k] + 1
        found += self._of_instructions(begin, end)
        return found

    def _of_instructions(self, begin: int, end: int) -> list[int]:
        if begin == end:
            return []
        first = first_of(self.terms[begin])
        rows = slice(first, first + end - begin)
        found: list[int] = self.tape.index[rows][self.present[rows]].tolist()
        return found

    def form(self, body: list[Term], shapes: tuple[Shape, ...], strides: Indices) -> Form:
        """The form of loops over such terms with these strides."""
        form = self.forms.get((shapes, strides))
        if form is None:
            sizes = [
                int(self.arity[shape]) if isinstance(term, int) else len(term.indices)
                for term, shape in zip(body, shapes, strict=True)
            ]
            starts = (0, *accumulate(sizes))
            is_regular = all(
                isinstance(term, int) or (term.form.is_regular and not strides[start])
                for term, start in zip(body, starts, strict=False)
            )
            lead = next((k for k, t in enumerate(body) if not isinstance(t, int)), len(body))
            form = Form(self.next_shape, shapes, strides, starts, lead, is_regular)
            self.forms[shapes, strides] = form
            self.next_shape += 1
        return form


class _Rows:
    """Arrays as plain numbers, converted a block at a time where they are needed.

    Element by element NumPy is slow, and most of a tape that rolls is never looked at.
    """

    def __init__(self, *arrays: Array, block: int = 512) -> None:
        self.arrays = arrays
        self.block = block
        self.begin, self.end = 0, 0
        self.rows: list[tuple[int, ...]] = []

    def __getitem__(self, at: int) -> tuple[int, ...]:
        if self.begin <= at < self.end:
            return self.rows[at - self.begin]
        if at < self.begin:
            return tuple([array[at].item() for array in self.arrays])
        self.begin, self.end = at, at + self.block
        columns = [array[at : self.end].tolist() for array in self.arrays]
        self.rows = list(zip(*columns, strict=True))
        return self.rows[0]


def first_of(term: Term) -> int:
    """The number of a term's first instruction."""
    return term if isinstance(term, int) else term.begin


def end_of(term: Term) -> int:
    """The number of the first instruction behind a term."""
    return term + 1 if isinstance(term, int) else term.end
