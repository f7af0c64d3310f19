"""Recovering loops from a tape.

If three consecutive segments of instructions have one shape, and the indices of their operands
advance by one stride, they are a loop of three iterations; a loop followed by one more such
segment has one iteration more; and so on for nested loops. (Nested loop recognition: Ketterlin
and Clauss, Prediction and trace compression of data access through nested loop recognition,
CGO 2008.)

The tape is read from left to right onto the loop stack (`passes/loop_stack.py`), whose top is
folded into loops as long as that is possible. When a loop is complete, it is rotated to where
the fewest results are carried from one iteration to the next (`passes/loop_rotation.py`).

The time is bounded for every program, with a pattern or without:

* candidates are the last occurrences of the same shape, never all lengths, and fingerprints
  (`passes/stride_detection.py`) decide at once whether three segments have a constant stride;
* behind a loop, `extend_top` compares whole iterations of the tape with NumPy and only counts;
* where no loop is near, `skip` computes where the next one can be complete, and pushes all
  instructions before that together.

Start reading at `roll`, then `_LoopFinder.read`.
"""

from __future__ import annotations

from itertools import pairwise
from operator import add, sub

import numpy as np

from talweg._util.gc_pause import collection_paused
from talweg.compiler.ir.tape import RESULT, Tape
from talweg.compiler.passes.loop_rotation import fewest_carried
from talweg.compiler.passes.loop_stack import (
    Entry,
    Indices,
    LoopStack,
    RolledLoop,
    Shape,
    first_of,
    stop_of,
)
from talweg.compiler.passes.stride_detection import CANDIDATES, MASK, StrideDetector

_CHUNK = 128
"""How many instructions `extend_top` compares at first."""

_FIRST_SCAN = 2**16
"""`skip` examines so many instructions first, and then four times as many as are read."""

_NEAR = 3 * CANDIDATES
"""Up to so many entries behind a loop, segments are so short that all occurrences are tried."""


@collection_paused()
def roll(tape: Tape) -> list[Entry]:
    """The tape as nested loops.

    Args:
        tape: the flat program.

    Returns:
        Instructions and loops that, iteration by iteration, give the tape back.
    """
    finder = _LoopFinder(tape)
    finder.read(len(tape))
    return finder.entries


@collection_paused()
def roll_within(tape: Tape, limit: int) -> list[Entry] | None:
    """The tape as nested loops, unless they are too many to be of use.

    An entry of the stack is either left over at the end or folded into a loop. Of each loop
    that is not complete yet at most two iterations and a part of a third are on the stack. So
    the stack is about three times as high as the resulting program is long, at most four
    times, because a loop may be found as late as at the end of its body.

    Args:
        tape: the flat program.
        limit: with more entries than this on the stack, the rest of the tape is not read. Five
            times the length of the longest program that is of use loses none.

    Returns:
        What `roll` returns, or None.
    """
    finder = _LoopFinder(tape)
    return finder.entries if finder.read(limit) else None


class _LoopFinder(LoopStack):
    """The loop stack, and how loops are found in it."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self.result = tape.spaces.index(RESULT)
        self.detector = StrideDetector(tape, self.tape_shapes[:0], self.fingerprints[:0])
        self.by_context: dict[int, int] = {}
        self.followed: set[tuple[Shape, ...]] = set()
        self.is_new: bool | None = None
        self.rotations: dict[tuple[int, int, bytes, bytes], int] = {}

    def read(self, limit: int) -> bool:
        """Push the whole tape and find its loops.

        Returns:
            Whether the stack never had more entries than the limit; if it had, reading stopped.
        """
        position, quiet, n = 0, 0, len(self.tape)
        while position < n and len(self.entries) <= limit:
            self.push(position)
            position += 1
            quiet += 1
            if self.reduce():
                position += self.extend_top(position)
                quiet = 0
            elif quiet >= _NEAR:
                position = self.skip(position, max(0, limit + 1 - len(self.entries)))
        self.rotate(at_end=True)
        return position == n and len(self.entries) <= limit

    def reduce(self) -> bool:
        """Fold the top of the stack into loops as long as that is possible.

        Returns:
            Whether it was.
        """
        done = False
        while self.rotate() or self._add_iteration() or self._new_loop():
            done = True
        if done:
            self.is_new = None
        return done

    def _add_iteration(self) -> bool:
        """A loop, followed by one more iteration: count it."""
        height = len(self.entries)
        if height not in self.next_heights[-CANDIDATES:]:
            return False
        for loop in self.loops[: -1 - CANDIDATES : -1]:
            length = len(loop.body)
            at = height - 1 - length
            if (
                at >= 0
                and self.entries[at] is loop
                and self.shapes[-1] == loop.form.shapes[-1]
                and tuple(self.shapes[at + 1 :]) == loop.form.shapes
                and self.indices(at + 1, height) == loop.expected()
            ):
                stop = stop_of(self.pop(length)[-1])
                self.add_iterations(loop, 1, stop)
                return True
        return False

    def _new_loop(self) -> bool:
        """Three consecutive segments that advance by one stride: make a loop of them."""
        length = self._segment_length()
        strides = self._common_strides(length) if length else None
        if strides is None:
            return False
        start = len(self.entries) - 3 * length
        indices = (3, *self.indices(start, start + length))
        shapes = tuple(self.shapes[start : start + length])
        segments = self.pop(3 * length)
        body, first = segments[:length], first_of(segments[0])
        form = self.form(body, shapes, strides)
        self.push(RolledLoop(form, indices, body, first, stop_of(segments[-1]) - first))
        return True

    def _segment_length(self) -> int:
        """The length of the shortest segments that seem to have a constant stride, or 0.

        They stop where an entry like the top one occurred before: at one of the last entries
        of its shape, or at the last one in the same context.
        """
        shapes, sums = self.shapes, self.sums
        shape, top = shapes[-1], len(shapes) - 1
        positions = self.positions[shape]
        if len(positions) > 2:
            powers = self.position_powers.known
            for position in positions[-2 : -2 - CANDIDATES : -1]:
                length = top - position
                start = position + 1 - 2 * length
                if start < 0:
                    break
                if shapes[position - length] == shape:
                    if length >= len(powers):
                        powers = self.position_powers.up_to(2 * length)
                    b, c = sums[position + 1], sums[start + length]
                    first = sums[-1] - 2 * b + c
                    if not (first - powers[length] * (b - 2 * c + sums[start])) & MASK:
                        return length
        entry = self.entries[-1]
        found = self.by_context.get(entry, 0) if isinstance(entry, int) else 0
        return found if 3 * found <= top + 1 else 0

    def _common_strides(self, length: int) -> Indices | None:
        """By how much the last three segments of this length advance, if by one stride."""
        height = len(self.entries)
        cuts = list(pairwise(range(height - 3 * length, height + 1, length)))
        a, b, c = [self.shapes[i:j] for i, j in cuts]
        if not a == b == c:
            return None
        x, y, z = [self.indices(i, j) for i, j in cuts]
        strides = tuple(map(sub, y, x))
        return strides if strides == tuple(map(sub, z, y)) else None

    # ---- many instructions at a time --------------------------------------------------------

    def skip(self, position: int, most: int) -> int:
        """Push instructions from a position on, up to the first that can complete an iteration.

        Returns:
            The number of the first instruction that was not pushed.
        """
        height = len(self.entries)
        last = self.loop_positions[-1] if self.loop_positions else -1
        behind = height - 1 - last
        if behind < _NEAR or (self.loops and position <= self._mismatch(self.loops[-1])):
            return position
        if self.is_new is None:
            self.is_new = self._is_new(last)
        if position >= self.detector.known:
            known = max(4 * position, _FIRST_SCAN)
            self.detector = StrideDetector(
                self.tape, self.tape_shapes[:known], self.fingerprints[:known]
            )
        stop = self.detector.first(position, position - behind, alone=self.is_new)
        stop = min(stop, position + most)
        self.by_context = self.detector.by_context
        for next_height in self.next_heights[-CANDIDATES:]:
            if next_height > height:
                stop = min(stop, position + next_height - height - 1)
        if stop > position:
            self.push_all(position, stop, self.detector)
        return stop

    def _is_new(self, last: int) -> bool:
        """Whether no earlier loop was followed by such entries as the last loop is.

        If so, no segment that contains the last loop can be the repetition of another.
        """
        key = tuple(self.shapes[max(last, 0) : last + _NEAR])
        is_new = last < 0 or key not in self.followed
        self.followed.add(key)
        return is_new

    def extend_top(self, position: int) -> int:
        """Count the iterations of the top loop that follow on the tape.

        Returns:
            How many instructions of the tape from `position` on went into the loop.
        """
        loop = self.entries[-1]
        if isinstance(loop, int) or not loop.form.is_regular:
            return 0
        if (
            loop.form.lead
            and position < len(self.tape_shapes)
            and self.rows[position][0] != loop.form.shapes[0]
        ):
            loop.mismatch = position  # the commonest case, found at the least cost
            return 0
        period = loop.period
        mismatch = self._first_mismatch(position, period)
        length = (mismatch - position) // period * period
        if length:
            self.add_iterations(loop, length // period, position + length)
            loop.mismatch = min(mismatch, position + length + loop.form.lead)
            self.reduce()
        else:
            loop.mismatch = min(mismatch, position + loop.form.lead)
        return length

    def _first_mismatch(self, position: int, period: int, most: int | None = None) -> int:
        """The first instruction from a position on that does not continue the last two periods.

        Args:
            position: behind at least two periods.
            period: the count of instructions in one.
            most: how many instructions to compare, if not all.
        """
        shapes, index = self.tape_shapes, self.tape.index.reshape(-1)
        n = len(shapes) if most is None else min(len(shapes), position + most)
        size = _CHUNK
        while position < n:
            stop = min(position + size, n)
            alike = shapes[position:stop] == shapes[position - period : stop - period]
            now, before, earlier = [
                index[3 * (position - k * period) : 3 * (stop - k * period)] for k in range(3)
            ]
            constant = now - before == before - earlier
            i, k = int(alike.argmin()), int(constant.argmin())  # the first that is false, if any
            if not (alike[i] and constant[k]):
                length = stop - position
                return position + min(length if alike[i] else i, length if constant[k] else k // 3)
            position = stop
            size *= 2
        return n

    # ---- loop rotation ----------------------------------------------------------------------

    def rotate(self, at_end: bool = False) -> bool:
        """Rotate the last loop, if what follows it is only part of a next iteration.

        With r instructions of the next iteration behind it, a loop may start at any of its
        first r + 1. It is rotated to the first of those with the fewest carried results.

        Args:
            at_end: the tape is read to its end, so that the last entry too is part of an iteration.
        """
        if not self.loops:
            return False
        top, loop = self.entries[-1], self.loops[-1]
        if not isinstance(top, int):
            return False
        mismatch = loop.mismatch if loop.mismatch is not None else self._mismatch(loop)
        if top >= mismatch if at_end else top != mismatch:
            return False
        matching = top + at_end - loop.stop
        rotation = self._best_rotation(loop, matching) if matching else 0
        if not rotation:
            return False
        rest = self.pop(len(self.entries) - self.loop_positions[-1])[1:]
        for entry in [*loop.body[:rotation], self._rotated(loop, rotation), *rest[rotation:]]:
            self.push(entry)
            self.reduce()
        return True

    def _mismatch(self, loop: RolledLoop) -> int:
        """The first instruction behind the last loop that is not the next entry of its body.

        An instruction that is the first one of an inner loop of the body counts as a mismatch
        until that loop is found. For a loop that is not regular the answer is -1.
        """
        if loop.mismatch is None:
            loop.mismatch = -1
            if loop.form.is_regular:
                loop.mismatch = self._first_mismatch(loop.stop, loop.period, loop.form.lead)
        return loop.mismatch

    def _best_rotation(self, loop: RolledLoop, most: int) -> int:
        """After how many of its first instructions a loop should start.

        An operand at p that reads result k is carried if the iteration starts between them,
        and if the reader and what it reads are in this iteration and the one before.
        """
        period = loop.period
        start = loop.start + period
        rows = slice(start, start + most + period)
        reads = self.tape.space[rows] == self.result
        read = np.maximum(self.tape.index[rows][reads] - start, -period - 1)
        case = (period, most, reads.tobytes(), read.tobytes())
        if case not in self.rotations:
            readers = np.nonzero(reads)[0].tolist()
            self.rotations[case] = fewest_carried(period, most, readers, read.tolist())
        return self.rotations[case]

    def _rotated(self, loop: RolledLoop, rotation: int) -> RolledLoop:
        """The same loop, started `rotation` instructions later, with as many more at its end."""
        form, second = loop.form, loop.start + loop.period
        cut = form.starts[rotation]
        moved = tuple(map(add, loop.indices[1 : cut + 1], form.strides))
        body = [*loop.body[rotation:], *range(second, second + rotation)]
        shapes = form.shapes[rotation:] + form.shapes[:rotation]
        rotated = self.form(body, shapes, form.strides[cut:] + form.strides[:cut])
        indices = (loop.count, *loop.indices[cut + 1 :], *moved)
        return RolledLoop(rotated, indices, body, loop.start + rotation, loop.length)
