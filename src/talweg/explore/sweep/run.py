"""One run of a sweep, and a sequence of runs that are made when they are asked for.

Start reading at `Run`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from talweg._util.deprecation import RenamedAttribute
from talweg.explore import verdicts
from talweg.explore.verdicts import Verdict
from talweg.training.history import History


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        settings: its settings: "learning_rate", "seed", and each other setting of the sweep.
        history: its record.
        stop_at: the loss at which it was to stop, if there was one.

    Example:
        >>> run = Run({"learning_rate": 0.1, "seed": 42}, History([5.0, 0.2, 0.01]))
        >>> run.learning_rate, run.verdict
        (0.1, 'converged')
    """

    settings: dict[str, Any]
    history: History
    stop_at: float | None = None

    in_words = RenamedAttribute("summary")

    @property
    def learning_rate(self) -> Any:
        """The rate it was trained at."""
        return self.settings["learning_rate"]

    @property
    def seed(self) -> int:
        """The seed its weights were drawn from."""
        seed: int = self.settings["seed"]
        return seed

    @property
    def verdict(self) -> Verdict:
        """The verdict, in one word; the rules are in `talweg.explore.verdicts`.

        A run that stopped because a gradient was not finite has diverged too, though all its
        losses are finite.
        """
        if self.history.status == "diverged":
            return "diverged"
        return verdicts.verdict(self.history.losses, self.stop_at)

    @property
    def summary(self) -> str:
        """The verdict with the numbers that led to it."""
        if self.history.status == "diverged":
            return f"diverged at step {self.history.steps}"
        if self.history.status == "interrupted":
            return f"interrupted after {self.history.steps} steps"
        return verdicts.summary(self.history.losses, self.stop_at)

    @property
    def best_loss(self) -> float:
        """The lowest loss of any step; inf if none was finite."""
        return min(filter(math.isfinite, self.history.losses), default=math.inf)


class RunsOnDemand(Sequence[Run]):
    """Runs that are made when they are asked for, and kept as long as somebody refers to them.

    Args:
        count: how many runs.
        make: makes a run from its number.
    """

    def __init__(self, count: int, make: Callable[[int], Run]) -> None:
        self._numbers = range(count)
        self._make = make
        self._made: WeakValueDictionary[int, Run] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[k] for k in self._numbers[index]]
        k = self._numbers[index]
        run = self._made.get(k)
        if run is None:
            run = self._made[k] = self._make(k)
        return run
