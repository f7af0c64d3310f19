"""Programs without pattern: a table of operations, interpreted by one small native loop.

Straight-line code for thousands of operations takes LLVM seconds, and more than twice as long
for twice as many. A program without loops is therefore data: all its numbers are in one array
(parameters, inputs, constants, results), and each row of the table has the code of an operation and
the addresses of its operands in that array. In the backward pass a second array of the same size
accumulates the derivatives. The order is that of the tape, so exact mode gives the bits of the
eager engine.

Start reading at `kernels`; `contents` is the table.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from talweg.autodiff.operation import GATHER, Op
from talweg.autodiff.selection import passes
from talweg.compiler.codegen import guarded_adjoint
from talweg.compiler.codegen.builder import FunctionBuilder, Module
from talweg.compiler.codegen.entry_points import ARGUMENTS
from talweg.compiler.codegen.memory_layout import open_arrays
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.operations import TracedNumber, apply, name_of
from talweg.compiler.codegen.types import I32, I64, PTR, Parameter
from talweg.compiler.intrinsics.builder_protocol import Name
from talweg.compiler.ir.tape import CONSTANT, NONE, RESULT, Array, Tape

_ROW = 4
"""The 32-bit integers of a row of the table: the operation and three addresses."""


def contents(tape: Tape) -> Array:
    """The array `c` of the native functions: constants, addresses of the outputs, the table.

    The last two are integers, stored in the bytes of doubles: an output's address has 64 bits,
    the entries of a row have 32.
    """
    starts = _starts(tape)
    start = np.array([starts.get(name, 0) for name in tape.spaces], dtype=np.int64)
    address = np.where(tape.space == NONE, 0, start[tape.space] + tape.index)
    rows = np.column_stack([tape.code, address]).astype(np.int32)
    outputs = np.array([[start[s] + k, 0] for s, k in tape.outputs], dtype=np.int32)
    integers = np.concatenate([outputs.reshape(-1), rows.reshape(-1)])
    return np.concatenate([tape.constants, integers.view(np.float64)])


def work_size(tape: Tape) -> int:
    """How many numbers the memory to work in must hold: all of the program's, twice."""
    return 2 * _total(tape)


def _starts(tape: Tape) -> dict[str, int]:
    """The address of the first number of each space in the array of all numbers."""
    starts, end = {}, 0
    for name in ("w", "x", CONSTANT, RESULT):
        starts[name] = end
        end += tape.sizes.get(name, 0)
    return starts


def _total(tape: Tape) -> int:
    return _starts(tape)[RESULT] + len(tape)


def kernels(tape: Tape, exact: bool, is_guarded: bool = False) -> str:
    """The IR of `value` and `gradient`, called as those of `codegen/entry_points.py`.

    Args:
        tape: the program.
        exact: whether every bit must be that of the eager engine.
        is_guarded: whether some adjoint needs a guard, see `passes/guarded_adjoints.py`.
    """
    module = Module(exact)
    for name, backward in (("value", False), ("gradient", True)):
        # noalias: the argument table is never written to.
        function = module.function(name, [Parameter("table", PTR, noalias=True)])
        _Interpreter(function, tape, is_guarded).write(backward)
    return str(module)


class _Interpreter:
    """The function that interprets the table."""

    def __init__(self, function: FunctionBuilder, tape: Tape, is_guarded: bool) -> None:
        self.is_guarded = is_guarded
        self.function = f = function
        self.tape = tape
        self.starts = _starts(tape)
        self.builder = NumberBuilder(f)
        given = open_arrays(f, ARGUMENTS, f.parameters["table"], {})
        self.given = {name: view.pointer for name, view in given.items()}
        self.numbers = self.given["work"]
        self.derivatives = f.gep(self.numbers, _total(tape))
        self.outputs = f.gep(self.given[CONSTANT], tape.sizes[CONSTANT])
        self.rows = f.gep(self.outputs, len(tape.outputs), I64)

    def write(self, backward: bool) -> None:
        """All of the function."""
        for name in ("w", "x", CONSTANT):
            self._copy(self._part(self.numbers, name), self.given[name], name)
        self.function.for_range(len(self.tape), lambda i: self._row(i, self._compute))
        self.function.for_range(len(self.tape.outputs), self._output)
        if backward:
            self._backward()
        self.function.ret()

    def _backward(self) -> None:
        f, last = self.function, len(self.tape) - 1
        f.memset(self.derivatives, 8 * _total(self.tape))
        for name in ("w", "x"):
            self._copy(self._part(self.derivatives, name), self.given["d" + name], name)
        f.for_range(len(self.tape.outputs), self._cotangent)
        f.for_range(len(self.tape), lambda i: self._row(f.isub(last, i), self._accumulate_adjoint))
        for name in ("w", "x"):
            self._copy(self.given["d" + name], self._part(self.derivatives, name), name, self._sum)

    # ---- one row --------------------------------------------------------------------------------

    def _row(self, i: Name, do: Callable[[Op, list[Name], Name], None]) -> None:
        """Branch to the operation of row i."""
        f = self.function
        row = f.gep(self.rows, f.imul(i, _ROW), I32)
        which = f.load(row, I32)
        addresses = [f.i64_from_i32(f.load(f.gep(row, k, I32), I32)) for k in range(1, _ROW)]
        result = f.iadd(i, self.starts[RESULT])
        blocks = [f.new_block(op.name) for op in self.tape.operations]
        after = f.new_block("done")
        f.switch(which, blocks, after)
        for op, block in zip(self.tape.operations, blocks, strict=True):
            f.start(block)
            do(op, addresses[: op.arity], result)
            f.br(after)
        f.start(after)

    def _compute(self, op: Op, addresses: list[Name], result: Name) -> None:
        if op is GATHER:
            number = self._load(self.numbers, self._gathered(addresses))
        else:
            operands = [self._load(self.numbers, a) for a in addresses]
            number = apply(self.builder, op, *operands)
        self._store(number, self.numbers, result)

    def _accumulate_adjoint(self, op: Op, addresses: list[Name], result: Name) -> None:
        b = self.builder
        found, reached = self._load(self.derivatives, result), None
        if self.is_guarded:
            reached, found = guarded_adjoint.read(b, found)
        if op is GATHER:
            self._add(found, self.derivatives, self._gathered(addresses), reached)
            return
        g = TracedNumber(b, found)
        operands = [TracedNumber(b, self._load(self.numbers, a)) for a in addresses]
        out = TracedNumber(b, self._load(self.numbers, result))
        for j, address in enumerate(addresses):
            if passes(op, j):
                amount = name_of(b, op.derivatives[j](g, *operands, out))
                mask = guarded_adjoint.passing(b, op, j, operands, reached)
                self._add(amount, self.derivatives, address, mask)

    def _gathered(self, addresses: list[Name]) -> Name:
        """The address of the number that a gather reads: first + row * columns."""
        f, (first, *operands) = self.function, addresses
        row, columns = [f.i64_from_double(self._load(self.numbers, a)) for a in operands]
        return f.iadd(first, f.imul(row, columns))

    def _output(self, k: Name) -> None:
        self._store(self._load(self.numbers, self._output_address(k)), self.given["out"], k)

    def _cotangent(self, k: Name) -> None:
        cotangent = self._load(self.given["cotangents"], k)
        self._add(cotangent, self.derivatives, self._output_address(k))

    def _output_address(self, k: Name) -> Name:
        return self.function.load(self.function.gep(self.outputs, k, I64), I64)

    # ---- memory ---------------------------------------------------------------------------------

    def _load(self, pointer: Name, index: Name) -> Name:
        return self.function.load(self.function.gep(pointer, index))

    def _store(self, number: Name, pointer: Name, index: Name) -> None:
        self.function.store(number, self.function.gep(pointer, index))

    def _add(self, number: Name, pointer: Name, index: Name, passing: Name | None = None) -> None:
        """Add to a derivative; in a guarded program only where the mask holds, if there is one."""
        total = self._load(pointer, index)
        if self.is_guarded:
            result = guarded_adjoint.added(self.builder, total, number, passing)
        else:
            result = self.builder.add(total, number)
        self._store(result, pointer, index)

    def _part(self, pointer: Name, space: str) -> Name:
        """The address of a space's first number in an array of all numbers."""
        return self.function.gep(pointer, self.starts[space])

    def _sum(self, total: Name) -> Name:
        """The derivative in an accumulator."""
        return guarded_adjoint.read(self.builder, total)[1] if self.is_guarded else total

    def _copy(
        self, to: Name, source: Name, space: str, change: Callable[[Name], Name] = lambda x: x
    ) -> None:
        """Copy the numbers of a space."""
        size = self.tape.sizes.get(space, 0)
        self.function.for_range(size, lambda i: self._store(change(self._load(source, i)), to, i))
