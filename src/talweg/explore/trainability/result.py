"""A trainability map: the outcome of training at each point of a grid of two settings.

A `TrainabilityMap` shows one window of a pyramid of points
(`talweg.explore.trainability.pyramid`). `compute_map` computes the points of a window that are
missing. `zoom` computes another window of the same pyramid; `animate` draws a sequence of zooms.

Start reading at `compute_map`.
"""

from __future__ import annotations

import base64
import html
import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from talweg._util.arrays import Array
from talweg._util.deprecation import RenamedAttribute
from talweg._util.progress import counting_bar
from talweg.errors import ArgumentError
from talweg.explore.trainability.boundary import Dimension, box_counting_dimension
from talweg.explore.trainability.pyramid import Pyramid
from talweg.explore.trainability.refinement import Evaluator, refine
from talweg.explore.trainability.tiles import Window
from talweg.explore.trainability.zoom import (
    find_zoom_target,
    require_inside,
    window_around,
    zoom_point,
    zoom_windows,
)
from talweg.plotting.figure import Axes


@dataclass(frozen=True, eq=False)
class TrainabilityMap:
    """The outcome of a run at each point of a grid of two settings.

    Attributes:
        x: the setting along x of each column, from low to high.
        y: the setting along y of each row, from low to high.
        measure: for each row and column below 0 if the run converged, above 0 if not, and larger
            in size the longer that took; see `talweg.explore.trainability.measure`. A point that
            an interrupted map did not compute has the measure of a coarser point, or nan.
        steps: the number of steps of each run.
        finished: the fraction of the points that were computed.
        window: the points of the pyramid that the map shows.
        pyramid: the points of all levels.
        evaluator: what computes points.
        fallback_reason: why the eager engine made the runs, one after the other; empty if native
            code made many at once.

    Example:
        >>> import talweg as tw
        >>> found = tw.trainability_map(resolution=32)
        >>> found
        TrainabilityMap(32 x 32 runs of 100 steps, 48 % converged)
        >>> part = found.zoom(x=1.0, y=30.0, factor=4)
        >>> round(float(part.x[0]), 3), round(float(part.x[-1]), 3)
        (0.079, 11.971)
    """

    x: Array
    y: Array
    measure: Array
    steps: int
    finished: float
    window: Window = field(repr=False)
    pyramid: Pyramid = field(repr=False)
    evaluator: Evaluator = field(repr=False)
    fallback_reason: str = ""

    in_words = RenamedAttribute("summary")
    why_one_by_one = RenamedAttribute("fallback_reason")

    @property
    def names(self) -> tuple[str, str]:
        """The settings along x and y."""
        return self.pyramid.plane.x.name, self.pyramid.plane.y.name

    @cached_property
    def converged(self) -> Array:
        """Whether each run converged, an array of the shape of `measure`."""
        return self.measure < 0.0

    @cached_property
    def dimension(self) -> Dimension:
        """The box-counting dimension of the boundary between converged and other runs."""
        if self.finished < 1.0:
            return Dimension(None, None, (), (), "its boundary is not computed yet")
        return box_counting_dimension(self.converged)

    @property
    def summary(self) -> str:
        """One line: how much was computed and converged, and the dimension of the boundary."""
        part = "" if self.finished == 1.0 else f"{percent(self.finished)} computed; "
        converged = percent(self._converged_fraction)
        return f"{part}{converged} of the runs converged; {self.dimension.summary}"

    @property
    def _converged_fraction(self) -> float:
        """The fraction of converged runs, of those that have a measure."""
        import numpy as np

        known = int(np.isfinite(self.measure).sum())
        return float(self.converged.sum()) / known if known else 0.0

    def plot(self, ax: Axes | None = None, *, colours: str = "talweg") -> Axes:
        """Draw the map.

        Args:
            ax: the matplotlib Axes to draw on; those of a new figure if None.
            colours: "talweg", "published" for those of the paper, or the name of a diverging
                colour map of matplotlib.

        Returns:
            The Axes; `talweg.plotting.figure.save(ax, path)` writes the figure.

        Raises:
            ArgumentError: if there is no such colour map.
        """
        from talweg.plotting import trainability

        plane = self.pyramid.plane
        return trainability.trainability(
            self.measure,
            self.x,
            self.y,
            names=self.names,
            scales=(plane.x.scale, plane.y.scale),
            title=f"{percent(self._converged_fraction)} of the runs converged",
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
        """Compute the map of a smaller window around a point, with the same resolution.

        The new window is `factor` times smaller along each axis. The point is in its middle to
        within a hundredth of its width, or as near as the edges of the whole map allow. Points
        that were computed before, in this process or in the store, are not computed again.

        Args:
            x: the setting along x of the point; None for the point with the most boundary around
                it, see `talweg.explore.trainability.boundary.densest_boundary_point`.
            y: the setting along y of the point, or None with `x`.
            factor: the factor of the scale, a power of two.
            progress: show a progress bar if the output is a terminal.

        Returns:
            The map of that window.

        Raises:
            ArgumentError: if the point is outside of the whole map, `factor` is not a power of two,
                only one of x and y is given, the map has no boundary, or floats cannot represent
                such close points.
        """
        if isinstance(factor, bool) or not isinstance(factor, int) or not _is_power_of_2(factor):
            raise ArgumentError(f"factor must be a power of two of at least 1, got {factor!r}")
        level = self.window.level + factor.bit_length() - 1
        row, column = zoom_point(self.pyramid.plane, self.window, self.converged, x, y, level)
        return self._compute(window_around(row, column, self.window.rows, level), progress)

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
        """Write a zoom into a point as an animation; the point stays at its position.

        Args:
            path: a .gif or .webp file, or a folder (a path without suffix) for numbered PNG files.
            x: the setting along x of the point; None for a point that has much boundary around it
                at every doubling of the scale.
            y: the setting along y of the point, or None with `x`.
            doublings: how often the scale doubles. Each doubling computes a map of this resolution.
            frames: the number of pictures of each doubling. Their side in pixels is half the
                resolution of the map.
            seconds: how long each picture is shown.
            colours: see `plot`.
            progress: show progress bars if the output is a terminal.

        Returns:
            The path written.

        Raises:
            ArgumentError: as for `zoom`, or if the path has another suffix.
            KeyboardInterrupt: on Ctrl-C before there is a point to zoom into.
            OSError: if the file cannot be written.
        """
        from talweg.plotting import zoom

        zoom.animation_suffix(path)  # raise an error now, not after hours of computing
        if min(doublings, frames) < 1:
            raise ArgumentError(
                f"doublings and frames must be at least 1, got {doublings} and {frames}"
            )
        steps = zoom_path(self, x, y, doublings, progress=progress)
        pictures = zoom.frames(
            [step.map.measure for step in steps],
            [step.point for step in steps],
            frames,
            colours=colours,
        )
        return zoom.write_animation(pictures, path, seconds=seconds)

    def _compute(self, window: Window, progress: bool) -> TrainabilityMap:
        """The map of another window of the pyramid."""
        return compute_map(
            self.pyramid,
            window,
            self.evaluator,
            steps=self.steps,
            progress=progress,
            fallback_reason=self.fallback_reason,
        )

    def __repr__(self) -> str:
        rows, columns = self.measure.shape
        found = f"{percent(self._converged_fraction)} converged"
        part = "" if self.finished == 1.0 else f"{percent(self.finished)} computed, "
        return f"TrainabilityMap({columns} x {rows} runs of {self.steps} steps, {part}{found})"

    def _repr_html_(self) -> str:
        from talweg.plotting.figure import figure_bytes

        picture = base64.b64encode(figure_bytes(self.plot(), dpi=100)).decode()
        words = html.escape(self.summary)
        return f'<img alt="{words}" src="data:image/png;base64,{picture}"/><p>{words}</p>'


def compute_map(
    pyramid: Pyramid,
    window: Window,
    evaluator: Evaluator,
    *,
    steps: int,
    progress: bool = False,
    fallback_reason: str = "",
) -> TrainabilityMap:
    """Compute the missing points of a window, and return its map.

    Ctrl-C ends the computation; the map then shows what was computed.

    Args:
        pyramid: the points of all levels.
        window: the points to compute.
        evaluator: computes points, see `talweg.explore.trainability.refinement`.
        steps: the number of steps of each run.
        progress: show a progress bar if the output is a terminal.
        fallback_reason: see `TrainabilityMap`.

    Raises:
        ArgumentError: if floats cannot represent the points of the window's level.

    Example:
        >>> import numpy as np
        >>> from talweg.explore.trainability.axes import Axis, Plane
        >>> from talweg.explore.trainability.refinement import serial_evaluator
        >>> plane = Plane(Axis("learning_rate[0]", 0.01, 100.0, "log"),
        ...               Axis("learning_rate[1]", 0.01, 100.0, "log"))
        >>> evaluator = serial_evaluator(lambda xs, ys: np.where(xs * ys < 1.1, -5.0, 5.0))
        >>> compute_map(Pyramid(plane), Window(5, 0, 0, 32, 32), evaluator, steps=100)
        TrainabilityMap(32 x 32 runs of 100 steps, 55 % converged)
    """
    import numpy as np

    missing = int(np.isnan(pyramid.known(window)).sum())
    with suppress(KeyboardInterrupt), counting_bar(missing, progress, "run") as report:
        refine(pyramid, window, evaluator, report)
    plane = pyramid.plane
    return TrainabilityMap(
        x=plane.x.values(window.level, window.column, window.columns),
        y=plane.y.values(window.level, window.row, window.rows),
        measure=pyramid.image(window),
        steps=steps,
        finished=pyramid.finished(window),
        window=window,
        pyramid=pyramid,
        evaluator=evaluator,
        fallback_reason=fallback_reason,
    )


# ---- sequences of zooms -------------------------------------------------------------------------


@dataclass(frozen=True)
class ZoomStep:
    """One map of a sequence of zooms.

    Attributes:
        map: the map.
        point: the position in it of the point that is zoomed into: (row, column), in points.
    """

    map: TrainabilityMap
    point: tuple[float, float]


def zoom_path(
    whole: TrainabilityMap,
    x: float | None = None,
    y: float | None = None,
    doublings: int = 6,
    *,
    progress: bool = False,
) -> list[ZoomStep]:
    """Maps around one point, each at twice the scale of the one before.

    The point has the same position in all of them, so each map contains the next one.

    Args:
        whole: the first map.
        x: the setting along x of the point; None for that of `find_zoom_target`.
        y: the setting along y of the point, or None with `x`.
        doublings: the number of maps after the first.
        progress: show a progress bar for each map if the output is a terminal.

    Returns:
        `doublings` + 1 maps; after Ctrl-C those that are finished.

    Raises:
        ArgumentError: if `whole` is not finished or has no boundary, the point is not in it, only
            one of x and y is given, or floats cannot represent such close points.
        KeyboardInterrupt: on Ctrl-C before there is a point to zoom into.
    """
    window, plane = whole.window, whole.pyramid.plane
    deepest = window.level + doublings
    if deepest > plane.finest_level:
        raise ArgumentError(
            f"{doublings} lead to level {deepest}, but floats can represent the points of these "
            f"axes up to level {plane.finest_level}",
            argument="doublings",
        )
    if whole.finished < 1.0:
        raise ArgumentError(
            "this map is not finished, and a zoom starts from a finished map; make it again with "
            "the same store"
        )
    row, column = _target(whole, x, y, doublings)
    steps: list[ZoomStep] = []
    for part, point in zoom_windows(window, row, column, doublings):
        found = whole._compute(part, progress) if steps else whole
        if found.finished < 1.0:
            break
        steps.append(ZoomStep(found, point))
    return steps


def _target(
    whole: TrainabilityMap, x: float | None, y: float | None, doublings: int
) -> tuple[int, int]:
    """The point of the deepest level to zoom into, as (row, column)."""
    window, plane = whole.window, whole.pyramid.plane
    if x is not None or y is not None:
        level = window.level + doublings
        row, column = zoom_point(plane, window, whole.converged, x, y, level)
        require_inside(plane, window, row, column, level)
        return row, column

    def converged_in(small: Window) -> Array:
        found = whole._compute(small, progress=False)
        if found.finished < 1.0:
            raise KeyboardInterrupt  # without a point there is no map to return
        return found.converged

    return find_zoom_target(window, whole.converged, doublings, converged_in)


def _is_power_of_2(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0


def percent(fraction: float) -> str:
    """A fraction in percent; only 0 is "0 %" and only 1 is "100 %".

    >>> percent(0.0), percent(0.0004), percent(0.414), percent(0.9999)
    ('0 %', 'under 1 %', '41 %', 'over 99 %')
    """
    if 0.0 < fraction < 0.005:
        return "under 1 %"
    return "over 99 %" if 0.995 < fraction < 1.0 else f"{100.0 * fraction:.0f} %"
