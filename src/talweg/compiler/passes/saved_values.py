"""Saved values: which numbers the adjoint reads after their register is overwritten.

Only numbers that derivative equations mention are saved: both factors of a product, the result
of a tanh, never the partial sums. If the adjoint reads every number of a storage class, the
class is saved where it is written; if only some of them (of a running sum the last, which is the
argument of a relu), the reader saves the operand just before it reads it.

Start reading at `saved_values`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talweg.autodiff.operation import OPERANDS
from talweg.compiler.passes.differentiation import DifferentiationFlow
from talweg.compiler.passes.iteration_map import IterationMap, Use
from talweg.compiler.passes.reaching_definitions import Definitions
from talweg.compiler.passes.storage import Storage


@dataclass(frozen=True)
class SavedValues:
    """What the adjoint needs in arrays.

    Attributes:
        classes: the storage classes of which every number is needed in an array.
        operands: the operands that their reader saves, in order of the text; their classes are
            in registers and not among `classes`.
    """

    classes: frozenset[int]
    operands: tuple[Use, ...]


def saved_values(
    iterations: IterationMap,
    definitions: Definitions,
    storage: Storage,
    flow: DifferentiationFlow,
) -> SavedValues:
    """What the adjoint reads and a register would lose.

    Args:
        iterations: the enumerated program.
        definitions: which instructions each operand reads.
        storage: the storage classes.
        flow: what the adjoint reads.
    """
    classes: set[int] = set()
    operands: dict[Use, int] = {}  # and their classes
    for number, reads in enumerate(flow.reads):
        if "out" in reads:
            classes.add(int(storage.class_of[number]))
        for j, name in enumerate(OPERANDS):
            use = (number, j)
            if name not in reads or use not in definitions:
                continue
            first = definitions[use][0]
            if first in storage.gathers:
                continue
            own = int(storage.class_of[first])
            needed = len(np.unique(iterations.indices_of(use)))
            if not storage.in_register[own] or needed == storage.sizes[own]:
                classes.add(own)
            else:
                operands[use] = own
    return SavedValues(
        classes=frozenset(classes),
        operands=tuple([use for use, own in operands.items() if own not in classes]),
    )
