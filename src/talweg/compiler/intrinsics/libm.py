"""The functions that exact mode composes of calls of the C library.

Python's `math` functions call the C library, so calls of it give the bits of the eager engine. The
functions that `autodiff/ieee.py` composes are composed here of the same steps in the same order.

Start reading at `sigmoid`.
"""

from __future__ import annotations

from talweg.compiler.intrinsics import select
from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import at_least, at_most

_ROOT_HALF = (0.7071067690849304, 1.2101617152815436e-08, -4.833646656726457e-17)
"""sqrt(1/2) as a sum of three parts, the first of 26 bits."""

_SPLIT = 2.0**27 + 1.0
"""The factor by which a number is split into two parts of 26 bits (Veltkamp)."""

_TWO_OVER_ROOT_PI = 1.1283791670955126
"""2 / sqrt(pi)."""


def sigmoid(b: Builder, x: Name) -> Name:
    """1 / (1 + exp(-x)) where x >= 0, exp(x) / (1 + exp(x)) elsewhere."""
    one = b.constant(1.0)
    right = b.le(b.constant(0.0), x)
    power = b.libm("exp", b.select(right, b.neg(x), x))
    return b.div(b.select(right, one, power), b.add(one, power))


def softplus(b: Builder, x: Name) -> Name:
    """relu(x) + log1p(exp(-|x|))."""
    rest = b.libm("log1p", b.libm("exp", b.neg(b.abs(x))))
    return b.add(select.relu(b, x), rest)


def logistic_pdf(b: Builder, x: Name) -> Name:
    """E / (1 + e)**2 for e = exp(-|x|)."""
    e = b.libm("exp", b.neg(b.abs(x)))
    sum_ = b.add(b.constant(1.0), e)
    return b.div(e, b.mul(sum_, sum_))


def normal_cdf(b: Builder, x: Name) -> Name:
    """erfc(-x / sqrt(2)) / 2, where the rounding error of the argument is made up for."""
    x = at_least(b, at_most(b, x, 40.0), -40.0)
    high, low, rest = map(b.constant, _ROOT_HALF)
    a = b.mul(x, b.constant(-(_ROOT_HALF[0] + _ROOT_HALF[1])))
    wide = b.mul(b.constant(_SPLIT), x)
    x_high = b.sub(wide, b.sub(wide, x))
    x_low = b.sub(x, x_high)
    left = b.add(b.mul(x_high, high), a)
    for pair in ((x_high, low), (x_low, high), (x_low, low), (x, rest)):
        left = b.add(left, b.mul(*pair))
    density = b.mul(b.constant(_TWO_OVER_ROOT_PI), b.libm("exp", b.neg(b.mul(a, a))))
    return b.mul(b.constant(0.5), b.add(b.libm("erfc", a), b.mul(left, density)))
