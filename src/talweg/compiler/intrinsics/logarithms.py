"""Logarithms to the bases 2 and 10, and of 1 + x.

The first two are those of `pow`, which has the logarithm to the base 2 as a sum of two numbers. The
third is the logarithm of the rounded sum u = 1 + x, and the first term of the series for what the
rounding has left out (FDLIBM, s_log1p.c).

Start reading at `log2`.
"""

from __future__ import annotations

from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.log import log_of_parts, special_cases, split
from talweg.compiler.intrinsics.pow import log2_parts

_LOG10_2 = (0.3010299950838089, 5.801722962879576e-10)
"""log10(2) as a sum: its first 26 bits, and the rest."""


def log2(b: Builder, x: Name) -> Name:
    """The logarithm to the base 2."""
    if b.exact:
        return b.libm("log2", x)
    return special_cases(b, x, b.add(*log2_parts(b, x)))


def log10(b: Builder, x: Name) -> Name:
    """The logarithm to the base 10: that to the base 2, times a constant."""
    if b.exact:
        return b.libm("log10", x)
    high, low = log2_parts(b, x)
    first, second = map(b.constant, _LOG10_2)
    rest = b.muladd(high, second, b.mul(low, b.add(first, second)))
    return special_cases(b, x, b.muladd(high, first, rest))


def log1p(b: Builder, x: Name) -> Name:
    """log(1 + x) = log(u) + (1 + x - u) / u, where u is the rounded sum."""
    if b.exact:
        return b.libm("log1p", x)
    one = b.constant(1.0)
    u = b.add(one, x)
    lost = b.select(b.lt(one, x), b.sub(one, b.sub(u, x)), b.sub(x, b.sub(u, one)))
    result = log_of_parts(b, *split(b, u), b.div(lost, u))
    is_small = b.lt(b.abs(x), b.constant(2.0**-54))  # the logarithm is x, with its sign if it is 0
    return b.select(is_small, x, special_cases(b, u, result))
