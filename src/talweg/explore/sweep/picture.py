"""The picture of a sweep: which one it is, and what is drawn in it.

Up to 8 runs of one seed are curves over the steps; more runs are points over the learning rate.
The drawing itself is in `talweg.plotting.curves` and `talweg.plotting.sweep`.

Start reading at `plot`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from talweg.errors import ArgumentError
from talweg.explore.sweep.columns import groups
from talweg.explore.sweep.conclusion import (
    FEW_SEEDS,
    MOST_COMBINATIONS,
    by_rate,
    combinations,
    name_of,
)
from talweg.explore.sweep.data import SweepData
from talweg.explore.verdicts import VERDICTS

if TYPE_CHECKING:
    import numpy as np

    from talweg.plotting.figure import Axes
    from talweg.plotting.sweep import Line

    Array: TypeAlias = np.ndarray[Any, Any]

Kind: TypeAlias = Literal["auto", "curves", "rates"]

TITLE = "Effect of the learning rate"

_MOST_CURVES = 1_000
"""How many curves are drawn at most: more cannot be told apart, and take minutes."""

_MOST_POINTS = 5_000
"""How many runs are drawn as single points at most; of more, the median and the spread alone."""


def plot(data: SweepData, kind: Kind = "auto", ax: Axes | None = None) -> Axes:
    """Draw a sweep; see `SweepResult.plot`."""
    if kind not in ("auto", "curves", "rates"):
        raise ArgumentError(f'kind must be "auto", "curves" or "rates", got {kind!r}')
    if kind == "auto":
        # A run that was cut short has no final loss.
        kind = "curves" if _few(data) or not data.whole.any() else "rates"
    return (_curves if kind == "curves" else _rates)(data, ax)


def png(data: SweepData) -> bytes:
    """The picture as a PNG, of a figure that no notebook shows a second time."""
    from talweg.plotting.figure import figure_bytes, hidden_axes

    return figure_bytes(plot(data, ax=hidden_axes(7.5, 4.0)), ".png")


def _few(data: SweepData) -> bool:
    return len(data) <= 8 and len(groups(data.settings, ["seed"])[1]) <= 1


def _curves(data: SweepData, ax: Axes | None) -> Axes:
    from talweg.plotting import curves

    if len(data) > _MOST_CURVES:
        raise ArgumentError(
            f"{len(data):,} curves are too many to see; select some with "
            'result.where(...), or draw kind="rates"'
        )
    few = len(data) <= 8
    runs = [
        (label, losses[:length].tolist())
        for label, losses, length in zip(
            _labels(data, few), data.losses, data.lengths.tolist(), strict=True
        )
    ]
    return curves.rates(runs, limit=_median(data.max_stable_lrs), title=TITLE, ax=ax)


def _labels(data: SweepData, few: bool) -> list[str]:
    """The rate of each run, with the settings in which runs of one rate differ.

    With few runs, a rate above the largest stable one is given as a multiple of it.
    """
    several = [
        name
        for name in data.settings
        if name != "learning_rate" and len(groups(data.settings, [name])[1]) > 1
    ]
    rates = data.settings["learning_rate"].tolist()
    columns = zip(*(data.settings[name].tolist() for name in several), strict=True)
    rows = list(columns) if several else [()] * len(data)
    labels = [
        ", ".join([f"{rate:g}", *filter(None, [name_of(dict(zip(several, row, strict=True)))])])
        for rate, row in zip(rates, rows, strict=True)
    ]
    if few:
        above = data.lr_over_limit.tolist()
        labels = [
            f"{label}: {times:.2g} × limit" if times > 1.0 else label
            for label, times in zip(labels, above, strict=True)
        ]
    return labels


def _median(limits: Array) -> float | None:
    import numpy as np

    known = limits[np.isfinite(limits)]
    return float(np.median(known)) if len(known) else None


def _rates(data: SweepData, ax: Axes | None) -> Axes:
    from talweg.plotting import sweep

    parts = combinations(data)
    if len(parts) > MOST_COMBINATIONS:
        names = ", ".join(parts[0][0])
        raise ArgumentError(
            f"{len(parts)} combinations of {names} are too many for one picture; select up to "
            f"{MOST_COMBINATIONS} of them, such as result.where({_example(parts[0][0])})"
        )
    lines = [_line(data, settings, runs) for settings, runs in parts]
    most = max((line.runs_a_rate for line in lines), default=1)
    spread = "" if most == 1 else "lowest to highest" if most < FEW_SEEDS else "middle half"
    return sweep.rates(lines, spread=spread, title=TITLE, ax=ax)


def _example(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())


def _line(data: SweepData, settings: dict[str, Any], runs: Array) -> Line:
    """The runs of one combination of settings, as `talweg.plotting.sweep` draws them."""
    import numpy as np

    from talweg.plotting.sweep import Line

    rates = np.asarray(data.settings["learning_rate"], dtype=np.float64)[runs]
    codes, losses = data.codes[runs], data.final_losses[runs]
    found = by_rate(rates, codes, losses)
    spread = np.where(codes == VERDICTS.index("diverged"), np.inf, losses)
    few = len(data) <= _MOST_POINTS
    limits = data.max_stable_lrs[runs]
    known = limits[np.isfinite(limits)]
    return Line(
        name=name_of(settings),
        rates=found.rates.tolist(),
        median=found.median.tolist(),
        low=found.low.tolist(),
        high=found.high.tolist(),
        verdicts=[VERDICTS[code] for code in found.codes.tolist()],
        points=list(zip(rates.tolist(), spread.tolist(), strict=True)) if few else [],
        limits=(float(known.min()), float(np.median(known)), float(known.max()))
        if len(known)
        else (math.nan,) * 3,
        runs_a_rate=found.most,
    )
