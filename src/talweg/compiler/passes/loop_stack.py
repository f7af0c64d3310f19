"""The loop stack: the entries in which loops are found, and what is known about them.

An entry is an instruction, given by its number on the tape, or a loop over entries, a
`RolledLoop`. Its *shape* (an interned number) stands for all that must be equal in every
iteration of a loop; its *indices* are what may advance by a stride. A loop's trip count is one
of its indices, so the inner loop of `for i: for j in range(i)` has one shape and an advancing
count.

Start reading at `RolledLoop`, then `LoopStack`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate, islice
from operator import mul
from typing import TypeAlias

import numpy as np

from talweg.compiler.ir.tape import NONE, Array, Tape
from talweg.compiler.passes.stride_detection import (
    INDEX,
    MASK,
    POSITION,
    SHAPE,
    Powers,
    StrideDetector,
    instruction_fingerprints,
    instruction_shapes,
)

Shape: TypeAlias = int
Indices: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """What loops of one shape have in common.

    Attributes:
        shape: the number of the shape.
        shapes: the shapes of the entries of the body.
        strides: by how much the indices of the body advance in one iteration.
        starts: where the indices of each entry start among those of the body; and their count.
        lead: the count of instructions before the body's first inner loop.
        is_regular: whether all iterations are equally long: no trip count in it advances.
    """

    shape: Shape
    shapes: tuple[Shape, ...]
    strides: Indices
    starts: tuple[int, ...]
    lead: int
    is_regular: bool


@dataclass(slots=True)
class RolledLoop:
    """A loop on the stack.

    Attributes:
        form: what it has in common with loops of the same shape.
        indices: its trip count, then the indices of its body in the first iteration.
        body: the entries of the first iteration.
        start: the number of its first instruction on the tape.
        length: the count of instructions of the tape that it replaces.
        mismatch: the first instruction behind it that is not the next one of its body; -1 if
            there is none to find, None if it is not known.
    """

    form: Form
    indices: Indices
    body: list[Entry]
    start: int
    length: int
    mismatch: int | None = None

    @property
    def count(self) -> int:
        """The trip count."""
        return self.indices[0]

    @property
    def stop(self) -> int:
        """The number of the first instruction behind it."""
        return self.start + self.length

    @property
    def period(self) -> int:
        """The count of instructions in one iteration, if the loop is regular."""
        return self.length // self.count

    def expected(self) -> list[int]:
        """The indices of the body in the iteration after the last."""
        count = self.count
        return [k + count * s for k, s in zip(self.indices[1:], self.form.strides, strict=True)]


Entry: TypeAlias = int | RolledLoop
"""The number of an instruction on the tape, or a loop."""


class LoopStack:
    """The start of a tape as entries.

    Args:
        tape: the program.

    Attributes:
        entries: instructions and loops; neighbouring instructions are neighbours on the tape.
        shapes: the shape of each entry.
        sums: for each height the fingerprint of all entries below it.
        positions: the positions in the stack of the entries of each shape.
        loops: the loops.
        loop_positions: their positions in the stack.
        next_heights: for each loop the height of the stack when as many entries lie behind it as
            its body has.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.present = tape.space != NONE
        self.tape_shapes = instruction_shapes(tape)
        self.next_shape = int(self.tape_shapes.max(initial=-1)) + 1
        self.arity = np.zeros(self.next_shape, dtype=np.int64)
        self.arity[self.tape_shapes] = self.present.sum(axis=1)
        self.fingerprints = instruction_fingerprints(self.tape_shapes, tape.index)
        self.rows = _BlockwiseRows(self.tape_shapes, self.fingerprints)
        self.position_powers = Powers(POSITION)
        self.index_powers = Powers(INDEX)
        self.shape_powers = Powers(SHAPE)
        self.forms: dict[tuple[tuple[Shape, ...], Indices], Form] = {}
        self.entries: list[Entry] = []
        self.shapes: list[Shape] = []
        self.sums: list[int] = [0]
        self.positions: defaultdict[Shape, list[int]] = defaultdict(list)
        self.loops: list[RolledLoop] = []
        self.loop_positions: list[int] = []
        self.next_heights: list[int] = []

    def push(self, entry: Entry) -> None:
        """Push an entry."""
        height = len(self.entries)
        if isinstance(entry, int):
            shape, fingerprint = self.rows[entry]
        else:
            shape, fingerprint = entry.form.shape, self._fingerprint(entry)
            self.loops.append(entry)
            self.loop_positions.append(height)
            self.next_heights.append(height + 1 + len(entry.body))
        self.positions[shape].append(height)
        self.entries.append(entry)
        self.shapes.append(shape)
        self.sums.append((self.sums[-1] * POSITION + fingerprint) & MASK)

    def _fingerprint(self, loop: RolledLoop) -> int:
        of_shape = self.shape_powers.up_to(loop.form.shape)[loop.form.shape]
        weights = islice(self.index_powers.up_to(len(loop.indices)), 1, None)
        of_indices: int = sum(map(mul, loop.indices, weights))
        return of_shape + of_indices

    def push_all(self, start: int, stop: int, detector: StrideDetector) -> None:
        """Push consecutive instructions, whose fingerprints the detector has summed up."""
        height = len(self.entries)
        shapes = self.tape_shapes[start:stop].tolist()
        self.entries.extend(range(start, stop))
        self.shapes.extend(shapes)
        for position, shape in enumerate(shapes, height):
            self.positions[shape].append(position)
        below = np.uint64((self.sums[-1] - int(detector.sums[start])) & MASK)
        sums = detector.sums[start + 1 : stop + 1] + below * detector.powers[1 : stop - start + 1]
        self.sums.extend(sums.tolist())

    def pop(self, count: int) -> list[Entry]:
        """Pop the last entries."""
        height = len(self.entries) - count
        popped = self.entries[height:]
        for shape in self.shapes[height:]:
            self.positions[shape].pop()
        del self.entries[height:], self.shapes[height:], self.sums[height + 1 :]
        while self.loop_positions and self.loop_positions[-1] >= height:
            del self.loops[-1], self.loop_positions[-1], self.next_heights[-1]
        return popped

    def add_iterations(self, loop: RolledLoop, more: int, stop: int) -> None:
        """Give the loop on top more iterations, up to a position on the tape."""
        loop.indices = (loop.count + more, *loop.indices[1:])
        loop.length = stop - loop.start
        loop.mismatch = None
        self.sums[-1] = (self.sums[-1] + more * INDEX) & MASK

    def indices(self, start: int, stop: int) -> list[int]:
        """The indices of the entries at these positions."""
        found: list[int] = []
        loop_positions = self.loop_positions
        for k in range(bisect_left(loop_positions, start), bisect_left(loop_positions, stop)):
            found += self._of_instructions(start, loop_positions[k])
            found += self.loops[k].indices
            start = loop_positions[k] + 1
        found += self._of_instructions(start, stop)
        return found

    def _of_instructions(self, start: int, stop: int) -> list[int]:
        if start == stop:
            return []
        first = first_of(self.entries[start])
        rows = slice(first, first + stop - start)
        found: list[int] = self.tape.index[rows][self.present[rows]].tolist()
        return found

    def form(self, body: list[Entry], shapes: tuple[Shape, ...], strides: Indices) -> Form:
        """The form of loops over such entries with these strides."""
        form = self.forms.get((shapes, strides))
        if form is None:
            sizes = [
                int(self.arity[shape]) if isinstance(entry, int) else len(entry.indices)
                for entry, shape in zip(body, shapes, strict=True)
            ]
            starts = (0, *accumulate(sizes))
            is_regular = all(
                isinstance(entry, int) or (entry.form.is_regular and not strides[start])
                for entry, start in zip(body, starts, strict=False)
            )
            lead = next((k for k, t in enumerate(body) if not isinstance(t, int)), len(body))
            form = Form(self.next_shape, shapes, strides, starts, lead, is_regular)
            self.forms[shapes, strides] = form
            self.next_shape += 1
        return form


class _BlockwiseRows:
    """Arrays as Python integers, converted a block at a time where they are needed.

    Access to single elements of a NumPy array is slow, and most of a tape with loops is never
    needed here.
    """

    def __init__(self, *arrays: Array, block: int = 512) -> None:
        self.arrays = arrays
        self.block = block
        self.start, self.stop = 0, 0
        self.rows: list[tuple[int, ...]] = []

    def __getitem__(self, at: int) -> tuple[int, ...]:
        if self.start <= at < self.stop:
            return self.rows[at - self.start]
        if at < self.start:
            return tuple([array[at].item() for array in self.arrays])
        self.start, self.stop = at, at + self.block
        columns = [array[at : self.stop].tolist() for array in self.arrays]
        self.rows = list(zip(*columns, strict=True))
        return self.rows[0]


def first_of(entry: Entry) -> int:
    """The number of an entry's first instruction."""
    return entry if isinstance(entry, int) else entry.start


def stop_of(entry: Entry) -> int:
    """The number of the first instruction behind an entry."""
    return entry + 1 if isinstance(entry, int) else entry.stop
