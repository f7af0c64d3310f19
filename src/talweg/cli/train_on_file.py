"""`talweg train FILE`: report the file, train on it, report the result, save it.

Start reading at `train_on_file`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talweg.cli.console import (
    fits,
    loss_text,
    print_json,
    print_line,
    print_saved,
    print_table,
    printable,
)
from talweg.cli.options import DataOptions
from talweg.cli.run_outcome import diverged, exit_code, print_verdict
from talweg.cli.tabular_training import (
    Evaluation,
    FitResult,
    PreparedData,
    ProblemSettings,
    TrainingSettings,
    fit,
    prepare,
)
from talweg.cli.training_problem import read_dataset
from talweg.data import Dataset
from talweg.data.checks import listing
from talweg.metrics import predicted_class
from talweg.training.history import History

if TYPE_CHECKING:
    from talweg.plotting.figure import Axes


def train_on_file(
    file: Path,
    options: DataOptions,
    problem: ProblemSettings,
    settings: TrainingSettings,
    picture: Path | None,
    model_file: Path | None,
    *,
    as_json: bool,
) -> int:
    """Train on a file, and report, draw and save the result.

    Args:
        file: a CSV or Parquet file.
        options: how its columns are used.
        problem: what decides the network and its samples.
        settings: what decides the steps.
        picture: where to save the picture of the loss, or None.
        model_file: where to save the model, or None.
        as_json: whether to print one JSON document in place of text.

    Returns:
        The exit code.

    Raises:
        ArgumentError: if no target is named, or a setting makes no sense.
        DataError: if the file cannot be used.
    """
    data = read_dataset(file, options)
    prepared = prepare(data, problem)
    if not as_json:
        _print_before(file, data, prepared, settings)
    result = fit(prepared, settings, progress=True)
    if not as_json:
        _print_after(result)
    saved = None
    if model_file is not None and not diverged(result.history):
        saved = result.predictor.save(model_file)
    plots = _draw(result, picture)
    if as_json:
        print_json(_document(file, data, problem.seed, settings, result, plots, saved))
    else:
        print_saved("Pictures", *plots)
        print_saved("Model", saved)
        if model_file is not None and saved is None:
            print_line("The model was not saved, because its training diverged")
    return exit_code(result.history)


# ---- text -----------------------------------------------------------------------------------


def _print_before(
    file: Path, data: Dataset, prepared: PreparedData, settings: TrainingSettings
) -> None:
    problem = prepared.settings
    inputs = "1 input" if data.n_inputs == 1 else f"{data.n_inputs} inputs"
    print_line(f"{file}: {len(data)} rows, {inputs}", "bold")
    print_line(f"Inputs: {listing(data.input_names)}")
    print_line(f"Target: {_describe_target(data)}")
    print_line(f"Network: {prepared.network()!r}, seed {problem.seed}")
    print_line(f"Loss: {prepared.loss}, mean over the rows of a step")
    print_line(
        f"Training: at most {settings.steps} steps of {settings.batch} rows, "
        f"{type(settings.optimizer).__name__}, learning rate {settings.optimizer.lr:g}; "
        f"{problem.validation:.0%} of the rows are held back for validation"
    )
    print_line()


def _describe_target(data: Dataset) -> str:
    if not data.classes:
        low, high = min(data.targets), max(data.targets)
        return f"{data.target_name}, a number from {low:g} to {high:g} (regression)"
    counts = [0] * len(data.classes)
    for target in data.targets:
        counts[target] += 1
    named = [f"{name} ({n} rows)" for name, n in zip(data.classes, counts, strict=True)]
    return f"{data.target_name}, one of {len(named)} classes (classification): {listing(named)}"


def _print_after(result: FitResult) -> None:
    parts = {"training": result.training, "validation": result.validation}
    score = "accuracy" if result.training.data.classes else "R2"
    rows = [
        [name, str(len(part.data)), loss_text(part.loss), _score_text(part)]
        for name, part in parts.items()
    ]
    print_table(["part", "rows", "loss", score], rows, left=[0])
    print_line()
    if result.confusion:
        _print_confusion(result.validation.data.classes, result.confusion)
    print_verdict(result.history)
    _print_best_step(result.history)


def _print_best_step(history: History) -> None:
    """Print where the validation loss was lowest, if it was much higher at the end."""
    best, validation = history.best_step, history.validation_losses
    if history.status != "finished" or best is None or len(validation) < 2:
        return
    lowest, last = dict(validation)[best], validation[-1][1]
    if last > 1.5 * lowest:
        print_line(
            f"The validation loss was lowest after {best - 1} steps, at {lowest:.6g}; "
            "--patience 5 would restore the weights of such a step"
        )


def _score_text(part: Evaluation) -> str:
    """The accuracy in percent, rounded to 100 only if it is exact; or R2."""
    if not part.data.classes:
        return "undefined" if math.isnan(part.score) else f"{part.score:.4f}"
    return "100 %" if part.score == 1.0 else f"{min(100.0 * part.score, 99.99):.2f} %"


def _print_confusion(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
    header = ["true class", *classes]
    rows = [[name, *map(str, row)] for name, row in zip(classes, matrix, strict=True)]
    if fits([header, *rows]):
        print_line("Validation rows of each true class, by the class predicted:")
        print_table(header, rows, left=[0])
    else:
        print_line(
            f"The confusion matrix of {len(classes)} classes is too wide to print; see --json"
        )
    print_line()


# ---- pictures -------------------------------------------------------------------------------


def _draw(result: FitResult, path: Path | None) -> list[Path]:
    """Save the loss, and in a second picture the predictions, unless the training diverged."""
    if path is None or not result.history.losses:
        return []
    from talweg.plotting import figure

    saved = [figure.save(result.history.plot(), path)]
    if not diverged(result.history):
        second = path.with_name(f"{path.stem}-predictions{path.suffix}")
        saved.append(figure.save(_draw_predictions(result), second))
    return saved


def _draw_predictions(result: FitResult) -> Axes:
    """The predictions for the validation part: against targets, over two inputs, or confused."""
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
    file: Path,
    data: Dataset,
    seed: int,
    settings: TrainingSettings,
    result: FitResult,
    plots: Sequence[Path],
    saved: Path | None,
) -> dict[str, Any]:
    history = result.history
    score = "accuracy" if data.classes else "r_squared"
    parts = {"training": result.training, "validation": result.validation}
    return {
        "command": "train",
        "file": str(file),
        "rows": len(data),
        "inputs": data.input_names,
        "target": data.target_name,
        "kind": data.kind,
        "classes": data.classes,
        "network": repr(result.predictor.model),
        "loss": result.loss,
        "optimizer": type(settings.optimizer).__name__,
        "learning_rate": settings.optimizer.lr,
        "steps": history.steps,
        "batch": settings.batch,
        "seed": seed,
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
