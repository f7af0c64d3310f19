"""`talweg train` without a file: train the lesson's network, and report it.

Start reading at `train_on_lesson`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talweg.cli import lesson
from talweg.cli.console import loss_text, print_json, print_line, print_saved, print_table
from talweg.cli.run_outcome import diverged, exit_code, print_verdict
from talweg.cli.tabular_training import ProblemSettings, TrainingSettings
from talweg.data import Dataset, lesson_data
from talweg.explore.verdicts import summary
from talweg.losses import LOSSES
from talweg.metrics import numbers_of
from talweg.model_file import Predictor
from talweg.nn import MLP
from talweg.training.history import History
from talweg.training.train import train


@dataclass(frozen=True)
class _Lesson:
    """The lesson with its settings: what is reported before and after the training."""

    loss: str
    seed: int
    settings: TrainingSettings
    data: Dataset
    model: MLP

    @property
    def optimizer(self) -> str:
        return type(self.settings.optimizer).__name__


def train_on_lesson(
    problem: ProblemSettings,
    settings: TrainingSettings,
    picture: Path | None,
    model_file: Path | None,
    *,
    as_json: bool,
) -> int:
    """Train the lesson's network, and report, draw and save it.

    Args:
        problem: the network, and its loss, which is summed over the samples.
        settings: what decides the steps.
        picture: where to save the picture of the loss, or None.
        model_file: where to save the model, or None.
        as_json: whether to print one JSON document in place of text.

    Returns:
        The exit code.

    Raises:
        ArgumentError: if the loss does not fit targets of -1 and 1.
    """
    loss, data = lesson.loss_name(problem.loss), lesson_data()
    model = lesson.network(random.Random(problem.seed), problem.hidden, problem.activation)
    asked = _Lesson(loss, problem.seed, settings, data, model)
    if not as_json:
        _print_before(asked)
    history = train(
        model,
        data,
        loss=LOSSES[loss],
        optimizer=settings.optimizer,
        steps=settings.steps,
        batch_size=settings.batch,
        seed=problem.seed,
        progress=True,
    )
    predictions = [numbers_of(model(x))[0] for x in data.inputs]
    if not as_json:
        _print_after(data, history, predictions)
    plot, saved = _save(asked, history, picture, model_file)
    if as_json:
        print_json(_document(asked, history, predictions, plot, saved))
    else:
        print_saved("Picture", plot)
        print_saved("Model", saved)
    return exit_code(history)


def _save(
    asked: _Lesson, history: History, picture: Path | None, model_file: Path | None
) -> tuple[Path | None, Path | None]:
    """Save the picture if a step was made, and the model unless it diverged."""
    plot = saved = None
    if model_file is not None and not diverged(history):
        data = asked.data
        saved = Predictor(asked.model, data.input_names, data.target_name).save(model_file)
    if picture is not None and history.losses:
        from talweg.plotting import figure

        plot = figure.save(history.plot(), picture)
    return plot, saved


def _print_before(asked: _Lesson) -> None:
    data, settings = asked.data, asked.settings
    print_line(f"The lesson's data: {len(data)} samples", "bold")
    rows = [
        [str(i), *(f"{number:.1f}" for number in x), f"{y:.1f}"] for i, (x, y) in enumerate(data)
    ]
    print_table(["sample", *data.input_names, "target"], rows)
    print_line()
    print_line(f"Network: {asked.model!r}, seed {asked.seed}")
    batch = "" if settings.batch is None else f" of {settings.batch} samples"
    print_line(
        f"Training: {settings.steps} steps{batch}, {asked.optimizer}, "
        f"learning rate {settings.optimizer.lr:g}"
    )
    print_line(f"Loss: {asked.loss}, summed over the samples")
    print_line()


def _print_after(data: Dataset, history: History, predictions: list[float]) -> None:
    # About twenty lines for a run of any length.
    every = 5 if history.steps <= 100 else 5 * (history.steps // 100)
    rows = [
        [str(step), loss_text(loss)]
        for step, loss in enumerate(history.losses, 1)
        if step in (1, history.steps) or step % every == 0
    ]
    if rows:
        print_table(["step", "loss"], rows)
        print_line()
    print_table(
        ["sample", "prediction", "target"],
        [
            [str(i), f"{p:.4f}", f"{t:.4f}"]
            for i, (p, t) in enumerate(zip(predictions, data.targets, strict=True))
        ],
    )
    print_line()
    print_verdict(history, with_losses=True)


def _document(
    asked: _Lesson,
    history: History,
    predictions: list[float],
    plot: Path | None,
    saved: Path | None,
) -> dict[str, Any]:
    return {
        "command": "train",
        "file": None,
        "rows": len(asked.data),
        "network": repr(asked.model),
        "loss": asked.loss,
        "optimizer": asked.optimizer,
        "learning_rate": asked.settings.optimizer.lr,
        "steps": history.steps,
        "seed": asked.seed,
        "losses": history.losses,
        "predictions": predictions,
        "targets": asked.data.targets,
        "status": history.status,
        "verdict": history.verdict,
        "summary": summary(history.losses) if history.status == "finished" else history.verdict,
        "plots": [] if plot is None else [str(plot)],
        "model": None if saved is None else str(saved),
    }
