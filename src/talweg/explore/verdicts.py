"""What became of a run, in one word, from its losses alone.

The rules are tried in this order; `first` and `last` are the first and last loss, `fall`
is first minus the lowest loss, and "at the end" means the last fifth of the run (at least
two steps).

    diverged     a loss is not finite, or last - first > 9 |first| (ten times a positive first)
    stuck        last >= first, and at the end the loss varies by at most 1 % of itself
    oscillating  in the second half at least one step in five goes up by over 1 % of fall,
                 or last >= first
    converged    0 <= last <= first / 100, or at the end the loss varies by at most 1 % of fall
    descending   otherwise
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

from talweg.errors import DataError

Verdict: TypeAlias = Literal["converged", "descending", "oscillating", "stuck", "diverged"]


def verdict(losses: Sequence[float]) -> Verdict:
    """What became of a run with these losses; the rules are at the top of this file.

    Args:
        losses: the loss of each step, at least one.

    Raises:
        DataError: if there are no losses.

    >>> verdict([8.0, 4.0, 2.0, 1.0]), verdict([1.0, 2.0, float("inf")])
    ('descending', 'diverged')
    >>> verdict([5.0, 8.0, 8.0, 8.0, 8.0]), verdict([5.0, 1.0, 0.01])
    ('stuck', 'converged')
    """
    if not losses:
        raise DataError("a verdict needs at least one loss, got none")
    first, last = losses[0], losses[-1]
    if not all(map(math.isfinite, losses)) or last - first > 9.0 * abs(first):
        return "diverged"
    end = losses[-max(2, len(losses) // 5) :]
    spread = max(end) - min(end)
    if last >= first and spread <= 0.01 * abs(last):
        return "stuck"
    fall = first - min(losses)
    second_half = list(pairwise(losses[len(losses) // 2 :]))
    rises = sum(later - sooner > 0.01 * fall for sooner, later in second_half)
    if last >= first or rises > 0.2 * len(second_half):
        return "oscillating"
    if 0.0 <= last <= 0.01 * first or spread <= 0.01 * fall:
        return "converged"
    return "descending"


def in_words(losses: Sequence[float]) -> str:
    """The verdict with the numbers that led to it.

    >>> in_words([5.0, 8.0, 8.0, 8.0, 8.0])
    'stuck at 8, above the start'
    """
    kind, first, last = verdict(losses), losses[0], losses[-1]
    if kind == "diverged":
        bad = [step for step, loss in enumerate(losses, 1) if not math.isfinite(loss)]
        return f"diverged at step {bad[0]}" if bad else f"diverged to {last:.4g}"
    if kind == "stuck":
        return f"stuck at {last:.4g}, {'above the start' if last > first else 'where it began'}"
    if kind == "oscillating":
        half = losses[len(losses) // 2 :]
        return f"oscillating between {min(half):.4g} and {max(half):.4g}"
    if kind == "converged":
        return f"converged to {last:.4g}"
    return f"still descending at {last:.4g}"
