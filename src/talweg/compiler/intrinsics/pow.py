"""x**y: 2**(y log2(x)), with the logarithm in two parts.

A power may be as large as 2**1024, and an error of 2**-53 in that exponent of ten bits would be
one of 2**-43 in the power. So log2(x) and its product with y are sums of two doubles, good for
some 66 bits. The products that must be exact are of numbers cut to 26 bits, so no fused
multiply-add is needed. The scheme is that of e_pow.c in FDLIBM (Sun Microsystems, 1993), here
without tables and branches. Start reading at `pow`.
"""

from __future__ import annotations

import math

from talweg.compiler.intrinsics.builder_protocol import Emitter, Name
from talweg.compiler.intrinsics.common import at_least, at_most, polynomial, with_sign_of
from talweg.compiler.intrinsics.exp import TWICE_BIASED, exp_of_parts
from talweg.compiler.intrinsics.log import split

_LOG_2 = 0.6931471805599453

_SCALE = 0.9617966939259756
"""2 / (3 log(2))."""

_SCALE_PARTS = (0.9617966860532761, 7.872699542894897e-09)
"""Its first 26 bits, and the rest."""

_POW = (
    0.6000000000000337,
    0.42857142855154623,
    0.3333333377896302,
    0.27272676629790477,
    0.23080132419793328,
    0.1988530842701336,
    0.19793746875196894,
)
"""log(m) = 2/3 s (3 + z + z**2 P(z)), z = s**2, s = (m - 1) / (m + 1)."""


def pow(e: Emitter, x: Name, y: Name) -> Name:  # noqa: A001 - the operation's name
    """x**y as C's `pow`, special cases included."""
    if e.exact:
        return e.call("pow", x, y)
    exponent = e.known(y)
    if exponent is not None:
        short = _short(e, x, exponent)
        if short is not None:
            return short
    size = e.abs(x)
    high, low = _times(e, y, *_logarithm(e, size))
    # Of 0, inf and nan the logarithm is infinite or nan, and what was computed means nothing.
    infinity = e.constant(math.inf)
    zero = e.eq(size, e.constant(0.0))
    usual = e.both(e.lt(size, infinity), e.opposite(zero))
    limit = e.mul(y, e.select(zero, e.constant(-math.inf), size))
    return _special_cases(e, x, y, _power_of_two(e, e.select(usual, high, limit), low))


def _short(e: Emitter, x: Name, exponent: float) -> Name | None:
    """The power for the exponents that programs have most, within 2 ulp; None for others."""
    one, infinity = e.constant(1.0), e.constant(math.inf)
    if exponent == 0.0:
        return one
    if exponent == 1.0:
        return x
    if exponent == 2.0:
        return e.mul(x, x)
    if exponent == 3.0:
        return e.mul(e.mul(x, x), x)
    if exponent == 4.0:
        square = e.mul(x, x)
        return e.mul(square, square)
    if exponent == -1.0:
        return e.div(one, x)
    if exponent == -2.0:
        inverse = e.div(one, x)  # its square, as the inverse of the square can lose digits
        return e.mul(inverse, inverse)
    # A root has the sign of -0.0, and is nan for -inf; a power knows neither.
    root, least = e.abs(e.sqrt(x)), e.eq(x, e.constant(-math.inf))
    if exponent == 0.5:
        return e.select(least, infinity, root)
    if exponent == -0.5:
        return e.select(least, e.constant(0.0), e.div(one, root))
    return None


def _logarithm(e: Emitter, x: Name) -> tuple[Name, Name]:
    """(high, low): log2(x) as a sum, the first part of 26 bits.

    x = 2**k m as for `log`, and log2(m) is a series in s = (m - 1) / (m + 1). Quotient, square,
    sum and product are each taken in two parts, (name)_high of 26 bits and (name)_low.
    """
    k, m = split(e, x)
    one, three = e.constant(1.0), e.constant(3.0)
    below = e.add(m, one)
    below_high = _cut(e, below)
    below_low = e.sub(m, e.sub(below_high, one))
    inverse, above = e.div(one, below), e.sub(m, one)
    s_high = _cut(e, e.mul(above, inverse))
    left = e.muladd(e.neg(s_high), below_low, e.muladd(e.neg(s_high), below_high, above))
    s_low = e.mul(left, inverse)
    s = e.add(s_high, s_low)
    square_high, square_low = e.mul(s_high, s_high), e.mul(s_low, e.add(s_high, s))
    z = e.add(square_high, square_low)
    rest = e.muladd(e.mul(z, z), polynomial(e, z, _POW), square_low)
    sum_high = _cut(e, e.add(e.add(three, square_high), rest))
    sum_low = e.sub(rest, e.sub(e.sub(sum_high, three), square_high))
    product = e.mul(s_high, sum_high)
    small = e.muladd(s_low, sum_high, e.mul(s, sum_low))
    product_high = _cut(e, e.add(product, small))
    product_low = e.sub(small, e.sub(product_high, product))
    scale_high, scale_low = _SCALE_PARTS
    tail = e.muladd(e.constant(scale_low), product_high, e.mul(e.constant(_SCALE), product_low))
    head = e.mul(e.constant(scale_high), product_high)
    high = _cut(e, e.add(e.add(head, tail), k))
    return high, e.sub(tail, e.sub(e.sub(high, k), head))


def _times(e: Emitter, y: Name, high: Name, low: Name) -> tuple[Name, Name]:
    """Y times a sum whose first part has 26 bits, as a sum whose first part has no error."""
    y = at_least(e, at_most(e, y, 2.0**70), -(2.0**70))  # x**(2**70) is 0, 1 or inf as it is
    y_high = _cut(e, y)
    return e.mul(y_high, high), e.muladd(e.sub(y, y_high), high, e.mul(y, low))


def _power_of_two(e: Emitter, high: Name, low: Name) -> Name:
    """2**(high + low)."""
    within = e.lt(e.abs(high), e.constant(1100.0))  # beyond, high alone decides
    low = e.select(within, low, e.constant(0.0))
    high = at_least(e, at_most(e, high, 1100.0), -1100.0)
    whole, log_2 = e.constant(TWICE_BIASED), e.constant(_LOG_2)
    rounded = e.add(e.add(high, low), whole)
    left = e.sub(high, e.sub(rounded, whole))
    return exp_of_parts(e, e.muladd(left, log_2, e.mul(low, log_2)), rounded)


def _special_cases(e: Emitter, x: Name, y: Name, power: Name) -> Name:
    """The power of |x| made that of x: its sign, nan if there is none, and the ones."""
    zero, one = e.constant(0.0), e.constant(1.0)
    half = e.mul(y, e.constant(0.5))
    is_whole, is_even = e.eq(e.nearest(y), y), e.eq(e.nearest(half), half)
    negative = e.both(e.lt(x, zero), e.ne(x, e.constant(-math.inf)))
    result = e.select(e.both(negative, e.opposite(is_whole)), e.constant(math.nan), power)
    turned = e.both(is_whole, e.opposite(is_even))
    result = with_sign_of(e, e.select(turned, x, zero), result)
    return e.select(e.either(e.eq(x, one), e.eq(y, zero)), one, result)


def _cut(e: Emitter, x: Name) -> Name:
    """X with its last 27 bits made zero, so that 26 are left."""
    return e.number(e.integer_and(e.bits(x), e.integer(-(2**27))))
