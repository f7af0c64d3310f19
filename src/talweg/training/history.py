"""History: the record of a training run, step by step.

`train` returns a `History`; while the run goes on, a `RunRecord` writes it. Start reading at
`History`.
"""

from __future__ import annotations

import csv
import html
import io
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from talweg._util.atomic_files import write_whole
from talweg._util.deprecation import RenamedAttribute

if TYPE_CHECKING:
    from talweg.plotting.figure import Axes

Status: TypeAlias = Literal["running", "finished", "stopped early", "diverged", "interrupted"]

ADVICE = "try a smaller learning rate or clip_norm"
"""What to try after a run that diverged; its verdict ends with it."""


@dataclass
class History:
    """The record of a training run.

    Attributes:
        losses: the training loss of each step, before its update.
        learning_rates: the learning rate of each step.
        seconds: the time from the start of the run to the end of each step, in seconds.
        validation_losses: (step, loss) of each evaluation of the validation data. Steps are
            counted from 1, and the loss is that of the weights before the update of the step; the
            entry at `steps` + 1 belongs to the weights after the last update.
        metrics: (step, number) of each evaluation of a metric, by the name of the metric.
        sharpness: (step, largest curvature of the loss at the weights before the update of the
            step), if recorded by a `SharpnessCallback`.
        sharpness_limits: (step, largest curvature at which the learning rate of the step is
            stable), for the same steps.
        status: how the run ended: "finished", "stopped early", "diverged" or "interrupted".
        verdict: how and why it ended, in a sentence.
        engine: what computed the steps: "eager", "native" or "native, exact".
        fallback_reason: why it was not native code, with engine="auto"; else "".
        best_step: the step with the lowest validation loss, or training loss without
            validation data; None without any finite loss.

    Example:
        >>> history = History(losses=[4.0, 2.0, 1.0])
        >>> history.steps, history.best_step
        (3, 3)
    """

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    validation_losses: list[tuple[int, float]] = field(default_factory=list)
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    sharpness: list[tuple[int, float]] = field(default_factory=list)
    sharpness_limits: list[tuple[int, float]] = field(default_factory=list)
    status: Status = "running"
    verdict: str = ""
    engine: str = "eager"
    fallback_reason: str = ""

    why_eager = RenamedAttribute("fallback_reason")

    @property
    def steps(self) -> int:
        """The number of steps recorded."""
        return len(self.losses)

    @property
    def advice(self) -> str:
        """What to try after a run that diverged: the end of its `verdict`; empty for others."""
        return ADVICE if self.status == "diverged" else ""

    @property
    def best_step(self) -> int | None:
        """The step, counted from 1, before which the loss was lowest; see the class."""
        candidates = self.validation_losses or list(enumerate(self.losses, 1))
        finite = [(loss, step) for step, loss in candidates if math.isfinite(loss)]
        return min(finite)[1] if finite else None

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the loss over the steps.

        Args:
            ax: the matplotlib Axes; None for a new figure.

        Returns:
            The Axes; `history.plot().figure.savefig("loss.png")` saves the figure.
        """
        from talweg.plotting import curves

        marked = self.best_step if self.validation_losses else None
        return curves.loss(self.losses, self.validation_losses or None, best_step=marked, ax=ax)

    def plot_stability(self, ax: Axes | None = None) -> Axes:
        """Plot the sharpness over the steps, and the largest stable one at the learning rate.

        Args:
            ax: the matplotlib Axes; None for a new figure.

        Returns:
            The Axes.

        Raises:
            ArgumentError: if no sharpness was recorded: see `talweg.SharpnessCallback`.
        """
        from talweg.plotting import sharpness

        return sharpness.sharpness(self.sharpness, self.sharpness_limits, ax=ax)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write a table of the steps: step, loss, learning rate, seconds, and evaluations.

        Evaluations are the validation loss, the sharpness with its limit, and the metrics, as far
        as they were recorded. Those after the last update are in a line of their own.

        Args:
            path: the file; if writing fails, an existing file is unchanged.

        Returns:
            The path.

        Raises:
            OSError: if the folder does not exist or cannot be written to.
        """
        every_step = [self.losses, self.learning_rates, self.seconds]
        columns = [dict(enumerate(numbers, 1)) for numbers in every_step]
        sparse = [
            ("validation_loss", self.validation_losses),
            ("sharpness", self.sharpness),
            ("sharpness_limit", self.sharpness_limits),
            *self.metrics.items(),
        ]
        sparse = [(name, entries) for name, entries in sparse if entries]
        columns += [dict(entries) for _, entries in sparse]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", "loss", "learning_rate", "seconds", *(name for name, _ in sparse)])
        for step in range(1, 1 + max(max(column, default=0) for column in columns)):
            writer.writerow([step, *(column.get(step, "") for column in columns)])
        return write_whole(path, text.getvalue())

    def __repr__(self) -> str:
        if not self.losses:
            return "History(no steps)"
        return (
            f"History({self.steps} steps, loss {self.losses[0]:.6g} -> {self.losses[-1]:.6g}, "
            f"{self.status})"
        )

    def _repr_html_(self) -> str:
        rows = [("steps", str(self.steps)), ("status", self.status)]
        if self.losses:
            rows += [
                ("first loss", f"{self.losses[0]:.6g}"),
                ("last loss", f"{self.losses[-1]:.6g}"),
            ]
        if self.validation_losses:
            rows.append(("last validation loss", f"{self.validation_losses[-1][1]:.6g}"))
        rows += [
            (name, f"{entries[-1][1]:.6g}") for name, entries in self.metrics.items() if entries
        ]
        cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{v}</td></tr>" for k, v in rows)
        return f"<table>{cells}</table><p>{html.escape(self.verdict)}</p>"


class RunRecord:
    """The history of a run in progress, with its clock.

    Attributes:
        history: what was recorded so far.
        start: when the run started, in seconds of `time.perf_counter`.
    """

    def __init__(self) -> None:
        self.history = History()
        self.start = time.perf_counter()

    @property
    def is_running(self) -> bool:
        """Whether the run goes on."""
        return self.history.status == "running"

    def add(
        self, losses: Sequence[float], learning_rates: Sequence[float], seconds: Sequence[float]
    ) -> None:
        """Record some steps.

        The losses are written last: they are what counts as recorded, see `drop_unfinished`.

        Args:
            losses: the training loss of each step, before its update.
            learning_rates: the learning rate of each step.
            seconds: the time from the start of the run to the end of each step.
        """
        history = self.history
        history.learning_rates += learning_rates
        history.seconds += seconds
        history.losses += losses

    def drop_unfinished(self) -> None:
        """Remove what a Ctrl-C in `add` left of steps whose loss was not recorded."""
        history = self.history
        del history.learning_rates[history.steps :], history.seconds[history.steps :]

    def stop(self, status: Status, verdict: str) -> None:
        """Record how the run ended, unless that is recorded already."""
        if self.is_running:
            self.history.status, self.history.verdict = status, verdict
