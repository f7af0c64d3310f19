"""The points of a map at all levels, and which of them have been computed.

Each level contains the points of the levels before (`talweg.explore.trainability.tiles`). So a map
is computed from coarse to fine without computing a point twice, and a zoom starts from the points
that are known.

Start reading at `Pyramid.missing_points`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from talweg._util.arrays import Array
from talweg.errors import ArgumentError
from talweg.explore.trainability.axes import Plane
from talweg.explore.trainability.tiles import Tile, TilesInMemory, TileStorage, Window


@dataclass(frozen=True)
class MissingPoints:
    """Points of one tile that have not been computed.

    Attributes:
        tile: the tile.
        indices: their indices in the tile, counted row by row.
        xs: the setting of the x axis at each point.
        ys: the setting of the y axis at each point.
    """

    tile: Tile
    indices: Array = field(repr=False)
    xs: Array = field(repr=False)
    ys: Array = field(repr=False)

    def __len__(self) -> int:
        return len(self.indices)


class Pyramid:
    """All levels of a map.

    Args:
        plane: the axes of the whole map.
        tiles: where the tiles are stored; in memory unless given.

    Example:
        >>> from talweg.explore.trainability.axes import Axis
        >>> plane = Plane(Axis("learning_rate", 0.1, 10.0, "log"),
        ...               Axis("momentum", 0.0, 1.0, "linear"))
        >>> pyramid = Pyramid(plane)
        >>> (missing,) = pyramid.missing_points(Window(1, 0, 0, 2, 2))
        >>> missing.xs.tolist(), missing.ys.tolist()
        ([0.1, 1.0, 0.1, 1.0], [0.0, 0.0, 0.5, 0.5])
        >>> pyramid.put(missing, missing.xs + missing.ys)
        >>> (missing,) = pyramid.missing_points(Window(2, 0, 0, 4, 4))
        >>> len(missing)  # of 16 points, 4 are known from the level before
        12
    """

    def __init__(self, plane: Plane, tiles: TileStorage | None = None) -> None:
        self.plane = plane
        self._tiles: TileStorage = TilesInMemory() if tiles is None else tiles

    def missing_points(self, window: Window) -> Iterator[MissingPoints]:
        """The points of a window that no level has computed, tile by tile.

        They are determined when the iterator reaches their tile.

        Raises:
            ArgumentError: if floats cannot represent the points of the level.
        """
        if window.level > self.plane.finest_level:
            raise ArgumentError(
                f"at level {window.level} the points are too close to each other for floats; "
                f"the finest level of these axes is {self.plane.finest_level}"
            )
        for tile in window.tiles():
            missing = self._missing_in(tile, window)
            if len(missing):
                yield missing

    def _missing_in(self, tile: Tile, window: Window) -> MissingPoints:
        """The points of a tile within a window that no level has computed."""
        import numpy as np

        own, size = tile.window, tile.size
        inside = np.zeros((size, size), bool)
        inside[own.intersection(window)] = True
        rows, columns = np.nonzero(inside & np.isnan(self.known(own)))
        xs = self.plane.x.values(tile.level, own.column, size)
        ys = self.plane.y.values(tile.level, own.row, size)
        return MissingPoints(tile, rows * size + columns, xs[columns], ys[rows])

    def put(self, points: MissingPoints, measures: Array) -> None:
        """Store the measures of points.

        The tile is stored with the measures that coarser levels have for its other points.

        Args:
            points: the points.
            measures: the measure of each, a finite number other than 0.

        Raises:
            ArgumentError: if `measures` is something else.
        """
        import numpy as np

        found = np.asarray(measures, float)
        if found.shape != points.indices.shape or not (np.isfinite(found) & (found != 0.0)).all():
            raise ArgumentError(
                f"expected {len(points)} finite measures other than 0 for {points.tile}, "
                f"got an array of shape {found.shape}"
            )
        tile = self.known(points.tile.window)
        tile.flat[points.indices] = found
        self._tiles.write(points.tile, tile)

    def known(self, window: Window) -> Array:
        """The measures of a window, rows along y; nan for points that no level has computed."""
        import numpy as np

        measures = np.full((window.rows, window.columns), np.nan)
        for tile in window.tiles():
            stored = self._tiles.read(tile)
            if stored is not None:
                own = tile.window
                measures[window.intersection(own)] = stored[own.intersection(window)]
        shared = window.coarser
        if window.level and shared.rows and shared.columns:
            part = measures[window.row % 2 :: 2, window.column % 2 :: 2]
            if np.isnan(part).any():
                np.copyto(part, self.known(shared), where=np.isnan(part))
        return measures

    def image(self, window: Window) -> Array:
        """The measures of a window, with those of coarser levels in place of missing ones.

        A point without a measure gets that of the point at or before it, along both axes, on the
        finest level that has one; nan if no level has one.
        """
        import numpy as np

        measures = self.known(window)
        for levels in range(1, window.level + 1):
            missing = np.isnan(measures)
            if not missing.any():
                break
            coarse = window.coarsened(levels)
            rows = ((window.row + np.arange(window.rows)) >> levels) - coarse.row
            columns = ((window.column + np.arange(window.columns)) >> levels) - coarse.column
            np.copyto(measures, self.known(coarse)[np.ix_(rows, columns)], where=missing)
        return measures

    def finished(self, window: Window) -> float:
        """The fraction of the points of a window that have been computed."""
        import numpy as np

        return 1.0 - float(np.isnan(self.known(window)).mean())
