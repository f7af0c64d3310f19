"""The learning rate of a map up to which runs converge. Start reading at `describe_threshold`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from talweg.explore.trainability.result import TrainabilityMap, percent

if TYPE_CHECKING:
    import numpy as np


class _Threshold(NamedTuple):
    """A rate that separates converged runs from others.

    Attributes:
        separation: the fraction of the converged runs up to it, less that of the other runs.
        position: its position among the rates of the axis.
        below: the fraction of the runs up to it that converged.
        above: the fraction of the runs above it that converged.
    """

    separation: float
    position: int
    below: float
    above: float


def describe_threshold(result: TrainabilityMap) -> str:
    """The learning rate up to which runs of a map converge, and the fractions that do.

    Of all rates of both axes it is the one with the largest separation: the fraction of the
    converged runs that are at most at this rate, less the same fraction of the other runs.

    Args:
        result: the map.

    Returns:
        One sentence; empty if no axis is a learning rate, all runs ended alike, or large rates
        converged no less often than small ones.
    """
    import numpy as np

    known = np.isfinite(result.measure)
    plane = result.pyramid.plane
    found = [
        (_threshold(result.converged.sum(axis=summed), known.sum(axis=summed)), axis.name, values)
        for axis, values, summed in ((plane.x, result.x, 0), (plane.y, result.y, 1))
        if axis.setting == "learning_rate"
    ]
    if not found:
        return ""
    best, name, values = max(found, key=lambda each: each[0].separation)
    if best.separation <= 0.0:
        return ""
    rate, _ = distinguishable(float(values[best.position]), float(values[best.position + 1]))
    return (
        f"Up to {name} {rate}: {percent(best.below)} of the runs converged; "
        f"above: {percent(best.above)}"
    )


def _threshold(converged: np.ndarray[Any, Any], runs: np.ndarray[Any, Any]) -> _Threshold:
    """The best threshold on an axis, from the number of (converged) runs at each of its rates."""
    import numpy as np

    others = runs - converged
    if not converged.any() or not others.any():
        return _Threshold(0.0, 0, 0.0, 0.0)
    good, bad = converged.cumsum()[:-1], others.cumsum()[:-1]
    separation = good / converged.sum() - bad / others.sum()
    k = int(np.argmax(separation))
    below = good[k] / max(1, good[k] + bad[k])
    good_above, bad_above = converged.sum() - good[k], others.sum() - bad[k]
    above = good_above / max(1, good_above + bad_above)
    return _Threshold(float(separation[k]), k, float(below), float(above))


def distinguishable(a: float, b: float) -> tuple[str, str]:
    """Two numbers with as many digits as are needed to see that they differ, and at least 3.

    >>> distinguishable(0.3162, 0.3276), distinguishable(0.31622, 0.31624)
    (('0.316', '0.328'), ('0.31622', '0.31624'))
    """
    for digits in range(3, 18):
        texts = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts
