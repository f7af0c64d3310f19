"""`talweg lr-find`: a learning-rate range test, for the lesson or for a file of yours."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from talweg.cli import ending, lesson
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
    layer_sizes,
    names,
)
from talweg.cli.recipe import Plan, untrained
from talweg.data import Dataset, lesson_data
from talweg.data.checks import listing
from talweg.data.readers import read_columns
from talweg.descent import Reduction
from talweg.errors import ArgumentError
from talweg.explore.range_test import RangeTest, lr_range_test
from talweg.losses import LOSSES, Loss
from talweg.nn import MLP

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
    sizes = None if hidden is None else layer_sizes(hidden)
    name = optimizer or ("sgd" if file is None else "adam")
    if file is None:
        for option, given in (("--target", target), ("--ignore", ignore), ("--kind", kind)):
            if given and given != "auto":
                raise ArgumentError(
                    f"{option} is for a file; name it: talweg lr-find FILE --target COLUMN"
                )
        subject = _lesson(sizes, activation, loss, batch, lesson.SEED if seed is None else seed)
    else:
        plan = Plan(
            hidden=[16] if sizes is None else sizes,
            activation=activation,
            loss=loss,
            optimizer=OPTIMIZERS[name](lr_min),
            steps=steps,
            batch=16 if batch is None else batch,
            seed=1 if seed is None else seed,
            validation=0.2,
            patience=None,
        )
        subject = _of_file(file, target, kind, names(ignore), plan)
    test = lr_range_test(
        subject.model,
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
        from talweg.draw import curves

        saved = curves.save(test.plot(), path)
    if as_json:
        print_json(_document(subject, test, name, steps, saved))
    else:
        _say(subject, test, name, steps, saved)
    if test.status == "interrupted":
        return ending.INTERRUPTED
    return ending.DIVERGED if test.status == "diverged at once" else ending.FINE


# ---- what is tested -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Subject:
    """The network and samples that `talweg train` would take."""

    file: Path | None
    model: MLP
    samples: Sequence[Any]
    loss: Loss
    reduction: Reduction
    batch: int | None
    seed: int


def _lesson(
    hidden: Sequence[int] | None, activation: str, loss: str | None, batch: int | None, seed: int
) -> _Subject:
    if loss not in (None, "squared_error", "hinge"):
        raise ArgumentError(
            f"the lesson's targets are -1 and 1; --loss takes squared_error or hinge for them, "
            f"got {loss}"
        )
    sizes = lesson.HIDDEN if hidden is None else hidden
    model = lesson.network(random.Random(seed), sizes, activation)
    kind = LOSSES[loss or "squared_error"]
    return _Subject(None, model, list(lesson_data()), kind, "sum", batch, seed)


def _of_file(
    file: Path, target: str | None, kind: Kind, ignore: Sequence[str], plan: Plan
) -> _Subject:
    if target is None:
        known = listing(read_columns(file).names)
        raise ArgumentError(f"{file}: say what to predict with --target, one of {known}")
    data = Dataset.from_file(file, target, kind, ignore)
    model, samples, loss = untrained(data, plan)
    return _Subject(file, model, samples, loss, "mean", plan.batch, plan.seed)


# ---- words and JSON -------------------------------------------------------------------------

_OPTIONS = {"lr_min": "--lr-min", "lr_max": "--lr-max", "batch_size": "--batch"}
"""The arguments of `lr_range_test` that its verdicts name, as they are called here."""


def _say(
    subject: _Subject, test: RangeTest, optimizer: str, steps: int, saved: Path | None
) -> None:
    what = "The lesson's network" if subject.file is None else str(subject.file)
    say(f"{what}: learning-rate range test", "bold")
    say(f"Network: {subject.model!r}, seed {subject.seed}")
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
    ending.say_saved("Picture", saved)
    words = test.in_words
    for argument, option in _OPTIONS.items():
        words = words.replace(argument, option)
    say(f"Verdict: {words}", "bold red" if test.status == "diverged at once" else "bold")


def _document(
    subject: _Subject, test: RangeTest, optimizer: str, steps: int, saved: Path | None
) -> dict[str, Any]:
    return {
        "command": "lr-find",
        "file": None if subject.file is None else str(subject.file),
        "network": repr(subject.model),
        "optimizer": optimizer,
        "steps": steps,
        "batch": subject.batch,
        "seed": subject.seed,
        "learning_rates": test.learning_rates,
        "losses": test.losses,
        "smoothed": test.smoothed,
        "suggestions": test.suggestions,
        "status": test.status,
        "in_words": test.in_words,
        "plots": [] if saved is None else [str(saved)],
    }
