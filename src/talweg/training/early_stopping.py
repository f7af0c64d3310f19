"""Early stopping: when a run stops because its loss no longer falls.

`EarlyStopping` is what a user sets, `LowestLoss` the state during a run. Start reading at
`LowestLoss.update`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from talweg.errors import ArgumentError


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the loss has not improved for some time, and restore the best weights.

    The loss is that of all validation data, or of all training data without any. It is evaluated
    before each pass over the data and after the last update. At the end of every run, also after
    Ctrl-C, the model has the weights whose evaluated loss was lowest.

    Args:
        patience: the number of evaluations without improvement after which the run stops.
        min_delta: how much lower than the lowest loss so far a loss must be to count as an
            improvement.

    Raises:
        ArgumentError: if a setting is not valid.
    """

    patience: int = 10
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.patience, int) or self.patience < 1:
            raise ArgumentError(f"patience must be an integer of at least 1, got {self.patience!r}")
        if not isinstance(self.min_delta, (int, float)) or not self.min_delta >= 0.0:
            raise ArgumentError(f"min_delta must be a number of at least 0, got {self.min_delta!r}")


class LowestLoss:
    """The lowest loss of a run so far, and the weights that it belongs to.

    Args:
        settings: when a loss counts as an improvement, and how long to wait for one.

    Attributes:
        loss: the lowest loss; inf before the first finite one.
        step: the step before which it was evaluated.
        weights: the parameters at that time; None before the first finite loss.
        evaluations_since: the number of evaluations since then.
    """

    def __init__(self, settings: EarlyStopping) -> None:
        self.settings = settings
        self.loss = math.inf
        self.step = 0
        self.weights: Sequence[float] | None = None
        self.evaluations_since = 0

    def update(self, loss: float, step: int, weights: Sequence[float]) -> None:
        """Record an evaluation.

        Args:
            loss: the loss.
            step: the number of the step that comes next.
            weights: the parameters.
        """
        self.evaluations_since += 1
        if loss < self.loss - self.settings.min_delta:
            self.loss, self.step, self.weights = loss, step, weights
            self.evaluations_since = 0

    @property
    def should_stop(self) -> bool:
        """Whether the run should stop; never before a first finite loss."""
        return self.weights is not None and self.evaluations_since >= self.settings.patience
