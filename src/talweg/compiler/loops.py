"""The small program: nested loops over instructions with affine indices.

`roll` finds loops as terms with index vectors; here they become a tree that can be read.
A node is an `Instruction` or a `Loop`. An operand is a `Reference`: a space and an index that
is an affine function of the loop variables, outermost first,

    index = base + strides[0] * i + strides[1] * j + ...

Results are numbered as on the tape: the n-th operation computed writes result n.

Start reading at `Program`; `run` says what one means, `verify` what it must satisfy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np

from talweg.compiler.roll import Term, roll
from talweg.compiler.tape import CONSTANT, NONE, RESULT, Array, Tape, computed
from talweg.errors import CompilerError
from talweg.operation import Op

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

    def at(self, point: Point) -> int:
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


@dataclass(frozen=True, eq=False)
class Program:
    """Nested loops that compute what a tape computes.

    Attributes:
        nodes: the instructions and loops, in order.
        tape: where it comes from, with the constants, the outputs and the sizes of spaces.
    """

    nodes: tuple[Node, ...]
    tape: Tape

    @property
    def size(self) -> int:
        """How many instructions and loops are written down."""
        return sum(1 for _ in self.walk())

    @property
    def loops(self) -> int:
        """How many loops there are."""
        return sum(isinstance(node, Loop) for node, _ in self.walk())

    def walk(self) -> Iterator[tuple[Node, tuple[Loop, ...]]]:
        """Every node with the loops around it, outermost first, in order of the text."""
        yield from _walk(self.nodes, ())


def _walk(
    nodes: Sequence[Node], around: tuple[Loop, ...]
) -> Iterator[tuple[Node, tuple[Loop, ...]]]:
    for node in nodes:
        yield node, around
        if isinstance(node, Loop):
            yield from _walk(node.body, (*around, node))


def program(tape: Tape) -> Program:
    """The loops of a tape, found and verified.

    Args:
        tape: a verified tape.

    Returns:
        The program, which computes the same operations in the same order.
    """
    found = Program(_nodes(roll(tape), tape), tape)
    verify(found)
    return found


def _nodes(terms: Sequence[Term], tape: Tape) -> tuple[Node, ...]:
    return tuple([_node(term, term.indices, (), Affine(term.at), tape) for term in terms])


def _node(
    term: Term,
    first: Sequence[int],
    advance: tuple[Sequence[int], ...],
    begin: Affine | None,
    tape: Tape,
) -> Node:
    """The node of a term.

    Args:
        term: what `roll` found.
        first: its indices in the first iteration of all loops around it.
        advance: for each loop around it, by how much its indices advance an iteration.
        begin: the number of its first result.
        tape: the tape it was found on.
    """
    if not term.body:
        op = tape.operations[tape.code[term.at]]
        names = [tape.spaces[s] for s in tape.space[term.at] if s != NONE]
        operands = [
            Reference(name, Affine(first[j], tuple([a[j] for a in advance])))
            for j, name in enumerate(names)
        ]
        return Instruction(op, tuple(operands), begin)
    count = Affine(first[0], tuple([a[0] for a in advance]))
    length = sum(inner.length for inner in term.body)
    at, offset = 1, 0
    body = []
    for inner in term.body:
        size = len(inner.indices)
        inside = (*(a[at : at + size] for a in advance), term.strides[at - 1 : at - 1 + size])
        inner_begin = None
        if begin is not None and term.is_regular:
            inner_begin = Affine(begin.base + offset, (*begin.strides, length))
        body.append(_node(inner, first[at : at + size], inside, inner_begin, tape))
        offset += inner.length
        at += size
    return Loop(count, tuple(body))


def verify(program: Program) -> None:
    """Check that the loops, written out, are the tape to the last index.

    Raises:
        CompilerError: at the first instruction that differs.
    """
    code, index = _written_out(program.nodes, (), program.tape)
    tape = program.tape
    if len(code) != len(tape):
        raise CompilerError(f"loops: {len(code)} instructions, the tape has {len(tape)}")
    wrong = (code != tape.code) | (index != tape.index).any(axis=1)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise CompilerError(f"loops: instruction {i} differs from the tape's {tape.line(i)!r}")


def _written_out(nodes: Sequence[Node], point: Point, tape: Tape) -> tuple[Array, Array]:
    """The operations (n,) and indices (n, 3) of nodes, where the loops around are at a point."""
    numbers = {op: i for i, op in enumerate(tape.operations)}
    codes, indices = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 3), dtype=np.int64)]
    for _, group in groupby(nodes, key=lambda node: isinstance(node, Loop)):
        alike = list(group)
        parts = [_loop_written_out(node, point, tape) for node in alike if isinstance(node, Loop)]
        rows = [node for node in alike if isinstance(node, Instruction)]
        for code, index in parts or [_rows(rows, point, numbers)]:
            codes.append(code)
            indices.append(index)
    return np.concatenate(codes), np.concatenate(indices)


def _rows(
    instructions: Sequence[Instruction], point: Point, numbers: Mapping[Op, int]
) -> tuple[Array, Array]:
    """Instructions without loops, converted all at once."""
    rows = [[x.index.at(point) for x in node.operands] for node in instructions]
    padded = [row + [0] * (3 - len(row)) for row in rows]
    codes = [numbers[node.op] for node in instructions]
    return np.array(codes, dtype=np.int64), np.array(padded, dtype=np.int64).reshape(-1, 3)


def _loop_written_out(loop: Loop, point: Point, tape: Tape) -> tuple[Array, Array]:
    """All iterations of a loop; where they are alike, the first two tell the others."""
    count = loop.count.at(point)
    if depends(loop.body, len(point)):
        parts = [_written_out(loop.body, (*point, i), tape) for i in range(count)]
        return np.concatenate([c for c, _ in parts]), np.concatenate([x for _, x in parts])
    code, index = _written_out(loop.body, (*point, 0), tape)
    _, second = _written_out(loop.body, (*point, 1), tape)
    steps = np.arange(count)[:, None, None] * (second - index)
    return np.tile(code, count), (index + steps).reshape(-1, 3)


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
