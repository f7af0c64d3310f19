"""The exponential minus 1, the hyperbolic sine and cosine, and elu.

With x = k log(2) + r and p = exp(r) - 1, a polynomial without cancellation,

    exp(x) - 1 = 2**k p + (2**k - 1),

where the second part is exact. The hyperbolic functions are composed of this and of half the
exponential, which does not overflow before they do.

Start reading at `expm1`.
"""

from __future__ import annotations

from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import (
    BIAS,
    ROUND,
    at_least,
    at_most,
    polynomial,
    power_of_two,
    with_sign_of,
)
from talweg.compiler.intrinsics.exp import (
    ROUND_TWICE_BIASED,
    exp_of_parts,
    exponent_parts,
)

_EXPM1 = (
    0.5,
    0.16666666666666666,
    0.04166666666666691,
    0.008333333333333451,
    0.0013888888888821055,
    0.00019841269840931868,
    2.4801587384483414e-05,
    2.7557319637084907e-06,
    2.75572700665767e-07,
    2.5051863049200714e-08,
    2.089070177505101e-09,
    1.6128940718968763e-10,
    9.967897905430381e-12,
)
"""exp(r) = 1 + r + r**2 P(r) for |r| <= 0.53."""


def expm1(b: Builder, x: Name) -> Name:
    """e**x - 1."""
    if b.exact:
        return b.libm("expm1", x)
    bounded = at_least(b, at_most(b, x, 711.0), -60.0)  # the result is inf above, -1 below
    r, rounded = exponent_parts(b, bounded)
    large = exp_of_parts(b, r, rounded)  # from 40 on the 1 is below half a unit
    result = b.select(
        b.lt(b.constant(40.0), bounded), large, _expm1_of_parts(b, bounded, r, rounded)
    )
    return with_sign_of(b, x, b.abs(result))  # the zero with its sign


def elu(b: Builder, x: Name, scale: Name) -> Name:
    """X where it is positive, else scale * (e**x - 1)."""
    return b.select(b.lt(b.constant(0.0), x), x, b.mul(scale, expm1(b, x)))


def sinh(b: Builder, x: Name) -> Name:
    """The hyperbolic sine.

    With p = exp(|x|) - 1 it is p - p**2 / (2 (p + 1)) up to 1, and beyond, with h = exp(|x|) / 2,
    it is h - 1 / (4 h).
    """
    if b.exact:
        return b.libm("sinh", x)
    size = at_most(b, b.abs(x), 711.0)
    r, rounded = exponent_parts(b, size)
    is_small = b.lt(size, b.constant(1.0))
    p, h = _expm1_of_parts(b, size, r, rounded), _half_exponential(b, r, rounded)
    half, quarter = b.constant(0.5), b.constant(0.25)
    above = b.select(is_small, b.mul(b.mul(p, p), half), quarter)
    below = b.select(is_small, b.add(p, b.constant(1.0)), h)
    result = b.sub(b.select(is_small, p, h), b.div(above, below))
    return with_sign_of(b, x, b.abs(result))


def cosh(b: Builder, x: Name) -> Name:
    """The hyperbolic cosine, h + 1 / (4 h) for h = exp(|x|) / 2."""
    if b.exact:
        return b.libm("cosh", x)
    h = _half_exponential(b, *exponent_parts(b, at_most(b, b.abs(x), 711.0)))
    return b.add(h, b.div(b.constant(0.25), h))


def _expm1_of_parts(b: Builder, x: Name, r: Name, rounded: Name) -> Name:
    """2**k exp(r) - 1 for k <= 60; larger k count as 60.

    Next to log(2) / 2 the two parts would nearly cancel for k = 1 or -1. So k = 0 up to |x| = 0.52,
    with a polynomial for this range.
    """
    is_small = b.lt(b.abs(x), b.constant(0.52))
    k = at_most(b, b.sub(rounded, b.constant(ROUND_TWICE_BIASED)), 60.0)
    u = power_of_two(b, b.add(b.select(is_small, b.constant(0.0), k), b.constant(ROUND + BIAS)))
    r = b.select(is_small, x, r)
    part = b.muladd(b.mul(r, r), polynomial(b, r, _EXPM1), r)
    return b.muladd(part, u, b.sub(u, b.constant(1.0)))


def _half_exponential(b: Builder, r: Name, rounded: Name) -> Name:
    """2**(k - 1) exp(r)."""
    return exp_of_parts(b, r, b.sub(rounded, b.constant(1.0)))
