"""Parallel loops: those of which several iterations may be computed at once.

A loop is parallel if no iteration reads a result of another one, and if no instruction outside
the loop, and no output, reads a virtual register that the loop writes. Decided by enumerating
all iterations.

Start reading at `parallel_loops`.
"""

from __future__ import annotations

from talweg.compiler.ir.loop_program import Loop
from talweg.compiler.passes.iteration_map import IterationMap, Use
from talweg.compiler.passes.reaching_definitions import Definitions
from talweg.compiler.passes.storage import Storage


def parallel_loops(
    iterations: IterationMap, definitions: Definitions, storage: Storage
) -> frozenset[Loop]:
    """The loops whose iterations are independent.

    Args:
        iterations: the enumerated program.
        definitions: which instructions each operand reads.
        storage: the storage classes.
    """
    returned = {
        int(owner) for owner in iterations.owner[iterations.returned] if storage.in_register[owner]
    }
    return frozenset(
        loop
        for loop, inside in iterations.inside.items()
        if returned.isdisjoint(inside) and _is_parallel(loop, iterations, definitions, storage)
    )


def _is_parallel(
    loop: Loop, iterations: IterationMap, definitions: Definitions, storage: Storage
) -> bool:
    inside = iterations.inside[loop]
    depth = iterations.around[inside.start].index(loop)
    for use, makers in definitions.items():
        if makers[-1] < inside.start or makers[0] >= inside.stop:
            continue  # most pairs; what follows is for those that may be inside
        if not any(maker in inside for maker in makers):
            continue
        if use[0] not in inside:
            if storage.in_register[makers[0]]:
                return False
        elif _reads_other_iteration(use, inside, depth, iterations):
            return False
    return True


def _reads_other_iteration(use: Use, inside: range, depth: int, iterations: IterationMap) -> bool:
    """Whether an operand reads a result of another iteration of the same execution of a loop."""
    reader, read = iterations.positions[use[0]], iterations.indices_of(use)
    owner, points = iterations.owner[read], iterations.points
    own = (owner >= inside.start) & (owner < inside.stop)
    reader, read = reader[own], read[own]
    same_execution = (points[reader, :depth] == points[read, :depth]).all(axis=1)
    other_iteration = points[reader, depth] != points[read, depth]
    return bool((same_execution & other_iteration).any())
