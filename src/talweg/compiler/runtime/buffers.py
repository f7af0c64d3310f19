"""The memory that native code works in: some arrays, and the table of their addresses.

Native functions take one pointer, to a table of pointers. `Memory` is such a table with the
arrays behind it, in one piece, each array at the beginning of a cache line.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from talweg.compiler.ir.tape import Array

_LINE = 64
"""Bytes in a cache line, and in the widest vector."""


class Memory:
    """Arrays of numbers of eight bytes, all zero, and a table of pointers to them.

    Args:
        sizes: how many numbers each array has, by name.
        table: the names in the order of the table; the pointer of a name without an array
            points to nothing in particular.

    Attributes:
        address: of the table.
        bytes: all of the memory.
        offsets: where each array begins in it.
        slices: where each array is in it.
    """

    def __init__(self, sizes: Mapping[str, int], table: Sequence[str]) -> None:
        self.sizes = dict(sizes)
        self.offsets: dict[str, int] = {}
        end = _whole_lines(8 * len(table))
        for name, size in sizes.items():
            self.offsets[name] = end
            end += _whole_lines(8 * size)
        self.slices = {name: slice(k, k + 8 * sizes[name]) for name, k in self.offsets.items()}
        owner = np.zeros(end + _LINE, dtype=np.uint8)
        skip = -owner.ctypes.data % _LINE
        self.raw = owner[skip : skip + end]
        self.bytes = self.raw.data
        self.address = int(self.raw.ctypes.data)
        pointers = [self.address + self.offsets.get(name, 0) for name in table]
        struct.pack_into(f"={len(pointers)}Q", self.bytes, 0, *pointers)

    def floats(self, name: str) -> Array:
        """An array, as doubles that share its memory."""
        return self._view(name, np.float64)

    def integers(self, name: str) -> Array:
        """An array, as whole numbers that share its memory."""
        return self._view(name, np.int64)

    def _view(self, name: str, kind: type) -> Array:
        begin = self.offsets[name]
        return self.raw[begin : begin + 8 * self.sizes[name]].view(kind)


def _whole_lines(size: int) -> int:
    return -(-size // _LINE) * _LINE
