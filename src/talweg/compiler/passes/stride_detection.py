"""Where groups of instructions advance evenly, found with arrays before anything is tried.

Whether three groups are the beginning of a loop is a question about all their indices. Two
things answer it at the cost of a few numbers:

* **Fingerprints.** That of a term (an instruction or a loop) is

      SHAPE**shape + sum(indices[k] * INDEX**(k + 1)),

  that of terms in a row is sum(fingerprint[j] * PLACE**(last - j)), all modulo 2**64. They are
  linear in the indices. So if a, b and c are the fingerprints of three groups that advance
  evenly, a - 2*b + c is zero; if they do not, it hardly ever is, and the comparison of all
  indices that follows has the last word. With the fingerprints of all beginnings of a
  sequence at hand, that of any group in it costs a subtraction.

* **Earlier places.** A group is as long as the way back to where its last instruction was
  seen before: one of the last places of the same shape, or, in a long body where there are
  too many of those, the last place where it stood in the same context.

Start reading at `Ends`, which puts the two together for a whole tape.
"""

from __future__ import annotations

import numpy as np

from talweg.compiler.ir.tape import RESULT, Array, Tape

MASK = 2**64 - 1
PLACE, INDEX, SHAPE = 0x9E3779B97F4A7C15, 0x5851F42D4C957F2D, 0xD1342543DE82EF95

CANDIDATES = 6
"""How many earlier places of the same shape are tried as the previous group's end."""

_CONTEXT = 4
"""How many instructions in a row are a context."""

_FIRST_BLOCK, _LARGEST_BLOCK = 2**10, 2**16
"""So many instructions are looked at together; twice as many each time that more are wanted."""


class Powers:
    """The powers of a number modulo 2**64, as far as they were asked for."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.known = [1]

    def upto(self, last: int) -> list[int]:
        """A list with at least the powers 0 to last."""
        known = self.known
        while len(known) <= last:
            known.append(known[-1] * self.base & MASK)
        return known


def _powers(base: int, count: int) -> Array:
    """The powers 0 to count - 1 as an array."""
    factors = np.full(count, base, dtype=np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)


def fingerprints(shapes: Array, indices: Array) -> Array:
    """The fingerprint of each instruction.

    Args:
        shapes: their shapes, (n,).
        indices: the indices of their operands, (n, 3), 0 where there is none.
    """
    prints: Array = _powers(SHAPE, int(shapes.max(initial=0)) + 1)[shapes]
    for k, weight in enumerate(_powers(INDEX, indices.shape[1] + 1)[1:]):
        prints += indices[:, k].astype(np.uint64) * weight
    return prints


class Ends:
    """Which instructions of a tape can be the last of three groups that advance evenly.

    Only groups of instructions are meant; what loops between them do is for `roll` to say.

    Args:
        tape: the program.
        shapes: the shapes of its instructions, or of the first of them.
        prints: their fingerprints.

    Attributes:
        known: how many instructions were given.
        sums: the fingerprints of all beginnings of the tape.
        powers: of `PLACE`.
        by_context: how long the groups are that end at an instruction, where only the
            context told; for the instructions looked at last.
    """

    def __init__(self, tape: Tape, shapes: Array, prints: Array) -> None:
        n = self.known = len(shapes)
        self.shapes = shapes
        self.powers = _powers(PLACE, n + 1)
        inverse = _powers(pow(PLACE, -1, MASK + 1), n)
        self.sums = np.zeros(n + 1, dtype=np.uint64)
        self.sums[1:] = np.cumsum(prints * inverse) * self.powers[:n]
        self.before = _previous(shapes)
        self.same_context = _previous(_contexts(tape, shapes))
        self.by_context: dict[int, int] = {}
        self.begin, self.end = 0, 0
        self.reach = self.oldest = self.before[:0]

    def first(self, here: int, start: int, *, alone: bool) -> int:
        """The first instruction from a place on that can be such a last one.

        Args:
            here: the place.
            start: the groups must not reach back beyond this instruction.
            alone: whether no group that reaches further back can be part of a loop; if not,
                instructions with a candidate further back are named too.

        Returns:
            The number of an instruction, or `known` if there is none.
        """
        window = 256
        while here < self.known:
            if not self.begin <= here < self.end:
                self._look_at(here)
            part = slice(here - self.begin, here - self.begin + window)
            ends = self.reach[part] >= start
            if not alone:
                ends |= self.oldest[part] < start
            found = int(ends.argmax())
            if ends[found]:
                return here + found
            here += len(ends)
            window *= 4
        return self.known

    def _look_at(self, here: int) -> None:
        """Find out for a block of instructions how far the shortest groups reach back."""
        twice = 2 * (self.end - self.begin) if here == self.end else 0
        size = min(max(twice, _FIRST_BLOCK), _LARGEST_BLOCK)
        self.begin, self.end = here, min(here + size, self.known)
        last = np.arange(self.begin, self.end)
        self.reach = np.full(len(last), -1)
        place = last
        for _ in range(CANDIDATES):
            place = self.before[place]
            self._try(last, place)
        self.oldest = place
        found = self._try(last, self.same_context[last])
        lengths = found - self.same_context[found]
        self.by_context = dict(zip(found.tolist(), lengths.tolist(), strict=True))

    def _try(self, last: Array, before: Array) -> Array:
        """Note which groups advance evenly that end here and, the ones before, there."""
        possible = (self.reach < 0) & (before >= 0) & (3 * before >= 2 * last - 1)
        chosen = np.flatnonzero(possible)
        end, length = last[chosen], (last - before)[chosen]
        alike = self.shapes[end - 2 * length] == self.shapes[end]
        chosen, end, length = chosen[alike], end[alike] + 1, length[alike]
        a, b, c, d = (self.sums[end - k * length] for k in range(4))
        even = a - 2 * b + c == self.powers[length] * (b - 2 * c + d)
        found: Array = chosen[even]
        self.reach[found] = (end - 3 * length)[even]
        return last[found]


def _previous(keys: Array) -> Array:
    """For each place the last one before it with the same key, or -1; for place -1 too."""
    few = keys.max(initial=0) < 2**16  # these are sorted in linear time
    order = np.argsort(keys.astype(np.uint16) if few else keys, kind="stable")
    same = keys[order[1:]] == keys[order[:-1]]
    previous = np.full(len(keys) + 1, -1)
    previous[order[1:][same]] = order[:-1][same]
    return previous


def _contexts(tape: Tape, shapes: Array) -> Array:
    """One number for the last instructions up to each: their shapes, and how far back they read.

    What an iteration reads of its own results is equally far back in every iteration.
    """
    n = len(shapes)
    is_result = tape.space[:n] == tape.spaces.index(RESULT)
    distance = np.where(is_result, np.arange(n)[:, None] - tape.index[:n], 0)
    keys = fingerprints(shapes, distance)
    contexts = keys.copy()
    for k, power in enumerate(_powers(PLACE, _CONTEXT)[1:], 1):
        contexts[k:] += keys[:-k] * power
    return contexts
