"""What became of a run as one number, and how rough the boundary between two outcomes is.

`convergence_measure` is the published measure: negative for a run that converged, positive for one
that did not, and larger in size the longer it took to decide. `box_counting_dimension` measures
the boundary: 1 for a smooth curve, up to 2 for one that fills the plane.

Source: Sohl-Dickstein, The boundary of neural network trainability is fractal, arXiv 2402.06184.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg._util.deprecation import RenamedAttribute
from talweg.errors import ArgumentError, DataError

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

LARGEST = 1e6
"""What stands for a loss that is not finite, and the largest multiple of the first loss."""

LAST = 20
"""Whether a run converged is decided by the mean of so many losses at its end."""


def convergence_measure(losses: Array) -> Array:
    """The published measure of runs, from their losses.

    Losses v that are not finite become 1e6; v <- v / v[first], at most 1e6. A run whose last 20
    losses have a mean below 1 converged, and its measure is -sum(v); else it is sum(1 / v). The
    first loss is 1 after the division, so a measure is at least 1 in size: never 0, never nan.

    Where the published formula divides by zero: a first loss of 0 counts as 1 and what follows
    it as 0 if it is 0, else as 1e6; and 1 / v is at most 1e300. A run whose first loss is not
    finite has only such losses: v is 1 throughout, and it did not converge.

    Args:
        losses: the loss before each step, at least 0, runs x steps; nan after the end of a run
            that diverged.

    Returns:
        One number for each run.

    Raises:
        DataError: if there is no step.
        ArgumentError: if a loss is negative: the measure compares sizes.

    Source: Sohl-Dickstein, arXiv 2402.06184, and the code published with it.

    Example:
        >>> import numpy as np
        >>> convergence_measure(np.array([[8.0, 4.0, 2.0], [8.0, 16.0, np.nan]])).tolist()
        [-1.75, 1.500008]
    """
    import numpy as np

    v = np.array(losses, float, order="C")  # sums do not depend on where numbers come from
    if v.ndim != 2 or not v.shape[1]:
        raise DataError(f"expected losses of runs x steps, at least one step, got {v.shape}")
    if (v < 0.0).any():
        raise ArgumentError(
            f"a map needs losses of at least 0, but one is {float(np.nanmin(v))!r}; "
            "take a loss that has its minimum at 0 or above"
        )
    v[~np.isfinite(v)] = LARGEST
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        v /= v[:, :1].copy()
    v[np.isnan(v)] = 0.0  # 0 / 0
    v[:, 0] = 1.0
    np.minimum(v, LARGEST, out=v)
    converged = v[:, -LAST:].mean(axis=1) < 1.0
    slow = (1.0 / np.maximum(v, 1e-300)).sum(axis=1)
    measures: Array = np.where(converged, -v.sum(axis=1), slow)
    return measures


@dataclass(frozen=True)
class Dimension:
    """The box-counting dimension of a boundary.

    Attributes:
        value: the dimension; None if there is none to tell.
        error: the standard error of the slope that it is; None with the value.
        sizes: the sides of the boxes, in pixels.
        counts: how many boxes of each size have boundary in them.
        summary: the same in words; without a value why there is none.
    """

    value: float | None
    error: float | None
    sizes: tuple[int, ...]
    counts: tuple[int, ...]
    summary: str

    in_words = RenamedAttribute("summary")


def boundary(converged: Array) -> Array:
    """The pixels whose right or lower neighbour has the other outcome.

    >>> import numpy as np
    >>> boundary(np.array([[True, True], [True, False]])).tolist()
    [[False, True], [True, False]]
    """
    import numpy as np

    edge = np.zeros(converged.shape, bool)
    edge[:, :-1] |= converged[:, :-1] != converged[:, 1:]
    edge[:-1] |= converged[:-1] != converged[1:]
    return edge


def box_counting_dimension(converged: Array) -> Dimension:
    """How rough the boundary between two outcomes is.

    The picture is cut into boxes of side s = 2, 4, 8, ... pixels, up to an eighth of its shorter
    side, and those with boundary in them are counted. (Boxes of one pixel see the grid, not the
    boundary, and count too few; pictures of less than 64 pixels use them all the same.) Their
    number grows as (1 / s)**dimension: the dimension is the least-squares slope of log count over
    log 1/s, and its error is the standard error of that slope. A picture shows only so many sizes:
    for 512 x 512 pixels of a curve of known dimension the estimate is off by up to 0.1.

    Args:
        converged: the outcome of each pixel, at least 32 x 32.

    Returns:
        The `Dimension`; without a value if all outcomes are the same, or the picture is smaller.

    Example:
        >>> import numpy as np
        >>> box_counting_dimension(np.indices((64, 64))[0] > 40).summary
        "the boundary's box-counting dimension is 1.00 ± 0.00"
    """
    edge = boundary(converged)
    side = min(edge.shape)
    sizes = [2**k for k in range(32) if min(2, side // 32) <= 2**k <= side // 8]
    if len(sizes) < 3:
        shape = " x ".join(map(str, edge.shape))
        return Dimension(None, None, (), (), f"{shape} points are too few to tell a dimension")
    if not edge.any():
        return Dimension(None, None, (), (), "there is no boundary in this picture")
    counts = [_boxes(edge, size) for size in sizes]
    value, error = _slope([-math.log(s) for s in sizes], [math.log(n) for n in counts])
    words = f"the boundary's box-counting dimension is {value:.2f} ± {error:.2f}"
    return Dimension(value, error, tuple(sizes), tuple(counts), words)


def _boxes(edge: Array, size: int) -> int:
    """How many boxes of a size have boundary in them; those at the far sides may be cut off."""
    import numpy as np

    rows, columns = (-(-n // size) for n in edge.shape)
    padded = np.zeros((rows * size, columns * size), bool)
    padded[: edge.shape[0], : edge.shape[1]] = edge
    return int(padded.reshape(rows, size, columns, size).any(axis=(1, 3)).sum())


def _slope(x: list[float], y: list[float]) -> tuple[float, float]:
    """The slope of the least-squares line, and its standard error; at least 3 points."""
    n = len(x)
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    spread = math.fsum((a - mean_x) ** 2 for a in x)
    slope = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    off = math.fsum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    return slope, math.sqrt(off / (n - 2) / spread)


def busiest_point(converged: Array, *, rough: bool = False) -> tuple[int, int] | None:
    """The point of the boundary with the most going on around it: a good place to look closer.

    Around is within a sixteenth of the picture's shorter side, in both directions, and what counts
    is boundary between areas that are at least 3 x 3 pixels wide: where outcomes change from pixel
    to pixel a closer look shows more noise, and single pixels of one outcome in a sea of the other
    lead to nowhere. If no areas meet, any boundary counts. Of several points with as much around
    them it is the one nearest to the middle, of those the first in rows from the bottom.

    Args:
        converged: the outcome of each pixel.
        rough: multiply the count by that of all boundary around: of two places with as much
            clear boundary the one with more noise beside it. A way down that avoids all noise
            ends at a smooth line.

    Returns:
        (row, column), or None if there is no boundary.

    Example:
        >>> import numpy as np
        >>> rows, columns = np.indices((64, 64))
        >>> busiest_point((rows < 20) ^ ((columns // 4) % 2 * (columns > 40) == 1))
        (23, 47)
    """
    import numpy as np

    edge = boundary(converged)
    if not edge.any():
        return None
    clear = edge & _beside_area(converged) & _beside_area(~converged)
    counted = clear if clear.any() else edge
    reach = max(1, min(edge.shape) // 16)
    score = _around(counted, reach) * (_around(edge, reach) if rough else 1)
    rows, columns = np.nonzero(counted & (score == score[counted].max()))
    away = (2 * rows - edge.shape[0]) ** 2 + (2 * columns - edge.shape[1]) ** 2
    nearest = int(away.argmin())
    return int(rows[nearest]), int(columns[nearest])


def _beside_area(pixels: Array) -> Array:
    """The pixels in, or beside, a square of 3 x 3 that are all set."""
    middles = _around(pixels, 1) == 9
    beside: Array = _around(middles, 2) > 0
    return beside


def _around(pixels: Array, reach: int) -> Array:
    """For each pixel, how many are set within some distance of it, in both directions."""
    import numpy as np

    sums = np.pad(pixels.astype(np.int64), ((reach + 1, reach), (reach + 1, reach)))
    sums = sums.cumsum(axis=0).cumsum(axis=1)
    side = 2 * reach + 1
    counts: Array = (
        sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    )
    return counts
