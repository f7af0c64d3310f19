"""The error function, the normal distribution function, and gelu.

Near zero they are polynomials. Elsewhere the tail of the normal distribution is, for y > 0,

    normal_cdf(-y) = exp(-y**2 / 2) H(y),   H(y) = (1 - t) P(t),   t = (y - 5) / (y + 5).

A relative error e of y would be one of y**2 e in the exponential, and of up to 3 e in H. So y is a
sum of two parts, the first of 22 bits, whose square is exact; and H is computed at the number that
a t of 30 bits belongs to, and corrected by the derivative H' = y H - 1 / sqrt(2 pi).

Start reading at `normal_cdf`.
"""

from __future__ import annotations

from talweg.compiler.intrinsics import libm
from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import (
    at_least,
    at_most,
    horner,
    polynomial,
    with_sign_of,
)
from talweg.compiler.intrinsics.exp import exp, exp_minus_1, exponent_parts, scaled

_ROOT_2 = 1.4142135623730951
"""sqrt(2)."""

_DENSITY_AT_0 = 0.3989422804014327
"""1 / sqrt(2 pi)."""

_TWO_OVER_ROOT_PI = 1.1283791670955126
"""2 / sqrt(pi)."""

_GRID = 1.5 * 2.0**22
"""The sum of this and a number below 2**21 is rounded to a multiple of 2**-30."""

_ERF = (
    -0.3761263890318375,
    0.11283791670954774,
    -0.026866170645031332,
    0.005223977624039752,
    -0.0008548326909428124,
    0.00012055327155586049,
    -1.4925455106548757e-05,
    1.6457750054964721e-06,
    -1.6301175259966609e-07,
    1.4193169401011223e-08,
    -8.845453622927845e-10,
)
"""erf(x) = x (2 / sqrt(pi) + x**2 P(x**2)) for |x| <= 0.85."""

_NORMAL = (
    -0.06649038006690544,
    0.009973557010035434,
    -0.0011873282154705317,
    0.00011543468749053338,
    -9.44465536303166e-06,
    6.65965507445608e-07,
    -4.121658601978835e-08,
    2.2576987402113438e-09,
    -9.935473988173262e-11,
)
"""normal_cdf(x) = 1 / 2 + x (1 / sqrt(2 pi) + x**2 P(x**2)) for |x| <= 0.68."""

_CENTRE = 0.125
"""The number c in H(y) = (1 - t) P(t - c)."""

_LINE = (0.06931852743895645, -0.05550442636013031)
"""The first two coefficients of P, the second rounded to 22 bits."""

_TAIL = (
    5.0171124382429726e-18,
    -1.2874034757192056e-08,
    0.039192552753433446,
    -0.024103722455823238,
    0.01264788403008449,
    -0.005457558305553892,
    0.0017912507537662565,
    -0.00035022412334904425,
    -2.4050348674987017e-05,
    4.3560397838813274e-05,
    -1.090676232720302e-05,
    -2.191203842328987e-06,
    1.910920421113402e-06,
    -9.354121253722298e-08,
    -2.5831435845348526e-07,
    5.0601805311860094e-08,
    3.559788304202596e-08,
    -1.0761621486061877e-08,
    -5.784084015708428e-09,
    1.3549583153721954e-09,
    9.57706017227781e-10,
    1.0441187188094312e-10,
)
"""P less this line, for 0.5 <= y <= 39."""


def normal_cdf(b: Builder, x: Name) -> Name:
    """The distribution function of the standard normal distribution."""
    if b.exact:
        return libm.normal_cdf(b, x)
    a, _, exponent = _tail(b, b.abs(x))
    tail = scaled(b, a, exponent)
    outer = b.select(b.lt(b.constant(0.0), x), b.sub(b.constant(1.0), tail), tail)
    return b.select(_is_small(b, x), b.muladd(x, _odd_part(b, x), b.constant(0.5)), outer)


def normal_pdf(b: Builder, x: Name) -> Name:
    """The density of the standard normal distribution."""
    power = exp(b, b.mul(b.constant(-0.5), b.mul(x, x)))
    return b.mul(b.constant(_DENSITY_AT_0), power)


def gelu(b: Builder, x: Name) -> Name:
    """X * normal_cdf(x), where x is at least -1000, so that the result is -0.0 at -inf."""
    x = at_least(b, x, -1000.0)
    if b.exact:
        return b.mul(x, libm.normal_cdf(b, x))
    a, left, exponent = _tail(b, b.abs(x))
    bounded = at_most(b, x, 1000.0)  # inf * 0 is nan
    x_high, a_high = _short(b, bounded), _short(b, a)
    a_low = b.add(b.sub(a, a_high), left)
    product = b.muladd(b.sub(bounded, x_high), a, b.mul(x_high, a_low))
    tail = scaled(b, b.add(b.mul(x_high, a_high), product), exponent)
    outer = b.select(b.lt(b.constant(0.0), x), b.sub(x, tail), tail)
    small = b.mul(x, b.muladd(x, _odd_part(b, x), b.constant(0.5)))
    return b.select(_is_small(b, x), small, outer)


def erf(b: Builder, x: Name) -> Name:
    """The error function; beyond 0.85 it is 1 - 2 normal_cdf(-sqrt(2) x)."""
    if b.exact:
        return b.libm("erf", x)
    size = b.abs(x)
    a, _, exponent = _tail(b, b.mul(at_most(b, size, 27.0), b.constant(_ROOT_2)))
    tail = scaled(b, a, exponent)
    outer = b.muladd(tail, b.constant(-2.0), b.constant(1.0))
    z = b.mul(size, size)
    inner = b.muladd(z, polynomial(b, z, _ERF), b.constant(_TWO_OVER_ROOT_PI))
    result = b.select(b.lt(size, b.constant(0.85)), b.mul(size, inner), outer)
    return with_sign_of(b, x, b.select(b.ne(x, x), size, b.abs(result)))


def _is_small(b: Builder, x: Name) -> Name:
    return b.lt(b.abs(x), b.constant(0.51))


def _odd_part(b: Builder, x: Name) -> Name:
    """(normal_cdf(x) - 1 / 2) / x near zero."""
    z = b.mul(x, x)
    return b.muladd(z, polynomial(b, z, _NORMAL), b.constant(_DENSITY_AT_0))


def _tail(b: Builder, y: Name) -> tuple[Name, Name, Name]:
    """(a, what its rounding leaves out, k): normal_cdf(-y) = 2**k a; k as in `exp_of_parts`.

    y below 0.5, and beyond 39, from which on the result is 0, count as these. Sums and products
    are kept as a number of 22 bits, whose products are exact, and the rest: a is rounded once.
    """
    y = at_least(b, at_most(b, y, 39.0), 0.5)
    high = _short(b, y)
    low = b.sub(y, high)
    one, half, five = b.constant(1.0), b.constant(0.5), b.constant(5.0)
    # exp(-y**2 / 2), with the exponent as a sum
    square, small = b.mul(b.mul(high, high), half), b.mul(b.mul(low, b.add(y, high)), half)
    r, exponent = exponent_parts(b, b.neg(square))
    power = exp_minus_1(b, b.sub(r, small))
    # H at the number that t belongs to
    sum_, grid = b.add(y, five), b.constant(_GRID)
    t = b.sub(b.add(b.div(b.sub(y, five), sum_), grid), grid)
    factor = b.sub(one, t)
    u = b.sub(t, b.constant(_CENTRE))
    constant, linear = b.constant(_LINE[0]), b.mul(u, b.constant(_LINE[1]))
    line, more = b.add(constant, linear), horner(b, u, _TAIL)
    more = b.add(more, b.sub(linear, b.sub(line, constant)))
    p = b.add(line, more)
    p_high = _short(b, p)
    p_low = b.add(b.sub(line, p_high), more)
    h_high, h_low = b.mul(p_high, factor), b.mul(p_low, factor)
    # y minus that number: ((y - 5) - t (y + 5)) / (1 - t); 1 / (1 - t) is (y + 5) / 10
    left = b.sub(b.sub(b.sub(high, five), b.mul(t, five)), b.mul(t, high))
    away = b.mul(b.mul(b.add(left, b.mul(low, factor)), sum_), b.constant(0.1))
    h = b.add(h_high, h_low)
    slope = b.muladd(b.sub(y, away), h, b.constant(-_DENSITY_AT_0))
    h_low = b.muladd(away, slope, h_low)
    more = b.muladd(h_high, power, b.muladd(h_low, power, h_low))
    a = b.add(h_high, more)
    return a, b.sub(more, b.sub(a, h_high)), exponent


def _short(b: Builder, x: Name) -> Name:
    """X with its last 31 bits set to zero, so that 22 remain."""
    return b.from_bits(b.integer_and(b.to_bits(x), b.integer_constant(-(2**31))))
