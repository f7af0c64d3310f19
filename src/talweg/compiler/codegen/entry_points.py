"""The native functions of a traced program: `value` and `gradient`.

Each takes the address of its argument table: the addresses of the arrays that it reads and writes
(`ARGUMENT_TABLE`). They store nothing between calls.

Start reading at `kernels`.
"""

from __future__ import annotations

from collections.abc import Mapping

from talweg.compiler.codegen.builder import (
    CACHE_LINE,
    DOUBLE,
    PTR,
    FunctionBuilder,
    Module,
    Parameter,
)
from talweg.compiler.codegen.lower import Layout, LoweringContext
from talweg.compiler.intrinsics.builder_protocol import Name
from talweg.compiler.ir.loop_program import Affine
from talweg.compiler.ir.scheduled_program import Element, ScheduledProgram

ARGUMENT_TABLE = ("w", "x", "c", "out", "cotangents", "dw", "dx", "work")
"""The arrays of the argument table: parameters, inputs, constants, outputs, the derivatives by the
outputs, those by parameters and inputs, and memory to work in."""

_STACK_LIMIT = 4096
"""Arrays of at most so many numbers in all are on the stack, where LLVM can replace them by
registers."""


def kernels(code: ScheduledProgram, exact: bool) -> str:
    """The IR of `value` and `gradient`.

    Args:
        code: the scheduled program.
        exact: whether every bit must be that of the eager engine.

    Returns:
        The text of a module with the two functions. `value` computes the outputs;
        `gradient` does too, and adds to the derivatives in `dw` and `dx`.
    """
    module = Module(exact)
    _kernel(module, "value", code, backward=False)
    _kernel(module, "gradient", code, backward=True)
    return str(module)


def work_size(code: ScheduledProgram) -> int:
    """How many numbers the memory to work in must hold."""
    return 0 if _on_stack(code) else sum(map(padded, code.arrays.values()))


def _on_stack(code: ScheduledProgram) -> bool:
    return sum(code.arrays.values()) <= _STACK_LIMIT


def padded(size: int) -> int:
    """A number of doubles, rounded up to whole cache lines."""
    in_line = CACHE_LINE // DOUBLE.size
    return -(-size // in_line) * in_line


def _kernel(module: Module, name: str, code: ScheduledProgram, backward: bool) -> None:
    """A function that loads the addresses, and one that is given them as parameters.

    Only parameters can be declared not to overlap.
    """
    arrays = {} if _on_stack(code) else dict(code.arrays)
    shell = module.function(name, [Parameter("table", PTR)])
    names = [*ARGUMENT_TABLE, *arrays]
    body = module.function(f"{name}.body", array_parameters(names), internal=True)

    table = shell.parameters["table"]
    given = [load_pointer(shell, table, k) for k in range(len(ARGUMENT_TABLE))]
    work, offset = given[ARGUMENT_TABLE.index("work")], 0
    for size in arrays.values():
        given.append(shell.gep(work, offset))
        offset += padded(size)
    shell.call(body, *given)
    shell.ret()

    program = [*code.forward, *(code.backward if backward else ())]
    layout = Layout(allocate_arrays(body, code, body.parameters))
    _lower(LoweringContext(body, layout, not module.exact, program), code, backward)
    body.ret()


def array_parameters(names: list[str]) -> list[Parameter]:
    """Parameters for the addresses of arrays.

    noalias: the arrays of a `Memory` do not overlap. nocapture: no address is stored or returned.
    """
    return [Parameter(name, PTR, noalias=True, nocapture=True) for name in names]


def allocate_arrays(
    function: FunctionBuilder,
    code: ScheduledProgram,
    pointers: Mapping[str, Name],
    samples: int = 1,
) -> dict[str, Name]:
    """The addresses of all arrays of a program; those without one yet are put on the stack.

    Args:
        function: the function that uses the arrays.
        code: the program.
        pointers: the addresses that are known, by name.
        samples: how many numbers of each sample an array holds.
    """
    stacked = {
        name: function.alloca(DOUBLE, size * samples, align=CACHE_LINE)
        for name, size in code.arrays.items()
        if name not in pointers
    }
    return {**pointers, **stacked}


def load_pointer(function: FunctionBuilder, table: Name, k: int) -> Name:
    """Address number k of a table of addresses."""
    return function.load(function.gep(table, k, PTR), PTR)


def _lower(context: LoweringContext, code: ScheduledProgram, backward: bool) -> None:
    (instance,) = context.instances
    context.statements(code.forward, [instance])
    for k, place in enumerate(code.outputs):
        context.write(Element("out", Affine(k)), context.read(place, instance), instance)
    if not backward:
        return
    zero_adjoints(context, code)
    for k, target in enumerate(code.cotangents):
        if target is not None:
            cotangent = context.read(Element("cotangents", Affine(k)), instance)
            context.add(target, cotangent, instance)
    context.statements(code.backward, [instance])


def zero_adjoints(context: LoweringContext, code: ScheduledProgram) -> None:
    """Set the arrays in which derivatives by results are accumulated to zero."""
    layout = context.layout
    for array, size in code.arrays.items():
        if array.startswith("d"):
            count = size * layout.blocks * context.size
            context.function.memset(layout.pointers[array], count, align=CACHE_LINE)
