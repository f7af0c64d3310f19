"""The operations of the table as machine code, written against an emitter.

Each function here takes an emitter and the operands, asks the emitter for instructions, and
returns the name of the result. Written once, it serves one lane and several. There are two modes:

* exact (`e.exact`): the bits of the eager functions of `talweg.ieee`, by calling the C library;
* default: functions of our own without branches, so that all lanes go the same way.

`choices` holds what compares and selects; start reading there. `exact` is the exact mode.
"""

from talweg.machine.choices import le, lt, max, min, relu, where  # noqa: A004
from talweg.machine.elementary import cos, exp, log, pow, sigmoid, sin, softplus, tanh  # noqa: A004

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
