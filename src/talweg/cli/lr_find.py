"""`talweg lr-find`: a learning-rate range test, for the lesson or for a file of yours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from talweg.cli import ending
from talweg.cli.console import print_json, say, table
from talweg.cli.options import (
    FIGURES,
    OPTIMIZERS,
    ActivationName,
    Kind,
    LossName,
    OptimizerName,
    Whole,
    at_least_1,
    destination,
)
from talweg.cli.subject import Subject, subject_of
from talweg.explore.range_test import RangeTest, lr_range_test

EXAMPLES = """Examples:
  talweg lr-find
  talweg lr-find --optimizer adam --lr-max 1 --steps 200
  talweg lr-find iris.csv --target species
  talweg lr-find houses.csv --target price --ignore id,street --batch 32"""


def lr_find(
    file: Path | None = None,
    /,
    *,
    target: str | None = None,
    kind: Kind = "auto",
    ignore: str = "",
    hidden: str | None = None,
    activation: ActivationName = "tanh",
    loss: LossName | None = None,
    optimizer: OptimizerName | None = None,
    lr_min: float = 1e-5,
    lr_max: float = 10.0,
    steps: Whole = 100,
    batch: Whole | None = None,
    seed: Whole | None = None,
    plot: Path | None = None,
    no_plot: bool = False,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Suggest a learning rate: train briefly while the rate grows, and look at the loss.

    The network, its data and the other settings are those of `talweg train`, with the same
    defaults. The rates suggested are only shown: give the one you choose to talweg train --lr.

    Args:
        file: a CSV or Parquet file with a line of column names; without it, the lesson.
        target: the column to predict; all others are inputs.
        kind: what the target is; auto decides by its values.
        ignore: columns to leave out, separated by commas.
        hidden: the sizes of the hidden layers, separated by commas, or none. Lesson: 4,4;
            file: 16.
        activation: the activation of the hidden layers. Both: tanh.
        loss: how wrong one prediction is; unless given, the usual one for the target.
        optimizer: how parameters move. Lesson: sgd; file: adam.
        lr_min: the first learning rate. Both: 0.00001.
        lr_max: the last learning rate. Both: 10.
        steps: how many updates it takes from the first to the last. Both: 100.
        batch: how many samples a step takes. Lesson: all; file: 16.
        seed: where weights, split and shuffling start. Lesson: 42; file: 1.
        plot: where to save the picture: .png, .svg or .pdf. Unless given: talweg-lr-find.png.
        no_plot: save no picture.
        as_json: print one JSON document in place of text.

    Returns:
        The exit code.
    """
    for option, number in (("--steps", steps), ("--batch", 1 if batch is None else batch)):
        at_least_1(option, number)
    path = destination("--plot", plot, "talweg-lr-find.png", no_plot, FIGURES)
    name = optimizer or ("sgd" if file is None else "adam")
    subject = subject_of(
        "lr-find",
        file,
        target=target,
        kind=kind,
        ignore=ignore,
        hidden=hidden,
        activation=activation,
        loss=loss,
        batch=16 if batch is None and file is not None else batch,
        seed=seed,
    )
    model = subject.model()
    test = lr_range_test(
        model,
        subject.samples,
        loss=subject.loss,
        reduction=subject.reduction,
        optimizer=OPTIMIZERS[name](0.0),
        lr_min=lr_min,
        lr_max=lr_max,
        steps=steps,
        batch_size=subject.batch,
        seed=subject.seed,
        progress=True,
    )
    saved = None
    if path is not None and test.losses:
        from talweg.plotting import figure

        saved = figure.save(test.plot(), path)
    if as_json:
        print_json(_document(subject, test, name, steps, saved))
    else:
        _say(subject, test, name, steps, saved)
    if test.status == "interrupted":
        return ending.INTERRUPTED
    return ending.DIVERGED if test.status == "diverged at once" else ending.FINE


# ---- words and JSON -------------------------------------------------------------------------

_OPTIONS = {"lr_min": "--lr-min", "lr_max": "--lr-max", "batch_size": "--batch"}
"""The arguments of `lr_range_test` that its verdicts name, as they are called here."""


def _say(subject: Subject, test: RangeTest, optimizer: str, steps: int, saved: Path | None) -> None:
    say(f"{subject.name}: learning-rate range test", "bold")
    say(f"Network: {subject.model()!r}, seed {subject.seed}")
    batch = "all samples" if subject.batch is None else f"{subject.batch} samples"
    say(f"At most {steps} steps of {batch}, optimizer {optimizer}")
    say()
    if test.suggestions:
        table(
            ["rule", "rate"],
            [[rule, f"{rate:.3g}"] for rule, rate in test.suggestions.items()],
            words=[0],
        )
        say()
    if test.max_stable_lr is not None and math.isfinite(test.max_stable_lr):
        say(f"Largest stable rate at the weights it began with: {test.max_stable_lr:.3g}")
        say()
    ending.say_saved("Picture", saved)
    words = test.summary
    for argument, option in _OPTIONS.items():
        words = words.replace(argument, option)
    say(f"Verdict: {words}", "bold red" if test.status == "diverged at once" else "bold")


def _document(
    subject: Subject, test: RangeTest, optimizer: str, steps: int, saved: Path | None
) -> dict[str, Any]:
    return {
        "command": "lr-find",
        "file": None if subject.file is None else str(subject.file),
        "network": repr(subject.model()),
        "optimizer": optimizer,
        "steps": steps,
        "batch": subject.batch,
        "seed": subject.seed,
        "learning_rates": test.learning_rates,
        "losses": test.losses,
        "smoothed": test.smoothed,
        "suggestions": test.suggestions,
        "max_stable_lr": None
        if test.max_stable_lr is None or math.isinf(test.max_stable_lr)
        else test.max_stable_lr,
        "status": test.status,
        "summary": test.summary,
        "plots": [] if saved is None else [str(saved)],
    }
