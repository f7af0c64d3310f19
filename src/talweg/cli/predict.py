"""`talweg predict`: a saved model's predictions for the rows of a file."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from talweg._util.atomic_files import write_whole
from talweg.cli import exit_codes
from talweg.cli.command import Command
from talweg.cli.console import print_json, print_saved
from talweg.cli.messages import describe, print_note
from talweg.cli.options import Json
from talweg.cli.output_files import output_file
from talweg.data.columns import Columns
from talweg.data.readers import read_columns
from talweg.errors import ArgumentError, DataError
from talweg.metrics import r_squared
from talweg.model_file import Predictor


def predict(
    model: Path,
    file: Path,
    /,
    *,
    output: Path | None = None,
    as_json: Annotated[Json, Parameter(help="print one JSON document in place of CSV.")] = False,
) -> int:
    """Predict the rows of a file with a saved model.

    Prints a CSV table with the number of each row, from 1, and its prediction. If the file has
    the target column too, the accuracy or R2 is printed on standard error.

    Args:
        model: a file that `talweg train` saved.
        file: a CSV or Parquet file with the columns that the model was trained on; other columns
            are not read.
        output: write all columns of FILE and the predictions to this CSV file instead.
        as_json: whether to print one JSON document in place of CSV.

    Returns:
        The exit code.
    """
    written = output_file("--output", output, (".csv",))
    if written is not None and written.exists() and file.exists() and written.samefile(file):
        raise ArgumentError(f"--output {written}: this is the file to read; name another one")
    predictor = Predictor.load(model)
    columns = read_columns(file)
    inputs = [columns.numbers(name) for name in predictor.input_names]
    rows = [list(row) for row in zip(*inputs, strict=True)]
    predictions = predictor.predict(rows)
    score = _score(predictor, columns, predictions)
    if written is not None:
        write_whole(written, _full_table(columns, predictions))
    if as_json:
        print_json(
            {
                "command": "predict",
                "model": str(model),
                "file": str(file),
                "target": predictor.target_name,
                "predictions": predictions,
                **({} if score is None else {score[0]: score[1]}),
                "output": None if written is None else str(written),
            }
        )
    elif written is None:
        numbered = ([str(i), *_cells(p)] for i, p in enumerate(predictions, 1))
        sys.stdout.write(_csv([["row", *_names(predictions)], *numbered]))
    else:
        print_saved(f"{len(predictions)} predictions", written)
    return exit_codes.FINE


def _score(
    predictor: Predictor, columns: Columns, predictions: Sequence[Any]
) -> tuple[str, float] | None:
    """Print how good the predictions are; the name and value of the score, None without targets."""
    name = predictor.target_name
    if name not in columns.names:
        return None
    try:
        if predictor.classes is None:
            pairs = zip(predictions, columns.numbers(name), strict=True)
            r2 = r_squared(lambda p: p, pairs)
            print_note(f"R2 {r2:.4f} against the column {name!r}")
            return "r_squared", r2
        labels = [_class_name(label) for label in columns.labels(name)]
    except DataError as error:
        why = describe(error)
        print_note(f"warning: the predictions are not compared with the target: {why}")
        return None
    hits = sum(p == label for p, label in zip(predictions, labels, strict=True))
    accuracy = hits / len(labels)
    print_note(f"accuracy {accuracy:.2%} ({hits} of {len(labels)}) against the column {name!r}")
    return "accuracy", accuracy


def _class_name(label: str) -> str:
    """The name of the class of a label: "1" for "1.0" too, as in training.

    >>> _class_name("1.0"), _class_name("1.50"), _class_name("setosa")
    ('1', '1.5', 'setosa')
    """
    try:
        number = float(label)
    except ValueError:
        return label
    if not math.isfinite(number):
        return label
    return str(int(number)) if number.is_integer() else repr(number)


def _full_table(columns: Columns, predictions: Sequence[Any]) -> str:
    """The file as CSV, with the predictions as its last columns."""
    names = _names(predictions)
    existing = [name for name in names if name in columns.names]
    if existing:
        raise ArgumentError(
            f"{columns.path}: there is a column {existing[0]!r} already; rename it, or leave out "
            "--output to print the predictions alone"
        )
    rows = zip(*(columns.cells[name] for name in columns.names), strict=True)
    table = [[*row, *_cells(p)] for row, p in zip(rows, predictions, strict=True)]
    return _csv([[*columns.names, *names], *table])


def _names(predictions: Sequence[Any]) -> list[str]:
    """The names of the columns of predictions."""
    first = predictions[0]
    if isinstance(first, list):
        return [f"prediction_{i}" for i in range(len(first))]
    return ["prediction"]


def _cells(prediction: Any) -> list[Any]:
    return prediction if isinstance(prediction, list) else [prediction]


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


COMMAND = Command(
    run=predict,
    usage="MODEL FILE [OPTIONS]",
    examples=(
        "talweg predict talweg-model.safetensors new.csv",
        "talweg predict talweg-model.safetensors new.csv --output predicted.csv",
    ),
)
