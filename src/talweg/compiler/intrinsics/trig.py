"""Sine, cosine and tangent.

Argument reduction: |x| = n pi / 2 + r with |r| <= pi / 4. sin(r) and cos(r) are polynomials in
r**2; n determines which of them is the result, and its sign. Both functions compute both
polynomials: where a program needs the sine and the cosine of one x, as derivatives do, LLVM merges
the two computations.

pi / 2 is a sum of three parts (Cody and Waite): up to |x| = 400,000 the products of n with the
first two are exact, and r is correct to its last digits even for the doubles nearest to a multiple
of pi / 2. Larger numbers, and they alone, are passed to the C library.

Start reading at `sin`.
"""

from __future__ import annotations

from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import ROUND, SIGN_BIT, odd_polynomial, polynomial

_TWO_OVER_PI = 0.6366197723675814
"""2 / pi."""

_HALF_PI = (1.5707963267923333, 2.5633441515839558e-12, 1.0562999066987428e-23)
"""pi / 2 as a sum of three parts. The first two have 35 bits: n may have 18."""

_LARGEST = 400_000.0
"""The largest |x| of which n has 18 bits."""

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
    """The sine: of |x| = n pi / 2 + r, the sine or cosine of r, depending on n; odd in x."""
    if b.exact:
        return b.libm("sin", x)
    n, sine, cosine = _reduced(b, x)
    sign = b.integer_xor(_sign_of_sine(b, n), b.to_bits(x))
    result = _negated_where(b, b.select(b.is_odd(n), cosine, sine), sign)
    return b.libm_where(_is_large(b, x), "sin", [x], result)


def cos(b: Builder, x: Name) -> Name:
    """The cosine: the sine with n + 1 in place of n; even in x."""
    if b.exact:
        return b.libm("cos", x)
    n, sine, cosine = _reduced(b, x)
    sign = _sign_of_sine(b, b.integer_add(n, b.integer_constant(1)))
    result = _negated_where(b, b.select(b.is_odd(n), sine, cosine), sign)
    return b.libm_where(_is_large(b, x), "cos", [x], result)


def tan(b: Builder, x: Name) -> Name:
    """The tangent: sin(r) / cos(r), or -cos(r) / sin(r) where n is odd; odd in x.

    What the roundings of sin(r) and cos(r) leave out is added to the quotient q = above / below:
    (rest of above - q * rest of below) / below. For 1 / below a few bits suffice: 1 / cos(r) is
    taken to be 2 - cos(r), and 1 / sin(r) to be q times that.
    """
    if b.exact:
        return b.libm("tan", x)
    n, (sine, sine_rest), (cosine, cosine_rest) = _reduced_precisely(b, x)
    odd = b.is_odd(n)
    above, below = b.select(odd, cosine, sine), b.select(odd, sine, cosine)
    q = b.div(above, below)
    more = b.muladd(
        b.neg(q), b.select(odd, sine_rest, cosine_rest), b.select(odd, cosine_rest, sine_rest)
    )
    inverse = b.sub(b.constant(2.0), cosine)
    q = b.muladd(more, b.select(odd, b.mul(q, inverse), inverse), q)
    sign = b.integer_xor(b.shift_left(n, 63), b.to_bits(x))
    return b.libm_where(_is_large(b, x), "tan", [x], _negated_where(b, q, sign))


def _reduced(b: Builder, x: Name) -> tuple[Name, Name, Name]:
    """(n, sin(r), cos(r)) such that |x| = n pi / 2 + r; n is in the low bits of an integer."""
    n, r, more = _remainder(b, x)
    r = b.add(r, more)
    z = b.mul(r, r)
    leading = b.muladd(z, b.constant(-0.5), b.constant(1.0))
    cosine = b.muladd(b.mul(z, z), polynomial(b, z, _COS), leading)
    return n, odd_polynomial(b, r, _SIN), cosine


def _reduced_precisely(b: Builder, x: Name) -> tuple[Name, tuple[Name, Name], tuple[Name, Name]]:
    """The same, with the sine and the cosine each as a number and the rest that it leaves out."""
    n, first, more = _remainder(b, x)
    r = b.add(first, more)
    low = b.sub(more, b.sub(r, first))
    z = b.mul(r, r)
    tail = b.muladd(b.mul(r, z), polynomial(b, z, _SIN), low)
    sine = b.add(r, tail)
    one, half = b.constant(1.0), b.mul(z, b.constant(0.5))
    leading = b.sub(one, half)
    lost = b.sub(b.sub(one, leading), half)
    rest = b.muladd(b.mul(z, z), polynomial(b, z, _COS), b.muladd(b.neg(r), low, lost))
    cosine = b.add(leading, rest)
    sine_rest, cosine_rest = b.sub(tail, b.sub(sine, r)), b.sub(rest, b.sub(cosine, leading))
    return n, (sine, sine_rest), (cosine, cosine_rest)


def _remainder(b: Builder, x: Name) -> tuple[Name, Name, Name]:
    """(n, r, more) such that |x| = n pi / 2 + r + more, where the last is small beside r.

    The first difference is exact. The rounding error of the second is added to the third product:
    rounded twice, an r just above a power of two, whose sine is just below it, would be wrong by
    two units in the last place.
    """
    size, shift = b.abs(x), b.constant(ROUND)
    rounded = b.muladd(size, b.constant(_TWO_OVER_PI), shift)
    n = b.sub(rounded, shift)
    first, second, third = [b.constant(-part) for part in _HALF_PI]
    difference = b.muladd(n, first, size)
    r = b.muladd(n, second, difference)
    error = b.muladd(n, second, b.sub(difference, r))
    return b.to_bits(rounded), r, b.muladd(n, third, error)


def _sign_of_sine(b: Builder, n: Name) -> Name:
    """An integer whose highest bit is set where sin(n pi / 2 + r) is -sin(r) or -cos(r)."""
    return b.shift_left(b.integer_and(n, b.integer_constant(2)), 62)


def _negated_where(b: Builder, x: Name, sign: Name) -> Name:
    """-x where the highest bit of `sign` is set, else x."""
    return b.from_bits(
        b.integer_xor(b.to_bits(x), b.integer_and(sign, b.integer_constant(SIGN_BIT)))
    )


def _is_large(b: Builder, x: Name) -> Name:
    """The mask of the numbers for which `_remainder` is not accurate."""
    return b.lt(b.constant(_LARGEST), b.abs(x))
