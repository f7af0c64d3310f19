"""The largest stable learning rate at the first weights of a run, where it can be had cheaply.

It is the limit of `talweg.explore.sharpness.sharpness`. A sweep has runs of many seeds and
settings, each with a limit of its own, and whoever looks at its table does not want to wait for
them: beyond `_MOST` work the limit counts as unknown.
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
"""Parameters times samples that all limits of a sweep may take: some seconds."""

_OF_EACH = 1_000
"""What a limit takes besides, in the same unit: compiled programs are looked up, Lanczos begins."""


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
        optimizer: whose limit it is; its rate does not matter.
        among: how many such limits the sweep needs.

    Returns:
        The limit, inf where nothing curves upward; None where it is unknown: the optimiser has
        no known limit, the loss has no finite second derivative here, or it is too costly.

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
    except TalwegError:  # it says why there is none; the runs of the sweep went on all the same
        return None
    return found.max_stable_lr
