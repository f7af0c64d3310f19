"""The arrays of a scheduled program in a function: those it is given, and those on the stack.

A scheduled program has arrays for results that the backward pass needs and for their derivatives.
Small ones are allocated on the stack of the function, where LLVM can replace them by registers;
large ones are in memory, and the function is given their addresses.

Start reading at `allocate_arrays`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from talweg.compiler.codegen.builder import FunctionBuilder
from talweg.compiler.codegen.lower import LoweringContext
from talweg.compiler.codegen.types import CACHE_LINE, DOUBLE, PTR, Parameter
from talweg.compiler.intrinsics.builder_protocol import Name
from talweg.compiler.ir.scheduled_program import ScheduledProgram


def array_parameters(names: Sequence[str]) -> list[Parameter]:
    """Parameters for the addresses of arrays.

    noalias: the arrays of a `Memory` do not overlap. nocapture: no address is stored or returned.
    """
    return [Parameter(name, PTR, noalias=True, nocapture=True) for name in names]


def allocate_arrays(
    function: FunctionBuilder,
    program: ScheduledProgram,
    pointers: Mapping[str, Name],
    samples: int = 1,
) -> dict[str, Name]:
    """The addresses of all arrays of a program; those without one yet are put on the stack.

    Args:
        function: the function that uses the arrays.
        program: the scheduled program.
        pointers: the addresses that are known, by name.
        samples: how many numbers of each sample an array holds.
    """
    stacked = {
        name: function.alloca(DOUBLE, size * samples, align=CACHE_LINE)
        for name, size in program.arrays.items()
        if name not in pointers
    }
    return {**pointers, **stacked}


def zero_adjoints(context: LoweringContext, program: ScheduledProgram) -> None:
    """Set the arrays in which derivatives by results are accumulated to zero."""
    layout = context.layout
    for array, size in program.arrays.items():
        if array.startswith("d"):
            count = size * layout.blocks * context.size
            context.function.memset(layout.pointers[array], count, align=CACHE_LINE)


def padded(size: int) -> int:
    """A number of doubles, rounded up to whole cache lines."""
    in_line = CACHE_LINE // DOUBLE.size
    return -(-size // in_line) * in_line
