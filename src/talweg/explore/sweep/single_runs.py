"""Training the runs of a sweep one by one, by `talweg.train`.

That is how runs are trained which native code cannot train together. Start reading at
`train_one_by_one`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg.explore.sweep.specification import Specification
from talweg.explore.sweep.task_result import ENDS, ENGINES, TaskResult, empty_arrays
from talweg.training.history import History
from talweg.training.objective import parameters_of
from talweg.training.outcome import largest_gradient
from talweg.training.train import train

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]


def train_one_by_one(
    specification: Specification,
    numbers: Sequence[int],
    fallback_reason: str,
    stopped: Callable[[], bool],
) -> TaskResult:
    """Train some runs, one after the other.

    Args:
        specification: of the sweep.
        numbers: the numbers of the runs.
        fallback_reason: why they are trained one by one.
        stopped: whether to return before the next run; asked before each.
    """
    arrays = empty_arrays(len(numbers), specification.steps)
    histories: dict[int, History] = {}
    for row, k in enumerate(numbers):
        if stopped():
            return TaskResult(arrays, histories, fallback_reason, complete=False)
        histories[k] = _trained(specification, k, row, arrays)
        if histories[k].status == "interrupted":
            return TaskResult(arrays, histories, fallback_reason, complete=False)
    return TaskResult(arrays, histories, fallback_reason)


def _trained(specification: Specification, k: int, row: int, arrays: dict[str, Array]) -> History:
    """The record of run k; its row of the arrays is filled in."""
    settings = specification.settings_of(k)
    model, stop_at = specification.model_of(settings), specification.stop_at
    given = specification.given_to_train(settings)
    if stop_at is not None:
        given["callbacks"] = [*given.get("callbacks", ()), lambda step: step.loss <= stop_at]
    history = train(
        model,
        specification.samples,
        steps=specification.steps,
        optimizer=specification.optimizer_of(settings),
        engine=specification.engine,  # type: ignore[arg-type]
        mode=specification.mode,  # type: ignore[arg-type]
        threads=specification.threads,
        **given,
    )
    taken, stopped = history.steps, history.status == "stopped early"
    if stop_at is not None and stopped and history.losses[-1] <= stop_at:
        history.verdict = describe_target_reached(history, stop_at)
    arrays["losses"][row, :taken] = history.losses
    arrays["taken"][row] = taken
    arrays["ends"][row] = ENDS.index(history.status)
    arrays["seconds"][row] = history.seconds[-1] if taken else 0.0
    arrays["engine"][row] = ENGINES.index(history.engine)
    if history.status == "diverged":
        gradient = [p.grad for p in parameters_of(model)]
        arrays["worst"][row] = worst = largest_gradient(gradient)
        arrays["size"][row] = gradient[worst]
    return history


def describe_target_reached(history: History, stop_at: float) -> str:
    """The verdict on a run that stopped because its loss reached the target."""
    return (
        f"stopped at step {history.steps}: the loss {history.losses[-1]:.6g} is not above "
        f"stop_at, {stop_at:g}"
    )
