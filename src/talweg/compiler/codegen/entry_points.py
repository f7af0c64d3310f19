"""The native functions of a traced program: `value` and `gradient`.

Each takes the address of its argument table: the addresses of the arrays that it reads and writes
(`ARGUMENTS`). They store nothing between calls.

Start reading at `kernels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.lower import Instance, LaneLayout, LinearIndex, LoweringContext
from talweg.compiler.codegen.memory_layout import MemoryLayout, open_arrays
from talweg.compiler.codegen.program_arrays import (
    allocate_arrays,
    array_parameters,
    padded,
    zero_adjoints,
)
from talweg.compiler.codegen.types import PTR, Parameter
from talweg.compiler.intrinsics.builder_protocol import Name
from talweg.compiler.ir.affine import Affine
from talweg.compiler.ir.scheduled_program import Element, Operand, ScheduledProgram

ARGUMENTS = MemoryLayout.vectors(("w", "x", "c", "out", "cotangents", "dw", "dx", "work"))
"""The arrays of the argument table: parameters, inputs, constants, outputs, the derivatives by the
outputs, those by parameters and inputs, and memory to work in."""

_STACK_LIMIT = 4096
"""Arrays of at most so many numbers in all are on the stack, where LLVM can replace them by
registers."""

_SHORTEST_LOOP = 16
"""So many outputs with regular places are written by a loop."""


def kernels(program: ScheduledProgram, exact: bool) -> str:
    """The IR of `value` and `gradient`.

    Args:
        program: the scheduled program.
        exact: whether every bit must be that of the eager engine.

    Returns:
        The text of a module with the two functions. `value` computes the outputs;
        `gradient` does too, and adds to the derivatives in `dw` and `dx`.
    """
    module = Module(exact)
    _kernel(module, "value", program, backward=False)
    _kernel(module, "gradient", program, backward=True)
    return str(module)


def work_size(program: ScheduledProgram) -> int:
    """How many numbers the memory to work in must hold."""
    return 0 if _on_stack(program) else sum(map(padded, program.arrays.values()))


def _on_stack(program: ScheduledProgram) -> bool:
    return fits_on_stack(program.arrays.values())


def fits_on_stack(sizes: Iterable[int]) -> bool:
    """Whether arrays of these sizes are allocated on the stack."""
    return sum(sizes) <= _STACK_LIMIT


def _kernel(module: Module, name: str, program: ScheduledProgram, backward: bool) -> None:
    """A function that loads the addresses, and one that is given them as parameters.

    Only parameters can be declared not to overlap.
    """
    arrays = {} if _on_stack(program) else dict(program.arrays)
    shell = module.function(name, [Parameter("table", PTR)])
    names = [*(field.name for field in ARGUMENTS.fields), *arrays]
    body = module.function(f"{name}.body", array_parameters(names), internal=True)

    given = open_arrays(shell, ARGUMENTS, shell.parameters["table"], {})
    pointers, offset = [view.pointer for view in given.values()], 0
    for size in arrays.values():
        pointers.append(given["work"].at(offset).pointer)
        offset += padded(size)
    shell.call(body, *pointers)
    shell.ret()

    statements = [*program.forward, *(program.backward if backward else ())]
    layout = LaneLayout(allocate_arrays(body, program, body.parameters))
    context = LoweringContext(
        body,
        layout,
        not module.exact,
        statements,
        reorder=not module.exact,
        is_guarded=program.is_guarded,
    )
    _lower(context, program, backward)
    body.ret()


def _lower(context: LoweringContext, program: ScheduledProgram, backward: bool) -> None:
    (instance,) = context.instances
    context.statements(program.forward, [instance])
    write_outputs(context, program.outputs, instance)
    if not backward:
        return
    zero_adjoints(context, program)
    for k, target in enumerate(program.cotangents):
        if target is not None:
            cotangent = context.read(Element("cotangents", Affine(k)), instance)
            context.add(target, cotangent, instance)
    context.statements(program.backward, [instance])


def write_outputs(context: LoweringContext, outputs: Sequence[Operand], instance: Instance) -> None:
    """Copy the outputs to the array `out`: by a loop where many of them have regular places."""
    k = 0
    while k < len(outputs):
        count, step = _run(outputs, k)
        if count < _SHORTEST_LOOP:
            location = Element("out", Affine(k))
            context.write(location, context.read(outputs[k], instance), instance)
            k += 1
            continue
        first = outputs[k]
        assert isinstance(first, Element)
        source = Element(first.array, Affine(first.index.base, (step,)))
        target = Element("out", Affine(k, (1,)))

        def copy(i: Name, source: Element = source, target: Element = target) -> None:
            inside = instance.inside(LinearIndex(0, ((i, 1),)))
            context.write(target, context.read(source, inside), inside)

        context.function.for_range(count, copy)
        k += count


def _run(outputs: Sequence[Operand], start: int) -> tuple[int, int]:
    """How many outputs from one on are in one array at a constant distance, and the distance."""
    bases: list[int] = []
    for x in outputs[start:]:
        if not isinstance(x, Element) or x.array != getattr(outputs[start], "array", None):
            break
        if len(bases) > 1 and x.index.base - bases[-1] != bases[1] - bases[0]:
            break
        bases.append(x.index.base)
    return len(bases), bases[1] - bases[0] if len(bases) > 1 else 0
