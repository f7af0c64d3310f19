"""The arguments of `talweg.sweep`: the values of each setting, checked before any run.

Start reading at `choices_of`, then `checked_optimizers`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from talweg.errors import ArgumentError
from talweg.explore.sweep.optimizer_table import OptimizerTable, optimizer_table
from talweg.explore.sweep.specification import Specification
from talweg.training.settings import Settings
from talweg.training.train import train


def choices_of(
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    grid: Mapping[str, Sequence[Any]],
    settings: Mapping[str, Any],
) -> dict[str, list[Any]]:
    """The values of each setting, in the order in which runs are numbered.

    Raises:
        ArgumentError: if they are no lists, or a setting is unknown or given twice.
    """
    if not isinstance(grid, Mapping):
        raise ArgumentError(f'grid must be a dict such as {{"momentum": [0.0, 0.9]}}, got {grid!r}')
    for name, x in settings.items():
        if name not in signature(train).parameters:
            raise ArgumentError(
                f"{name}={x!r} is no setting of train; settings of make_model or optimizer go "
                f"into grid={{{name!r}: [...]}}"
            )
    named = {**grid, "learning_rates": learning_rates, "seeds": seeds}
    for name, values in named.items():
        if isinstance(values, str) or not hasattr(values, "__len__") or not len(values):
            raise ArgumentError(f"{name} must be a list with at least one entry, got {values!r}")
    for name in grid:
        if name in settings:
            raise ArgumentError(f"{name} is given twice: in grid, and as {name}={settings[name]!r}")
        if name in ("learning_rate", "learning_rates", "seed", "seeds"):
            raise ArgumentError(f"{name} in grid: give learning_rates=[...] or seeds=[...] instead")
    given = {**grid, "learning_rate": learning_rates, "seed": seeds}
    choices = {name: _as_list(values) for name, values in given.items()}
    rates, wrong = choices["learning_rate"], _first_other(choices["learning_rate"], (int, float))
    if wrong is not None:
        raise ArgumentError(
            f"learning_rates must be numbers, got {rates[wrong]!r} among them; a schedule of each "
            "is made by optimizer=lambda lr: tw.SGD(tw.schedules.Cosine(lr, steps=50))"
        )
    wrong = _first_other(choices["seed"], int)
    if wrong is not None:
        raise ArgumentError(f"seeds must be integers, got {choices['seed'][wrong]!r} among them")
    return choices


def _first_other(values: Sequence[Any], kinds: Any) -> int | None:
    """The index of the first value that is of none of these types; None if all are."""
    if all(issubclass(kind, kinds) for kind in set(map(type, values))):
        return None
    return next((k for k, x in enumerate(values) if not isinstance(x, kinds)), None)


def _as_list(values: Any) -> list[Any]:
    """The values of a setting as a list, with numbers of NumPy as those of Python."""
    if getattr(values, "ndim", 0) == 1 and values.dtype.kind in "biuf":
        plain: list[Any] = values.tolist()
        return plain
    return [as_python(x) for x in values]


def as_python(x: Any) -> Any:
    """A number of NumPy as one of Python; anything else as it is."""
    return x.item() if hasattr(x, "item") and getattr(x, "ndim", 1) == 0 else x


def check_steps(steps: Any, stop_at: Any) -> None:
    """Check the number of steps and the target.

    Raises:
        ArgumentError: if one of them is invalid.
    """
    if not isinstance(steps, int) or steps < 1:
        raise ArgumentError(argument="steps", expected="an integer of at least 1", got=steps)
    if stop_at is not None and not (isinstance(stop_at, (int, float)) and math.isfinite(stop_at)):
        raise ArgumentError(argument="stop_at", expected="None or a finite number", got=stop_at)


def checked_optimizers(specification: Specification, progress: bool) -> OptimizerTable:
    """The optimisers of a sweep, all settings of which are checked.

    `train` checks each of its settings independently of the others, so one run for each value is
    enough. If a value is refused, all runs are checked in order, to report the first.

    Args:
        specification: of the sweep.
        progress: as given to `talweg.sweep`.

    Raises:
        ArgumentError: if a setting is invalid.
    """
    try:
        for k in specification.runs_with_each_value(specification.names_of("scale", "train")):
            _check_run(specification, k, progress)
        return optimizer_table(specification)
    except Exception:
        for k in range(0, specification.count, len(specification.choices["seed"])):
            _check_run(specification, k, progress)
        raise


def _check_run(specification: Specification, k: int, progress: bool) -> None:
    """Refuse invalid settings of run k, such as a negative rate or a batch size of 0."""
    settings = specification.settings_of(k)
    optimizer = specification.optimizer_of(settings)
    scale = specification.routed("scale", settings).get("initial_scale", 1.0)
    if not isinstance(scale, (int, float)):
        raise ArgumentError(f"initial_scale must be a number, got {scale!r}")
    given = specification.given_to_train(settings)
    Settings.among(
        {
            **given,
            "optimizer": optimizer,
            "steps": specification.steps,
            "engine": specification.engine,
            "mode": specification.mode,
            "threads": specification.threads,
            "progress": progress,
        }
    )
