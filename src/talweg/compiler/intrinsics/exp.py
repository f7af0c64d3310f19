"""The exponential, and the functions that are made of it: tanh, sigmoid, softplus.

All of them take a whole number of halvings or doublings out of the exponential first, so that
what is left of the argument is a small r. Then

    exp(x)    = 2**k * exp(r)                                a polynomial in r
    exp(-|x|) = 2**k * (2 - t) / (2 + t), t = 2 tanh(r / 2)    an odd polynomial: half the terms

The others are fractions in exp(-|x|), so the second form costs them no second division: the
denominators melt. Start reading at `tanh`. Errors are in docs/functions.md, the polynomials
in bench/coefficients.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from talweg.compiler.intrinsics import libm, select
from talweg.compiler.intrinsics.builder_protocol import Emitter, Name
from talweg.compiler.intrinsics.common import (
    BIAS,
    WHOLE,
    at_least,
    at_most,
    odd_polynomial,
    polynomial,
    power_of_two,
    with_sign_of,
)

TWICE_BIASED = WHOLE + 2.0 * BIAS
"""Added to an exponent, this leaves the sum of two biased ones in the low bits."""

# log(2) in two parts; a whole number of up to 11 bits times the first part is exact.
_LOG_2 = (0.6931471805598903, 5.497923018708371e-14)

_TANH = (
    -0.33333333333332604,
    0.1333333333304851,
    -0.05396825359155444,
    0.021869464884957546,
    -0.008862439638479906,
    0.003577346692759552,
    -0.001312061715814067,
)
"""tanh(r) = r + r**3 P(r**2) for |r| <= 0.2557."""

_TWICE_TANH_HALF = (
    -0.08333333333333122,
    0.00833333333299055,
    -0.0008432539497452681,
    8.542722979602789e-05,
    -8.649719024389343e-06,
    8.410348436941015e-07,
)
"""2 tanh(r / 2) = r + r**3 P(r**2) for |r| <= log(2) / 2."""

_EXP = (
    0.5000000000000011,
    0.16666666666666413,
    0.041666666666530267,
    0.00833333333349431,
    0.0013888888943596979,
    0.00019841269506819676,
    2.480149313674212e-05,
    2.755758623942547e-06,
    2.763023378838366e-07,
    2.5000078224364338e-08,
)
"""exp(r) = 1 + r + r**2 P(r) for |r| <= log(2) / 2."""

_ATANH = (
    0.08333333333333288,
    0.012500000000048719,
    0.002232142855313525,
    0.00043402781172851434,
    8.877804798087208e-05,
    1.8782414549989345e-05,
    4.059156779780886e-06,
    9.235817763974629e-07,
    1.5911379974975613e-07,
    8.113458064749642e-08,
)
"""2 atanh(g / 2) = g + g**3 P(g**2) for 0 <= g <= 2 / 3."""


def tanh(e: Emitter, x: Name) -> Name:
    """The hyperbolic tangent.

    With u = 2**-k and |x| = k log(2) / 2 + r, which makes exp(-2 |x|) = u exp(-2 r), the formula
    for the tangent of a sum, less 1 - u, is

        tanh |x| = (1 - u) + u ((3 - u) t - (1 - u)) / ((1 + u) + (1 - u) t),   t = tanh(r).

    1 - u is exact and already most of the result, so the errors of the fraction count little;
    and for k = 0 all but t vanishes. It is to be so up to |x| = 0.2555, where tanh reaches 1/4:
    thus r goes from -0.0911 to 0.2555.
    """
    if e.exact:
        return e.call("tanh", x)
    size = at_most(e, e.abs(x), 20.0)  # from 19.1 on the result is 1
    shift, step = e.constant(0.0822), e.constant(-2.8853900817779268)  # -2 / log(2)
    whole = e.constant(WHOLE + BIAS)
    rounded = e.muladd(e.sub(size, shift), step, whole)  # -k, biased, in the low bits
    u = power_of_two(e, rounded)
    r = _remainder(e, size, e.sub(rounded, whole), [0.5 * part for part in _LOG_2])
    t = odd_polynomial(e, r, _TANH)
    one = e.constant(1.0)
    base = e.sub(one, u)
    above = e.muladd(t, e.sub(e.constant(3.0), u), e.neg(base))
    below = e.muladd(t, base, e.add(one, u))
    return with_sign_of(e, x, e.muladd(e.div(above, below), u, base))


def sigmoid(e: Emitter, x: Name) -> Name:
    """The logistic function, 1 / (1 + exp(-x)).

    With exp(-|x|) = u (2 - t) / (2 + t) it is u q where x < 0, and 1 - u q elsewhere, for

        q = (2 - t) / (2 (1 + u) + (1 - u) t).

    As in `tanh`, what is near the quotient and has no error, here a = 1 - u / 2, is taken off
    before dividing, so that the errors of the fraction count little: with b = 1 - u

        q = a - (u b + (1 + a b) t) / (2 (1 + u) + b t).
    """
    if e.exact:
        return libm.sigmoid(e, x)
    u, t = _decay(e, x)
    one, two = e.constant(1.0), e.constant(2.0)
    a, b = e.muladd(u, e.constant(-0.5), one), e.sub(one, u)
    above = e.muladd(t, e.muladd(a, b, one), e.mul(u, b))
    below = e.muladd(t, b, e.muladd(u, two, two))
    q = e.sub(a, e.div(above, below))
    return e.select(e.lt(x, e.constant(0.0)), e.mul(u, q), e.muladd(e.neg(u), q, one))


def softplus(e: Emitter, x: Name) -> Name:
    """log(1 + exp(x)) = relu(x) + log(1 + exp(-|x|)).

    With exp(-|x|) = u (2 - t) / (2 + t) the logarithm is 2 atanh(g / 2) for

        g = u (2 - t) / ((2 + u) + a t),   a = 1 - u / 2,

    of which, as in `sigmoid`, a is taken off before dividing:

        g = u (a + (u**2 / 2 - (1 + a**2) t) / ((2 + u) + a t)).
    """
    if e.exact:
        return libm.softplus(e, x)
    u, t = _decay(e, x)
    one, half = e.constant(1.0), e.constant(0.5)
    a = e.muladd(u, e.constant(-0.5), one)
    above = e.muladd(e.neg(t), e.muladd(a, a, one), e.mul(e.mul(u, half), u))
    below = e.muladd(t, a, e.add(e.constant(2.0), u))
    g = e.mul(u, e.add(a, e.div(above, below)))
    return e.add(select.relu(e, x), odd_polynomial(e, g, _ATANH))


def exp(e: Emitter, x: Name) -> Name:
    """e**x."""
    if e.exact:
        return e.call("exp", x)
    x = at_least(e, at_most(e, x, 710.0), -746.0)  # beyond: inf, and 0
    whole = e.constant(TWICE_BIASED)
    rounded = e.muladd(x, e.constant(1.4426950408889634), whole)  # 1 / log(2)
    r = _remainder(e, x, e.sub(rounded, whole), [-part for part in _LOG_2])
    return exp_of_parts(e, r, rounded)


def exp_of_parts(e: Emitter, r: Name, rounded: Name) -> Name:
    """2**k exp(r), where |r| <= log(2) / 2 and `rounded` is k + TWICE_BIASED.

    2**k may be too large or too small for a double, and what is made of it none the less be one.
    So it is two factors, half of the exponent in each; only the second product can overflow, or
    be rounded to fewer digits below 2**-1022.
    """
    rest = e.muladd(e.mul(r, r), polynomial(e, r, _EXP), r)
    exponents = e.bits(rounded)
    half = e.shift_right(exponents, 1)
    first = e.number(e.shift_left(half, 52))
    second = e.number(e.shift_left(e.integer_sub(exponents, half), 52))
    return e.mul(e.mul(e.add(rest, e.constant(1.0)), first), second)


def _decay(e: Emitter, x: Name) -> tuple[Name, Name]:
    """(u, t) such that exp(-|x|) = u (2 - t) / (2 + t), u being a power of two.

    Such a power below 2**-1022 has no exponent to be put into, so it is made 2**64 times too large.
    """
    size = at_most(e, e.abs(x), 746.0)  # beyond, exp(-|x|) is 0
    whole = e.constant(WHOLE + BIAS + 64.0)
    rounded = e.muladd(size, e.constant(-1.4426950408889634), whole)  # -1 / log(2)
    u = e.mul(power_of_two(e, rounded), e.constant(2.0**-64))
    r = _remainder(e, size, e.sub(rounded, whole), _LOG_2)
    return u, odd_polynomial(e, r, _TWICE_TANH_HALF)


def _remainder(e: Emitter, x: Name, count: Name, period: Sequence[float]) -> Name:
    """X plus a whole number of periods, with no error to speak of."""
    high, low = period
    return e.muladd(count, e.constant(low), e.muladd(count, e.constant(high), x))
