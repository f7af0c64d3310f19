"""Dead-code elimination: the part of a tape that some of its outputs depend on.

Start reading at `without_dead_code`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from talweg.compiler.ir.tape import NONE, RESULT, Tape


def without_dead_code(tape: Tape, outputs: Sequence[tuple[int, int]]) -> Tape:
    """The tape of some outputs: only the instructions that they depend on.

    Args:
        tape: the program.
        outputs: what is to be returned, as pairs (space number, index).

    Returns:
        A tape with the same inputs, parameters and constants; its results are renumbered.

    >>> from talweg.compiler.frontend.trace import trace
    >>> tape = trace(lambda x: [x * 2.0, x + 3.0, x - 4.0], 1.0).tape
    >>> print(without_dead_code(tape, tape.outputs[1:2]))
    t0 = add x0 c1
    return t0
    """
    result = tape.spaces.index(RESULT)
    needed = np.zeros(len(tape), dtype=bool)
    for space, index in outputs:
        if space == result:
            needed[index] = True
    operands = np.where(tape.space == result, tape.index, NONE)
    for i in range(len(tape) - 1, -1, -1):
        if needed[i]:
            read = operands[i]
            needed[read[read != NONE]] = True
    number = np.cumsum(needed) - 1
    spaces, indices = tape.space[needed], tape.index[needed]
    is_result = spaces == result  # the indices in other spaces stay
    indices[is_result] = number[indices[is_result]]
    renumbered = tuple([(s, int(number[k]) if s == result else k) for s, k in outputs])
    return replace(tape, code=tape.code[needed], space=spaces, index=indices, outputs=renumbered)
