"""`talweg train`: train a network, on the lesson's samples or on a file.

Start reading at `train`, then `train_on_lesson` and `train_on_file` in files of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from talweg.cli.command import Command
from talweg.cli.defaults import VALIDATION, defaults
from talweg.cli.options import (
    OPTIMIZERS,
    OUTPUT,
    TRAINING,
    Batch,
    DataOptions,
    File,
    LearningRate,
    ModelOptions,
    OutputOptions,
    PositiveInteger,
    RunOptions,
    Steps,
    given,
    refuse_without_file,
)
from talweg.cli.output_files import output_file
from talweg.cli.tabular_training import ProblemSettings, TrainingSettings
from talweg.cli.train_on_file import train_on_file
from talweg.cli.train_on_lesson import train_on_lesson
from talweg.errors import ArgumentError


@Parameter(name="*", group=TRAINING)
@dataclass(frozen=True)
class TrainingOptions(RunOptions):
    """How the network is trained.

    Attributes:
        validation: the fraction of the rows of a file that is held back. Unless given: 0.2.
        patience: stop after so many passes through the rows without a better validation
            loss, and restore the best weights.
    """

    lr: LearningRate = None
    steps: Steps = None
    batch: Batch = None
    validation: float | None = None
    patience: PositiveInteger | None = None


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True)
class TrainingOutput(OutputOptions):
    """The pictures, the model, and the form of the report.

    Attributes:
        save: where to save the model: .safetensors. Unless given: nowhere; with a file,
            talweg-model.safetensors.
        no_save: save no model.
    """

    save: Path | None = None
    no_save: bool = False

    def model_file(self, default: str | None) -> Path | None:
        """Where to save the model, or None.

        Args:
            default: where to save it if --save is not given; None for nowhere.

        Raises:
            ArgumentError: if it cannot be written there, or --no-save is given too.
        """
        suffixes = (".safetensors",)
        return output_file("--save", self.save, suffixes, default=default, disabled=self.no_save)


def train(
    file: File = None,
    /,
    *,
    data: DataOptions = DataOptions(),
    model: ModelOptions = ModelOptions(),
    training: TrainingOptions = TrainingOptions(),
    output: TrainingOutput = TrainingOutput(),
) -> int:
    """Train a network on the lesson's four samples, or on a file.

    With a FILE, a part of the rows is held back; the model is evaluated on these rows, and not
    trained on them. Columns are standardised, the model is saved for `talweg predict`, and there
    is a second picture, ...-predictions.png.

    Args:
        file: a CSV or Parquet file; None for the lesson.
        data: the columns of the file.
        model: the network and its loss.
        training: how it is trained.
        output: what is saved and printed.

    Returns:
        The exit code.
    """
    chosen = training.settings(defaults(file))
    validation = VALIDATION if training.validation is None else training.validation
    if not 0.0 < validation < 1.0:
        raise ArgumentError(f"--validation takes a fraction between 0 and 1, got {validation}")
    problem = ProblemSettings(
        hidden=model.layers(chosen.hidden),
        activation=model.activation_name,
        loss=model.loss,
        seed=chosen.seed,
        validation=validation,
    )
    settings = TrainingSettings(
        optimizer=OPTIMIZERS[chosen.optimizer](chosen.lr),
        steps=chosen.steps,
        batch=chosen.batch,
        patience=training.patience,
    )
    picture = output.picture("train")
    save = output.model_file(None if file is None else "talweg-model.safetensors")
    if file is not None:
        return train_on_file(file, data, problem, settings, picture, save, as_json=output.as_json)
    for_files = {"--validation": training.validation, "--patience": training.patience}
    named = [option for option, value in for_files.items() if value is not None]
    refuse_without_file("train", [*given(data), *named])
    return train_on_lesson(problem, settings, picture, save, as_json=output.as_json)


COMMAND = Command(
    run=train,
    usage="[FILE] [OPTIONS]",
    examples=(
        "talweg train",
        "talweg train --lr 0.1 --steps 100 --plot lesson.svg",
        "talweg train iris.csv --target species",
        "talweg train houses.csv --target price --ignore id,street --hidden 32,16",
    ),
    trains=True,
)
