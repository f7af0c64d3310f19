"""Reading CSV and Parquet files into `Columns`, with one clear line for every bad file.

Checked here is the form: a header that names every column once, at least one row, rows of
equal length. CSV is read by Python's `csv` module, which knows the line number of every row;
Parquet by polars. A Parquet file behaves as the CSV file with the same cells would: columns
that hold neither integers nor decimals (truth values, dates, lists) count as text.

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
            fields = "field" if len(record) == 1 else "fields"
            raise DataError(
                f"{path}: line {line}: found {len(record)} {fields}, expected "
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
    import polars as pl

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


def read_inputs(path: FilePath, input_names: Sequence[str]) -> list[list[float]]:
    """The named columns of a file, as rows to predict from.

    Args:
        path: a file with suffix .csv, .tsv, .txt, .parquet or .pq.
        input_names: the columns, in the order in which the model takes them; others in the
            file are not looked at.

    Returns:
        For each row of the file one list of floats, as long as `input_names`.

    Raises:
        DataError: if the file cannot be read, lacks a column, or has a cell in one of them
            that is not a finite number.
    """
    columns = read_columns(path)
    inputs = [columns.numbers(name) for name in input_names]
    return list(map(list, zip(*inputs, strict=True)))


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
        records = csv.reader(beginning, delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            return next((len(record) for record in records if not _is_blank(record)), 0)
        except csv.Error:  # a quoted name goes on behind its quotes, so this cannot be it
            return 0

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
