"""The points of a map at all levels of detail, and which of them have been computed.

Level L divides both axes into 2**L points (`trainability/axes.py`); it contains every point of
the level before. So a map is computed from coarse to fine without computing any point twice, and a
closer look at a part of it begins with what is there.

Points are kept in tiles of 64 by 64; the levels before the sixth are one smaller tile. A tile is
an array of measures in which nan means "not computed", and is replaced as a whole. Tiles are in
memory, or in a folder (`talweg.explore.trainability.tile_store`). Start reading at `Pyramid.task`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from talweg.errors import ArgumentError
from talweg.explore.trainability.axes import Axis

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

TILE = 64
"""How many points a tile has along each axis."""


@dataclass(frozen=True)
class Frame:
    """What the whole map shows: its two axes."""

    x: Axis
    y: Axis

    @property
    def finest_level(self) -> int:
        """The last level whose points differ well enough along both axes."""
        return min(self.x.finest_level, self.y.finest_level)


@dataclass(frozen=True)
class Tile:
    """One tile: its level, and its place among the tiles of that level."""

    level: int
    row: int
    column: int

    @property
    def size(self) -> int:
        """How many points it has along each axis."""
        return min(TILE, 1 << self.level)

    @property
    def box(self) -> Box:
        """The points that it has."""
        return Box(self.level, self.row * self.size, self.column * self.size, self.size, self.size)


@dataclass(frozen=True)
class Box:
    """A rectangle of points of one level.

    Attributes:
        level: the level.
        row: the first point along y.
        column: the first point along x.
        rows: how many points along y.
        columns: how many along x.
    """

    level: int
    row: int
    column: int
    rows: int
    columns: int

    @property
    def coarser(self) -> Box:
        """Those of its points that are also points of the level before, as a box of that level.

        >>> Box(5, row=3, column=4, rows=4, columns=4).coarser
        Box(level=4, row=2, column=2, rows=2, columns=2)
        """
        row, column = (self.row + 1) // 2, (self.column + 1) // 2
        return Box(
            self.level - 1,
            row,
            column,
            (self.row + self.rows + 1) // 2 - row,
            (self.column + self.columns + 1) // 2 - column,
        )

    def above(self, levels: int) -> Box:
        """The points some levels before that stand for its points: each the one at or before it."""
        row, column = self.row >> levels, self.column >> levels
        last_row = (self.row + self.rows - 1) >> levels
        last_column = (self.column + self.columns - 1) >> levels
        return Box(self.level - levels, row, column, last_row - row + 1, last_column - column + 1)

    def tiles(self) -> Iterator[Tile]:
        """The tiles that have its points, row by row."""
        size = min(TILE, 1 << self.level)
        for row in range(self.row // size, (self.row + self.rows - 1) // size + 1):
            for column in range(self.column // size, (self.column + self.columns - 1) // size + 1):
                yield Tile(self.level, row, column)

    def part(self, inner: Box) -> tuple[slice, slice]:
        """Where the points that it shares with another box of its level are in its array."""
        first_row, first_column = max(self.row, inner.row), max(self.column, inner.column)
        end_row = min(self.row + self.rows, inner.row + inner.rows)
        end_column = min(self.column + self.columns, inner.column + inner.columns)
        return (
            slice(first_row - self.row, end_row - self.row),
            slice(first_column - self.column, end_column - self.column),
        )


@dataclass(frozen=True)
class Task:
    """Points of one tile that are to be computed.

    Attributes:
        tile: the tile.
        places: their places in the tile, counted row by row.
        xs: the setting of the x axis at each.
        ys: the setting of the y axis at each.
    """

    tile: Tile
    places: Array = field(repr=False)
    xs: Array = field(repr=False)
    ys: Array = field(repr=False)

    def __len__(self) -> int:
        return len(self.places)


class Tiles(Protocol):
    """Where tiles are kept."""

    def read(self, tile: Tile) -> Array | None:
        """The measures of a tile, rows along y; None or nan for what was not computed."""

    def write(self, tile: Tile, measures: Array) -> None:
        """Keep a tile, in place of what was kept of it before."""


class InMemory:
    """Tiles in a dictionary."""

    def __init__(self) -> None:
        self._kept: dict[Tile, Array] = {}

    def read(self, tile: Tile) -> Array | None:
        """See `Tiles`."""
        return self._kept.get(tile)

    def write(self, tile: Tile, measures: Array) -> None:
        """See `Tiles`."""
        self._kept[tile] = measures


class Pyramid:
    """All levels of a map.

    Args:
        frame: the axes of the whole map.
        about: what the map is of, as plain JSON data; a store of something else is refused.
        store: a folder to keep the tiles in, new or from an earlier map of the same; None to
            keep them in memory.

    Raises:
        ArgumentError: if the store is the map of something else.
        DataError: if the folder is no store, or is damaged.
        OSError: if it cannot be made or read.

    Example:
        >>> from talweg.explore.trainability.axes import axis
        >>> frame = Frame(axis(("learning_rate", 0.1, 10.0), "x"), axis(("momentum", 0, 1), "y"))
        >>> pyramid = Pyramid(frame)
        >>> (task,) = pyramid.tasks(Box(1, 0, 0, 2, 2))
        >>> task.xs.tolist(), task.ys.tolist()
        ([0.1, 1.0, 0.1, 1.0], [0.0, 0.0, 0.5, 0.5])
        >>> pyramid.put(task, task.xs + task.ys)
        >>> (task,) = pyramid.tasks(Box(2, 0, 0, 4, 4))  # a quarter of these are known
        >>> len(task)
        12
    """

    def __init__(
        self,
        frame: Frame,
        about: dict[str, Any] | None = None,
        store: str | os.PathLike[str] | None = None,
    ) -> None:
        self.frame = frame
        self._tiles: Tiles = InMemory()
        if store is not None:
            from talweg.explore.trainability.tile_store import TileStore

            self._tiles = TileStore(store, {**_described(frame), **(about or {})})

    def tasks(self, window: Box) -> Iterator[Task]:
        """What has to be computed for a window, tile by tile, each made when it is asked for.

        Raises:
            ArgumentError: if the points of the level are too close for floats.
        """
        if window.level > self.frame.finest_level:
            raise ArgumentError(
                f"at level {window.level} the points are too close to each other for floats; "
                f"the finest level of these axes is {self.frame.finest_level}"
            )
        for tile in window.tiles():
            task = self.task(tile, window)
            if len(task):
                yield task

    def task(self, tile: Tile, window: Box) -> Task:
        """The points of a tile within a window that have not been computed at any level."""
        import numpy as np

        box = tile.box
        wanted = np.zeros((tile.size, tile.size), bool)
        wanted[box.part(window)] = True
        rows, columns = np.nonzero(wanted & np.isnan(self.known(box)))
        xs = self.frame.x.values(tile.level, box.column, tile.size)
        ys = self.frame.y.values(tile.level, box.row, tile.size)
        return Task(tile, rows * tile.size + columns, xs[columns], ys[rows])

    def put(self, task: Task, measures: Array) -> None:
        """Keep the measures of a task's points, with those of its tile that coarser levels know.

        Raises:
            ArgumentError: if they are not one finite number other than 0 for each point.
        """
        import numpy as np

        found = np.asarray(measures, float)
        if found.shape != task.places.shape or not (np.isfinite(found) & (found != 0.0)).all():
            raise ArgumentError(
                f"expected {len(task)} finite measures other than 0 for {task.tile}, "
                f"got an array of shape {found.shape}"
            )
        tile = self.known(task.tile.box)
        tile.flat[task.places] = found
        self._tiles.write(task.tile, tile)

    def known(self, box: Box) -> Array:
        """The measures of a box, rows along y; nan for points that no level has computed."""
        import numpy as np

        measures = np.full((box.rows, box.columns), np.nan)
        for tile in box.tiles():
            kept = self._tiles.read(tile)
            if kept is not None:
                measures[box.part(tile.box)] = kept[tile.box.part(box)]
        shared = box.coarser
        if box.level and shared.rows and shared.columns:
            part = measures[box.row % 2 :: 2, box.column % 2 :: 2]
            if np.isnan(part).any():
                np.copyto(part, self.known(shared), where=np.isnan(part))
        return measures

    def image(self, window: Box) -> Array:
        """The measures of a window, where they are missing those of the next coarser points.

        A point without a measure gets that of the point at or before it, along both axes, on
        the finest level that has one; nan if none has.
        """
        import numpy as np

        measures = self.known(window)
        for levels in range(1, window.level + 1):
            missing = np.isnan(measures)
            if not missing.any():
                break
            coarse = window.above(levels)
            rows = ((window.row + np.arange(window.rows)) >> levels) - coarse.row
            columns = ((window.column + np.arange(window.columns)) >> levels) - coarse.column
            np.copyto(measures, self.known(coarse)[np.ix_(rows, columns)], where=missing)
        return measures

    def finished(self, window: Box) -> float:
        """Which part of a window has been computed, from 0 to 1."""
        import numpy as np

        return 1.0 - float(np.isnan(self.known(window)).mean())


def _described(frame: Frame) -> dict[str, Any]:
    """The axes as JSON data."""
    return {
        which: {"name": a.name, "low": a.low, "high": a.high, "scale": a.scale}
        for which, a in (("x", frame.x), ("y", frame.y))
    }
