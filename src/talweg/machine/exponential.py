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

from talweg.machine import choices, exact
from talweg.machine.emitter import Emitter, Name
from talweg.machine.polynomial import polynomial

# Added to a small number, this rounds it to a whole one, which then stands in the low bits; with
# the bias of the exponent added too, those bits moved up by 52 are that power of two.
_WHOLE = 1.5 * 2.0**52
_BIAS = 1023.0

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
    0.4999999999999993,
    0.16666666666666935,
    0.04166666666670202,
    0.008333333333270064,
    0.0013888888883584417,
    0.00019841269892676339,
    2.4801590826402737e-05,
    2.7557300681110815e-06,
    2.755615880377563e-07,
    2.505502968557616e-08,
    2.10622713329764e-09,
    1.593572535795529e-10,
)
"""exp(r) = 1 + r + r**2 P(r) for |r| <= log(2)."""

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
    size = _at_most(e, e.abs(x), 20.0)  # from 19.1 on the result is 1
    shift, step = e.constant(0.0822), e.constant(-2.8853900817779268)  # -2 / log(2)
    whole = e.constant(_WHOLE + _BIAS)
    rounded = e.muladd(e.sub(size, shift), step, whole)  # -k, biased, in the low bits
    u = _power_of_two(e, rounded)
    r = _remainder(e, size, e.sub(rounded, whole), [0.5 * part for part in _LOG_2])
    t = _odd(e, r, _TANH)
    one = e.constant(1.0)
    base = e.sub(one, u)
    above = e.muladd(t, e.sub(e.constant(3.0), u), e.neg(base))
    below = e.muladd(t, base, e.add(one, u))
    return _with_sign_of(e, x, e.muladd(e.div(above, below), u, base))


def sigmoid(e: Emitter, x: Name) -> Name:
    """The logistic function, 1 / (1 + exp(-x)).

    With exp(-|x|) = u (2 - t) / (2 + t) it is u q where x < 0, and 1 - u q elsewhere, for

        q = (2 - t) / (2 (1 + u) + (1 - u) t).

    As in `tanh`, what is near the quotient and has no error, here a = 1 - u / 2, is taken off
    before dividing, so that the errors of the fraction count little: with b = 1 - u

        q = a - (u b + (1 + a b) t) / (2 (1 + u) + b t).
    """
    if e.exact:
        return exact.sigmoid(e, x)
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
        return exact.softplus(e, x)
    u, t = _decay(e, x)
    one, half = e.constant(1.0), e.constant(0.5)
    a = e.muladd(u, e.constant(-0.5), one)
    above = e.muladd(e.neg(t), e.muladd(a, a, one), e.mul(e.mul(u, half), u))
    below = e.muladd(t, a, e.add(e.constant(2.0), u))
    g = e.mul(u, e.add(a, e.div(above, below)))
    return e.add(choices.relu(e, x), _odd(e, g, _ATANH))


def exp(e: Emitter, x: Name) -> Name:
    """e**x.

    The powers of two that are taken out are even ones, so that the two factors by which the
    rest is multiplied, each the root of that power, are neither too large nor too small for a
    double. Only the second product can overflow, or be rounded to fewer digits below 2**-1022.
    """
    if e.exact:
        return e.call("exp", x)
    x = _at_least(e, _at_most(e, x, 710.0), -746.0)  # beyond: inf, and 0
    whole = e.constant(_WHOLE + _BIAS)
    rounded = e.muladd(x, e.constant(0.7213475204444817), whole)  # 1 / (2 log(2))
    root = _power_of_two(e, rounded)
    r = _remainder(e, x, e.sub(rounded, whole), [-2.0 * part for part in _LOG_2])
    rest = e.muladd(e.mul(r, r), polynomial(e, r, _EXP), r)
    return e.mul(e.mul(e.add(rest, e.constant(1.0)), root), root)


# ---- their parts --------------------------------------------------------------------------------


def _decay(e: Emitter, x: Name) -> tuple[Name, Name]:
    """(u, t) such that exp(-|x|) = u (2 - t) / (2 + t), u being a power of two.

    Such a power below 2**-1022 has no exponent to be put into, so it is made 2**64 times too large.
    """
    size = _at_most(e, e.abs(x), 746.0)  # beyond, exp(-|x|) is 0
    whole = e.constant(_WHOLE + _BIAS + 64.0)
    rounded = e.muladd(size, e.constant(-1.4426950408889634), whole)  # -1 / log(2)
    u = e.mul(_power_of_two(e, rounded), e.constant(2.0**-64))
    r = _remainder(e, size, e.sub(rounded, whole), _LOG_2)
    return u, _odd(e, r, _TWICE_TANH_HALF)


def _power_of_two(e: Emitter, rounded: Name) -> Name:
    return e.number(e.shift_left(e.bits(rounded), 52))


def _remainder(e: Emitter, x: Name, count: Name, period: Sequence[float]) -> Name:
    """X plus a whole number of periods, with no error to speak of."""
    high, low = period
    return e.muladd(count, e.constant(low), e.muladd(count, e.constant(high), x))


def _odd(e: Emitter, r: Name, coefficients: Sequence[float]) -> Name:
    """R + r**3 P(r**2)."""
    z = e.mul(r, r)
    return e.muladd(e.mul(r, z), polynomial(e, z, coefficients), r)


def _at_most(e: Emitter, x: Name, most: float) -> Name:
    """The smaller; nan stays nan."""
    return e.select(e.lt(e.constant(most), x), e.constant(most), x)


def _at_least(e: Emitter, x: Name, least: float) -> Name:
    """The larger; nan stays nan."""
    return e.select(e.lt(x, e.constant(least)), e.constant(least), x)


def _with_sign_of(e: Emitter, x: Name, size: Name) -> Name:
    """A number that is not negative, with the sign of x."""
    sign = e.integer_and(e.bits(x), e.integer(-(2**63)))
    return e.number(e.integer_or(e.bits(size), sign))
