"""Intrinsics: the operations of the registry as instructions.

An intrinsic is a function of a builder (`builder_protocol.py`) and of the operands' values. It
appends instructions to the builder and returns the value of the result. It serves any number of
lanes, in two modes:

* exact (`b.exact`): the bits of the functions of `autodiff/ieee.py`, by calls of the C library;
* default: polynomial approximations without branches, so that all lanes run the same instructions.

`select.py` has comparisons and selections; start reading there. `arithmetic.py` has what needs no
approximation. The elementary functions are in `exp.py`, `hyperbolic.py`, `log.py`, `logarithms.py`,
`trig.py`, `inverse_trig.py`, `error_function.py` and `pow.py`; `libm.py` has those that exact mode
composes of calls.
"""

from talweg.compiler.intrinsics.arithmetic import asin_slope, hypot
from talweg.compiler.intrinsics.error_function import erf, gelu, normal_cdf, normal_pdf
from talweg.compiler.intrinsics.exp import exp, logistic_pdf, sigmoid, silu, softplus, tanh
from talweg.compiler.intrinsics.hyperbolic import cosh, elu, expm1, sinh
from talweg.compiler.intrinsics.inverse_trig import acos, asin, atan, atan2
from talweg.compiler.intrinsics.log import log
from talweg.compiler.intrinsics.logarithms import log1p, log2, log10
from talweg.compiler.intrinsics.pow import pow  # noqa: A004
from talweg.compiler.intrinsics.select import (
    clip,
    le,
    leaky_relu,
    lt,
    max,  # noqa: A004
    min,  # noqa: A004
    relu,
    sign,
    where,
)
from talweg.compiler.intrinsics.trig import cos, sin, tan

__all__ = [
    "acos",
    "asin",
    "asin_slope",
    "atan",
    "atan2",
    "clip",
    "cos",
    "cosh",
    "elu",
    "erf",
    "exp",
    "expm1",
    "gelu",
    "hypot",
    "le",
    "leaky_relu",
    "log",
    "log1p",
    "log2",
    "log10",
    "logistic_pdf",
    "lt",
    "max",
    "min",
    "normal_cdf",
    "normal_pdf",
    "pow",
    "relu",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "softplus",
    "tan",
    "tanh",
    "where",
]
