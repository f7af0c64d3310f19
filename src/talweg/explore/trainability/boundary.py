"""The boundary between converged and other runs of a map: where it is, and how rough.

`box_counting_dimension` is 1 for a smooth curve and up to 2 for one that fills the plane.
`densest_boundary_point` finds a point to zoom into.

Source: Sohl-Dickstein, The boundary of neural network trainability is fractal, arXiv 2402.06184.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from talweg._util.arrays import Array
from talweg._util.deprecation import RenamedAttribute


@dataclass(frozen=True)
class Dimension:
    """The box-counting dimension of a boundary.

    Attributes:
        value: the dimension; None if it cannot be estimated.
        error: the standard error of the slope that is the dimension; None with the value.
        sizes: the sides of the boxes, in pixels.
        counts: the number of boxes of each size that contain boundary.
        summary: one sentence with the dimension, or why it cannot be estimated.
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
    """The box-counting dimension of the boundary between two outcomes.

    The picture is divided into boxes of side s = 2, 4, 8, ... pixels, up to an eighth of its
    shorter side, and N(s) is the number of boxes that contain boundary. It grows as
    (1 / s)**dimension: the dimension is the least-squares slope of log N(s) over log(1 / s), and
    its error is the standard error of that slope. Boxes of one pixel resolve the grid, not the
    boundary, and count too few; they are used only for pictures of less than 64 pixels. For
    512 x 512 pixels of a curve of known dimension the estimate is off by up to 0.1.

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
        return Dimension(None, None, (), (), f"{shape} points are too few to estimate a dimension")
    if not edge.any():
        return Dimension(None, None, (), (), "the map has no boundary")
    counts = [_count_boxes(edge, size) for size in sizes]
    value, error = _slope([-math.log(s) for s in sizes], [math.log(n) for n in counts])
    words = f"the boundary's box-counting dimension is {value:.2f} ± {error:.2f}"
    return Dimension(value, error, tuple(sizes), tuple(counts), words)


def _count_boxes(edge: Array, size: int) -> int:
    """The number of boxes of a size that contain boundary; the last ones may be incomplete."""
    import numpy as np

    rows, columns = (-(-n // size) for n in edge.shape)
    padded = np.zeros((rows * size, columns * size), bool)
    padded[: edge.shape[0], : edge.shape[1]] = edge
    return int(padded.reshape(rows, size, columns, size).any(axis=(1, 3)).sum())


def _slope(x: list[float], y: list[float]) -> tuple[float, float]:
    """The slope of the least-squares line through at least 3 points, and its standard error."""
    n = len(x)
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    spread = math.fsum((a - mean_x) ** 2 for a in x)
    slope = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    residual = math.fsum(
        (b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True)
    )
    return slope, math.sqrt(residual / (n - 2) / spread)


def densest_boundary_point(converged: Array, *, rough: bool = False) -> tuple[int, int] | None:
    """The point of the boundary with the most boundary around it: a good point to zoom into.

    "Around" is within a sixteenth of the picture's shorter side, along both axes. Only boundary
    between areas that contain a square of 3 x 3 pixels is counted. Where outcomes change from pixel
    to pixel a zoom shows noise again, and a single pixel of the other outcome is not part of a
    boundary that a zoom could follow. If there is no such boundary, all boundary is counted. Of
    several points with the same count it is the one nearest to the middle, and of those the first
    by row.

    Args:
        converged: the outcome of each pixel.
        rough: multiply the count by that of all boundary around the point, noise included. A
            sequence of zooms that avoids all noise ends at a smooth line.

    Returns:
        (row, column), or None if there is no boundary.

    Example:
        >>> import numpy as np
        >>> rows, columns = np.indices((64, 64))
        >>> densest_boundary_point((rows < 20) ^ ((columns // 4) % 2 * (columns > 40) == 1))
        (23, 47)
    """
    import numpy as np

    edge = boundary(converged)
    if not edge.any():
        return None
    clear = edge & _near_area(converged) & _near_area(~converged)
    counted = clear if clear.any() else edge
    reach = max(1, min(edge.shape) // 16)
    score = _count_around(counted, reach) * (_count_around(edge, reach) if rough else 1)
    rows, columns = np.nonzero(counted & (score == score[counted].max()))
    distance = (2 * rows - edge.shape[0]) ** 2 + (2 * columns - edge.shape[1]) ** 2
    nearest = int(distance.argmin())
    return int(rows[nearest]), int(columns[nearest])


def _near_area(pixels: Array) -> Array:
    """The pixels in, or next to, a square of 3 x 3 that are all set."""
    centres = _count_around(pixels, 1) == 9
    near: Array = _count_around(centres, 2) > 0
    return near


def _count_around(pixels: Array, reach: int) -> Array:
    """For each pixel, the number of set pixels within a distance along both axes."""
    import numpy as np

    sums = np.pad(pixels.astype(np.int64), ((reach + 1, reach), (reach + 1, reach)))
    sums = sums.cumsum(axis=0).cumsum(axis=1)
    side = 2 * reach + 1
    counts: Array = (
        sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    )
    return counts
