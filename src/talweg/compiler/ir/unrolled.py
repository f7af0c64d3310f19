"""Loops over tables of instructions, written out iteration by iteration.

A table has the shape (1 + d, n, 7): for each of n instructions its operation, and the spaces
and the indices of its operands, as on a tape, where all d loop variables around it are zero;
then, for each of those, by how much these numbers advance an iteration. Whole iterations are
computed together, as long as no trip count depends on the variable.

Start reading at `pieces`; the verifier of loops compares them with the tape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from talweg.compiler.ir.tape import Array

_PIECE = 2**14
"""About so many instructions are written out at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Nest:
    """A loop.

    Attributes:
        count: its trip count where all loop variables around it are zero.
        strides: by how much that advances with each of them.
        body: the tables and loops in it.
        varies: whether a trip count in the body depends on this loop.
    """

    count: int
    strides: tuple[int, ...]
    body: list[Array | Nest]
    varies: bool

    def count_at(self, point: Sequence[int | None]) -> int:
        """The trip count at a point; what it does not depend on may be left open."""
        pairs = zip(self.strides, point, strict=True)
        return max(0, self.count + sum([s * i for s, i in pairs if i]))


def pieces(part: Array | Nest) -> Iterator[Array]:
    """All instructions of an outermost loop, or of a table outside of loops, in order.

    Yields:
        Pieces of them that fit into the processor's memory, shape (n, 7).
    """
    if not isinstance(part, Nest):
        yield part[0]
    elif part.varies:
        yield from (_body(part.body, (i,))[0] for i in range(part.count))
    else:
        first, advance = _body(part.body, (None,))
        at_once = max(1, _PIECE // max(1, len(first)))
        for i in range(0, part.count, at_once):
            iterations = np.arange(i, min(i + at_once, part.count))
            yield (first + iterations[:, None, None] * advance).reshape(-1, 7)


def _body(body: Sequence[Array | Nest], point: Sequence[int | None]) -> Array:
    """All instructions of a body as one table.

    Args:
        body: tables and loops.
        point: the values of the loop variables around it; None for those that are left open,
            which no trip count depends on.

    Returns:
        A table in which only the variables left open remain.
    """
    left_open = [1 + depth for depth, i in enumerate(point) if i is None]
    parts = [np.zeros((1 + len(left_open), 0, 7), dtype=np.int64)]
    for part in body:
        if isinstance(part, Nest):
            parts.append(_loop(part, point))
            continue
        table = part[[0, *left_open]]
        for depth, i in enumerate(point):
            if i:
                table[0] += i * part[1 + depth]
        parts.append(table)
    return np.concatenate(parts, axis=1)


def _loop(loop: Nest, point: Sequence[int | None]) -> Array:
    """All iterations of a loop as one table."""
    count = loop.count_at(point)
    if loop.varies:
        iterations = [_body(loop.body, (*point, i)) for i in range(count)]
        return np.concatenate([*iterations, _body((), point)], axis=1)
    table = _body(loop.body, (*point, None))
    first = table[0] + np.arange(count)[:, None, None] * table[-1]
    return np.concatenate([first.reshape(1, -1, 7), np.tile(table[1:-1], (1, count, 1))])
