"""Validation during a run: the loss of the validation data, metrics, early stopping.

The model is evaluated before each pass over the data and after the last update. Start reading at
`ValidationMonitor.evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from talweg.training.early_stopping import EarlyStopping, LowestLoss
from talweg.training.history import RunRecord
from talweg.training.objective import Objective

Metric: TypeAlias = Callable[[Any, Iterable[Any]], float]
"""A function of (model, samples), see `talweg.metrics`."""


class ValidationMonitor:
    """Evaluates a model once in each pass, and stops the run when its loss no longer falls.

    Args:
        objective: what is minimised.
        loss_of: gives the loss of some examples at the present parameters, summed or averaged as
            in training.
        record: where results are recorded.
        validation: the validation data; None for none. Metrics and early stopping then use the
            training data.
        metrics: functions by name.
        early_stopping: when to stop the run; None for never.
    """

    def __init__(
        self,
        objective: Objective,
        loss_of: Callable[[Sequence[Any]], float],
        record: RunRecord,
        *,
        validation: Sequence[Any] | None = None,
        metrics: Mapping[str, Metric] | None = None,
        early_stopping: EarlyStopping | None = None,
    ) -> None:
        self.objective = objective
        self.loss_of = loss_of
        self.record = record
        self.validation = validation
        self.metrics = dict(metrics or {})
        self.lowest = None if early_stopping is None else LowestLoss(early_stopping)
        self._evaluated_before = 0
        record.history.metrics = {name: [] for name in self.metrics}

    @property
    def is_active(self) -> bool:
        """Whether there is anything to evaluate."""
        return self.validation is not None or bool(self.metrics) or self.lowest is not None

    def evaluate(self) -> None:
        """Evaluate the model before the next step, unless that was done already."""
        history = self.record.history
        step = history.steps + 1
        if step == self._evaluated_before:
            return
        self._evaluated_before = step
        examples = self.objective.examples if self.validation is None else self.validation
        if self.validation is not None:
            history.validation_losses.append((step, self.loss_of(self.validation)))
        for name, metric in self.metrics.items():
            history.metrics[name].append((step, metric(self.objective.model, examples)))
        if self.lowest is not None:
            if self.validation is None:
                loss = self.loss_of(examples)
            else:
                loss = history.validation_losses[-1][1]
            self.lowest.update(loss, step, [p._data for p in self.objective.parameters])

    def stop_if_due(self) -> bool:
        """Evaluate the model; stop the run, and return True, if its loss no longer falls."""
        self.evaluate()
        if self.lowest is None or not self.lowest.should_stop:
            return False
        self.record.stop(
            "stopped early",
            f"stopped before step {self._evaluated_before}: the last "
            f"{self.lowest.evaluations_since} evaluations did not improve the loss",
        )
        return True

    def restore_best(self) -> None:
        """Assign the weights of the lowest loss that early stopping found, and record it."""
        if self.lowest is None or self.lowest.weights is None:
            return
        self.objective.assign(self.lowest.weights)
        self.record.history.verdict += (
            "; the model has the weights with the lowest loss evaluated, "
            f"{self.lowest.loss:.6g} before step {self.lowest.step}"
        )
