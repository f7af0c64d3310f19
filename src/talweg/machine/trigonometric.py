"""Sine and cosine.

Whole multiples of pi are taken off; what is left, r, is at most pi / 2, and its sine is one odd
polynomial. The cosine is a sine too, of what is left when odd multiples of pi / 2 are taken off.
pi is in three parts (Cody and Waite): up to |x| = 400,000 the products with the first two are
exact, and r keeps all its digits even for the doubles nearest to a multiple of pi / 2. Larger
numbers, and there only, go to the C library.
"""

from __future__ import annotations

from talweg.machine.emitter import Emitter, Name
from talweg.machine.polynomial import polynomial

_WHOLE = 1.5 * 2.0**52
"""Added to a small number, this rounds it to a whole one, which then stands in the low bits."""

_ONE_BY_PI = 0.3183098861837907

_PI = (3.1415926535846666, 5.1266883031679116e-12, 2.1125998133974855e-23)
"""In three parts, of which the first two have 35 bits: a multiplier may have 18."""

_LARGEST = 400_000.0

_SIN = (
    -0.16666666666666666,
    0.008333333333333207,
    -0.00019841269841212476,
    2.7557319211568406e-06,
    -2.505210690425993e-08,
    1.6058940990480704e-10,
    -7.643018959601459e-13,
    2.7214140190540298e-15,
)
"""sin(r) = r + r**3 P(r**2) for |r| <= pi / 2."""


def sin(e: Emitter, x: Name) -> Name:
    """The sine; for |x| = n pi + r it is the sine of r, its sign turned n times, and that of x."""
    if e.exact:
        return e.call("sin", x)
    size, whole = e.abs(x), e.constant(_WHOLE)
    rounded = e.muladd(size, e.constant(_ONE_BY_PI), whole)
    n = e.sub(rounded, whole)
    r = size
    for part in _PI:
        r = e.muladd(n, e.constant(-part), r)
    sign = e.integer_and(e.bits(x), e.integer(-(2**63)))
    result = _sine_with_sign(e, r, e.integer_xor(e.shift_left(e.bits(rounded), 63), sign))
    return e.call_where(e.lt(e.constant(_LARGEST), size), "sin", [x], result)


def cos(e: Emitter, x: Name) -> Name:
    """The cosine: of |x| = (n + 1/2) pi - r it is (-1)**n sin(r)."""
    if e.exact:
        return e.call("cos", x)
    size, whole, half = e.abs(x), e.constant(_WHOLE), e.constant(0.5)
    rounded = e.add(e.muladd(size, e.constant(_ONE_BY_PI), e.constant(-0.5)), whole)
    n = e.add(e.sub(rounded, whole), half)
    r = e.neg(size)
    for part in _PI:
        r = e.muladd(n, e.constant(part), r)
    result = _sine_with_sign(e, r, e.shift_left(e.bits(rounded), 63))
    return e.call_where(e.lt(e.constant(_LARGEST), size), "cos", [x], result)


def _sine_with_sign(e: Emitter, r: Name, sign: Name) -> Name:
    """The sine of r, its sign turned where the highest bit of `sign` is set."""
    z = e.mul(r, r)
    sine = e.muladd(e.mul(r, z), polynomial(e, z, _SIN), r)
    return e.number(e.integer_xor(e.bits(sine), sign))
