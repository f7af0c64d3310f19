"""The scheduled program: loops over registers and memory, forward and backward.

What `schedule` makes of the loops, and `lower` turns into LLVM IR. Each operand is a number
in a register (`VirtualRegister`), in memory (`Element`), or written into the code (`Literal`).
A register is overwritten in each iteration; the schedule makes sure that no later instruction reads
the old number.

Start reading at `ScheduledProgram`; `run` says what one means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from talweg.autodiff.operation import Op
from talweg.compiler.ir.loop_program import Affine, variable
from talweg.compiler.ir.tape import CONSTANT


@dataclass(frozen=True, slots=True)
class VirtualRegister:
    """A register; `d` in front of its name if it collects a derivative."""

    number: int
    derivative: bool = False

    def __str__(self) -> str:
        return f"{'d' if self.derivative else ''}r{self.number}"


@dataclass(frozen=True, slots=True)
class Element:
    """One number of an array in memory."""

    array: str
    index: Affine

    def __str__(self) -> str:
        return f"{self.array}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Gather:
    """One number of an array that is read as a table: which row, an input tells.

    Attributes:
        array: the parameters, or their derivatives.
        index: of the number in the table's first row.
        row: the index of the input that is the row's number.
        columns: how many numbers a row has.
    """

    array: str
    index: Affine
    row: Affine
    columns: int

    def __str__(self) -> str:
        return f"{self.array}[{self.index}+{self.columns}*x[{self.row}]]"


@dataclass(frozen=True, slots=True)
class Literal:
    """A number written into the code."""

    number: float

    def __str__(self) -> str:
        return repr(self.number)


StorageLocation: TypeAlias = VirtualRegister | Element | Gather
Operand: TypeAlias = VirtualRegister | Element | Gather | Literal


@dataclass(frozen=True, slots=True, eq=False)
class Compute:
    """One operation: its result goes to all targets."""

    op: Op
    operands: tuple[Operand, ...]
    targets: tuple[StorageLocation, ...]

    def __str__(self) -> str:
        return f"{' = '.join(map(str, self.targets))} = {self.op.name} {_listed(self.operands)}"


@dataclass(frozen=True, slots=True, eq=False)
class SaveForBackward:
    """Put a number that a cell is about to lose into memory, for going backward."""

    source: VirtualRegister
    target: Element

    def __str__(self) -> str:
        return f"{self.target} = {self.source}"


@dataclass(frozen=True, slots=True, eq=False)
class AccumulateAdjoint:
    """One step backward: take g out of `source`, add a share of it to each operand's derivative.

    Attributes:
        op: the operation that is undone.
        source: where the derivative by its result was collected; it is 0 afterwards.
        operands: its operands; None where no derivative mentions one.
        out: its result, likewise.
        targets: where the derivatives by its operands are collected; None where not wanted.
    """

    op: Op
    source: StorageLocation
    operands: tuple[Operand | None, ...]
    out: Operand | None
    targets: tuple[StorageLocation | None, ...]

    def __str__(self) -> str:
        shares = [
            f"{target} += {equation}"
            for target, equation in zip(self.targets, self.op.equations, strict=True)
            if target is not None
        ]
        names = [("out", self.out), *zip("xyz", self.operands, strict=False)]
        known = [f"{name} = {x}" for name, x in names if x is not None]
        return "; ".join([f"g = take {self.source}", *known, *shares])


@dataclass(frozen=True, slots=True, eq=False)
class ForLoop:
    """`count` times the body.

    Attributes:
        count: how often, a function of the loops around this one.
        body: what is repeated.
        parallel: whether no iteration reads what another one computed, so that several
            may be computed at once.
        cells: the numbers of the cells that each iteration writes for itself.
    """

    count: Affine
    body: tuple[Statement, ...]
    parallel: bool = False
    cells: frozenset[int] = frozenset()


Statement: TypeAlias = Compute | SaveForBackward | AccumulateAdjoint | ForLoop


@dataclass(frozen=True, eq=False)
class ScheduledProgram:
    """A program that knows where each number lives.

    Attributes:
        forward: computes the outputs.
        backward: computes the derivatives, after `forward`.
        arrays: the sizes of the arrays of results and of their derivatives, by name.
        outputs: where the outputs are found after `forward`.
        cotangents: where the derivatives by the outputs are put before `backward`; None for an
            output through which nothing flows back.
        constants: the numbers of the array `c`.
        wrt: the spaces by whose numbers derivatives are computed; those by `w` are
            collected in the array `dw`, and so on.
    """

    forward: tuple[Statement, ...]
    backward: tuple[Statement, ...]
    arrays: Mapping[str, int]
    outputs: tuple[Operand, ...]
    cotangents: tuple[StorageLocation | None, ...]
    constants: Sequence[float]
    wrt: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{name}: {size} numbers" for name, size in self.arrays.items()]
        parts += ["forward:", *_lines(self.forward, 1)]
        parts += [f"    return {_listed(self.outputs)}", "backward:", *_lines(self.backward, 1)]
        return "\n".join(parts)


def _lines(statements: Sequence[Statement], depth: int, around: int = 0) -> Iterator[str]:
    for s in statements:
        if isinstance(s, ForLoop):
            side_by_side = "  # in any order" if s.parallel else ""
            head = f"for {variable(around)} in range({s.count}):{side_by_side}"
            yield "    " * depth + head
            yield from _lines(s.body, depth + 1, around + 1)
        else:
            yield "    " * depth + str(s)


def _listed(operands: Sequence[Operand]) -> str:
    return " ".join(map(str, operands))


# ---- the reference interpreter ----------------------------------------------------------------


def run(
    code: ScheduledProgram,
    inputs: Mapping[str, Sequence[float]],
    cotangents: Sequence[float] | None = None,
) -> tuple[list[float], dict[str, list[float]]]:
    """What scheduled code means.

    Args:
        code: the program.
        inputs: the numbers of every space but the constants.
        cotangents: the derivative of the final result by each output; None to go forward only.

    Returns:
        The outputs, and the derivatives by the numbers of each space in `code.wrt`.
    """
    memory = {name: list(numbers) for name, numbers in inputs.items()}
    memory[CONSTANT] = list(code.constants)
    memory |= {name: [0.0] * size for name, size in code.arrays.items()}
    memory |= {"d" + name: [0.0] * len(memory[name]) for name in code.wrt}
    machine = _Machine(memory)
    machine.run(code.forward, ())
    outputs = [machine.read(x, ()) for x in code.outputs]
    if cotangents is not None:
        for place, seed in zip(code.cotangents, cotangents, strict=True):
            if place is not None:
                machine.add(place, seed, ())
        machine.run(code.backward, ())
    return outputs, {name: memory["d" + name] for name in code.wrt}


class _Machine:
    """Cells and memory, and what statements do to them."""

    def __init__(self, memory: dict[str, list[float]]) -> None:
        self.memory = memory
        self.cells: dict[VirtualRegister, float] = {}

    def run(self, statements: Sequence[Statement], point: tuple[int, ...]) -> None:
        for s in statements:
            if isinstance(s, ForLoop):
                for i in range(s.count.at(point)):
                    self.run(s.body, (*point, i))
            elif isinstance(s, Compute):
                result = s.op.value(*[self.read(x, point) for x in s.operands])
                for target in s.targets:
                    self.write(target, result, point)
            elif isinstance(s, SaveForBackward):
                self.write(s.target, self.read(s.source, point), point)
            else:
                self.share(s, point)

    def share(self, s: AccumulateAdjoint, point: tuple[int, ...]) -> None:
        g = self.read(s.source, point)
        self.write(s.source, 0.0, point)
        # What no derivative mentions is not read: it may be anything, here 0.
        operands = [0.0 if x is None else self.read(x, point) for x in s.operands]
        out = 0.0 if s.out is None else self.read(s.out, point)
        for target, rule in zip(s.targets, s.op.derivatives, strict=True):
            if target is not None:
                self.add(target, rule(g, *operands, out), point)

    def read(self, x: Operand, point: tuple[int, ...]) -> float:
        if isinstance(x, Literal):
            return x.number
        if isinstance(x, (Element, Gather)):
            return self.memory[x.array][self.index(x, point)]
        return self.cells.get(x, 0.0) if x.derivative else self.cells[x]

    def index(self, x: Element | Gather, point: tuple[int, ...]) -> int:
        if isinstance(x, Element):
            return x.index.at(point)
        return x.index.at(point) + x.columns * int(self.memory["x"][x.row.at(point)])

    def write(self, place: StorageLocation, number: float, point: tuple[int, ...]) -> None:
        if isinstance(place, (Element, Gather)):
            self.memory[place.array][self.index(place, point)] = number
        else:
            self.cells[place] = number

    def add(self, place: StorageLocation, number: float, point: tuple[int, ...]) -> None:
        self.write(place, self.read(place, point) + number, point)
