"""Sparsity: which outputs of a program depend on which of its inputs.

`dependence` follows the operands of every instruction, in the order of the tape, and collects for
each result the set of inputs that it depends on. An operand that has no derivative, such as the
condition of a choice, does not count. The result is exact for the program as it was traced: what
is missing is zero for all numbers.

The set of inputs is an integer with one bit for each input: the union of two sets is one operation.

Start reading at `dependence`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from talweg.autodiff.operation import Op
from talweg.compiler.ir.tape import NONE, RESULT, Array, Tape


def dependence(tape: Tape, inputs: Sequence[tuple[str, int]]) -> list[Array]:
    """For each output of a program the inputs that it depends on.

    Args:
        tape: the program.
        inputs: the inputs, as the names of their spaces and their indices in these.

    Returns:
        For each output the numbers of the inputs, ascending.

    >>> from talweg.compiler.frontend.trace import trace
    >>> tape = trace(lambda v: [v[0] * v[1], v[2] + 1.0], [1.0, 2.0, 3.0]).tape
    >>> [row.tolist() for row in dependence(tape, [("x", 0), ("x", 1), ("x", 2)])]
    [[0, 1], [2]]
    """
    bits = {(tape.spaces.index(space), k): 1 << j for j, (space, k) in enumerate(inputs)}
    result = tape.spaces.index(RESULT)
    passes = np.array(
        [[_is_differentiable(op, j) for j in range(3)] for op in tape.operations], dtype=bool
    ).reshape(-1, 3)
    counts = passes[tape.code] & (tape.space != NONE)
    last = _last_uses(tape, counts, result)
    sets: dict[int, int] = {}
    for i, (spaces, indices, flags) in enumerate(
        zip(tape.space.tolist(), tape.index.tolist(), counts.tolist(), strict=True)
    ):
        found = 0
        for space, k, is_counted in zip(spaces, indices, flags, strict=True):
            if is_counted:
                found |= sets.get(k, 0) if space == result else bits.get((space, k), 0)
        if found:
            sets[i] = found
        for space, k in zip(spaces, indices, strict=True):
            if space == result and last[k] == i:  # the sets of long programs are large
                sets.pop(k, None)
    rows = [sets.get(k, 0) if s == result else bits.get((s, k), 0) for s, k in tape.outputs]
    return [_members(row) for row in rows]


def _is_differentiable(op: Op, j: int) -> bool:
    return j < op.arity and op.equations[j] != "0.0"


def _last_uses(tape: Tape, counts: Array, result: int) -> list[int]:
    """For each result the last instruction that reads it; -1 for outputs, which are kept."""
    last = np.arange(len(tape))
    readers, columns = np.nonzero(counts & (tape.space == result))
    np.maximum.at(last, tape.index[readers, columns], readers)
    for space, k in tape.outputs:
        if space == result:
            last[k] = NONE
    found: list[int] = last.tolist()
    return found


def _members(bits: int) -> Array:
    """The positions of the bits that are set, ascending."""
    raw = bits.to_bytes(-(-bits.bit_length() // 8), "little")
    return np.flatnonzero(np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little"))
