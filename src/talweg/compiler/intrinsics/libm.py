"""The functions that exact mode composes of calls of the C library.

Python's `math` functions call the C library, so calls of it give the bits of the eager engine. The
functions that `autodiff/ieee.py` composes are composed here of the same steps in the same order.

Start reading at `sigmoid`.
"""

from __future__ import annotations

from talweg.compiler.intrinsics import select
from talweg.compiler.intrinsics.builder_protocol import Builder, Name


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
