"""The verifier of loop programs: all iterations, enumerated, are compared with the tape.

The loops are expanded with NumPy as tables of instructions. A table has the shape (1 + d, n, 7):
for each of n instructions its operation, and the spaces and the indices of its operands, as on a
tape, where all d surrounding loop variables are zero; then, for each loop variable, by how much
these seven numbers advance in one iteration. Iterations are expanded together as long as no
trip count depends on the loop variable, and in chunks that fit into the processor's cache.

Start reading at `verify`, then `_expanded`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from talweg.compiler.ir.loop_program import (
    Instruction,
    Loop,
    LoopProgram,
    Node,
    StraightLine,
    trip_counts_depend,
)
from talweg.compiler.ir.tape import NONE, Array, Tape
from talweg.errors import CompilerError

_CHUNK = 2**14
"""About as many instructions are expanded together."""


def verify(program: LoopProgram) -> None:
    """Check that the loops, iteration by iteration, are the tape to the last index.

    Raises:
        CompilerError: at the first instruction that differs.
    """
    tape, done = program.tape, 0
    for part in program.parts:
        if not isinstance(part, StraightLine):
            for rows in _expanded(_tables([part], 0, tape)[0]):
                done = _compare(rows, done, tape)
        elif part.start == done:
            done = part.stop  # these instructions are the tape's own
        else:
            raise CompilerError(
                f"loops: instruction {part.start} of the tape is at position {done}"
            )
    if done != len(tape):
        raise CompilerError(f"loops: {done} instructions, the tape has {len(tape)}")


def _compare(rows: Array, start: int, tape: Tape) -> int:
    """Raise an error unless these are the tape from `start` on; returns where they stop."""
    stop = start + len(rows)
    if stop > len(tape):
        raise CompilerError(f"loops: {stop} instructions or more, the tape has {len(tape)}")
    wrong = rows[:, 0] != tape.code[start:stop]
    for k in range(3):
        wrong |= rows[:, 1 + k] != tape.space[start:stop, k]
        wrong |= rows[:, 4 + k] != tape.index[start:stop, k]
    if wrong.any():
        i = start + int(wrong.argmax())
        raise CompilerError(f"loops: instruction {i} differs from the tape's {tape.line(i)!r}")
    return stop


# ---- loops over tables -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _TableLoop:
    """A loop over tables.

    Attributes:
        count: its trip count where all surrounding loop variables are zero.
        strides: by how much the trip count advances with each of them.
        body: the tables and loops in it.
        varies: whether a trip count in the body depends on this loop.
    """

    count: int
    strides: tuple[int, ...]
    body: list[Array | _TableLoop]
    varies: bool

    def count_at(self, point: Sequence[int | None]) -> int:
        """The trip count at a point; variables that it does not depend on may be None."""
        pairs = zip(self.strides, point, strict=True)
        return max(0, self.count + sum([s * i for s, i in pairs if i]))


def _tables(nodes: Sequence[Node], depth: int, tape: Tape) -> list[Array | _TableLoop]:
    """The nodes inside so many loops as tables and loops over tables."""
    tables: list[Array | _TableLoop] = []
    for _, consecutive in groupby(nodes, key=lambda node: isinstance(node, Loop)):
        same_kind = list(consecutive)
        for node in same_kind:
            if isinstance(node, Loop):
                body = _tables(node.body, depth + 1, tape)
                varies = trip_counts_depend(node.body, depth)
                tables.append(_TableLoop(node.count.base, node.count.strides, body, varies))
        rows = [node for node in same_kind if isinstance(node, Instruction)]
        if rows:
            tables.append(_table(rows, depth, tape))
    return tables


def _table(instructions: Sequence[Instruction], depth: int, tape: Tape) -> Array:
    codes = {op: code for code, op in enumerate(tape.operations)}
    spaces = {name: number for number, name in enumerate(tape.spaces)}
    rows: list[list[int]] = []
    strides: list[tuple[int, ...]] = []
    for node in instructions:
        absent = [0] * (3 - len(node.operands))
        numbers = [spaces[x.space] for x in node.operands] + [NONE for _ in absent]
        rows.append([codes[node.op], *numbers, *[x.index.base for x in node.operands], *absent])
        strides += [x.index.strides for x in node.operands]
        strides += [(0,) * depth for _ in absent]
    table = np.zeros((1 + depth, len(rows), 7), dtype=np.int64)
    table[0] = rows
    if depth:
        table[1:, :, 4:] = np.moveaxis(np.array(strides).reshape(-1, 3, depth), 2, 0)
    return table


def _expanded(part: Array | _TableLoop) -> Iterator[Array]:
    """All instructions of an outermost loop, or of a table outside of loops, in order.

    Yields:
        Chunks of them, shape (n, 7).
    """
    if not isinstance(part, _TableLoop):
        yield part[0]
    elif part.varies:
        yield from (_body_table(part.body, (i,))[0] for i in range(part.count))
    else:
        first, advance = _body_table(part.body, (None,))
        at_once = max(1, _CHUNK // max(1, len(first)))
        for i in range(0, part.count, at_once):
            iterations = np.arange(i, min(i + at_once, part.count))
            yield (first + iterations[:, None, None] * advance).reshape(-1, 7)


def _body_table(body: Sequence[Array | _TableLoop], point: Sequence[int | None]) -> Array:
    """All instructions of a body as one table.

    Args:
        body: tables and loops.
        point: the values of the surrounding loop variables; None for those that stay symbolic,
            which no trip count depends on.

    Returns:
        A table in which only the symbolic variables remain.
    """
    symbolic = [1 + depth for depth, i in enumerate(point) if i is None]
    parts = [np.zeros((1 + len(symbolic), 0, 7), dtype=np.int64)]
    for part in body:
        if isinstance(part, _TableLoop):
            parts.append(_loop_table(part, point))
            continue
        table = part[[0, *symbolic]]
        for depth, i in enumerate(point):
            if i:
                table[0] += i * part[1 + depth]
        parts.append(table)
    return np.concatenate(parts, axis=1)


def _loop_table(loop: _TableLoop, point: Sequence[int | None]) -> Array:
    """All iterations of a loop as one table."""
    count = loop.count_at(point)
    if loop.varies:
        iterations = [_body_table(loop.body, (*point, i)) for i in range(count)]
        return np.concatenate([*iterations, _body_table((), point)], axis=1)
    table = _body_table(loop.body, (*point, None))
    first = table[0] + np.arange(count)[:, None, None] * table[-1]
    return np.concatenate([first.reshape(1, -1, 7), np.tile(table[1:-1], (1, count, 1))])
