"""Matrices and tables of parameters: nested lists of Values, for programs without layers.

A `Embedding` is a matrix whose rows are picked by number, an embedding. `table[i]` works as for a
list, and also for an i that a compiled program is given anew at each call.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from talweg.autodiff.operation import GATHER
from talweg.errors import ArgumentError
from talweg.nn import Module
from talweg.value import Value, node_of


class Matrix(Module):
    """Rows of Values, drawn from a normal distribution.

    Args:
        rows: how many rows.
        columns: how many numbers a row has.
        std: the standard deviation of the numbers; their mean is 0.
        rng: where they are drawn from, row by row: a `random.Random`, or None for Python's
            own `random`.

    Raises:
        ArgumentError: if there is to be no row or no column.

    Example:
        >>> m = Matrix(2, 3, rng=random.Random(0))
        >>> len(m), len(m[0]), len(m.parameters())
        (2, 3, 6)
        >>> [round(sum(w * x for w, x in zip(row, [1.0, 2.0, 3.0])).data, 4) for row in m]
        [-0.3112, -0.1503]
    """

    def __init__(
        self, rows: int, columns: int, *, std: float = 0.08, rng: random.Random | None = None
    ) -> None:
        if rows < 1 or columns < 1:
            raise ArgumentError(f"expected at least 1 row and 1 column, got {rows} and {columns}")
        gauss = (rng or random).gauss
        self.rows = [[Value(gauss(0.0, std)) for _ in range(columns)] for _ in range(rows)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: Any) -> list[Value]:
        return self.rows[i]

    def __iter__(self) -> Iterator[list[Value]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.rows)}, {len(self.rows[0])})"

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """The numbers, row by row."""
        for i, row in enumerate(self.rows):
            for j, value in enumerate(row):
                yield f"{i}.{j}", value


class Embedding(Matrix):
    """A matrix whose rows are picked by number: one row for each word, class or place.

    Args:
        rows: how many rows.
        columns: how many numbers a row has.
        std: see `Matrix`.
        rng: see `Matrix`.

    Raises:
        ArgumentError: if there is to be no row or no column.

    Example:
        >>> embedding = Embedding(10, 4, rng=random.Random(0))
        >>> embedding[3] is embedding.rows[3]
        True
    """

    def __getitem__(self, i: Any) -> list[Value]:
        if not isinstance(i, Value):
            return self.rows[i]
        row = self.rows[int(i.data)]
        everything = tuple([value for row in self.rows for value in row])
        columns = float(len(row))
        return [
            _taken(first, i, columns, value.data, everything)
            for first, value in zip(self.rows[0], row, strict=True)
        ]


def _taken(
    first: Value, i: Value, columns: float, data: float, everything: tuple[Value, ...]
) -> Value:
    """One number of a row that is picked while a program is traced."""
    node = node_of(GATHER, _no_step, (first, i, columns), data)
    node._shown = everything  # it may be any of them: all are parameters of the program
    return node


def _no_step(node: Value) -> None:
    raise ArgumentError("a table is read at a Value only while a function is compiled")
