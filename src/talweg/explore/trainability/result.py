"""A trainability map: what became of training at each of many settings, as a picture.

A `TrainabilityMap` is one window of a pyramid of points (`trainability/pyramid.py`); `zoom`
gives another window of the same pyramid, and computes only what is missing there.
"""

from __future__ import annotations

import base64
import html
import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg._util.deprecation import RenamedAttribute
from talweg._util.progress import counting_bar
from talweg.error_fields import Argument
from talweg.errors import ArgumentError
from talweg.explore.trainability.measure import Dimension, box_counting_dimension, busiest_point
from talweg.explore.trainability.pyramid import Box, Pyramid
from talweg.explore.trainability.refinement import Completed, fill

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

Array: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class TrainabilityMap:
    """What became of a run at each point of a grid of two settings.

    Attributes:
        x: the setting along x at each column, from low to high.
        y: the setting along y at each row, from low to high.
        measure: for each row and column below 0 if the run converged, above 0 if not, and larger
            in size the longer that took to decide (`trainability/measure.py`). Points that an
            interrupted map did not reach have the measure of a coarser point, or nan.
        steps: how many steps each run was to make.
        finished: which part of the points was computed, from 0 to 1.
        fallback_reason: why runs were made one by one by the eager engine; empty if many were
            made at once by native code.

    Example:
        >>> import numpy as np
        >>> from talweg.explore.trainability.axes import axis
        >>> from talweg.explore.trainability.refinement import one_by_one
        >>> from talweg.explore.trainability.pyramid import Frame
        >>> frame = Frame(axis(("learning_rate[0]", 0.01, 100.0), "x"),
        ...               axis(("learning_rate[1]", 0.01, 100.0), "y"))
        >>> stable = one_by_one(lambda xs, ys: np.where(xs * ys < 1.1, -5.0, 5.0))
        >>> whole = mapped(Pyramid(frame), Box(5, 0, 0, 32, 32), stable, steps=100)
        >>> whole
        TrainabilityMap(32 x 32 runs of 100 steps, 55 % converged)
        >>> part = whole.zoom(x=1.0, y=1.0, factor=4)
        >>> round(float(part.x[0]), 3), round(float(part.x[-1]), 3)
        (0.316, 2.943)
    """

    x: Array
    y: Array
    measure: Array
    steps: int
    finished: float
    window: Box = field(repr=False)
    pyramid: Pyramid = field(repr=False)
    completed: Completed = field(repr=False)
    fallback_reason: str = ""

    in_words = RenamedAttribute("summary")
    why_one_by_one = RenamedAttribute("fallback_reason")

    @property
    def names(self) -> tuple[str, str]:
        """The settings along x and y."""
        return self.pyramid.frame.x.name, self.pyramid.frame.y.name

    @cached_property
    def converged(self) -> Array:
        """Whether each run converged, as an array of the shape of `measure`."""
        return self.measure < 0.0

    @cached_property
    def dimension(self) -> Dimension:
        """The box-counting dimension of the boundary; see `box_counting_dimension`."""
        if self.finished < 1.0:
            return Dimension(None, None, (), (), "its boundary is not known yet")
        return box_counting_dimension(self.converged)

    @property
    def summary(self) -> str:
        """What the map shows, in one line."""
        part = "" if self.finished == 1.0 else f"{percent(self.finished)} computed; "
        return f"{part}{percent(self._share)} of the runs converged; {self.dimension.summary}"

    @property
    def _share(self) -> float:
        """Which part of the points that have a measure converged."""
        import numpy as np

        known = int(np.isfinite(self.measure).sum())
        return float(self.converged.sum()) / known if known else 0.0

    def plot(self, ax: Axes | None = None, *, colours: str = "talweg") -> Axes:
        """Draw the map.

        Args:
            ax: the matplotlib Axes to draw into; a new figure if None.
            colours: "talweg", "published" for those of the paper, or the name of any of
                matplotlib's diverging colour maps.

        Returns:
            The Axes; `talweg.plotting.curves.save(ax, path)` writes the figure.
        """
        from talweg.plotting import trainability

        frame = self.pyramid.frame
        return trainability.trainability(
            self.measure,
            self.x,
            self.y,
            names=self.names,
            scales=(frame.x.scale, frame.y.scale),
            title=f"{percent(self._share)} of the runs converged",
            colours=colours,
            ax=ax,
        )

    def zoom(
        self,
        x: float | None = None,
        y: float | None = None,
        factor: int = 2,
        *,
        progress: bool = False,
    ) -> TrainabilityMap:
        """A closer look at a point, with the same resolution.

        The new window is `factor` times smaller in each direction. Its middle is at the point to
        within a hundredth of its width, or as near as the edges of the whole map allow. Points
        that were computed before, here or in the store, are not computed again.

        Args:
            x: the setting along x to look at; None for the busiest point of the boundary, see
                `talweg.explore.trainability.measure.busiest_point`.
            y: the setting along y, likewise.
            factor: how many times closer, a power of two.
            progress: show a progress bar if this is a terminal.

        Returns:
            The map of that window.

        Raises:
            ArgumentError: if the point is outside of the whole map, the factor is no power of two,
                only one of x and y is given, there is no boundary to look at, or floats cannot
                tell such close points apart.
        """
        if isinstance(factor, bool) or not isinstance(factor, int) or not _is_power(factor):
            raise ArgumentError(f"factor must be a power of two of at least 1, got {factor!r}")
        level = self.window.level + factor.bit_length() - 1
        column, row = self._point(x, y, level)
        size = self.window.rows
        window = Box(level, _begin(row, size, level), _begin(column, size, level), size, size)
        return mapped(
            self.pyramid,
            window,
            self.completed,
            steps=self.steps,
            progress=progress,
            why=self.fallback_reason,
        )

    def animate(
        self,
        path: str | os.PathLike[str],
        x: float | None = None,
        y: float | None = None,
        *,
        doublings: int = 6,
        frames: int = 12,
        seconds: float = 0.08,
        colours: str = "talweg",
        progress: bool = False,
    ) -> Path:
        """Write a zoom into a point as an animation; the point keeps its place in the picture.

        Args:
            path: a .gif or .webp file, or a folder (no suffix) for numbered PNG pictures.
            x: the setting along x to zoom into; None for a place where the boundary is busy at
                every doubling.
            y: the setting along y, likewise.
            doublings: how many times the scale doubles. Each computes a map of this resolution.
            frames: how many pictures each doubling takes, half as wide as this map has points.
            seconds: how long each is shown.
            colours: see `plot`.
            progress: show progress bars if this is a terminal.

        Returns:
            The path written.

        Raises:
            ArgumentError: as for `zoom`, or if the path has another suffix.
            OSError: if it cannot be written.
        """
        from talweg.explore.trainability.zoom import dive
        from talweg.plotting import zoom

        zoom.checked(path)  # before hours of computing
        if min(doublings, frames) < 1:
            raise ArgumentError(
                f"doublings and frames must be at least 1, got {doublings} and {frames}"
            )
        keys = dive(self, x, y, doublings, progress=progress)
        pictures = zoom.frames(
            [key.map.measure for key in keys], [key.point for key in keys], frames, colours=colours
        )
        return zoom.write_animation(pictures, path, seconds=seconds)

    def _point(self, x: float | None, y: float | None, level: int) -> tuple[int, int]:
        """The point of a level to look at, along x and along y."""
        if x is not None and y is not None:
            frame = self.pyramid.frame
            return frame.x.index(x, level), frame.y.index(y, level)
        if x is not None or y is not None:
            raise ArgumentError("give both x and y of the point to look at, or neither")
        found = busiest_point(self.converged)
        if found is None:
            raise ArgumentError(
                "there is no boundary in this map to look at",
                repair="give a point with",
                suggestion=Argument("x and y"),
            )
        closer = level - self.window.level
        row, column = found
        return (self.window.column + column) << closer, (self.window.row + row) << closer

    def __repr__(self) -> str:
        rows, columns = self.measure.shape
        found = f"{percent(self._share)} converged"
        part = "" if self.finished == 1.0 else f"{percent(self.finished)} computed, "
        return f"TrainabilityMap({columns} x {rows} runs of {self.steps} steps, {part}{found})"

    def _repr_html_(self) -> str:
        from talweg.plotting import trainability

        picture = base64.b64encode(trainability.as_png(self.plot())).decode()
        words = html.escape(self.summary)
        return f'<img alt="{words}" src="data:image/png;base64,{picture}"/><p>{words}</p>'


def mapped(
    pyramid: Pyramid,
    window: Box,
    completed: Completed,
    *,
    steps: int,
    progress: bool = False,
    why: str = "",
) -> TrainabilityMap:
    """The map of a window, with what is missing computed; after Ctrl-C with what there is.

    Args:
        pyramid: the points.
        window: which of them.
        completed: computes tasks, see `talweg.explore.trainability.refinement`.
        steps: how many steps each run makes.
        progress: show a progress bar if this is a terminal.
        why: why runs are made one by one; empty if they are not.

    Raises:
        ArgumentError: if floats cannot tell points of that level apart.
    """
    import numpy as np

    missing = int(np.isnan(pyramid.known(window)).sum())
    # After Ctrl-C what is finished is kept, and the map says how much that is.
    with suppress(KeyboardInterrupt), counting_bar(missing, progress, "run") as show:
        fill(pyramid, window, completed, show)
    frame = pyramid.frame
    return TrainabilityMap(
        x=frame.x.values(window.level, window.column, window.columns),
        y=frame.y.values(window.level, window.row, window.rows),
        measure=pyramid.image(window),
        steps=steps,
        finished=pyramid.finished(window),
        window=window,
        pyramid=pyramid,
        completed=completed,
        fallback_reason=why,
    )


def _begin(middle: int, size: int, level: int) -> int:
    """Where a window around a point begins: at a multiple of its 64th part, inside the map."""
    grain = max(1, size // 64)
    begin = (middle - size // 2) // grain * grain
    return min(max(begin, 0), (1 << level) - size)


def _is_power(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0


def percent(part: float) -> str:
    """A part of 1 in percent; 0 and 100 mean none and all.

    >>> percent(0.0), percent(0.0004), percent(0.414), percent(0.9999)
    ('0 %', 'under 1 %', '41 %', 'over 99 %')
    """
    if 0.0 < part < 0.005:
        return "under 1 %"
    return "over 99 %" if 0.995 < part < 1.0 else f"{100.0 * part:.0f} %"
