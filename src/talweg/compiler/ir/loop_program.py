"""The loop program: nested loops over instructions with affine indices.

A node is an `Instruction` or a `Loop`. An operand is a `Reference`: a space and an index that is
an affine function of the loop variables, outermost first,

    index = base + strides[0] * i + strides[1] * j + ...

Results are numbered as on the tape: operation n, in order of execution, writes result n.

A program without a pattern may have millions of instructions outside loops. They stay on the
tape, as a `StraightLine`, and become nodes only where they are needed one by one.

Start reading at `LoopProgram`; `run`, the reference interpreter, defines what one computes.
The verifier is `talweg.compiler.ir.loop_verifier`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, TypeAlias

from talweg.autodiff.operation import Op
from talweg.compiler.ir.affine import Affine, Point, loop_variable
from talweg.compiler.ir.tape import CONSTANT, RESULT, Tape, computed


@dataclass(frozen=True, slots=True)
class Reference:
    """One number of a space."""

    space: str
    index: Affine

    def __str__(self) -> str:
        return f"{self.space}[{self.index}]"


@dataclass(frozen=True, slots=True, eq=False)
class Instruction:
    """One operation.

    Attributes:
        op: the operation.
        operands: what it reads.
        result: the number of the result, if it is an affine function of the loop variables:
            if every iteration of the surrounding loops has equally many operations; else None.
    """

    op: Op
    operands: tuple[Reference, ...]
    result: Affine | None

    def __str__(self) -> str:
        number = "n" if self.result is None else str(self.result)
        return f"{RESULT}[{number}] = {self.op.name} {' '.join(map(str, self.operands))}"


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """`count` times the body; the count may depend on the surrounding loops."""

    count: Affine
    body: tuple[Node, ...]


Node: TypeAlias = Instruction | Loop


@dataclass(frozen=True, slots=True, eq=False)
class StraightLine:
    """Consecutive instructions outside loops: those of the tape from `start` up to `stop`."""

    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class LoopProgram:
    """Nested loops that compute what a tape computes.

    Attributes:
        parts: the loops, and the straight-line code between them, in order.
        tape: the tape, with the constants, the outputs and the sizes of the spaces.

    As text a program has one line an instruction or a loop. Result n is written t[n]; the letter
    n stays where the number is not an affine function of the loop variables.

    >>> from talweg.compiler.frontend.trace import trace
    >>> from talweg.compiler.passes.find_loops import find_loops
    >>> tape = trace(lambda xs: sum(x * x for x in xs), [1.0, 2.0, 3.0, 4.0, 5.0]).tape
    >>> print(find_loops(tape))
    t[0] = mul x[0] x[0]
    t[1] = add c[0] t[0]
    for i in range(4):
        t[2*i+2] = mul x[i+1] x[i+1]
        t[2*i+3] = add t[2*i+1] t[2*i+2]
    return t[9]
    """

    parts: tuple[Node | StraightLine, ...]
    tape: Tape

    def __str__(self) -> str:
        outputs = [f"{self.tape.spaces[s]}[{k}]" for s, k in self.tape.outputs]
        return "\n".join([*_lines(self.nodes, 0), f"return {' '.join(outputs)}"])

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All instructions and loops, in order; made at the first access."""
        nodes: list[Node] = []
        for part in self.parts:
            if isinstance(part, StraightLine):
                nodes += straight_line_instructions(part, (), Affine(part.start), self.tape)
            else:
                nodes.append(part)
        return tuple(nodes)

    @property
    def size(self) -> int:
        """The number of instructions and loops."""
        straight = sum(p.stop - p.start - 1 for p in self.parts if isinstance(p, StraightLine))
        return straight + len(self.parts) + sum(1 for _, around in self._within_loops() if around)

    @property
    def loops(self) -> int:
        """The number of loops."""
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


def _lines(nodes: Sequence[Node], depth: int) -> Iterator[str]:
    indent = "    " * depth
    for node in nodes:
        if isinstance(node, Loop):
            yield f"{indent}for {loop_variable(depth)} in range({node.count}):"
            yield from _lines(node.body, depth + 1)
        else:
            yield f"{indent}{node}"


def straight_line_instructions(
    part: StraightLine,
    advance: Sequence[Sequence[int]],
    first_result: Affine | None,
    tape: Tape,
) -> Iterator[Instruction]:
    """The nodes of consecutive instructions of a tape.

    Args:
        part: the instructions.
        advance: for each surrounding loop, by how much the indices of all operands advance in
            one iteration.
        first_result: the number of the first result, if it is affine.
        tape: the tape.
    """
    rows = slice(part.start, part.stop)
    columns = [array[rows].tolist() for array in (tape.code, tape.space, tape.index)]
    strides: Iterator[tuple[int, ...]] = zip(*advance, strict=True) if advance else repeat(())
    for n, (code, space, index) in enumerate(zip(*columns, strict=True)):
        op = tape.operations[code]
        operands = [
            Reference(tape.spaces[space[j]], Affine(index[j], next(strides)))
            for j in range(op.arity)
        ]
        result = first_result and Affine(first_result.base + n, first_result.strides)
        yield Instruction(op, tuple(operands), result)


def trip_counts_depend(nodes: Sequence[Node], depth: int) -> bool:
    """Whether a trip count among these nodes depends on the loop variable at this depth."""
    loops = [node for node in nodes if isinstance(node, Loop)]
    return any(loop.count.strides[depth] or trip_counts_depend(loop.body, depth) for loop in loops)


# ---- the reference interpreter -------------------------------------------------------------


def run(program: LoopProgram, inputs: Mapping[str, Sequence[float]]) -> list[float]:
    """Compute a program, loop by loop, one operation after the other.

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
