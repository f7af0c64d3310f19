"""What the intrinsics ask of the builder that they are given.

`codegen/number_builder.py` implements the protocol for LLVM; it lies far above this file.

Start reading at `Builder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NewType, Protocol

Name = NewType("Name", str)
"""A value of the program under construction: a number, mask or integer of one or more lanes. It is
opaque: only the builder creates and reads its text."""


class Builder(Protocol):
    """Appends instructions, each on one number or on several lanes of numbers.

    Attributes:
        exact: whether the bits must be those of the eager engine.
    """

    exact: bool

    # Numbers. `known` is the number that a constant is, None for others.
    # `fma` is x * y + z, rounded once on every machine; `muladd` once or twice, which is faster.
    def constant(self, x: float) -> Name: ...  # noqa: D102
    def known(self, x: Name) -> float | None: ...  # noqa: D102
    def add(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def sub(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def mul(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def div(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def neg(self, x: Name) -> Name: ...  # noqa: D102
    def abs(self, x: Name) -> Name: ...  # noqa: D102
    def sqrt(self, x: Name) -> Name: ...  # noqa: D102
    def round_even(self, x: Name) -> Name: ...  # noqa: D102
    def floor(self, x: Name) -> Name: ...  # noqa: D102
    def fma(self, x: Name, y: Name, z: Name) -> Name: ...  # noqa: D102
    def muladd(self, x: Name, y: Name, z: Name) -> Name: ...  # noqa: D102

    # Comparisons give masks; all but `ne` are false for nan.
    def lt(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def le(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def eq(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def ne(self, x: Name, y: Name) -> Name: ...  # noqa: D102
    def mask_and(self, m: Name, n: Name) -> Name: ...  # noqa: D102
    def mask_or(self, m: Name, n: Name) -> Name: ...  # noqa: D102
    def mask_not(self, m: Name) -> Name: ...  # noqa: D102
    def select(self, m: Name, x: Name, y: Name) -> Name: ...  # noqa: D102

    # The 64 bits of a number as an integer, and arithmetic on integers.
    def to_bits(self, x: Name) -> Name: ...  # noqa: D102
    def from_bits(self, i: Name) -> Name: ...  # noqa: D102
    def integer_constant(self, k: int) -> Name: ...  # noqa: D102
    def integer_add(self, i: Name, j: Name) -> Name: ...  # noqa: D102
    def integer_sub(self, i: Name, j: Name) -> Name: ...  # noqa: D102
    def integer_and(self, i: Name, j: Name) -> Name: ...  # noqa: D102
    def integer_or(self, i: Name, j: Name) -> Name: ...  # noqa: D102
    def integer_xor(self, i: Name, j: Name) -> Name: ...  # noqa: D102
    def shift_left(self, i: Name, count: int) -> Name: ...  # noqa: D102
    def shift_right(self, i: Name, count: int) -> Name: ...  # noqa: D102
    def is_odd(self, i: Name) -> Name: ...  # noqa: D102

    # The C library: everywhere, or only where a mask holds.
    def libm(self, name: str, *operands: Name) -> Name: ...  # noqa: D102
    def libm_where(  # noqa: D102
        self, mask: Name, name: str, operands: Sequence[Name], otherwise: Name
    ) -> Name: ...
