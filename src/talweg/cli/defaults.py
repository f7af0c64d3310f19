"""The settings of a training run that are not given: without a file (the lesson) and with one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Defaults:
    """The settings of a training run.

    Attributes:
        hidden: the sizes of the hidden layers.
        optimizer: the name of the optimiser.
        lr: the learning rate.
        steps: the number of updates.
        batch: the number of samples of a step; None for all.
        seed: the seed of weights, split and shuffling.
    """

    hidden: tuple[int, ...]
    optimizer: str
    lr: float
    steps: int
    batch: int | None
    seed: int


LESSON = Defaults(hidden=(4, 4), optimizer="sgd", lr=0.05, steps=50, batch=None, seed=42)
FILE = Defaults(hidden=(16,), optimizer="adam", lr=0.02, steps=200, batch=16, seed=1)

ACTIVATION = "tanh"
VALIDATION = 0.2
"""The fraction of the rows of a file that is held back for validation."""


def defaults(file: Path | None) -> Defaults:
    """The settings for a file, or for the lesson if there is none."""
    return LESSON if file is None else FILE
