"""The tape: a traced program as a flat list of operations.

Instruction i applies one operation to up to three operands and writes result i. An operand
names a *space* and an index in it: a parameter, an argument, a constant, or an earlier
result. Everything is kept in NumPy arrays, one row an instruction, because a program
may have millions of them.

Start reading at `Tape`; `run` says what a tape means.
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
"""The space of constants, numbered in order of appearance, each appearance anew."""

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
        sizes: for each space but `RESULT`, how many numbers it has.
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


def shapes_of(tape: Tape) -> Array:
    """For each instruction a number, from 0 on, that is equal where operation and spaces are."""
    if not len(tape):
        return np.zeros(0, dtype=np.int64)
    base = len(tape.spaces) + 1
    key = tape.code.astype(np.int64)
    for operand in range(3):
        key = key * base + tape.space[:, operand] + 1
    most = int(key.max()) + 1
    if most > 2**20:
        return np.unique(key, return_inverse=True)[1].reshape(-1)
    occurs = np.zeros(most, dtype=np.int64)  # few keys are possible: count instead of sorting
    occurs[key] = 1
    shapes: Array = (np.cumsum(occurs) - 1)[key]
    return shapes


def verify(tape: Tape) -> None:
    """Check that a tape is a program.

    Raises:
        CompilerError: at the first instruction that is not: an operand that is missing or
            too many, an index outside its space, a result used before it is made.
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
    _refuse(tape, outside & is_result, "uses a result that is not made yet")
    _refuse(tape, outside, "has an index outside its space")
    for space, index in tape.outputs:
        size = n if tape.spaces[space] == RESULT else tape.sizes[tape.spaces[space]]
        if not 0 <= index < size:
            raise CompilerError(f"tape: it returns {tape.spaces[space]}{index}, which is not there")


def _refuse(tape: Tape, wrong: Array, what: str) -> None:
    if wrong.any():
        i = int(np.argmax(wrong.any(axis=1)))
        raise CompilerError(f"tape: instruction {i} {what}: {tape.code[i]} {tape.index[i]}")


def run(tape: Tape, inputs: Mapping[str, Sequence[float]]) -> list[float]:
    """What a tape means: compute it one instruction after the other.

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
        places = [(by_number[s], k) for s, k in zip(space, index, strict=True) if s != NONE]
        results.append(computed(op, places))
    return [by_number[s][k] for s, k in tape.outputs]


def computed(op: Op, places: Sequence[tuple[Sequence[float], int]]) -> float:
    """The result of an operation on operands given as places (numbers, index)."""
    if op is GATHER:
        return taken(places)[0]
    return op.value(*[numbers[k] for numbers, k in places])


def taken(places: Sequence[tuple[Sequence[float], int]]) -> tuple[float, int]:
    """The number that a `GATHER` finds in its table, and at which index."""
    (table, first), (numbers, row), (constants, columns) = places
    index = first + int(numbers[row]) * int(constants[columns])
    return table[index], index


def restricted(tape: Tape, outputs: Sequence[tuple[int, int]]) -> Tape:
    """The tape of some outputs: only the instructions that they depend on.

    Args:
        tape: the program.
        outputs: what is to be returned, as pairs (space number, index).

    Returns:
        A tape with the same inputs, parameters and constants.
    """
    result = tape.spaces.index(RESULT)
    needed = np.zeros(len(tape), dtype=bool)
    for space, index in outputs:
        if space == result:
            needed[index] = True
    operands = np.where(tape.space == result, tape.index, NONE)
    for i in range(len(tape) - 1, -1, -1):
        if needed[i]:
            made = operands[i]
            needed[made[made != NONE]] = True
    number = np.cumsum(needed) - 1
    spaces, indices = tape.space[needed], tape.index[needed]
    is_result = spaces == result  # the numbers of other spaces stay where they are
    indices[is_result] = number[indices[is_result]]
    moved = tuple([(s, int(number[k]) if s == result else k) for s, k in outputs])
    return replace(tape, code=tape.code[needed], space=spaces, index=indices, outputs=moved)
