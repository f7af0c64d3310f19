"""The memory of a native function: its arrays, declared once for both sides.

A `MemoryLayout` is a list of `Field`s: the name, the shape and the type of each array. Sizes that
are known only when the function runs, such as the number of steps, are dimensions with a name.

- Python allocates the arrays and reads them as NumPy arrays of the declared shapes
  (`runtime/buffers.py`).
- Native code is given one address: that of the table of the addresses of all arrays, in the order
  of the fields. `open_arrays` loads them; an `ArrayView` computes the addresses of elements.

Both sides store arrays in row-major order: element (i, j) of an array of shape (m, n) is number
i * n + j.

Start reading at `MemoryLayout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from talweg.compiler.codegen.builder import FunctionBuilder, Index
from talweg.compiler.codegen.types import DOUBLE, PTR, Type
from talweg.compiler.intrinsics.builder_protocol import Name
from talweg.errors import CompilerError

Dimension: TypeAlias = int | str
"""A size: a constant of the compiled program, or the name of a number that is known at run time."""


@dataclass(frozen=True)
class Field:
    """An array of the memory.

    Attributes:
        name: its name.
        shape: its dimensions.
        type: the type of its elements, `DOUBLE` or `I64`.
    """

    name: str
    shape: tuple[Dimension, ...]
    type: Type = DOUBLE

    def sizes(self, dimensions: Mapping[str, int]) -> tuple[int, ...]:
        """The shape, with the named dimensions replaced by their sizes."""
        return tuple([dimensions[d] if isinstance(d, str) else d for d in self.shape])


@dataclass(frozen=True)
class MemoryLayout:
    """The arrays of a native function, in the order of the table of their addresses."""

    fields: tuple[Field, ...]

    @classmethod
    def vectors(cls, names: Sequence[str]) -> MemoryLayout:
        """One array of doubles for each name; its only dimension has the same name."""
        return cls(tuple([Field(name, (name,)) for name in names]))


@dataclass(frozen=True)
class ArrayView:
    """An array, or a part of one, in a function under construction.

    Attributes:
        function: the function.
        pointer: the address of the first element.
        shape: the dimensions; None for one that the function does not know.
        type: the type of the elements.
    """

    function: FunctionBuilder
    pointer: Name
    shape: tuple[Index | None, ...]
    type: Type = DOUBLE

    def at(self, *indices: Index) -> ArrayView:
        """The part of the array with these first indices; with all of them, one element.

        Behind an index that is the constant 0 the dimensions may be unknown.
        """
        f = self.function
        offset: Index = 0
        for axis, index in enumerate(indices, start=1):
            if index != 0:
                offset = _plus(f, offset, _times(f, index, self._count(axis)))
        rest = self.shape[len(indices) :]
        return ArrayView(f, f.gep(self.pointer, offset, self.type), rest, self.type)

    def vectors(self) -> ArrayView:
        """The same array with two axes: its vectors, and the elements of one."""
        shape = (self.vector_count(), self.shape[-1])
        return ArrayView(self.function, self.pointer, shape, self.type)

    def vector_count(self) -> Index:
        """How many vectors the array has; the last axis is that of their elements."""
        return ArrayView(self.function, self.pointer, self.shape[:-1])._count(0)

    def _count(self, axis: int) -> Index:
        """How many elements an entry of the axes before this one has."""
        count: Index = 1
        for size in self.shape[axis:]:
            if size is None:
                raise CompilerError(f"the function does not know all sizes of {self.shape}")
            count = _times(self.function, count, size)
        return count

    def load(self) -> Name:
        """The first element."""
        return self.function.load(self.pointer, self.type)

    def store(self, x: Name) -> None:
        """Set the first element."""
        self.function.store(x, self.pointer, self.type)

    def zero(self, *, align: int = 8) -> None:
        """Set all elements to zero; the address is known to be a multiple of `align`."""
        self.function.memset(self.pointer, self._bytes(), align=align)

    def copy_from(self, source: ArrayView, *, align: int = 8) -> None:
        """Set all elements to those of another array of this shape, or of the array itself."""
        self.function.memmove(self.pointer, source.pointer, self._bytes(), align=align)

    def _bytes(self) -> Index:
        return _times(self.function, self._count(0), self.type.size)


def open_arrays(
    function: FunctionBuilder, layout: MemoryLayout, table: Name, dimensions: Mapping[str, Index]
) -> dict[str, ArrayView]:
    """The arrays of a layout, in a function that is given the table of their addresses.

    Args:
        function: the function.
        layout: the layout.
        table: the address of the table.
        dimensions: the named dimensions that the function knows.
    """
    return {
        field.name: ArrayView(
            function,
            function.load(function.gep(table, k, PTR), PTR),
            tuple([d if isinstance(d, int) else dimensions.get(d) for d in field.shape]),
            field.type,
        )
        for k, field in enumerate(layout.fields)
    }


def _plus(f: FunctionBuilder, i: Index, j: Index) -> Index:
    """I + j, computed now if both are known."""
    if isinstance(i, int) and isinstance(j, int):
        return i + j
    return j if i == 0 else i if j == 0 else f.iadd(i, j)


def _times(f: FunctionBuilder, i: Index, j: Index) -> Index:
    """I * j, computed now if both are known."""
    if isinstance(i, int) and isinstance(j, int):
        return i * j
    return j if i == 1 else i if j == 1 else f.imul(i, j)
