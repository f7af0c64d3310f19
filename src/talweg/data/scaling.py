"""`Scaling`: columns of numbers in standard units (mean 0, deviation 1), and the inverse.

Start reading at `Scaling`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from talweg.data.checks import matrix
from talweg.errors import ShapeError

if TYPE_CHECKING:
    from talweg.data.checks import FloatArray


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
    def of(cls, rows: Any) -> Self:
        """The scaling that standardises these rows.

        Args:
            rows: at least one row of finite numbers, all of one length; a list or an array.

        Returns:
            A scaling with one mean and one deviation for each column.

        Raises:
            DataError: if the rows are not such rows.
        """
        columns = matrix("rows", rows).T
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
        self._check(len(row))
        scales = zip(row, self.means, self.deviations, strict=True)
        return [(x - mean) / deviation for x, mean, deviation in scales]

    def apply_rows(self, rows: Any) -> "FloatArray":
        """Rows in standard units: the same bits as `apply` of each row, but faster.

        Args:
            rows: a list of rows as for `apply`, or an array of shape (rows, columns).

        Returns:
            An array of shape (rows, columns), infinite where a float is too small for it.

        Raises:
            DataError: if the rows are not rows of finite numbers.
            ShapeError: if they have another length than the scaling.

        Example:
            >>> Scaling((2.0, 5.0), (1.0, 2.0)).apply_rows([[3.0, 6.0], [2.0, 1.0]]).tolist()
            [[1.0, 0.5], [0.0, -2.0]]
        """
        import numpy as np

        table = matrix("rows", rows)
        self._check(table.shape[1])
        with np.errstate(all="ignore"):
            return (table - self.means) / self.deviations

    def invert(self, row: Sequence[float]) -> list[float]:
        """The row in the columns' own units: the inverse of `apply`.

        Args:
            row: one number for each column, in standard units.

        Returns:
            As many numbers, in the columns' units.

        Raises:
            ShapeError: if the row has another length than the scaling.
        """
        self._check(len(row))
        scales = zip(row, self.means, self.deviations, strict=True)
        return [z * deviation + mean for z, mean, deviation in scales]

    def _check(self, length: int) -> None:
        if length != len(self.means):
            raise ShapeError(
                f"the row has {length} numbers, the scaling was made for {len(self.means)}",
                repair="use the scaling of this data set's own columns",
            )


def _mean_and_deviation(column: "FloatArray") -> tuple[float, float]:
    """The mean and the population standard deviation; for a constant column 1.0.

    The numbers are divided by a power of two, which is exact, so that no square or sum
    overflows or underflows. The last bits of NumPy's sums depend on the processor; those of
    fsum do not.
    """
    import numpy as np

    if column.min() == column.max():
        return float(column[0]), 1.0
    exponent = math.frexp(np.abs(column).max())[1]
    scaled = np.ldexp(column, -exponent)
    mean = math.fsum(scaled.tolist()) / len(column)
    variance = math.fsum(((scaled - mean) ** 2).tolist()) / len(column)
    deviation = math.ldexp(math.sqrt(variance), exponent)
    return math.ldexp(mean, exponent), deviation or 1.0  # 0.0 for the very smallest numbers
