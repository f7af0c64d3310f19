"""History: what happened in a training run, step by step."""

from __future__ import annotations

import csv
import html
import io
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from talweg._util.atomic_files import write_whole
from talweg._util.deprecation import RenamedAttribute

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Status: TypeAlias = Literal["running", "finished", "stopped early", "diverged", "interrupted"]

ADVICE = "try a smaller learning rate or clip_norm"
"""What to try after a run that diverged; its verdict ends with it."""


@dataclass
class History:
    """The record of a training run. All lists have one entry a step, in order.

    Attributes:
        losses: the training loss before each update.
        learning_rates: the learning rate of each update.
        seconds: the time from the start of the run to the end of each step.
        validation_losses: (step, loss) for each time the validation data were tried; the
            step counts from 1, and the loss is that of the weights before its update. The
            last entry, at `steps` + 1, is that of the weights after the last update.
        metrics: for each metric by name, (step, number) likewise.
        sharpness: (step, largest curvature of the loss at the weights that the step starts
            from), if a `SharpnessCallback` looked.
        sharpness_limits: for each of these (step, curvature above which the step's learning
            rate is unstable).
        status: how the run ended: "finished", "stopped early", "diverged" or "interrupted".
        verdict: the same in a sentence, with the reason.
        engine: what computed it: "eager", "native" or "native, exact".
        fallback_reason: why it was not native code, if the choice was left to `train`.
        best_step: the step with the lowest validation loss, or training loss without
            validation data; None before the first.

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
        """How many losses were recorded."""
        return len(self.losses)

    @property
    def advice(self) -> str:
        """What to try after a run that diverged: the end of its `verdict`; empty for others."""
        return ADVICE if self.status == "diverged" else ""

    @property
    def best_step(self) -> int | None:
        """The step, from 1, whose weights had the lowest loss (validation loss if there is one)."""
        candidates = self.validation_losses or list(enumerate(self.losses, 1))
        finite = [(loss, step) for step, loss in candidates if math.isfinite(loss)]
        return min(finite)[1] if finite else None

    def drop_half_a_step(self) -> None:
        """Forget what was noted of a step that was broken off before its loss was noted."""
        del self.learning_rates[self.steps :], self.seconds[self.steps :]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the loss over the steps.

        Args:
            ax: the matplotlib Axes to draw into; a new figure if None.

        Returns:
            The Axes; `history.plot().figure.savefig("loss.png")` saves it.
        """
        from talweg.plotting import curves

        marked = self.best_step if self.validation_losses else None
        return curves.loss(self.losses, self.validation_losses or None, best_step=marked, ax=ax)

    def plot_stability(self, ax: Axes | None = None) -> Axes:
        """Draw the sharpness over the steps, beside the limit that the learning rate sets.

        Args:
            ax: the matplotlib Axes to draw into; a new figure if None.

        Returns:
            The Axes.

        Raises:
            ArgumentError: if no sharpness was recorded: see `talweg.SharpnessCallback`.
        """
        from talweg.plotting import sharpness

        return sharpness.sharpness(self.sharpness, self.sharpness_limits, ax=ax)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write one line a step: step, loss, learning rate, seconds, and what else was recorded.

        That is the validation loss, the sharpness with its limit, and the metrics. A last line
        has those after the last update, if recorded.

        Args:
            path: the file to write; it is replaced in one piece.

        Returns:
            The path written.

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
