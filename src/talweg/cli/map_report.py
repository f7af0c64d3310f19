"""The report of `talweg map`: what was mapped, how much converged, up to which learning rate.

Start reading at `print_map`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talweg.cli.console import print_line, print_saved
from talweg.cli.rate_threshold import describe_threshold, distinguishable
from talweg.cli.training_problem import TrainingProblem
from talweg.explore.trainability.axes import Axis
from talweg.explore.trainability.result import TrainabilityMap

if TYPE_CHECKING:
    import numpy as np


def print_map(
    problem: TrainingProblem,
    result: TrainabilityMap,
    optimizer: str,
    plots: Sequence[Path],
    animation: Path | None,
    store: Path | None,
) -> None:
    """Print a map for people.

    Args:
        problem: what was trained.
        result: the map.
        optimizer: the name of the optimiser.
        plots: where pictures were saved.
        animation: where the animation was saved, if it was.
        store: the folder of the points, if there is one.
    """
    rows, columns = result.measure.shape
    steps = result.steps
    print_line(f"{problem.name}: a map of {columns} x {rows} runs of {steps} steps", "bold")
    print_line(f"Network: {problem.model()!r}, seed {problem.seed}")
    size = len(problem.samples) if problem.batch is None else problem.batch
    print_line(
        f"Loss: {problem.loss_name}, {problem.reduction} over {size} samples of a step; "
        f"optimizer {optimizer}"
    )
    plane, window = result.pyramid.plane, result.window
    zoomed = window.columns < 1 << window.level
    for which, axis, values in (("x", plane.x, result.x), ("y", plane.y, result.y)):
        print_line(f"Along {which}: {axis.name}, {_extent(axis, values, zoomed=zoomed)}")
    if result.fallback_reason:
        print_line(f"Runs were made one by one: {result.fallback_reason}")
    print_line()
    print_saved("Picture", *plots)
    print_saved("Animation", animation)
    print_saved("Points", store)
    converged, _, boundary = result.summary.rpartition("; ")
    print_line(converged, "bold" if result.converged.any() else "bold red")
    boundary = boundary.replace("±", "+-")  # which every encoding has
    print_line(boundary[:1].upper() + boundary[1:])
    threshold = describe_threshold(result)
    if threshold:
        print_line(threshold, "bold")


def document(
    problem: TrainingProblem,
    result: TrainabilityMap,
    optimizer: str,
    plots: Sequence[Path],
    animation: Path | None,
) -> dict[str, Any]:
    """A map for programs; for the arguments see `print_map`."""
    import numpy as np

    plane, dimension = result.pyramid.plane, result.dimension
    known = np.isfinite(result.measure)
    return {
        "command": "map",
        "file": None if problem.file is None else str(problem.file),
        "network": repr(problem.model()),
        "optimizer": optimizer,
        "steps": result.steps,
        "batch": problem.batch,
        "seed": problem.seed,
        "resolution": len(result.x),
        "x": _axis_document(plane.x, result.x),
        "y": _axis_document(plane.y, result.y),
        "converged": [
            [None if math.isnan(m) else int(m < 0.0) for m in row]
            for row in result.measure.tolist()
        ],
        "share_converged": float(result.converged.sum() / max(1, known.sum())),
        "dimension": dimension.value,
        "dimension_error": dimension.error,
        "finished": result.finished,
        "summary": result.summary,
        "about_learning_rates": describe_threshold(result),
        "fallback_reason": result.fallback_reason,
        "plots": [str(path) for path in plots],
        "animation": None if animation is None else str(animation),
    }


def _axis_document(axis: Axis, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {
        "setting": axis.name,
        "low": axis.low,
        "high": axis.high,
        "scale": axis.scale,
        "values": values.tolist(),
    }


def _extent(axis: Axis, values: np.ndarray[Any, Any], *, zoomed: bool) -> str:
    """The ends of an axis; in a zoom the part of it that is mapped."""
    scale = "logarithmic" if axis.scale == "log" else "linear"
    if not zoomed:
        return f"{axis.low:g} to {axis.high:g}, {scale}"
    first, last = distinguishable(float(values[0]), float(values[-1]))
    return f"{first} to {last}, {scale}; of {axis.low:g} to {axis.high:g}"
