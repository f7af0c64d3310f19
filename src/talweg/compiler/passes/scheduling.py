"""Scheduling: the loop program and its adjoint with a storage location for every number.

The analyses, each a function of the program and of earlier results:

* `iteration_map`: all iterations, enumerated;
* `reaching_definitions`: which instructions each operand reads;
* `storage_classes`: which results share a location, and which locations are registers;
* `differentiation_flow`: which operations have an adjoint, and what it reads;
* `guarded_results`: which adjoints must know whether a derivative reaches them;
* `saved_values`: what the adjoint needs in arrays;
* `assign_addresses`: where numbers are in arrays;
* `parallel_loops`: which loops have independent iterations.

`Locations` combines them, and the emission here writes down the statements.

Start reading at `schedule`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from talweg.autodiff.operation import OPERANDS
from talweg.compiler.ir.adjoint_program import (
    AdjointInstruction,
    AdjointLoop,
    AdjointNode,
    ForwardPoint,
)
from talweg.compiler.ir.affine import compose
from talweg.compiler.ir.loop_program import Loop, LoopProgram, Node
from talweg.compiler.ir.scheduled_program import (
    AccumulateAdjoint,
    Compute,
    Element,
    ForLoop,
    Gather,
    SaveForBackward,
    ScheduledProgram,
    Statement,
)
from talweg.compiler.ir.scheduled_verifier import verify
from talweg.compiler.passes.addresses import assign_addresses
from talweg.compiler.passes.adjoint import adjoint
from talweg.compiler.passes.differentiation import differentiation_flow
from talweg.compiler.passes.guarded_adjoints import guarded_results
from talweg.compiler.passes.iteration_map import iteration_map
from talweg.compiler.passes.locations import Locations
from talweg.compiler.passes.parallelism import parallel_loops
from talweg.compiler.passes.reaching_definitions import reaching_definitions
from talweg.compiler.passes.saved_values import saved_values
from talweg.compiler.passes.storage import storage_classes


def schedule(program: LoopProgram, wrt: Sequence[str] = ("w",)) -> ScheduledProgram:
    """A program and its adjoint with a storage location for every number, verified.

    Args:
        program: the loops.
        wrt: the spaces by whose numbers derivatives are computed.

    Returns:
        The scheduled program.

    Raises:
        NativeError: if an index of an array is not an affine function of the loop variables, or if
            a gathered number is used in a way that has no location.
    """
    wrt = tuple(wrt)
    iterations = iteration_map(program)
    definitions = reaching_definitions(iterations)
    storage = storage_classes(iterations, definitions)
    flow = differentiation_flow(iterations, definitions, storage, wrt)
    saved = saved_values(iterations, definitions, storage, flow)
    addresses = assign_addresses(iterations, storage, flow, saved)
    locations = Locations(iterations, definitions, storage, flow, addresses, wrt)
    emission = _Emission(locations, parallel_loops(iterations, definitions, storage))
    tape = program.tape
    scheduled = ScheduledProgram(
        forward=emission.forward(program.nodes),
        backward=emission.backward(adjoint(program).body),
        arrays=addresses.sizes,
        outputs=tuple([locations.output(s, k) for s, k in tape.outputs]),
        cotangents=tuple([locations.cotangent(s, k) for s, k in tape.outputs]),
        constants=tape.constants.tolist(),
        wrt=wrt,
        guarded=locations.guarded(guarded_results(tape, wrt)),
    )
    verify(scheduled, tape.sizes)
    return scheduled


@dataclass(frozen=True)
class _Emission:
    """The statements of a scheduled program.

    Attributes:
        locations: the location of every number.
        parallel: the loops whose iterations are independent.
    """

    locations: Locations
    parallel: frozenset[Loop]

    def forward(self, nodes: Sequence[Node]) -> tuple[Statement, ...]:
        """The statements that compute the results of these nodes."""
        statements: list[Statement] = []
        for node in nodes:
            if isinstance(node, Loop):
                body = self.forward(node.body)
                statements.append(
                    ForLoop(node.count, body, node in self.parallel, self._registers(node))
                )
            else:
                number = self.locations.iterations.number[node]
                if number not in self.locations.storage.gathers:
                    statements += self._saved(number)
                    statements.append(self._compute(number))
        return tuple(statements)

    def _saved(self, number: int) -> list[SaveForBackward]:
        """What an instruction saves of its operands, just before it reads them."""
        uses = [(number, j) for j in range(len(OPERANDS))]
        saved = self.locations.addresses.saved
        return [
            SaveForBackward(self.locations.register_of(use), saved[use])
            for use in uses
            if use in saved
        ]

    def _compute(self, number: int) -> Compute:
        op = self.locations.iterations.instructions[number].op
        operands = [self.locations.operand((number, j)) for j in range(op.arity)]
        return Compute(op, tuple(operands), self.locations.targets(number))

    def backward(self, nodes: Sequence[AdjointNode]) -> tuple[Statement, ...]:
        """The statements that compute the derivatives by the operands of these nodes."""
        statements: list[Statement] = []
        for node in nodes:
            if isinstance(node, AdjointLoop):
                body = self.backward(node.body)
                if body:
                    parallel, registers = node.loop in self.parallel, self._registers(node.loop)
                    statements.append(ForLoop(node.count, body, parallel, registers))
            elif self._has_adjoint(node):
                statements.append(self._accumulate(node))
        return tuple(statements)

    def _has_adjoint(self, node: AdjointInstruction) -> bool:
        number = self.locations.iterations.number[node.instruction]
        is_gather = number in self.locations.storage.gathers  # its readers add to the table
        return self.locations.flow.has_adjoint[number] and not is_gather

    def _accumulate(self, node: AdjointInstruction) -> AccumulateAdjoint:
        locations, op = self.locations, node.instruction.op
        number = locations.iterations.number[node.instruction]
        reads, uses = locations.flow.reads[number], [(number, j) for j in range(op.arity)]
        operands = [
            locations.adjoint_operand(use) if name in reads else None
            for use, name in zip(uses, OPERANDS, strict=False)
        ]
        targets = [locations.operand_derivative(use) for use in uses]
        out = locations.result(number) if "out" in reads else None

        return AccumulateAdjoint(
            op=op,
            source=_at_point(locations.derivative(number), node.point),
            operands=tuple([_at_point(x, node.point) for x in operands]),
            out=_at_point(out, node.point),
            targets=tuple([_at_point(x, node.point) for x in targets]),
        )

    def _registers(self, loop: Loop) -> frozenset[int]:
        """The storage classes that a loop writes."""
        inside = self.locations.iterations.inside[loop]
        return frozenset(self.locations.storage.class_of[inside.start : inside.stop].tolist())


def _at_point(x: Any, point: ForwardPoint) -> Any:
    """A location with its indices as functions of the adjoint's loop variables."""
    if isinstance(x, Element):
        return Element(x.array, compose(x.index, point))
    if isinstance(x, Gather):
        return Gather(x.array, compose(x.index, point), compose(x.row, point), x.columns)
    return x
