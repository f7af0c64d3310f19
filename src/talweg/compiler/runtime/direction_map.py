"""Derivatives along many directions, called with numbers.

A `DirectionMap` holds the directions, which stay the same, and computes the products of a matrix of
derivatives with all of them. It returns the entries of the products that it is asked for.
`NativeDirections` does so in one native call, several directions in the lanes of a vector;
`TableDirections` calls a program without a scheduled form once for each direction.

Start reading at `DirectionMap`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Protocol

import numpy as np

from talweg.compiler.codegen.directions import DIRECTION, DirectionKernel
from talweg.compiler.ir.tape import Array
from talweg.compiler.runtime.buffers import Memory
from talweg.compiler.runtime.executable import Executable
from talweg.compiler.runtime.llvm import Library


class DirectionMap(Protocol):
    """The products of a matrix with fixed directions."""

    def places(self, outputs: Array, directions: Array) -> Array:
        """Where entries of the products are: of these outputs, along these directions."""
        ...

    def entries(self, w: bytes, x: bytes, places: Array) -> Array:
        """The entries in these places, as a new array, for these parameters and inputs."""
        ...


class NativeDirections:
    """Derivatives along several directions by one native call.

    Args:
        kernel: the specification of the function.
        library: the machine code, with the function `directions`.
        sizes: the sizes of the spaces "w" and "x".
        constants: the numbers of the array `c`.
        directions: the directions, shape (directions, numbers).
    """

    def __init__(
        self,
        kernel: DirectionKernel,
        library: Library,
        *,
        sizes: dict[str, int],
        constants: Array,
        directions: Array,
    ) -> None:
        self.kernel = kernel
        self.library = library  # its code must live as long as this object
        self._function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.address("directions"))
        self._sizes = {**sizes, "c": len(constants), "work": kernel.work_size}
        self._constants = constants
        count, lanes = len(directions), kernel.lanes
        filled = np.zeros((kernel.rounds * lanes, kernel.size))
        filled[:count] = directions
        self._directions = filled.reshape(kernel.rounds, lanes, kernel.size).transpose(0, 2, 1)
        self._free: list[tuple[Memory, Array]] = []

    def places(self, outputs: Array, directions: Array) -> Array:
        """See `DirectionMap`."""
        lanes, count = self.kernel.lanes, len(self.kernel.program.outputs)
        rounds, lane = np.divmod(directions, lanes)
        return (rounds * count + outputs) * lanes + lane

    def entries(self, w: bytes, x: bytes, places: Array) -> Array:
        """See `DirectionMap`."""
        try:
            memory, products = self._free.pop()
        except IndexError:
            memory, products = self._new_memory()
        memory.bytes[memory.slices["w"]] = w
        memory.bytes[memory.slices["x"]] = x
        self._function(memory.address)
        found: Array = products[places]
        self._free.append((memory, products))
        return found

    def native_call(self) -> Callable[[], None]:
        """The native function alone, on the memory of the last call; for measurements."""
        memory, _ = self._free[-1]
        return lambda: self._function(memory.address)  # which keeps the memory alive

    def _new_memory(self) -> tuple[Memory, Array]:
        """Memory for one call at a time, with the directions, and the products in it."""
        memory = Memory(self.kernel.layout, self._sizes)
        memory["c"][:] = self._constants
        memory[DIRECTION][:] = self._directions
        return memory, memory["out"].reshape(-1)


class TableDirections:
    """Derivatives along several directions by one native call for each.

    Args:
        executable: a program whose inputs are followed by the numbers of the direction.
        outputs: how many outputs it has.
        directions: the directions, shape (directions, numbers).
    """

    def __init__(self, executable: Executable, outputs: int, directions: Array) -> None:
        self.executable = executable
        self.outputs = outputs
        self._directions = [row.tobytes() for row in directions]

    def places(self, outputs: Array, directions: Array) -> Array:
        """See `DirectionMap`."""
        return directions * self.outputs + outputs

    def entries(self, w: bytes, x: bytes, places: Array) -> Array:
        """See `DirectionMap`."""
        products = [self.executable.value(w, x + d) for d in self._directions]
        found: Array = np.array(products).reshape(-1)[places]
        return found

    def native_call(self) -> Callable[[], None]:
        """The native function alone, once for each direction; for measurements."""
        size, inputs = self.executable.sizes["w"], self.executable.sizes["x"]
        call = self.executable.native_value(bytes(8 * size), bytes(8 * inputs))

        def calls() -> None:
            for _ in self._directions:
                call()

        return calls
