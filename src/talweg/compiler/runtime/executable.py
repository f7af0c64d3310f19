"""A traced program as native code that can be called with numbers.

`Executable` takes a tape through all stages (roll, schedule, lower, compile) and calls what
comes out. It knows nothing of Values: numbers go in, numbers come out. A program in which no
loops are found, or too few, runs as a table of operations instead (`codegen/op_table.py`).

Start reading at `Executable`.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from talweg.compiler.codegen import entry_points, op_table
from talweg.compiler.codegen.sample_lanes_plan import LONGEST_TEXT
from talweg.compiler.ir.scheduled_program import ScheduledProgram
from talweg.compiler.ir.tape import CONSTANT, Tape, verify
from talweg.compiler.passes.find_loops import find_loops_within
from talweg.compiler.passes.scheduling import schedule
from talweg.compiler.runtime import llvm
from talweg.compiler.runtime.buffers import Memory
from talweg.errors import NativeError

Numbers: TypeAlias = Sequence[float] | bytes
"""Numbers, or the bytes of doubles in this machine's order, which are copied as they are."""


class Executable:
    """Native code for one tape.

    Args:
        tape: the program.
        exact: whether every bit must be that of the eager engine.
        wrt: the spaces by whose numbers derivatives are asked for: "w", "x" or both.
        as_table: do not look for loops, run it as a table in any case.

    Attributes:
        tape: the program.
        code: the scheduled loops, or None if the program runs as a table.
        library: the loaded native code.
    """

    def __init__(
        self,
        tape: Tape,
        *,
        exact: bool = False,
        wrt: Sequence[str] = ("w",),
        as_table: bool = False,
    ) -> None:
        verify(tape)
        self.tape = tape
        self.wrt = tuple(wrt)
        self.code = None if as_table else _loops(tape, wrt)
        if self.code is None:
            ir = op_table.kernels(tape, exact)
            self._constants = op_table.contents(tape)
            work = op_table.work_size(tape)
        else:
            ir = entry_points.kernels(self.code, exact)
            self._constants = tape.constants
            work = entry_points.work_size(self.code)
        self.library = llvm.compile(ir)
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self._value = function(self.library.address("value"))
        self._gradient = function(self.library.address("gradient"))
        sizes = {name: tape.sizes.get(name, 0) for name in ("w", "x")}
        outputs = len(tape.outputs)
        self._sizes = {
            **sizes,
            **{"d" + name: size for name, size in sizes.items()},
            CONSTANT: len(self._constants),
            "out": outputs,
            "cotangents": outputs,
            "work": work,
        }
        self._formats = {name: struct.Struct(f"={n}d") for name, n in self._sizes.items()}
        self._free: list[Memory] = []

    def value(self, w: Numbers, x: Numbers) -> tuple[float, ...]:
        """The outputs for these parameters and inputs."""
        memory = self._memory(w, x)
        self._value(memory.address)
        outputs = self._read(memory, "out")
        self._free.append(memory)
        return outputs

    def gradient(
        self,
        w: Numbers,
        x: Numbers,
        cotangents: Numbers,
        start: Mapping[str, Numbers] | None = None,
    ) -> dict[str, tuple[float, ...]]:
        """The derivatives, by everything wanted, of the sum of seed times output.

        Args:
            w: the parameters.
            x: the inputs.
            cotangents: one number for each output.
            start: for some of the spaces the numbers to which derivatives are added, in the
                order in which the eager engine adds them; 0.0 for the others.

        Returns:
            The derivatives by the numbers of each wanted space, by its name.
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
            begin = start[name] if start and name in start else bytes(8 * self._sizes[name])
            self._fill(memory, "d" + name, begin)
        self._gradient(memory.address)
        outputs = self._read(memory, "out")
        derivatives = {name: self._read(memory, "d" + name) for name in self.wrt}
        self._free.append(memory)
        return outputs, derivatives

    def _memory(self, w: Numbers, x: Numbers) -> Memory:
        """Memory for one call: two threads that call at once have two."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = Memory(self._sizes, entry_points.ARGUMENT_TABLE)
            memory.bytes[memory.slices[CONSTANT]] = self._constants.tobytes()
        self._fill(memory, "w", w)
        self._fill(memory, "x", x)
        return memory

    def _fill(self, memory: Memory, name: str, numbers: Numbers) -> None:
        raw = numbers if type(numbers) is bytes else self._formats[name].pack(*numbers)
        memory.bytes[memory.slices[name]] = raw

    def _read(self, memory: Memory, name: str) -> tuple[float, ...]:
        return self._formats[name].unpack_from(memory.bytes, memory.offsets[name])


def _loops(tape: Tape, wrt: Sequence[str]) -> ScheduledProgram | None:
    """The scheduled loops of a tape, or None if it has no loops worth the name."""
    found = find_loops_within(tape, LONGEST_TEXT)
    if found is None:
        return None
    try:
        return schedule(found, wrt)
    except NativeError:
        return None
