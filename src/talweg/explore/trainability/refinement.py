"""Computing the points of a window of a map, from coarse to fine.

The three levels before that of the window are computed first, so that an interrupted map is a
coarse picture of the whole window. Start reading at `refine`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import TypeAlias

from talweg._util.arrays import Array
from talweg.explore.trainability.pyramid import MissingPoints, Pyramid
from talweg.explore.trainability.tiles import Window

MeasureFunction: TypeAlias = Callable[[Array, Array], Array]
"""The measures of points, given the settings of the x axis and of the y axis at each."""

Evaluator: TypeAlias = Callable[[Sequence[MissingPoints]], Generator[tuple[int, Array], None, None]]
"""Computes points, and yields (index in the sequence, measures) in the order of completion."""

COARSER_LEVELS = 3
"""How many levels before that of the window are computed first."""

_TILES_AT_ONCE = 256
"""How many tiles an evaluator gets at once: their points take 24 MB."""


def serial_evaluator(measure: MeasureFunction) -> Evaluator:
    """An evaluator that computes tiles one after the other, in order.

    Args:
        measure: computes the measures of points.
    """

    def evaluate(tiles: Sequence[MissingPoints]) -> Generator[tuple[int, Array], None, None]:
        for index, points in enumerate(tiles):
            yield index, measure(points.xs, points.ys)

    return evaluate


def refine(
    pyramid: Pyramid,
    window: Window,
    evaluator: Evaluator,
    report: Callable[[int], None] = lambda done: None,
) -> None:
    """Compute the missing points of a window.

    Args:
        pyramid: the points; measures are stored in it as soon as a tile is computed.
        window: the points to compute.
        evaluator: computes points; its generator is closed if the refinement stops early.
        report: called after each tile with the number of points computed so far.

    Raises:
        KeyboardInterrupt: on Ctrl-C; the tiles computed so far are stored.
    """
    done = 0
    for level in _coarse_to_fine(window):
        missing = pyramid.missing_points(level)
        while tiles := list(islice(missing, _TILES_AT_ONCE)):
            with closing(evaluator(tiles)) as results:
                for index, measures in results:
                    pyramid.put(tiles[index], measures)
                    done += len(tiles[index])
                    report(done)


def _coarse_to_fine(window: Window) -> Iterator[Window]:
    """The points of a window that belong to levels before, level by level, and the window."""
    levels = [window]
    while window.level and len(levels) <= COARSER_LEVELS:
        window = window.coarser
        if not window.rows or not window.columns:
            break
        levels.append(window)
    yield from reversed(levels)
