"""The small program: nested loops over instructions with affine indices.

`roll` finds loops as terms with index vectors; here they become a tree that can be read.
A node is an `Instruction` or a `Loop`. An operand is a `Reference`: a space and an index that
is an affine function of the loop variables, outermost first,

    index = base + strides[0] * i + strides[1] * j + ...

Results are numbered as on the tape: the n-th operation computed writes result n.

A program without a pattern may have millions of instructions in no loop. They stay on the
tape, as a `StraightLine`, and become nodes only where somebody looks at them.

Start reading at `Program`; `run` says what one means, `verify` what it must satisfy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, repeat
from typing import Any, TypeAlias

import numpy as np

from talweg.autodiff.operation import Op
from talweg.compiler.ir.tape import CONSTANT, NONE, RESULT, Array, Tape, computed
from talweg.compiler.ir.unrolled import Nest, pieces
from talweg.errors import CompilerError

Point: TypeAlias = tuple[int, ...]
"""The values of the loop variables, outermost first."""


@dataclass(frozen=True, slots=True)
class Affine:
    """A whole number that depends linearly on the loop variables.

    >>> Affine(3, (4, 1)).at((2, 5)), str(Affine(3, (4, 1)))
    (16, '4*i+j+3')
    """

    base: int
    strides: tuple[int, ...] = ()

    def at(self, point: Sequence[int]) -> int:
        """Its value where the loop variables have these values."""
        return self.base + sum(s * i for s, i in zip(self.strides, point, strict=True))

    def __str__(self) -> str:
        parts = [
            f"{ {1: '', -1: '-'}.get(stride, f'{stride}*') }{variable(depth)}"
            for depth, stride in enumerate(self.strides)
            if stride
        ]
        if self.base or not parts:
            parts.append(str(self.base))
        return "+".join(parts).replace("+-", "-")


def variable(depth: int) -> str:
    """What the loop variable at a depth is called: i, j, k, ..."""
    letters = "ijklmnopqr"
    return letters[depth] if depth < len(letters) else f"i{depth}"


@dataclass(frozen=True, slots=True)
class Reference:
    """One number of a space."""

    space: str
    index: Affine


@dataclass(frozen=True, slots=True, eq=False)
class Instruction:
    """One operation.

    Attributes:
        op: what is computed.
        operands: from what.
        result: the number of the result, where every iteration of the loops around it
            takes equally many operations; else None.
    """

    op: Op
    operands: tuple[Reference, ...]
    result: Affine | None


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """`count` times the body; the count may depend on the loops around this one."""

    count: Affine
    body: tuple[Node, ...]


Node: TypeAlias = Instruction | Loop


@dataclass(frozen=True, slots=True, eq=False)
class StraightLine:
    """Instructions in a row that are in no loop: on the tape, those from begin up to end."""

    begin: int
    end: int


@dataclass(frozen=True, eq=False)
class Program:
    """Nested loops that compute what a tape computes.

    Attributes:
        parts: the loops, and what lies between them, in order. A program without any pattern
            may have millions of instructions, so that they are left on the tape.
        tape: where it comes from, with the constants, the outputs and the sizes of spaces.
    """

    parts: tuple[Node | StraightLine, ...]
    tape: Tape

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The instructions and loops, in order; written down when first asked for."""
        nodes: list[Node] = []
        for part in self.parts:
            if isinstance(part, StraightLine):
                nodes += straight_line_instructions(part, (), Affine(part.begin), self.tape)
            else:
                nodes.append(part)
        return tuple(nodes)

    @property
    def size(self) -> int:
        """How many instructions and loops are written down."""
        straight = sum(p.end - p.begin - 1 for p in self.parts if isinstance(p, StraightLine))
        return straight + len(self.parts) + sum(1 for _, around in self._within_loops() if around)

    @property
    def loops(self) -> int:
        """How many loops there are."""
        return sum(isinstance(node, Loop) for node, _ in self._within_loops())

    def walk(self) -> Iterator[tuple[Node, tuple[Loop, ...]]]:
        """Every node with the loops around it, outermost first, in order of the text."""
        yield from _walk(self.nodes, ())

    def _within_loops(self) -> Iterator[tuple[Node, tuple[Loop, ...]]]:
        yield from _walk([part for part in self.parts if isinstance(part, Loop)], ())


def _walk(
    nodes: Sequence[Node], around: tuple[Loop, ...]
) -> Iterator[tuple[Node, tuple[Loop, ...]]]:
    for node in nodes:
        yield node, around
        if isinstance(node, Loop):
            yield from _walk(node.body, (*around, node))


def straight_line_instructions(
    part: StraightLine, advance: Sequence[Sequence[int]], begin: Affine | None, tape: Tape
) -> Iterator[Instruction]:
    """The nodes of instructions in a row; the arguments are those of `passes/find_loops.py`."""
    rows = slice(part.begin, part.end)
    columns = [array[rows].tolist() for array in (tape.code, tape.space, tape.index)]
    strides: Iterator[tuple[int, ...]] = zip(*advance, strict=True) if advance else repeat(())
    for n, (code, space, index) in enumerate(zip(*columns, strict=True)):
        op = tape.operations[code]
        operands = [
            Reference(tape.spaces[space[j]], Affine(index[j], next(strides)))
            for j in range(op.arity)
        ]
        result = None if begin is None else Affine(begin.base + n, begin.strides)
        yield Instruction(op, tuple(operands), result)


# ---- the verifier --------------------------------------------------------------------------


def verify(program: Program) -> None:
    """Check that the loops, written out, are the tape to the last index.

    Raises:
        CompilerError: at the first instruction that differs.
    """
    tape, done = program.tape, 0
    for part in program.parts:
        if not isinstance(part, StraightLine):
            for rows in pieces(_tables([part], 0, tape)[0]):
                done = _compare(rows, done, tape)
        elif part.begin == done:
            done = part.end  # they are the tape's own
        else:
            raise CompilerError(f"loops: instruction {part.begin} of the tape comes as {done}")
    if done != len(tape):
        raise CompilerError(f"loops: {done} instructions, the tape has {len(tape)}")


def _compare(rows: Array, begin: int, tape: Tape) -> int:
    """Raise an error unless these are the tape from `begin` on; returns where they end."""
    end = begin + len(rows)
    if end > len(tape):
        raise CompilerError(f"loops: {end} instructions or more, the tape has {len(tape)}")
    wrong = rows[:, 0] != tape.code[begin:end]
    for k in range(3):
        wrong |= rows[:, 1 + k] != tape.space[begin:end, k]
        wrong |= rows[:, 4 + k] != tape.index[begin:end, k]
    if wrong.any():
        i = begin + int(wrong.argmax())
        raise CompilerError(f"loops: instruction {i} differs from the tape's {tape.line(i)!r}")
    return end


def _tables(nodes: Sequence[Node], depth: int, tape: Tape) -> list[Array | Nest]:
    """Nodes with so many loops around them, as `talweg.compiler.ir.unrolled` has them."""
    found: list[Array | Nest] = []
    for _, group in groupby(nodes, key=lambda node: isinstance(node, Loop)):
        alike = list(group)
        for node in alike:
            if isinstance(node, Loop):
                body, varies = _tables(node.body, depth + 1, tape), depends(node.body, depth)
                found.append(Nest(node.count.base, node.count.strides, body, varies))
        rows = [node for node in alike if isinstance(node, Instruction)]
        if rows:
            found.append(_table(rows, depth, tape))
    return found


def _table(instructions: Sequence[Instruction], depth: int, tape: Tape) -> Array:
    codes = {op: code for code, op in enumerate(tape.operations)}
    spaces = {name: number for number, name in enumerate(tape.spaces)}
    rows: list[list[int]] = []
    strides: list[tuple[int, ...]] = []
    for node in instructions:
        absent = [0] * (3 - len(node.operands))
        numbers = [spaces[x.space] for x in node.operands] + [NONE for _ in absent]
        rows.append([codes[node.op], *numbers, *[x.index.base for x in node.operands], *absent])
        strides += [x.index.strides for x in node.operands]
        strides += [(0,) * depth for _ in absent]
    table = np.zeros((1 + depth, len(rows), 7), dtype=np.int64)
    table[0] = rows
    if depth:
        table[1:, :, 4:] = np.moveaxis(np.array(strides).reshape(-1, 3, depth), 2, 0)
    return table


def depends(nodes: Sequence[Node], depth: int) -> bool:
    """Whether a trip count among these nodes depends on the loop at this depth."""
    loops = [node for node in nodes if isinstance(node, Loop)]
    return any(loop.count.strides[depth] or depends(loop.body, depth) for loop in loops)


def run(program: Program, inputs: Mapping[str, Sequence[float]]) -> list[float]:
    """What a program means: compute it loop by loop, one operation after the other.

    Args:
        program: the loops.
        inputs: the numbers of every space but the constants and the results.

    Returns:
        The outputs.
    """
    tape = program.tape
    results: list[float] = []
    spaces: dict[str, Any] = {**inputs, CONSTANT: tape.constants.tolist(), RESULT: results}
    _run(program.nodes, (), spaces, results)
    return [spaces[tape.spaces[s]][k] for s, k in tape.outputs]


def _run(nodes: Sequence[Node], point: Point, spaces: dict[str, Any], results: list[float]) -> None:
    for node in nodes:
        if isinstance(node, Instruction):
            results.append(
                computed(node.op, [(spaces[x.space], x.index.at(point)) for x in node.operands])
            )
        else:
            for i in range(node.count.at(point)):
                _run(node.body, (*point, i), spaces, results)
