"""Reading CSV and Parquet files into columns, with one clear line for every bad file.

Reading has two halves. `read_columns` brings a file into a `Columns` record and checks its
form: a header that names every column once, at least one row, rows of equal length. Cells
stay as they are, because only the caller knows which columns are numbers. Then
`Columns.numbers` and `Columns.labels` turn one column into floats or class names and check
every cell. A whole column is converted at once; the cell at fault is searched for only
after that has failed, so a million rows load in seconds.

CSV is read by Python's `csv` module, which knows the line number of every row; Parquet by
polars. A Parquet file behaves as the CSV file with the same cells would: columns that hold
neither integers nor decimals (truth values, dates, lists) count as text.

Start reading at `Columns`, then `read_csv`.
"""

import csv
import io
import math
import os
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from talweg.errors import DataError

FilePath: TypeAlias = str | os.PathLike[str]
Cell: TypeAlias = str | float | None
"""Text from a CSV file; a number, text or None (missing) from a Parquet file."""

_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
_PARQUET_SUFFIXES = (".parquet", ".pq")
_PARQUET_MARK = b"PAR1"  # the first and the last four bytes of every Parquet file
_MISSING_NUMBERS = ("", "na", "n/a", "null", "none", "?")
_MISSING_LABELS = ("", "nan")  # "NA" and "none" may well be classes


@dataclass(frozen=True)
class Columns:
    """The cells of a file, column by column, and where each row stands in it.

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
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.positions)

    def require(self, name: str) -> None:
        """Refuse a column that the file does not have.

        Args:
            name: the column.

        Raises:
            DataError: listing the columns that there are.
        """
        if name not in self.cells:
            raise DataError(
                f"{self.path}: there is no column {name!r}; its columns are {listing(self.names)}"
            )

    def is_text(self, name: str) -> bool:
        """Whether a column holds text throughout: some cell is filled, and none is a number.

        Args:
            name: the column.

        Returns:
            False if any cell is a number: other text in that column is then a fault.
        """
        self.require(name)
        holds_text = False
        for cell in self.cells[name]:
            if _number(cell) is not None:
                return False
            holds_text = holds_text or not _is_missing(cell, _MISSING_NUMBERS)
        return holds_text

    def numbers(self, name: str, otherwise: str = "") -> list[float]:
        """One column as floats.

        Args:
            name: the column.
            otherwise: what the reader of the message may do, other than correct the cell,
                if the column holds text.

        Returns:
            One finite float a row.

        Raises:
            DataError: naming the first cell that is missing, text, nan or infinite.
        """
        self.require(name)
        cells = self.cells[name]
        try:
            numbers = list(map(float, cells))  # type: ignore[arg-type]  # None is caught
            # float() reads "1_000" as Python's source does; in a data file it is a slip.
            underscore = isinstance(cells[0], str) and "_" in "".join(cells)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            pass
        else:
            if not underscore and all(map(math.isfinite, numbers)):
                return numbers
        return [self._checked_number(name, row, otherwise) for row in range(len(self))]

    def labels(self, name: str) -> list[str]:
        """One column as text, without the blanks around it.

        Args:
            name: the column.

        Returns:
            One text a row.

        Raises:
            DataError: naming the first cell that is empty or nan.
        """
        self.require(name)
        labels = [str(cell).strip() for cell in self.cells[name]]
        for row, cell in enumerate(self.cells[name]):
            if _is_missing(cell, _MISSING_LABELS):
                raise self._missing(name, row)
        return labels

    def _checked_number(self, name: str, row: int, otherwise: str) -> float:
        cell = self.cells[name][row]
        number = _number(cell)
        if _is_missing(cell, _MISSING_NUMBERS):
            raise self._missing(name, row)
        if number is None:
            repair = "correct the cell" + (f", or {otherwise}" if otherwise else "")
            if isinstance(cell, str) and _number(cell.replace(",", ".")) is not None:
                repair = "write the decimal sign as a point"
            raise self._fault(
                name, row, f"text {reprlib.repr(cell)} where a number is expected; {repair}"
            )
        if not math.isfinite(number):
            raise self._fault(
                name, row, f"{reprlib.repr(cell)} where a finite number is expected; correct it"
            )
        return number

    def _missing(self, name: str, row: int) -> DataError:
        cell = self.cells[name][row]
        what = "the cell is empty" if _is_missing(cell, ("",)) else f"{cell!r} marks a gap"
        return self._fault(name, row, f"{what}; fill it in, or delete the {self.unit}")

    def _fault(self, name: str, row: int, what: str) -> DataError:
        place = f"{self.unit} {self.positions[row]}, column {name!r}"
        return DataError(f"{self.path}: {place}: {what}")


def read_columns(path: FilePath) -> Columns:
    """The columns of a CSV or Parquet file, whichever its suffix says.

    Args:
        path: a file with suffix .csv, .tsv, .txt, .parquet or .pq.

    Returns:
        The columns; no cell has been checked yet.

    Raises:
        DataError: if the file cannot be read or has another suffix.

    Example:
        >>> read_columns("rows.xlsx")
        Traceback (most recent call last):
        talweg.errors.DataError: rows.xlsx: there is no such file; check the name and the folder
    """
    suffix = Path(path).suffix.lower()
    if suffix in _TEXT_SUFFIXES:
        return read_csv(path)
    if suffix in _PARQUET_SUFFIXES:
        return read_parquet(path)
    _read_bytes(path)  # a file that is not there is the more useful thing to say
    known = listing(_TEXT_SUFFIXES + _PARQUET_SUFFIXES)
    raise DataError(f"{path}: the suffix {suffix!r} is unknown; save it as one of {known}")


def read_csv(path: FilePath) -> Columns:
    """The columns of a text file whose first line names them.

    The delimiter is the comma, semicolon or tab that cuts the first line into the most
    fields. Blank lines are skipped, except in a file of one column: there a blank line
    between two others is an empty cell.

    Args:
        path: a UTF-8 file, with or without a byte-order mark, of any suffix.

    Returns:
        The columns; cells are text.

    Raises:
        DataError: if the file cannot be read, is no UTF-8 text, has no rows, has a column
            without a name or two of one name, or a row of another length than the first.
    """
    text = _decoded(path, _read_bytes(path)).rstrip("\r\n")
    records = _records(path, text)
    names = next((_header(path, record) for _, record in records if not _is_blank(record)), None)
    if names is None:
        raise DataError(f"{path}: the file is empty; expected a line of column names, then rows")
    flat: list[str] = []  # one row after another: a million small lists would cost seconds
    lines: list[int] = []
    for line, record in records:
        if len(record) == len(names):
            flat += record
        elif len(names) == 1 and not record:
            flat.append("")
        elif _is_blank(record):
            continue
        else:
            raise DataError(
                f"{path}: line {line}: found {_count(len(record), 'field')}, expected "
                f"{len(names)} as in the header; add or remove a delimiter, or quote the text"
            )
        lines.append(line)
    _require_rows(path, names, len(lines))
    cells = {name: flat[index :: len(names)] for index, name in enumerate(names)}
    return Columns(str(path), names, cells, lines)


def read_parquet(path: FilePath) -> Columns:
    """The columns of a Parquet file.

    Args:
        path: a Parquet file of any suffix.

    Returns:
        The columns: floats where the file has integers or decimals, else text; None where a
        value is missing.

    Raises:
        DataError: if the file cannot be read or has no rows.
    """
    import polars as pl  # noqa: PLC0415 - heavy, and needed for no other kind of file

    raw = _read_bytes(path)
    if not (raw.startswith(_PARQUET_MARK) and raw.endswith(_PARQUET_MARK)):
        raise DataError(
            f"{path}: this is not a whole Parquet file; write it again (text is read as .csv)"
        )
    try:
        # From memory: given a path, polars would expand "*" and "[1]" in it.
        frame = pl.read_parquet(io.BytesIO(raw))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: the Parquet file is broken ({reason}); write it again") from None
    names = _header(path, frame.columns)
    _require_rows(path, names, frame.height)
    cells = {
        name: column.cast(pl.Float64).to_list()
        if column.dtype.is_numeric()
        else [None if cell is None else str(cell) for cell in column.to_list()]
        for name, column in zip(names, frame.get_columns(), strict=True)
    }
    return Columns(str(path), names, cells, range(1, frame.height + 1), "row")


def listing(names: Sequence[str], most: int = 12) -> str:
    """Names in one line, cut short where there are many.

    Args:
        names: what to list.
        most: how many are written out.

    Returns:
        The names, separated by commas.

    Example:
        >>> listing(["a", "b", "c"], most=2)
        'a, b, ... (3 in all)'
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, ... ({len(names)} in all)"


def _read_bytes(path: FilePath) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        reason = "there is no such file; check the name and the folder"
    except IsADirectoryError:
        reason = "this is a folder; name a file in it"
    except OSError as error:
        reason = f"the file cannot be read ({error.strerror}); check its permissions"
    raise DataError(f"{path}: {reason}")


def _decoded(path: FilePath, raw: bytes) -> str:
    if b"\0" in raw:
        raise DataError(f"{path}: this is a binary file or UTF-16; save it as text in UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise DataError(
            f"{path}: line {line}: byte 0x{byte:02x} is not UTF-8 text; save the file as UTF-8"
        ) from None


def _records(path: FilePath, text: str) -> Iterator[tuple[int, list[str]]]:
    """Each record, with the number of the line where it starts (quoted text may span lines)."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=_delimiter(path, text),
        skipinitialspace=True,
        strict=True,  # else a quote that is never closed swallows the rest of the file
    )
    line = 1
    try:
        for record in reader:
            yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}: line {line}: {error}; check the quotes (a quote in quoted text is doubled)"
        ) from None


def _delimiter(path: FilePath, text: str) -> str:
    """The delimiter that makes the most fields of the header; at a tie the first here."""

    def fields(delimiter: str) -> int:
        # The header is in the beginning; 100,000 letters are also below csv's limit for a field.
        beginning = io.StringIO(text[:100_000], newline="")
        records = csv.reader(beginning, delimiter=delimiter, skipinitialspace=True)
        return next((len(record) for record in records if not _is_blank(record)), 0)

    return max("\t,;" if Path(path).suffix.lower() == ".tsv" else ",;\t", key=fields)


def _header(path: FilePath, record: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in record)
    for index, name in enumerate(names):
        if not name:
            raise DataError(
                f"{path}: column {index + 1} has no name; write one in the header, such as 'row'"
            )
        if (first := names.index(name)) < index:
            raise DataError(
                f"{path}: columns {first + 1} and {index + 1} are both named {name!r}; "
                "the header must give each column a name of its own"
            )
    return names


def _require_rows(path: FilePath, names: Sequence[str], rows: int) -> None:
    if not rows:
        raise DataError(
            f"{path}: there are no rows below the header ({listing(names)}); add at least one"
        )


def _is_blank(record: Sequence[str]) -> bool:
    """Whether a record is an empty line; ",," is none: it has cells, which are empty."""
    return len(record) <= 1 and not "".join(record).strip()


def _is_missing(cell: Cell, words: Sequence[str]) -> bool:
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in words)


def _number(cell: Cell) -> float | None:
    """The number that a cell holds, nan and infinities too; None for text."""
    if cell is None or (isinstance(cell, str) and "_" in cell):
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
