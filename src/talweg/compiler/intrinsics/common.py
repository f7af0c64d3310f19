"""What the elementary functions have in common: polynomials, whole numbers, signs, bounds."""

from __future__ import annotations

from collections.abc import Sequence

from talweg.compiler.intrinsics.builder_protocol import Emitter, Name

WHOLE = 1.5 * 2.0**52
"""Added to a small number, this rounds it to a whole one, which then stands in the low bits."""

BIAS = 1023.0
"""What the exponent of a double is stored with: added too, the low bits are an exponent's."""

SIGN = -(2**63)
"""The highest bit, which is that of the sign."""


def polynomial(e: Emitter, x: Name, coefficients: Sequence[float]) -> Name:
    """The sum of coefficients[i] * x**i.

    Even and odd powers are two chains that run side by side, which takes half the time of one
    and costs one multiplication.
    """
    square = e.mul(x, x)
    odd = _horner(e, square, coefficients[1::2])
    return e.muladd(odd, x, _horner(e, square, coefficients[0::2]))


def odd_polynomial(e: Emitter, r: Name, coefficients: Sequence[float]) -> Name:
    """R + r**3 P(r**2)."""
    z = e.mul(r, r)
    return e.muladd(e.mul(r, z), polynomial(e, z, coefficients), r)


def power_of_two(e: Emitter, rounded: Name) -> Name:
    """2**k, where `rounded` is k + WHOLE + BIAS and k is the exponent of some double."""
    return e.number(e.shift_left(e.bits(rounded), 52))


def at_most(e: Emitter, x: Name, most: float) -> Name:
    """The smaller; nan stays nan."""
    return e.select(e.lt(e.constant(most), x), e.constant(most), x)


def at_least(e: Emitter, x: Name, least: float) -> Name:
    """The larger; nan stays nan."""
    return e.select(e.lt(x, e.constant(least)), e.constant(least), x)


def with_sign_of(e: Emitter, x: Name, size: Name) -> Name:
    """A number whose sign is not set, with the sign of x."""
    sign = e.integer_and(e.bits(x), e.integer(SIGN))
    return e.number(e.integer_or(e.bits(size), sign))


def _horner(e: Emitter, x: Name, coefficients: Sequence[float]) -> Name:
    result = e.constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = e.muladd(result, x, e.constant(c))
    return result
