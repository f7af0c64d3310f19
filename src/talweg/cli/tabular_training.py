"""Training on a data set: from its rows to a trained model that can be saved. Prints nothing.

1. The target decides the loss and the number of outputs (`choose_loss`).
2. A part of the rows is held back for validation, with about equal fractions of each class.
3. Inputs, and the target of a regression, are standardised with the mean and the deviation of
   the training part alone. Steps 1 to 3 are `prepare`.
4. The network is trained on the mean loss, and evaluated on both parts (`fit`).

Start reading at `prepare`, then `fit`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from talweg.cli.defaults import VALIDATION
from talweg.data import Dataset, Scaling
from talweg.errors import ArgumentError
from talweg.losses import LOSSES
from talweg.metrics import accuracy, confusion_matrix, r_squared
from talweg.model_file import Predictor
from talweg.nn import MLP
from talweg.optim import Optimizer
from talweg.training.early_stopping import EarlyStopping
from talweg.training.history import History
from talweg.training.train import train

_SIGNED_LOSSES = ("hinge", "squared_error")
"""The losses whose targets for two classes are -1 and 1; for the others they are 0 and 1."""


@dataclass(frozen=True)
class ProblemSettings:
    """What decides the network and its samples; see `talweg train --help`.

    Attributes:
        hidden: the sizes of the hidden layers.
        activation: the activation of the hidden layers.
        loss: the name of the loss, or None for the usual one for the target.
        seed: the seed of weights, split and shuffling.
        validation: the fraction of rows that is held back.
    """

    hidden: Sequence[int]
    activation: str
    loss: str | None
    seed: int
    validation: float = VALIDATION


@dataclass(frozen=True)
class TrainingSettings:
    """What decides the steps; see `talweg train --help`.

    Attributes:
        optimizer: the rule that updates parameters.
        steps: the number of updates.
        batch: the number of rows of a step; None for all.
        patience: after how many passes without a better validation loss to stop, or None.
    """

    optimizer: Optimizer
    steps: int
    batch: int | None
    patience: int | None = None


@dataclass(frozen=True)
class Part:
    """The training or the validation part of a data set.

    Attributes:
        data: the rows, in their own units.
        inputs: the scaling of the inputs.
        targets: the scaling of the target; None for a classification.
        loss: the name of the loss.
    """

    data: Dataset
    inputs: Scaling
    targets: Scaling | None
    loss: str

    @cached_property
    def scaled(self) -> Dataset:
        """The rows in standard units."""
        return self.data.standardise(self.inputs, self.targets)

    @cached_property
    def samples(self) -> list[tuple[list[float], Any]]:
        """The rows in standard units, with targets as the loss requires them."""
        if self.data.classes and self.loss in _SIGNED_LOSSES:
            return [(x, 2.0 * y - 1.0) for x, y in self.scaled]
        return list(self.scaled)


@dataclass(frozen=True)
class PreparedData:
    """A data set ready to be trained on.

    Attributes:
        loss: the name of the loss.
        outputs: the number of outputs of the network.
        settings: what decides the network.
        training: the part to train on.
        validation: the part that is held back.
    """

    loss: str
    outputs: int
    settings: ProblemSettings
    training: Part
    validation: Part

    def network(self, rng: random.Random | None = None) -> MLP:
        """The untrained network.

        Args:
            rng: the source of the weights; that of the seed if None.
        """
        settings = self.settings
        return MLP(
            self.training.data.n_inputs,
            [*settings.hidden, self.outputs],
            settings.activation,
            output="linear",
            rng=random.Random(settings.seed) if rng is None else rng,
            scale="fan_in",
        )


@dataclass(frozen=True)
class Evaluation:
    """The trained model on the training or the validation part.

    Attributes:
        data: the rows, in their own units.
        loss: the mean loss.
        score: the accuracy of a classification, or R2 of a regression.
    """

    data: Dataset
    loss: float
    score: float


@dataclass(frozen=True)
class FitResult:
    """A trained model, and the record of its training.

    Attributes:
        predictor: the model, which takes rows and predicts in the file's own units.
        loss: the name of the loss.
        history: the record of the training.
        training: the evaluation on the part that it was trained on.
        validation: the evaluation on the part that was held back.
        confusion: for each true class, how often each class was predicted, validation part;
            empty for a regression.
    """

    predictor: Predictor
    loss: str
    history: History
    training: Evaluation
    validation: Evaluation
    confusion: list[list[int]]


def choose_loss(data: Dataset, given: str | None) -> tuple[str, int]:
    """The loss, and how many outputs the network needs for it.

    Args:
        data: its target decides.
        given: the name of a loss, or None for the usual one.

    Returns:
        The name of the loss, and the number of outputs.

    Raises:
        ArgumentError: if the loss does not fit the target.

    >>> data = Dataset([[0.0], [1.0]], [0, 1], classes=("no", "yes"))
    >>> choose_loss(data, None), choose_loss(data, "cross_entropy")
    (('binary_cross_entropy', 1), ('cross_entropy', 2))
    """
    classes = len(data.classes)
    fitting: tuple[str, ...]
    if not classes:
        fitting, what = ("squared_error",), "a regression"
    elif classes == 2:
        fitting = ("binary_cross_entropy", "hinge", "squared_error", "cross_entropy")
        what = "two classes"
    else:
        fitting, what = ("cross_entropy",), f"{classes} classes"
    name = fitting[0] if given is None else given
    if name not in fitting:
        raise ArgumentError(
            f"the loss {name} does not fit the target {data.target_name!r} with {what}",
            repair=f"use {' or '.join(fitting)}",
        )
    return name, classes if name == "cross_entropy" else 1


def prepare(data: Dataset, settings: ProblemSettings) -> PreparedData:
    """Choose the loss, hold rows back, and find the scalings.

    Args:
        data: the rows, in their own units, with one target each.
        settings: what decides the network and its samples.

    Raises:
        ArgumentError: if the loss does not fit the target, or a setting makes no sense.
        DataError: if there are too few rows to hold some back.
    """
    loss, outputs = choose_loss(data, settings.loss)
    training, validation = data.split(settings.validation, settings.seed)
    scalings = training.input_scaling(), None if data.classes else training.target_scaling()
    parts = (Part(rows, *scalings, loss) for rows in (training, validation))
    return PreparedData(loss, outputs, settings, *parts)


def fit(data: PreparedData, settings: TrainingSettings, progress: bool = False) -> FitResult:
    """Train a network on a data set.

    Args:
        data: the data set, see `prepare`.
        settings: what decides the steps.
        progress: show a progress bar if this is a terminal.

    Returns:
        The result; `history.status` is "diverged" or "interrupted" if the training was.

    Raises:
        ArgumentError: if a setting makes no sense.

    Example:
        >>> from talweg.optim import Adam
        >>> rows = [[x / 10] for x in range(20)]
        >>> data = Dataset(rows, [3.0 * x + 1.0 for (x,) in rows])
        >>> prepared = prepare(data, ProblemSettings([4], "tanh", None, seed=1))
        >>> fit(prepared, TrainingSettings(Adam(0.05), 100, 8)).validation.score > 0.95
        True
    """
    model = data.network()
    history = train(
        model,
        data.training.samples,
        loss=LOSSES[data.loss],
        reduction="mean",
        optimizer=settings.optimizer,
        steps=settings.steps,
        batch_size=settings.batch,
        seed=data.settings.seed,
        validation=data.validation.samples,
        early_stopping=None if settings.patience is None else EarlyStopping(settings.patience),
        progress=progress,
    )
    part = data.validation
    rows, classes = part.data, part.data.classes or None
    return FitResult(
        Predictor(model, rows.input_names, rows.target_name, classes, part.inputs, part.targets),
        data.loss,
        history,
        _evaluated(model, data.training),
        _evaluated(model, part),
        confusion_matrix(model, part.scaled, len(classes)) if classes else [],
    )


def _evaluated(model: MLP, part: Part) -> Evaluation:
    loss, samples = LOSSES[part.loss], part.samples
    mean = sum(float(loss(model(x), y)) for x, y in samples) / len(samples)
    score = accuracy if part.data.classes else r_squared
    return Evaluation(part.data, mean, score(model, part.scaled))
