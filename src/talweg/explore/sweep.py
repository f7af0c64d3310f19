"""The lesson's last section: train at several learning rates and compare."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from talweg.eager_run import Model, Sample
from talweg.errors import ArgumentError
from talweg.explore.verdicts import Verdict, in_words, verdict
from talweg.history import History
from talweg.optim import SGD, Optimizer
from talweg.progress import progress_bar
from talweg.train import train

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        learning_rate: the rate it was trained at.
        seed: the seed its weights were drawn from.
        history: its record.
    """

    learning_rate: float
    seed: int
    history: History

    @property
    def verdict(self) -> Verdict:
        """What became of it; the rules are in `talweg.explore.verdicts`.

        A run that `train` ended because a gradient was not finite has diverged too, though all
        losses before were.
        """
        if self.history.status == "diverged":
            return "diverged"
        return verdict(self.history.losses)

    @property
    def in_words(self) -> str:
        """The verdict with the numbers that led to it."""
        if self.history.status == "diverged":
            return f"diverged at step {self.history.steps}"
        if self.history.status == "interrupted":
            return f"interrupted after {self.history.steps} steps"
        return in_words(self.history.losses)

    @property
    def best_loss(self) -> float:
        """The lowest loss of any step; inf if none was finite."""
        return min(filter(math.isfinite, self.history.losses), default=math.inf)


@dataclass(frozen=True)
class SweepResult:
    """The runs of a sweep, rates in the order given, and for each rate the seeds.

    Attributes:
        runs: the runs.
        steps: how many steps each was to make.
    """

    runs: list[Run]
    steps: int

    @property
    def losses(self) -> np.ndarray[Any, Any]:
        """All losses as an array, runs x steps; nan after the end of a run that diverged."""
        import numpy as np

        table = np.full((len(self.runs), self.steps), np.nan)
        for row, run in zip(table, self.runs, strict=True):
            row[: run.history.steps] = run.history.losses
        return table

    @property
    def verdicts(self) -> list[Verdict]:
        """One word a run: converged, descending, oscillating, stuck or diverged."""
        return [run.verdict for run in self.runs]

    @property
    def best(self) -> Run | None:
        """The run with the lowest last loss that was neither diverged nor interrupted, if any."""
        whole = [
            run
            for run in self.runs
            if run.verdict != "diverged" and run.history.status != "interrupted"
        ]
        return min(whole, key=lambda run: run.history.losses[-1], default=None)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the loss of every run over the steps.

        Args:
            ax: the matplotlib Axes to draw into; a new figure if None.

        Returns:
            The Axes.
        """
        from talweg.draw import curves

        several = len({run.seed for run in self.runs}) > 1
        labels = [
            f"{run.learning_rate:g}, seed {run.seed}" if several else f"{run.learning_rate:g}"
            for run in self.runs
        ]
        named = zip(labels, [run.history.losses for run in self.runs], strict=True)
        return curves.rates(list(named), title="Effect of the learning rate", ax=ax)

    def __repr__(self) -> str:
        best = self.best
        found = "all diverged" if best is None else f"best rate {best.learning_rate:g}"
        return f"SweepResult({len(self.runs)} runs of {self.steps} steps, {found})"


def sweep(
    make_model: Callable[[random.Random], Model],
    data: Iterable[Sample],
    learning_rates: Sequence[float],
    *,
    seeds: Sequence[int] = (42,),
    steps: int = 50,
    optimizer: Callable[[float], Optimizer] = SGD,
    progress: bool = False,
    **settings: Any,
) -> SweepResult:
    """Train one model for each learning rate and seed, each from scratch.

    Args:
        make_model: makes a model whose weights are drawn from the `random.Random` it gets.
        data: the samples, see `train`.
        learning_rates: the rates to try.
        seeds: for each rate, one run a seed; a seed draws the same weights at every rate.
        steps: how many updates each run makes.
        optimizer: makes an optimiser from a rate; `tw.Adam`, or a function such as
            `lambda lr: tw.SGD(lr, momentum=0.9)`.
        progress: show a progress bar if this is a terminal.
        **settings: passed on to `train`: loss, reduction, batch_size and so on.

    Returns:
        The `SweepResult`; after Ctrl-C, of the runs so far.

    Raises:
        ArgumentError: if there are no rates or no seeds, or a setting makes no sense.

    Example:
        >>> from talweg import MLP, lesson_data
        >>> result = sweep(lambda rng: MLP(3, [4, 4, 1], rng=rng), lesson_data(), [0.001, 0.1])
        >>> result.verdicts
        ['descending', 'converged']
        >>> [round(loss, 6) for loss in result.losses[:, -1].tolist()]
        [3.346645, 0.011888]
    """
    for name, given in (("learning_rates", learning_rates), ("seeds", seeds)):
        if not hasattr(given, "__len__") or not len(given):
            raise ArgumentError(f"{name} must be a list with at least one entry, got {given!r}")
    if not isinstance(steps, int) or steps < 1:
        raise ArgumentError(f"steps must be a whole number of at least 1, got {steps!r}")
    samples = list(data)
    optimizers = [optimizer(lr) for lr in learning_rates]  # a bad rate is refused before any run
    runs: list[Run] = []
    with progress_bar(len(learning_rates) * len(seeds), progress) as show:
        for lr, its_optimizer in zip(learning_rates, optimizers, strict=True):
            for seed in seeds:
                model = make_model(random.Random(seed))
                history = train(
                    model,
                    samples,
                    steps=steps,
                    optimizer=its_optimizer,
                    **{"seed": seed, **settings},
                )
                if history.losses:
                    runs.append(Run(lr, seed, history))
                    show(len(runs), history.losses[-1])
                if history.status == "interrupted":
                    return SweepResult(runs, steps)
    return SweepResult(runs, steps)
