"""Programs without pattern: a table of operations, walked by one small native loop.

Straight-line code for thousands of operations takes LLVM seconds, and more than twice as long
for twice as many. So what does not roll is kept as data: all numbers of the program lie in
one array (parameters, inputs, constants, results), and a row of the table says which operation
to apply to which of them. Going backward, a second array of the same size collects the
derivatives. The order is the tape's, so the bits are the eager engine's in exact mode.

Start reading at `kernels`; `contents` is the table.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from talweg.autodiff.operation import GATHER, Op
from talweg.compiler.codegen.builder import Emitter, Function, Module, Name, Symbol
from talweg.compiler.codegen.entry_points import TABLE, counted
from talweg.compiler.ir.tape import CONSTANT, NONE, RESULT, Array, Tape

_ROW = 4
"""Numbers of four bytes in a row of the table: the operation and three addresses."""


def contents(tape: Tape) -> Array:
    """What stands in the array `c` of the native functions: constants, outputs, the table.

    Two whole numbers of four bytes lie in the place of one double.
    """
    begins = _begins(tape)
    begin = np.array([begins.get(name, 0) for name in tape.spaces], dtype=np.int64)
    address = np.where(tape.space == NONE, 0, begin[tape.space] + tape.index)
    rows = np.column_stack([tape.code, address]).astype(np.int32)
    outputs = np.array([[begin[s] + k, 0] for s, k in tape.outputs], dtype=np.int32)
    whole = np.concatenate([outputs.reshape(-1), rows.reshape(-1)])
    return np.concatenate([tape.constants, whole.view(np.float64)])


def work_size(tape: Tape) -> int:
    """How many numbers the memory to work in must hold: all of the program's, twice."""
    return 2 * _total(tape)


def _begins(tape: Tape) -> dict[str, int]:
    """Where each space begins in the array of all numbers."""
    begins, end = {}, 0
    for name in ("w", "x", CONSTANT, RESULT):
        begins[name] = end
        end += tape.sizes.get(name, 0)
    return begins


def _total(tape: Tape) -> int:
    return _begins(tape)[RESULT] + len(tape)


def kernels(tape: Tape, exact: bool) -> str:
    """The IR of `value` and `gradient`, called as those of `codegen/entry_points.py`."""
    module = Module(exact)
    for name, backward in (("value", False), ("gradient", True)):
        head = f"define void @{name}(ptr noalias %table)"
        _Walker(Function(module, head), tape).write(backward)
    return str(module)


class _Walker:
    """The loop that walks the table."""

    def __init__(self, function: Function, tape: Tape) -> None:
        self.function = function
        self.tape = tape
        self.begins = _begins(tape)
        self.emitter = Emitter(function, 1, function.module.flags)
        pointers = [function.new(f"load ptr, ptr {self._byte('%table', 8 * k)}") for k in range(8)]
        self.given = dict(zip(TABLE, pointers, strict=True))
        self.numbers = self.given["work"]
        self.derivatives = self._byte(self.numbers, 8 * _total(tape))
        self.outputs = self._byte(self.given[CONSTANT], 8 * tape.sizes[CONSTANT])
        self.rows = self._byte(self.outputs, 8 * len(tape.outputs))

    def write(self, backward: bool) -> None:
        """All of a function."""
        for name in ("w", "x", CONSTANT):
            self._copy(self.numbers, self.begins[name], self.given[name], name)
        self._loop(len(self.tape), lambda i: self._row(i, self._compute))
        self._loop(len(self.tape.outputs), self._output)
        if backward:
            self._go_backward()
        self.function.put("ret void")

    def _go_backward(self) -> None:
        f, last = self.function, len(self.tape) - 1
        memset = "llvm.memset.p0.i64"
        f.module.declare(memset, f"declare void @{memset}(ptr, i8, i64, i1)")
        f.put(
            f"call void @{memset}(ptr {self.derivatives}, i8 0, i64 {8 * _total(self.tape)}, "
            "i1 false)"
        )
        for name in ("w", "x"):
            self._copy(self.derivatives, self.begins[name], self.given["d" + name], name)
        self._loop(len(self.tape.outputs), self._seed)

        def undo(i: Name) -> None:
            self._row(f.new(f"sub i64 {last}, {i}"), self._share)

        self._loop(len(self.tape), undo)
        for name in ("w", "x"):
            self._copy_back(self.given["d" + name], self.derivatives, self.begins[name], name)

    # ---- one row ----------------------------------------------------------------------------

    def _row(self, i: Name, do: Callable[[Op, list[Name], Name], None]) -> None:
        """Branch to the operation of row i."""
        f = self.function
        row = f.new(f"getelementptr inbounds i32, ptr {self.rows}, i64 {self._times(i, _ROW)}")
        which = f.new(f"load i32, ptr {row}")
        addresses = []
        for k in range(1, _ROW):
            place = f.new(f"getelementptr inbounds i32, ptr {row}, i64 {k}")
            addresses.append(f.new(f"sext i32 {f.new(f'load i32, ptr {place}')} to i64"))
        result = f.new(f"add i64 {i}, {self.begins[RESULT]}")
        labels = [f.label(op.name) for op in self.tape.operations]
        after = f.label("done")
        cases = " ".join(f"i32 {k}, label %{x}" for k, x in enumerate(labels))
        f.put(f"switch i32 {which}, label %{after} [ {cases} ]")
        for op, label in zip(self.tape.operations, labels, strict=True):
            f.start(label)
            do(op, addresses[: op.arity], result)
            f.put(f"br label %{after}")
        f.start(after)

    def _compute(self, op: Op, addresses: list[Name], result: Name) -> None:
        if op is GATHER:
            picked = self._load(self.numbers, self._picked(addresses))
            self._store(picked, self.numbers, result)
            return
        operands = [self._load(self.numbers, a) for a in addresses]
        self._store(self.emitter.apply(op, *operands), self.numbers, result)

    def _share(self, op: Op, addresses: list[Name], result: Name) -> None:
        e = self.emitter
        g = Symbol(e, self._load(self.derivatives, result))
        if op is GATHER:
            self._add(g.name, self.derivatives, self._picked(addresses))
            return
        operands = [Symbol(e, self._load(self.numbers, a)) for a in addresses]
        out = Symbol(e, self._load(self.numbers, result))
        for address, rule in zip(addresses, op.derivatives, strict=True):
            part = rule(g, *operands, out)
            name = part.name if isinstance(part, Symbol) else e.constant(float(part))
            self._add(name, self.derivatives, address)

    def _picked(self, addresses: list[Name]) -> Name:
        """The address of a number in a table: first + row * columns."""
        f, (first, row, columns) = self.function, addresses
        whole = [
            f.new(f"fptosi double {self._load(self.numbers, a)} to i64") for a in (row, columns)
        ]
        return f.new(f"add i64 {first}, {f.new(f'mul i64 {whole[0]}, {whole[1]}')}")

    def _output(self, k: Name) -> None:
        self._store(self._load(self.numbers, self._output_address(k)), self.given["out"], k)

    def _seed(self, k: Name) -> None:
        self._add(
            self._load(self.given["cotangents"], k), self.derivatives, self._output_address(k)
        )

    def _output_address(self, k: Name) -> Name:
        f = self.function
        place = f.new(f"getelementptr inbounds i64, ptr {self.outputs}, i64 {k}")
        return f.new(f"load i64, ptr {place}")

    # ---- memory and loops ---------------------------------------------------------------------

    def _load(self, pointer: Name, index: Name) -> Name:
        return self.function.new(f"load double, ptr {self._at(pointer, index)}")

    def _store(self, number: Name, pointer: Name, index: Name) -> None:
        self.function.put(f"store double {number}, ptr {self._at(pointer, index)}")

    def _add(self, number: Name, pointer: Name, index: Name) -> None:
        self._store(self.emitter.add(self._load(pointer, index), number), pointer, index)

    def _at(self, pointer: Name, index: Name) -> Name:
        return self.function.new(f"getelementptr inbounds double, ptr {pointer}, i64 {index}")

    def _byte(self, pointer: Name, by: int) -> Name:
        return self.function.new(f"getelementptr inbounds i8, ptr {pointer}, i64 {by}")

    def _times(self, i: Name, k: int) -> Name:
        return self.function.new(f"mul i64 {i}, {k}")

    def _copy(self, to: Name, begin: int, source: Name, name: str) -> None:
        """Copy a space into the array of all numbers."""
        size = self.tape.sizes.get(name, 0)
        self._loop(
            size,
            lambda i: self._store(self._load(source, i), self._byte(to, 8 * begin), i),
        )

    def _copy_back(self, to: Name, source: Name, begin: int, name: str) -> None:
        size = self.tape.sizes.get(name, 0)
        self._loop(
            size,
            lambda i: self._store(self._load(self._byte(source, 8 * begin), i), to, i),
        )

    def _loop(self, count: int, body: Callable[[Name], None]) -> None:
        """`count` times the body, which is given the number of the iteration."""
        counted(self.function, str(count), body)
