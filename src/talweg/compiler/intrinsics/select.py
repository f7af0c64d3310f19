"""Operations that choose between numbers: a comparison, and a `select` by its mask.

They are those of `talweg.autodiff.ieee`, nan and ties included, in both modes.
"""

from __future__ import annotations

from talweg.compiler.intrinsics.builder_protocol import Emitter, Name


def relu(e: Emitter, x: Name) -> Name:
    """X where it is positive, else 0.0; nan stays nan."""
    zero = e.constant(0.0)
    return e.select(e.le(x, zero), zero, x)


def max(e: Emitter, x: Name, y: Name) -> Name:  # noqa: A001 - the operation's name
    """The larger, the first at a tie; nan if either is."""
    return e.select(e.either(e.lt(x, y), e.ne(y, y)), y, x)


def min(e: Emitter, x: Name, y: Name) -> Name:  # noqa: A001 - the operation's name
    """The smaller, the first at a tie; nan if either is."""
    return e.select(e.either(e.lt(y, x), e.ne(y, y)), y, x)


def where(e: Emitter, condition: Name, x: Name, y: Name) -> Name:
    """X if the condition is not zero (nan is not), else y."""
    return e.select(e.ne(condition, e.constant(0.0)), x, y)


def lt(e: Emitter, x: Name, y: Name) -> Name:
    """1.0 if x < y, else 0.0."""
    return e.select(e.lt(x, y), e.constant(1.0), e.constant(0.0))


def le(e: Emitter, x: Name, y: Name) -> Name:
    """1.0 if x <= y, else 0.0."""
    return e.select(e.le(x, y), e.constant(1.0), e.constant(0.0))
