"""The adjoint program: the operations of a loop program in reverse order, as loops.

An operation that computed `out` from x and y, and whose result has the derivative g, adds to the
derivative of each operand, by the operation's derivative equations. A loop becomes a loop whose
variable runs backward: where the program is in iteration i of n, its adjoint is in iteration
n - 1 - i.

Start reading at `AdjointProgram`; `verify` checks one, and `run`, the reference interpreter,
defines what one computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from talweg.autodiff.operation import GATHER
from talweg.compiler.ir.affine import Affine, Point, compose, loop_variable, sampled_iterations
from talweg.compiler.ir.loop_program import Instruction, Loop, LoopProgram, Node, Reference
from talweg.compiler.ir.tape import CONSTANT, RESULT, computed, gathered
from talweg.errors import CompilerError

ForwardPoint: TypeAlias = tuple[Affine, ...]
"""The loop variables of the program as functions of those of its adjoint."""


@dataclass(frozen=True, slots=True, eq=False)
class AdjointInstruction:
    """One operation of the adjoint: it adds to the derivatives by an operation's operands.

    Attributes:
        instruction: the operation.
        point: its iteration, as a function of the adjoint's loop variables.
    """

    instruction: Instruction
    point: ForwardPoint

    def __str__(self) -> str:
        node = self.instruction
        operands = [Reference(x.space, compose(x.index, self.point)) for x in node.operands]
        result = node.result and compose(node.result, self.point)
        return f"adjoint of {Instruction(node.op, tuple(operands), result)}"


@dataclass(frozen=True, slots=True, eq=False)
class AdjointLoop:
    """A loop of the adjoint: iteration i of n reverses iteration n - 1 - i of a loop.

    Attributes:
        count: the trip count, a function of the adjoint's surrounding loops.
        body: the instructions and loops in it.
        loop: the loop that it reverses.
    """

    count: Affine
    body: tuple[AdjointNode, ...]
    loop: Loop


AdjointNode: TypeAlias = AdjointInstruction | AdjointLoop


@dataclass(frozen=True, eq=False)
class AdjointProgram:
    """The adjoint of a loop program.

    Attributes:
        body: the instructions and loops, in order of execution.
        program: the program.

    As text it has one line an instruction or a loop; all indices are functions of the adjoint's
    own loop variables.

    >>> from talweg.compiler.frontend.trace import trace
    >>> from talweg.compiler.passes.adjoint import adjoint
    >>> from talweg.compiler.passes.find_loops import find_loops
    >>> tape = trace(lambda xs: sum(x * x for x in xs), [1.0, 2.0, 3.0, 4.0, 5.0]).tape
    >>> print(adjoint(find_loops(tape)))
    for i in range(4):
        adjoint of t[-2*i+9] = add t[-2*i+7] t[-2*i+8]
        adjoint of t[-2*i+8] = mul x[-i+4] x[-i+4]
    adjoint of t[1] = add c[0] t[0]
    adjoint of t[0] = mul x[0] x[0]
    """

    body: tuple[AdjointNode, ...]
    program: LoopProgram

    def __str__(self) -> str:
        return "\n".join(_lines(self.body, 0))


def _lines(nodes: Sequence[AdjointNode], depth: int) -> Iterator[str]:
    indent = "    " * depth
    for node in nodes:
        if isinstance(node, AdjointLoop):
            yield f"{indent}for {loop_variable(depth)} in range({node.count}):"
            yield from _lines(node.body, depth + 1)
        else:
            yield f"{indent}{node}"


# ---- the verifier --------------------------------------------------------------------------


def verify(adjoint: AdjointProgram) -> None:
    """Check that an adjoint visits the program's operations in reverse order.

    Of each loop the `sampled_iterations` are visited.

    Raises:
        CompilerError: at the first instruction or loop that is out of order, or that names
            another iteration.
    """
    _verify(adjoint.body, adjoint.program.nodes, (), ())


def _verify(
    found: Sequence[AdjointNode], nodes: Sequence[Node], iteration: Point, point: Point
) -> None:
    if len(found) != len(nodes):
        raise CompilerError(f"adjoint: {len(found)} nodes for {len(nodes)} of the program")
    verified: ForwardPoint | None = None  # instructions of one body usually have one point
    for k, (own, node) in enumerate(zip(found, reversed(nodes), strict=True)):
        if isinstance(own, AdjointLoop) and isinstance(node, Loop) and own.loop is node:
            count = node.count.at(point)
            if own.count.at(iteration) != count:
                raise CompilerError(f"adjoint: a loop of {own.count} reverses one of {count}")
            for i in sampled_iterations(count):
                _verify(own.body, node.body, (*iteration, i), (*point, count - 1 - i))
        elif isinstance(own, AdjointInstruction) and own.instruction is node:
            if own.point is not verified and tuple([x.at(iteration) for x in own.point]) != point:
                raise CompilerError(f"adjoint: {own} at {iteration} is not iteration {point}")
            verified = own.point
        else:
            raise CompilerError(f"adjoint: node {k} of the body at {iteration} is out of order")


# ---- the reference interpreter -------------------------------------------------------------


def run(
    adjoint: AdjointProgram, inputs: Mapping[str, Sequence[float]], cotangents: Sequence[float]
) -> dict[str, list[float]]:
    """Compute a program and then its adjoint, one operation after the other.

    Args:
        adjoint: the adjoint of the program.
        inputs: the numbers of every space but the constants and the results.
        cotangents: the derivative of the final result by each output.

    Returns:
        For every space the derivatives by its numbers.
    """
    program = adjoint.program
    results: list[float] = []
    spaces: dict[str, Any] = {**inputs, CONSTANT: program.tape.constants.tolist(), RESULT: results}
    state = _State(spaces, {}, {}, {})
    _run_forward(program.nodes, (), state)
    state.grads.update({name: [0.0] * len(numbers) for name, numbers in spaces.items()})
    for (space, index), cotangent in zip(program.tape.outputs, cotangents, strict=True):
        state.accumulate(program.tape.spaces[space], index, cotangent)
    _run_adjoint(adjoint.body, (), state)
    return state.grads


@dataclass(frozen=True)
class _State:
    """The numbers of a program that has run, and the derivatives so far.

    Attributes:
        spaces: the numbers.
        numbers: for each instruction and iteration the number of its result.
        aliases: for each gathered result its space and index there: its derivative is the
            derivative by that number.
        grads: the derivatives.
        reached: the results to whose derivative something was added. The adjoint of another one
            adds nothing: it is on a branch that `where` does not take.
    """

    spaces: dict[str, Any]
    numbers: dict[tuple[Instruction, Point], int]
    aliases: dict[int, tuple[str, int]]
    grads: dict[str, list[float]]
    reached: set[int] = field(default_factory=set)

    def accumulate(self, space: str, index: int, amount: float) -> None:
        """Add to the derivative by a number."""
        if space == RESULT and index in self.aliases:
            space, index = self.aliases[index]
        if space == RESULT:
            self.reached.add(index)
        self.grads[space][index] += amount


def _run_forward(nodes: Sequence[Node], point: Point, state: _State) -> None:
    for node in nodes:
        if isinstance(node, Loop):
            for i in range(node.count.at(point)):
                _run_forward(node.body, (*point, i), state)
            continue
        number = state.numbers[node, point] = len(state.spaces[RESULT])
        operands = [(state.spaces[x.space], x.index.at(point)) for x in node.operands]
        if node.op is GATHER:
            state.aliases[number] = (node.operands[0].space, gathered(operands)[1])
        state.spaces[RESULT].append(computed(node.op, operands))


def _run_adjoint(nodes: Sequence[AdjointNode], iteration: Point, state: _State) -> None:
    for own in nodes:
        if isinstance(own, AdjointLoop):
            for i in range(own.count.at(iteration)):
                _run_adjoint(own.body, (*iteration, i), state)
            continue
        node = own.instruction
        point = tuple([x.at(iteration) for x in own.point])
        number = state.numbers[node, point]
        if number in state.aliases or number not in state.reached:
            continue
        operands = [state.spaces[x.space][x.index.at(point)] for x in node.operands]
        g, out = state.grads[RESULT][number], state.spaces[RESULT][number]
        for j, (x, rule) in enumerate(zip(node.operands, node.op.derivatives, strict=True)):
            if node.op.reaches(j, operands):
                state.accumulate(x.space, x.index.at(point), rule(g, *operands, out))
