"""The lesson: its network and data, which `train`, `sweep` and `graph` share."""

from __future__ import annotations

import random
from collections.abc import Sequence

from talweg.nn import MLP

SEED = 42
HIDDEN = (4, 4)


def network(rng: random.Random, hidden: Sequence[int] = HIDDEN, activation: str = "tanh") -> MLP:
    """The lesson's network: three inputs, and one output between -1 and 1, as its targets.

    Args:
        rng: where the weights are drawn from; the lesson's start from seed 42.
        hidden: the sizes of the hidden layers.
        activation: the activation of the hidden layers.

    >>> network(random.Random(SEED))
    MLP(3 -> 4 -> 4 -> 1, tanh, 41 parameters)
    """
    return MLP(3, [*hidden, 1], activation, output="tanh", rng=rng)
