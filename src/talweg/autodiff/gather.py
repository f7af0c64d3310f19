"""Picking one of several numbers by its place, in a way that also works while tracing.

`values[i]` fixes i for good when a function is compiled; `gather(values, i)` leaves it open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talweg import ops
from talweg.autodiff.operation import Number
from talweg.errors import ArgumentError
from talweg.value import Value


def gather(values: Sequence[Number], i: Any) -> Number:
    """The i-th of some numbers: values[i], as a number of its own.

    The derivative goes to the number that was picked, and nothing to the others. In a
    compiled function i may be another one at each call, without a new trace.

    Args:
        values: the numbers to choose from.
        i: which, from 0: a whole number, or a Value of one.

    Returns:
        A Value, or a float if the numbers are floats.

    Raises:
        ArgumentError: if there is no i-th number.

    >>> gather([1.5, 2.5, 3.5], 1)
    2.5
    >>> logits = [Value(0.0), Value(1.0)]
    >>> gather(logits, 1).backward()
    >>> [z.grad for z in logits]
    [0.0, 1.0]
    """
    if isinstance(i, Value):
        # A number that may change: go through all places, and keep the last that is not above it.
        picked = values[0]
        for k in range(1, len(values)):
            picked = ops.where(ops.le(float(k), i), values[k], picked)
        return picked
    if i not in range(len(values)) or isinstance(i, bool):
        raise ArgumentError(f"pick takes a place from 0 to {len(values) - 1}, got {i!r}")
    # Not values[i] itself: then derivatives would be added up in another order when compiled.
    return ops.where(1.0, values[int(i)], 0.0)
