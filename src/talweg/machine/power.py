"""x**y: products for small whole exponents that are known, else the C library."""

from __future__ import annotations

import math

from talweg.machine.emitter import Emitter, Name


def pow(e: Emitter, x: Name, y: Name) -> Name:  # noqa: A001 - the operation's name
    """x**y as C's `pow`.

    Nearly all exponents of programs are constants, and squares most of them. A product of four
    factors has three roundings: 1.5 ulp.
    """
    exponent = e.known(y)
    if e.exact or exponent is None:
        return e.call("pow", x, y)
    if exponent == 0.0:
        return e.constant(1.0)
    if exponent == 1.0:
        return x
    if exponent == 2.0:
        return e.mul(x, x)
    if exponent == 3.0:
        return e.mul(e.mul(x, x), x)
    if exponent == 4.0:
        square = e.mul(x, x)
        return e.mul(square, square)
    if exponent == -1.0:
        return e.div(e.constant(1.0), x)
    if exponent == 0.5:
        # The power of -0.0 is 0.0, and that of -inf is inf, which its root is not.
        root = e.sqrt(e.add(x, e.constant(0.0)))
        return e.select(e.eq(x, e.constant(-math.inf)), e.constant(math.inf), root)
    return e.call("pow", x, y)
