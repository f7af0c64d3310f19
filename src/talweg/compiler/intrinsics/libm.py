"""Elementary functions with the bits of the eager engine: calls of the C library.

Python's `math` functions are the C library's, so calling those gives the same bits. The two
functions that `autodiff/ieee.py` composes are composed here of the same steps in the same order.
"""

from __future__ import annotations

from talweg.compiler.intrinsics import select
from talweg.compiler.intrinsics.builder_protocol import Builder, Name


def sigmoid(b: Builder, x: Name) -> Name:
    """1 / (1 + exp(-x)) from zero on, exp(x) / (1 + exp(x)) below."""
    one = b.constant(1.0)
    right = b.le(b.constant(0.0), x)
    power = b.libm("exp", b.select(right, b.neg(x), x))
    return b.div(b.select(right, one, power), b.add(one, power))


def softplus(b: Builder, x: Name) -> Name:
    """relu(x) + log1p(exp(-|x|))."""
    rest = b.libm("log1p", b.libm("exp", b.neg(b.abs(x))))
    return b.add(select.relu(b, x), rest)
