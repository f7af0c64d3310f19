"""A compiled program that can be called with numbers.

An `Executable` owns the machine code of the functions `value` and `gradient`, and the memory in
which they compute. It knows nothing of Values: numbers go in, numbers come out.

Start reading at `Executable.value`; `compiler/pipeline.py` makes executables.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from talweg.compiler.codegen.entry_points import ARGUMENTS
from talweg.compiler.ir.scheduled_program import ScheduledProgram
from talweg.compiler.ir.tape import CONSTANT, Array, Tape
from talweg.compiler.runtime.buffers import Memory
from talweg.compiler.runtime.llvm import Library

Numbers: TypeAlias = Sequence[float] | bytes
"""Numbers, or the bytes of doubles in this machine's order, which are copied as they are."""


class Executable:
    """Native functions of one program.

    Args:
        tape: the program.
        scheduled: its scheduled loops, or None if native code interprets a table of operations.
        library: the machine code, with the functions `value` and `gradient`.
        constants: the contents of the array `c` that the functions read.
        work: how many numbers the functions need to work in.
        wrt: the spaces by whose numbers `gradient` computes derivatives: "w", "x" or both.

    Attributes:
        sizes: how many numbers the spaces "w" and "x" have.
    """

    def __init__(
        self,
        tape: Tape,
        scheduled: ScheduledProgram | None,
        library: Library,
        *,
        constants: Array,
        work: int,
        wrt: Sequence[str] = ("w",),
    ) -> None:
        self.scheduled = scheduled
        self.library = library
        self.wrt = tuple(wrt)
        self._constants = constants
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self._value = function(self.library.address("value"))
        self._gradient = function(self.library.address("gradient"))
        self.sizes = {name: tape.sizes.get(name, 0) for name in ("w", "x")}
        outputs = len(tape.outputs)
        self._sizes = {
            **self.sizes,
            **{"d" + name: size for name, size in self.sizes.items()},
            CONSTANT: len(constants),
            "out": outputs,
            "cotangents": outputs,
            "work": work,
        }
        self._formats = {name: struct.Struct(f"={n}d") for name, n in self._sizes.items()}
        self._zeros = bytes(8 * self._sizes["dw"])
        self._free: list[Memory] = []

    def value(self, w: Numbers, x: Numbers) -> tuple[float, ...]:
        """The outputs for these parameters and inputs."""
        memory = self._memory(w, x)
        self._value(memory.address)
        outputs = self._read(memory, "out")
        self._free.append(memory)
        return outputs

    def value_bytes(self, w: Numbers, x: Numbers) -> bytes:
        """The outputs as the bytes of doubles, in which 0.0 and -0.0 differ, and nan is nan."""
        memory = self._memory(w, x)
        self._value(memory.address)
        outputs = bytes(memory.bytes[memory.slices["out"]])
        self._free.append(memory)
        return outputs

    def gradient(
        self,
        w: Numbers,
        x: Numbers,
        cotangents: Numbers,
        start: Mapping[str, Numbers] | None = None,
    ) -> dict[str, tuple[float, ...]]:
        """The derivatives of the sum of cotangent times output, by the spaces in `wrt`.

        Args:
            w: the parameters.
            x: the inputs.
            cotangents: one number for each output.
            start: for some of the spaces the numbers to which the derivatives are added, in
                the order in which the eager engine adds them; 0.0 for the others.

        Returns:
            For the name of each space the derivatives by its numbers.
        """
        return self.value_and_gradient(w, x, cotangents, start)[1]

    def value_and_gradient(
        self,
        w: Numbers,
        x: Numbers,
        cotangents: Numbers,
        start: Mapping[str, Numbers] | None = None,
    ) -> tuple[tuple[float, ...], dict[str, tuple[float, ...]]]:
        """The outputs, and the derivatives as `gradient` returns them."""
        memory = self._memory(w, x)
        self._fill(memory, "cotangents", cotangents)
        for name in self.wrt:
            first = start[name] if start and name in start else bytes(8 * self._sizes[name])
            self._fill(memory, "d" + name, first)
        self._gradient(memory.address)
        outputs = self._read(memory, "out")
        derivatives = {name: self._read(memory, "d" + name) for name in self.wrt}
        self._free.append(memory)
        return outputs, derivatives

    def derivatives(self, w: bytes, x: bytes, cotangents: bytes) -> tuple[tuple[float, ...], Array]:
        """The outputs, and the derivatives by `w` as a new array, without an object for each."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = self._new_memory()
        raw, slices = memory.bytes, memory.slices
        raw[slices["w"]] = w
        if x:
            raw[slices["x"]] = x
        raw[slices["cotangents"]] = cotangents
        raw[slices["dw"]] = self._zeros
        self._gradient(memory.address)
        outputs = self._formats["out"].unpack_from(raw, slices["out"].start)
        gradient = memory.arrays["dw"].copy()
        self._free.append(memory)
        return outputs, gradient

    def values(self, w: bytes, x: bytes) -> Array:
        """The outputs as a new array, without an object for each."""
        memory = self._memory(w, x)
        self._value(memory.address)
        outputs = memory.arrays["out"].copy()
        self._free.append(memory)
        return outputs

    def native_gradient(self, w: bytes, x: bytes) -> Callable[[], None]:
        """The native function `gradient` on memory of its own; for measurements."""
        memory = self._memory(w, x)
        return lambda: self._gradient(memory.address)  # which keeps the memory alive

    def native_value(self, w: bytes, x: bytes) -> Callable[[], None]:
        """The native function `value` on memory of its own; for measurements."""
        memory = self._memory(w, x)
        return lambda: self._value(memory.address)

    def _memory(self, w: Numbers, x: Numbers) -> Memory:
        """Memory for one call; threads that call at the same time have different ones."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = self._new_memory()
        self._fill(memory, "w", w)
        self._fill(memory, "x", x)
        return memory

    def _new_memory(self) -> Memory:
        memory = Memory(ARGUMENTS, self._sizes)
        memory.bytes[memory.slices[CONSTANT]] = self._constants.tobytes()
        return memory

    def _fill(self, memory: Memory, name: str, numbers: Numbers) -> None:
        raw = numbers if type(numbers) is bytes else self._formats[name].pack(*numbers)
        memory.bytes[memory.slices[name]] = raw

    def _read(self, memory: Memory, name: str) -> tuple[float, ...]:
        return self._formats[name].unpack_from(memory.bytes, memory.slices[name].start)


def array_gradient(
    executable: Executable, shape: tuple[int, ...]
) -> Callable[[Array], tuple[float, Array]]:
    """A native gradient as a function of one array, whose numbers are all of `w`.

    It is called a million times by an optimiser, with little native code. So it is a closure that
    looks up nothing, and copies two arrays; its time is measured by `bench/derivatives.py`.

    Args:
        executable: a program with one output and without inputs `x`.
        shape: the shape of the array.

    Returns:
        A function that returns the output, and the derivatives as a new array of that shape.
    """
    native, zeros = executable._gradient, executable._zeros

    def new_memory() -> tuple[int, Array, memoryview, Callable[[], Array], Any]:
        memory = executable._new_memory()
        raw, slices, arrays = memory.bytes, memory.slices, memory.arrays
        arrays["cotangents"][:] = 1.0
        w, dw = (arrays[name].reshape(shape) for name in ("w", "dw"))
        return memory.address, w, raw[slices["dw"]], dw.copy, raw[slices["out"]].cast("d")

    free = [new_memory()]  # threads that call at the same time have different ones
    pop, push = free.pop, free.append

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        try:
            memory = pop()
        except IndexError:
            memory = new_memory()
        address, w, start, gradient, outputs = memory
        w[...] = x
        start[:] = zeros
        native(address)
        result = outputs[0], gradient()
        push(memory)
        return result

    return value_and_gradient
