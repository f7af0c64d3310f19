"""Elementary functions: for now the C library in both modes."""

from __future__ import annotations

from talweg.machine import exact
from talweg.machine.emitter import Emitter, Name


def tanh(e: Emitter, x: Name) -> Name:
    """The hyperbolic tangent."""
    return e.call("tanh", x)


def exp(e: Emitter, x: Name) -> Name:
    """e**x."""
    return e.call("exp", x)


def log(e: Emitter, x: Name) -> Name:
    """The natural logarithm."""
    return e.call("log", x)


def sin(e: Emitter, x: Name) -> Name:
    """The sine."""
    return e.call("sin", x)


def cos(e: Emitter, x: Name) -> Name:
    """The cosine."""
    return e.call("cos", x)


def pow(e: Emitter, x: Name, y: Name) -> Name:  # noqa: A001 - the operation's name
    """x**y."""
    return e.call("pow", x, y)


def sigmoid(e: Emitter, x: Name) -> Name:
    """1 / (1 + e**-x)."""
    return exact.sigmoid(e, x)


def softplus(e: Emitter, x: Name) -> Name:
    """log(1 + e**x)."""
    return exact.softplus(e, x)
