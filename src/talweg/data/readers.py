"""Readers of CSV and Parquet files; the result is `Columns`.

The readers check the form: a header that names every column once, at least one row, rows of
equal length. CSV is read by Python's `csv` module, which knows the line number of every row,
and Parquet by polars. A Parquet file behaves as the CSV file with the same cells: columns that
hold neither integers nor decimals (truth values, dates, lists) are text.

Start reading at `read_csv`.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from talweg.data.checks import listing
from talweg.data.columns import Columns, FilePath
from talweg.errors import DataError

_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
_PARQUET_SUFFIXES = (".parquet", ".pq")
_PARQUET_MARK = b"PAR1"  # the first and the last four bytes of every Parquet file


def read_columns(path: FilePath) -> Columns:
    """The columns of a CSV or Parquet file; the suffix decides which.

    Args:
        path: a file with suffix .csv, .tsv, .txt, .parquet or .pq.

    Returns:
        The columns; their cells are not checked yet.

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
    _read_bytes(path)  # the error for a missing file comes first: it is the more useful one
    known = listing(_TEXT_SUFFIXES + _PARQUET_SUFFIXES)
    raise DataError(
        f"the suffix {suffix!r} is unknown", path=str(path), repair=f"save it as one of {known}"
    )


def read_csv(path: FilePath) -> Columns:
    """The columns of a text file whose first line names them.

    The delimiter is the comma, semicolon or tab that divides the first line into the most
    fields. Blank lines are skipped, except in a file of one column: there a blank line
    between two others is an empty cell.

    Args:
        path: a UTF-8 file, with or without a byte-order mark, of any suffix.

    Returns:
        The columns; cells are text.

    Raises:
        DataError: if the file cannot be read, is not UTF-8 text, has no rows, has a column
            without a name or two of one name, or a row of another length than the first.
    """
    text = _decoded(path, _read_bytes(path)).rstrip("\r\n")
    records = _records(path, text)
    names = next((_header(path, record) for _, record in records if not _is_blank(record)), None)
    if names is None:
        raise DataError(
            "the file is empty; expected a line of column names, then rows", path=str(path)
        )
    flat: list[str] = []  # one row after another: a million small lists would take seconds
    lines: list[int] = []
    for line, record in records:
        if len(record) == len(names):
            flat += record
        elif len(names) == 1 and not record:
            flat.append("")
        elif _is_blank(record):
            continue
        else:
            fields = "field" if len(record) == 1 else "fields"
            raise DataError(
                f"found {len(record)} {fields}, expected {len(names)} as in the header",
                path=str(path),
                line=line,
                repair="add or remove a delimiter, or quote the text",
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
        The columns: floats where the file has integers or decimals, otherwise text; None where
        a value is missing.

    Raises:
        DataError: if the file cannot be read or has no rows.
    """
    import polars as pl

    raw = _read_bytes(path)
    if not (raw.startswith(_PARQUET_MARK) and raw.endswith(_PARQUET_MARK)):
        raise DataError(
            "this is not a whole Parquet file",
            path=str(path),
            repair="write it again (text is read as .csv)",
        )
    try:
        # From memory: polars expands "*" and "[1]" in a path.
        frame = pl.read_parquet(io.BytesIO(raw))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"the Parquet file is damaged ({reason})", path=str(path), repair="write it again"
        ) from None
    names = _header(path, frame.columns)
    _require_rows(path, names, frame.height)
    cells = {
        name: column.cast(pl.Float64).to_list()
        if column.dtype.is_numeric()
        else [None if cell is None else str(cell) for cell in column.to_list()]
        for name, column in zip(names, frame.get_columns(), strict=True)
    }
    return Columns(str(path), names, cells, range(1, frame.height + 1), "row")


def read_inputs(path: FilePath, input_names: Sequence[str]) -> list[list[float]]:
    """The named columns of a file, as rows to predict from.

    Args:
        path: a file with suffix .csv, .tsv, .txt, .parquet or .pq.
        input_names: the columns, in the order in which the model takes them; other columns of
            the file are not read.

    Returns:
        For each row of the file one list of floats, as long as `input_names`.

    Raises:
        DataError: if the file cannot be read or has no such column, or a cell in one of them
            is not a finite number.
    """
    columns = read_columns(path)
    inputs = [columns.numbers(name) for name in input_names]
    return list(map(list, zip(*inputs, strict=True)))


def _read_bytes(path: FilePath) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        reason, repair = "there is no such file", "check the name and the folder"
    except IsADirectoryError:
        reason, repair = "this is a folder", "name a file in it"
    except PermissionError:
        reason, repair = "this process may not read the file", "change its permissions"
    except OSError as error:
        reason, repair = f"the file cannot be read ({error.strerror})", "check the path"
    raise DataError(reason, path=str(path), repair=repair)


def _decoded(path: FilePath, raw: bytes) -> str:
    if b"\0" in raw:
        raise DataError(
            "this is a binary file or UTF-16", path=str(path), repair="save it as text in UTF-8"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise DataError(
            f"byte 0x{byte:02x} is not UTF-8 text",
            path=str(path),
            line=line,
            repair="save the file as UTF-8",
        ) from None


def _records(path: FilePath, text: str) -> Iterator[tuple[int, list[str]]]:
    """Each record, with the number of the line where it starts (quoted text may span lines)."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=_delimiter(path, text),
        skipinitialspace=True,
        strict=True,  # otherwise an open quote contains the rest of the file
    )
    line = 1
    try:
        for record in reader:
            yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            str(error),
            path=str(path),
            line=line,
            repair="check the quotes (a quote in quoted text is doubled)",
        ) from None


def _delimiter(path: FilePath, text: str) -> str:
    """The delimiter that divides the header into the most fields; the first of equal ones."""

    def fields(delimiter: str) -> int:
        # The header is in the first 100,000 letters, which is also below csv's limit for a field.
        start = io.StringIO(text[:100_000], newline="")
        records = csv.reader(start, delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            return next((len(record) for record in records if not _is_blank(record)), 0)
        except csv.Error:  # a quoted name continues after its quotes: not this delimiter
            return 0

    return max("\t,;" if Path(path).suffix.lower() == ".tsv" else ",;\t", key=fields)


def _header(path: FilePath, record: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in record)
    for index, name in enumerate(names):
        if not name:
            raise DataError(
                f"column {index + 1} has no name",
                path=str(path),
                repair="write one in the header, such as 'row'",
            )
        if (first := names.index(name)) < index:
            raise DataError(
                f"columns {first + 1} and {index + 1} are both named {name!r}",
                path=str(path),
                repair="give each column a name of its own in the header",
            )
    return names


def _require_rows(path: FilePath, names: Sequence[str], rows: int) -> None:
    if not rows:
        raise DataError(
            f"there are no rows below the header ({listing(names)})",
            path=str(path),
            repair="add at least one",
        )


def _is_blank(record: Sequence[str]) -> bool:
    """Whether a record is an empty line; ",," is not: it has cells, which are empty."""
    return len(record) <= 1 and not "".join(record).strip()
