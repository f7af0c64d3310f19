"""The loops run backward: where the gradient of a program comes from.

The adjoint of a program visits its operations in reverse order. An operation that computed
`out` from x and y, and whose result has collected the derivative g, adds its share to the
derivative of each of its operands, by the equations of the table. Loops become loops whose
variables run backward: where the program is in iteration i of n, its adjoint is in iteration
n - 1 - i. This is the order in which `Value.backward` goes, so all sums of derivatives are
added up in the same order too.

Start reading at `adjoint`; `run` says what one means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from talweg.autodiff.operation import GATHER
from talweg.compiler.ir.loop_program import Affine, Instruction, Loop, Node, Point, Program
from talweg.compiler.ir.tape import CONSTANT, RESULT, computed, taken

Where: TypeAlias = tuple[Affine, ...]
"""The loop variables of the program as functions of those of its adjoint."""


@dataclass(frozen=True, slots=True, eq=False)
class Backward:
    """One step backward: an operation adds its shares to the derivatives of its operands.

    Attributes:
        instruction: the operation.
        where: in which of its iterations, as functions of the adjoint's loop variables.
    """

    instruction: Instruction
    where: Where


@dataclass(frozen=True, slots=True, eq=False)
class Reversed:
    """A loop of the adjoint: `count` times the body; iteration i undoes the i-th but last.

    Attributes:
        count: the trip count, a function of the adjoint's loops around this one.
        body: the steps and loops in it.
        loop: the program's loop that it reverses.
    """

    count: Affine
    body: tuple[Step, ...]
    loop: Loop


Step: TypeAlias = Backward | Reversed


def adjoint(program: Program) -> tuple[Step, ...]:
    """The program's operations in reverse order, as loops.

    Args:
        program: the loops of a traced function.

    Returns:
        Steps and loops, in the order in which they are taken.
    """
    return _reversed(program.nodes, ())


def _reversed(nodes: Sequence[Node], where: Where) -> tuple[Step, ...]:
    steps: list[Step] = []
    for node in reversed(nodes):
        if isinstance(node, Instruction):
            steps.append(Backward(node, where))
            continue
        count = substituted(node.count, where)
        outside = tuple([Affine(x.base, (*x.strides, 0)) for x in where])
        last = Affine(count.base - 1, (*count.strides, -1))
        steps.append(Reversed(count, _reversed(node.body, (*outside, last)), node))
    return tuple(steps)


def substituted(index: Affine, where: Sequence[Affine]) -> Affine:
    """An affine function of affine functions.

    >>> str(substituted(Affine(3, (4,)), [Affine(9, (-1,))]))
    '-4*i+39'
    """
    depth = len(where[0].strides) if where else 0
    base = index.base + sum(s * x.base for s, x in zip(index.strides, where, strict=True))
    strides = [
        sum(s * x.strides[d] for s, x in zip(index.strides, where, strict=True))
        for d in range(depth)
    ]
    return Affine(base, tuple(strides))


def as_text(steps: Sequence[Step], depth: int = 0) -> Iterator[str]:
    """The adjoint as lines: each names the operation that it undoes, and where."""
    indent = "    " * depth
    for step in steps:
        if isinstance(step, Backward):
            at = ", ".join(map(str, step.where))
            operands = " ".join(f"{x.space}[{x.index}]" for x in step.instruction.operands)
            yield f"{indent}undo {step.instruction.op.name} {operands}{f' at {at}' if at else ''}"
        else:
            yield f"{indent}for {'ijklmnopqr'[depth % 10]} in range({step.count}):"
            yield from as_text(step.body, depth + 1)


def run(
    program: Program, inputs: Mapping[str, Sequence[float]], cotangents: Sequence[float]
) -> dict[str, list[float]]:
    """What the adjoint of a program means: compute it, one operation after the other.

    Args:
        program: the loops.
        inputs: the numbers of every space but the constants and the results.
        cotangents: the derivative of the final result by each output.

    Returns:
        For every space the derivatives by its numbers.
    """
    results: list[float] = []
    spaces: dict[str, Any] = {**inputs, CONSTANT: program.tape.constants.tolist(), RESULT: results}
    numbers: dict[tuple[int, Point], int] = {}
    aliases: dict[int, tuple[str, int]] = {}
    _run_forward(program.nodes, (), spaces, numbers, aliases)
    grads = {name: [0.0] * len(numbers_in) for name, numbers_in in spaces.items()}
    state = _State(spaces, numbers, aliases, grads)
    for (space, index), seed in zip(program.tape.outputs, cotangents, strict=True):
        state.add(program.tape.spaces[space], index, seed)
    _run_backward(adjoint(program), (), state)
    return grads


@dataclass(frozen=True)
class _State:
    """The numbers of a program that has run, and the derivatives so far.

    Attributes:
        spaces: the numbers.
        numbers: for each instruction and iteration the number of its result.
        aliases: for each result that was taken from a table its place there: what is added to
            its derivative is added to that of the table's number at once.
        grads: the derivatives.
    """

    spaces: dict[str, Any]
    numbers: dict[tuple[int, Point], int]
    aliases: dict[int, tuple[str, int]]
    grads: dict[str, list[float]]

    def add(self, space: str, index: int, share: float) -> None:
        """Add to the derivative by a number."""
        if space == RESULT and index in self.aliases:
            space, index = self.aliases[index]
        self.grads[space][index] += share


def _run_forward(
    nodes: Sequence[Node],
    point: Point,
    spaces: dict[str, Any],
    numbers: dict[Any, int],
    aliases: dict[int, tuple[str, int]],
) -> None:
    for node in nodes:
        if isinstance(node, Loop):
            for i in range(node.count.at(point)):
                _run_forward(node.body, (*point, i), spaces, numbers, aliases)
            continue
        number = numbers[id(node), point] = len(spaces[RESULT])
        places = [(spaces[x.space], x.index.at(point)) for x in node.operands]
        if node.op is GATHER:
            aliases[number] = (node.operands[0].space, taken(places)[1])
        spaces[RESULT].append(computed(node.op, places))


def _run_backward(steps: Sequence[Step], iteration: Point, state: _State) -> None:
    for step in steps:
        if isinstance(step, Reversed):
            for i in range(step.count.at(iteration)):
                _run_backward(step.body, (*iteration, i), state)
            continue
        node = step.instruction
        point = tuple([x.at(iteration) for x in step.where])
        number = state.numbers[id(node), point]
        if number in state.aliases:
            continue
        operands = [state.spaces[x.space][x.index.at(point)] for x in node.operands]
        g, out = state.grads[RESULT][number], state.spaces[RESULT][number]
        for x, rule in zip(node.operands, node.op.derivatives, strict=True):
            state.add(x.space, x.index.at(point), rule(g, *operands, out))
