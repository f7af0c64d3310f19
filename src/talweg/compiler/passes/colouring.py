"""Colouring: which columns of a sparse matrix of derivatives can be computed together.

The product of a matrix and a direction costs one evaluation. If two columns have no row in common,
the sum of both still shows each of their entries. Such columns get one colour, and the matrix is
known from one product for each colour.

- `column_colours`: no two columns of one colour have a row in common.
- `star_colours`: for symmetric matrices fewer colours are enough, because each entry off the
  diagonal is there twice. Two columns of one colour may meet in a row whose own column has a lower
  colour. Entry (i, j) is then read in the row of the higher colour.

Both visit the columns one by one, those with many entries first, and take the lowest colour that is
possible. Sets of colours are integers with one bit for each colour.

Source: Gebremedhin, Manne and Pothen, What color is your Jacobian?, SIAM Review 47 (2005);
`star_colours` is their restricted star colouring.

Start reading at `column_colours`.
"""

from __future__ import annotations

from collections.abc import Sequence

from talweg.compiler.ir.tape import Array


def column_colours(rows: Sequence[Array], columns: int) -> list[int]:
    """A colour for each column, such that columns of one colour have no row in common.

    Args:
        rows: for each row the columns in which it has entries.
        columns: the number of columns.

    >>> import numpy as np
    >>> column_colours([np.array([0, 1]), np.array([1, 2])], 3)
    [1, 0, 1]
    """
    rows_of: list[list[int]] = [[] for _ in range(columns)]
    for i, row in enumerate(rows):
        for j in row.tolist():
            rows_of[j].append(i)
    used = [0] * len(rows)  # the colours of the columns of each row so far
    colours = [0] * columns
    for j in sorted(range(columns), key=lambda j: -len(rows_of[j])):
        taken = 0
        for i in rows_of[j]:
            taken |= used[i]
        colours[j] = _lowest_free(taken)
        for i in rows_of[j]:
            used[i] |= 1 << colours[j]
    return colours


def star_colours(rows: Sequence[Array]) -> list[int]:
    """A colour for each column of a symmetric matrix, see the top of this file.

    Args:
        rows: for each row the columns in which it has entries.

    >>> import numpy as np
    >>> arrow = [np.arange(4), np.array([0, 1]), np.array([0, 2]), np.array([0, 3])]
    >>> star_colours(arrow), max(column_colours(arrow, 4))
    ([0, 1, 1, 1], 3)
    """
    neighbours = [[j for j in row.tolist() if j != i] for i, row in enumerate(rows)]
    used = [0] * len(rows)  # the colours of the neighbours of each vertex so far
    colours = [-1] * len(rows)
    for v in sorted(range(len(rows)), key=lambda v: -len(neighbours[v])):
        taken = 0
        for w in neighbours[v]:
            own = colours[w]
            # A path of three through w: w may be in the middle only if it has a lower colour.
            taken |= used[w] if own < 0 else 1 << own | used[w] & ((1 << own) - 1)
        colours[v] = _lowest_free(taken)
        for w in neighbours[v]:
            used[w] |= 1 << colours[v]
    return colours


def _lowest_free(taken: int) -> int:
    """The position of the lowest bit that is not set."""
    return (~taken & (taken + 1)).bit_length() - 1
