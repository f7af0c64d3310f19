"""The natural logarithm.

Start reading at `log`; `split` separates exponent and mantissa.
"""

from __future__ import annotations

import math

from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import polynomial

_ROOT_HALF = 0x3FE6A09E667F3BCD
"""The bits of sqrt(1/2)."""

_ONE = 0x3FF0000000000000
"""The bits of 1."""

_MANTISSA = 2**52 - 1
"""The bits of a double's mantissa."""

_TWO_TO_52 = 0x4330000000000000
"""The bits of 2**52. With an integer k < 2**52 in the low bits, they are those of 2**52 + k."""

_LOG_2 = (0.6931471805598903, 5.497923018708371e-14)
"""log(2) as a sum. The product of the first part and an integer of up to 11 bits is exact."""

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

    x = 2**k (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), and

        log(x) = k log(2) + log(1 + f),   log(1 + f) = f - s (f - R),   s = f / (2 + f),

    where R is a polynomial in s**2. f is exact and the larger part of log(1 + f), so errors of the
    division have little weight.
    """
    if b.exact:
        return b.libm("log", x)
    return special_cases(b, x, log_of_parts(b, *split(b, x)))


def log_of_parts(b: Builder, k: Name, m: Name, more: Name | None = None) -> Name:
    """log(2**k m), plus a number that is small beside it."""
    f = b.sub(m, b.constant(1.0))
    s = b.div(f, b.add(m, b.constant(1.0)))
    z = b.mul(s, s)
    rest = b.muladd(b.neg(z), polynomial(b, z, _LOG), f)
    high, low = _LOG_2
    small = b.muladd(s, rest, b.mul(k, b.constant(-low)))
    if more is not None:
        small = b.sub(small, more)
    return b.muladd(k, b.constant(high), b.sub(f, small))


def split(b: Builder, x: Name) -> tuple[Name, Name]:
    """(k, m) such that x = 2**k m and sqrt(1/2) <= m < sqrt(2), for finite x > 0.

    The difference of the bits of x and of sqrt(1/2) has k in the place of the exponent. A subnormal
    number, below 2**-1022, is scaled by 2**54 first; adding 64 to k keeps it from being negative.
    """
    tiny = b.lt(x, b.constant(2.0**-1022))
    scale = b.select(tiny, b.constant(2.0**54), b.constant(1.0))
    exponent = b.integer_sub(b.to_bits(b.mul(x, scale)), b.to_bits(scale))
    above = b.integer_add(exponent, b.integer_constant(2 * _ONE + (64 << 52) - _ROOT_HALF))
    count = b.integer_or(b.shift_right(above, 52), b.integer_constant(_TWO_TO_52))
    mantissa = b.integer_and(above, b.integer_constant(_MANTISSA))
    m = b.from_bits(b.integer_add(mantissa, b.integer_constant(_ROOT_HALF)))
    return b.sub(b.from_bits(count), b.constant(2.0**52 + 1023 + 64)), m


def special_cases(b: Builder, x: Name, result: Name) -> Name:
    """The result for x <= 0, for inf and for nan."""
    zero, infinity = b.constant(0.0), b.constant(math.inf)
    result = b.select(b.lt(x, infinity), result, x)  # log(inf) is inf, log(nan) is nan
    result = b.select(b.lt(x, zero), b.constant(math.nan), result)
    return b.select(b.eq(x, zero), b.constant(-math.inf), result)
