"""The loop program of a tape: the entries that `roll` finds, as a tree of loops and instructions.

Start reading at `find_loops`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from talweg._util.gc_pause import collection_paused
from talweg.compiler.ir.affine import Affine
from talweg.compiler.ir.loop_program import (
    Loop,
    LoopProgram,
    Node,
    StraightLine,
    straight_line_instructions,
)
from talweg.compiler.ir.loop_verifier import verify
from talweg.compiler.ir.tape import NONE, Tape
from talweg.compiler.passes.loop_stack import Entry, RolledLoop
from talweg.compiler.passes.roll import roll, roll_within


@collection_paused()
def find_loops(tape: Tape) -> LoopProgram:
    """The loops of a tape, found and verified.

    Args:
        tape: a verified tape.

    Returns:
        The program, which computes the same operations in the same order.
    """
    program = _program(roll(tape), tape)
    verify(program)
    return program


@collection_paused()
def find_loops_within(tape: Tape, longest: int) -> LoopProgram | None:
    """The loops of a tape, found and verified, if they are short enough.

    Without a pattern a program of a million operations has a million nodes. Where such a program
    is of no use, this function stops as soon as that is certain, after some thousand operations.

    Args:
        tape: a verified tape.
        longest: the largest size, in instructions and loops.

    Returns:
        What `find_loops` returns, or None if that is longer.
    """
    entries = roll_within(tape, 5 * longest)
    program = None if entries is None else _program(entries, tape)
    if program is None or program.size > longest:
        return None
    verify(program)
    return program


def _program(entries: Sequence[Entry], tape: Tape) -> LoopProgram:
    parts = [
        part if isinstance(part, StraightLine) else _loop(part, (), Affine(part.start), tape)
        for part in _parts(entries, 0)
    ]
    return LoopProgram(tuple(parts), tape)


def _parts(entries: Sequence[Entry], start: int) -> Iterator[StraightLine | RolledLoop]:
    """Loops, and the consecutive instructions between them together.

    Args:
        entries: a piece of the tape.
        start: the number of its first instruction.
    """
    stop = start
    for entry in entries:
        if isinstance(entry, int):
            stop = entry + 1
            continue
        if start < stop:
            yield StraightLine(start, stop)
        yield entry
        start = stop = entry.start + entry.length
    if start < stop:
        yield StraightLine(start, stop)


def _loop(
    rolled: RolledLoop, advance: Sequence[Sequence[int]], first_result: Affine | None, tape: Tape
) -> Loop:
    """The node of a loop.

    Args:
        rolled: what `roll` found.
        advance: for each surrounding loop, by how much its indices advance in one iteration.
        first_result: the number of its first result, if that is affine.
        tape: the tape on which it was found.
    """
    count = Affine(rolled.count, tuple([a[0] for a in advance]))
    inside = [*(a[1:] for a in advance), rolled.form.strides]
    body: list[Node] = []
    at = 0
    for part in _parts(rolled.body, rolled.start):
        first = None
        if first_result is not None and rolled.form.is_regular:
            length = rolled.length // rolled.count
            base = first_result.base + part.start - rolled.start
            first = Affine(base, (*first_result.strides, length))
        if isinstance(part, StraightLine):
            size = int((tape.space[part.start : part.stop] != NONE).sum())
            own = [a[at : at + size] for a in inside]
            body += straight_line_instructions(part, own, first, tape)
        else:
            size = len(part.indices)
            body.append(_loop(part, [a[at : at + size] for a in inside], first, tape))
        at += size
    return Loop(count, tuple(body))
