"""The types of a native program's values, and the parameters of its functions.

`builder.py` and `number_builder.py` write them into the text of the program.

Start reading at `Type`.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

CACHE_LINE = 64
"""Bytes of a cache line, to which arrays are aligned."""


class Type:
    """The type of a value: `DOUBLE`, `I64`, `I32`, `I1` (true or false), `PTR`, or lanes of one.

    Attributes:
        size: bytes in memory; 0 for types whose layout in memory is left to the target.
    """

    __slots__ = ("_text", "size")

    def __init__(self, text: str, size: int) -> None:
        self._text = text
        self.size = size

    def __str__(self) -> str:
        return self._text


VOID = Type("void", 0)
DOUBLE = Type("double", 8)
I64 = Type("i64", 8)
I32 = Type("i32", 4)
I1 = Type("i1", 0)
PTR = Type("ptr", 8)


@functools.cache
def vector(of: Type, lanes: int) -> Type:
    """The type of several lanes of a type; of one lane, the type itself."""
    return of if lanes == 1 else Type(f"<{lanes} x {of}>", lanes * of.size)


class Parameter(NamedTuple):
    """A parameter of a function.

    Attributes:
        name: identifies it in `FunctionBuilder.parameters`.
        type: its type.
        noalias: for a pointer: no other pointer of the function reaches the same memory, unless
            neither is written to.
        nocapture: for a pointer: the function stores and returns no copy of it.
    """

    name: str
    type: Type
    noalias: bool = False
    nocapture: bool = False
