"""The network, samples and loss that `lr-find`, `sweep`, `sharpness` and `map` train.

They are those of `talweg train` before its first step: of the lesson, or of a file. `map` also
has the problem of the published map. Start reading at `problem_of`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talweg.cli import lesson
from talweg.cli.defaults import LESSON, defaults
from talweg.cli.options import DataOptions, ModelOptions, given, refuse_without_file
from talweg.cli.tabular_training import ProblemSettings, prepare
from talweg.data import Dataset, lesson_data
from talweg.data.checks import listing
from talweg.data.readers import read_columns
from talweg.errors import ArgumentError
from talweg.explore.trainability.mean_field import default_problem
from talweg.losses import LOSSES
from talweg.nn import MLP
from talweg.training.objective import Model
from talweg.training.settings import Reduction


@dataclass(frozen=True)
class TrainingProblem:
    """A network and the samples that it is trained on.

    Attributes:
        file: the file of the samples; None for the lesson and the published problem.
        make_model: draws the weights of the network from a `random.Random`.
        samples: pairs of inputs and target; of a file, those of the training part.
        loss_name: the name of the loss of one sample.
        reduction: how a step combines the losses of its samples.
        batch: the number of samples of a step; None for all.
        seed: the seed of weights, split and shuffling.
        title: the name in a headline, if there is no file.
    """

    file: Path | None
    make_model: Callable[[random.Random], Model]
    samples: Sequence[Any]
    loss_name: str
    reduction: Reduction
    batch: int | None
    seed: int
    title: str = "The lesson's network"

    @property
    def loss(self) -> Callable[[Any, Any], Any]:
        """The loss of one sample."""
        return LOSSES[self.loss_name]

    @property
    def name(self) -> str:
        """The name in a headline."""
        return self.title if self.file is None else str(self.file)

    def model(self) -> Model:
        """The network with the weights of the seed."""
        return self.make_model(random.Random(self.seed))


def problem_of(
    command: str,
    file: Path | None,
    data: DataOptions,
    model: ModelOptions,
    *,
    batch: int | None,
    seed: int | None,
) -> TrainingProblem:
    """The training problem that the options of a command describe.

    Args:
        command: the name of the command, for messages.
        file: a CSV or Parquet file; None for the lesson.
        data: how the columns of the file are used.
        model: the network and its loss.
        batch: the number of samples of a step; None for all.
        seed: the seed of weights, split and shuffling; None for that of `defaults`.

    Raises:
        ArgumentError: if options contradict each other.
        DataError: if the file cannot be used.
    """
    usual = defaults(file)
    hidden, activation = model.layers(usual.hidden), model.activation_name
    seed = usual.seed if seed is None else seed
    if file is not None:
        settings = ProblemSettings(hidden, activation, model.loss, seed)
        prepared = prepare(read_dataset(file, data), settings)
        samples, loss = prepared.training.samples, prepared.loss
        return TrainingProblem(file, prepared.network, samples, loss, "mean", batch, seed)
    refuse_without_file(command, given(data))
    loss = lesson.loss_name(model.loss)

    def make_model(rng: random.Random) -> MLP:
        return lesson.network(rng, hidden, activation)

    return TrainingProblem(None, make_model, list(lesson_data()), loss, "sum", batch, seed)


def published_problem(batch: int | None, seed: int | None) -> TrainingProblem:
    """The problem of the published trainability map; for the arguments see `problem_of`.

    >>> published_problem(None, None).model()
    MeanFieldNet(8 -> 8 -> 1, tanh, 72 parameters)
    """
    make_model, samples = default_problem()
    seed = LESSON.seed if seed is None else seed
    title = "The published problem"
    return TrainingProblem(None, make_model, samples, "squared_error", "mean", batch, seed, title)


def read_dataset(file: Path, data: DataOptions) -> Dataset:
    """The data set in a file.

    Raises:
        ArgumentError: if no target is named.
        DataError: if the file cannot be used.
    """
    if data.target is None:
        known = listing(read_columns(file).names)
        raise ArgumentError(f"{file}: name the column to predict with --target, one of {known}")
    return Dataset.from_file(file, data.target, data.kind, data.ignored)
