"""What the machine code of an operation may ask of the emitter that it is given.

The emitter itself, which writes LLVM IR, is `codegen/builder.py`; it lies far above this file.
Names of numbers, masks and integers are plain strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

Name: TypeAlias = str
"""A number, a mask or an integer of the program that is being written."""


class Emitter(Protocol):
    """One method for each thing that a machine can do with one number or several side by side.

    Attributes:
        exact: whether the bits must be those of the eager engine.
    """

    exact: bool

    # Numbers. `known` is the number that a constant is, None for others.
    # `fma` is rounded once on every machine; `muladd` once or twice, whichever is fast.
    def constant(self, x: float) -> Name: ...  # noqa: D102
    def known(self, x: Name) -> float | None: ...  # noqa: D102
    def add(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def sub(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def mul(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def div(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def neg(self, x: Name) -> Name: ...  # noqa: D102
    def abs(self, x: Name) -> Name: ...  # noqa: D102
    def sqrt(self, x: Name) -> Name: ...  # noqa: D102
    def nearest(self, x: Name) -> Name: ...  # noqa: D102
    def fma(self, x: Name, y: Name, z: Name) -> Name: ...  # noqa: D102
    def muladd(self, x: Name, y: Name, z: Name) -> Name: ...  # noqa: D102

    # Comparisons make masks; all but `ne` are false for nan.
    def lt(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def le(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def eq(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def ne(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def both(self, m: Name, n: Name) -> Name: ...  # noqa: D102
    def either(self, m: Name, n: Name) -> Name: ...  # noqa: D102
    def opposite(self, m: Name) -> Name: ...  # noqa: D102
    def select(self, m: Name, x: Name, y: Name) -> Name: ...  # noqa: D102

    # The 64 bits of a number as an integer.
    def bits(self, x: Name) -> Name: ...  # noqa: D102
    def number(self, i: Name) -> Name: ...  # noqa: D102
    def integer(self, k: int) -> Name: ...  # noqa: D102
    def integer_add(self, i: Name, j: Name) -> Name: ...  # noqa: D102
    def integer_sub(self, i: Name, j: Name) -> Name: ...  # noqa: D102
    def integer_and(self, i: Name, j: Name) -> Name: ...  # noqa: D102
    def integer_or(self, i: Name, j: Name) -> Name: ...  # noqa: D102
    def integer_xor(self, i: Name, j: Name) -> Name: ...  # noqa: D102
    def shift_left(self, i: Name, count: int) -> Name: ...  # noqa: D102
    def shift_right(self, i: Name, count: int) -> Name: ...  # noqa: D102
    def odd(self, i: Name) -> Name: ...  # noqa: D102

    # The C library: everywhere, or only where a mask holds.
    def call(self, name: str, *operands: Name) -> Name: ...  # noqa: D102
    def call_where(  # noqa: D102
        self, mask: Name, name: str, operands: Sequence[Name], otherwise: Name
    ) -> Name: ...
