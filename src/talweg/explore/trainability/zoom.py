"""Going deeper and deeper into a map at one point: the maps that an animation is made of.

The point keeps its place in the picture, so the window never leaves the map, and each window has
room for the one after it. Start reading at `dive`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from talweg.error_fields import Argument
from talweg.errors import ArgumentError
from talweg.explore.trainability.measure import busiest_point
from talweg.explore.trainability.pyramid import Box
from talweg.explore.trainability.result import TrainabilityMap, mapped

_LOOK = 64
"""How many points the small maps have along each axis that look for the boundary."""


@dataclass(frozen=True)
class Key:
    """One map on the way down.

    Attributes:
        map: the map.
        point: where the point to which the way leads is in it, (row, column) in points.
    """

    map: TrainabilityMap
    point: tuple[float, float]


def dive(
    whole: TrainabilityMap,
    x: float | None = None,
    y: float | None = None,
    doublings: int = 6,
    *,
    progress: bool = False,
) -> list[Key]:
    """Maps around one point, each at twice the scale of the one before; the first is `whole`.

    Args:
        whole: where the way begins.
        x: the setting along x at the point; None for `busy_place`.
        y: the setting along y, likewise.
        doublings: how many maps to make.
        progress: show a progress bar for each if this is a terminal.

    Returns:
        `doublings` + 1 maps; after Ctrl-C those that were finished.

    Raises:
        ArgumentError: if the point is not in `whole`, only one of x and y is given, there is no
            boundary to look at, or floats cannot tell such close points apart.
    """
    window, deepest = whole.window, whole.window.level + doublings
    frame = whole.pyramid.frame
    if deepest > frame.finest_level:
        raise ArgumentError(
            f"{doublings} lead to level {deepest}, but floats can tell points of these axes apart "
            f"up to level {frame.finest_level}",
            argument="doublings",
        )
    if x is not None and y is not None:
        row, column = frame.y.index(y, deepest), frame.x.index(x, deepest)
    elif x is None and y is None:
        row, column = busy_place(whole, doublings)
    else:
        raise ArgumentError("give both x and y of the point to zoom into, or neither")
    from_row = (row >> doublings) - window.row
    from_column = (column >> doublings) - window.column
    if not (0 <= from_row < window.rows and 0 <= from_column < window.columns):
        raise ArgumentError(
            f"the point is not in this map, which shows {frame.x.name} from {whole.x[0]:g} to "
            f"{whole.x[-1]:g} and {frame.y.name} from {whole.y[0]:g} to {whole.y[-1]:g}"
        )
    keys: list[Key] = []
    for k in range(doublings + 1):
        left = doublings - k
        box = replace(
            window,
            level=window.level + k,
            row=(row >> left) - from_row,
            column=(column >> left) - from_column,
        )
        found = whole if not k else _at(whole, box, progress)
        if found.finished < 1.0:
            break
        part = 1 << left
        keys.append(Key(found, (row / part - box.row, column / part - box.column)))
    if not keys:
        raise ArgumentError(
            "this map is not finished, and a zoom begins with a whole one; make it again with the "
            "same store"
        )
    return keys


def busy_place(whole: TrainabilityMap, doublings: int) -> tuple[int, int]:
    """A point with much boundary around it at every doubling: (row, column) of the deepest level.

    It begins at the busiest point of the boundary (`busiest_point`) and goes on to that of a
    small map around it, at twice the scale each time, where noise beside the boundary is welcome.

    Raises:
        ArgumentError: if there is no boundary.
        KeyboardInterrupt: on Ctrl-C.
    """
    window = whole.window
    found = busiest_point(whole.converged)
    if found is None:
        raise ArgumentError(
            "there is no boundary in this map to zoom into",
            repair="give a point with",
            suggestion=Argument("x and y"),
        )
    row, column = window.row + found[0], window.column + found[1]
    for level in range(window.level + 1, window.level + doublings + 1):
        row, column = 2 * row, 2 * column
        size = min(_LOOK, window.rows)
        box = Box(level, _inside(row, size, level), _inside(column, size, level), size, size)
        small = _at(whole, box, False)
        if small.finished < 1.0:  # Ctrl-C: there is no way down yet that could be kept
            raise KeyboardInterrupt
        around = busiest_point(small.converged, rough=True)
        if around is not None:  # else the boundary is between two points here: straight on
            row, column = box.row + around[0], box.column + around[1]
    # Small steps may have led out of the picture that the way began with.
    return (
        _clamped(row, window.row << doublings, window.rows << doublings),
        _clamped(column, window.column << doublings, window.columns << doublings),
    )


def _at(whole: TrainabilityMap, box: Box, progress: bool) -> TrainabilityMap:
    return mapped(
        whole.pyramid,
        box,
        whole.completed,
        steps=whole.steps,
        progress=progress,
        why=whole.fallback_reason,
    )


def _inside(middle: int, size: int, level: int) -> int:
    return _clamped(middle - size // 2, 0, (1 << level) - size + 1)


def _clamped(i: int, first: int, count: int) -> int:
    return min(max(i, first), first + count - 1)
