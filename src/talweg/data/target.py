"""From the columns of a file to inputs and targets: what is predicted, and from what.

Start reading at `targets_and_classes`: how a column becomes numbers or classes.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from talweg.data.checks import listing
from talweg.data.columns import Columns
from talweg.errors import ArgumentError, DataError

Kind: TypeAlias = Literal["auto", "regression", "classification"]

_MOST_CLASSES = 10
_ROWS_A_CLASS = 5


def input_names(columns: Columns, target: str, ignore: Sequence[str]) -> tuple[str, ...]:
    """The columns to predict from: all but the target and the ignored ones.

    Args:
        columns: the columns of the file.
        target: the column to predict.
        ignore: columns to leave out.

    Returns:
        At least one name, in the order of the file.

    Raises:
        DataError: if a column named is not there, is both target and ignored, if none is
            left, or if one that is left holds text.
    """
    for name in (target, *ignore):
        columns.require(name)
    if target in ignore:
        raise DataError(f"{columns.path}: column {target!r} is both the target and in ignore")
    inputs = tuple(name for name in columns.names if name != target and name not in ignore)
    if not inputs:
        raise DataError(
            f"{columns.path}: no column is left as input beside the target {target!r}; "
            f"the file has {listing(columns.names)}"
        )
    texts = [name for name in inputs if columns.is_text(name)]
    if texts:
        raise DataError(
            f"{columns.path}: inputs must be numbers, but there is text in {listing(texts)}; "
            f"leave such columns out with ignore={[*ignore, *texts]!r}"
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
        raise ArgumentError(f"kind is {kind!r}; expected 'auto', 'regression' or 'classification'")
    if kind == "regression" or (kind == "auto" and not columns.is_text(name)):
        numbers = columns.numbers(name, "take texts as classes with kind='classification'")
        if kind == "regression" or not _look_like_classes(numbers):
            return numbers, None
    labels, classes = _labels(columns, name)
    if len(classes) < 2:
        raise DataError(
            f"{columns.path}: the target {name!r} is {classes[0]!r} in every row; "
            "a classification needs at least two classes"
        )
    index = {label: i for i, label in enumerate(classes)}
    return [index[label] for label in labels], classes


def notes_on_constants(
    names: Sequence[str],
    inputs: Sequence[Sequence[float]],
    target: str,
    targets: Sequence[float],
) -> list[str]:
    """What to warn of: columns with one number in every row. In one row that means nothing.

    Args:
        names: the input columns.
        inputs: for each of them its numbers.
        target: the target column.
        targets: its numbers, or indices of classes.

    Returns:
        At most one sentence for the inputs and one for the target.
    """
    if len(targets) == 1:
        return []
    notes = []
    constant = [name for name, column in zip(names, inputs, strict=True) if _is_constant(column)]
    if constant:
        notes.append(
            f"the number is the same in every row of {listing(constant)}; nothing can be "
            f"learned from that, so leave it out with ignore={constant!r}"
        )
    if _is_constant(targets):
        notes.append(f"the target {target!r} is {targets[0]} in every row; choose another one")
    return notes


def _look_like_classes(numbers: Sequence[float]) -> bool:
    if not all(map(float.is_integer, numbers)):
        return False
    distinct = len(set(numbers))
    return 2 <= distinct <= _MOST_CLASSES and len(numbers) >= _ROWS_A_CLASS * distinct


def _labels(columns: Columns, name: str) -> tuple[list[str], tuple[str, ...]]:
    """The class of each row, and the classes in order: 2 before 10, "1" the same as "1.0"."""
    try:
        numbers = columns.numbers(name)
    except DataError:
        labels = columns.labels(name)
        return labels, tuple(sorted(set(labels)))
    names = {x: str(int(x)) if x.is_integer() else repr(x) for x in sorted(set(numbers))}
    return [names[x] for x in numbers], tuple(names.values())


def _is_constant(column: Sequence[float]) -> bool:
    return min(column) == max(column)
