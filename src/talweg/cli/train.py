"""`talweg train`: its options, and which of the two kinds of training they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from talweg.cli import lesson
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
from talweg.cli.recipe import Plan
from talweg.cli.train_file import FileTraining, train_file
from talweg.cli.train_lesson import LessonTraining, train_lesson
from talweg.errors import ArgumentError

EXAMPLES = """Examples:
  talweg train
  talweg train --lr 0.1 --steps 100 --plot lesson.svg
  talweg train iris.csv --target species
  talweg train houses.csv --target price --ignore id,street --hidden 32,16"""


def train(
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
    lr: float | None = None,
    steps: Whole | None = None,
    batch: Whole | None = None,
    seed: Whole | None = None,
    validation: float | None = None,
    patience: Whole | None = None,
    plot: Path | None = None,
    no_plot: bool = False,
    save: Path | None = None,
    no_save: bool = False,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Train a network: on the lesson's four samples, or on a file of yours.

    With a FILE, a part of the rows is held back to measure how good the model is on rows
    that it has not seen. Columns are standardised. The model is saved for `talweg predict`.

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
        lr: the learning rate. Lesson: 0.05; file: 0.02.
        steps: how many updates to make. Lesson: 50; file: 200.
        batch: how many samples a step takes. Lesson: all; file: 16.
        seed: where weights, split and shuffling start. Lesson: 42; file: 1.
        validation: the share of rows to hold back. File: 0.2.
        patience: stop after so many passes through the rows without a better validation
            loss, and keep the best weights.
        plot: where to save the picture: .png, .svg or .pdf. Both: talweg-train.png. With a
            file there is a second one, ...-predictions.png.
        no_plot: save no picture.
        save: where to save the model: .safetensors. File: talweg-model.safetensors.
        no_save: save no model.
        as_json: print one JSON document in place of text.

    Returns:
        The exit code.
    """
    sizes = None if hidden is None else layer_sizes(hidden)
    chosen = {"--steps": steps, "--batch": batch, "--patience": patience}
    for option, number in chosen.items():
        if number is not None:
            at_least_1(option, number)
    figure = destination("--plot", plot, "talweg-train.png", no_plot, FIGURES)
    model = None if file is None else "talweg-model.safetensors"
    model_file = destination("--save", save, model, no_save, (".safetensors",))
    if file is None:
        given = {"--target": target, "--ignore": ignore, "--validation": validation}
        _refuse_without_file({**given, "--kind": kind != "auto", "--patience": patience})
        return train_lesson(
            LessonTraining(
                hidden=lesson.HIDDEN if sizes is None else sizes,
                activation=activation,
                loss=loss or "squared_error",
                optimizer=OPTIMIZERS[optimizer or "sgd"](0.05 if lr is None else lr),
                steps=50 if steps is None else steps,
                batch=batch,
                seed=lesson.SEED if seed is None else seed,
                plot=figure,
                save=model_file,
                json=as_json,
            )
        )
    plan = Plan(
        hidden=[16] if sizes is None else sizes,
        activation=activation,
        loss=loss,
        optimizer=OPTIMIZERS[optimizer or "adam"](0.02 if lr is None else lr),
        steps=200 if steps is None else steps,
        batch=16 if batch is None else batch,
        seed=1 if seed is None else seed,
        validation=_share(0.2 if validation is None else validation),
        patience=patience,
    )
    return train_file(
        FileTraining(file, target, kind, names(ignore), plan, figure, model_file, as_json)
    )


def _refuse_without_file(given: dict[str, object]) -> None:
    for option, value in given.items():
        if value:
            raise ArgumentError(
                f"{option} is for training on a file; name it: talweg train FILE --target COLUMN"
            )


def _share(validation: float) -> float:
    if not 0.0 < validation < 1.0:
        raise ArgumentError(f"--validation takes a share between 0 and 1, got {validation}")
    return validation
