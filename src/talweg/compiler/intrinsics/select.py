"""Operations that choose between numbers: a comparison, and a `select` by its mask.

They are those of `talweg.autodiff.ieee`, nan and ties included, in both modes.
"""

from __future__ import annotations

from talweg.compiler.intrinsics.builder_protocol import Builder, Name


def relu(b: Builder, x: Name) -> Name:
    """X where it is positive, else 0.0; nan stays nan."""
    zero = b.constant(0.0)
    return b.select(b.le(x, zero), zero, x)


def max(b: Builder, x: Name, y: Name) -> Name:  # noqa: A001 - the operation's name
    """The larger, the first at a tie; nan if either is."""
    return b.select(b.mask_or(b.lt(x, y), b.ne(y, y)), y, x)


def min(b: Builder, x: Name, y: Name) -> Name:  # noqa: A001 - the operation's name
    """The smaller, the first at a tie; nan if either is."""
    return b.select(b.mask_or(b.lt(y, x), b.ne(y, y)), y, x)


def where(b: Builder, condition: Name, x: Name, y: Name) -> Name:
    """X if the condition is not zero (nan is not), else y."""
    return b.select(b.ne(condition, b.constant(0.0)), x, y)


def lt(b: Builder, x: Name, y: Name) -> Name:
    """1.0 if x < y, else 0.0."""
    return b.select(b.lt(x, y), b.constant(1.0), b.constant(0.0))


def le(b: Builder, x: Name, y: Name) -> Name:
    """1.0 if x <= y, else 0.0."""
    return b.select(b.le(x, y), b.constant(1.0), b.constant(0.0))
