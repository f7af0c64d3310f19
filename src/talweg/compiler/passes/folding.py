"""Constant folding: operations whose result is known before the program runs are removed.

Derivative equations are general: the second derivative of x ** 2.0 contains the power
x ** (2.0 - where(x, 1.0, 1.0)). In the trace of a derivative such terms are constants, and `folded`
computes them. It replaces

- an operation on constants by its result,
- `where` of a constant condition, or of two equal constants, by the one that is chosen,
- x * 1.0, 1.0 * x, x / 1.0, x ** 1.0 and -(-x) by x, and x ** 0.0 by 1.0.

None of these changes a bit of a result.

Start reading at `folded`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from talweg.autodiff.operation import GATHER, Op
from talweg.compiler.ir.tape import CONSTANT, NONE, RESULT, Tape
from talweg.compiler.passes.dead_code import without_dead_code

Operand = tuple[int, int] | float
"""A number of a program: the number of its space and its index, or a constant."""


def folded(tape: Tape) -> Tape:
    """The same program without operations whose result is known, or that nothing depends on.

    >>> from talweg import ops
    >>> from talweg.compiler.frontend.trace import trace
    >>> slope = lambda x: x * ops.pow(x, 2.0 - ops.where(x, 1.0, 1.0)) * 1.0
    >>> print(folded(trace(slope, 3.0).tape))
    t0 = mul x0 x0
    return t0
    """
    result, constant = tape.spaces.index(RESULT), tape.spaces.index(CONSTANT)
    numbers: list[float] = tape.constants.tolist()
    known: dict[int, Operand] = {}  # what is used in place of a result

    def operand(space: int, k: int) -> Operand:
        if space == constant:
            return numbers[k]
        return known.get(k, (space, k)) if space == result else (space, k)

    rows: list[list[Operand]] = []
    defined: list[tuple[str, list[Operand]]] = []
    for i, (code, spaces, indices) in enumerate(
        zip(tape.code.tolist(), tape.space.tolist(), tape.index.tolist(), strict=True)
    ):
        op = tape.operations[code]
        operands = [operand(s, k) for s, k in zip(spaces, indices, strict=True) if s != NONE]
        rows.append(operands)
        defined.append((op.name, operands))
        simpler = _simpler(op, operands)
        if simpler is None and op.name == "neg":
            inner = operands[0]
            if isinstance(inner, tuple) and inner[0] == result and defined[inner[1]][0] == "neg":
                simpler = defined[inner[1]][1][0]
        if simpler is not None:
            known[i] = simpler
    outputs = [operand(s, k) for s, k in tape.outputs]
    return _rebuilt(tape, rows, outputs)


def _simpler(op: Op, operands: Sequence[Operand]) -> Operand | None:
    """What an operation can be replaced by."""
    if op is GATHER:
        return None
    constants = [x for x in operands if isinstance(x, float)]
    if len(constants) == len(operands):
        return float(op.value(*constants))
    x, y = operands[0], operands[1] if len(operands) > 1 else None
    if op.name == "where":
        if isinstance(x, float):
            return operands[1] if x else operands[2]
        return y if isinstance(y, float) and _same(y, operands[2]) else None
    if (op.name, y) in _NEUTRAL:
        return x
    if op.name == "mul" and x == 1.0:
        return y
    return 1.0 if op.name == "pow" and y == 0.0 else None


_NEUTRAL = {("mul", 1.0), ("div", 1.0), ("pow", 1.0)}


def _same(x: float, y: Operand) -> bool:
    """Whether a number is the same constant, zeros with their sign."""
    return isinstance(y, float) and np.float64(x).tobytes() == np.float64(y).tobytes()


def _rebuilt(tape: Tape, rows: Sequence[Sequence[Operand]], outputs: Sequence[Operand]) -> Tape:
    """The tape with these operands and outputs; constants in order of appearance."""
    constant = tape.spaces.index(CONSTANT)
    numbers: list[float] = []

    def place(x: Operand) -> tuple[int, int]:
        if isinstance(x, float):
            numbers.append(x)
            return constant, len(numbers) - 1
        return x

    table = np.array(
        [[*map(place, row), *[(NONE, 0)] * (tape.space.shape[1] - len(row))] for row in rows],
        dtype=np.int64,
    ).reshape(len(rows), 3, 2)
    places = tuple([place(x) for x in outputs])
    sizes = {**tape.sizes, CONSTANT: len(numbers)}
    whole = replace(
        tape,
        space=table[:, :, 0],
        index=table[:, :, 1],
        constants=np.array(numbers),
        outputs=places,
        sizes=sizes,
    )
    return without_dead_code(whole, places)
