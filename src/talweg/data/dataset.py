"""`Dataset`: rows of input numbers with one target each, in plain Python lists.

Training reads `inputs` and `targets`, or iterates over the (input, target) pairs. The `kind`
follows from the targets: "regression" if they are numbers, "classification" if they are indices
into the tuple `classes`.

Start reading at `Dataset`.
"""

import copy
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from talweg.data.checks import (
    class_targets,
    distinct_names,
    is_index,
    listing,
    number_rows,
    number_targets,
    short_repr,
)
from talweg.data.columns import Columns, FilePath
from talweg.data.readers import read_columns, read_csv, read_parquet
from talweg.data.scaling import Scaling
from talweg.data.splitting import split_rows
from talweg.data.target import Kind, constant_columns, input_columns, targets_and_classes
from talweg.error_fields import Argument
from talweg.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from talweg.data.checks import FloatArray


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
        self.inputs = number_rows("inputs", inputs)
        self.classes = () if classes is None else distinct_names("classes", classes, 2)
        self.targets = (
            class_targets(targets, self.classes) if self.classes else number_targets(targets)
        )
        if len(self.targets) != len(self.inputs):
            raise DataError(
                f"there are {len(self.inputs)} inputs and {len(self.targets)} targets",
                repair="give every row of inputs one target",
            )
        names = [f"x{i}" for i in range(self.n_inputs)] if input_names is None else input_names
        self.input_names = distinct_names("input_names", names)
        if len(self.input_names) != self.n_inputs:
            raise DataError(
                f"there are {len(self.input_names)} input_names for {self.n_inputs} inputs",
                repair="give each input one name",
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
            target: the column to predict.
            kind: as in `from_csv`.
            ignore: columns to leave out.

        Returns:
            The data set, its rows in the order of the file.

        Raises:
            DataError: as `from_csv`, with rows counted from 1 in place of lines.
            ArgumentError: if `kind` is none of the three.
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
        """The data set in a CSV or Parquet file; the suffix decides which.

        Args:
            path: a file with suffix .csv, .tsv, .txt, .parquet or .pq.
            target: the column to predict.
            kind: as in `from_csv`.
            ignore: columns to leave out.

        Returns:
            The data set, its rows in the order of the file.

        Raises:
            DataError: as `from_csv` and `from_parquet`, or for another suffix.
            ArgumentError: if `kind` is none of the three.
        """
        return cls._from_columns(read_columns(path), target, kind, ignore)

    @classmethod
    def _from_columns(
        cls, columns: Columns, target: str | None, kind: Kind, ignore: Sequence[str]
    ) -> Self:
        import numpy as np

        if target is None:
            known = listing(columns.names)
            raise DataError(
                "no target was named", path=columns.path, repair=f"pass target= one of {known}"
            )
        names = input_columns(columns, target, [ignore] if isinstance(ignore, str) else ignore)
        inputs = [
            columns.numbers(name, "leave it out with", Argument("ignore", [name])) for name in names
        ]
        targets, classes = targets_and_classes(columns, target, kind)
        for warning in constant_columns(columns.path, names, inputs, target, targets):
            # 3: the line that called from_csv, from_parquet or from_file
            warnings.warn(warning, stacklevel=3)
        return cls(
            np.transpose(inputs), targets, input_names=names, target_name=target, classes=classes
        )

    @property
    def kind(self) -> Literal["regression", "classification"]:
        """The kind of the targets: "classification" if they are indices of classes."""
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
        """Some of the rows, in the order of the indices.

        Args:
            indices: row numbers from 0; a number may occur twice.

        Returns:
            A data set with the same names and classes, which shares the rows.

        Raises:
            DataError: if there are no indices, or one is not a row.
        """
        rows = list(indices)
        # A mask of truth values would otherwise select rows 0 and 1 again and again.
        wrong = [row for row in rows if isinstance(row, bool) or not is_index(row, len(self))]
        if wrong or not rows:
            what = (
                f"{short_repr(wrong[0])} is not a row number" if wrong else "there are no indices"
            )
            raise DataError(what, repair=f"the data set has rows 0 to {len(self) - 1}")
        return self._rows(rows)

    def _rows(self, rows: Sequence[int]) -> Self:
        part = copy.copy(self)  # not Dataset(...): these rows have been checked
        part.inputs = [self.inputs[row] for row in rows]
        part.targets = [self.targets[row] for row in rows]
        return part

    def split(self, fraction: float = 0.2, seed: int = 0) -> tuple[Self, Self]:
        """Divide the rows at random into two data sets: for training and for validation.

        The validation part has fraction * rows rows, rounded, but at least one and not
        all. In a classification it has about that fraction of each class, and every class
        has at least one row in the training part, so very small classes can make it smaller.

        Args:
            fraction: the fraction of rows in the validation part, between 0 and 1.
            seed: the same seed gives the same parts.

        Returns:
            The training part and the validation part, both shuffled.

        Raises:
            ArgumentError: if the fraction is not between 0 and 1.
            DataError: if there are too few rows to divide.

        Example:
            >>> training, validation = lesson_data().split(fraction=0.25, seed=0)
            >>> len(training), len(validation)
            (3, 1)
        """
        classes = self.targets if self.classes else None
        training, validation = split_rows(len(self), fraction, seed, classes)
        return self._rows(training), self._rows(validation)

    def input_scaling(self) -> Scaling:
        """The scaling that standardises the inputs of this data set.

        Call it on the training part alone, and standardise every part with it: the statistics
        of the validation part must not enter the training.

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
        return Scaling.of(self._target_rows())

    def standardise(self, inputs: Scaling, targets: Scaling | None = None) -> Self:
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
            DataError: naming the first number that is too large for a float in these units.
        """
        part = copy.copy(self)
        part.targets = self.targets.copy()
        part.inputs = number_rows("inputs", inputs.apply_rows(self.inputs))
        if targets is not None:
            part.targets = number_targets(targets.apply_rows(self._target_rows()))
        return part

    def _target_rows(self) -> "FloatArray":
        import numpy as np

        if self.classes:
            raise ArgumentError(
                f"the target {self.target_name!r} is a class, which has no scale",
                repair="standardise the inputs alone",
            )
        return np.reshape(self.targets, (len(self), -1))


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
