"""The verifier of scheduled programs: it refuses what would read garbage or crash in native code.

It visits the statements as the reference interpreter would, but without numbers, and of each
loop only the `sampled_iterations`. An affine index has its extreme values at the first and the
last iterations of the surrounding loops, so an index that is inside its array there is inside in
all iterations; and what is written in any iteration is written in one of those.

Start reading at `verify`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from talweg.compiler.ir.affine import Affine, Point, sampled_iterations
from talweg.compiler.ir.scheduled_program import (
    Compute,
    Element,
    ForLoop,
    Gather,
    Operand,
    SaveForBackward,
    ScheduledProgram,
    Statement,
    VirtualRegister,
)
from talweg.compiler.ir.tape import CONSTANT
from talweg.errors import CompilerError


def verify(scheduled: ScheduledProgram, sizes: Mapping[str, int]) -> None:
    """Check that a scheduled program reads only what exists.

    Args:
        scheduled: the program.
        sizes: for each space of inputs the count of its numbers, by name.

    Raises:
        CompilerError: at the first statement that reads a register before it is written, has an
            index outside an array, names an array that does not exist, or has too many operands
            or too few; and at a parallel loop that reads a register of another iteration.
    """
    arrays = {**sizes, CONSTANT: len(scheduled.constants), **scheduled.arrays}
    arrays |= {"d" + name: sizes[name] for name in scheduled.wrt}
    visitor = _Visitor(arrays)
    visitor.statements(scheduled.forward, ())
    for output in scheduled.outputs:
        visitor.read(output, (), "return")
    for cotangent in scheduled.cotangents:
        visitor.location(cotangent, (), "cotangents")
    visitor.is_forward = False
    visitor.statements(scheduled.backward, ())


class _Visitor:
    """A walk through a program: which registers are written, and whether all locations exist."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.written: set[int] = set()
        self.is_forward = True

    def statements(self, statements: Sequence[Statement], point: Point) -> None:
        for s in statements:
            if isinstance(s, ForLoop):
                self.loop(s, point)
            elif isinstance(s, Compute):
                self.count(s.operands, s.op.arity, s)
                for x in s.operands:
                    self.read(x, point, s)
                for target in s.targets:
                    self.write(target, point, s)
            elif isinstance(s, SaveForBackward):
                self.read(s.source, point, s)
                self.write(s.target, point, s)
            else:
                self.count(s.operands, s.op.arity, s)
                self.count(s.targets, s.op.arity, s)
                for location in (s.source, *s.targets):
                    self.location(location, point, s)
                for known in (*s.operands, s.out):
                    self.read(known, point, s)

    def loop(self, s: ForLoop, point: Point) -> None:
        for i in sampled_iterations(_at(s.count, point, "a loop")):
            # An iteration of a parallel loop cannot read what another iteration wrote.
            if s.parallel and self.is_forward:
                self.written -= s.registers
            self.statements(s.body, (*point, i))

    def count(self, locations: Sequence[object], arity: int, s: object) -> None:
        if len(locations) != arity:
            raise CompilerError(
                f"schedule: {len(locations)} locations for {arity} operands in: {s}"
            )

    def read(self, x: Operand | None, point: Point, s: object) -> None:
        if isinstance(x, VirtualRegister) and not x.derivative and x.number not in self.written:
            raise CompilerError(f"schedule: {x} is read before it is written, at {point} in: {s}")
        self.location(x, point, s)

    def write(self, x: Operand, point: Point, s: object) -> None:
        if isinstance(x, VirtualRegister) and not x.derivative:
            self.written.add(x.number)
        self.location(x, point, s)

    def location(self, x: Operand | None, point: Point, s: object) -> None:
        """An element must be inside an array; nothing else has an index."""
        if isinstance(x, Gather):
            self.location(Element("x", x.row), point, s)
            x = Element(x.array, x.index)  # in the first row: the inputs say which row it is
        if not isinstance(x, Element):
            return
        if x.array not in self.sizes:
            raise CompilerError(f"schedule: there is no array {x.array!r} in: {s}")
        index = _at(x.index, point, s)
        if not 0 <= index < self.sizes[x.array]:
            raise CompilerError(
                f"schedule: {x} has index {index}, outside the {self.sizes[x.array]} numbers of "
                f"the array, at {point} in: {s}"
            )


def _at(index: Affine, point: Point, s: object) -> int:
    if len(index.strides) != len(point):
        raise CompilerError(f"schedule: {index} is not in {len(point)} loops: {s}")
    return index.at(point)
