"""What `talweg map` prints: what was mapped, how much of it converged, and up to which rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg.cli import ending
from talweg.cli.console import in_options, say
from talweg.cli.subject import Subject
from talweg.explore.trainability.axes import Axis
from talweg.explore.trainability.result import TrainabilityMap, percent

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"


def say_map(
    subject: Subject,
    result: TrainabilityMap,
    optimizer: str,
    plots: Sequence[Path],
    animation: Path | None,
    store: Path | None,
) -> None:
    """Print a map for people.

    Args:
        subject: what was trained.
        result: the map.
        optimizer: the name of the optimiser.
        plots: where pictures were saved.
        animation: where the animation was saved, if it was.
        store: the folder of the points, if there is one.
    """
    rows, columns = result.measure.shape
    say(f"{subject.name}: a map of {columns} x {rows} runs of {result.steps} steps", "bold")
    say(f"Network: {subject.model()!r}, seed {subject.seed}")
    size = len(subject.samples) if subject.batch is None else subject.batch
    put_together = "mean" if subject.reduction == "mean" else "sum"
    say(
        f"Loss: {subject.loss_name}, {put_together} over {size} samples of a step; "
        f"optimizer {optimizer}"
    )
    frame, window = result.pyramid.plane, result.window
    closer = window.columns < 1 << window.level
    for which, axis, values in (("x", frame.x, result.x), ("y", frame.y, result.y)):
        say(f"Along {which}: {axis.name}, {_extent(axis, values, closer=closer)}")
    if result.fallback_reason:
        say(f"Runs were made one by one: {in_options(result.fallback_reason)}")
    say()
    ending.say_saved("Picture", *plots)
    ending.say_saved("Animation", animation)
    ending.say_saved("Points", store)
    share, _, about_boundary = result.summary.rpartition("; ")
    say(share, "bold" if result.converged.any() else "bold red")
    any_terminal = about_boundary.replace("±", "+-")
    say(any_terminal[:1].upper() + any_terminal[1:])
    about_rates = describe_limit(result)
    if about_rates:
        say(about_rates, "bold")


def document(
    subject: Subject,
    result: TrainabilityMap,
    optimizer: str,
    plots: Sequence[Path],
    animation: Path | None,
) -> dict[str, Any]:
    """A map for programs; for the arguments see `say_map`."""
    import numpy as np

    frame, dimension = result.pyramid.plane, result.dimension
    known = np.isfinite(result.measure)
    return {
        "command": "map",
        "file": None if subject.file is None else str(subject.file),
        "network": repr(subject.model()),
        "optimizer": optimizer,
        "steps": result.steps,
        "batch": subject.batch,
        "seed": subject.seed,
        "resolution": len(result.x),
        "x": _axis_document(frame.x, result.x),
        "y": _axis_document(frame.y, result.y),
        "converged": [
            [None if math.isnan(m) else int(m < 0.0) for m in row]
            for row in result.measure.tolist()
        ],
        "share_converged": float(result.converged.sum() / max(1, known.sum())),
        "dimension": dimension.value,
        "dimension_error": dimension.error,
        "finished": result.finished,
        "summary": result.summary,
        "about_learning_rates": describe_limit(result),
        "fallback_reason": result.fallback_reason,
        "plots": [str(path) for path in plots],
        "animation": None if animation is None else str(animation),
    }


def _axis_document(axis: Axis, values: Array) -> dict[str, Any]:
    return {
        "setting": axis.name,
        "low": axis.low,
        "high": axis.high,
        "scale": axis.scale,
        "values": values.tolist(),
    }


def _extent(axis: Axis, values: Array, *, closer: bool) -> str:
    """Where an axis begins and ends; of a closer look what it shows of that."""
    scale = "logarithmic" if axis.scale == "log" else "linear"
    if not closer:
        return f"{axis.low:g} to {axis.high:g}, {scale}"
    first, last = told_apart(float(values[0]), float(values[-1]))
    return f"{first} to {last}, {scale}; of {axis.low:g} to {axis.high:g}"


# ---- learning rates -----------------------------------------------------------------------------


def describe_limit(result: TrainabilityMap) -> str:
    """Up to which learning rate runs of a map converge, and how clear that limit is.

    Of all rates of either axis, the limit is the one that parts converged runs from others best:
    the share of converged runs up to it, less the share of other runs up to it, is greatest.

    Args:
        result: the map.

    Returns:
        One sentence; empty if no axis is a learning rate, all runs ended alike, or large rates
        converged no less often than small ones.
    """
    import numpy as np

    known = np.isfinite(result.measure)
    frame = result.pyramid.plane
    found = [
        (*_limit(result.converged.sum(axis=across), known.sum(axis=across)), axis.name, values)
        for axis, values, across in ((frame.x, result.x, 0), (frame.y, result.y, 1))
        if axis.setting == "learning_rate"
    ]
    clearness, k, below, above, name, values = max(
        found, key=lambda each: each[0], default=(0.0, 0, 0.0, 0.0, "", result.x)
    )
    if clearness <= 0.0:
        return ""
    rate, _ = told_apart(float(values[k]), float(values[k + 1]))
    return f"Up to {name} {rate}: {percent(below)} of the runs converged; above: {percent(above)}"


def _limit(converged: Array, runs: Array) -> tuple[float, int, float, float]:
    """Of runs counted at each rate: (how clear the limit is, its place, shares below and above)."""
    import numpy as np

    others = runs - converged
    if not converged.any() or not others.any():
        return 0.0, 0, 0.0, 0.0
    good, bad = converged.cumsum()[:-1], others.cumsum()[:-1]
    clearness = good / converged.sum() - bad / others.sum()
    k = int(np.argmax(clearness))
    below = good[k] / max(1, good[k] + bad[k])
    rest_good, rest_bad = converged.sum() - good[k], others.sum() - bad[k]
    return float(clearness[k]), k, float(below), float(rest_good / max(1, rest_good + rest_bad))


def told_apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to see that they differ, and at least 3.

    >>> told_apart(0.3162, 0.3276), told_apart(0.31622, 0.31624)
    (('0.316', '0.328'), ('0.31622', '0.31624'))
    """
    for digits in range(3, 18):
        texts = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts
