"""Stride detection: where three consecutive segments of a tape advance by one constant stride.

Whether three segments of instructions are the start of a loop is a question about all their
indices. Two devices answer it at the cost of a few numbers:

* **Fingerprints.** The fingerprint of an entry (an instruction or a loop) is

      SHAPE**shape + sum(indices[k] * INDEX**(k + 1)),

  that of consecutive entries is sum(fingerprint[j] * POSITION**(last - j)), all modulo 2**64.
  Fingerprints are linear in the indices. So if a, b and c are the fingerprints of three segments
  that advance by one stride, a - 2*b + c is zero; if they do not, it is almost never zero, and
  the comparison of all indices that follows decides. From the fingerprints of all prefixes of a
  sequence, that of any segment follows by a subtraction.

* **Earlier occurrences.** The length of a segment is the distance to an earlier occurrence of
  its last instruction: one of the last instructions of the same shape, or, in a long body
  with too many of those, the last instruction in the same context.

Start reading at `StrideDetector`, which combines the two for a whole tape.
"""

from __future__ import annotations

import numpy as np

from talweg.compiler.ir.tape import RESULT, Array, Tape

MASK = 2**64 - 1
POSITION, INDEX, SHAPE = 0x9E3779B97F4A7C15, 0x5851F42D4C957F2D, 0xD1342543DE82EF95

CANDIDATES = 6
"""How many earlier occurrences of a shape are tried as the last entry of the previous segment."""

_CONTEXT = 4
"""The count of consecutive instructions that form a context."""

_FIRST_BLOCK, _LARGEST_BLOCK = 2**10, 2**16
"""So many instructions are examined together; twice as many at each continuation."""


def instruction_shapes(tape: Tape) -> Array:
    """For each instruction a number, from 0 on, that is equal where operation and spaces are."""
    if not len(tape):
        return np.zeros(0, dtype=np.int64)
    base = len(tape.spaces) + 1
    key = tape.code.astype(np.int64)
    for operand in range(3):
        key = key * base + tape.space[:, operand] + 1
    most = int(key.max()) + 1
    if most > 2**20:
        return np.unique(key, return_inverse=True)[1].reshape(-1)
    occurs = np.zeros(most, dtype=np.int64)  # few keys are possible: count instead of sorting
    occurs[key] = 1
    shapes: Array = (np.cumsum(occurs) - 1)[key]
    return shapes


class Powers:
    """The powers of a number modulo 2**64, as far as they were requested."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.known = [1]

    def up_to(self, last: int) -> list[int]:
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


def instruction_fingerprints(shapes: Array, indices: Array) -> Array:
    """The fingerprint of each instruction.

    Args:
        shapes: their shapes, (n,).
        indices: the indices of their operands, (n, 3), 0 where there is none.
    """
    found: Array = _powers(SHAPE, int(shapes.max(initial=0)) + 1)[shapes]
    for k, weight in enumerate(_powers(INDEX, indices.shape[1] + 1)[1:]):
        found += indices[:, k].astype(np.uint64) * weight
    return found


class StrideDetector:
    """Which instructions of a tape can be the last of three segments with a constant stride.

    Only segments of instructions are meant; those with loops in them are found by `roll`.

    Args:
        tape: the program.
        shapes: the shapes of its instructions, or of the first of them.
        fingerprints: their fingerprints.

    Attributes:
        known: the count of instructions that were given.
        sums: the fingerprints of all prefixes of the tape.
        powers: of `POSITION`.
        by_context: for the instructions examined last, the length of the segments that stop
            there, where only the context gave it.
    """

    def __init__(self, tape: Tape, shapes: Array, fingerprints: Array) -> None:
        n = self.known = len(shapes)
        self.shapes = shapes
        self.powers = _powers(POSITION, n + 1)
        inverse = _powers(pow(POSITION, -1, MASK + 1), n)
        self.sums = np.zeros(n + 1, dtype=np.uint64)
        self.sums[1:] = np.cumsum(fingerprints * inverse) * self.powers[:n]
        self.before = _previous(shapes)
        self.same_context = _previous(_contexts(tape, shapes))
        self.by_context: dict[int, int] = {}
        self.start, self.stop = 0, 0
        self.reach = self.oldest = self.before[:0]

    def first(self, position: int, earliest: int, *, alone: bool) -> int:
        """The first instruction from a position on that can be such a last one.

        Args:
            position: the position.
            earliest: the segments must not reach back beyond this instruction.
            alone: whether no segment that reaches further back can be part of a loop; if not,
                instructions with a candidate further back are returned too.

        Returns:
            The number of an instruction, or `known` if there is none.
        """
        window = 256
        while position < self.known:
            if not self.start <= position < self.stop:
                self._examine(position)
            part = slice(position - self.start, position - self.start + window)
            is_last = self.reach[part] >= earliest
            if not alone:
                is_last |= self.oldest[part] < earliest
            found = int(is_last.argmax())
            if is_last[found]:
                return position + found
            position += len(is_last)
            window *= 4
        return self.known

    def _examine(self, position: int) -> None:
        """Compute for a block of instructions how far the shortest segments reach back."""
        twice = 2 * (self.stop - self.start) if position == self.stop else 0
        size = min(max(twice, _FIRST_BLOCK), _LARGEST_BLOCK)
        self.start, self.stop = position, min(position + size, self.known)
        last = np.arange(self.start, self.stop)
        self.reach = np.full(len(last), -1)
        earlier = last
        for _ in range(CANDIDATES):
            earlier = self.before[earlier]
            self._try(last, earlier)
        self.oldest = earlier
        found = self._try(last, self.same_context[last])
        lengths = found - self.same_context[found]
        self.by_context = dict(zip(found.tolist(), lengths.tolist(), strict=True))

    def _try(self, last: Array, before: Array) -> Array:
        """Note which segments have a constant stride that stop here and, the ones before, there."""
        possible = (self.reach < 0) & (before >= 0) & (3 * before >= 2 * last - 1)
        chosen = np.flatnonzero(possible)
        stop, length = last[chosen], (last - before)[chosen]
        alike = self.shapes[stop - 2 * length] == self.shapes[stop]
        chosen, stop, length = chosen[alike], stop[alike] + 1, length[alike]
        a, b, c, d = (self.sums[stop - k * length] for k in range(4))
        constant = a - 2 * b + c == self.powers[length] * (b - 2 * c + d)
        found: Array = chosen[constant]
        self.reach[found] = (stop - 3 * length)[constant]
        return last[found]


def _previous(keys: Array) -> Array:
    """For each index the last one before it with the same key, or -1; for index -1 too."""
    few = keys.max(initial=0) < 2**16  # these are sorted in linear time
    order = np.argsort(keys.astype(np.uint16) if few else keys, kind="stable")
    same = keys[order[1:]] == keys[order[:-1]]
    previous = np.full(len(keys) + 1, -1)
    previous[order[1:][same]] = order[:-1][same]
    return previous


def _contexts(tape: Tape, shapes: Array) -> Array:
    """One number for the last instructions up to each: their shapes and operand distances.

    An operand that an iteration reads of its own results has the same distance in every
    iteration.
    """
    n = len(shapes)
    is_result = tape.space[:n] == tape.spaces.index(RESULT)
    distance = np.where(is_result, np.arange(n)[:, None] - tape.index[:n], 0)
    keys = instruction_fingerprints(shapes, distance)
    contexts = keys.copy()
    for k, power in enumerate(_powers(POSITION, _CONTEXT)[1:], 1):
        contexts[k:] += keys[:-k] * power
    return contexts
