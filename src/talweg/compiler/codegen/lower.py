"""From scheduled code to LLVM IR.

Each statement is written for several *copies* of it at once: for blocks of samples that lie
side by side, and for iterations of a loop in which the order does not matter ("jamming").
Copies have their own registers and share what they read from memory, which LLVM then loads
once: that is where matrix products get their speed from. One lane, one block and no jamming
give the plain program, in the order of the eager engine: exact mode.

A cell becomes a variable on the stack, which LLVM's first pass turns into a register.

Start reading at `Body`, then `Body.repeat`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from talweg.compiler.codegen.builder import Emitter, Function, Name, Symbol
from talweg.compiler.ir.loop_program import Affine
from talweg.compiler.ir.scheduled_program import (
    AccumulateAdjoint,
    Compute,
    Element,
    ForLoop,
    Gather,
    Literal,
    Operand,
    SaveForBackward,
    Statement,
    StorageLocation,
    VirtualRegister,
)
from talweg.errors import CompilerError

_SMALL_PROGRAM = 1000
"""A program that takes at most so many operations, for all copies, is written without loops."""

_SMALL_LOOP = 16
"""So is a loop that takes at most so many, in any program: LLVM's time grows with the text."""

_JAM = 4
"""How many iterations of a parallel loop are computed at once, at most."""


@dataclass(frozen=True)
class Linear:
    """A whole number of the running program: base + sum of coefficient * register."""

    base: int
    parts: tuple[tuple[Name, int], ...] = ()

    def times(self, k: int) -> Linear:
        """This number times k."""
        parts = tuple([(name, k * c) for name, c in self.parts]) if k else ()
        return Linear(k * self.base, parts)

    def plus(self, other: Linear) -> Linear:
        """The sum of two numbers."""
        parts = dict(self.parts)
        for name, c in other.parts:
            parts[name] = parts.get(name, 0) + c
        return Linear(self.base + other.base, tuple([(n, c) for n, c in parts.items() if c]))


def at(index: Affine, point: Sequence[Linear]) -> Linear:
    """The value of an affine index where the loop variables are these."""
    total = Linear(index.base)
    for stride, i in zip(index.strides, point, strict=True):
        if stride:
            total = total.plus(i.times(stride))
    return total


@dataclass(frozen=True)
class Copy:
    """One of the copies of a statement that are written side by side.

    Attributes:
        block: which vector of samples it works on.
        point: the values of the loop variables around the statement.
        own: for each group of cells that jammed copies keep for themselves, whose it is: the
            depth of a jammed loop around it and which of its copies, but for the first ones.
    """

    block: int = 0
    point: tuple[Linear, ...] = ()
    own: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def inside(self, i: Linear, cells: frozenset[int] = frozenset(), which: int = 0) -> Copy:
        """The copy in iteration i of a loop; `which` of the jammed ones it is."""
        own = self.own
        if cells and which:
            mark = (len(self.point), which)
            own = {**own, **{cell: (*own.get(cell, ()), mark) for cell in sorted(cells)}}
        return replace(self, point=(*self.point, i), own=own)


@dataclass(frozen=True)
class Layout:
    """How numbers lie in memory.

    Attributes:
        lanes: how many samples lie in one vector.
        blocks: how many vectors are computed side by side.
        pointers: the register that points to each array.
        broadcast: the arrays that all samples share: each number of them stands once.
        gathered: the arrays that collect from all samples: one vector for each number.
    """

    pointers: dict[str, Name]
    lanes: int = 1
    blocks: int = 1
    broadcast: frozenset[str] = frozenset()
    gathered: frozenset[str] = frozenset()


class Body:
    """Statements as machine code in a function.

    Args:
        function: where to.
        layout: how numbers lie in memory.
        jam: whether iterations may be computed side by side, out of order.
        whole: all statements that are to be written, which tell how large the program is.
    """

    def __init__(
        self, function: Function, layout: Layout, jam: bool, whole: Sequence[Statement]
    ) -> None:
        self.function = function
        self.layout = layout
        self.jam = jam
        flags = function.module.flags
        self.emitter = Emitter(function, layout.lanes, flags)
        self.scalar = Emitter(function, 1, flags)
        self.copies = [Copy(block) for block in range(layout.blocks)]
        is_small = operations(whole) * layout.blocks <= _SMALL_PROGRAM
        self.unroll = _SMALL_PROGRAM if is_small else _SMALL_LOOP
        self.cells: dict[tuple[Any, ...], Name] = {}
        self.size = 8 * layout.lanes

    # ---- statements -----------------------------------------------------------------------

    def statements(self, statements: Sequence[Statement], copies: Sequence[Copy]) -> None:
        """Write statements, each for all copies."""
        for s in statements:
            if isinstance(s, ForLoop):
                self.repeat(s, copies)
                continue
            for copy in copies:
                if isinstance(s, Compute):
                    self.compute(s, copy)
                elif isinstance(s, SaveForBackward):
                    self.write(s.target, self.read(s.source, copy), copy)
                else:
                    self.share(s, copy)

    def compute(self, s: Compute, copy: Copy) -> None:
        """One operation of one copy."""
        result = self.emitter.apply(s.op, *[self.read(x, copy) for x in s.operands])
        for target in s.targets:
            self.write(target, result, copy)

    def share(self, s: AccumulateAdjoint, copy: Copy) -> None:
        """One step backward of one copy."""
        e = self.emitter
        g = Symbol(e, self.read(s.source, copy))
        self.write(s.source, e.constant(0.0), copy)
        operands = [self._number(x, copy) for x in s.operands]
        out = self._number(s.out, copy)
        for target, rule in zip(s.targets, s.op.derivatives, strict=True):
            if target is None:
                continue
            part = rule(g, *operands, out)
            name = part.name if isinstance(part, Symbol) else e.constant(float(part))
            self.add(target, name, copy)

    def _number(self, x: Operand | None, copy: Copy) -> Symbol | float:
        """An operand as the equations take it; what they do not mention may be anything."""
        if x is None:
            return 0.0
        if isinstance(x, Literal):
            return x.number
        return Symbol(self.emitter, self.read(x, copy))

    def repeat(self, s: ForLoop, copies: Sequence[Copy]) -> None:
        """A loop: written out if it is short, jammed if it may be, else as it is."""
        if any(s.count.strides):
            for copy in copies:  # each copy's trip count is its own
                self.loop(at(s.count, copy.point), s.body, [copy], frozenset())
            return
        n = s.count.base
        if n * operations(s.body) * len(copies) <= self.unroll:
            for i in range(n):
                self.statements(s.body, [c.inside(Linear(i)) for c in copies])
            return
        width = self.jam_width(s, len(copies))
        rounds, rest = divmod(n, width)
        self.loop(Linear(rounds), s.body, copies, s.cells, width)
        if rest:
            begin = rounds * width
            tail = [c.inside(Linear(begin + k), s.cells, k) for c in copies for k in range(rest)]
            self.statements(s.body, tail)

    def jam_width(self, s: ForLoop, copies: int) -> int:
        """How many iterations of a loop to compute side by side."""
        has_loop = any(isinstance(inner, ForLoop) for inner in s.body)
        if not (self.jam and s.parallel and has_loop):
            return 1
        return max(1, min(_JAM, s.count.base, 8 // copies))

    def loop(
        self,
        count: Linear,
        body: Sequence[Statement],
        copies: Sequence[Copy],
        cells: frozenset[int],
        width: int = 1,
    ) -> None:
        """`count` rounds of `width` iterations each."""
        f = self.function
        if not count.parts and count.base == 1:
            self.round(Linear(0), body, copies, cells, width)
            return
        bound = self.integer(count)
        before, head = f.block, f.label("loop")
        inside, latch, after = f.label("body"), f.label("next"), f.label("after")
        f.put(f"br label %{head}")
        f.start(head)
        i, following = f"%i.{head}", f"%n.{head}"
        f.put(f"{i} = phi i64 [ 0, %{before} ], [ {following}, %{latch} ]")
        more = f.new(f"icmp slt i64 {i}, {bound}")
        f.put(f"br i1 {more}, label %{inside}, label %{after}")
        f.start(inside)
        self.round(Linear(0, ((i, width),)), body, copies, cells, width)
        f.put(f"br label %{latch}")
        f.start(latch)
        f.put(f"{following} = add nuw nsw i64 {i}, 1")  # as in `kernels.counted`
        f.put(f"br label %{head}")
        f.start(after)

    def round(
        self,
        first: Linear,
        body: Sequence[Statement],
        copies: Sequence[Copy],
        cells: frozenset[int],
        width: int,
    ) -> None:
        """Iterations first, first + 1, ... side by side."""
        jammed = [c.inside(first.plus(Linear(k)), cells, k) for c in copies for k in range(width)]
        self.statements(body, jammed)

    # ---- places -----------------------------------------------------------------------------

    def read(self, x: Operand, copy: Copy) -> Name:
        """The number in a place."""
        if isinstance(x, Literal):
            return self.emitter.constant(x.number)
        if isinstance(x, VirtualRegister):
            return self.function.new(f"load {self.emitter.number_type}, ptr {self.cell(x, copy)}")
        if isinstance(x, Gather):
            return self.picked(x, copy)
        address = self.address(x, copy)
        if x.array in self.layout.broadcast:
            return self.emitter.broadcast(self.function.new(f"load double, ptr {address}, align 8"))
        return self.load(address)

    def write(self, place: StorageLocation, number: Name, copy: Copy) -> None:
        """Put a number in a place."""
        kind = self.emitter.number_type
        if isinstance(place, Gather):
            raise CompilerError(f"lower: {place} cannot be written to, only added to")
        if isinstance(place, VirtualRegister):
            self.function.put(f"store {kind} {number}, ptr {self.cell(place, copy)}")
        else:
            self.store(number, self.address(place, copy))

    def add(self, place: StorageLocation, number: Name, copy: Copy) -> None:
        """Add a number to the one in a place."""
        if isinstance(place, Gather):
            for k, address in enumerate(self.picked_addresses(place, copy)):
                before = self.function.new(f"load double, ptr {address}, align 8")
                total = self.scalar.add(before, self.emitter.lane(number, k))
                self.function.put(f"store double {total}, ptr {address}, align 8")
            return
        self.write(place, self.emitter.add(self.read(place, copy), number), copy)

    def picked(self, x: Gather, copy: Copy) -> Name:
        """The numbers that the samples pick from a table, one address a lane."""
        f, e = self.function, self.emitter
        numbers = [
            f.new(f"load double, ptr {address}, align 8")
            for address in self.picked_addresses(x, copy)
        ]
        if e.lanes == 1:
            return numbers[0]
        result = "poison"
        for k, number in enumerate(numbers):
            result = f.new(f"insertelement {e.number_type} {result}, double {number}, i64 {k}")
        return result

    def picked_addresses(self, x: Gather, copy: Copy) -> list[Name]:
        """Where each sample's number of a table lies."""
        f, lanes = self.function, self.emitter.lanes
        is_gathered = x.array in self.layout.gathered
        rows = self.read(Element("x", x.row), copy)
        addresses = []
        for k in range(lanes):
            # fptosi has a result: `native_run` refuses rows that the table does not have.
            row = f.new(f"fptosi double {self.emitter.lane(rows, k)} to i64")
            index = at(x.index, copy.point).plus(Linear(0, ((row, x.columns),)))
            by = index.times(self.size).plus(Linear(8 * k)) if is_gathered else index.times(8)
            addresses.append(self.offset(self.layout.pointers[x.array], by))
        return addresses

    def load(self, address: Name) -> Name:
        """The vector of numbers at an address."""
        # align: arrays begin at whole cache lines, and vectors follow each other from there.
        kind = self.emitter.number_type
        return self.function.new(f"load {kind}, ptr {address}, align {self.size}")

    def store(self, number: Name, address: Name) -> None:
        """Put a vector of numbers at an address."""
        kind = self.emitter.number_type
        self.function.put(f"store {kind} {number}, ptr {address}, align {self.size}")

    def cell(self, x: VirtualRegister, copy: Copy) -> Name:
        """The variable that is a copy's cell."""
        key = (x, copy.block, copy.own.get(x.number, ()))
        if key not in self.cells:
            kind = self.emitter.number_type
            self.cells[key] = variable = self.function.allocate(kind, self.size)
            if x.derivative:
                zero = self.emitter.constant(0.0)
                self.function.at_entry.append(f"  store {kind} {zero}, ptr {variable}")
        return self.cells[key]

    def address(self, x: Element, copy: Copy) -> Name:
        """Where an element of an array lies."""
        layout, index = self.layout, at(x.index, copy.point)
        if x.array in layout.broadcast:
            by = index.times(8)
        elif x.array in layout.gathered:
            by = index.times(self.size)
        else:
            by = index.times(layout.blocks).plus(Linear(copy.block)).times(self.size)
        return self.offset(layout.pointers[x.array], by)

    def offset(self, pointer: Name, by: Linear) -> Name:
        """A pointer so many bytes further."""
        if by == Linear(0):
            return pointer
        # inbounds: the whole offset leads from the beginning of an array to one of its numbers.
        # A part of the offset, such as -8 * i, may lead out of the array.
        offset = self.integer(by)
        return self.function.new(f"getelementptr inbounds i8, ptr {pointer}, i64 {offset}")

    def integer(self, x: Linear) -> Name:
        """A whole number in a register."""
        total = ""
        for name, c in x.parts:
            part = name if c == 1 else self.function.new(f"mul i64 {name}, {c}")
            total = part if not total else self.function.new(f"add i64 {total}, {part}")
        if not total:
            return str(x.base)
        return self.function.new(f"add i64 {total}, {x.base}") if x.base else total


def operations(statements: Sequence[Statement]) -> int:
    """How many operations statements take, all loops run through."""
    total = 0
    for s in statements:
        if isinstance(s, ForLoop):
            total += 10**9 if any(s.count.strides) else s.count.base * operations(s.body)
        else:
            total += 1
    return total
