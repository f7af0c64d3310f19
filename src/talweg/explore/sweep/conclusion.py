"""The conclusion from all runs of a sweep: which rate is best, and up to which rates it is stable.

The runs of one rate, of all its seeds, are one point (`by_rate`):

    verdict     the most frequent one of its runs; of equally frequent ones the worst
    final loss  the median; that of a run that diverged counts as inf

The conclusion follows these rules, for rates from the smallest to the largest, without runs that
were cut short by Ctrl-C:

    best rate     the lowest median of the final losses, of rates that did not diverge; of equal
                  ones the smallest
    stable        converged or descending
    stable up to  the last rate before the first one that is not stable
    above that    the verdicts of the larger rates, in the order in which they first occur; mixed
                  if some of these rates are stable

With further settings, such as the momentum, there is one conclusion for each combination of them.

Start reading at `summary`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg.explore.sweep.columns import groups
from talweg.explore.verdicts import VERDICTS

if TYPE_CHECKING:
    import numpy as np

    from talweg.explore.sweep.data import SweepData

    Array: TypeAlias = np.ndarray[Any, Any]

MOST_COMBINATIONS = 6
"""How many combinations of settings are described and drawn separately, at most."""

FEW_SEEDS = 5
"""With fewer runs a rate, the spread is from the lowest to the highest; else the middle half."""

_DOES = {
    "oscillating": "oscillates",
    "stuck": "gets stuck",
    "diverged": "diverges",
    "converged": "converges",
    "descending": "descends",
}


@dataclass(frozen=True)
class ByRate:
    """The runs of a sweep by their rates, in ascending order; one entry a rate.

    Attributes:
        rates: the learning rates.
        codes: the verdict of most runs, as an index of `VERDICTS`.
        median: the median of the final losses; inf where half of the runs diverged.
        low: the lower end of the spread of the final losses.
        high: the upper end.
        most: the largest number of runs of a rate.
    """

    rates: Array
    codes: Array
    median: Array
    low: Array
    high: Array
    most: int


def by_rate(rates: Array, codes: Array, losses: Array) -> ByRate:
    """The runs of each rate as one point; the rules are at the top of this file.

    Args:
        rates: the learning rate of each run.
        codes: the verdict of each, as an index of `VERDICTS`.
        losses: the final loss of each.

    Example:
        >>> import numpy as np
        >>> found = by_rate(np.array([0.1, 0.1, 0.01]), np.array([0, 4, 1]), np.array([2.0, 3, 4]))
        >>> found.rates.tolist(), found.codes.tolist(), found.median.tolist()
        ([0.01, 0.1], [1, 4], [4.0, inf])
    """
    import numpy as np

    kinds, diverged = len(VERDICTS), VERDICTS.index("diverged")
    distinct, number = np.unique(rates, return_inverse=True)
    votes = np.bincount(number * kinds + codes, minlength=kinds * len(distinct))
    votes = votes.reshape(-1, kinds)
    worst_of_most = kinds - 1 - np.argmax(votes[:, ::-1], axis=1)
    counts = votes.sum(axis=1)
    height = np.where((codes == diverged) | np.isnan(losses), np.inf, losses)
    ordered = height[np.lexsort((height, number))]
    start = np.cumsum(counts) - counts

    def quantile(fraction: float) -> Array:
        at = fraction * (counts - 1)
        below = ordered[start + np.floor(at).astype(int)]
        above = ordered[start + np.ceil(at).astype(int)]
        with np.errstate(invalid="ignore"):  # inf - inf, which is not chosen
            between: Array = below + (at % 1.0) * (above - below)
        return np.where(below == above, below, between)

    most = int(counts.max(initial=0))
    few = most < FEW_SEEDS
    low, high = (0.0, 1.0) if few else (0.25, 0.75)
    return ByRate(
        distinct.astype(float), worst_of_most, quantile(0.5), quantile(low), quantile(high), most
    )


def combinations(data: SweepData) -> list[tuple[dict[str, Any], Array]]:
    """The combinations of all settings but rate and seed, each with the numbers of its runs.

    Runs that were cut short are left out. A single combination is returned without its settings.
    """
    import numpy as np

    others = [name for name in data.settings if name not in ("learning_rate", "seed")]
    whole = np.flatnonzero(data.whole)
    number, combined, _ = groups(data.settings, others)
    found = [
        (dict(zip(others, values, strict=True)), whole[number[whole] == k])
        for k, values in enumerate(combined)
    ]
    found = [(settings, runs) for settings, runs in found if len(runs)]
    return [({}, runs) for _, runs in found] if len(found) == 1 else found


def name_of(settings: dict[str, Any]) -> str:
    """The name of a combination of settings.

    >>> name_of({"momentum": 0.9, "batch_size": None})
    'momentum 0.9, batch size None'
    """
    return ", ".join(
        f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float)
        else f"{name.replace('_', ' ')} {value}"
        for name, value in settings.items()
    )  # fmt: skip


def summary(data: SweepData) -> str:
    """The conclusion in words; the rules are at the top of this file."""
    import numpy as np

    if not data.whole.any():
        return "no run was finished"
    rates = np.asarray(data.settings["learning_rate"], dtype=np.float64)
    parts = combinations(data)
    found = [
        (settings, by_rate(rates[runs], data.codes[runs], data.final_losses[runs]))
        for settings, runs in parts
    ]
    best = min(found, key=lambda part: _lowest(part[1]))
    sentences = [_best(*best)]
    if len(found) > MOST_COMBINATIONS:
        names = " and ".join(name.replace("_", " ") for name in found[0][0])
        sentences.append(f"{len(found)} combinations of {names}: result.where selects some of them")
    else:
        sentences += [
            (f"{name_of(settings)}: " if settings else "") + stability(runs.rates, runs.codes)
            for settings, runs in found
        ]
    return "; ".join(sentences)


def _lowest(runs: ByRate) -> float:
    """The lowest median of the final losses, of rates that did not diverge; inf if all did."""
    import numpy as np

    fine = runs.codes != VERDICTS.index("diverged")
    return float(np.min(runs.median, initial=np.inf, where=fine))


def _best(settings: dict[str, Any], runs: ByRate) -> str:
    """The best rate of the best combination of settings."""
    import numpy as np

    if np.isinf(_lowest(runs)):
        return "no best rate: all diverged"
    fine = runs.codes != VERDICTS.index("diverged")
    rate = runs.rates[int(np.argmin(np.where(fine, runs.median, np.inf)))]
    return f"best rate {rate:.3g}" + (f" with {name_of(settings)}" if settings else "")


def stability(rates: Array, codes: Array) -> str:
    """Up to which rates a sweep is stable, and what larger rates do.

    Args:
        rates: the learning rates, in ascending order.
        codes: the verdict of each, as an index of `VERDICTS`.

    Example:
        >>> import numpy as np
        >>> stability(np.array([0.01, 0.1, 1.0]), np.array([1, 0, 3]))
        'stable up to 0.1; at 1 it gets stuck, not unstable'
    """
    words = [VERDICTS[code] for code in codes.tolist()]
    stable = [word in ("converged", "descending") for word in words]
    if len(words) == 1:
        return f"{rates[0]:.3g} is the only rate tried, and there it {_DOES[words[0]]}"
    if all(stable):
        return f"stable at all {len(words)} rates tried, up to {rates[-1]:.3g}"
    first = stable.index(False)
    above = _either([_DOES[w] for w, fine in zip(words, stable, strict=True) if not fine])
    if not any(stable):
        return f"stable nowhere: from {rates[0]:.3g} on, the smallest rate tried, it {above}"
    again = [rate for rate, fine in zip(rates[first:], stable[first:], strict=True) if fine]
    edge, beyond = _apart(rates[first - 1], rates[first]) if first else ("", f"{rates[0]:.3g}")
    start = f"stable up to {edge}; " if first else "not stable at the smallest rate; "
    if again:
        example = f"{again[0]:.3g}"
        return f"{start}mixed above: from {beyond} on it {above}, but {example} works again"
    where = f"at {beyond}" if first == len(words) - 1 else f"from {beyond} on"
    end = ", not unstable" if above == _DOES["stuck"] else ""
    return f"{start}{where} it {above}{end}"


def _either(words: Sequence[str]) -> str:
    """Each of the words once, in order: a, b or c."""
    *before, last = dict.fromkeys(words)
    return f"{', '.join(before)} or {last}" if before else last


def _apart(a: float, b: float) -> tuple[str, str]:
    """Two neighbouring rates, with as many digits as they need to differ."""
    for digits in range(3, 17):
        pair = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if pair[0] != pair[1]:
            break
    return pair
