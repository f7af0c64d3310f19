"""Matrices and embeddings of parameters: lists of lists of Values, for programs without layers.

`Embedding` is a matrix whose rows are selected by index. `embedding[i]` is a row as in a list; in
a compiled program i may also be an input, which differs from call to call. Start reading at
`Matrix`.
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
    """A matrix of parameters, drawn from a normal distribution.

    Args:
        rows: the number of rows.
        columns: the number of columns.
        std: the standard deviation of the numbers; their mean is 0.
        rng: the generator of the numbers, row by row: a `random.Random`, or None for Python's
            own `random`.

    Raises:
        ArgumentError: if there is no row or no column.

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
        """The numbers row by row, with names such as `0.0`, `0.1`, `1.0`."""
        for i, row in enumerate(self.rows):
            for j, value in enumerate(row):
                yield f"{i}.{j}", value


class Embedding(Matrix):
    """A matrix whose rows are selected by index: a row for each token, class or position.

    Args:
        rows: the number of rows.
        columns: the number of columns.
        std: see `Matrix`.
        rng: see `Matrix`.

    Raises:
        ArgumentError: if there is no row or no column.

    Example:
        >>> embedding = Embedding(10, 4, rng=random.Random(0))
        >>> embedding[3] is embedding.rows[3]
        True
    """

    def __getitem__(self, i: Any) -> list[Value]:
        if isinstance(i, int):  # a traced integer is one too
            i = getattr(i, "_traced_node", i)
        if not isinstance(i, Value):
            return self.rows[i]
        row = self.rows[int(i._data)]
        parameters = tuple([value for row in self.rows for value in row])
        columns = float(len(row))
        return [
            _gathered(first, i, columns, value._data, parameters)
            for first, value in zip(self.rows[0], row, strict=True)
        ]


def _gathered(
    first: Value, i: Value, columns: float, data: float, parameters: tuple[Value, ...]
) -> Value:
    """A number of a row that is selected while a program is traced."""
    node = node_of(GATHER, _no_step, (first, i, columns), data)
    node._shown = parameters  # it may be any of them: the program has all of them as parameters
    return node


def _no_step(node: Value) -> None:
    raise ArgumentError(
        "the index of an Embedding is a Value, which works only while a function is compiled; "
        "expected an integer"
    )
