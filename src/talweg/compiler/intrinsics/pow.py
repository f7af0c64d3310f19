"""The power: x**y = 2**(y log2(x)), with the logarithm as a sum of two doubles.

A power may be as large as 2**1024: a relative error of 2**-53 in an exponent of ten bits would be
one of 2**-43 in the power. log2(x) and its product with y are therefore sums of two doubles, which
hold some 66 bits. The products that must be exact are of numbers truncated to 26 bits, so no fused
multiply-add is needed. The scheme is that of e_pow.c in FDLIBM (Sun Microsystems, 1993), without
its tables and branches.

Start reading at `pow`.
"""

from __future__ import annotations

import math

from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import (
    at_least,
    at_most,
    polynomial,
    truncated,
    with_sign_of,
)
from talweg.compiler.intrinsics.exp import ROUND_TWICE_BIASED, exp_of_parts
from talweg.compiler.intrinsics.log import split

_LOG_2 = 0.6931471805599453

_SCALE = 0.9617966939259756
"""2 / (3 log(2))."""

_SCALE_PARTS = (0.9617966860532761, 7.872699542894897e-09)
"""`_SCALE` as a sum: its first 26 bits, and the rest."""

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


def pow(b: Builder, x: Name, y: Name) -> Name:  # noqa: A001 - the operation's name
    """x**y as C's `pow`, special cases included."""
    if b.exact:
        return b.libm("pow", x, y)
    exponent = b.known(y)
    if exponent is not None:
        product = _of_products(b, x, exponent)
        if product is not None:
            return product
    size = b.abs(x)
    high, low = _times(b, y, *log2_parts(b, size))
    # The logarithm of 0, inf or nan is not finite, and (high, low) is not valid.
    infinity = b.constant(math.inf)
    zero = b.eq(size, b.constant(0.0))
    valid = b.mask_and(b.lt(size, infinity), b.mask_not(zero))
    limit = b.mul(y, b.select(zero, b.constant(-math.inf), size))
    return _special_cases(b, x, y, _power_of_two(b, b.select(valid, high, limit), low))


def _of_products(b: Builder, x: Name, exponent: float) -> Name | None:
    """The power for frequent exponents by products and roots, within 2 ulp; None for others."""
    one, infinity = b.constant(1.0), b.constant(math.inf)
    if exponent == 0.0:
        return one
    if exponent == 1.0:
        return x
    if exponent == 2.0:
        return b.mul(x, x)
    if exponent == 3.0:
        return b.mul(b.mul(x, x), x)
    if exponent == 4.0:
        square = b.mul(x, x)
        return b.mul(square, square)
    if exponent == -1.0:
        return b.div(one, x)
    if exponent == -2.0:
        inverse = b.div(one, x)  # squared afterwards: x * x may lose digits, or overflow
        return b.mul(inverse, inverse)
    # sqrt(-0.0) is -0.0 and sqrt(-inf) is nan, but (-0.0)**0.5 is 0.0 and (-inf)**0.5 is inf.
    root, least = b.abs(b.sqrt(x)), b.eq(x, b.constant(-math.inf))
    if exponent == 0.5:
        return b.select(least, infinity, root)
    if exponent == -0.5:
        return b.select(least, b.constant(0.0), b.div(one, root))
    return None


def log2_parts(b: Builder, x: Name) -> tuple[Name, Name]:
    """(high, low): log2(x) as a sum, of which high has 26 bits.

    x = 2**k m as for `log`, and log2(m) is a series in s = (m - 1) / (m + 1). Quotient, square,
    sum and product are each a sum of two parts, (name)_high of 26 bits and (name)_low.
    """
    k, m = split(b, x)
    one, three = b.constant(1.0), b.constant(3.0)
    below = b.add(m, one)
    below_high = truncated(b, below)
    below_low = b.sub(m, b.sub(below_high, one))
    inverse, above = b.div(one, below), b.sub(m, one)
    s_high = truncated(b, b.mul(above, inverse))
    left = b.muladd(b.neg(s_high), below_low, b.muladd(b.neg(s_high), below_high, above))
    s_low = b.mul(left, inverse)
    s = b.add(s_high, s_low)
    square_high, square_low = b.mul(s_high, s_high), b.mul(s_low, b.add(s_high, s))
    z = b.add(square_high, square_low)
    rest = b.muladd(b.mul(z, z), polynomial(b, z, _POW), square_low)
    sum_high = truncated(b, b.add(b.add(three, square_high), rest))
    sum_low = b.sub(rest, b.sub(b.sub(sum_high, three), square_high))
    product = b.mul(s_high, sum_high)
    small = b.muladd(s_low, sum_high, b.mul(s, sum_low))
    product_high = truncated(b, b.add(product, small))
    product_low = b.sub(small, b.sub(product_high, product))
    scale_high, scale_low = _SCALE_PARTS
    tail = b.muladd(b.constant(scale_low), product_high, b.mul(b.constant(_SCALE), product_low))
    head = b.mul(b.constant(scale_high), product_high)
    high = truncated(b, b.add(b.add(head, tail), k))
    return high, b.sub(tail, b.sub(b.sub(high, k), head))


def _times(b: Builder, y: Name, high: Name, low: Name) -> tuple[Name, Name]:
    """Y * (high + low) as a sum whose first part is exact; high has 26 bits."""
    y = at_least(b, at_most(b, y, 2.0**70), -(2.0**70))  # x**(2**70) is 0, 1 or inf already
    y_high = truncated(b, y)
    return b.mul(y_high, high), b.muladd(b.sub(y, y_high), high, b.mul(y, low))


def _power_of_two(b: Builder, high: Name, low: Name) -> Name:
    """2**(high + low)."""
    within = b.lt(b.abs(high), b.constant(1100.0))  # elsewhere the result is 0, inf or nan
    low = b.select(within, low, b.constant(0.0))
    high = at_least(b, at_most(b, high, 1100.0), -1100.0)
    round_biased, log_2 = b.constant(ROUND_TWICE_BIASED), b.constant(_LOG_2)
    rounded = b.add(b.add(high, low), round_biased)
    rest = b.sub(high, b.sub(rounded, round_biased))
    return exp_of_parts(b, b.muladd(rest, log_2, b.mul(low, log_2)), rounded)


def _special_cases(b: Builder, x: Name, y: Name, power: Name) -> Name:
    """The power of x from that of |x|: its sign, nan where it is not real, 1 for 1**y and x**0."""
    zero, one = b.constant(0.0), b.constant(1.0)
    half = b.mul(y, b.constant(0.5))
    is_integer, is_even = b.eq(b.round_even(y), y), b.eq(b.round_even(half), half)
    negative = b.mask_and(b.lt(x, zero), b.ne(x, b.constant(-math.inf)))
    result = b.select(b.mask_and(negative, b.mask_not(is_integer)), b.constant(math.nan), power)
    is_odd = b.mask_and(is_integer, b.mask_not(is_even))
    result = with_sign_of(b, b.select(is_odd, x, zero), result)
    return b.select(b.mask_or(b.eq(x, one), b.eq(y, zero)), one, result)
