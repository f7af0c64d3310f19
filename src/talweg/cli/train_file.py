"""`talweg train FILE`: says what was found in the file, trains, reports, saves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talweg.cli import ending
from talweg.cli.console import fits, print_json, printable, say, six, table
from talweg.cli.options import Kind
from talweg.cli.recipe import Fit, Part, Plan, choose_loss, fit, make_network
from talweg.data import Dataset
from talweg.data.checks import listing
from talweg.data.readers import read_columns
from talweg.errors import ArgumentError
from talweg.metrics import predicted_class
from talweg.training.history import History

if TYPE_CHECKING:
    from talweg.plotting.figure import Axes


@dataclass(frozen=True)
class FileTraining:
    """What `talweg train FILE` was asked for, see its help.

    Attributes:
        file: the data file.
        target: the column to predict.
        kind: "auto", "regression" or "classification".
        ignore: columns to leave out.
        plan: how to train.
        plot: where to save the picture of the loss, or None.
        save: where to save the model, or None.
        json: whether to print one JSON document in place of text.
    """

    file: Path
    target: str | None
    kind: Kind
    ignore: Sequence[str]
    plan: Plan
    plot: Path | None
    save: Path | None
    json: bool


def train_file(asked: FileTraining) -> int:
    """Train on a file, and show and save what came of it.

    Returns:
        The exit code.

    Raises:
        ArgumentError: if no target is named, or a setting makes no sense.
        DataError: if the file cannot be used.
    """
    if asked.target is None:
        known = listing(read_columns(asked.file).names)
        raise ArgumentError(f"{asked.file}: say what to predict with --target, one of {known}")
    data = Dataset.from_file(asked.file, asked.target, asked.kind, asked.ignore)
    if not asked.json:
        _say_before(asked, data)
    result = fit(data, asked.plan, progress=True)
    if not asked.json:
        _say_after(result)
    saved = None
    if asked.save is not None and not ending.diverged(result.history):
        saved = result.predictor.save(asked.save)
    plots = _draw(result, asked.plot)
    if asked.json:
        print_json(_document(asked, data, result, plots, saved))
    else:
        ending.say_saved("Pictures", *plots)
        ending.say_saved("Model", saved)
        if asked.save is not None and saved is None:
            say("The model was not saved, because its training diverged")
    return ending.exit_code(result.history)


# ---- words ----------------------------------------------------------------------------------


def _say_before(asked: FileTraining, data: Dataset) -> None:
    plan = asked.plan
    loss, _ = choose_loss(data, plan.loss)
    inputs = "1 input" if data.n_inputs == 1 else f"{data.n_inputs} inputs"
    say(f"{asked.file}: {len(data)} rows, {inputs}", "bold")
    say(f"Inputs: {listing(data.input_names)}")
    say(f"Target: {_target(data)}")
    say(f"Network: {make_network(data, plan)!r}, seed {plan.seed}")
    say(f"Loss: {loss}, mean over the rows of a step")
    say(
        f"Training: at most {plan.steps} steps of {plan.batch} rows, "
        f"{type(plan.optimizer).__name__}, learning rate {plan.optimizer.lr:g}; "
        f"{plan.validation:.0%} of the rows are held back for validation"
    )
    say()


def _target(data: Dataset) -> str:
    if not data.classes:
        low, high = min(data.targets), max(data.targets)
        return f"{data.target_name}, a number from {low:g} to {high:g} (regression)"
    counts = [0] * len(data.classes)
    for target in data.targets:
        counts[target] += 1
    named = [f"{name} ({n} rows)" for name, n in zip(data.classes, counts, strict=True)]
    return f"{data.target_name}, one of {len(named)} classes (classification): {listing(named)}"


def _say_after(result: Fit) -> None:
    parts = {"training": result.training, "validation": result.validation}
    score = "accuracy" if result.training.data.classes else "R2"
    rows = [
        [name, str(len(part.data)), six(part.loss), _score(part)] for name, part in parts.items()
    ]
    table(["part", "rows", "loss", score], rows, words=[0])
    say()
    if result.confusion:
        _say_confusion(result.validation.data.classes, result.confusion)
    ending.say_verdict(result.history, result.history.verdict)
    _say_best(result.history)


def _say_best(history: History) -> None:
    """Where the validation loss was lowest, if that was well before the end."""
    best, validation = history.best_step, history.validation_losses
    if history.status != "finished" or best is None or len(validation) < 2:
        return
    lowest, last = dict(validation)[best], validation[-1][1]
    if last > 1.5 * lowest:
        say(
            f"The validation loss was lowest after {best - 1} steps, at {lowest:.6g}; "
            "--patience 5 would keep the weights of such a step"
        )


def _score(part: Part) -> str:
    """The accuracy in percent, never rounded to all right; or R2."""
    if not part.data.classes:
        return "undefined" if math.isnan(part.score) else f"{part.score:.4f}"
    return "100 %" if part.score == 1.0 else f"{min(100.0 * part.score, 99.99):.2f} %"


def _say_confusion(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
    header = ["true class", *classes]
    rows = [[name, *map(str, row)] for name, row in zip(classes, matrix, strict=True)]
    if fits([header, *rows]):
        say("Validation rows of each true class, by the class predicted:")
        table(header, rows, words=[0])
    else:
        say(f"The confusion matrix of {len(classes)} classes is too wide to print; see --json")
    say()


# ---- pictures -------------------------------------------------------------------------------


def _draw(result: Fit, path: Path | None) -> list[Path]:
    """Save the loss, and beside it what the model says of the validation part, if it is any use."""
    if path is None or not result.history.losses:
        return []
    from talweg.plotting import figure

    saved = [figure.save(result.history.plot(), path)]
    if not ending.diverged(result.history):
        second = path.with_name(f"{path.stem}-predictions{path.suffix}")
        saved.append(figure.save(_draw_predictions(result), second))
    return saved


def _draw_predictions(result: Fit) -> Axes:
    from talweg.plotting import predictions

    predictor, data = result.predictor, result.validation.data
    classes = [printable(name) for name in data.classes]
    if not data.classes:
        predicted = predictor.predict(data.inputs)
        return predictions.predictions(
            data.targets, predicted, target_name=printable(data.target_name)
        )
    if data.n_inputs == 2:
        return predictions.boundary(
            lambda a, b: predicted_class(predictor.outputs([a, b])),
            data.inputs,
            data.targets,
            names=[printable(name) for name in data.input_names],
            class_names=classes,
        )
    return predictions.confusion(result.confusion, classes)


# ---- JSON -----------------------------------------------------------------------------------


def _document(
    asked: FileTraining, data: Dataset, result: Fit, plots: Sequence[Path], saved: Path | None
) -> dict[str, Any]:
    plan, history = asked.plan, result.history
    score = "accuracy" if data.classes else "r_squared"
    parts = {"training": result.training, "validation": result.validation}
    return {
        "command": "train",
        "file": str(asked.file),
        "rows": len(data),
        "inputs": data.input_names,
        "target": data.target_name,
        "kind": data.kind,
        "classes": data.classes,
        "network": repr(result.predictor.model),
        "loss": result.loss,
        "optimizer": type(plan.optimizer).__name__,
        "learning_rate": plan.optimizer.lr,
        "steps": history.steps,
        "batch": plan.batch,
        "seed": plan.seed,
        **{
            name: {"rows": len(part.data), "loss": part.loss, score: part.score}
            for name, part in parts.items()
        },
        "confusion_matrix": result.confusion or None,
        "losses": history.losses,
        "validation_losses": history.validation_losses,
        "status": history.status,
        "verdict": history.verdict,
        "plots": [str(path) for path in plots],
        "model": None if saved is None else str(saved),
    }
