"""What the elementary functions have in common: polynomials, whole numbers, signs, bounds."""

from __future__ import annotations

from collections.abc import Sequence

from talweg.compiler.intrinsics.builder_protocol import Builder, Name

WHOLE = 1.5 * 2.0**52
"""Added to a small number, this rounds it to a whole one, which then stands in the low bits."""

BIAS = 1023.0
"""What the exponent of a double is stored with: added too, the low bits are an exponent's."""

SIGN = -(2**63)
"""The highest bit, which is that of the sign."""


def polynomial(b: Builder, x: Name, coefficients: Sequence[float]) -> Name:
    """The sum of coefficients[i] * x**i.

    Even and odd powers are two chains that run side by side, which takes half the time of one
    and costs one multiplication.
    """
    square = b.mul(x, x)
    odd = _horner(b, square, coefficients[1::2])
    return b.muladd(odd, x, _horner(b, square, coefficients[0::2]))


def odd_polynomial(b: Builder, r: Name, coefficients: Sequence[float]) -> Name:
    """R + r**3 P(r**2)."""
    z = b.mul(r, r)
    return b.muladd(b.mul(r, z), polynomial(b, z, coefficients), r)


def power_of_two(b: Builder, rounded: Name) -> Name:
    """2**k, where `rounded` is k + WHOLE + BIAS and k is the exponent of some double."""
    return b.from_bits(b.shift_left(b.to_bits(rounded), 52))


def at_most(b: Builder, x: Name, most: float) -> Name:
    """The smaller; nan stays nan."""
    return b.select(b.lt(b.constant(most), x), b.constant(most), x)


def at_least(b: Builder, x: Name, least: float) -> Name:
    """The larger; nan stays nan."""
    return b.select(b.lt(x, b.constant(least)), b.constant(least), x)


def with_sign_of(b: Builder, x: Name, size: Name) -> Name:
    """A number whose sign is not set, with the sign of x."""
    sign = b.integer_and(b.to_bits(x), b.integer_constant(SIGN))
    return b.from_bits(b.integer_or(b.to_bits(size), sign))


def _horner(b: Builder, x: Name, coefficients: Sequence[float]) -> Name:
    result = b.constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = b.muladd(result, x, b.constant(c))
    return result
