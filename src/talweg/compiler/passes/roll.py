"""Finding the loops that a tape always was.

If three consecutive groups of instructions have one shape, and the indices of their
operands advance by one stride, they are a loop of three; a loop followed by one more such
group grows; and so on, nested. (Nested loop recognition: Ketterlin and Clauss, Prediction
and trace compression of data access through nested loop recognition, CGO 2008.)

The tape is read from left to right onto a stack of terms (`passes/loop_stack.py`), and what
lies on top is folded into loops as long as that is possible.

A loop that is found first may begin at the wrong place: `tanh | mul add tanh | mul add tanh
| mul add` is three times `tanh mul add` as well as twice `mul add tanh`. When the loop is
complete, `align` turns it to where the fewest results are carried from one iteration to
the next, which is what a loop over neurons or samples looks like.

No program takes long, whether it has a pattern or not:

* candidates come from the last places of the same shape, never from trying all lengths, and
  fingerprints (`passes/stride_detection.py`) tell at once whether three groups advance evenly;
* behind a loop, `gallop` compares whole iterations of the tape with NumPy and only counts;
* where no loop is near, `skip` looks up where the next one can end, and pushes all
  instructions before that together.

Start reading at `roll`, then `_Finder.read`.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from operator import add, sub

import numpy as np

from talweg._util.gc_pause import collection_paused
from talweg.compiler.ir.tape import RESULT, Tape
from talweg.compiler.passes.loop_stack import Indices, Rolled, Shape, Stack, Term, end_of, first_of
from talweg.compiler.passes.stride_detection import CANDIDATES, MASK, Ends

_CHUNK = 128
"""How many instructions `gallop` compares at first."""

_BEGINNING = 2**16
"""`skip` looks at so many instructions first, and then at four times as many as are read."""

_NEAR = 3 * CANDIDATES
"""Up to so many terms behind a loop, groups are so short that all their places are tried."""


@collection_paused()
def roll(tape: Tape) -> list[Term]:
    """The tape as nested loops.

    Args:
        tape: the flat program.

    Returns:
        Terms that, written out again, give the tape back (`loop_program/verify.py`).
    """
    finder = _Finder(tape)
    finder.read(len(tape))
    return finder.terms


@collection_paused()
def roll_within(tape: Tape, limit: int) -> list[Term] | None:
    """The tape as nested loops, unless they turn out to be too many to be of use.

    A term that lies on the stack is either left over at the end or folded into a loop. Of each
    loop that is not complete yet at most two iterations and a part of a third lie there. So
    a stack is about three times as tall as the program that comes of it is long, at most
    four times, because a loop may be noticed late, at the end of its body.

    Args:
        tape: the flat program.
        limit: more terms than this on the stack, and the rest of the tape is not read. Five
            times the longest program that is wanted loses none.

    Returns:
        What `roll` returns, or None.
    """
    finder = _Finder(tape)
    return finder.terms if finder.read(limit) else None


class _Finder(Stack):
    """The terms so far, and how loops are found among them."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self.result = tape.spaces.index(RESULT)
        self.ends = Ends(tape, self.tape_shapes[:0], self.prints[:0])
        self.by_context: dict[int, int] = {}
        self.followed: set[tuple[Shape, ...]] = set()
        self.is_new: bool | None = None
        self.turns: dict[tuple[int, int, bytes, bytes], int] = {}

    def read(self, limit: int) -> bool:
        """Put the whole tape on the stack and find its loops.

        Returns:
            Whether the stack never held more terms than the limit; if it did, it was left so.
        """
        here, quiet, n = 0, 0, len(self.tape)
        while here < n and len(self.terms) <= limit:
            self.push(here)
            here += 1
            quiet += 1
            if self.reduce():
                here += self.gallop(here)
                quiet = 0
            elif quiet >= _NEAR:
                here = self.skip(here, max(0, limit + 1 - len(self.terms)))
        self.align(whole=True)
        return here == n and len(self.terms) <= limit

    def reduce(self) -> bool:
        """Fold the top of the stack into loops as long as that is possible.

        Returns:
            Whether it was.
        """
        done = False
        while self.align() or self._grow() or self._begin():
            done = True
        if done:
            self.is_new = None
        return done

    def _grow(self) -> bool:
        """A loop, followed by one more iteration: count it."""
        height = len(self.terms)
        if height not in self.full[-CANDIDATES:]:
            return False
        for loop in self.loops[: -1 - CANDIDATES : -1]:
            length = len(loop.body)
            at = height - 1 - length
            if (
                at >= 0
                and self.terms[at] is loop
                and self.shapes[-1] == loop.form.shapes[-1]
                and tuple(self.shapes[at + 1 :]) == loop.form.shapes
                and self.indices(at + 1, height) == loop.expected()
            ):
                end = end_of(self.pop(length)[-1])
                self.count(loop, 1, end)
                return True
        return False

    def _begin(self) -> bool:
        """Three consecutive groups that advance by one stride: make a loop of them."""
        length = self._length()
        strides = self._common_strides(length) if length else None
        if strides is None:
            return False
        begin = len(self.terms) - 3 * length
        indices = (3, *self.indices(begin, begin + length))
        group = tuple(self.shapes[begin : begin + length])
        taken = self.pop(3 * length)
        body, first = taken[:length], first_of(taken[0])
        form = self.form(body, group, strides)
        self.push(Rolled(form, indices, body, first, end_of(taken[-1]) - first))
        return True

    def _length(self) -> int:
        """The length of the shortest groups that seem to advance evenly, or 0.

        They end where a term like the top one was seen before: in one of the last places of its
        shape, or where it stood in the same context.
        """
        shapes, sums = self.shapes, self.sums
        shape, top = shapes[-1], len(shapes) - 1
        places = self.places[shape]
        if len(places) > 2:
            powers = self.powers.known
            for place in places[-2 : -2 - CANDIDATES : -1]:
                length = top - place
                begin = place + 1 - 2 * length
                if begin < 0:
                    break
                if shapes[place - length] == shape:
                    if length >= len(powers):
                        powers = self.powers.upto(2 * length)
                    b, c = sums[place + 1], sums[begin + length]
                    first = sums[-1] - 2 * b + c
                    if not (first - powers[length] * (b - 2 * c + sums[begin])) & MASK:
                        return length
        term = self.terms[-1]
        found = self.by_context.get(term, 0) if isinstance(term, int) else 0
        return found if 3 * found <= top + 1 else 0

    def _common_strides(self, length: int) -> Indices | None:
        """By how much the last three groups of this length advance, if they do so evenly."""
        height = len(self.terms)
        cuts = list(pairwise(range(height - 3 * length, height + 1, length)))
        a, b, c = [self.shapes[i:j] for i, j in cuts]
        if not a == b == c:
            return None
        x, y, z = [self.indices(i, j) for i, j in cuts]
        strides = tuple(map(sub, y, x))
        return strides if strides == tuple(map(sub, z, y)) else None

    # ---- many instructions at a time --------------------------------------------------------

    def skip(self, here: int, most: int) -> int:
        """Push instructions from here on, up to the first that can end an iteration.

        Returns:
            The number of the first instruction that was not pushed.
        """
        height = len(self.terms)
        last = self.at[-1] if self.at else -1
        behind = height - 1 - last
        if behind < _NEAR or (self.loops and here <= self._stop(self.loops[-1])):
            return here
        if self.is_new is None:
            self.is_new = self._is_new(last)
        if here >= self.ends.known:
            known = max(4 * here, _BEGINNING)
            self.ends = Ends(self.tape, self.tape_shapes[:known], self.prints[:known])
        end = min(self.ends.first(here, here - behind, alone=self.is_new), here + most)
        self.by_context = self.ends.by_context
        for full in self.full[-CANDIDATES:]:
            if full > height:
                end = min(end, here + full - height - 1)
        if end > here:
            self.push_all(here, end, self.ends)
        return end

    def _is_new(self, last: int) -> bool:
        """Whether no loop before was followed by such terms as the last loop is.

        If so, no group that the last loop is in can be the repetition of another.
        """
        key = tuple(self.shapes[max(last, 0) : last + _NEAR])
        is_new = last < 0 or key not in self.followed
        self.followed.add(key)
        return is_new

    def gallop(self, here: int) -> int:
        """Count the iterations of the top loop that follow on the tape.

        Returns:
            How many instructions of the tape from `here` on went into the loop.
        """
        loop = self.terms[-1]
        if isinstance(loop, int) or not loop.form.is_regular:
            return 0
        if (
            loop.form.lead
            and here < len(self.tape_shapes)
            and self.rows[here][0] != loop.form.shapes[0]
        ):
            loop.stop = here  # the commonest end of a loop, told at the least cost
            return 0
        period = loop.period
        ahead = self._ahead(here, period)
        taken = (ahead - here) // period * period
        if taken:
            self.count(loop, taken // period, here + taken)
            loop.stop = min(ahead, here + taken + loop.form.lead)
            self.reduce()
        else:
            loop.stop = min(ahead, here + loop.form.lead)
        return taken

    def _ahead(self, here: int, period: int, most: int | None = None) -> int:
        """The first instruction from `here` on that does not go on as the last two periods did.

        Args:
            here: behind at least two periods.
            period: how many instructions it is.
            most: how many instructions to look at, if not all.
        """
        shapes, index = self.tape_shapes, self.tape.index.reshape(-1)
        n = len(shapes) if most is None else min(len(shapes), here + most)
        size = _CHUNK
        while here < n:
            end = min(here + size, n)
            alike = shapes[here:end] == shapes[here - period : end - period]
            now, before, earlier = [
                index[3 * (here - k * period) : 3 * (end - k * period)] for k in range(3)
            ]
            even = now - before == before - earlier
            i, k = int(alike.argmin()), int(even.argmin())  # the first that is false, if any
            if not (alike[i] and even[k]):
                return here + min(end - here if alike[i] else i, end - here if even[k] else k // 3)
            here = end
            size *= 2
        return n

    # ---- turning loops to where they begin --------------------------------------------------

    def align(self, whole: bool = False) -> bool:
        """Turn the last loop, if what follows it is only part of a next iteration.

        With r instructions of the next iteration behind it, a loop may begin at any of its
        first r + 1. It is turned to the first of those with the fewest carried results.

        Args:
            whole: the tape has ended, so that the last term too is part of an iteration.
        """
        if not self.loops:
            return False
        top, loop = self.terms[-1], self.loops[-1]
        if not isinstance(top, int):
            return False
        stop = loop.stop if loop.stop is not None else self._stop(loop)
        if top >= stop if whole else top != stop:
            return False
        matching = top + whole - loop.end
        turn = self._best_turn(loop, matching) if matching else 0
        if not turn:
            return False
        rest = self.pop(len(self.terms) - self.at[-1])[1:]
        for term in [*loop.body[:turn], self._turned(loop, turn), *rest[turn:]]:
            self.push(term)
            self.reduce()
        return True

    def _stop(self, loop: Rolled) -> int:
        """The first instruction behind the last loop that is not the next term of its body.

        That it may be the first of an inner loop does not count before that loop is found. In
        a loop that is not regular nothing counts: the answer is -1.
        """
        if loop.stop is None:
            loop.stop = -1
            if loop.form.is_regular:
                loop.stop = self._ahead(loop.end, loop.period, loop.form.lead)
        return loop.stop

    def _best_turn(self, loop: Rolled, most: int) -> int:
        """After how many of its first instructions a loop is to begin, that it carries the least.

        An operand at p that reads result k is carried if the iteration begins between them,
        and if the reader and what it reads are in this iteration and the one before.
        """
        period = loop.period
        begin = loop.begin + period
        rows = slice(begin, begin + most + period)
        reads = self.tape.space[rows] == self.result
        read = np.maximum(self.tape.index[rows][reads] - begin, -period - 1)
        case = (period, most, reads.tobytes(), read.tobytes())
        if case not in self.turns:
            readers = np.nonzero(reads)[0].tolist()
            self.turns[case] = _fewest_carried(period, most, readers, read.tolist())
        return self.turns[case]

    def _turned(self, loop: Rolled, turn: int) -> Rolled:
        """The same loop, begun `turn` instructions later: as many more at its end."""
        form, second = loop.form, loop.begin + loop.period
        cut = form.starts[turn]
        moved = tuple(map(add, loop.indices[1 : cut + 1], form.strides))
        body = [*loop.body[turn:], *range(second, second + turn)]
        shapes = form.shapes[turn:] + form.shapes[:turn]
        turned = self.form(body, shapes, form.strides[cut:] + form.strides[:cut])
        indices = (loop.count, *loop.indices[cut + 1 :], *moved)
        return Rolled(turned, indices, body, loop.begin + turn, loop.length)


def _fewest_carried(period: int, most: int, readers: list[int], read: list[int]) -> int:
    """After how many instructions to begin an iteration, so that the fewest results are carried.

    Args:
        period: how many instructions an iteration is.
        most: the latest place to begin at.
        readers: for each operand that is a result, which instruction it belongs to.
        read: which instruction made it.
    """
    change = [0] * (most + 2)
    for p, k in zip(readers, read, strict=True):
        lowest = max(k + 1, p - period + 1, 0)
        highest = min(p, k + period, most)
        if lowest <= highest:
            change[lowest] += 1
            change[highest + 1] -= 1
    carried = list(accumulate(change[:-1]))
    return carried.index(min(carried))
