"""Operations that are composed of arithmetic, roots and selections.

In both modes they take the steps of `talweg.autodiff.ieee`, and have its bits.

Start reading at `hypot`.
"""

from __future__ import annotations

import math

from talweg.compiler.intrinsics.builder_protocol import Builder, Name

_HUGE, _TINY = 2.0**500, 2.0**-450
"""Numbers outside of these bounds are scaled by `hypot`."""

_TO_SMALL, _TO_LARGE = 2.0**-600, 2.0**600
"""The factors by which it scales them."""


def hypot(b: Builder, x: Name, y: Name) -> Name:
    """sqrt(x**2 + y**2) of numbers that are scaled by a power of two where squares would overflow.

    Each square is at most as large as the sum, so the result is within 1 ulp.
    """
    x, y = b.abs(x), b.abs(y)
    first = b.le(y, x)
    large, small = b.select(first, x, y), b.select(first, y, x)
    huge, tiny = b.lt(b.constant(_HUGE), large), b.lt(large, b.constant(_TINY))
    one, to_small, to_large = map(b.constant, (1.0, _TO_SMALL, _TO_LARGE))
    scale = b.select(huge, to_small, b.select(tiny, to_large, one))
    back = b.select(huge, to_large, b.select(tiny, to_small, one))
    large, small = b.mul(large, scale), b.mul(small, scale)
    root = b.sqrt(b.add(b.mul(large, large), b.mul(small, small)))
    infinity = b.constant(math.inf)
    is_infinite = b.mask_or(b.eq(x, infinity), b.eq(y, infinity))
    return b.select(is_infinite, infinity, b.mul(root, back))


def asin_slope(b: Builder, x: Name) -> Name:
    """1 / sqrt((1 - x) (1 + x)); nan where |x| > 1."""
    one = b.constant(1.0)
    return b.div(one, b.sqrt(b.mul(b.sub(one, x), b.add(one, x))))
