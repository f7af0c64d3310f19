"""Watching a training run: validation loss, metrics, and when to stop early.

The model is looked at before each pass over the data and after the last update. Start
reading at `Watch.look`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from talweg.errors import ArgumentError
from talweg.training.history import History, Status
from talweg.value import Value


class Run(Protocol):
    """What is asked of the run that is watched."""

    model: Any
    parameters: list[Value]
    history: History

    def mean_loss(self, samples: Sequence[Any], /) -> float:
        """The loss of these samples, reduced as in training."""

    def assign(self, numbers: Sequence[float], /) -> None:
        """Set all parameters."""

    def end(self, status: Status, verdict: str, /) -> None:
        """Note how the run ended."""


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the loss has not become better for some time, and keep the best weights.

    The loss is that of all validation data, or of all training data without any. It is tried
    before each pass over the data and after the last update. However the run ends, the model
    is left with the weights of the lowest loss tried.

    Args:
        patience: after how many trials without a better loss to stop.
        min_delta: how much lower a loss must be to count as better.

    Raises:
        ArgumentError: if a setting makes no sense.
    """

    patience: int = 10
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.patience, int) or self.patience < 1:
            raise ArgumentError(
                f"patience must be a whole number of at least 1, got {self.patience!r}"
            )
        if not isinstance(self.min_delta, (int, float)) or not self.min_delta >= 0.0:
            raise ArgumentError(f"min_delta must be a number of at least 0, got {self.min_delta!r}")


class Watch:
    """What is looked at once a pass: validation loss, metrics, and when to stop early."""

    def __init__(
        self,
        run: Run,
        samples: Sequence[Any],
        validation: Sequence[Any] | None,
        metrics: dict[str, Callable[[Any, Any], float]],
        early_stopping: EarlyStopping | None,
    ) -> None:
        self.run = run
        self.validation = validation
        self.metrics = metrics
        self.samples = samples if validation is None else validation
        self.early_stopping = early_stopping
        self.last_looked = 0
        self.best = math.inf
        self.best_step = 0
        self.best_weights: list[float] | None = None
        self.trials_since = 0

    @property
    def is_watching(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.validation is not None or self.metrics or self.early_stopping)

    def look(self) -> None:
        """Look at the model before the next step, once."""
        history = self.run.history
        step = history.steps + 1
        if step == self.last_looked:
            return
        self.last_looked = step
        if self.validation is not None:
            history.validation_losses.append((step, self.run.mean_loss(self.validation)))
        for name, metric in self.metrics.items():
            history.metrics[name].append((step, metric(self.run.model, self.samples)))
        if self.early_stopping is None:
            return
        if self.validation is None:
            loss = self.run.mean_loss(self.samples)
        else:
            loss = history.validation_losses[-1][1]
        self.trials_since += 1
        if loss < self.best - self.early_stopping.min_delta:
            self.best, self.best_step, self.trials_since = loss, step, 0
            self.best_weights = [p.data for p in self.run.parameters]

    def says_stop(self) -> bool:
        """Look at the model; True if early stopping ends the run here."""
        self.look()
        # A loss that was never finite is not a best one to go back to: training goes on.
        if self.early_stopping is None or self.best_weights is None:
            return False
        if self.trials_since < self.early_stopping.patience:
            return False
        self.run.end(
            "stopped early",
            f"stopped before step {self.last_looked}: the last {self.trials_since} trials "
            "brought no better loss",
        )
        return True

    def restore_best(self) -> None:
        """Put back the weights of the lowest loss seen by early stopping, and say so."""
        if self.best_weights is None:
            return
        self.run.assign(self.best_weights)
        self.run.history.verdict += (
            f"; the model has the weights of the lowest loss tried, {self.best:.6g} before step "
            f"{self.best_step}"
        )
