"""Building blocks of the elementary functions: polynomials, rounding, powers of two, signs, bounds.

Start reading at `polynomial` and `ROUND`.
"""

from __future__ import annotations

from collections.abc import Sequence

from talweg.compiler.intrinsics.builder_protocol import Builder, Name

ROUND = 1.5 * 2.0**52
"""The sum of this and a number below 2**51 is rounded to an integer, which is in its low bits.

The last bit of a double between 2**52 and 2**53 is worth 1. The half on top of 2**52 keeps the sum
in that range for negative numbers."""

BIAS = 1023.0
"""The exponent of a double is stored as its sum with this."""

SIGN_BIT = -(2**63)
"""The integer of which only the highest bit is set, the sign bit of a double."""


def polynomial(b: Builder, x: Name, coefficients: Sequence[float]) -> Name:
    """The sum of coefficients[i] * x**i.

    Even and odd powers are two chains of Horner's scheme, which the processor runs in parallel:
    half the latency of one chain for one more multiplication.
    """
    square = b.mul(x, x)
    odd = horner(b, square, coefficients[1::2])
    return b.muladd(odd, x, horner(b, square, coefficients[0::2]))


def odd_polynomial(b: Builder, r: Name, coefficients: Sequence[float]) -> Name:
    """R + r**3 P(r**2), where P has these coefficients."""
    z = b.mul(r, r)
    return b.muladd(b.mul(r, z), polynomial(b, z, coefficients), r)


def power_of_two(b: Builder, rounded: Name) -> Name:
    """2**k for -1022 <= k <= 1023, where `rounded` is k + ROUND + BIAS.

    Its low bits are those of the exponent, which the shift moves to where a double has it.
    """
    return b.from_bits(b.shift_left(b.to_bits(rounded), 52))


def at_most(b: Builder, x: Name, most: float) -> Name:
    """The smaller of x and a constant; nan for nan."""
    return b.select(b.lt(b.constant(most), x), b.constant(most), x)


def at_least(b: Builder, x: Name, least: float) -> Name:
    """The larger of x and a constant; nan for nan."""
    return b.select(b.lt(x, b.constant(least)), b.constant(least), x)


def with_sign_of(b: Builder, x: Name, size: Name) -> Name:
    """A number whose sign bit is not set, with the sign of x."""
    sign = b.integer_and(b.to_bits(x), b.integer_constant(SIGN_BIT))
    return b.from_bits(b.integer_or(b.to_bits(size), sign))


def truncated(b: Builder, x: Name) -> Name:
    """X with its last 27 bits set to zero, so that 26 remain."""
    return b.from_bits(b.integer_and(b.to_bits(x), b.integer_constant(-(2**27))))


def horner(b: Builder, x: Name, coefficients: Sequence[float]) -> Name:
    """The sum of coefficients[i] * x**i as one chain: ((c2 x + c1) x) + c0."""
    result = b.constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = b.muladd(result, x, b.constant(c))
    return result
