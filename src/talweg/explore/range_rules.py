"""The status and the suggestions of a learning-rate range test, from its rates and losses.

The losses are smoothed (`ExponentialMovingAverage`) with smoothing s. The first
round(2 s / (1 - s)) smoothed losses are left out, because they are means of few losses. Of the
others, `start` is the first and `best` the lowest. The descent ends where the smoothed loss has
first fallen by 98 % of start - best: a network that fits a few samples exactly approaches a loss of
0 at any rate, which gives no information about rates. A change is clear if it is at least 1 % of
start and at least 3.5 times the standard deviation of a smoothed loss that is due to the batches
(`batch_noise`).

The statuses are tested in this order:

    interrupted              Ctrl-C stopped the test
    diverged at once         no clear fall, and after the first tenth of the steps the test has
                             stopped or the loss stays clearly above start
    never fell               no clear fall
    still falling at lr_max  lr_max was reached, and the descent ends in the last 5 % of the steps
    found                    otherwise

Start reading at `status`, then `suggestions`.
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


class ExponentialMovingAverage:
    """The bias-corrected exponential moving average of a sequence.

    From m_0 = 0, m_k = s m_(k-1) + (1 - s) x_k, and the average is m_k / (1 - s**k). The division
    corrects the bias towards m_0: the weights of x_1 to x_k have the sum 1. With s = 0 the average
    is x_k.

    Args:
        smoothing: s, from 0 up to but not including 1.

    Source: Kingma and Ba, Adam, arXiv 1412.6980, section 3.

    >>> average = ExponentialMovingAverage(0.5)
    >>> [round(average.add(x), 6) for x in (3.0, 6.0, 6.0)]
    [3.0, 5.0, 5.571429]
    """

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing
        self.mean = 0.0
        self.weight_of_zero = 1.0  # s**k, the weight of m_0

    def add(self, x: float) -> float:
        """Append a number, and return the average."""
        self.mean = self.smoothing * self.mean + (1.0 - self.smoothing) * x
        self.weight_of_zero *= self.smoothing
        return self.mean / (1.0 - self.weight_of_zero)


def smooth(losses: Sequence[float], smoothing: float) -> list[float]:
    """The exponential moving average up to each loss, see `ExponentialMovingAverage`.

    >>> smooth([3.0, 6.0], 0.5)
    [3.0, 5.0]
    """
    average = ExponentialMovingAverage(smoothing)
    return [average.add(loss) for loss in losses]


def warm_up_steps(smoothing: float) -> int:
    """The number of smoothed losses at the beginning that are left out.

    >>> warm_up_steps(0.0), warm_up_steps(0.9)
    (0, 18)
    """
    return round(2.0 * smoothing / (1.0 - smoothing))


def too_high(loss: float, best: float, factor: float) -> bool:
    """Whether a smoothed loss stops the test: it is not finite, or above factor times the best.

    A multiple of a negative loss has no meaning, so the rise that is allowed is that of a best loss
    of the same size above zero: loss > best + (factor - 1) |best|.

    Args:
        loss: the smoothed loss.
        best: the lowest smoothed loss so far.
        factor: the factor, above 1.

    >>> too_high(4.1, 1.0, 4.0), too_high(4.0, 1.0, 4.0), too_high(-2.0, -1.0, 4.0)
    (True, False, False)
    """
    return not math.isfinite(loss) or loss > best + (factor - 1.0) * abs(best)


def batch_noise(losses: Sequence[float], smoothed: Sequence[float], smoothing: float) -> float:
    """The standard deviation of a smoothed loss that is due to the batches.

    The moving average of independent losses with standard deviation d has the standard deviation
    d sqrt((1 - s) / (1 + s)). The losses differ from their average, which contains them, by
    d sqrt(2 s**2 / (1 + s)). The second is measured here, the first is the result: their ratio is
    sqrt((1 - s) / 2) / s. Without smoothing (s = 0) the difference is 0, and so is the result.

    Args:
        losses: single losses, at least one.
        smoothed: their moving averages.
        smoothing: s.

    >>> round(batch_noise([1.0, 3.0], [2.0, 2.0], 0.5), 6)
    1.0
    """
    if not smoothing:
        return 0.0
    difference = math.dist(losses, smoothed) / math.sqrt(len(losses))
    return difference * math.sqrt((1.0 - smoothing) / 2.0) / smoothing


def status(
    losses: Sequence[float], smoothed: Sequence[float], smoothing: float, steps: int, stopped: bool
) -> Status:
    """The status of a test that was not interrupted; the rules are at the top of this file.

    Args:
        losses: the loss of each step, at least one.
        smoothed: their moving averages.
        smoothing: the smoothing of the averages.
        steps: the number of steps to lr_max.
        stopped: whether a loss or gradient stopped the test.

    >>> status([4.0, 3.0, 2.0, 9.0], [4.0, 3.0, 2.0, 9.0], 0.0, 10, stopped=True)
    'found'
    """
    first, early = warm_up_steps(smoothing), max(1, steps // 10)
    if len(smoothed) <= first or not math.isfinite(smoothed[first]):
        return "diverged at once"
    start, best = smoothed[first], lowest_index(smoothed, first)
    stable = max(best, first + early) + 1  # later losses may be very large
    noise = batch_noise(losses[:stable], smoothed[:stable], smoothing)
    clear = max(0.01 * abs(start), 3.5 * noise)
    if best == first or start - smoothed[best] < clear:
        late = smoothed[first + early :]  # empty if the test stopped before
        return "diverged at once" if all(not x <= start + clear for x in late) else "never fell"
    if not stopped and end_of_descent(smoothed, first) >= steps - max(1, steps // 20):
        return "still falling at lr_max"
    return "found"


def lowest_index(smoothed: Sequence[float], first: int) -> int:
    """The index of the lowest finite smoothed loss, from `first` on, whose loss is finite.

    >>> lowest_index([0.0, 3.0, 2.0, float("nan")], first=1)
    2
    """
    finite = (k for k in range(first, len(smoothed)) if math.isfinite(smoothed[k]))
    return min(finite, key=smoothed.__getitem__)


def end_of_descent(smoothed: Sequence[float], first: int) -> int:
    """The first index at which 98 % of the fall from `first` to the lowest loss has been made.

    >>> end_of_descent([5.0, 4.0, 1.05, 1.02, 1.0, 6.0], first=0)
    2
    """
    best = lowest_index(smoothed, first)
    low_enough = smoothed[best] + 0.02 * (smoothed[first] - smoothed[best])
    return next(k for k in range(first, best + 1) if smoothed[k] <= low_enough)


def suggestions(
    rates: Sequence[float], smoothed: Sequence[float], smoothing: float
) -> dict[str, float]:
    """Learning rates by three rules, see `talweg.explore.range_test.RangeTest`.

    Args:
        rates: the rates of a test whose status is "found".
        smoothed: its smoothed losses.
        smoothing: their smoothing.

    Returns:
        The rates by the name of their rule.

    >>> losses = [9.0, 8.0, 4.0, 3.0, 7.0]
    >>> suggestions([1.0, 2.0, 4.0, 8.0, 16.0], losses, 0.0)
    {'steepest': 2.0, 'minimum / 10': 0.8, 'valley': 4.0}
    """
    first = warm_up_steps(smoothing)
    end = end_of_descent(smoothed, first)
    # Minima so far: a fall that only reverses a rise does not count.
    minima = list(accumulate(smoothed[first : end + 1], min))
    # With batches, noise alone gives new minima at first, and between neighbouring steps it is
    # steeper than any descent. So the steepest fall is searched for below the first quarter of the
    # fall, over as many steps as the average has.
    top, quarter = 0, minima[0] - 0.25 * (minima[0] - minima[-1])
    if smoothing:
        top = max(k for k in range(len(minima) - 1) if smoothed[first + k] > quarter)
    width = min(round(1.0 / (1.0 - smoothing)), len(minima) - 1 - top)
    falls = [minima[k] - minima[k + width] for k in range(top, len(minima) - width)]
    steepest = first + top + falls.index(max(falls)) + width // 2
    new_minima = [k for k, x in enumerate(minima, first) if k == first or x < minima[k - first - 1]]
    return {
        "steepest": rates[steepest],
        "minimum / 10": rates[end] / 10.0,
        "valley": rates[new_minima[2 * (len(new_minima) - 1) // 3]],
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
    """One sentence: the suggestions, or why there are none; why the test stopped; what to try.

    Args:
        kind: the status.
        rates: the rate of each step.
        smoothed: the smoothed losses.
        smoothing: their smoothing.
        found: the suggestions.
        ending: why the test stopped before the last rate; empty if it did not.
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
    first = warm_up_steps(smoothing)
    start, best = smoothed[first], lowest_index(smoothed, first)
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
        f"{rates[end_of_descent(smoothed, first)]:.3g} ({ending})"
    )
