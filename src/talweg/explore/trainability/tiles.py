"""Points of a map by level: rectangles of points, square tiles, and the storage of tiles.

Level L divides both axes into 2**L points (`talweg.explore.trainability.axes`) and contains every
point of level L - 1. Its points are stored in tiles of 64 by 64; a level before the sixth is one
smaller tile. A tile is an array of measures in which nan means "not computed".

Start reading at `Window`, then `TileStorage`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from talweg._util.arrays import Array

TILE_SIZE = 64
"""The number of points of a tile along each axis."""


@dataclass(frozen=True)
class Tile:
    """One tile: its level, and its row and column among the tiles of that level."""

    level: int
    row: int
    column: int

    @property
    def size(self) -> int:
        """The number of points along each axis."""
        return tile_size(self.level)

    @property
    def window(self) -> Window:
        """The points of the tile."""
        size = self.size
        return Window(self.level, self.row * size, self.column * size, size, size)


@dataclass(frozen=True)
class Window:
    """A rectangle of points of one level.

    Attributes:
        level: the level.
        row: the index of the first point along y.
        column: the index of the first point along x.
        rows: the number of points along y.
        columns: the number of points along x.
    """

    level: int
    row: int
    column: int
    rows: int
    columns: int

    @property
    def coarser(self) -> Window:
        """The points that also belong to the level before, as a window of that level.

        >>> Window(5, row=3, column=4, rows=4, columns=4).coarser
        Window(level=4, row=2, column=2, rows=2, columns=2)
        """
        row, column = (self.row + 1) // 2, (self.column + 1) // 2
        return Window(
            self.level - 1,
            row,
            column,
            (self.row + self.rows + 1) // 2 - row,
            (self.column + self.columns + 1) // 2 - column,
        )

    def coarsened(self, levels: int) -> Window:
        """The window some levels before that has, for each point, the one at or before it.

        >>> Window(5, row=3, column=4, rows=4, columns=4).coarsened(1)
        Window(level=4, row=1, column=2, rows=3, columns=2)
        """
        row, column = self.row >> levels, self.column >> levels
        last_row = (self.row + self.rows - 1) >> levels
        last_column = (self.column + self.columns - 1) >> levels
        return Window(
            self.level - levels, row, column, last_row - row + 1, last_column - column + 1
        )

    def tiles(self) -> Iterator[Tile]:
        """The tiles that contain its points, row by row."""
        size = tile_size(self.level)
        for row in range(self.row // size, (self.row + self.rows - 1) // size + 1):
            for column in range(self.column // size, (self.column + self.columns - 1) // size + 1):
                yield Tile(self.level, row, column)

    def intersection(self, other: Window) -> tuple[slice, slice]:
        """The points shared with another window of its level, as slices of its own array.

        >>> Window(5, 0, 0, 8, 8).intersection(Window(5, 6, 2, 8, 3))
        (slice(6, 8, None), slice(2, 5, None))
        """
        first_row, first_column = max(self.row, other.row), max(self.column, other.column)
        end_row = min(self.row + self.rows, other.row + other.rows)
        end_column = min(self.column + self.columns, other.column + other.columns)
        return (
            slice(first_row - self.row, end_row - self.row),
            slice(first_column - self.column, end_column - self.column),
        )


def tile_size(level: int) -> int:
    """The number of points along each axis of a tile of a level."""
    return min(TILE_SIZE, 1 << level)


class TileStorage(Protocol):
    """Where the tiles of a map are stored: in memory, or in a folder.

    The folder is `talweg.explore.trainability.tile_store.TileStore`.
    """

    def read(self, tile: Tile) -> Array | None:
        """The measures of a tile, rows along y, nan if not computed; None if there is no tile."""

    def write(self, tile: Tile, measures: Array) -> None:
        """Store a tile in place of an earlier version of it."""


class TilesInMemory:
    """Tiles in a dictionary."""

    def __init__(self) -> None:
        self._tiles: dict[Tile, Array] = {}

    def read(self, tile: Tile) -> Array | None:
        """See `TileStorage`."""
        return self._tiles.get(tile)

    def write(self, tile: Tile, measures: Array) -> None:
        """See `TileStorage`."""
        self._tiles[tile] = measures
