"""What `lr-find`, `sweep`, `sharpness` and `map` look at: the lesson, or a file of yours.

It is what `talweg train` would train before its first step: the same network, samples and loss.
`map` also looks at the published problem. Start reading at `subject_of`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talweg.cli import lesson
from talweg.cli.options import Kind, layer_sizes, names
from talweg.cli.recipe import Plan, choose_loss, untrained
from talweg.data import Dataset, lesson_data
from talweg.data.checks import listing
from talweg.data.readers import read_columns
from talweg.errors import ArgumentError
from talweg.explore.trainability.mean_field import default_problem
from talweg.losses import LOSSES
from talweg.nn import MLP
from talweg.optim import SGD
from talweg.training.objective import Model
from talweg.training.settings import Reduction


@dataclass(frozen=True)
class Subject:
    """A network and the samples that it would be trained on.

    Attributes:
        file: where the samples come from; None for the lesson and the published problem.
        make_model: draws the weights of the network from a `random.Random`.
        samples: pairs of inputs and target; of a file, those of the training part.
        loss_name: the name of the loss of one sample.
        reduction: how a step puts the losses of its samples together.
        batch: how many samples a step takes; None for all.
        seed: where weights, split and shuffling start.
        title: what it is called in a headline, if it is no file.
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
        """What is looked at, for a headline."""
        return self.title if self.file is None else str(self.file)

    def model(self) -> Model:
        """The network with the weights of its own seed."""
        return self.make_model(random.Random(self.seed))


def subject_of(
    command: str,
    file: Path | None,
    *,
    target: str | None,
    kind: Kind,
    ignore: str,
    hidden: str | None,
    activation: str,
    loss: str | None,
    batch: int | None,
    seed: int | None,
) -> Subject:
    """The subject of a command; for all but the command see `talweg train --help`.

    Args:
        command: its name, for messages.
        file: a CSV or Parquet file; None for the lesson.
        target: the column to predict.
        kind: what the target is.
        ignore: columns to leave out, separated by commas.
        hidden: the sizes of the hidden layers; None for the usual ones.
        activation: the activation of the hidden layers.
        loss: the name of the loss; None for the usual one.
        batch: how many samples a step takes; None for all.
        seed: where weights, split and shuffling start; None for 42 or, with a file, 1.

    Raises:
        ArgumentError: if options contradict each other.
        DataError: if the file cannot be used.
    """
    sizes = None if hidden is None else layer_sizes(hidden)
    if file is not None:
        plan = Plan(
            hidden=[16] if sizes is None else sizes,
            activation=activation,
            loss=loss,
            optimizer=SGD(0.0),  # neither it nor steps and batch matter before the first step
            steps=1,
            batch=1,
            seed=1 if seed is None else seed,
            validation=0.2,
            patience=None,
        )
        return _of_file(file, target, kind, names(ignore), plan, batch)
    for option, given in (("--target", target), ("--ignore", ignore), ("--kind", kind)):
        if given and given != "auto":
            raise ArgumentError(
                f"{option} is for a file; name it: talweg {command} FILE --target COLUMN"
            )
    return _of_lesson(
        lesson.HIDDEN if sizes is None else sizes,
        activation,
        loss or "squared_error",
        batch,
        lesson.SEED if seed is None else seed,
    )


def published(batch: int | None, seed: int | None) -> Subject:
    """The problem of the published trainability map; for the arguments see `subject_of`.

    >>> published(None, None).model()
    MeanFieldNet(8 -> 8 -> 1, tanh, 72 parameters)
    """
    make_model, samples = default_problem()
    start = lesson.SEED if seed is None else seed
    title = "The published problem"
    return Subject(None, make_model, samples, "squared_error", "mean", batch, start, title)


def _of_lesson(
    hidden: Sequence[int], activation: str, loss: str, batch: int | None, seed: int
) -> Subject:
    if loss not in ("squared_error", "hinge"):
        raise ArgumentError(
            f"the lesson's targets are -1 and 1; --loss takes squared_error or hinge for them, "
            f"got {loss}"
        )

    def make_model(rng: random.Random) -> MLP:
        return lesson.network(rng, hidden, activation)

    return Subject(None, make_model, list(lesson_data()), loss, "sum", batch, seed)


def _of_file(
    file: Path,
    target: str | None,
    kind: Kind,
    ignore: Sequence[str],
    plan: Plan,
    batch: int | None,
) -> Subject:
    if target is None:
        known = listing(read_columns(file).names)
        raise ArgumentError(f"{file}: say what to predict with --target, one of {known}")
    data = Dataset.from_file(file, target, kind, ignore)
    loss, _ = choose_loss(data, plan.loss)
    make_model, samples = untrained(data, plan)
    return Subject(file, make_model, samples, loss, "mean", batch, plan.seed)
