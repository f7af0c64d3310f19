"""Batches: which examples each step of a training run takes.

Start reading at `batches_of`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, TypeAlias

Batch: TypeAlias = Sequence[int] | None
"""The indices of the examples of a step; None for all of them."""


def batches_of(count: int, batch_size: int | None, rng: Any) -> Iterator[Batch]:
    """The batches of a run, without end: pass after pass over the examples.

    Each pass is shuffled anew; its last batch may be smaller.

    Args:
        count: the number of examples.
        batch_size: the number of examples of a step; None for all of them.
        rng: what shuffles, such as `random.Random(0)`; without batches it is not used.

    Example:
        >>> import random
        >>> batches = batches_of(3, 2, random.Random(0))
        >>> [next(batches) for _ in range(4)]
        [[0, 2], [1], [2, 1], [0]]
    """
    return repeat(None) if batch_size is None else _shuffled(count, batch_size, rng)


def steps_per_pass(count: int, batch_size: int | None) -> int:
    """The number of steps in which every example is taken once."""
    return 1 if batch_size is None else -(-count // batch_size)


def _shuffled(count: int, batch_size: int, rng: Any) -> Iterator[Batch]:
    while True:
        order = list(range(count))
        rng.shuffle(order)
        for i in range(0, count, batch_size):
            yield order[i : i + batch_size]
