"""The largest stable learning rate at the first weights of a run, where it is cheap to compute.

The rate is `max_stable_lr` of `talweg.explore.sharpness.sharpness`. The runs of a sweep have many
seeds and settings, each with a largest stable rate of its own. If all of them need more than a
certain amount of work, the rate is unknown, so that a table of the runs does not take minutes.

Start reading at `limit_at_start`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from talweg import losses
from talweg.errors import TalwegError
from talweg.explore.sharpness import sharpness
from talweg.optim import Optimizer
from talweg.training.objective import Model, Sample, parameters_of
from talweg.training.settings import Reduction

_MOST = 250_000
"""How much work all rates of a sweep may be, in parameters times samples: some seconds."""

_OF_EACH = 1_000
"""The constant part of the work for each rate, in the same unit: programs from the cache, and the
first steps of Lanczos."""


def limit_at_start(
    make_model: Callable[[], Model],
    samples: Sequence[Sample],
    *,
    loss: losses.Loss = losses.squared_error,
    reduction: Reduction = "sum",
    optimizer: Optimizer,
    among: int = 1,
) -> float | None:
    """The largest stable rate of an optimiser at the first weights of a model.

    Args:
        make_model: makes the model, before its first step.
        samples: all of them, also where steps take batches.
        loss: see `train`.
        reduction: see `train`.
        optimizer: the optimiser; its own learning rate does not matter.
        among: how many such rates the sweep needs.

    Returns:
        The rate, inf where no curvature is positive; None where it is unknown: the optimiser has
        no known limit, the loss has no finite second derivative here, or the work is too much.

    Example:
        >>> import random
        >>> from talweg import MLP, SGD, lesson_data
        >>> make = lambda: MLP(3, [4, 4, 1], rng=random.Random(42))
        >>> round(limit_at_start(make, list(lesson_data()), optimizer=SGD(0.1)), 4)
        0.3477
    """
    if among * _OF_EACH > _MOST:
        return None
    model = make_model()
    work = among * (_OF_EACH + len(parameters_of(model)) * len(samples))
    if work > _MOST:
        return None
    try:
        found = sharpness(model, samples, loss=loss, reduction=reduction, optimizer=optimizer)
    except TalwegError:  # there is no such rate here; the runs of the sweep do not need one
        return None
    return found.max_stable_lr
