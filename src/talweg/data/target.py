"""Inputs and targets from the columns of a file: which columns are inputs, and what the target is.

A target is a number (regression) or the index of a class (classification). Start reading at
`targets_and_classes`.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from talweg.data.checks import listing
from talweg.data.columns import Columns
from talweg.error_fields import Argument
from talweg.errors import ArgumentError, DataError, DataWarning

Kind: TypeAlias = Literal["auto", "regression", "classification"]

_MOST_CLASSES = 10
_ROWS_PER_CLASS = 5
"""Limits for integer targets to be classes: their values, and the rows of each on average."""


def input_columns(columns: Columns, target: str, ignore: Sequence[str]) -> tuple[str, ...]:
    """The columns to predict from: all but the target and the ignored ones.

    Args:
        columns: the columns of the file.
        target: the column to predict.
        ignore: columns to leave out.

    Returns:
        At least one name, in the order of the file.

    Raises:
        DataError: if a named column does not exist or is both target and ignored, if no input
            is left, or if an input holds text.
    """
    for name in (target, *ignore):
        columns.require(name)
    if target in ignore:
        raise DataError(f"column {target!r} is both the target and ignored", path=columns.path)
    inputs = tuple(name for name in columns.names if name != target and name not in ignore)
    if not inputs:
        raise DataError(
            f"no column is left as input besides the target {target!r}; "
            f"the file has {listing(columns.names)}",
            path=columns.path,
        )
    texts = [name for name in inputs if columns.is_text(name)]
    if texts:
        raise DataError(
            f"inputs must be numbers, but there is text in {listing(texts)}",
            path=columns.path,
            repair="leave such columns out with",
            suggestion=Argument("ignore", [*ignore, *texts]),
        )
    return inputs


def targets_and_classes(
    columns: Columns, name: str, kind: Kind
) -> tuple[list[float] | list[int], tuple[str, ...] | None]:
    """The targets in a column: numbers, or indices of classes.

    Args:
        columns: the columns of the file.
        name: the column to predict.
        kind: "regression", "classification", or "auto" as in `Dataset.from_csv`.

    Returns:
        One target a row, and the names of the classes; None for a regression.

    Raises:
        DataError: naming the first cell that cannot be used, or if all are of one class.
        ArgumentError: if `kind` is none of the three.

    Example:
        >>> columns = Columns("a.csv", ("y",), {"y": ["10", "9", "10"]}, (2, 3, 4))
        >>> targets_and_classes(columns, "y", "auto")
        ([10.0, 9.0, 10.0], None)
        >>> targets_and_classes(columns, "y", "classification")
        ([1, 0, 1], ('9', '10'))
    """
    if kind not in ("auto", "regression", "classification"):
        raise ArgumentError(
            argument="kind", expected="'auto', 'regression' or 'classification'", got=kind
        )
    if kind == "regression" or (kind == "auto" and not columns.is_text(name)):
        as_classes = Argument("kind", "classification")
        numbers = columns.numbers(name, "take texts as classes with", as_classes)
        if kind == "regression" or not _are_classes(numbers):
            return numbers, None
    labels, classes = _labels(columns, name)
    if len(classes) < 2:
        raise DataError(
            f"the target {name!r} is {classes[0]!r} in every row; "
            "a classification needs at least two classes",
            path=columns.path,
        )
    index = {label: i for i, label in enumerate(classes)}
    return [index[label] for label in labels], classes


def constant_columns(
    path: str,
    names: Sequence[str],
    inputs: Sequence[Sequence[float]],
    target: str,
    targets: Sequence[float],
) -> list[DataWarning]:
    """Warnings for columns that hold one number in every row.

    Args:
        path: the file.
        names: the input columns.
        inputs: for each of them its numbers.
        target: the target column.
        targets: its numbers, or indices of classes.

    Returns:
        At most one warning for the inputs and one for the target; none for a single row.
    """
    if len(targets) == 1:
        return []
    warnings = []
    constant = [name for name, column in zip(names, inputs, strict=True) if _is_constant(column)]
    if constant:
        warnings.append(
            DataWarning(
                f"the number is the same in every row of {listing(constant)}",
                path=path,
                repair="nothing can be learned from that, so leave it out with",
                suggestion=Argument("ignore", constant),
            )
        )
    if _is_constant(targets):
        problem = f"the target {target!r} is {targets[0]} in every row"
        warnings.append(DataWarning(problem, path=path, repair="choose another one"))
    return warnings


def _are_classes(numbers: Sequence[float]) -> bool:
    """Whether numbers are labels of classes: integers of few values, each in several rows."""
    if not all(map(float.is_integer, numbers)):
        return False
    distinct = len(set(numbers))
    return 2 <= distinct <= _MOST_CLASSES and len(numbers) >= _ROWS_PER_CLASS * distinct


def _labels(columns: Columns, name: str) -> tuple[list[str], tuple[str, ...]]:
    """The class of each row, and the classes in order: 2 before 10, and "1" equal to "1.0"."""
    try:
        numbers = columns.numbers(name)
    except DataError:
        labels = columns.labels(name)
        return labels, tuple(sorted(set(labels)))
    names = {x: str(int(x)) if x.is_integer() else repr(x) for x in sorted(set(numbers))}
    return [names[x] for x in numbers], tuple(names.values())


def _is_constant(column: Sequence[float]) -> bool:
    return min(column) == max(column)
