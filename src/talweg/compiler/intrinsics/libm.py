"""Elementary functions with the bits of the eager engine: calls of the C library.

Python's `math` functions are the C library's, so calling those gives the same bits. The two
functions that `autodiff/ieee.py` composes are composed here of the same steps in the same order.
"""

from __future__ import annotations

from talweg.compiler.intrinsics import select
from talweg.compiler.intrinsics.builder_protocol import Emitter, Name


def sigmoid(e: Emitter, x: Name) -> Name:
    """1 / (1 + exp(-x)) from zero on, exp(x) / (1 + exp(x)) below."""
    one = e.constant(1.0)
    right = e.le(e.constant(0.0), x)
    power = e.call("exp", e.select(right, e.neg(x), x))
    return e.div(e.select(right, one, power), e.add(one, power))


def softplus(e: Emitter, x: Name) -> Name:
    """relu(x) + log1p(exp(-|x|))."""
    rest = e.call("log1p", e.call("exp", e.neg(e.abs(x))))
    return e.add(select.relu(e, x), rest)
