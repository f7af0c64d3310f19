"""Sine and cosine.

Quarters of a turn are taken off, so that of |x| = n pi / 2 + r an r of at most pi / 4 is left. Its
sine and its cosine are polynomials in r**2; n says which of them is the result, and its sign.
Both functions compute both polynomials: where a program needs both of one x, as derivatives do,
LLVM finds that they are the same.

pi / 2 is in three parts (Cody and Waite): up to |x| = 400,000 the products with the first two are
exact, and r keeps all its digits even for the doubles nearest to a multiple of pi / 2. Larger
numbers, and there only, go to the C library.
"""

from __future__ import annotations

from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import SIGN, WHOLE, odd_polynomial, polynomial

_QUARTERS = 0.6366197723675814
"""2 / pi."""

_QUARTER = (1.5707963267923333, 2.5633441515839558e-12, 1.0562999066987428e-23)
"""pi / 2 in three parts, of which the first two have 35 bits: a multiplier may have 18."""

_LARGEST = 400_000.0

_SIN = (
    -0.1666666666666663,
    0.00833333333332184,
    -0.00019841269829358514,
    2.7557313538504065e-06,
    -2.5050734386857885e-08,
    1.5895433109279946e-10,
)
"""sin(r) = r + r**3 P(r**2) for |r| <= pi / 4."""

_COS = (
    0.041666666666666595,
    -0.0013888888888873342,
    2.480158728900209e-05,
    -2.7557314217045595e-07,
    2.0875705397474373e-09,
    -1.1358749341519562e-11,
)
"""cos(r) = 1 - r**2 / 2 + r**4 P(r**2) for |r| <= pi / 4."""


def sin(b: Builder, x: Name) -> Name:
    """The sine: of |x| = n pi / 2 + r the sine or cosine of r, by n, with the sign of x."""
    if b.exact:
        return b.libm("sin", x)
    n, sine, cosine = _quarters(b, x)
    sign = b.integer_xor(_turned(b, n), b.to_bits(x))
    result = _with_turned_sign(b, b.select(b.is_odd(n), cosine, sine), sign)
    return b.libm_where(_is_large(b, x), "sin", [x], result)


def cos(b: Builder, x: Name) -> Name:
    """The cosine: the sine a quarter of a turn ahead."""
    if b.exact:
        return b.libm("cos", x)
    n, sine, cosine = _quarters(b, x)
    sign = _turned(b, b.integer_add(n, b.integer_constant(1)))
    result = _with_turned_sign(b, b.select(b.is_odd(n), sine, cosine), sign)
    return b.libm_where(_is_large(b, x), "cos", [x], result)


def _quarters(b: Builder, x: Name) -> tuple[Name, Name, Name]:
    """(n, sin(r), cos(r)) such that |x| = n pi / 2 + r; n stands in the low bits of an integer."""
    size, whole = b.abs(x), b.constant(WHOLE)
    rounded = b.muladd(size, b.constant(_QUARTERS), whole)
    count = b.sub(rounded, whole)
    r = _less_quarters(b, size, count)
    z = b.mul(r, r)
    most = b.muladd(z, b.constant(-0.5), b.constant(1.0))
    cosine = b.muladd(b.mul(z, z), polynomial(b, z, _COS), most)
    return b.to_bits(rounded), odd_polynomial(b, r, _SIN), cosine


def _less_quarters(b: Builder, size: Name, count: Name) -> Name:
    """What is left of a number when so many quarters of a turn are taken off, rounded once.

    The first difference has no error. What is rounded off the second goes with the third: rounded
    twice, an r just above a power of two, whose sine is just below it, would cost two units.
    """
    first, second, third = [b.constant(-part) for part in _QUARTER]
    most = b.muladd(count, first, size)
    r = b.muladd(count, second, most)
    rest = b.muladd(count, second, b.sub(most, r))
    return b.add(r, b.muladd(count, third, rest))


def _turned(b: Builder, n: Name) -> Name:
    """The highest bit is set where n quarters, and less than one more, make a sine negative."""
    return b.shift_left(b.integer_and(n, b.integer_constant(2)), 62)


def _with_turned_sign(b: Builder, x: Name, sign: Name) -> Name:
    """X, its sign turned where the highest bit of `sign` is set."""
    return b.from_bits(b.integer_xor(b.to_bits(x), b.integer_and(sign, b.integer_constant(SIGN))))


def _is_large(b: Builder, x: Name) -> Name:
    return b.lt(b.constant(_LARGEST), b.abs(x))
