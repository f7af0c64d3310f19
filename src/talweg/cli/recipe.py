"""From a data set to a trained model that can be saved, with the usual choices.

`fit` is what `talweg train FILE` does between reading and printing; it prints nothing:

1. The target decides the loss and the number of outputs (`choose_loss`).
2. A part of the rows is held back, in about equal shares of each class.
3. Inputs, and the target of a regression, are standardised with the mean and deviation of
   the training part alone.
4. The network is trained on the mean loss and tried on both parts.

Start reading at `fit`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from talweg.data import Dataset, Scaling
from talweg.errors import ArgumentError
from talweg.losses import LOSSES, Loss
from talweg.metrics import accuracy, confusion_matrix, r_squared
from talweg.model_file import Predictor
from talweg.nn import MLP
from talweg.optim import Optimizer
from talweg.training.early_stopping import EarlyStopping
from talweg.training.history import History
from talweg.training.train import train

Samples = list[tuple[list[float], Any]]

_SIGNS = ("hinge", "squared_error")
"""The losses that want -1 and 1 for two classes; the others want the class, 0 or 1."""


@dataclass(frozen=True)
class Plan:
    """How to train; see `talweg train --help`.

    Attributes:
        hidden: the sizes of the hidden layers.
        activation: the activation of the hidden layers.
        loss: the name of the loss, or None for the one that fits the target.
        optimizer: how parameters move.
        steps: how many updates to make.
        batch: how many rows a step takes.
        seed: where weights, split and shuffling start.
        validation: the share of rows that is held back.
        patience: after how many passes without a better validation loss to stop, or None.
    """

    hidden: Sequence[int]
    activation: str
    loss: str | None
    optimizer: Optimizer
    steps: int
    batch: int
    seed: int
    validation: float
    patience: int | None


@dataclass(frozen=True)
class Part:
    """The training or the validation part, and how the trained model does on it.

    Attributes:
        data: the rows, in their own units.
        loss: the mean loss.
        score: the accuracy of a classification, or R2 of a regression.
    """

    data: Dataset
    loss: float
    score: float


@dataclass(frozen=True)
class Fit:
    """A trained model and how it was made.

    Attributes:
        predictor: the model, which takes rows and answers in the file's own units.
        loss: the name of the loss.
        history: the record of the training.
        training: the part that it was trained on.
        validation: the part that was held back.
        confusion: for each true class, how often each class was predicted, validation part;
            empty for a regression.
    """

    predictor: Predictor
    loss: str
    history: History
    training: Part
    validation: Part
    confusion: list[list[int]]


def choose_loss(data: Dataset, wanted: str | None) -> tuple[str, int]:
    """The loss, and how many outputs the network needs for it.

    Args:
        data: its target decides.
        wanted: the name of a loss, or None for the usual one.

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
    name = fitting[0] if wanted is None else wanted
    if name not in fitting:
        raise ArgumentError(
            f"the loss {name} does not fit the target {data.target_name!r} with {what}; "
            f"use {' or '.join(fitting)}"
        )
    return name, classes if name == "cross_entropy" else 1


def make_network(data: Dataset, plan: Plan, rng: random.Random | None = None) -> MLP:
    """The untrained network for a data set.

    Args:
        data: its inputs and target decide the first and the last layer.
        plan: the layers between, and the seed.
        rng: where weights are drawn; that of the seed unless given.

    Raises:
        ArgumentError: if the loss does not fit the target, or a setting makes no sense.
    """
    _, outputs = choose_loss(data, plan.loss)
    return MLP(
        data.n_inputs,
        [*plan.hidden, outputs],
        plan.activation,
        output="linear",
        rng=random.Random(plan.seed) if rng is None else rng,
        scale="fan_in",
    )


def fit(data: Dataset, plan: Plan, progress: bool = False) -> Fit:
    """Train a network on a data set.

    Args:
        data: the rows, in their own units, with one target each.
        plan: how to train.
        progress: show a progress bar if this is a terminal.

    Returns:
        The `Fit`; `fit.history.status` says whether training diverged or was interrupted.

    Raises:
        ArgumentError: if the loss does not fit the target, or a setting makes no sense.
        DataError: if there are too few rows to hold some back.

    Example:
        >>> from talweg.optim import Adam
        >>> rows = [[x / 10] for x in range(20)]
        >>> data = Dataset(rows, [3.0 * x + 1.0 for (x,) in rows])
        >>> plan = Plan([4], "tanh", None, Adam(0.05), 100, 8, 1, 0.2, None)
        >>> fit(data, plan).validation.score > 0.95
        True
    """
    loss, _ = choose_loss(data, plan.loss)
    parts, inputs, targets = _split(data, plan)
    scaled = [part.standardise(inputs, targets) for part in parts]
    training, validation = (_samples(part, loss) for part in scaled)
    model = make_network(data, plan)
    history = train(
        model,
        training,
        loss=LOSSES[loss],
        reduction="mean",
        optimizer=plan.optimizer,
        steps=plan.steps,
        batch_size=plan.batch,
        seed=plan.seed,
        validation=validation,
        early_stopping=None if plan.patience is None else EarlyStopping(plan.patience),
        progress=progress,
    )
    names = data.classes or None
    return Fit(
        Predictor(model, data.input_names, data.target_name, names, inputs, targets),
        loss,
        history,
        _tried(model, parts[0], scaled[0], LOSSES[loss], training),
        _tried(model, parts[1], scaled[1], LOSSES[loss], validation),
        confusion_matrix(model, scaled[1], len(names)) if names else [],
    )


def untrained(data: Dataset, plan: Plan) -> tuple[Callable[[random.Random], MLP], Samples]:
    """What `fit` would train, before its first step: the network, and its samples.

    Args:
        data: the rows, in their own units, with one target each.
        plan: how `fit` would train.

    Returns:
        A function that draws the network's weights from a `random.Random`, and the samples.

    Raises:
        ArgumentError: if the loss does not fit the target, or a setting makes no sense.
        DataError: if there are too few rows to hold some back.
    """
    loss, _ = choose_loss(data, plan.loss)
    parts, inputs, targets = _split(data, plan)
    samples = _samples(parts[0].standardise(inputs, targets), loss)
    return lambda rng: make_network(data, plan, rng), samples


def _split(data: Dataset, plan: Plan) -> tuple[tuple[Dataset, Dataset], Scaling, Scaling | None]:
    """The two parts, and the scalings of inputs and target that the training part gives."""
    parts = data.split(plan.validation, plan.seed)
    targets = None if data.classes else parts[0].target_scaling()
    return parts, parts[0].input_scaling(), targets


def _samples(data: Dataset, loss: str) -> Samples:
    """The rows with targets as the loss wants them."""
    if data.classes and loss in _SIGNS:
        return [(x, 2.0 * y - 1.0) for x, y in data]
    return list(data)


def _tried(model: MLP, own: Dataset, scaled: Dataset, loss: Loss, samples: Samples) -> Part:
    mean = sum(float(loss(model(x), y)) for x, y in samples) / len(samples)
    return Part(own, mean, (accuracy if own.classes else r_squared)(model, scaled))
