"""The exponential, and the functions composed of it: tanh, sigmoid and its slope, silu, softplus.

Argument reduction splits an integer power of two off the exponential, so that a small r remains.
Then

    exp(x)    = 2**k * exp(r)                                a polynomial in r
    exp(-|x|) = 2**k * (2 - t) / (2 + t), t = 2 tanh(r / 2)    an odd polynomial: half the terms

The other functions are fractions in exp(-|x|). The second form costs them no second division, since
the two denominators are multiplied into one. Errors are in docs/functions.md; bench/coefficients.py
computes the polynomials.

Start reading at `tanh`.
"""

from __future__ import annotations

from collections.abc import Sequence

from talweg.compiler.intrinsics import libm, select
from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import (
    BIAS,
    ROUND,
    at_least,
    at_most,
    odd_polynomial,
    polynomial,
    power_of_two,
    with_sign_of,
)

ROUND_TWICE_BIASED = ROUND + 2.0 * BIAS
"""The low bits of k + this are the sum of the biased exponents of two factors of 2**k."""

_LOG_2 = (0.6931471805598903, 5.497923018708371e-14)
"""log(2) as a sum. The product of the first part and an integer of up to 11 bits is exact."""

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


def tanh(b: Builder, x: Name) -> Name:
    """The hyperbolic tangent.

    Let u = 2**-k and |x| = k log(2) / 2 + r, so that exp(-2 |x|) = u exp(-2 r). By the addition
    formula

        tanh |x| = (1 - u) + u ((3 - u) t - (1 - u)) / ((1 + u) + (1 - u) t),   t = tanh(r).

    1 - u is exact and the larger part of the result, so errors of the fraction have little weight.
    For k = 0 the result is t. The rounding of k is shifted so that k = 0 up to |x| = 0.2555, where
    tanh reaches 1/4; r is between -0.0911 and 0.2555.
    """
    if b.exact:
        return b.libm("tanh", x)
    size = at_most(b, b.abs(x), 20.0)  # the result is 1 from 19.1 on
    shift, step = b.constant(0.0822), b.constant(-2.8853900817779268)  # -2 / log(2)
    round_biased = b.constant(ROUND + BIAS)
    rounded = b.muladd(b.sub(size, shift), step, round_biased)  # -k, biased, in the low bits
    u = power_of_two(b, rounded)
    r = _remainder(b, size, b.sub(rounded, round_biased), [0.5 * part for part in _LOG_2])
    t = odd_polynomial(b, r, _TANH)
    one = b.constant(1.0)
    base = b.sub(one, u)
    above = b.muladd(t, b.sub(b.constant(3.0), u), b.neg(base))
    below = b.muladd(t, base, b.add(one, u))
    return with_sign_of(b, x, b.muladd(b.div(above, below), u, base))


def sigmoid(b: Builder, x: Name) -> Name:
    """The logistic function, 1 / (1 + exp(-x)).

    With exp(-|x|) = u (2 - t) / (2 + t) it is u q where x < 0, and 1 - u q elsewhere, for

        q = (2 - t) / (2 (1 + u) + (1 - u) t).

    As in `tanh`, an exact number close to the quotient, here a = 1 - u / 2, is subtracted before
    the division, so that errors of the fraction have little weight: with c = 1 - u

        q = a - (u c + (1 + a c) t) / (2 (1 + u) + c t).
    """
    if b.exact:
        return libm.sigmoid(b, x)
    u, a, rest = _fraction(b, x)
    q = b.sub(a, rest)
    one = b.constant(1.0)
    return b.select(b.lt(x, b.constant(0.0)), b.mul(u, q), b.muladd(b.neg(u), q, one))


def _fraction(b: Builder, x: Name) -> tuple[Name, Name, Name]:
    """(u, a, a - q) of `sigmoid`."""
    u, t = _decay(b, x)
    one, two = b.constant(1.0), b.constant(2.0)
    a, c = b.muladd(u, b.constant(-0.5), one), b.sub(one, u)
    above = b.muladd(t, b.muladd(a, c, one), b.mul(u, c))
    below = b.muladd(t, c, b.muladd(u, two, two))
    return u, a, b.div(above, below)


def logistic_pdf(b: Builder, x: Name) -> Name:
    """The derivative of the sigmoid: u q (1 - u q) = u (a - ((a - q) + u q**2)), see `sigmoid`.

    For u = 1, where a = 1/2, it is 1/4 - (a - q)**2.
    """
    if b.exact:
        return libm.logistic_pdf(b, x)
    u, a, rest = _fraction(b, x)
    q = b.sub(a, rest)
    result = b.mul(u, b.sub(a, b.muladd(b.mul(u, q), q, rest)))
    around_zero = b.muladd(b.mul(rest, rest), b.constant(-1.0), b.constant(0.25))
    return b.select(b.eq(u, b.constant(1.0)), around_zero, result)


def silu(b: Builder, x: Name) -> Name:
    """X * sigmoid(x): with p = x q it is u p where x < 0, x - u p elsewhere, see `sigmoid`.

    Where u is small, p is x - x (1 - q), whose product is rounded less. x is at least -1000
    here, so that the result is -0.0 at -inf.
    """
    x = at_least(b, x, -1000.0)
    if b.exact:
        return b.mul(x, libm.sigmoid(b, x))
    u, a, rest = _fraction(b, x)
    outer = b.muladd(b.neg(x), b.muladd(u, b.constant(0.5), rest), x)
    p = b.select(b.lt(u, b.constant(0.25)), outer, b.mul(b.sub(a, rest), x))
    zero = b.constant(0.0)
    within = b.mask_and(b.lt(zero, x), b.lt(x, b.constant(800.0)))
    right = b.select(within, b.muladd(b.neg(u), p, x), x)
    return b.select(b.lt(x, zero), b.mul(u, p), right)


def softplus(b: Builder, x: Name) -> Name:
    """log(1 + exp(x)) = relu(x) + log(1 + exp(-|x|)).

    With exp(-|x|) = u (2 - t) / (2 + t) the logarithm is 2 atanh(g / 2) for

        g = u (2 - t) / ((2 + u) + a t),   a = 1 - u / 2,

    from which, as in `sigmoid`, a is subtracted before the division:

        g = u (a + (u**2 / 2 - (1 + a**2) t) / ((2 + u) + a t)).
    """
    if b.exact:
        return libm.softplus(b, x)
    u, t = _decay(b, x)
    one, half = b.constant(1.0), b.constant(0.5)
    a = b.muladd(u, b.constant(-0.5), one)
    above = b.muladd(b.neg(t), b.muladd(a, a, one), b.mul(b.mul(u, half), u))
    below = b.muladd(t, a, b.add(b.constant(2.0), u))
    g = b.mul(u, b.add(a, b.div(above, below)))
    return b.add(select.relu(b, x), odd_polynomial(b, g, _ATANH))


def exp(b: Builder, x: Name) -> Name:
    """e**x."""
    if b.exact:
        return b.libm("exp", x)
    return exp_of_parts(b, *exponent_parts(b, at_least(b, at_most(b, x, 711.0), -746.0)))


def exponent_parts(b: Builder, x: Name) -> tuple[Name, Name]:
    """(r, k + ROUND_TWICE_BIASED) such that x = k log(2) + r and |r| <= log(2) / 2.

    The number is between -746 and 711, outside of which its exponential is 0 or inf.
    """
    round_biased = b.constant(ROUND_TWICE_BIASED)
    rounded = b.muladd(x, b.constant(1.4426950408889634), round_biased)  # 1 / log(2)
    return _remainder(b, x, b.sub(rounded, round_biased), [-part for part in _LOG_2]), rounded


def exp_minus_1(b: Builder, r: Name) -> Name:
    """exp(r) - 1 for |r| <= log(2) / 2."""
    return b.muladd(b.mul(r, r), polynomial(b, r, _EXP), r)


def exp_of_parts(b: Builder, r: Name, rounded: Name) -> Name:
    """2**k exp(r), where |r| <= log(2) / 2 and `rounded` is k + ROUND_TWICE_BIASED.

    2**k may be out of the range of doubles where the result is not. It is therefore two factors,
    each with half of the exponent; only the product with the second can overflow, or lose digits
    below 2**-1022.
    """
    return scaled(b, b.add(exp_minus_1(b, r), b.constant(1.0)), rounded)


def scaled(b: Builder, x: Name, rounded: Name) -> Name:
    """2**k x, where `rounded` is k + ROUND_TWICE_BIASED."""
    exponents = b.to_bits(rounded)
    half = b.shift_right(exponents, 1)
    first = b.from_bits(b.shift_left(half, 52))
    second = b.from_bits(b.shift_left(b.integer_sub(exponents, half), 52))
    return b.mul(b.mul(x, first), second)


def _decay(b: Builder, x: Name) -> tuple[Name, Name]:
    """(u, t) such that exp(-|x|) = u (2 - t) / (2 + t) and u is a power of two.

    A power below 2**-1022 has no exponent of its own, so 2**64 u is computed first.
    """
    size = at_most(b, b.abs(x), 746.0)  # exp(-|x|) is 0 from there on
    round_biased = b.constant(ROUND + BIAS + 64.0)
    rounded = b.muladd(size, b.constant(-1.4426950408889634), round_biased)  # -1 / log(2)
    u = b.mul(power_of_two(b, rounded), b.constant(2.0**-64))
    r = _remainder(b, size, b.sub(rounded, round_biased), _LOG_2)
    return u, odd_polynomial(b, r, _TWICE_TANH_HALF)


def _remainder(b: Builder, x: Name, count: Name, period: Sequence[float]) -> Name:
    """X + count * period; the period is a sum of two parts, so that the error is negligible."""
    high, low = period
    return b.muladd(count, b.constant(low), b.muladd(count, b.constant(high), x))
