"""Records of single runs of a sweep, made from its columns when they are asked for.

Start reading at `RunRecords.history`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg import losses
from talweg.explore.limits import limit_at_start
from talweg.explore.sweep.single_runs import describe_target_reached
from talweg.explore.sweep.specification import Specification
from talweg.explore.sweep.task_result import ENDS, ENGINES
from talweg.training.history import History
from talweg.training.optimizer_family import first_rates
from talweg.training.outcome import describe_divergence, describe_loss_change, parameter_name

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]


class RunRecords:
    """The records of the runs of a result.

    Args:
        specification: of the sweep.
        numbers: the number of each run of the result.
        columns: the arrays of `TaskResult` without the losses, a row a run of the result.
        curves: the losses of each run; an array, or what gives one when it is sliced.
        histories: records that exist already, by the number of the run.
    """

    def __init__(
        self,
        specification: Specification,
        numbers: Array,
        columns: Mapping[str, Array],
        curves: Any,
        histories: Mapping[int, History],
    ) -> None:
        self.specification = specification
        self.numbers = numbers
        self.columns = columns
        self.curves = curves
        self.histories = histories

    def history(self, row: int) -> History:
        """The record of a run, as `train` would have made it.

        `seconds` is the time of the runs that were trained together, divided equally among its
        steps.
        """
        import numpy as np

        k = int(self.numbers[row])
        if k in self.histories:
            return self.histories[k]
        settings = self.specification.settings_of(k)
        of_run = {name: column[row].item() for name, column in self.columns.items()}
        taken, seconds = of_run["taken"], of_run["seconds"]
        history = History(
            losses=np.asarray(self.curves[row : row + 1])[0, :taken].tolist(),
            learning_rates=first_rates(self.specification.optimizer_of(settings), taken),
            seconds=[seconds / taken * (step + 1) for step in range(taken)],
            engine=ENGINES[of_run["engine"]],
        )
        history.status = ENDS[of_run["ends"]]
        history.verdict = self._verdict(history, settings, of_run)
        return history

    def _verdict(self, history: History, settings: dict[str, Any], of_run: dict[str, Any]) -> str:
        specification = self.specification
        if history.status == "diverged":
            return self._describe_divergence(history, settings, of_run)
        if history.status == "stopped early" and specification.stop_at is not None:
            return describe_target_reached(history, specification.stop_at)
        batches = specification.given_to_train(settings).get("batch_size") is not None
        change = describe_loss_change(history, batches=batches)
        return f"{history.status} {history.steps} steps; {change}"

    def _describe_divergence(
        self, history: History, settings: dict[str, Any], of_run: dict[str, Any]
    ) -> str:
        name = parameter_name(self.specification.model_of(settings), of_run["worst"])
        return describe_divergence(history.losses, of_run["size"], name)

    def max_stable_lr(self, row: int) -> float | None:
        """The largest stable learning rate at a run's first weights; None if it is unknown."""
        specification = self.specification
        settings = specification.settings_of(int(self.numbers[row]))
        given = specification.given_to_train(settings)
        return limit_at_start(
            lambda: specification.model_of(settings),
            specification.samples,
            loss=given.get("loss", losses.squared_error),
            reduction=given.get("reduction", "sum"),
            optimizer=specification.optimizer_of(settings),
            among=specification.count // len(specification.choices["learning_rate"]),
        )
