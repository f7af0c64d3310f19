"""The points and windows of zooms into a map.

`zoom_point` is the point of one zoom, and `window_around` the window. `zoom_windows` are the
windows of an animation, each at twice the scale of the one before: the point has the same position
in all of them, so each window contains the next one. `find_zoom_target` chooses such a point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from talweg._util.arrays import Array
from talweg.error_fields import Argument
from talweg.errors import ArgumentError
from talweg.explore.trainability.axes import Plane
from talweg.explore.trainability.boundary import densest_boundary_point
from talweg.explore.trainability.tiles import Window

_SEARCH_SIZE = 64
"""The number of points along each axis of the small maps in which a target is searched for."""


def zoom_point(
    plane: Plane, window: Window, converged: Array, x: float | None, y: float | None, level: int
) -> tuple[int, int]:
    """The point to zoom into, as (row, column) of a level.

    Args:
        plane: the axes of the map.
        window: the window that the map shows.
        converged: the outcomes in it.
        x: the setting along x of the point; None for the point with the most boundary around it.
        y: the setting along y of the point, or None with `x`.
        level: the level of the point, at least that of `window`.

    Raises:
        ArgumentError: if only one of x and y is given, the point is not on the axes, or there is
            no boundary in `window`.
    """
    if x is not None and y is not None:
        return plane.y.index(y, level), plane.x.index(x, level)
    if x is not None or y is not None:
        raise ArgumentError("give both x and y of the point to zoom into, or neither")
    found = densest_boundary_point(converged)
    if found is None:
        raise _no_boundary()
    finer = level - window.level
    row, column = found
    return (window.row + row) << finer, (window.column + column) << finer


def require_inside(plane: Plane, window: Window, row: int, column: int, level: int) -> None:
    """Refuse a point outside of a window.

    Args:
        plane: the axes of the map.
        window: the window that the map shows.
        row: the point along y.
        column: the point along x.
        level: the level of the point.

    Raises:
        ArgumentError: if the point is outside; the message has the ranges of both settings.
    """
    finer = level - window.level
    inside_rows = 0 <= (row >> finer) - window.row < window.rows
    inside_columns = 0 <= (column >> finer) - window.column < window.columns
    if not (inside_rows and inside_columns):
        x = plane.x.values(window.level, window.column, window.columns)
        y = plane.y.values(window.level, window.row, window.rows)
        raise ArgumentError(
            f"the point is not in this map, which shows {plane.x.name} from {x[0]:g} to "
            f"{x[-1]:g} and {plane.y.name} from {y[0]:g} to {y[-1]:g}"
        )


def window_around(row: int, column: int, size: int, level: int) -> Window:
    """A square window around a point, inside the map.

    It starts at a multiple of a 64th of its size, so that windows of close points share tiles.

    Args:
        row: the point along y.
        column: the point along x.
        size: the number of points of the window along each axis.
        level: the level of the point and of the window.

    >>> window_around(row=500, column=3, size=64, level=9)
    Window(level=9, row=448, column=0, rows=64, columns=64)
    """
    grain = max(1, size // 64)

    def start(middle: int) -> int:
        return min(max((middle - size // 2) // grain * grain, 0), (1 << level) - size)

    return Window(level, start(row), start(column), size, size)


def zoom_windows(
    window: Window, row: int, column: int, doublings: int
) -> list[tuple[Window, tuple[float, float]]]:
    """Windows at increasing scale in which a point has the same position.

    Args:
        window: the first window.
        row: the point along y, on the level `doublings` levels after that of `window`; it is
            inside of `window`.
        column: the point along x, on that level.
        doublings: how many windows follow the first.

    Returns:
        Pairs (window, position of the point in it as (row, column)).

    >>> for part, point in zoom_windows(Window(5, 0, 0, 32, 32), 37, 80, 2):
    ...     print(part.level, part.row, part.column, point)
    5 0 0 (9.25, 20.0)
    6 9 20 (9.5, 20.0)
    7 28 60 (9.0, 20.0)
    """
    first_row, first_column = (row >> doublings) - window.row, (column >> doublings) - window.column
    windows = []
    for k in range(doublings + 1):
        finer = doublings - k  # how many levels the point is finer than this window
        part = replace(
            window,
            level=window.level + k,
            row=(row >> finer) - first_row,
            column=(column >> finer) - first_column,
        )
        scale = 1 << finer
        windows.append((part, (row / scale - part.row, column / scale - part.column)))
    return windows


def find_zoom_target(
    window: Window,
    converged: Array,
    doublings: int,
    converged_in: Callable[[Window], Array],
) -> tuple[int, int]:
    """A point that has much boundary around it at every doubling of the scale.

    The search starts at the point of `window` with the most boundary around it
    (`densest_boundary_point`). At each doubling it continues with that of a small map around the
    last point, at twice the scale, where noise beside the boundary counts too.

    Args:
        window: the window of the whole zoom.
        converged: the outcomes in it.
        doublings: how often the scale doubles.
        converged_in: computes the outcomes in a small window.

    Returns:
        (row, column) on the level `doublings` levels after that of `window`.

    Raises:
        ArgumentError: if there is no boundary in `window`.
    """
    found = densest_boundary_point(converged)
    if found is None:
        raise _no_boundary()
    row, column = window.row + found[0], window.column + found[1]
    size = min(_SEARCH_SIZE, window.rows)
    for level in range(window.level + 1, window.level + doublings + 1):
        row, column = 2 * row, 2 * column
        count = (1 << level) - size + 1  # of windows of this size, along each axis
        small = Window(
            level,
            _clamp(row - size // 2, 0, count),
            _clamp(column - size // 2, 0, count),
            size,
            size,
        )
        inside = densest_boundary_point(converged_in(small), rough=True)
        if inside is not None:  # else the boundary passes between the points of this level
            row, column = small.row + inside[0], small.column + inside[1]
    # The steps may have led out of the first window.
    return (
        _clamp(row, window.row << doublings, window.rows << doublings),
        _clamp(column, window.column << doublings, window.columns << doublings),
    )


def _no_boundary() -> ArgumentError:
    return ArgumentError(
        "this map has no boundary to zoom into",
        repair="give a point with",
        suggestion=Argument("x and y"),
    )


def _clamp(i: int, first: int, count: int) -> int:
    """The index nearest to i among `count` indices from `first` on."""
    return min(max(i, first), first + count - 1)
