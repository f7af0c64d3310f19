"""Operations that select one of two numbers: a comparison, and a selection by its mask.

In both modes they agree with `talweg.autodiff.ieee` for all operands, nan and ties included.

Start reading at `relu`.
"""

from __future__ import annotations

from talweg.compiler.intrinsics.builder_protocol import Builder, Name


def relu(b: Builder, x: Name) -> Name:
    """X where it is positive, else 0.0; nan for nan."""
    zero = b.constant(0.0)
    return b.select(b.le(x, zero), zero, x)


def max(b: Builder, x: Name, y: Name) -> Name:  # noqa: A001 - the operation's name
    """The larger, x at a tie; nan if either is nan."""
    return b.select(b.mask_or(b.lt(x, y), b.ne(y, y)), y, x)


def min(b: Builder, x: Name, y: Name) -> Name:  # noqa: A001 - the operation's name
    """The smaller, x at a tie; nan if either is nan."""
    return b.select(b.mask_or(b.lt(y, x), b.ne(y, y)), y, x)


def where(b: Builder, condition: Name, x: Name, y: Name) -> Name:
    """X where the condition is not zero, y where it is; nan is not zero."""
    return b.select(b.ne(condition, b.constant(0.0)), x, y)


def lt(b: Builder, x: Name, y: Name) -> Name:
    """1.0 where x < y, else 0.0."""
    return b.select(b.lt(x, y), b.constant(1.0), b.constant(0.0))


def le(b: Builder, x: Name, y: Name) -> Name:
    """1.0 where x <= y, else 0.0."""
    return b.select(b.le(x, y), b.constant(1.0), b.constant(0.0))


def leaky_relu(b: Builder, x: Name, slope: Name) -> Name:
    """X where it is positive, else slope * x."""
    return b.select(b.lt(b.constant(0.0), x), x, b.mul(slope, x))


def clip(b: Builder, x: Name, low: Name, high: Name) -> Name:
    """X, but at least `low` and at most `high`; nan if one of them is nan."""
    return min(b, max(b, x, low), high)


def sign(b: Builder, x: Name) -> Name:
    """1.0 where x is positive, -1.0 where it is negative, else x: a zero or nan."""
    zero = b.constant(0.0)
    below = b.select(b.lt(x, zero), b.constant(-1.0), x)
    return b.select(b.lt(zero, x), b.constant(1.0), below)
