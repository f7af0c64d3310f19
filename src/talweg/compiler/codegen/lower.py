"""Lowering: from the scheduled program to instructions.

A statement is lowered for several *instances* at once: for blocks of samples, of which each fills
the lanes of a vector, and for iterations of a parallel loop (unroll-and-jam). Instances have their
own registers and share what they read from memory, which LLVM then loads once; matrix products owe
their speed to it. One lane, one block and no jamming give the plain program in the order of the
eager engine, as exact mode requires.

A virtual register becomes a variable on the stack, which LLVM's first pass turns into an SSA value.

Start reading at `LoweringContext`, then `LoweringContext.for_loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from talweg import ops
from talweg.compiler.codegen import guarded_adjoint
from talweg.compiler.codegen.builder import FunctionBuilder, Index
from talweg.compiler.codegen.contraction import contracted_sums
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.operations import TracedNumber, apply, name_of
from talweg.compiler.intrinsics.builder_protocol import Name
from talweg.compiler.ir.affine import Affine
from talweg.compiler.ir.scheduled_program import (
    AccumulateAdjoint,
    Compute,
    Element,
    ForLoop,
    Gather,
    Literal,
    Operand,
    SaveForBackward,
    ScheduledProgram,
    Statement,
    StorageLocation,
    VirtualRegister,
)
from talweg.errors import CompilerError

_SMALL_PROGRAM = 1000
"""A program of at most so many operations, all iterations and instances counted, is unrolled."""

MOST_STATEMENTS = 1000
"""Training computes fewer blocks of samples together where their statements would be more than
this. Long text without loops is slower if it is longer: it fills the cache of instructions."""

_SMALL_LOOP = 16
"""So is a loop of at most so many, in any program: LLVM's time grows with the text."""

_JAM = 4
"""At most so many iterations of a parallel loop are computed together."""

_JAMMED_INSTANCES = 8
"""At most so many instances are computed together, so that their values fit into registers."""


@dataclass(frozen=True)
class LinearIndex:
    """A 64-bit integer of the running program: base + sum of coefficient * value."""

    base: int
    terms: tuple[tuple[Name, int], ...] = ()

    def times(self, k: int) -> LinearIndex:
        """This integer times k."""
        terms = tuple([(name, k * c) for name, c in self.terms]) if k else ()
        return LinearIndex(k * self.base, terms)

    def plus(self, other: LinearIndex) -> LinearIndex:
        """The sum of two integers."""
        terms = dict(self.terms)
        for name, c in other.terms:
            terms[name] = terms.get(name, 0) + c
        return LinearIndex(self.base + other.base, tuple([(n, c) for n, c in terms.items() if c]))


def at(index: Affine, point: Sequence[LinearIndex]) -> LinearIndex:
    """The value of an affine index where the loop variables are these."""
    total = LinearIndex(index.base)
    for stride, i in zip(index.strides, point, strict=True):
        if stride:
            total = total.plus(i.times(stride))
    return total


@dataclass(frozen=True)
class Instance:
    """One of the instances of a statement that are lowered together.

    Attributes:
        block: which block of samples it computes.
        point: the values of the loop variables around the statement.
        own: for each virtual register that jammed iterations do not share, which of its variables
            the instance uses: (depth of a jammed loop, number of the jammed iteration) for each
            jammed loop around it in which it is not the first.
    """

    block: int = 0
    point: tuple[LinearIndex, ...] = ()
    own: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def inside(
        self, i: LinearIndex, registers: frozenset[int] = frozenset(), which: int = 0
    ) -> Instance:
        """The instance in iteration i of a loop; it is number `which` of the jammed iterations."""
        own = self.own
        if registers and which:
            mark = (len(self.point), which)
            own = {**own, **{r: (*own.get(r, ()), mark) for r in sorted(registers)}}
        return replace(self, point=(*self.point, i), own=own)


@dataclass(frozen=True)
class LaneLayout:
    """How numbers are stored in memory.

    An array that is neither `broadcast` nor `per_lane` has numbers of its own for each sample: all
    vectors of number 0, one a block, then all vectors of number 1, and so on.

    Attributes:
        pointers: the address of each array.
        lanes: how many samples a vector holds.
        blocks: how many vectors of samples are computed together.
        broadcast: the arrays that all samples share, with one double for each number.
        per_lane: the arrays of per-lane accumulators: one vector for each number, to which the
            samples of a lane add. Their lanes are added up when all samples are done.
    """

    pointers: dict[str, Name]
    lanes: int = 1
    blocks: int = 1
    broadcast: frozenset[str] = frozenset()
    per_lane: frozenset[str] = frozenset()


class LoweringContext:
    """Lowers statements into a function.

    Args:
        function: where instructions go.
        layout: how numbers are stored in memory.
        jam: whether iterations of parallel loops may be computed together, out of order.
        program: all statements that will be lowered; their number decides what is unrolled.
        of_samples: the arrays of derivatives to which many samples of a batch add.
        reorder: whether the terms of a running sum may be added in another order.
        is_guarded: whether a location of a derivative is guarded, see `ScheduledProgram`.

    Attributes:
        builder: the builder of vectors of samples.
        scalar: the builder of single numbers.
        instances: the instances outside of all loops, one a block.
        size: bytes of a vector.
    """

    def __init__(
        self,
        function: FunctionBuilder,
        layout: LaneLayout,
        jam: bool,
        program: Sequence[Statement],
        of_samples: frozenset[str] = frozenset(),
        *,
        reorder: bool = False,
        is_guarded: Callable[[StorageLocation], bool] = lambda location: False,
    ) -> None:
        self.function = function
        self.layout = layout
        self.jam = jam
        self.reorder = reorder
        self.is_guarded = is_guarded
        self.builder = NumberBuilder(function, layout.lanes)
        self.scalar = NumberBuilder(function)
        self.instances = [Instance(block) for block in range(layout.blocks)]
        is_small = operation_count(program) * layout.blocks <= _SMALL_PROGRAM
        self.unroll_limit = _SMALL_PROGRAM if is_small else _SMALL_LOOP
        self.size = self.builder.number_type.size
        self.contracted = contracted_sums(program, of_samples)
        self._variables: dict[tuple[Any, ...], Name] = {}

    # ---- statements -----------------------------------------------------------------------------

    def statements(self, statements: Sequence[Statement], instances: Sequence[Instance]) -> None:
        """Lower statements, each for all instances."""
        for s in statements:
            if isinstance(s, ForLoop):
                self.for_loop(s, instances)
                continue
            for instance in instances:
                if isinstance(s, Compute):
                    self.compute(s, instance)
                elif isinstance(s, SaveForBackward):
                    self.write(s.target, self.read(s.source, instance), instance)
                else:
                    self.accumulate_adjoint(s, instance)

    def compute(self, s: Compute, instance: Instance) -> None:
        """One operation."""
        operands = [self.read(x, instance) for x in s.operands]
        is_running_sum = s.op is ops.add and s.operands[0] in s.targets
        if is_running_sum or (s, 0) in self.contracted:
            result = self._sum(
                *operands,
                reorder=is_running_sum and self.reorder,
                contract=(s, 0) in self.contracted,
            )
        else:
            result = apply(self.builder, s.op, *operands)
        for target in s.targets:
            self.write(target, result, instance)

    def accumulate_adjoint(self, s: AccumulateAdjoint, instance: Instance) -> None:
        """One operation of the adjoint program."""
        b = self.builder
        found = self.read(s.source, instance)
        reached = None
        if self.is_guarded(s.source):
            reached, found = guarded_adjoint.read(b, found)
        g = TracedNumber(b, found)
        self.write(s.source, b.constant(0.0), instance)
        operands = [self._number(x, instance) for x in s.operands]
        out = self._number(s.out, instance)
        for k, (target, rule) in enumerate(zip(s.targets, s.op.derivatives, strict=True)):
            if target is not None:
                part, contract = name_of(b, rule(g, *operands, out)), (s, k) in self.contracted
                passing = reached
                if self.is_guarded(target):
                    passing = guarded_adjoint.passing(b, s.op, k, operands, reached)
                self.add(target, part, instance, passing, contract=contract)

    def _sum(self, total: Name, x: Name, *, reorder: bool, contract: bool) -> Name:
        """A sum, whose terms may be added in any order, and products taken without rounding."""
        b = self.builder
        if reorder:
            return b.accumulate(total, x, contract=contract)
        return b.contracted_add(total, x) if contract else b.add(total, x)

    def _number(self, x: Operand | None, instance: Instance) -> TracedNumber | float:
        """An operand of a derivative rule; one that no rule mentions may be any number."""
        if x is None:
            return 0.0
        if isinstance(x, Literal):
            return x.number
        return TracedNumber(self.builder, self.read(x, instance))

    # ---- loops ----------------------------------------------------------------------------------

    def for_loop(self, s: ForLoop, instances: Sequence[Instance]) -> None:
        """A loop: unrolled if it is short, unrolled and jammed if it may be, else as it is."""
        if any(s.count.strides):
            for instance in instances:  # each has a trip count of its own
                self._loop(at(s.count, instance.point), s, [instance], 1)
            return
        n = s.count.base
        if n * operation_count(s.body) * len(instances) <= self.unroll_limit:
            for k in range(n):
                self.statements(s.body, [c.inside(LinearIndex(k)) for c in instances])
            return
        width = self.jam_width(s, len(instances))
        rounds, rest = divmod(n, width)
        self._loop(LinearIndex(rounds), s, instances, width)
        if rest:
            self._jammed(LinearIndex(rounds * width), s, instances, rest)

    def jam_width(self, s: ForLoop, instances: int) -> int:
        """How many iterations of a loop are computed together."""
        has_loop = any(isinstance(inner, ForLoop) for inner in s.body)
        if not (self.jam and s.parallel and has_loop):
            return 1
        return max(1, min(_JAM, s.count.base, _JAMMED_INSTANCES // instances))

    def _loop(
        self, rounds: LinearIndex, s: ForLoop, instances: Sequence[Instance], width: int
    ) -> None:
        """A number of rounds, each of `width` iterations of a loop."""
        if rounds == LinearIndex(1):
            self._jammed(LinearIndex(0), s, instances, width)
            return
        self.function.for_range(
            self.materialise(rounds),
            lambda i: self._jammed(LinearIndex(0, ((i, width),)), s, instances, width),
        )

    def _jammed(
        self, first: LinearIndex, s: ForLoop, instances: Sequence[Instance], width: int
    ) -> None:
        """Iterations first, first + 1, ... together."""
        points = [first.plus(LinearIndex(k)) for k in range(width)]
        jammed = [c.inside(i, s.registers, k) for c in instances for k, i in enumerate(points)]
        self.statements(s.body, jammed)

    # ---- storage --------------------------------------------------------------------------------

    def read(self, x: Operand, instance: Instance) -> Name:
        """The number in a storage location."""
        if isinstance(x, Literal):
            return self.builder.constant(x.number)
        if isinstance(x, VirtualRegister):
            return self.builder.load(self.variable(x, instance))
        if isinstance(x, Gather):
            addresses = self.gather_addresses(x, instance)
            return self.builder.join([self.function.load(address) for address in addresses])
        address = self.address(x, instance)
        if x.array in self.layout.broadcast:
            return self.builder.broadcast(self.function.load(address))
        return self.builder.load(address)

    def write(self, location: StorageLocation, number: Name, instance: Instance) -> None:
        """Write a number to a storage location."""
        if isinstance(location, Gather):
            raise CompilerError(f"lower: {location} cannot be written to, only added to")
        if isinstance(location, VirtualRegister):
            address = self.variable(location, instance)
        else:
            address = self.address(location, instance)
        self.builder.store(number, address)

    def add(
        self,
        location: StorageLocation,
        number: Name,
        instance: Instance,
        passing: Name | None = None,
        *,
        contract: bool = False,
    ) -> None:
        """Add a number to the one in a storage location; a product perhaps without its rounding.

        Args:
            location: where.
            number: what is added.
            instance: for which instance.
            passing: the mask of the lanes in which it is added; None for all.
            contract: whether a product may be added without its own rounding.
        """
        b, f = self.builder, self.function
        if self.is_guarded(location):
            total = guarded_adjoint.added(b, self.read(location, instance), number, passing)
            self.write(location, total, instance)
            return
        if passing is not None:
            number = b.select(passing, number, b.constant(0.0))
        if not isinstance(location, Gather):
            total = self._sum(
                self.read(location, instance), number, reorder=self.reorder, contract=contract
            )
            self.write(location, total, instance)
            return
        for k, address in enumerate(self.gather_addresses(location, instance)):
            total = self.scalar.add(f.load(address), b.lane(number, k))
            f.store(total, address)

    def gather_addresses(self, x: Gather, instance: Instance) -> list[Name]:
        """The address of the number that each sample gathers, one a lane."""
        f, b = self.function, self.builder
        rows = self.read(Element("x", x.row), instance)
        addresses = []
        for k in range(b.lanes):
            # It fits into 64 bits: a run on examples whose rows the array does not have is refused.
            row = f.i64_from_double(b.lane(rows, k))
            index = at(x.index, instance.point).plus(LinearIndex(0, ((row, x.columns),)))
            if x.array in self.layout.per_lane:
                offset = index.times(self.size).plus(LinearIndex(8 * k))
            else:
                offset = index.times(8)
            addresses.append(self.offset(self.layout.pointers[x.array], offset))
        return addresses

    def variable(self, x: VirtualRegister, instance: Instance) -> Name:
        """The address of the stack variable that is an instance's register."""
        key = (x, instance.block, instance.own.get(x.number, ()))
        if key not in self._variables:
            b = self.builder
            zero = b.constant(0.0) if x.derivative else None
            self._variables[key] = self.function.alloca(b.number_type, initial=zero)
        return self._variables[key]

    def address(self, x: Element, instance: Instance) -> Name:
        """The address of an element of an array."""
        layout, index = self.layout, at(x.index, instance.point)
        if x.array in layout.broadcast:
            offset = index.times(8)
        elif x.array in layout.per_lane:
            offset = index.times(self.size)
        else:
            block = LinearIndex(instance.block)
            offset = index.times(layout.blocks).plus(block).times(self.size)
        return self.offset(layout.pointers[x.array], offset)

    def offset(self, pointer: Name, by: LinearIndex) -> Name:
        """The address so many bytes behind the start of an array.

        The offset is one sum, since parts of it, such as -8 * i, may lead out of the array.
        """
        return self.function.byte_offset(pointer, self.materialise(by))

    def materialise(self, x: LinearIndex) -> Index:
        """An integer as a value, or as it is where it is known already.

        It is computed modulo 2**64: nothing is known of the size of its partial sums.
        """
        total: Index = 0
        for name, c in x.terms:
            part = name if c == 1 else self.function.imul(name, c)
            total = self.function.iadd(total, part) if total else part
        return (self.function.iadd(total, x.base) if x.base else total) if total else x.base


def statement_count(statements: Sequence[Statement]) -> int:
    """How many statements a program has as text: those in a loop are counted once."""
    return sum(statement_count(s.body) if isinstance(s, ForLoop) else 1 for s in statements)


def fitting_blocks(program: ScheduledProgram) -> int:
    """How many blocks of samples may be computed together, see `MOST_STATEMENTS`."""
    return max(1, MOST_STATEMENTS // statement_count([*program.forward, *program.backward]))


def operation_count(statements: Sequence[Statement]) -> int:
    """How many operations statements execute; loops of varying trip count are taken as endless."""
    total = 0
    for s in statements:
        if isinstance(s, ForLoop):
            total += 10**9 if any(s.count.strides) else s.count.base * operation_count(s.body)
        else:
            total += 1
    return total
