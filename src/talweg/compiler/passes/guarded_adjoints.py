"""Guarded adjoints: the operations whose adjoint must know whether a derivative reaches them.

On a branch that `where` does not take nothing is added to any derivative: 0 times an infinite slope
would be nan. Most operations need no check: a derivative reaches them for all numbers, or their
equations give 0 for a derivative that is 0. The rest is found here on the tape, operation by
operation; `autodiff/selection.py` has the properties.

Start reading at `guarded_results`.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from talweg.autodiff.operation import GATHER
from talweg.autodiff.selection import keeps_zero, passes
from talweg.compiler.ir.tape import RESULT, Array, Tape


def guarded_results(tape: Tape, wrt: Collection[str]) -> Array:
    """For each operation of a tape whether its adjoint needs a guard, shape (n,).

    Args:
        tape: the program.
        wrt: the spaces by whose numbers derivatives are computed.
    """
    if not any(op.is_selective for op in tape.operations):
        return np.zeros(len(tape), dtype=bool)
    unconditional = _unconditional(tape)
    edges = [
        [(j, keeps_zero(op, j)) for j in range(op.arity) if passes(op, j)] for op in tape.operations
    ]
    result = tape.spaces.index(RESULT)
    asked_for = {tape.spaces.index(name) for name in wrt if name in tape.spaces}
    active, guarded = bytearray(len(tape)), bytearray(len(tape))
    rows = zip(tape.code.tolist(), tape.space.tolist(), tape.index.tolist(), strict=True)
    for i, (code, space, index) in enumerate(rows):
        for j, keeps in edges[code]:
            k = index[j] if space[j] == result else None
            if space[j] in asked_for if k is None else active[k]:
                active[i] = 1
                guarded[i] |= not keeps or (k is not None and guarded[k])
        if unconditional[i] or tape.operations[code] is GATHER:
            guarded[i] = 0
    return np.frombuffer(bytes(guarded), dtype=np.uint8).astype(bool)


def _unconditional(tape: Tape) -> bytearray:
    """For each operation 1 if a derivative reaches it for all numbers, else 0."""
    found, result = bytearray(len(tape)), tape.spaces.index(RESULT)
    for space, k in tape.outputs:
        if space == result:
            found[k] = 1
    always = [
        [j for j in range(op.arity) if passes(op, j) and not op.selectors[j]]
        for op in tape.operations
    ]
    rows = zip(tape.code.tolist(), tape.space.tolist(), tape.index.tolist(), strict=True)
    for i, (code, spaces, index) in reversed(list(enumerate(rows))):
        if found[i]:
            for j in always[code]:
                if spaces[j] == result:
                    found[index[j]] = 1
    return found
