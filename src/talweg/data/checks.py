"""Lists and arrays as rows of finite floats; errors name the entry at fault.

Everything is converted at once, in C. The entry at fault is searched for only if that fails, so
a million rows are checked in a second. Start reading at `matrix`.
"""

import math
import operator
import reprlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from talweg._util.gc_pause import collection_paused
from talweg.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    FloatArray: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def matrix(what: str, rows: Any) -> "FloatArray":
    """Rows of numbers as one array.

    Args:
        what: what the rows are called in messages.
        rows: a list of rows of numbers, or an array of shape (rows, columns).

    Returns:
        Finite floats of shape (rows, columns), both at least 1; may be `rows` itself.

    Raises:
        DataError: naming the first entry that is not one finite number, or the first row
            that has another length than row 0.

    Example:
        >>> matrix("inputs", [[1, 2], [3, 4]]).tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    import numpy as np

    # type(): a masked array is an ndarray too, and hides its gaps from isfinite.
    is_table = type(rows) is np.ndarray and rows.ndim == 2 and rows.dtype == np.float64
    if is_table and rows.size and np.isfinite(rows).all():
        return cast("FloatArray", rows)
    listed = [
        row if type(row) is list else _row(f"{what}[{i}]", row)
        for i, row in enumerate(_non_empty_list(what, rows))
    ]
    width = len(listed[0])
    if not width:
        raise DataError(f"{what}[0] is empty", repair="a row needs at least one number")
    for i, row in enumerate(listed):
        if len(row) != width:
            raise DataError(
                f"{what}[{i}] has {len(row)} numbers, {what}[0] has {width}",
                repair="give every row the same number of them",
            )
    flat = _finite(chain.from_iterable(listed))
    if flat is None:
        raise _entry_error(
            (f"{what}[{i}][{j}]", x) for i, row in enumerate(listed) for j, x in enumerate(row)
        )
    return flat.reshape(-1, width)


@collection_paused()
def number_rows(what: str, rows: Any) -> list[list[float]]:
    """Rows of numbers as new lists of floats.

    Args:
        what: what the rows are called in messages.
        rows: as for `matrix`.

    Returns:
        For each row a list of finite floats.

    Raises:
        DataError: as `matrix`.
    """
    return list(matrix(what, rows).tolist())


@collection_paused()
def number_targets(targets: Any) -> list[Any]:
    """The targets of a regression.

    Args:
        targets: for each row a number, or a row of numbers; a list or an array.

    Returns:
        For each row a float, or a list of floats where there are several. A layer with one
        neuron gives a number, not a list of one, so rows of one number become floats too.

    Raises:
        DataError: naming the first entry that is not one finite number.

    Example:
        >>> number_targets([[1], [2]]), number_targets([[1, 2]])
        ([1.0, 2.0], [[1.0, 2.0]])
    """
    listed = _non_empty_list("targets", targets)
    if _as_list(listed[0]) is not None:
        rows = matrix("targets", targets)
        return list((rows[:, 0] if rows.shape[1] == 1 else rows).tolist())
    numbers = _finite(listed)
    if numbers is None:
        raise _entry_error((f"targets[{i}]", y) for i, y in enumerate(listed))
    return list(numbers.tolist())


def class_targets(targets: Any, classes: Sequence[str]) -> list[int]:
    """The targets of a classification.

    Args:
        targets: for each row an integer that indexes `classes`; a list or an array.
        classes: the names of the classes.

    Returns:
        The indices as plain integers.

    Raises:
        DataError: naming the first entry that is no such integer.
    """
    listed = _non_empty_list("targets", targets)
    for i, target in enumerate(listed):
        if not is_index(target, len(classes)):
            raise DataError(
                argument=f"targets[{i}]",
                expected="the index of a class, "
                f"an integer from 0 to {len(classes) - 1} ({listing(classes)})",
                got=target,
            )
    return list(map(int, listed))


def distinct_names(what: str, names: Iterable[str], at_least: int = 1) -> tuple[str, ...]:
    """Names, all different.

    Args:
        what: what the names are called in messages.
        names: the names; a text is refused, because it would be a list of letters.
        at_least: how many there must be.

    Returns:
        The names as a tuple.

    Raises:
        DataError: if there are too few, or two are equal.
    """
    if isinstance(names, str):
        raise DataError(argument=what, expected="a list of names", got=names)
    found = tuple(map(str, names))
    if len(found) < at_least or len(set(found)) < len(found):
        raise DataError(
            f"{what} are {listing(found) or 'none'}",
            repair=f"give at least {at_least}, all different",
        )
    return found


def is_index(value: Any, length: int) -> bool:
    """Whether a value is an integer, of Python or NumPy, from 0 to length - 1."""
    try:
        return 0 <= operator.index(value) < length
    except TypeError:
        return False


def listing(names: Sequence[str], most: int = 12) -> str:
    """Names in one line, shortened if there are many.

    Args:
        names: what to list.
        most: how many names to write.

    Returns:
        The names, separated by commas.

    Example:
        >>> listing(["a", "b", "c"], most=2)
        'a, b, ... (3 in all)'
    """
    written = ", ".join(names[:most])
    return written if len(names) <= most else f"{written}, ... ({len(names)} in all)"


def short_repr(value: Any) -> str:
    """A short repr in one line."""
    return " ".join(reprlib.repr(value).split())


def _non_empty_list(what: str, values: Any) -> list[Any]:
    listed = _as_list(values)
    if listed is None:
        raise DataError(
            f"{what} is a {type(values).__name__}; expected a list or a NumPy array",
            repair="convert a data frame with .to_numpy(), an iterator with list()",
        )
    if not listed:
        raise DataError(f"{what} is empty", repair="a data set needs at least one row")
    return listed


def _row(where: str, row: Any) -> list[Any]:
    listed = _as_list(row)
    if listed is None:
        raise DataError(
            f"{where} is {short_repr(row)}, not a row",
            repair="write each row as a list, such as [[1.0], [2.0]] "
            "(an array of one dimension: x.reshape(-1, 1))",
        )
    return listed


def _as_list(values: Any) -> list[Any] | None:
    """The entries of a list, tuple, range or array; None for anything else."""
    if hasattr(values, "tolist"):  # an array; a NumPy number has it too and returns a number
        values = values.tolist()
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes, bytearray)):
        return list(values)
    return None


def _finite(values: Iterable[Any]) -> "FloatArray | None":
    """The values as floats; None if one of them is not a finite number."""
    import numpy as np

    try:
        numbers = np.frombuffer(array("d", values))  # np.array would read text as numbers
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if np.isfinite(numbers).all() else None


def _entry_error(entries: Iterable[tuple[str, Any]]) -> DataError:
    """The error for the first pair (place, value) whose value is not a finite number."""
    where, value = next(entry for entry in entries if not _is_finite(entry[1]))
    return DataError(
        argument=where,
        expected="a finite number",
        got=value,
        repair="correct it, or leave the row out",
    )


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, ValueError, OverflowError):
        return False
