"""The natural logarithm."""

from __future__ import annotations

import math

from talweg.compiler.intrinsics.builder_protocol import Emitter, Name
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


def log(e: Emitter, x: Name) -> Name:
    """The natural logarithm.

    x = 2**k (1 + f) with 1 + f between the roots of 1/2 and 2, and

        log(x) = k log(2) + log(1 + f),   log(1 + f) = f - s (f - R),   s = f / (2 + f),

    where R is a polynomial in s**2. f is exact and the greater part of its logarithm, so the
    errors of the division count little.
    """
    if e.exact:
        return e.call("log", x)
    k, m = split(e, x)
    f = e.sub(m, e.constant(1.0))
    s = e.div(f, e.add(m, e.constant(1.0)))
    z = e.mul(s, s)
    rest = e.muladd(e.neg(z), polynomial(e, z, _LOG), f)
    high, low = _LOG_2
    small = e.muladd(s, rest, e.mul(k, e.constant(-low)))
    result = e.muladd(k, e.constant(high), e.sub(f, small))
    return _special_cases(e, x, result)


def split(e: Emitter, x: Name) -> tuple[Name, Name]:
    """(k, m) such that x = 2**k m and sqrt(1/2) <= m < sqrt(2), for finite x > 0.

    The bits of x less those of the root of 1/2 have k where a number has its exponent. A number
    without exponent, below 2**-1022, is made larger first; 64 more keeps its k from being negative.
    """
    tiny = e.lt(x, e.constant(2.0**-1022))
    scale = e.select(tiny, e.constant(2.0**54), e.constant(1.0))
    exponent = e.integer_sub(e.bits(e.mul(x, scale)), e.bits(scale))
    above = e.integer_add(exponent, e.integer(2 * _ONE + (64 << 52) - _ROOT_HALF))
    count = e.integer_or(e.shift_right(above, 52), e.integer(_TWO_TO_52))
    digits = e.integer_and(above, e.integer(_DIGITS))
    m = e.number(e.integer_add(digits, e.integer(_ROOT_HALF)))
    return e.sub(e.number(count), e.constant(2.0**52 + 1023 + 64)), m


def _special_cases(e: Emitter, x: Name, result: Name) -> Name:
    zero, infinity = e.constant(0.0), e.constant(math.inf)
    result = e.select(e.lt(x, infinity), result, x)  # inf and nan stay what they are
    result = e.select(e.lt(x, zero), e.constant(math.nan), result)
    return e.select(e.eq(x, zero), e.constant(-math.inf), result)
