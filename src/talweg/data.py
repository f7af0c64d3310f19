"""Data sets: rows of numbers with a target each, from lists, arrays, CSV and Parquet files.

A `Dataset` holds plain Python lists of floats, checked once: rows of one length, finite
numbers, one target a row. Everything that trains reads `inputs` and `targets`, or iterates
over the (input, target) pairs. Its `kind` follows from the targets: "regression" when they
are numbers, "classification" when they are indices into the tuple `classes`.

The usual way from a file to training data never lets the validation part leak into the
statistics of the training part:

    data = Dataset.from_csv("houses.csv", target="price")
    training, validation = data.split(fraction=0.2, seed=0)
    inputs, targets = training.input_scaling(), training.target_scaling()
    training = training.standardise(inputs, targets)
    validation = validation.standardise(inputs, targets)

Start reading at `Dataset`; how a target column becomes numbers or classes is `_targets`.
"""

import copy
import math
import operator
import random
import reprlib
import warnings
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, Self, TypeAlias

from talweg.errors import ArgumentError, DataError, DataWarning, ShapeError
from talweg.readers import (
    Columns,
    FilePath,
    listing,
    read_columns,
    read_csv,
    read_parquet,
)

Kind: TypeAlias = Literal["auto", "regression", "classification"]

_MOST_CLASSES = 10
_ROWS_A_CLASS = 5


@dataclass(frozen=True)
class Scaling:
    """Shifts and divides each column so that its mean is 0 and its deviation 1.

    z[j] = (x[j] - means[j]) / deviations[j]

    Args:
        means: the mean of each column, in the column's unit.
        deviations: the population standard deviation of each column, sqrt(sum((x - mean)**2)
            / n), in the column's unit; 1.0 where the column is constant.

    Example:
        >>> scaling = Scaling.of([[1.0, 5.0], [3.0, 5.0]])
        >>> scaling
        Scaling(means=(2.0, 5.0), deviations=(1.0, 1.0))
        >>> scaling.apply([3.0, 6.0]), scaling.invert([1.0, 1.0])
        ([1.0, 1.0], [3.0, 6.0])
    """

    means: tuple[float, ...]
    deviations: tuple[float, ...]

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]]) -> Self:
        """The scaling that standardises these rows.

        Args:
            rows: at least one row of finite numbers, all of one length.

        Returns:
            A scaling with one mean and one deviation for each column.

        Raises:
            DataError: if the rows are not such rows.
        """
        flat, width = _flattened("rows", rows)
        columns = (flat[column::width] for column in range(width))
        means, deviations = zip(*map(_mean_and_deviation, columns), strict=True)
        return cls(means, deviations)

    def apply(self, row: Sequence[float]) -> list[float]:
        """The row in standard units.

        Args:
            row: one number for each column, in the columns' units.

        Returns:
            As many numbers, without unit.

        Raises:
            ShapeError: if the row has another length than the scaling.
        """
        self._check(row)
        scales = zip(row, self.means, self.deviations, strict=True)
        return [(x - mean) / deviation for x, mean, deviation in scales]

    def invert(self, row: Sequence[float]) -> list[float]:
        """The row in the columns' own units: what `apply` undone gives.

        Args:
            row: one number for each column, in standard units.

        Returns:
            As many numbers, in the columns' units.

        Raises:
            ShapeError: if the row has another length than the scaling.
        """
        self._check(row)
        scales = zip(row, self.means, self.deviations, strict=True)
        return [z * deviation + mean for z, mean, deviation in scales]

    def _check(self, row: Sequence[float]) -> None:
        if len(row) != len(self.means):
            raise ShapeError(
                f"the row has {len(row)} numbers, the scaling was made for {len(self.means)}; "
                "use the scaling of this data set's own columns"
            )


class Dataset:
    """Rows of input numbers, with one target a row.

    Args:
        inputs: a list of rows of numbers, or a NumPy array of shape (rows, inputs).
        targets: for each row a number; or a row of numbers, where there are several outputs
            (rows of one number are taken as numbers); or, if `classes` is given, an integer
            that indexes it. A list or a NumPy array.
        input_names: one name for each input; x0, x1, ... if not given.
        target_name: what the target is called.
        classes: the names of at least two classes; makes the kind "classification".

    Attributes:
        inputs: list of rows, each a list of floats.
        targets: list of floats, of lists of floats, or of class indices.
        input_names: tuple of names, one for each input.
        target_name: the name of the target.
        classes: tuple of class names; empty for regression.

    Raises:
        DataError: naming the first entry that is not one finite number, has another length
            than the first row, or indexes no class.

    Example:
        >>> data = Dataset([[1, 2], [3, 4], [5, 6]], [0, 1, 1], classes=("no", "yes"))
        >>> data
        Dataset(3 rows; inputs: x0, x1; target: target, one of no, yes)
        >>> data.kind, data.n_inputs, data.n_outputs
        ('classification', 2, 2)
        >>> list(data.subset([2, 0]))
        [([5.0, 6.0], 1), ([1.0, 2.0], 0)]
    """

    inputs: list[list[float]]
    targets: list[Any]
    input_names: tuple[str, ...]
    target_name: str
    classes: tuple[str, ...]

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        *,
        input_names: Iterable[str] | None = None,
        target_name: str = "target",
        classes: Iterable[str] | None = None,
    ) -> None:
        self.inputs = _number_rows("inputs", inputs)
        self.classes = () if classes is None else _distinct("classes", classes, at_least=2)
        self.targets = (
            _number_targets(targets) if classes is None else _class_indices(targets, self.classes)
        )
        if len(self.targets) != len(self.inputs):
            raise DataError(
                f"there are {len(self.inputs)} inputs and {len(self.targets)} targets; "
                "every row of inputs needs one target"
            )
        names = [f"x{i}" for i in range(self.n_inputs)] if input_names is None else input_names
        self.input_names = _distinct("input_names", names)
        if len(self.input_names) != self.n_inputs:
            raise DataError(
                f"there are {len(self.input_names)} input_names for {self.n_inputs} inputs; "
                "give each input one name"
            )
        self.target_name = str(target_name)

    @classmethod
    def from_csv(
        cls,
        path: FilePath,
        target: str | None = None,
        kind: Kind = "auto",
        ignore: Sequence[str] = (),
    ) -> Self:
        r"""The data set in a CSV file, whatever the file's suffix.

        With `kind="auto"` a target column of text makes a classification. So does one of
        integers, if there are 2 to 10 different ones and at least 5 rows for each on
        average. Any other column of numbers makes a regression. Classes are the sorted
        texts or numbers of the target column, as text.

        Args:
            path: a UTF-8 file with a header line; comma, semicolon or tab between cells.
            target: the column to predict.
            kind: "regression", "classification", or "auto" to let the target column decide.
            ignore: columns to leave out; all others are inputs and must be numbers.

        Returns:
            The data set, its rows in the order of the file.

        Raises:
            DataError: with the line and column of the first cell that cannot be used, or
                with what else is wrong with the file or with the columns named.
            ArgumentError: if `kind` is none of the three.

        Warns:
            DataWarning: for columns that hold the same number in every row.

        Example:
            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> with TemporaryDirectory() as folder:
            ...     path = Path(folder) / "pets.csv"
            ...     _ = path.write_text("weight,age,pet\n4,3,cat\n30,5,dog\n5,8,cat\n")
            ...     Dataset.from_csv(path, target="pet", ignore=["age"])
            Dataset(3 rows; inputs: weight; target: pet, one of cat, dog)
        """
        return cls._from_columns(read_csv(path), target, kind, ignore)

    @classmethod
    def from_parquet(
        cls,
        path: FilePath,
        target: str | None = None,
        kind: Kind = "auto",
        ignore: Sequence[str] = (),
    ) -> Self:
        """The data set in a Parquet file, whatever the file's suffix.

        Args:
            path: a Parquet file.
            target: as in `from_csv`, and so the others.
            kind: "regression", "classification" or "auto".
            ignore: columns to leave out.

        Returns:
            The data set, its rows in the order of the file.

        Raises:
            DataError: as `from_csv`, with rows counted from 1 in place of lines.
            ArgumentError: if `kind` is none of the three.

        Warns:
            DataWarning: for columns that hold the same number in every row.
        """
        return cls._from_columns(read_parquet(path), target, kind, ignore)

    @classmethod
    def from_file(
        cls,
        path: FilePath,
        target: str | None = None,
        kind: Kind = "auto",
        ignore: Sequence[str] = (),
    ) -> Self:
        """The data set in a CSV or Parquet file, whichever its suffix says.

        Args:
            path: a file with suffix .csv, .tsv, .txt, .parquet or .pq.
            target: as in `from_csv`, and so the others.
            kind: "regression", "classification" or "auto".
            ignore: columns to leave out.

        Returns:
            The data set, its rows in the order of the file.

        Raises:
            DataError: as `from_csv` and `from_parquet`, or for another suffix.
            ArgumentError: if `kind` is none of the three.

        Warns:
            DataWarning: for columns that hold the same number in every row.
        """
        return cls._from_columns(read_columns(path), target, kind, ignore)

    @classmethod
    def _from_columns(
        cls, columns: Columns, target: str | None, kind: Kind, ignore: Sequence[str]
    ) -> Self:
        if kind not in ("auto", "regression", "classification"):
            raise ArgumentError(
                f"kind is {kind!r}; expected 'auto', 'regression' or 'classification'"
            )
        target, names = _roles(columns, target, [ignore] if isinstance(ignore, str) else ignore)
        inputs = [columns.numbers(name, f"leave it out with ignore=[{name!r}]") for name in names]
        targets, classes = _targets(columns, target, kind)
        for note in _notes_on_constants(names, inputs, target, targets):
            # 3: the line that called from_csv, from_parquet or from_file
            warnings.warn(f"{columns.path}: {note}", DataWarning, stacklevel=3)
        return cls(
            list(map(list, zip(*inputs, strict=True))),
            targets,
            input_names=names,
            target_name=target,
            classes=classes,
        )

    @property
    def kind(self) -> Literal["regression", "classification"]:
        """Which of "regression" and "classification" the targets call for."""
        return "classification" if self.classes else "regression"

    @property
    def n_inputs(self) -> int:
        """The length of every row of inputs."""
        return len(self.inputs[0])

    @property
    def n_outputs(self) -> int:
        """The number of outputs that a model needs: the numbers in a target, or the classes."""
        if self.classes:
            return len(self.classes)
        return len(self.targets[0]) if isinstance(self.targets[0], list) else 1

    def __len__(self) -> int:
        return len(self.inputs)

    def __iter__(self) -> Iterator[tuple[list[float], Any]]:
        return zip(self.inputs, self.targets, strict=True)

    def __repr__(self) -> str:
        target = self.target_name
        if self.classes:
            target += f", one of {listing(self.classes)}"
        elif self.n_outputs > 1:
            target += f", {self.n_outputs} numbers"
        return f"Dataset({len(self)} rows; inputs: {listing(self.input_names)}; target: {target})"

    def subset(self, indices: Iterable[int]) -> Self:
        """Some of the rows, in the order asked for.

        Args:
            indices: row numbers from 0; a number may come twice.

        Returns:
            A data set with the same names and classes, which shares the rows.

        Raises:
            DataError: if there are no indices, or one is not a row.
        """
        rows = list(indices)
        # A mask of truth values would otherwise pick rows 0 and 1 over and over.
        wrong = [row for row in rows if isinstance(row, bool) or not _is_index(row, len(self))]
        if wrong or not rows:
            what = f"{_shown(wrong[0])} is no row number" if wrong else "no rows were asked for"
            raise DataError(f"{what}; the data set has rows 0 to {len(self) - 1}")
        part = copy.copy(self)  # not Dataset(...): these rows have been checked
        part.inputs = [self.inputs[row] for row in rows]
        part.targets = [self.targets[row] for row in rows]
        return part

    def split(self, fraction: float = 0.2, seed: int = 0) -> tuple[Self, Self]:
        """Two data sets that share out the rows at random: one to train on, one to validate on.

        The validation part gets fraction * rows rows, rounded, but at least one and not
        all. In a classification it gets about that fraction of each class, and every class
        keeps at least one row in the training part, so tiny classes may make it smaller.

        Args:
            fraction: the share of the validation part, between 0 and 1.
            seed: the same seed gives the same parts.

        Returns:
            The training part and the validation part, both shuffled.

        Raises:
            ArgumentError: if the fraction is not between 0 and 1.
            DataError: if no row can be held back.

        Example:
            >>> training, validation = lesson_data().split(fraction=0.25, seed=0)
            >>> len(training), len(validation)
            (3, 1)
        """
        if not 0.0 < fraction < 1.0:
            raise ArgumentError(f"fraction is {fraction}; expected a number between 0 and 1")
        order = list(range(len(self)))
        random.Random(seed).shuffle(order)
        groups: dict[Any, list[int]] = {}
        for row in order:
            groups.setdefault(self.targets[row] if self.classes else None, []).append(row)
        held = _held_back(list(groups.values()), fraction)
        if not held:
            where = "in any class" if self.classes else "in the data set"
            raise DataError(f"cannot split: there is only one row {where}; two are needed")
        return (
            self.subset(row for row in order if row not in held),
            self.subset(row for row in order if row in held),
        )

    def input_scaling(self) -> Scaling:
        """The scaling that standardises the inputs of this data set.

        Call it on the training part alone, and apply it to every part: what the validation
        part looks like must not reach the model.

        Returns:
            One mean and one deviation for each input.

        Example:
            >>> training, validation = lesson_data().split(fraction=0.25)
            >>> scaling = training.input_scaling()
            >>> training = training.standardise(scaling)
            >>> validation = validation.standardise(scaling)
        """
        return Scaling.of(self.inputs)

    def target_scaling(self) -> Scaling:
        """The scaling that standardises the targets of this data set, a regression.

        Call it on the training part alone, as `input_scaling`.

        Returns:
            One mean and one deviation for each output. The prediction p of a model with one
            output is in the target's own unit again as `scaling.invert([p])[0]`.

        Raises:
            ArgumentError: for a classification.
        """
        self._refuse_classes()
        return Scaling.of(_rows_of(self.targets))

    def standardise(self, inputs: Scaling, targets: Scaling | None = None) -> "Dataset":
        """This data set in standard units.

        Args:
            inputs: the `input_scaling()` of the training part.
            targets: the `target_scaling()` of the training part, or None to leave the
                targets as they are.

        Returns:
            A new data set.

        Raises:
            ShapeError: if a scaling is for another number of columns.
            ArgumentError: if targets of a classification are to be scaled.
        """
        if targets is not None:
            self._refuse_classes()
        return Dataset(
            [inputs.apply(row) for row in self.inputs],
            [targets.apply(row) for row in _rows_of(self.targets)] if targets else self.targets,
            input_names=self.input_names,
            target_name=self.target_name,
            classes=self.classes or None,
        )

    def _refuse_classes(self) -> None:
        if self.classes:
            raise ArgumentError(
                f"the target {self.target_name!r} is a class, which has no scale; "
                "standardise the inputs alone"
            )


def lesson_data() -> Dataset:
    """The four samples of the lesson: three inputs each, and a target of 1 or -1.

    Returns:
        A regression data set of 4 rows.

    Example:
        >>> for x, y in lesson_data():
        ...     print(x, y)
        [2.0, 3.0, -1.0] 1.0
        [3.0, -1.0, 0.5] -1.0
        [0.5, 1.0, 1.0] -1.0
        [1.0, 1.0, -1.0] 1.0
    """
    inputs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    return Dataset(inputs, [1.0, -1.0, -1.0, 1.0])


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
    for name in input_names:
        columns.require(name)
    inputs = [columns.numbers(name) for name in input_names]
    return [list(row) for row in zip(*inputs, strict=True)]


# ---- from columns to inputs and targets ---------------------------------------------------


def _roles(
    columns: Columns, target: str | None, ignore: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """The target and the inputs, each checked to be a column of the right sort."""
    if target is None:
        raise DataError(
            f"{columns.path}: no target was named; pass target= one of {listing(columns.names)}"
        )
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
    return target, inputs


def _targets(
    columns: Columns, name: str, kind: Kind
) -> tuple[list[float] | list[int], tuple[str, ...] | None]:
    """The targets in a column and their classes, which are None for a regression."""
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


def _notes_on_constants(
    names: Sequence[str],
    inputs: Sequence[Sequence[float]],
    target: str,
    targets: Sequence[float],
) -> list[str]:
    """What to warn of: columns with one number in every row. In one row that means nothing."""
    if len(targets) == 1:
        return []
    constant = [
        name for name, column in zip(names, inputs, strict=True) if min(column) == max(column)
    ]
    notes = []
    if constant:
        notes.append(
            f"the number is the same in every row of {listing(constant)}; nothing can be "
            f"learned from that, so leave it out with ignore={constant!r}"
        )
    if min(targets) == max(targets):
        notes.append(f"the target {target!r} is {targets[0]} in every row; choose another one")
    return notes


# ---- from lists and arrays to lists of floats ---------------------------------------------


def _number_rows(what: str, rows: Any) -> list[list[float]]:
    flat, width = _flattened(what, rows)
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def _flattened(what: str, rows: Any) -> tuple[list[float], int]:
    """The finite floats of all rows, one row after another, and the length of every row."""
    listed = [
        row if type(row) is list else _row(f"{what}[{i}]", row)
        for i, row in enumerate(_filled_list(what, rows))
    ]
    width = len(listed[0])
    if not width:
        raise DataError(f"{what}[0] is empty; a row needs at least one number")
    for i, row in enumerate(listed):
        if len(row) != width:
            raise DataError(
                f"{what}[{i}] has {len(row)} numbers, {what}[0] has {width}; "
                "every row needs the same number of them"
            )
    flat = _finite(chain.from_iterable(listed))
    if flat is None:
        flat = [x for i, row in enumerate(listed) for x in _checked(f"{what}[{i}]", row)]
    return flat, width


def _number_targets(targets: Any) -> list[Any]:
    """Floats, or rows of at least two floats."""
    listed = _filled_list("targets", targets)
    if _as_list(listed[0]) is None:
        return _finite(listed) or _checked("targets", listed)
    rows = _number_rows("targets", listed)
    # A layer with one neuron gives a number, not a list of one, so its target is a number.
    return [row[0] for row in rows] if len(rows[0]) == 1 else rows


def _class_indices(targets: Any, classes: Sequence[str]) -> list[int]:
    listed = _filled_list("targets", targets)
    indices: list[int] = []
    for i, target in enumerate(listed):
        if not _is_index(target, len(classes)):
            raise DataError(
                f"targets[{i}] is {_shown(target)}; expected the index of a class, "
                f"an integer from 0 to {len(classes) - 1} ({listing(classes)})"
            )
        indices.append(int(target))
    return indices


def _row(where: str, row: Any) -> list[Any]:
    listed = _as_list(row)
    if listed is None:
        raise DataError(
            f"{where} is {_shown(row)}, not a row; write each row as a list, such as [[1.0], "
            "[2.0]] (an array of one dimension: x.reshape(-1, 1))"
        )
    return listed


def _filled_list(what: str, values: Any) -> list[Any]:
    listed = _as_list(values)
    if listed is None:
        raise DataError(
            f"{what} is a {type(values).__name__}; expected a list or a NumPy array "
            "(convert a data frame with .to_numpy(), an iterator with list())"
        )
    if not listed:
        raise DataError(f"{what} is empty; a data set needs at least one row")
    return listed


def _as_list(values: Any) -> list[Any] | None:
    """What a list, tuple, range or array holds; None for anything else."""
    if hasattr(values, "tolist"):  # NumPy's arrays, and its numbers, which give a number
        values = values.tolist()
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes, bytearray)):
        return list(values)
    return None


def _finite(values: Iterable[Any]) -> list[float] | None:
    """The values as floats; None if any is no finite number. Unlike float(), refuses text."""
    try:
        numbers = array("d", values)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers.tolist() if all(map(math.isfinite, numbers)) else None


def _checked(where: str, values: Sequence[Any]) -> list[float]:
    """The slow way, which finds the value at fault."""
    numbers: list[float] = []
    for j, value in enumerate(values):
        number = _finite([value])
        if number is None:
            raise DataError(
                f"{where}[{j}] is {_shown(value)}; expected a finite number; correct it, or "
                "leave the row out"
            )
        numbers += number
    return numbers


def _is_index(value: Any, length: int) -> bool:
    try:
        return 0 <= operator.index(value) < length
    except TypeError:
        return False


def _distinct(what: str, names: Iterable[str], at_least: int = 1) -> tuple[str, ...]:
    if isinstance(names, str):
        raise DataError(f"{what} is the text {names!r}; expected a list of names")
    found = tuple(map(str, names))
    if len(found) < at_least or len(set(found)) < len(found):
        raise DataError(
            f"{what} are {listing(found) or 'none'}; expected at least {at_least}, all different"
        )
    return found


def _shown(value: Any) -> str:
    """A short repr in one line."""
    return " ".join(reprlib.repr(value).split())


# ---- splitting and scaling ----------------------------------------------------------------


def _held_back(groups: Sequence[Sequence[int]], fraction: float) -> set[int]:
    """The rows for validation: the fraction of each group to within a row, never all of one.

    Groups are taken from the smallest to the largest, each up to its share of the running
    total, so that what a small group cannot give comes from a larger one.
    """
    rows = sum(map(len, groups))
    total = min(max(int(fraction * rows + 0.5), 1), rows - 1)
    held: set[int] = set()
    seen = 0
    for group in sorted(groups, key=len):
        seen += len(group)
        wanted = int(total * seen / rows + 0.5) - len(held)
        held.update(group[: min(wanted, len(group) - 1)])
    return held


def _mean_and_deviation(column: Sequence[float]) -> tuple[float, float]:
    """The mean and the population standard deviation; 1.0 for a constant column's.

    The numbers are divided by a power of two, which is exact, so that no square or sum
    overflows or vanishes.
    """
    if min(column) == max(column):
        return column[0], 1.0
    exponent = math.frexp(max(map(abs, column)))[1]
    scaled = [math.ldexp(x, -exponent) for x in column]
    mean = math.fsum(scaled) / len(scaled)
    variance = math.fsum((x - mean) ** 2 for x in scaled) / len(scaled)
    deviation = math.ldexp(math.sqrt(variance), exponent)
    return math.ldexp(mean, exponent), deviation or 1.0  # 0.0 for the very smallest numbers


def _rows_of(targets: Sequence[Any]) -> list[list[float]]:
    return [target if isinstance(target, list) else [target] for target in targets]
