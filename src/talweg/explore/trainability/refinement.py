"""Computing the points of a window of a map, from coarse to fine.

Three levels before the last are computed first, so that a map that is stopped is a picture of
everything, only coarser. Start reading at `fill`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg.explore.trainability.pyramid import Box, Pyramid, Task

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

Compute: TypeAlias = Callable[[Array, Array], Array]
"""The measures of points, given the settings of the x and of the y axis at each."""

Completed: TypeAlias = Callable[[Sequence[Task]], Generator[tuple[int, Array], None, None]]
"""Computes tasks; yields (index of the task, its measures) as they are finished, in any order."""

COARSER = 3
"""How many levels before the last are computed first."""

_AT_A_TIME = 256
"""How many tiles are handed out together: their points take 24 MB."""


def one_by_one(compute: Compute) -> Completed:
    """Tasks computed one after the other, in order."""

    def completed(tasks: Sequence[Task]) -> Generator[tuple[int, Array], None, None]:
        for index, task in enumerate(tasks):
            yield index, compute(task.xs, task.ys)

    return completed


def fill(
    pyramid: Pyramid,
    window: Box,
    completed: Completed,
    show: Callable[[int], None] = lambda done: None,
) -> None:
    """Compute the points of a window that are missing.

    Args:
        pyramid: where they are missing, and where each task's measures are put when it is done.
        window: the points wanted.
        completed: computes tasks. It is closed when anything ends the filling early.
        show: is told after each task how many points have been computed.

    Raises:
        KeyboardInterrupt: on Ctrl-C, with what was finished kept.
    """
    done = 0
    for level in _coarse_to_fine(window):
        tasks = pyramid.tasks(level)
        while some := list(islice(tasks, _AT_A_TIME)):
            with closing(completed(some)) as results:
                for index, measures in results:
                    pyramid.put(some[index], measures)
                    done += len(some[index])
                    show(done)


def _coarse_to_fine(window: Box) -> Iterator[Box]:
    """The window's points on the levels before, those that have any, and at last on its own."""
    levels = [window]
    while window.level and len(levels) <= COARSER:
        window = window.coarser
        if not window.rows or not window.columns:
            break
        levels.append(window)
    yield from reversed(levels)
