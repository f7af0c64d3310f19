"""The inverse trigonometric functions.

The angle of a point is a multiple of pi / 4 plus or minus the arc tangent of a t with |t| <= 1/2:
a quotient of the smaller and the larger coordinate, or of their difference and sum. asin and acos
of numbers near 1 are those of s = sqrt((1 - x) / 2), the sine of half the angle. A sum of two
parts, (name)_high of 26 bits and a rest, keeps pi and s precise. The cuts are those of FDLIBM.

Start reading at `atan2`.
"""

from __future__ import annotations

import math

from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import odd_polynomial, polynomial, truncated, with_sign_of

_QUARTER_PI = (0.7853981554508209, 7.946627386764098e-09)
"""pi / 4 as a sum: its first 26 bits, and the rest."""

_HALF_PI = (1.5707963109016418, 1.5893254773528196e-08)
"""pi / 2 as a sum: its first 26 bits, and the rest."""

_ATAN = (
    -0.3333333333333298,
    0.19999999999903104,
    -0.14285714276384984,
    0.11111110659582385,
    -0.09090896243042791,
    0.07692073881330175,
    -0.06663810256600447,
    0.05858296235527948,
    -0.051219929442219626,
    0.04186465982386814,
    -0.027434301802528645,
    0.010116374006969632,
)
"""atan(t) = t + t**3 P(t**2) for |t| <= 1/2."""

_ASIN = (
    0.1666666666666676,
    0.07499999999970866,
    0.04464285717456113,
    0.030381942709849268,
    0.022372214936469657,
    0.017351612841996624,
    0.013980811444002893,
    0.011398981357404631,
    0.010779889839653115,
    0.0037077021380350996,
    0.021704460524452865,
    -0.02099503163379769,
    0.03262620961708594,
)
"""asin(s) = s + s**3 P(s**2) for 0 <= s <= 1/2."""


def atan2(b: Builder, y: Name, x: Name) -> Name:
    """The angle of the point (x, y), between -pi and pi, special cases included."""
    if b.exact:
        return b.libm("atan2", y, x)
    zero = b.constant(0.0)
    is_left = b.lt(with_sign_of(b, x, b.constant(1.0)), zero)  # -0.0 is left of 0
    angle = _angle(b, b.abs(y), b.abs(x), is_left)
    is_nan = b.mask_or(b.ne(x, x), b.ne(y, y))
    return with_sign_of(b, y, b.select(is_nan, b.constant(math.nan), b.abs(angle)))


def atan(b: Builder, x: Name) -> Name:
    """The arc tangent, the angle of the point (1, x)."""
    if b.exact:
        return b.libm("atan", x)
    angle = _angle(b, b.abs(x), b.constant(1.0), None)
    return with_sign_of(b, x, b.select(b.ne(x, x), b.constant(math.nan), b.abs(angle)))


def _angle(b: Builder, y: Name, x: Name, is_left: Name | None) -> Name:
    """The angle of the point (x, y), or of (-x, y) where `is_left`, for x, y >= 0."""
    zero, one, infinity = b.constant(0.0), b.constant(1.0), b.constant(math.inf)
    is_steep = b.lt(x, y)
    large, small = b.select(is_steep, y, x), b.select(is_steep, x, y)
    # Only the quotient counts: 0 / 0 becomes 0 / 1, inf / inf becomes 1 / 1.
    unbounded = b.eq(large, infinity)
    small = b.select(unbounded, b.select(b.eq(small, infinity), one, zero), small)
    large = b.select(b.mask_or(unbounded, b.eq(large, zero)), one, large)
    scale = b.select(b.lt(b.constant(2.0**1000), large), b.constant(0.25), one)
    large, small = b.mul(large, scale), b.mul(small, scale)  # their sum does not overflow
    is_far = b.lt(large, b.add(small, small))  # exact, where half of a denormal is not
    above = b.select(is_far, b.sub(small, large), small)
    t = b.div(above, b.select(is_far, b.add(small, large), large))
    # The angle is quarters * pi / 4 + t + t**3 P, or minus the last two.
    quarters, minus = b.select(is_far, one, zero), b.constant(-1.0)
    quarters = b.select(is_steep, b.sub(b.constant(2.0), quarters), quarters)
    sign = b.select(is_steep, minus, one)
    if is_left is not None:
        quarters = b.select(is_left, b.sub(b.constant(4.0), quarters), quarters)
        sign = b.select(is_left, b.neg(sign), sign)
    t = b.mul(t, sign)
    z = b.mul(t, t)
    high, low = [b.mul(quarters, b.constant(part)) for part in _QUARTER_PI]
    rest = b.muladd(b.mul(t, z), polynomial(b, z, _ATAN), low)
    return b.add(high, b.add(t, rest))


def asin(b: Builder, x: Name) -> Name:
    """The arc sine; beyond 1/2 pi / 2 minus twice that of s. nan where |x| > 1."""
    if b.exact:
        return b.libm("asin", x)
    size = b.abs(x)
    is_large, s_high, rest = _half_angle(b, size)
    high, low = map(b.constant, _HALF_PI)
    two = b.constant(2.0)
    large = b.sub(b.muladd(s_high, b.neg(two), high), b.muladd(rest, two, b.neg(low)))
    small = odd_polynomial(b, size, _ASIN)
    return with_sign_of(b, x, b.abs(b.select(is_large, large, small)))


def acos(b: Builder, x: Name) -> Name:
    """The arc cosine: above 1/2 twice asin(s), below -1/2 pi minus that. nan where |x| > 1."""
    if b.exact:
        return b.libm("acos", x)
    is_large, s_high, rest = _half_angle(b, b.abs(x))
    high, low = map(b.constant, _HALF_PI)
    z = b.mul(x, x)
    tail = b.muladd(b.mul(x, z), polynomial(b, z, _ASIN), b.neg(low))
    small = b.sub(b.sub(high, x), tail)
    left = b.sub(b.sub(high, s_high), b.sub(rest, low))
    half = b.select(b.lt(x, b.constant(0.0)), left, b.add(s_high, rest))
    return b.select(is_large, b.mul(half, b.constant(2.0)), small)


def _half_angle(b: Builder, size: Name) -> tuple[Name, Name, Name]:
    """(size > 1/2, s_high, asin(s) - s_high) for s = sqrt((1 - size) / 2)."""
    half, zero = b.constant(0.5), b.constant(0.0)
    z = b.mul(b.sub(b.constant(1.0), size), half)
    s = b.sqrt(z)
    s_high = truncated(b, s)
    sum_ = b.add(s, s_high)
    s_low = b.div(b.sub(z, b.mul(s_high, s_high)), b.select(b.eq(sum_, zero), half, sum_))
    rest = b.muladd(b.mul(s, z), polynomial(b, z, _ASIN), s_low)
    # nan compares false: it is taken to be large, where the square root of 1 - nan is nan.
    return b.mask_not(b.le(size, half)), s_high, rest
