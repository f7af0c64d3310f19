"""Polynomials as machine code."""

from __future__ import annotations

from collections.abc import Sequence

from talweg.machine.emitter import Emitter, Name


def polynomial(e: Emitter, x: Name, coefficients: Sequence[float]) -> Name:
    """The sum of coefficients[i] * x**i.

    Even and odd powers are two chains that run side by side, which takes half the time of one
    and costs one multiplication.
    """
    if len(coefficients) < 5:
        return _horner(e, x, coefficients)
    square = e.mul(x, x)
    odd = _horner(e, square, coefficients[1::2])
    return e.muladd(odd, x, _horner(e, square, coefficients[0::2]))


def _horner(e: Emitter, x: Name, coefficients: Sequence[float]) -> Name:
    result = e.constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = e.muladd(result, x, e.constant(c))
    return result
