"""The loop program of a tape: the terms that `roll` finds, as a tree of loops and instructions.

Start reading at `find_loops`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from talweg._util.gc_pause import collection_paused
from talweg.compiler.ir.loop_program import (
    Affine,
    Loop,
    Node,
    Program,
    StraightLine,
    straight_line_instructions,
    verify,
)
from talweg.compiler.ir.tape import NONE, Tape
from talweg.compiler.passes.loop_stack import Rolled, Term
from talweg.compiler.passes.roll import roll, roll_within


@collection_paused()
def find_loops(tape: Tape) -> Program:
    """The loops of a tape, found and verified.

    Args:
        tape: a verified tape.

    Returns:
        The program, which computes the same operations in the same order.
    """
    found = _program(roll(tape), tape)
    verify(found)
    return found


def _program(terms: Sequence[Term], tape: Tape) -> Program:
    parts = [
        part if isinstance(part, StraightLine) else _loop(part, (), Affine(part.begin), tape)
        for part in _parts(terms, 0)
    ]
    return Program(tuple(parts), tape)


@collection_paused()
def find_loops_within(tape: Tape, longest: int) -> Program | None:
    """The loops of a tape, found and verified, if they are short enough.

    Without a pattern a program of a million operations has a million nodes. Where that is of
    no use, this stops reading as soon as it is certain, after some thousand operations.

    Args:
        tape: a verified tape.
        longest: how many instructions and loops may be written down.

    Returns:
        What `find_loops` returns, or None if that is longer.
    """
    terms = roll_within(tape, 5 * longest)
    found = None if terms is None else _program(terms, tape)
    if found is None or found.size > longest:
        return None
    verify(found)
    return found


def _parts(terms: Sequence[Term], begin: int) -> Iterator[StraightLine | Rolled]:
    """Loops, and the instructions between them together.

    Args:
        terms: a piece of the tape.
        begin: where on the tape it begins.
    """
    end = begin
    for term in terms:
        if isinstance(term, int):
            end = term + 1
            continue
        if begin < end:
            yield StraightLine(begin, end)
        yield term
        begin = end = term.begin + term.length
    if begin < end:
        yield StraightLine(begin, end)


def _loop(
    rolled: Rolled, advance: Sequence[Sequence[int]], begin: Affine | None, tape: Tape
) -> Loop:
    """The node of a loop.

    Args:
        rolled: what `roll` found.
        advance: for each loop around it, by how much its indices advance an iteration.
        begin: the number of its first result, if that is affine.
        tape: the tape it was found on.
    """
    count = Affine(rolled.count, tuple([a[0] for a in advance]))
    inside = [*(a[1:] for a in advance), rolled.form.strides]
    body: list[Node] = []
    at = 0
    for part in _parts(rolled.body, rolled.begin):
        first = None
        if begin is not None and rolled.form.is_regular:
            length = rolled.length // rolled.count
            first = Affine(begin.base + part.begin - rolled.begin, (*begin.strides, length))
        if isinstance(part, StraightLine):
            size = int((tape.space[part.begin : part.end] != NONE).sum())
            body += straight_line_instructions(
                part, [a[at : at + size] for a in inside], first, tape
            )
        else:
            size = len(part.indices)
            body.append(_loop(part, [a[at : at + size] for a in inside], first, tape))
        at += size
    return Loop(count, tuple(body))
