"""Storage classes: which results share one storage location, and which of them fit in a register.

An operand of an instruction is one location in machine code, so all instructions whose results
it reads must write to one location: together they are a *storage class*. (The initial term of a
sum and the sums in a loop are one class: the running sum.)

A class is in one virtual register if every read finds the number that it needs there: if no
other number of the class is written between the number and its last read. Then, in the adjoint,
the derivative by these numbers needs one register too. Any other class is in an array.

Decided by enumerating all iterations; no dependence analysis is needed.

Start reading at `storage_classes`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talweg.autodiff.operation import GATHER
from talweg.compiler.ir.tape import RESULT, Array
from talweg.compiler.passes.iteration_map import IterationMap
from talweg.compiler.passes.reaching_definitions import Definitions
from talweg.errors import NativeError


@dataclass(frozen=True, eq=False)
class Storage:
    """The storage class of every result. A class has the number of its first instruction.

    Attributes:
        class_of: for each instruction the number of its class, shape (instructions,).
        class_of_result: for each operation of the tape likewise, shape (n,).
        in_register: for each instruction whether its class is in a virtual register.
        sizes: for each class the count of its results, by its number; 0 elsewhere.
        gathers: the instructions whose result is a number of a table of parameters. They
            have no storage of their own: their readers read the table.
    """

    class_of: Array
    class_of_result: Array
    in_register: Array
    sizes: Array
    gathers: frozenset[int]

    def is_written_once(self, number: int) -> bool:
        """Whether a class is a register that still holds its number when the adjoint reads it."""
        return bool(self.in_register[number]) and int(self.sizes[number]) == 1


def storage_classes(iterations: IterationMap, definitions: Definitions) -> Storage:
    """The storage class of every result, and whether it is in a register.

    Args:
        iterations: the enumerated program.
        definitions: which instructions each operand reads.

    Raises:
        NativeError: if an operand is gathered from a table in some iterations and computed
            in others, or if a gathered number is an output.
    """
    gathers = frozenset(i for i, node in enumerate(iterations.instructions) if node.op is GATHER)
    _refuse_mixed_gathers(iterations, definitions, gathers)
    class_of = _united(len(iterations.instructions), definitions)
    class_of_result = class_of[iterations.owner]
    return Storage(
        class_of=class_of,
        class_of_result=class_of_result,
        in_register=_fits_in_register(iterations, class_of_result)[class_of],
        sizes=np.bincount(class_of_result, minlength=len(class_of)),
        gathers=gathers,
    )


def _refuse_mixed_gathers(
    iterations: IterationMap, definitions: Definitions, gathers: frozenset[int]
) -> None:
    for number, j in definitions:
        if len({maker in gathers for maker in definitions[number, j]}) > 1:
            raise NativeError("an operand is sometimes gathered from a table, sometimes computed")
    if any(iterations.owner[k] in gathers for k in iterations.returned):
        raise NativeError("a number gathered from a table is returned as it is")


def _united(count: int, definitions: Definitions) -> Array:
    """For each instruction the smallest one of its class; classes are united by common reads."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for makers in definitions.values():
        for other in makers[1:]:
            a, b = sorted([root(makers[0]), root(other)])
            parent[b] = a
    return np.array([root(i) for i in range(count)], dtype=np.int64)


def _fits_in_register(iterations: IterationMap, class_of_result: Array) -> Array:
    """For each class, by its number, whether every read comes before the next write."""
    tape = iterations.tape
    n = len(tape)
    order = np.argsort(class_of_result, kind="stable")
    overwritten = np.full(n, n)  # when the next number of the class is written
    same = class_of_result[order[1:]] == class_of_result[order[:-1]]
    overwritten[order[:-1][same]] = order[1:][same]
    fits = np.ones(len(iterations.instructions), dtype=bool)
    result = tape.spaces.index(RESULT)
    for j in range(3):
        readers = np.flatnonzero(tape.space[:, j] == result)
        read = tape.index[readers, j]
        fits[class_of_result[read[readers > overwritten[read]]]] = False
    for k in iterations.returned:
        if overwritten[k] < n:
            fits[class_of_result[k]] = False
    return fits
