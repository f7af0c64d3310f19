"""Intrinsics: the operations of the registry as instructions.

An intrinsic is a function of a builder (`builder_protocol.py`) and of the operands' values. It
appends instructions to the builder and returns the value of the result. It serves any number of
lanes, in two modes:

* exact (`b.exact`): the bits of the functions of `autodiff/ieee.py`, by calls of the C library;
* default: polynomial approximations without branches, so that all lanes run the same instructions.

`select.py` has comparisons and selections; start reading there. The elementary functions are in
`exp.py`, `log.py`, `trig.py` and `pow.py`; `libm.py` has those that exact mode composes of calls.
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
