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
    "div(g * 0.5, out + 0.0)",  # sqrt(-0.0) is -0.0, but the slope there is +inf
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

tan = declare(
    "tan",
    ieee.tan,
    "g * (1.0 + out * out)",
    "The tangent of x radians.",
    domain="finite x",
    emit=intrinsics.tan,
)

asin = declare(
    "asin",
    ieee.asin,
    "g * asin_slope(x)",
    "The angle between -pi/2 and pi/2 whose sine is x.",
    domain="-1 <= x <= 1; nan elsewhere",
    not_smooth="at -1 and 1 (inf is returned)",
    emit=intrinsics.asin,
)

acos = declare(
    "acos",
    ieee.acos,
    "-(g * asin_slope(x))",
    "The angle between 0 and pi whose cosine is x.",
    domain="-1 <= x <= 1; nan elsewhere",
    not_smooth="at -1 and 1 (-inf is returned)",
    emit=intrinsics.acos,
)

atan = declare(
    "atan",
    ieee.atan,
    "div(g, 1.0 + x * x)",
    "The angle between -pi/2 and pi/2 whose tangent is x.",
    emit=intrinsics.atan,
)

# Divided twice by the distance, whose square may overflow or vanish where the derivative does not.
atan2 = declare(
    "atan2",
    ieee.atan2,
    ("g * div(div(y, hypot(x, y)), hypot(x, y))", "-(g * div(div(x, hypot(x, y)), hypot(x, y)))"),
    "The angle of the point (y, x) in the plane, between -pi and pi: atan2(ordinate, abscissa).",
    not_smooth="at (0, 0) (nan is returned); the value jumps by 2 pi where x is 0 and y negative",
    emit=intrinsics.atan2,
)

sinh = declare(
    "sinh",
    ieee.sinh,
    "g * cosh(x)",
    "The hyperbolic sine of x, (e**x - e**-x) / 2; infinite beyond 710.47.",
    emit=intrinsics.sinh,
)

cosh = declare(
    "cosh",
    ieee.cosh,
    "g * sinh(x)",
    "The hyperbolic cosine of x, (e**x + e**-x) / 2; infinite beyond 710.47.",
    emit=intrinsics.cosh,
)

tanh = declare(
    "tanh",
    ieee.tanh,
    "g * (1.0 - out * out)",
    "The hyperbolic tangent of x, (e**x - e**-x) / (e**x + e**-x).",
    emit=intrinsics.tanh,
    higher="g * tanh_slope(x, out)",
)

sigmoid = declare(
    "sigmoid",
    ieee.sigmoid,
    "g * (out * (1.0 - out))",
    "The logistic function 1 / (1 + e**-x).",
    emit=intrinsics.sigmoid,
    higher="g * sigmoid_slope(x, out)",
)

log1p = declare(
    "log1p",
    ieee.log1p,
    "div(g, 1.0 + x)",
    "log(1 + x), without cancellation near 0.",
    domain="x > -1; -inf at -1, nan below",
    emit=intrinsics.log1p,
)

expm1 = declare(
    "expm1",
    ieee.expm1,
    "g * exp(x)",
    "e**x - 1, without cancellation near 0.",
    emit=intrinsics.expm1,
)

log2 = declare(
    "log2",
    ieee.log2,
    "div(g * 1.4426950408889634, x)",
    "The logarithm of x to the base 2.",
    domain="x > 0; -inf at 0, nan below",
    emit=intrinsics.log2,
)

log10 = declare(
    "log10",
    ieee.log10,
    "div(g * 0.4342944819032518, x)",
    "The logarithm of x to the base 10.",
    domain="x > 0; -inf at 0, nan below",
    emit=intrinsics.log10,
)

hypot = declare(
    "hypot",
    ieee.hypot,
    ("where(out, g * div(x, out), 0.0)", "where(out, g * div(y, out), 0.0)"),
    "The distance of (x, y) from 0, sqrt(x**2 + y**2), without overflow of the squares.",
    not_smooth="at (0, 0) (0 is returned)",
    emit=intrinsics.hypot,
)

erf = declare(
    "erf",
    ieee.erf,
    "g * (1.1283791670955126 * exp(-(x * x)))",
    "The error function, 2 / sqrt(pi) times the integral of e**(-t**2) from 0 to x.",
    emit=intrinsics.erf,
)

normal_cdf = declare(
    "normal_cdf",
    ieee.normal_cdf,
    "g * normal_pdf(x)",
    "The probability that a standard normal variable is below x, (1 + erf(x / sqrt(2))) / 2.",
    emit=intrinsics.normal_cdf,
)

relu = declare(
    "relu",
    ieee.relu,
    "where(le(x, 0.0), 0.0, g)",
    "x if x is positive, else 0.",
    not_smooth="at 0 (0 is returned, as in PyTorch and micrograd)",
    emit=intrinsics.relu,
)

leaky_relu = declare(
    "leaky_relu",
    ieee.leaky_relu,
    ("where(lt(0.0, x), g, g * y)", "where(lt(0.0, x), 0.0, g * x)"),
    "x if x is positive, else y * x; the slope y is 0.01 if it is not given.",
    not_smooth="at x = 0 (the slope y is returned)",
    emit=intrinsics.leaky_relu,
    defaults=(0.01,),
)

elu = declare(
    "elu",
    ieee.elu,
    ("where(lt(0.0, x), g, g * (y * exp(x)))", "where(lt(0.0, x), 0.0, g * expm1(x))"),
    "x if x is positive, else y * (e**x - 1); y is 1 if it is not given.",
    not_smooth="at x = 0 if y is not 1 (y is returned)",
    emit=intrinsics.elu,
    defaults=(1.0,),
)

# In the derivatives of gelu and silu x is bounded where its factor is 0: inf * 0 would be nan.
gelu = declare(
    "gelu",
    ieee.gelu,
    "g * (normal_cdf(x) + clip(x, -40.0, 40.0) * normal_pdf(x))",
    "The Gaussian error linear unit x * normal_cdf(x) = x (1 + erf(x / sqrt(2))) / 2, exactly.",
    emit=intrinsics.gelu,
)

silu = declare(
    "silu",
    ieee.silu,
    "g * (sigmoid(x) * (1.0 + clip(x, -800.0, 800.0) * sigmoid(-x)))",
    "The sigmoid linear unit x * sigmoid(x), also named swish.",
    emit=intrinsics.silu,
    higher="g * (logistic_cdf(x) * (1.0 + clip(x, -800.0, 800.0) * logistic_cdf(-x)))",
)

softplus = declare(
    "softplus",
    ieee.softplus,
    "g * sigmoid(x)",
    "log(1 + e**x), a smooth relu.",
    emit=intrinsics.softplus,
    higher="g * logistic_cdf(x)",
)

abs = declare(  # noqa: A001
    "abs",
    operator.abs,
    "where(lt(x, 0.0), -g, where(lt(0.0, x), g, 0.0))",
    "|x|.",
    not_smooth="at 0 (0 is returned)",
    emit=lambda e, x: e.abs(x),
)


sign = declare(
    "sign",
    ieee.sign,
    "0.0",
    "1 if x is positive, -1 if x is negative; zeros stay as they are.",
    not_smooth="at 0 (0 is returned, as everywhere)",
    emit=intrinsics.sign,
)

floor = declare(
    "floor",
    ieee.floor,
    "0.0",
    "The largest integer that is not above x.",
    not_smooth="at the integers (0 is returned, as everywhere)",
    emit=lambda e, x: e.floor(x),
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

clip = declare(
    "clip",
    ieee.clip,
    (
        "where(lt(x, y), 0.0, where(lt(z, x), 0.0, g))",
        "where(lt(x, y), where(lt(z, y), 0.0, g), 0.0)",
        "where(lt(z, max(x, y)), g, 0.0)",
    ),
    "x, but at least y and at most z: clip(x, low, high); nan if one of them is nan.",
    not_smooth="at x = y and x = z (1 by x and 0 by the bound, as in PyTorch)",
    emit=intrinsics.clip,
)

# The derivatives select with `where` and do not multiply by 0 or 1: the operand that is not
# selected may have an infinite slope, and 0 * inf would make the gradient nan. Nor does anything
# pass on to what the operand that is not selected was computed from, see `selects` of `Op`.
where = declare(
    "where",
    ieee.where,
    ("0.0", "where(x, g, 0.0)", "where(x, 0.0, g)"),
    "y if x is not zero, else z: where(condition, then, otherwise).",
    not_smooth="in the condition (0 is returned)",
    emit=intrinsics.where,
    selects=("", "x", "where(x, 0.0, 1.0)"),
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


# ---- operations that occur in derivatives only ---------------------------------------------------

# They are records of their own because their derivatives are not those of their formulas as they
# are computed. 1 - tanh(x)**2 is 0 from x = 19 on, but its derivative, which is computed from x, is
# right there; and so is every derivative of asin next to -1 and 1.

tanh_slope = declare(
    "tanh_slope",
    ieee.tanh_slope,
    ("g * (-8.0 * (tanh(x) * logistic_pdf(2.0 * x)))", "0.0"),
    "The derivative of the hyperbolic tangent y of x, 1 - y**2.",
    emit=lambda e, x, y: e.sub(e.constant(1.0), e.mul(y, y)),
    is_helper=True,
)

sigmoid_slope = declare(
    "sigmoid_slope",
    ieee.sigmoid_slope,
    ("-(g * (logistic_pdf(x) * tanh(0.5 * x)))", "0.0"),
    "The derivative of the sigmoid y of x, y * (1 - y).",
    emit=lambda e, x, y: e.mul(y, e.sub(e.constant(1.0), y)),
    is_helper=True,
)

logistic_cdf = declare(
    "logistic_cdf",
    ieee.sigmoid,
    "g * logistic_pdf(x)",
    "The sigmoid of x, whose own derivative is computed from x.",
    emit=intrinsics.sigmoid,
    is_helper=True,
)

logistic_pdf = declare(
    "logistic_pdf",
    ieee.logistic_pdf,
    "-(g * (out * tanh(0.5 * x)))",
    "The derivative of the sigmoid from x alone, sigmoid(x) * sigmoid(-x).",
    emit=intrinsics.logistic_pdf,
    is_helper=True,
)

normal_pdf = declare(
    "normal_pdf",
    ieee.normal_pdf,
    "-(g * (clip(x, -40.0, 40.0) * out))",  # at inf the derivative is 0, and not inf * 0
    "The density of the standard normal distribution, e**(-x**2 / 2) / sqrt(2 pi).",
    emit=intrinsics.normal_pdf,
    is_helper=True,
)

asin_slope = declare(
    "asin_slope",
    ieee.asin_slope,
    "g * (x * (out * (out * out)))",
    "The derivative of asin, 1 / sqrt(1 - x**2).",
    domain="-1 < x < 1; inf at -1 and 1, nan elsewhere",
    emit=intrinsics.asin_slope,
    is_helper=True,
)
