"""The scheduled program: loops over virtual registers and memory, forward and backward.

`schedule` makes it from the loop program, and code generation turns it into instructions. Each
operand is in a virtual register (`VirtualRegister`), in an array (`Element`, `Gather`), or a
constant in the code (`Literal`). A register is overwritten in each iteration; the schedule
guarantees that no later instruction reads the old number.

Start reading at `ScheduledProgram`; `run`, the reference interpreter, defines what one computes.
The verifier is `talweg.compiler.ir.scheduled_verifier`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from talweg.autodiff.operation import OPERANDS, Op
from talweg.compiler.ir.affine import Affine, loop_variable
from talweg.compiler.ir.tape import CONSTANT


@dataclass(frozen=True, slots=True)
class VirtualRegister:
    """A register that holds one number; `d` precedes its name if it collects a derivative."""

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
    """One number of a table of parameters whose row is an input: array[index + columns * row].

    Attributes:
        array: the parameters, or their derivatives.
        index: of the number in the table's first row.
        row: the index of the input that holds the row's number.
        columns: the length of a row.
    """

    array: str
    index: Affine
    row: Affine
    columns: int

    def __str__(self) -> str:
        return f"{self.array}[{self.index}+{self.columns}*x[{self.row}]]"


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant in the code."""

    number: float

    def __str__(self) -> str:
        return repr(self.number)


StorageLocation: TypeAlias = VirtualRegister | Element | Gather
Operand: TypeAlias = VirtualRegister | Element | Gather | Literal


@dataclass(frozen=True, slots=True, eq=False)
class Compute:
    """One operation: its result is written to all targets."""

    op: Op
    operands: tuple[Operand, ...]
    targets: tuple[StorageLocation, ...]

    def __str__(self) -> str:
        return f"{' = '.join(map(str, self.targets))} = {self.op.name} {_listed(self.operands)}"


@dataclass(frozen=True, slots=True, eq=False)
class SaveForBackward:
    """Copy a number that the adjoint needs to an array, before its register is overwritten."""

    source: VirtualRegister
    target: Element

    def __str__(self) -> str:
        return f"{self.target} = {self.source}"


@dataclass(frozen=True, slots=True, eq=False)
class AccumulateAdjoint:
    """The adjoint of one operation: g, the derivative by its result, is propagated.

    The derivative g is read from `source`, which becomes 0; then each operand's derivative
    equation, a function of g, the operands and the result, is added to the operand's target.

    Attributes:
        op: the operation.
        source: where the derivative by its result was collected.
        operands: its operands; None where no derivative equation mentions one.
        out: its result, likewise.
        targets: where the derivatives by its operands are collected; None where none is needed.
    """

    op: Op
    source: StorageLocation
    operands: tuple[Operand | None, ...]
    out: Operand | None
    targets: tuple[StorageLocation | None, ...]

    def __str__(self) -> str:
        terms = [
            f"{target} += {equation}"
            for target, equation in zip(self.targets, self.op.equations, strict=True)
            if target is not None
        ]
        names = [("out", self.out), *zip(OPERANDS, self.operands, strict=False)]
        known = [f"{name} = {x}" for name, x in names if x is not None]
        return "; ".join([f"g, {self.source} = {self.source}, 0", *known, *terms])


@dataclass(frozen=True, slots=True, eq=False)
class ForLoop:
    """`count` times the body.

    Attributes:
        count: the trip count, a function of the surrounding loops.
        body: the statements of one iteration.
        parallel: whether no iteration reads a result of another one, so that several may be
            computed at once.
        registers: the numbers of the virtual registers written in the body. Where iterations
            are computed at once, each has registers of its own for these.
    """

    count: Affine
    body: tuple[Statement, ...]
    parallel: bool = False
    registers: frozenset[int] = frozenset()


Statement: TypeAlias = Compute | SaveForBackward | AccumulateAdjoint | ForLoop


@dataclass(frozen=True, eq=False)
class ScheduledProgram:
    """A program in which each number has a storage location.

    Attributes:
        forward: computes the outputs.
        backward: computes the derivatives, after `forward`.
        arrays: the sizes of the arrays of results and of their derivatives, by name.
        outputs: where the outputs are after `forward`.
        cotangents: where the derivatives by the outputs are written before `backward`; None for an
            output that does not depend on the numbers of `wrt`.
        constants: the numbers of the array `c`.
        wrt: the spaces by whose numbers derivatives are computed; those by `w` are
            collected in the array `dw`, and so on.
        guarded: the registers and arrays of derivatives, by name, that also tell whether a
            derivative has been added to them at all. If none has, the adjoint that reads one adds
            nothing: see `passes/guarded_adjoints.py`.

    As text it lists the arrays, then the statements of both directions. Here r1 is the
    virtual register of the running sum and dr1 that of its derivative; w, x and dw are arrays.

    >>> from talweg import Value
    >>> from talweg.compiler.frontend.trace import trace
    >>> from talweg.compiler.passes.find_loops import find_loops
    >>> from talweg.compiler.passes.scheduling import schedule
    >>> weights = [Value(0.1 * k) for k in range(5)]
    >>> dot = lambda ws, xs: sum(w * x for w, x in zip(ws, xs))
    >>> tape = trace(dot, weights, [1.0, 2.0, 3.0, 4.0, 5.0]).tape
    >>> print(schedule(find_loops(tape)))
    forward:
        r0 = mul w[0] x[0]
        r1 = add 0.0 r0
        for i in range(4):
            r2 = mul w[i+1] x[i+1]
            r1 = add r1 r2
        return r1
    backward:
        for i in range(4):
            g, dr1 = dr1, 0; dr1 += g; dr2 += g
            g, dr2 = dr2, 0; y = x[-i+4]; dw[-i+4] += g * y
        g, dr1 = dr1, 0; dr0 += g
        g, dr0 = dr0, 0; y = x[0]; dw[0] += g * y
    """

    forward: tuple[Statement, ...]
    backward: tuple[Statement, ...]
    arrays: Mapping[str, int]
    outputs: tuple[Operand, ...]
    cotangents: tuple[StorageLocation | None, ...]
    constants: Sequence[float]
    wrt: tuple[str, ...]
    guarded: frozenset[str] = frozenset()

    def is_guarded(self, location: StorageLocation) -> bool:
        """Whether a location of a derivative tells if one has been added to it."""
        name = location.array if isinstance(location, (Element, Gather)) else str(location)
        return name in self.guarded

    def __str__(self) -> str:
        parts = [f"{name}: {size} numbers" for name, size in self.arrays.items()]
        parts += ["forward:", *_lines(self.forward, 1)]
        parts += [f"    return {_listed(self.outputs)}", "backward:"]
        parts += [f"    guarded: {', '.join(sorted(self.guarded))}"] * bool(self.guarded)
        parts += _lines(self.backward, 1)
        return "\n".join(parts)


def _lines(statements: Sequence[Statement], indent: int, depth: int = 0) -> Iterator[str]:
    for s in statements:
        if isinstance(s, ForLoop):
            comment = "  # parallel" if s.parallel else ""
            yield "    " * indent + f"for {loop_variable(depth)} in range({s.count}):{comment}"
            yield from _lines(s.body, indent + 1, depth + 1)
        else:
            yield "    " * indent + str(s)


def _listed(operands: Sequence[Operand]) -> str:
    return " ".join(map(str, operands))


# ---- the reference interpreter ----------------------------------------------------------------


def run(
    scheduled: ScheduledProgram,
    inputs: Mapping[str, Sequence[float]],
    cotangents: Sequence[float] | None = None,
) -> tuple[list[float], dict[str, list[float]]]:
    """Compute a scheduled program, statement by statement.

    Args:
        scheduled: the program.
        inputs: the numbers of every space but the constants.
        cotangents: the derivative of the final result by each output; None to go forward only.

    Returns:
        The outputs, and the derivatives by the numbers of each space in `scheduled.wrt`.
    """
    memory = {name: list(numbers) for name, numbers in inputs.items()}
    memory[CONSTANT] = list(scheduled.constants)
    memory |= {name: [0.0] * size for name, size in scheduled.arrays.items()}
    memory |= {"d" + name: [0.0] * len(memory[name]) for name in scheduled.wrt}
    interpreter = _Interpreter(memory)
    interpreter.run(scheduled.forward, ())
    outputs = [interpreter.read(x, ()) for x in scheduled.outputs]
    if cotangents is not None:
        for location, cotangent in zip(scheduled.cotangents, cotangents, strict=True):
            if location is not None:
                interpreter.add(location, cotangent, ())
        interpreter.run(scheduled.backward, ())
    return outputs, {name: memory["d" + name] for name in scheduled.wrt}


class _Interpreter:
    """Registers and memory, and the effect of statements on them."""

    def __init__(self, memory: dict[str, list[float]]) -> None:
        self.memory = memory
        self.registers: dict[VirtualRegister, float] = {}
        self.reached: set[object] = set()  # the locations to which a derivative has been added

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
                self.accumulate(s, point)

    def accumulate(self, s: AccumulateAdjoint, point: tuple[int, ...]) -> None:
        g = self.read(s.source, point)
        self.write(s.source, 0.0, point)
        if self.key(s.source, point) not in self.reached:
            return
        self.reached.discard(self.key(s.source, point))
        # What no equation mentions is not read: it may be any number, here 0.
        operands = [0.0 if x is None else self.read(x, point) for x in s.operands]
        out = 0.0 if s.out is None else self.read(s.out, point)
        for j, (target, rule) in enumerate(zip(s.targets, s.op.derivatives, strict=True)):
            if target is not None and s.op.reaches(j, operands):
                self.add(target, rule(g, *operands, out), point)

    def key(self, location: StorageLocation, point: tuple[int, ...]) -> object:
        """What tells a location from all others."""
        if isinstance(location, (Element, Gather)):
            return location.array, self.index(location, point)
        return location

    def read(self, x: Operand, point: tuple[int, ...]) -> float:
        if isinstance(x, Literal):
            return x.number
        if isinstance(x, (Element, Gather)):
            return self.memory[x.array][self.index(x, point)]
        return self.registers.get(x, 0.0) if x.derivative else self.registers[x]

    def index(self, x: Element | Gather, point: tuple[int, ...]) -> int:
        if isinstance(x, Element):
            return x.index.at(point)
        return x.index.at(point) + x.columns * int(self.memory["x"][x.row.at(point)])

    def write(self, location: StorageLocation, number: float, point: tuple[int, ...]) -> None:
        if isinstance(location, (Element, Gather)):
            self.memory[location.array][self.index(location, point)] = number
        else:
            self.registers[location] = number

    def add(self, location: StorageLocation, number: float, point: tuple[int, ...]) -> None:
        self.reached.add(self.key(location, point))
        self.write(location, self.read(location, point) + number, point)
