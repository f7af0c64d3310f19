"""The lesson: its network and its losses."""

from __future__ import annotations

import random
from collections.abc import Sequence

from talweg.cli.defaults import LESSON
from talweg.errors import ArgumentError
from talweg.nn import MLP


def network(
    rng: random.Random, hidden: Sequence[int] = LESSON.hidden, activation: str = "tanh"
) -> MLP:
    """The lesson's network: three inputs, and one output between -1 and 1, as its targets.

    Args:
        rng: the source of the weights; the lesson has `random.Random(42)`.
        hidden: the sizes of the hidden layers.
        activation: the activation of the hidden layers.

    >>> network(random.Random(LESSON.seed))
    MLP(3 -> 4 -> 4 -> 1, tanh, 41 parameters)
    """
    return MLP(3, [*hidden, 1], activation, output="tanh", rng=rng)


def loss_name(given: str | None) -> str:
    """The name of the loss: squared_error unless another one is given.

    Raises:
        ArgumentError: if it does not fit targets of -1 and 1.
    """
    name = given or "squared_error"
    if name not in ("squared_error", "hinge"):
        raise ArgumentError(
            f"the lesson's targets are -1 and 1; --loss takes squared_error or hinge for them, "
            f"got {name}"
        )
    return name
