"""Why an example has a program of its own: in what its shape differs from that of another one.

Start reading at `shape_difference`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from talweg._util.user_line import user_stacklevel
from talweg.compiler.frontend.cache_key import CacheKey
from talweg.compiler.frontend.key_difference import key_difference
from talweg.errors import TraceWarning

_MANY_SHAPES = 8
"""From so many shapes on, a warning tells in what another one differs, as that of `tw.jit`."""

BRANCHES = "branches"
"""The difference of examples of one shape, whose loss branches on their numbers."""


def shape_difference(
    key: CacheKey, numbers: Sequence[float], other: CacheKey, fixed: Mapping[int, float]
) -> str:
    """The first difference of an example from the one that a program was traced with, as text.

    Args:
        key: the structure of the example.
        numbers: its numbers.
        other: the structure of the other example.
        fixed: the integers of the other example that its program has fixed, by their indices.
    """
    if key != other:
        return key_difference(key, other).removeprefix("argument 1: ")
    for k, integer in fixed.items():
        if numbers[k] != integer:
            return f"number {k}, the integer {numbers[k]:g}, was {integer:g}"
    return BRANCHES


def warn_of_many_shapes(count: int, example: int, reason: str) -> None:
    """Warn that examples have many shapes, at the 9th one and at some later ones.

    Args:
        count: how many shapes have programs.
        example: the number of the example that has another one.
        reason: in what it differs, see `shape_difference`. Paths have a limit of their own.
    """
    if reason != BRANCHES and count >= _MANY_SHAPES and count & (count - 1) == 0:
        warnings.warn(
            f"the loss is traced and compiled for the {count + 1}th time, because of the shape of "
            f"example {example}: {reason}; lengths, texts, and integers that the loss compares or "
            "branches on are part of a program: give what changes from example to example as "
            "floats, and examples a common length",
            TraceWarning,
            stacklevel=user_stacklevel(),
        )
