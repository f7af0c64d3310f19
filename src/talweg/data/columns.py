"""`Columns`: the cells of a file, which become numbers or labels when they are asked for.

Only the caller knows which columns hold numbers, so cells are kept as they were read. A whole
column is converted at once. The cell at fault is searched for only if that fails, so a
million rows are read in seconds.

Start reading at `Columns.numbers`.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from talweg.data.checks import listing, short_repr
from talweg.error_fields import Argument
from talweg.errors import DataError

FilePath: TypeAlias = str | os.PathLike[str]
Cell: TypeAlias = str | float | None
"""Text from a CSV file; a number, text or None (missing) from a Parquet file."""

_MISSING_NUMBERS = ("", "na", "n/a", "null", "none", "?")
_MISSING_LABELS = ("", "nan")  # "NA" and "none" can be the names of classes


@dataclass(frozen=True)
class Columns:
    """The cells of a file, column by column, and the position of each row in the file.

    Attributes:
        path: the file, for messages.
        names: the columns in the order of the file.
        cells: for each name one cell a row.
        positions: for each row its line in a CSV file (the header is line 1), or its
            number in a Parquet file, from 1.
        unit: what `positions` counts, "line" or "row".

    Example:
        >>> columns = Columns("a.csv", ("x", "y"), {"x": ["1", "2"], "y": ["a", "b"]}, (2, 3))
        >>> columns.numbers("x"), columns.labels("y"), columns.is_text("y")
        ([1.0, 2.0], ['a', 'b'], True)
    """

    path: str
    names: tuple[str, ...]
    cells: Mapping[str, Sequence[Cell]]
    positions: Sequence[int]
    unit: Literal["line", "row"] = "line"

    def require(self, name: str) -> Sequence[Cell]:
        """The cells of a column that must exist.

        Args:
            name: the column.

        Returns:
            One cell a row.

        Raises:
            DataError: if there is no such column, listing those that exist.
        """
        if name not in self.cells:
            raise DataError(
                f"there is no column {name!r}; its columns are {listing(self.names)}",
                path=self.path,
            )
        return self.cells[name]

    def is_text(self, name: str) -> bool:
        """Whether a column holds text throughout: some cell is filled, and none is a number.

        Args:
            name: the column.

        Returns:
            False if any cell is a number: other text in that column is then a fault.
        """
        holds_text = False
        for cell in self.require(name):
            if _number(cell) is not None:
                return False
            holds_text = holds_text or _text(cell).lower() not in _MISSING_NUMBERS
        return holds_text

    def numbers(
        self, name: str, otherwise: str = "", suggestion: Argument | None = None
    ) -> list[float]:
        """One column as floats.

        Args:
            name: the column.
            otherwise: for the message if a cell holds text: another repair than correcting it.
            suggestion: for messages: the argument that `otherwise` ends with.

        Returns:
            One finite float a row.

        Raises:
            DataError: naming the first cell that is missing, text, nan or infinite.
        """
        cells = self.require(name)
        try:
            numbers = list(map(float, cells))  # type: ignore[arg-type]  # None is caught
            # float() reads "1_000" as Python's source does; in a data file it is a mistake.
            underscore = isinstance(cells[0], str) and "_" in "".join(cells)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            pass
        else:
            if not underscore and all(map(math.isfinite, numbers)):
                return numbers
        return [self._checked_number(name, i, otherwise, suggestion) for i in range(len(cells))]

    def labels(self, name: str) -> list[str]:
        """One column as text, without the blanks around it.

        Args:
            name: the column.

        Returns:
            One text a row.

        Raises:
            DataError: naming the first cell that is empty or nan.
        """
        labels = list(map(_text, self.require(name)))
        for i, label in enumerate(labels):
            if label.lower() in _MISSING_LABELS:
                raise self._missing(name, i)
        return labels

    def _checked_number(
        self, name: str, i: int, otherwise: str, suggestion: Argument | None
    ) -> float:
        cell = self.cells[name][i]
        if _text(cell).lower() in _MISSING_NUMBERS:
            raise self._missing(name, i)
        number = _number(cell)
        if number is None:
            repair = "correct the cell" + (f", or {otherwise}" if otherwise else "")
            if _number(_text(cell).replace(",", ".")) is not None:
                repair, suggestion = "write the decimal sign as a point", None
            problem = f"text {short_repr(cell)} where a number is expected"
            raise self._error(name, i, problem, repair=repair, suggestion=suggestion)
        if not math.isfinite(number):
            problem = f"{short_repr(cell)} where a finite number is expected"
            raise self._error(name, i, problem, repair="correct it")
        return number

    def _missing(self, name: str, i: int) -> DataError:
        cell = self.cells[name][i]
        problem = f"{cell!r} marks a gap" if _text(cell) else "the cell is empty"
        return self._error(name, i, problem, repair=f"fill it in, or delete the {self.unit}")

    def _error(self, name: str, i: int, problem: str, **repair: Any) -> DataError:
        """The error for the cell of row `i` in a column."""
        place: dict[str, Any] = {self.unit: self.positions[i]}
        return DataError(problem, path=self.path, column=name, **place, **repair)


def _text(cell: Cell) -> str:
    """The cell without the blanks around it; empty where a value is missing."""
    return "" if cell is None else str(cell).strip()


def _number(cell: Cell) -> float | None:
    """The number that a cell holds, which may be nan or infinite; None for text."""
    if cell is None or (isinstance(cell, str) and "_" in cell):
        return None
    try:
        return float(cell)
    except ValueError:
        return None
