"""`talweg train` without a file: the lesson, from its four samples to its predictions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talweg.cli import ending, lesson
from talweg.cli.console import print_json, say, six, table
from talweg.data import Dataset, lesson_data
from talweg.errors import ArgumentError
from talweg.explore.verdicts import summary
from talweg.losses import LOSSES
from talweg.metrics import numbers_of
from talweg.model_file import Predictor
from talweg.nn import MLP
from talweg.optim import Optimizer
from talweg.training.history import History
from talweg.training.train import train


@dataclass(frozen=True)
class LessonTraining:
    """What `talweg train` was asked for, see its help.

    Attributes:
        hidden: the sizes of the hidden layers.
        activation: the activation of the hidden layers.
        loss: the name of the loss, summed over the samples.
        optimizer: how parameters move.
        steps: how many updates to make.
        batch: how many samples a step takes; None for all four.
        seed: where weights and shuffling start.
        plot: where to save the picture, or None.
        save: where to save the model, or None.
        json: whether to print one JSON document in place of text.
    """

    hidden: Sequence[int]
    activation: str
    loss: str
    optimizer: Optimizer
    steps: int
    batch: int | None
    seed: int
    plot: Path | None
    save: Path | None
    json: bool


def train_lesson(asked: LessonTraining) -> int:
    """Train the lesson's network, and show it.

    Returns:
        The exit code.

    Raises:
        ArgumentError: if the loss does not fit targets of -1 and 1.
    """
    if asked.loss not in ("squared_error", "hinge"):
        raise ArgumentError(
            f"the lesson's targets are -1 and 1; --loss takes squared_error or hinge for them, "
            f"got {asked.loss}"
        )
    data = lesson_data()
    model = lesson.network(random.Random(asked.seed), asked.hidden, asked.activation)
    if not asked.json:
        _say_before(asked, data, model)
    history = train(
        model,
        data,
        loss=LOSSES[asked.loss],
        optimizer=asked.optimizer,
        steps=asked.steps,
        batch_size=asked.batch,
        seed=asked.seed,
        progress=True,
    )
    predictions = [numbers_of(model(x))[0] for x in data.inputs]
    if not asked.json:
        _say_after(data, history, predictions)
    plot, saved = _save(asked, data, model, history)
    if asked.json:
        print_json(_document(asked, model, history, predictions, [plot, saved]))
    else:
        ending.say_saved("Picture", plot)
        ending.say_saved("Model", saved)
    return ending.exit_code(history)


def _save(
    asked: LessonTraining, data: Dataset, model: MLP, history: History
) -> tuple[Path | None, Path | None]:
    """The paths written: the picture of what there is, and the model unless it diverged."""
    plot = saved = None
    if asked.save is not None and not ending.diverged(history):
        saved = Predictor(model, data.input_names, data.target_name).save(asked.save)
    if asked.plot is not None and history.losses:
        from talweg.plotting import figure

        plot = figure.save(history.plot(), asked.plot)
    return plot, saved


def _say_before(asked: LessonTraining, data: Dataset, model: MLP) -> None:
    say(f"The lesson's data: {len(data)} samples", "bold")
    rows = [
        [str(i), *(f"{number:.1f}" for number in x), f"{y:.1f}"] for i, (x, y) in enumerate(data)
    ]
    table(["sample", *data.input_names, "target"], rows)
    say()
    say(f"Network: {model!r}, seed {asked.seed}")
    batch = "" if asked.batch is None else f" of {asked.batch} samples"
    name = type(asked.optimizer).__name__
    say(f"Training: {asked.steps} steps{batch}, {name}, learning rate {asked.optimizer.lr:g}")
    say(f"Loss: {asked.loss}, summed over the samples")
    say()


def _say_after(data: Dataset, history: History, predictions: Sequence[float]) -> None:
    # About twenty lines, however long the run.
    every = 5 if history.steps <= 100 else 5 * (history.steps // 100)
    rows = [
        [str(step), six(loss)]
        for step, loss in enumerate(history.losses, 1)
        if step in (1, history.steps) or step % every == 0
    ]
    if rows:
        table(["step", "loss"], rows)
        say()
    table(
        ["sample", "prediction", "target"],
        [
            [str(i), f"{p:.4f}", f"{t:.4f}"]
            for i, (p, t) in enumerate(zip(predictions, data.targets, strict=True))
        ],
    )
    say()
    finished = history.status == "finished"
    ending.say_verdict(history, summary(history.losses) if finished else history.verdict)


def _document(
    asked: LessonTraining,
    model: MLP,
    history: History,
    predictions: Sequence[float],
    paths: Sequence[Path | None],
) -> dict[str, Any]:
    data = lesson_data()
    plot, saved = paths
    return {
        "command": "train",
        "file": None,
        "rows": len(data),
        "network": repr(model),
        "loss": asked.loss,
        "optimizer": type(asked.optimizer).__name__,
        "learning_rate": asked.optimizer.lr,
        "steps": history.steps,
        "seed": asked.seed,
        "losses": history.losses,
        "predictions": predictions,
        "targets": data.targets,
        "status": history.status,
        "verdict": history.verdict,
        "summary": summary(history.losses) if history.status == "finished" else history.verdict,
        "plots": [] if plot is None else [str(plot)],
        "model": None if saved is None else str(saved),
    }
