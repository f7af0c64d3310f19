"""The verifier of scheduled code: what would be garbage or a crash in native code is refused here.

The code is gone through as the interpreter of `ir/scheduled_program.py` would, but without numbers,
and in each loop only the first two iterations and the last one are visited. An affine index is
largest and smallest in a corner of the loops around it, so that is where it must be looked at;
and what is written in any iteration is written in one of those.

Start reading at `verify`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from talweg.compiler.ir.loop_program import Affine, Point
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


def verify(code: ScheduledProgram, sizes: Mapping[str, int]) -> None:
    """Check that scheduled code reads only what is there.

    Args:
        code: the program.
        sizes: how many numbers each space of inputs has, by name.

    Raises:
        CompilerError: at the first statement that reads a cell before it is written, steps
            outside an array, names an array that does not exist, or has too many operands or
            too few; and at a loop said to be parallel that reads a cell of another iteration.
    """
    known = {**sizes, CONSTANT: len(code.constants), **code.arrays}
    known |= {"d" + name: sizes[name] for name in code.wrt}
    visit = _Visit(known)
    visit.statements(code.forward, ())
    for output in code.outputs:
        visit.read(output, (), "return")
    for seed in code.cotangents:
        visit.place(seed, (), "seed")
    visit.is_forward = False
    visit.statements(code.backward, ())


class _Visit:
    """A walk through the code: which cells are written, and whether all places exist."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.written: set[int] = set()
        self.is_forward = True

    def statements(self, statements: Sequence[Statement], point: Point) -> None:
        for s in statements:
            if isinstance(s, ForLoop):
                self.repeat(s, point)
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
                for place in (s.source, *s.targets):
                    self.place(place, point, s)
                for known in (*s.operands, s.out):
                    self.read(known, point, s)

    def repeat(self, s: ForLoop, point: Point) -> None:
        """The first two iterations of a loop, and the last."""
        count = _at(s.count, point, "a loop")
        for i in sorted({0, 1, count - 1} & set(range(count))):
            # What runs at the same time as other iterations cannot read what those wrote.
            if s.parallel and self.is_forward:
                self.written -= s.cells
            self.statements(s.body, (*point, i))

    def count(self, places: Sequence[object], arity: int, s: object) -> None:
        if len(places) != arity:
            raise CompilerError(f"code: {len(places)} places for {arity} operands in: {s}")

    def read(self, x: Operand | None, point: Point, s: object) -> None:
        if isinstance(x, VirtualRegister) and not x.derivative and x.number not in self.written:
            raise CompilerError(f"code: {x} is read before it is written, at {point} in: {s}")
        self.place(x, point, s)

    def write(self, x: Operand, point: Point, s: object) -> None:
        if isinstance(x, VirtualRegister) and not x.derivative:
            self.written.add(x.number)
        self.place(x, point, s)

    def place(self, x: Operand | None, point: Point, s: object) -> None:
        """An element must be one of an array; everything else has no place to be wrong about."""
        if isinstance(x, Gather):
            self.place(Element("x", x.row), point, s)
            x = Element(x.array, x.index)  # in the first row; how many there are, inputs say
        if not isinstance(x, Element):
            return
        if x.array not in self.sizes:
            raise CompilerError(f"code: there is no array {x.array!r} in: {s}")
        index = _at(x.index, point, s)
        if not 0 <= index < self.sizes[x.array]:
            raise CompilerError(
                f"code: {x} is number {index} of {self.sizes[x.array]}, at {point} in: {s}"
            )


def _at(index: Affine, point: Point, s: object) -> int:
    if len(index.strides) != len(point):
        raise CompilerError(f"code: {index} is not in {len(point)} loops: {s}")
    return index.at(point)
