"""What a learning-rate range test shows, from its rates and losses alone.

The losses are smoothed (`Average`), and the first round(2 s / (1 - s)) smoothed ones, s being the
smoothing, are not looked at: they are means of too few. Of the rest, `start` is the first, `best`
the lowest, and the bottom is where 98 % of the fall from start to best were made first: a network
that has learnt its few samples by heart creeps on towards 0 at any rate, which says nothing about
rates. A change is clear if it is at least 1 % of start, and at least 3.5 times the standard
deviation that the batches cause in a smoothed loss (`noise`). The rules are tried in this order:

    interrupted              Ctrl-C ended the test
    diverged at once         no clear fall, and after the first tenth of the steps the test is over
                             or the loss is clearly above start for good
    never fell               no clear fall
    still falling at lr_max  lr_max was reached, and the bottom is in the last 5 % of the steps
    found                    otherwise
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, TypeAlias

from talweg.error_fields import PYTHON, Notation

Status: TypeAlias = Literal[
    "found", "still falling at lr_max", "never fell", "diverged at once", "interrupted"
]


class Average:
    """A running mean that forgets: m_k = s m_(k-1) + (1 - s) x_k from m_0 = 0, over 1 - s**k.

    The division corrects the bias towards 0: what is added up are weights whose sum is 1.
    With s = 0 it is the last number itself.

    Args:
        smoothing: s, from 0 up to but not including 1.

    Source: Kingma and Ba, Adam, arXiv 1412.6980, section 3.

    >>> average = Average(0.5)
    >>> [round(average.add(x), 6) for x in (3.0, 6.0, 6.0)]
    [3.0, 5.0, 5.571429]
    """

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing
        self.mean = 0.0
        self.left = 1.0  # s**k

    def add(self, x: float) -> float:
        """The mean with one more number."""
        self.mean = self.smoothing * self.mean + (1.0 - self.smoothing) * x
        self.left *= self.smoothing
        return self.mean / (1.0 - self.left)


def smooth(losses: Sequence[float], smoothing: float) -> list[float]:
    """The running mean after each loss, see `Average`.

    >>> smooth([3.0, 6.0], 0.5)
    [3.0, 5.0]
    """
    average = Average(smoothing)
    return [average.add(loss) for loss in losses]


def warm_up(smoothing: float) -> int:
    """How many smoothed losses at the beginning are not looked at.

    >>> warm_up(0.0), warm_up(0.9)
    (0, 18)
    """
    return round(2.0 * smoothing / (1.0 - smoothing))


def too_high(loss: float, best: float, factor: float) -> bool:
    """Whether a smoothed loss ends the test: it is not finite, or over factor times the best.

    With a best loss below zero, where a multiple means nothing, the rise that is allowed is
    that of a best loss as far above zero: loss > best + (factor - 1) |best|.

    >>> too_high(4.1, 1.0, 4.0), too_high(4.0, 1.0, 4.0), too_high(-2.0, -1.0, 4.0)
    (True, False, False)
    """
    return not math.isfinite(loss) or loss > best + (factor - 1.0) * abs(best)


def noise(losses: Sequence[float], smoothed: Sequence[float], smoothing: float) -> float:
    """The standard deviation that batches cause in a smoothed loss.

    Independent losses with a standard deviation of d have a running mean that scatters by
    d sqrt((1 - s) / (1 + s)), and scatter about it by d sqrt(2 s**2 / (1 + s)), because it
    contains them. The second is seen, and the first is wanted: their ratio is
    sqrt((1 - s) / 2) / s. Without smoothing (s = 0) nothing is seen, and 0 is returned.

    Args:
        losses: single losses, at least one.
        smoothed: their running means.
        smoothing: s.

    >>> round(noise([1.0, 3.0], [2.0, 2.0], 0.5), 6)
    1.0
    """
    if not smoothing:
        return 0.0
    scatter = math.dist(losses, smoothed) / math.sqrt(len(losses))
    return scatter * math.sqrt((1.0 - smoothing) / 2.0) / smoothing


def status(
    losses: Sequence[float], smoothed: Sequence[float], smoothing: float, steps: int, stopped: bool
) -> Status:
    """What the test found, if it was not interrupted; the rules are at the top of this file.

    Args:
        losses: the loss of each step, at least one.
        smoothed: their running means.
        smoothing: how strongly they were smoothed.
        steps: how many steps it takes to lr_max.
        stopped: whether the test ended because of a loss or gradient.

    >>> status([4.0, 3.0, 2.0, 9.0], [4.0, 3.0, 2.0, 9.0], 0.0, 10, stopped=True)
    'found'
    """
    first, early = warm_up(smoothing), max(1, steps // 10)
    if len(smoothed) <= first or not math.isfinite(smoothed[first]):
        return "diverged at once"
    start, best = smoothed[first], lowest(smoothed, first)
    quiet = max(best, first + early) + 1  # later, the loss may blow up
    chance = noise(losses[:quiet], smoothed[:quiet], smoothing)
    clear = max(0.01 * abs(start), 3.5 * chance)
    if best == first or start - smoothed[best] < clear:
        late = smoothed[first + early :]  # empty where the test ended before
        return "diverged at once" if all(not x <= start + clear for x in late) else "never fell"
    if not stopped and bottom(smoothed, first) >= steps - max(1, steps // 20):
        return "still falling at lr_max"
    return "found"


def lowest(smoothed: Sequence[float], first: int) -> int:
    """Where the lowest finite smoothed loss stands, from `first` on, whose loss is finite.

    >>> lowest([0.0, 3.0, 2.0, float("nan")], first=1)
    2
    """
    finite = (k for k in range(first, len(smoothed)) if math.isfinite(smoothed[k]))
    return min(finite, key=smoothed.__getitem__)


def bottom(smoothed: Sequence[float], first: int) -> int:
    """Where 98 % of the fall from the first loss looked at to the lowest were made first.

    >>> bottom([5.0, 4.0, 1.05, 1.02, 1.0, 6.0], first=0)
    2
    """
    best = lowest(smoothed, first)
    low_enough = smoothed[best] + 0.02 * (smoothed[first] - smoothed[best])
    return next(k for k in range(first, best + 1) if smoothed[k] <= low_enough)


def suggestions(
    rates: Sequence[float], smoothed: Sequence[float], smoothing: float
) -> dict[str, float]:
    """Learning rates by three rules; `talweg.explore.range_test.RangeTest` tells them.

    Args:
        rates: the rates of a test whose status is "found".
        smoothed: its smoothed losses.
        smoothing: how strongly they were smoothed.

    >>> losses = [9.0, 8.0, 4.0, 3.0, 7.0]
    >>> suggestions([1.0, 2.0, 4.0, 8.0, 16.0], losses, 0.0)
    {'steepest': 2.0, 'minimum / 10': 0.8, 'valley': 4.0}
    """
    first = warm_up(smoothing)
    end = bottom(smoothed, first)
    # A fall that only takes back a rise is no reason to take that rate: new lows count.
    lows = list(accumulate(smoothed[first : end + 1], min))
    # With batches, noise alone makes new lows at first, and between neighbours it is steeper than
    # any descent: look below the first quarter of the fall, over as many steps as a mean has.
    top, high = 0, lows[0] - 0.25 * (lows[0] - lows[-1])
    if smoothing:
        top = max(k for k in range(len(lows) - 1) if smoothed[first + k] > high)
    width = min(round(1.0 / (1.0 - smoothing)), len(lows) - 1 - top)
    falls = [lows[k] - lows[k + width] for k in range(top, len(lows) - width)]
    steepest = first + top + falls.index(max(falls)) + width // 2
    descent = [k for k, low in enumerate(lows, first) if k == first or low < lows[k - first - 1]]
    return {
        "steepest": rates[steepest],
        "minimum / 10": rates[end] / 10.0,
        "valley": rates[descent[2 * (len(descent) - 1) // 3]],
    }


def summary(
    kind: Status,
    rates: Sequence[float],
    smoothed: Sequence[float],
    smoothing: float,
    found: dict[str, float],
    ending: str,
    notation: Notation = PYTHON,
) -> str:
    """One sentence: what was found and why the test ended, or why nothing was, and what to try.

    Args:
        kind: the status.
        rates: the rates that were tried.
        smoothed: the smoothed losses at them.
        smoothing: how strongly they were smoothed.
        found: the suggestions.
        ending: why the test ended before the last rate; empty if it did not.
        notation: how arguments of the test are written.
    """
    name = notation.name
    ending = ending or f"{name('lr_max')} was reached"
    if kind == "interrupted":
        return f"interrupted after {len(smoothed)} steps: no suggestion, run the test to its end"
    if kind == "diverged at once":
        return (
            f"diverged at once: the loss rose from the start at {rates[0]:.3g} and did not fall "
            f"({ending}): no suggestion; try a smaller {name('lr_min')}"
        )
    first = warm_up(smoothing)
    start, best = smoothed[first], lowest(smoothed, first)
    if kind == "never fell":
        return (
            f"never fell: from {rates[0]:.3g} to {rates[-1]:.3g} the loss did not fall clearly "
            f"below the {start:.4g} of the start ({ending}): no suggestion; try a model that is "
            f"not trained yet, a larger {name('lr_max')}, or, with batches, another seed or a "
            f"larger {name('batch_size')}"
        )
    if kind == "still falling at lr_max":
        return (
            f"still falling at {name('lr_max')}: the loss went from {start:.4g} to "
            f"{smoothed[best]:.4g} and was still falling at {rates[-1]:.3g}: no suggestion; "
            f"try a larger {name('lr_max')}"
        )
    named = ", ".join(f"{rule} {rate:.3g}" for rule, rate in found.items())
    return (
        f"found: {named}; the loss fell from {start:.4g} to {smoothed[best]:.4g}, most of it by "
        f"{rates[bottom(smoothed, first)]:.3g} ({ending})"
    )
