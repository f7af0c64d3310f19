"""Reaching definitions: the instructions whose results each operand reads.

In a loop an operand may read the results of several instructions: the running sum of a loop is
the initial term in the first iteration, and the previous sum in all others. They are found by
enumerating all iterations.

Start reading at `reaching_definitions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from talweg.compiler.ir.tape import RESULT
from talweg.compiler.passes.iteration_map import IterationMap, Use

Definitions: TypeAlias = Mapping[Use, tuple[int, ...]]
"""For each operand that is a result, the numbers of its instructions, in order of the text."""


def reaching_definitions(iterations: IterationMap) -> Definitions:
    """For each operand that is a result, the instructions that compute what it reads.

    Args:
        iterations: the enumerated program.

    Returns:
        The operands in order of the text, each with its instructions.
    """
    found: dict[Use, tuple[int, ...]] = {}
    for number, node in enumerate(iterations.instructions):
        for j, operand in enumerate(node.operands):
            if operand.space == RESULT:
                read = iterations.indices_of((number, j))
                found[number, j] = tuple(np.unique(iterations.owner[read]).tolist())
    return found
