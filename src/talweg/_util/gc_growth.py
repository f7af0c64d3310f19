"""Fewer runs of Python's garbage collector while a graph of Values grows.

The collector counts how many more objects were made than freed. Beyond a threshold (700) it visits
the young objects, and now and then all of them. While a graph of 100,000 nodes is built, it does so
a hundred times and finds nothing to collect, because the whole graph is in use: three quarters of
the time of the program.

`CollectorPacing` is a callback of the collector. After each collection in which most of the new
objects were nodes and hardly anything was garbage, it raises the threshold fourfold; at the first
other collection it puts back what the program had. So the threshold is at most some four times the
size of the graph, and a program without large graphs never meets another threshold than its own.
If the program sets thresholds itself, they hold. Start reading at `CollectorPacing.__call__`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

_FACTOR = 4
_HIGHEST = 1_000_000


class CollectorPacing:
    """Raises the threshold of the collector while nodes are made.

    Args:
        count: how many nodes were made so far.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._last = count()
        self._own = self._present = gc.get_threshold()

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        """Adapt the threshold after a collection, see the top of this file."""
        if phase != "stop":
            return
        count = self._count()
        made, self._last = count - self._last, count
        threshold = gc.get_threshold()
        first, *rest = threshold
        if threshold != self._present:
            self._own = threshold  # the program has set it
        elif 2 * made >= first > 10 * info["collected"]:
            gc.set_threshold(max(first, min(_FACTOR * first, _HIGHEST)), *rest)
        else:
            gc.set_threshold(*self._own)
        self._present = gc.get_threshold()
