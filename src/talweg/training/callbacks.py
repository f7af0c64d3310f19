"""Callbacks: functions that are called after each step of a training run.

Start reading at `Callback`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from talweg.training.history import History
from talweg.training.objective import Model


@dataclass(frozen=True)
class Step:
    """A finished step of a training run, as a callback receives it.

    Attributes:
        number: the number of the step, 1 for the first.
        loss: the training loss before the step's update.
        model: the model, after the update.
        history: the record so far, this step included.
    """

    number: int
    loss: float
    model: Model
    history: History


class Callback(Protocol):
    """A function that `train` calls after each step; a true result stops the run."""

    def __call__(self, step: Step, /) -> bool | None:
        """Handle a finished step."""
