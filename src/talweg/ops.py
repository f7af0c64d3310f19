"""The operations of talweg, each declared once, in the operation registry.

An operation is one record, an `Op`. It holds everything that the rest of the package
knows about the operation: its value on floats, its derivative, its domain, where it is not
smooth, its machine code, and one sentence of documentation. An operation is added in this file
alone. Start reading at `add`; the records follow in the order of the lesson.

A record is also the function itself, as a NumPy ufunc is:

>>> tanh(0.0)
0.0
>>> tanh.equations
('g * (1.0 - out * out)',)
>>> tanh.derivatives[0](1.0, 0.0, 0.0)  # (g, x, out)
1.0

The syntax of equations, and how to declare your own operation: `autodiff/operation.py`.
"""

import operator
from typing import TYPE_CHECKING, Any

from talweg._util.deprecation import warn_renamed
from talweg.autodiff import ieee
from talweg.autodiff.operation import (
    REGISTRY,
    Op,
    declare,
    lookup,
    register,
    to_float,
    unregister,
)
from talweg.compiler import intrinsics

__all__ = ["REGISTRY", "Op", "lookup", "register", "to_float", "unregister"]


if not TYPE_CHECKING:  # type checkers would accept any attribute

    def __getattr__(name: str) -> Any:
        """The deprecated name of `REGISTRY`."""
        if name == "TABLE":
            warn_renamed(f"talweg.ops.{name}", "talweg.ops.REGISTRY")
            return REGISTRY
        raise AttributeError(f"module 'talweg.ops' has no attribute {name!r}")


# ---- arithmetic -------------------------------------------------------------------------

add = declare(
    "add", operator.add, ("g", "g"), "x + y.", symbol="+", emit=lambda e, x, y: e.add(x, y)
)

sub = declare(
    "sub", operator.sub, ("g", "-g"), "x - y.", symbol="-", emit=lambda e, x, y: e.sub(x, y)
)

mul = declare(
    "mul", operator.mul, ("g * y", "g * x"), "x * y.", symbol="*", emit=lambda e, x, y: e.mul(x, y)
)

div = declare(
    "div",
    ieee.div,
    ("div(g, y)", "-div(g * out, y)"),
    "x / y.",
    symbol="/",
    domain="y != 0; elsewhere inf, -inf or nan",
    emit=lambda e, x, y: e.div(x, y),
)

neg = declare("neg", operator.neg, "-g", "-x.", emit=lambda e, x: e.neg(x))

# The `where`s are for x = 0: d(x**0)/dx is 0, and not 0 * inf, also in its own derivatives;
# d(0**y)/dy is 0 for y > 0, and not 0 * log(0).
pow = declare(  # noqa: A001
    "pow",
    ieee.pow,
    (
        "g * (y * pow(x, y - where(x, 1.0, where(y, 1.0, 0.0))))",
        "g * (out * log(where(x, x, 1.0)))",
    ),
    "x ** y.",
    symbol="**",
    domain="x > 0, or any x if y is an integer (x != 0 if it is negative)",
    not_smooth="at x = 0 if y < 1 (inf is returned) or y = 0 (0 is returned)",
    emit=intrinsics.pow,
)


# ---- functions of one number ------------------------------------------------------------

exp = declare("exp", ieee.exp, "g * out", "e**x; inf above 709.78.", emit=intrinsics.exp)

log = declare(
    "log",
    ieee.log,
    "div(g, x)",
    "The natural logarithm of x.",
    domain="x > 0; -inf at 0, nan below",
    emit=intrinsics.log,
)

sqrt = declare(
    "sqrt",
    ieee.sqrt,
    "div(g * 0.5, abs(out))",  # sqrt(-0.0) is -0.0, but the slope there is +inf
    "The square root of x.",
    domain="x >= 0; nan below",
    not_smooth="at 0 (inf is returned)",
    emit=lambda e, x: e.sqrt(x),
)

sin = declare(
    "sin", ieee.sin, "g * cos(x)", "The sine of x radians.", domain="finite x", emit=intrinsics.sin
)

cos = declare(
    "cos",
    ieee.cos,
    "-(g * sin(x))",
    "The cosine of x radians.",
    domain="finite x",
    emit=intrinsics.cos,
)

tanh = declare(
    "tanh",
    ieee.tanh,
    "g * (1.0 - out * out)",
    "The hyperbolic tangent of x, (e**x - e**-x) / (e**x + e**-x).",
    emit=intrinsics.tanh,
)

sigmoid = declare(
    "sigmoid",
    ieee.sigmoid,
    "g * (out * (1.0 - out))",
    "The logistic function 1 / (1 + e**-x).",
    emit=intrinsics.sigmoid,
)

relu = declare(
    "relu",
    ieee.relu,
    "where(le(x, 0.0), 0.0, g)",
    "x if x is positive, else 0.",
    not_smooth="at 0 (0 is returned, as in PyTorch and micrograd)",
    emit=intrinsics.relu,
)

softplus = declare(
    "softplus",
    ieee.softplus,
    "g * sigmoid(x)",
    "log(1 + e**x), a smooth relu.",
    emit=intrinsics.softplus,
)

abs = declare(  # noqa: A001
    "abs",
    operator.abs,
    "where(lt(x, 0.0), -g, where(lt(0.0, x), g, 0.0))",
    "|x|.",
    not_smooth="at 0 (0 is returned)",
    emit=lambda e, x: e.abs(x),
)


# ---- choices ------------------------------------------------------------------------------

max = declare(  # noqa: A001
    "max",
    ieee.max,
    (
        "where(lt(y, x), g, where(lt(x, y), 0.0, g * 0.5))",
        "where(lt(x, y), g, where(lt(y, x), 0.0, g * 0.5))",
    ),
    "The larger of x and y; nan if either is nan.",
    not_smooth="at x = y (half to each, as in PyTorch and JAX)",
    emit=intrinsics.max,
)

min = declare(  # noqa: A001
    "min",
    ieee.min,
    (
        "where(lt(x, y), g, where(lt(y, x), 0.0, g * 0.5))",
        "where(lt(y, x), g, where(lt(x, y), 0.0, g * 0.5))",
    ),
    "The smaller of x and y; nan if either is nan.",
    not_smooth="at x = y (half to each, as in PyTorch and JAX)",
    emit=intrinsics.min,
)

# The derivatives select with `where` and do not multiply by 0 or 1: the operand that is not
# selected may have an infinite slope, and 0 * inf would make the gradient nan. (The gradient of
# an operand that is outside its own domain can still be nan, although 0 arrives here: log at 0 is
# an example. Then its argument must be selected with `where` as well, as `pow` does.)
where = declare(
    "where",
    ieee.where,
    ("0.0", "where(x, g, 0.0)", "where(x, 0.0, g)"),
    "y if x is not zero, else z: where(condition, then, otherwise).",
    not_smooth="in the condition (0 is returned)",
    emit=intrinsics.where,
)

detach = declare(
    "detach",
    operator.pos,
    "0.0",
    "x, as a constant: no derivative passes through it.",
    not_smooth="nowhere, but 0 is returned everywhere",
    emit=lambda e, x: x,
)

lt = declare(
    "lt",
    ieee.lt,
    ("0.0", "0.0"),
    "1 if x < y, else 0.",
    symbol="<",
    not_smooth="at x = y (0 is returned)",
    emit=intrinsics.lt,
)

le = declare(
    "le",
    ieee.le,
    ("0.0", "0.0"),
    "1 if x <= y, else 0.",
    symbol="<=",
    not_smooth="at x = y (0 is returned)",
    emit=intrinsics.le,
)
