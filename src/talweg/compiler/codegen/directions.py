"""The native function `directions`: a linear map of many directions in one call.

The program has a space `d`, the direction, and its outputs are linear in `d`: they are derivatives
of a function along the direction. Statements that do not depend on `d` come first
(`passes/hoisting.py`). They are computed once, in single numbers. The other statements are computed
for as many directions at a time as a vector has lanes.

Start reading at `kernels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from talweg.compiler.codegen.builder import FunctionBuilder, Module
from talweg.compiler.codegen.entry_points import fits_on_stack, write_outputs
from talweg.compiler.codegen.lower import LaneLayout, LoweringContext
from talweg.compiler.codegen.memory_layout import Field, MemoryLayout, open_arrays
from talweg.compiler.codegen.program_arrays import array_parameters, padded
from talweg.compiler.codegen.types import CACHE_LINE, DOUBLE, PTR, Parameter
from talweg.compiler.intrinsics.builder_protocol import Name
from talweg.compiler.ir.scheduled_program import (
    Compute,
    Element,
    ForLoop,
    ScheduledProgram,
    Statement,
    VirtualRegister,
)
from talweg.errors import CompilerError

DIRECTION = "d"
"""The space of the direction."""


@dataclass(frozen=True)
class DirectionKernel:
    """A specification of the function `directions`.

    Attributes:
        program: the scheduled program; it has no backward part.
        size: how many numbers a direction has.
        lanes: how many directions are computed at a time.
        rounds: how often that many.
    """

    program: ScheduledProgram
    size: int
    lanes: int
    rounds: int

    @property
    def layout(self) -> MemoryLayout:
        """The arrays: number k of direction i is in `d[i // lanes, k, i % lanes]`, as in `out`."""
        vectors = [Field(name, (name,)) for name in ("w", "x", "c", "work")]
        return MemoryLayout(
            (
                *vectors,
                Field(DIRECTION, (self.rounds, self.size, self.lanes)),
                Field("out", (self.rounds, len(self.program.outputs), self.lanes)),
            )
        )

    @property
    def hoisted(self) -> int:
        """How many of the first statements are computed once for all directions.

        None of them depends on the direction, and none writes to an array that later ones write to.
        """
        forward = self.program.forward
        reads = [any(_reads_direction(c) for c in _computations([s])) for s in forward]
        first = reads.index(True) if True in reads else len(forward)
        later = _arrays_written(forward[first:])
        return 0 if later & _arrays_written(forward[:first]) else first

    @property
    def sizes(self) -> dict[str, int]:
        """How many doubles each array of the program takes."""
        own = _arrays_written(self.program.forward[self.hoisted :])
        return {
            name: size * (self.lanes if name in own else 1)
            for name, size in self.program.arrays.items()
        }

    @property
    def work_size(self) -> int:
        """How many numbers the memory to work in must hold."""
        sizes = self.sizes.values()
        return 0 if fits_on_stack(sizes) else sum(map(padded, sizes))


def kernels(kernel: DirectionKernel) -> str:
    """The IR of `directions`.

    Returns:
        The text of a module with the function `directions(table)`; the table has the addresses of
        the arrays of `DirectionKernel.layout`.
    """
    module = Module()
    layout, sizes = kernel.layout, kernel.sizes
    on_stack = kernel.work_size == 0
    shell = module.function("directions", [Parameter("table", PTR)])
    names = [*(field.name for field in layout.fields), *(() if on_stack else sizes)]
    body = module.function("directions.body", array_parameters(names), internal=True)
    given = open_arrays(shell, layout, shell.parameters["table"], {})
    pointers, offset = [view.pointer for view in given.values()], 0
    for size in () if on_stack else sizes.values():
        pointers.append(given["work"].at(offset).pointer)
        offset += padded(size)
    shell.call(body, *pointers)
    shell.ret()
    arrays = dict(body.parameters)
    if on_stack:
        arrays |= {x: body.alloca(DOUBLE, n, align=CACHE_LINE) for x, n in sizes.items()}
    _append_body(body, kernel, arrays)
    body.ret()
    return str(module)


def _append_body(body: FunctionBuilder, kernel: DirectionKernel, arrays: dict[str, Name]) -> None:
    """The common statements once, then the others for each round of directions."""
    program, lanes = kernel.program, kernel.lanes
    once, each = program.forward[: kernel.hoisted], program.forward[kernel.hoisted :]
    common = LoweringContext(body, LaneLayout(arrays), True, once)
    common.statements(once, common.instances)
    registers = sorted(_registers_written(once), key=lambda r: r.number)
    shared = frozenset({"w", "x", "c"} | _arrays_written(once))
    steps = {DIRECTION: kernel.size * lanes, "out": len(program.outputs) * lanes}

    def one_round(i: Name) -> None:
        own = {x: body.gep(arrays[x], body.imul(i, step)) for x, step in steps.items()}
        layout = LaneLayout({**arrays, **own}, lanes, broadcast=shared)
        context = LoweringContext(body, layout, True, each)
        (instance,) = context.instances
        for register in registers:  # a later statement may read what is left in it
            number = common.read(register, common.instances[0])
            context.write(register, context.builder.broadcast(number), instance)
        context.statements(each, [instance])
        write_outputs(context, program.outputs, instance)

    body.for_range(kernel.rounds, one_round)


# ---- what statements read and write --------------------------------------------------------------


def _computations(statements: Sequence[Statement]) -> Iterator[Compute]:
    """All operations of forward statements; without an adjoint nothing is saved for one."""
    for s in statements:
        if isinstance(s, ForLoop):
            yield from _computations(s.body)
        elif isinstance(s, Compute):
            yield s
        else:
            raise CompilerError(f"directions: {s} is no statement of a program without adjoint")


def _reads_direction(s: Compute) -> bool:
    return any(isinstance(x, Element) and x.array == DIRECTION for x in s.operands)


def _arrays_written(statements: Sequence[Statement]) -> frozenset[str]:
    targets = [x for s in _computations(statements) for x in s.targets]
    return frozenset(x.array for x in targets if isinstance(x, Element))


def _registers_written(statements: Sequence[Statement]) -> frozenset[VirtualRegister]:
    targets = [x for s in _computations(statements) for x in s.targets]
    return frozenset(x for x in targets if isinstance(x, VirtualRegister))
