"""The tape: a traced program as a flat list of operations.

Instruction i applies one operation to up to three operands and writes result i. An operand
is a *space* and an index in it: a parameter, an argument, a constant, or an earlier result.
All of it is stored in NumPy arrays, one row an instruction, because a program may have
millions of instructions.

Start reading at `Tape`; `verify` checks one, and `run`, the reference interpreter, defines what
one computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from talweg.autodiff.operation import GATHER, Op
from talweg.errors import CompilerError

Array: TypeAlias = np.ndarray[Any, Any]

RESULT = "t"
"""The space of earlier results."""

CONSTANT = "c"
"""The space of constants, numbered in order of appearance; each appearance has its own number."""

NONE = -1
"""The space number of an operand that an operation does not have."""


@dataclass(frozen=True, eq=False)
class Tape:
    """A straight-line program.

    Attributes:
        operations: the operations that occur.
        spaces: the names of the spaces; `RESULT` is one of them.
        code: for each instruction the number of its operation, shape (n,).
        space: for each operand the number of its space or `NONE`, shape (n, 3).
        index: for each operand its index in that space, shape (n, 3), 0 where there is none.
        constants: the numbers in the space `CONSTANT`.
        outputs: what the program returns, as pairs (space number, index).
        sizes: for each space but `RESULT` the count of its numbers.

    As text a tape has one line an instruction. An operand is printed as its space and its
    index: w parameters, x inputs, c constants, t results.

    >>> from talweg import Value, exp
    >>> from talweg.compiler.frontend.trace import trace
    >>> w = Value(0.5)
    >>> print(trace(lambda x, y: exp(w * x) - y, 2.0, 3.0).tape)
    t0 = mul w0 x0
    t1 = exp t0
    t2 = sub t1 x1
    return t2
    """

    operations: tuple[Op, ...]
    spaces: tuple[str, ...]
    code: Array
    space: Array
    index: Array
    constants: Array
    outputs: tuple[tuple[int, int], ...]
    sizes: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.code)

    def __str__(self) -> str:
        return "\n".join([*map(self.line, range(len(self))), f"return {self._returned()}"])

    def line(self, i: int) -> str:
        """Instruction i as text, such as `t7 = mul w2 x1`."""
        op = self.operations[self.code[i]]
        operands = zip(self.space[i, : op.arity], self.index[i, : op.arity], strict=True)
        return f"{RESULT}{i} = {op.name} {' '.join(self._name(s, k) for s, k in operands)}"

    def _name(self, space: int, index: int) -> str:
        return f"{self.spaces[space]}{index}"

    def _returned(self) -> str:
        return " ".join(self._name(*output) for output in self.outputs)


# ---- other inputs --------------------------------------------------------------------------


def rearranged(tape: Tape, inputs: Mapping[str, Sequence[tuple[str, int] | None]]) -> Tape:
    """The same program with its inputs in other spaces.

    Args:
        tape: the program.
        inputs: for each new space its numbers: the space and the index of each in the tape; None
            for a number that the program does not read. Each number that the program reads is
            there once.

    >>> from talweg.compiler.frontend.trace import trace
    >>> tape = trace(lambda x, y: x * x - y, 2.0, 3.0).tape
    >>> print(rearranged(tape, {"w": [("x", 1)], "x": [("x", 0)]}))
    t0 = mul x0 x0
    t1 = sub t0 w0
    return t1
    """
    spaces = (*inputs, CONSTANT, RESULT)
    space, index = tape.space.copy(), tape.index.copy()
    moved: dict[tuple[int, int], tuple[int, int]] = {}
    for old, name in enumerate(tape.spaces):
        is_old = tape.space == old
        if name in (CONSTANT, RESULT):
            space[is_old] = spaces.index(name)
            continue
        own = {}
        for new, numbers in enumerate(inputs.values()):
            own.update({x[1]: (new, k) for k, x in enumerate(numbers) if x and x[0] == name})
        size = tape.sizes.get(name, 0)
        table = np.array([own.get(k, (NONE, 0)) for k in range(size)]).reshape(size, 2)
        space[is_old], index[is_old] = table[tape.index[is_old]].T
        moved.update({(old, k): place for k, place in own.items()})
    outputs = [
        (spaces.index(tape.spaces[s]), k) if tape.spaces[s] in (CONSTANT, RESULT) else moved[s, k]
        for s, k in tape.outputs
    ]
    sizes = {name: len(numbers) for name, numbers in inputs.items()}
    return replace(
        tape,
        spaces=spaces,
        space=space,
        index=index,
        outputs=tuple(outputs),
        sizes={**sizes, CONSTANT: tape.sizes[CONSTANT]},
    )


# ---- the verifier --------------------------------------------------------------------------


def verify(tape: Tape) -> None:
    """Check that a tape is a program.

    Raises:
        CompilerError: at the first instruction that is not valid: it has an operand too many
            or too few, an index outside its space, or a result that is not computed yet.
    """
    n = len(tape)
    if tape.space.shape != (n, 3) or tape.index.shape != (n, 3):
        raise CompilerError(f"tape: {n} instructions, but operands of shape {tape.space.shape}")
    arity = np.array([op.arity for op in tape.operations], dtype=np.int64)[tape.code]
    present = tape.space != NONE
    _refuse(tape, present != (np.arange(3) < arity[:, None]), "has a wrong number of operands")
    sizes = np.array([tape.sizes.get(name, 0) for name in tape.spaces], dtype=np.int64)
    limit = sizes[tape.space]
    is_result = tape.space == tape.spaces.index(RESULT)
    limit = np.where(is_result, np.arange(n)[:, None], limit)
    outside = present & ((tape.index < 0) | (tape.index >= limit))
    _refuse(tape, outside & is_result, "reads a result that is not computed yet")
    _refuse(tape, outside, "has an index outside its space")
    for space, index in tape.outputs:
        size = n if tape.spaces[space] == RESULT else tape.sizes[tape.spaces[space]]
        if not 0 <= index < size:
            raise CompilerError(
                f"tape: output {tape.spaces[space]}{index} is outside its space of {size} numbers"
            )


def _refuse(tape: Tape, wrong: Array, what: str) -> None:
    if wrong.any():
        i = int(np.argmax(wrong.any(axis=1)))
        raise CompilerError(f"tape: instruction {i} {what}: {tape.code[i]} {tape.index[i]}")


# ---- the reference interpreter -------------------------------------------------------------


def run(tape: Tape, inputs: Mapping[str, Sequence[float]]) -> list[float]:
    """Compute a tape, one instruction after the other.

    Args:
        tape: the program.
        inputs: the numbers of every space but the constants and the results.

    Returns:
        The outputs.
    """
    spaces: dict[str, Any] = {**inputs, CONSTANT: tape.constants.tolist(), RESULT: []}
    by_number = [spaces[name] for name in tape.spaces]
    results = spaces[RESULT]
    for code, space, index in zip(
        tape.code.tolist(), tape.space.tolist(), tape.index.tolist(), strict=True
    ):
        op = tape.operations[code]
        operands = [(by_number[s], k) for s, k in zip(space, index, strict=True) if s != NONE]
        results.append(computed(op, operands))
    return [by_number[s][k] for s, k in tape.outputs]


def computed(op: Op, operands: Sequence[tuple[Sequence[float], int]]) -> float:
    """The result of an operation; each operand is a pair (the numbers of its space, index)."""
    if op is GATHER:
        return gathered(operands)[0]
    return op.value(*[numbers[k] for numbers, k in operands])


def gathered(operands: Sequence[tuple[Sequence[float], int]]) -> tuple[float, int]:
    """The number that a `GATHER` reads from its table of parameters, and its index there.

    The operands are the number in the table's first row, the number of the row, and how many
    columns the table has.
    """
    (table, first), (numbers, row), (constants, columns) = operands
    index = first + int(numbers[row]) * int(constants[columns])
    return table[index], index
