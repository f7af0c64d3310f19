"""The operations of the table as machine code, written against an emitter.

Each function here takes an emitter and the operands, asks the emitter for instructions, and
returns the name of the result. Written once, it serves one lane and several. There are two modes:

* exact (`b.exact`): the bits of the functions of `autodiff/ieee.py`, by calls of the C library;
* default: functions of our own without branches, so that all lanes go the same way.

`select` holds what compares and selects; start reading there. The elementary functions follow
in `exponential`, `logarithm`, `trigonometric` and `power`; `exact` is what the exact mode composes.
"""

from talweg.compiler.intrinsics.exp import exp, sigmoid, softplus, tanh
from talweg.compiler.intrinsics.log import log
from talweg.compiler.intrinsics.pow import pow  # noqa: A004
from talweg.compiler.intrinsics.select import le, lt, max, min, relu, where  # noqa: A004
from talweg.compiler.intrinsics.trig import cos, sin

__all__ = [
    "cos",
    "exp",
    "le",
    "log",
    "lt",
    "max",
    "min",
    "pow",
    "relu",
    "sigmoid",
    "sin",
    "softplus",
    "tanh",
    "where",
]
