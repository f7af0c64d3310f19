"""The verdict on a run, one word, from its losses alone.

The rules are tested in this order. `first` and `last` are the first and last loss, `fall` is
first minus the lowest loss, and "at the end" means the last fifth of the steps (at least two).

    diverged     a loss is not finite, or last - first > 9 |first| (ten times a positive first)
    converged    last <= stop_at, if the run was to stop at that loss
    stuck        last >= first, and at the end the loss varies by at most 1 % of |last|
    oscillating  in the second half at least one step in five rises by over 1 % of fall,
                 or last >= first
    converged    0 <= last <= first / 100, or at the end the loss varies by at most 1 % of fall
    descending   otherwise

`_rules` applies them to any number of runs of equal length, `verdict_codes` to runs of any
lengths, and `verdict` to one run. Start reading at `verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from talweg._util.arrays import Array
from talweg.errors import DataError

Verdict: TypeAlias = Literal["converged", "descending", "oscillating", "stuck", "diverged"]

VERDICTS: tuple[Verdict, ...] = ("converged", "descending", "oscillating", "stuck", "diverged")
"""All verdicts, from the best to the worst."""

_CONVERGED, _DESCENDING, _OSCILLATING, _STUCK, _DIVERGED = range(5)


def verdict(losses: Sequence[float], stop_at: float | None = None) -> Verdict:
    """The verdict on a run; the rules are at the top of this file.

    Args:
        losses: the loss of each step, at least one.
        stop_at: the loss at which the run was to stop; None for none.

    Returns:
        One of `VERDICTS`.

    Raises:
        DataError: if there are no losses.

    Example:
        >>> verdict([8.0, 4.0, 2.0, 1.0]), verdict([1.0, 2.0, float("inf")])
        ('descending', 'diverged')
        >>> verdict([5.0, 8.0, 8.0, 8.0, 8.0]), verdict([5.0, 1.0, 0.01])
        ('stuck', 'converged')
    """
    return verdicts([losses], stop_at=stop_at)[0]


def verdicts(
    losses: Sequence[Sequence[float]] | Array,
    lengths: Sequence[int] | Array | None = None,
    stop_at: float | None = None,
) -> list[Verdict]:
    """The verdict on each of many runs.

    Args:
        losses: the loss of each step, runs x steps.
        lengths: the number of losses of each run; the rest of its row is ignored. None if all
            rows are full.
        stop_at: the loss at which the runs were to stop; None for none.

    Returns:
        One of `VERDICTS` for each run.

    Raises:
        DataError: if a run has no losses.

    Example:
        >>> verdicts([[8.0, 4.0, 2.0], [5.0, 0.01, float("nan")]], lengths=[3, 2])
        ['descending', 'converged']
    """
    return [VERDICTS[code] for code in verdict_codes(losses, lengths, stop_at).tolist()]


def verdict_codes(
    losses: Sequence[Sequence[float]] | Array,
    lengths: Sequence[int] | Array | None = None,
    stop_at: float | None = None,
) -> Array:
    """The verdicts of `verdicts` as indices into `VERDICTS`, an array of int8.

    The arguments and errors are those of `verdicts`.
    """
    import numpy as np

    table = np.asarray(losses, dtype=np.float64)
    runs, width = table.shape
    counts = np.full(runs, width) if lengths is None else np.asarray(lengths)
    if runs and counts.min() < 1:
        raise DataError("a verdict needs at least one loss, got none")
    codes = np.empty(runs, dtype=np.int8)
    for count in np.unique(counts).tolist():
        same = counts == count
        # A mask copies the losses, a slice does not.
        rows = table[:, :count] if same.all() else table[same, :count]
        codes[same] = _rules(rows, stop_at)
    return codes


def _rules(losses: Array, stop_at: float | None) -> Array:
    """The rules at the top of this file, applied from the last to the first."""
    import numpy as np

    steps = losses.shape[1]
    first, last = losses[:, 0], losses[:, -1]
    with np.errstate(all="ignore"):  # losses that are not finite are handled at the end
        end = losses[:, -max(2, steps // 5) :]
        spread = end.max(axis=1) - end.min(axis=1)
        fall = first - losses.min(axis=1)
        rises = (np.diff(losses[:, steps // 2 :]) > 0.01 * fall[:, None]).sum(axis=1)
        pairs = steps - steps // 2 - 1
        codes = np.full(len(losses), _DESCENDING, dtype=np.int8)
        small = (last >= 0.0) & (last <= 0.01 * first)
        codes[small | (spread <= 0.01 * fall)] = _CONVERGED
        codes[(last >= first) | (rises > 0.2 * pairs)] = _OSCILLATING
        codes[(last >= first) & (spread <= 0.01 * np.abs(last))] = _STUCK
        if stop_at is not None:
            codes[last <= stop_at] = _CONVERGED
        high = last - first > 9.0 * np.abs(first)
    codes[high | ~np.isfinite(losses).all(axis=1)] = _DIVERGED
    return codes


def summary(losses: Sequence[float], stop_at: float | None = None) -> str:
    """The verdict on a run with the losses that it follows from, in words.

    Args:
        losses: see `verdict`.
        stop_at: see `verdict`.

    Returns:
        A few words without a full stop.

    Raises:
        DataError: if there are no losses.

    Example:
        >>> summary([5.0, 8.0, 8.0, 8.0, 8.0])
        'stuck at 8, above the start'
        >>> summary([5.0, 2.0, 0.4], stop_at=0.5)
        'converged to 0.4, in 3 steps'
    """
    kind = verdict(losses, stop_at)
    first, last = losses[0], losses[-1]
    if kind == "diverged":
        bad = [step for step, loss in enumerate(losses, 1) if not math.isfinite(loss)]
        return f"diverged at step {bad[0]}" if bad else f"diverged to {last:.4g}"
    if kind == "stuck":
        return f"stuck at {last:.4g}, {'above the start' if last > first else 'where it began'}"
    if kind == "oscillating":
        half = losses[len(losses) // 2 :]
        return f"oscillating between {min(half):.4g} and {max(half):.4g}"
    if kind == "converged":
        reached = stop_at is not None and last <= stop_at
        return f"converged to {last:.4g}" + (f", in {len(losses)} steps" if reached else "")
    return f"still descending at {last:.4g}"
