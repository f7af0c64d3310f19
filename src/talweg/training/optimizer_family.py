"""Optimisers that are one program: their equations are the same, and only numbers in them differ.

Native code that trains many models at once (`talweg.training.lane_executor`) is compiled for a
`Family`. Start reading at `family_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from talweg.autodiff.operation import Number
from talweg.errors import NativeError
from talweg.optim import Optimizer
from talweg.schedules import rate_at
from talweg.training.update_guard import refuse_own_rate

_PLAIN = (float, int, bool, str, type(None))


@dataclass(frozen=True)
class Family:
    """What optimisers of one program have in common.

    Attributes:
        example: one of them.
        varied: the settings other than the learning rate in which they differ; none is zero.
        scheduled: whether the learning rate of one of them follows a schedule.
    """

    example: Optimizer
    varied: tuple[str, ...] = ()
    scheduled: bool = False

    def update(self, settings: tuple[Number, ...]) -> Any:
        """The equation of the update, with these numbers for the settings that differ."""
        optimizer = copy(self.example)
        for name, number in zip(self.varied, settings, strict=True):
            object.__setattr__(optimizer, name, number)
        return optimizer.update


def family_of(optimizers: Sequence[Optimizer]) -> Family:
    """The family of some optimisers.

    Raises:
        NativeError: if they are not one program.

    Example:
        >>> from talweg import SGD
        >>> family_of([SGD(0.1, momentum=0.5), SGD(0.2, momentum=0.9)]).varied
        ('momentum',)
    """
    first = optimizers[0]
    kind, start = type(first), repr(first.initial_state())
    settings = [vars(optimizer) for optimizer in optimizers]
    names = settings[0].keys()
    for optimizer, own in zip(optimizers, settings, strict=True):
        if type(optimizer) is not kind or own.keys() != names:
            raise NativeError("the optimisers are of several kinds")
        if repr(optimizer.initial_state()) != start:
            raise NativeError("initial_state() of the optimisers gives other numbers in some runs")
    varied = []
    for name in names:
        values = [own[name] for own in settings]
        if name == "lr" or not _differ(values):
            continue
        if not all(type(x) in (float, int) for x in values):
            raise NativeError(f"the optimisers differ in {name}, which is not a number")
        if not all(values):
            raise NativeError(f"{name} of the optimisers is zero in some runs, and not in others")
        varied.append(name)
    refuse_own_rate(first)
    return Family(first, tuple(varied), any(callable(o.lr) for o in optimizers))


def _differ(values: Sequence[Any]) -> bool:
    """Whether values are not all equal; what is not plain is compared by its text."""
    first = values[0]
    if type(first) in _PLAIN:
        return any(x != first for x in values)
    text = repr(first)
    return any(repr(x) != text for x in values)


def first_rates(optimizer: Optimizer, steps: int) -> list[float]:
    """The learning rates of the first steps of an optimiser."""
    lr = optimizer.lr
    if callable(lr):
        return [rate_at(lr, step) for step in range(steps)]
    return [float(lr)] * steps
