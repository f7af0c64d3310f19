"""The natural logarithm."""

from __future__ import annotations

import math

from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import polynomial

_ROOT_HALF = 0x3FE6A09E667F3BCD
"""The bits of the root of 1/2."""

_ONE = 0x3FF0000000000000
"""The bits of 1."""

_DIGITS = 2**52 - 1
"""Where in a number's bits its digits are."""

_TWO_TO_52 = 0x4330000000000000
"""The bits of 2**52, of which the lowest are what is added to it."""

# log(2) in two parts; a whole number of up to 11 bits times the first part is exact.
_LOG_2 = (0.6931471805598903, 5.497923018708371e-14)

_LOG = (
    0.6666666666666734,
    0.39999999999417046,
    0.28571428741892896,
    0.22222198621580902,
    0.18183561908422602,
    0.15314110325934674,
    0.14795369603203895,
)
"""log(1 + f) = f - s (f - s**2 P(s**2)), s = f / (2 + f), for 1 + f in [sqrt(1/2), sqrt(2)]."""


def log(b: Builder, x: Name) -> Name:
    """The natural logarithm.

    x = 2**k (1 + f) with 1 + f between the roots of 1/2 and 2, and

        log(x) = k log(2) + log(1 + f),   log(1 + f) = f - s (f - R),   s = f / (2 + f),

    where R is a polynomial in s**2. f is exact and the greater part of its logarithm, so the
    errors of the division count little.
    """
    if b.exact:
        return b.libm("log", x)
    k, m = split(b, x)
    f = b.sub(m, b.constant(1.0))
    s = b.div(f, b.add(m, b.constant(1.0)))
    z = b.mul(s, s)
    rest = b.muladd(b.neg(z), polynomial(b, z, _LOG), f)
    high, low = _LOG_2
    small = b.muladd(s, rest, b.mul(k, b.constant(-low)))
    result = b.muladd(k, b.constant(high), b.sub(f, small))
    return _special_cases(b, x, result)


def split(b: Builder, x: Name) -> tuple[Name, Name]:
    """(k, m) such that x = 2**k m and sqrt(1/2) <= m < sqrt(2), for finite x > 0.

    The bits of x less those of the root of 1/2 have k where a number has its exponent. A number
    without exponent, below 2**-1022, is made larger first; 64 more keeps its k from being negative.
    """
    tiny = b.lt(x, b.constant(2.0**-1022))
    scale = b.select(tiny, b.constant(2.0**54), b.constant(1.0))
    exponent = b.integer_sub(b.to_bits(b.mul(x, scale)), b.to_bits(scale))
    above = b.integer_add(exponent, b.integer_constant(2 * _ONE + (64 << 52) - _ROOT_HALF))
    count = b.integer_or(b.shift_right(above, 52), b.integer_constant(_TWO_TO_52))
    digits = b.integer_and(above, b.integer_constant(_DIGITS))
    m = b.from_bits(b.integer_add(digits, b.integer_constant(_ROOT_HALF)))
    return b.sub(b.from_bits(count), b.constant(2.0**52 + 1023 + 64)), m


def _special_cases(b: Builder, x: Name, result: Name) -> Name:
    zero, infinity = b.constant(0.0), b.constant(math.inf)
    result = b.select(b.lt(x, infinity), result, x)  # inf and nan stay what they are
    result = b.select(b.lt(x, zero), b.constant(math.nan), result)
    return b.select(b.eq(x, zero), b.constant(-math.inf), result)
