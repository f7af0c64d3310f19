"""Schedules: a learning rate for every step.

A schedule is a function from the number of the step, 0 for the first, to a learning
rate. Give one to an optimiser in place of a number: `SGD(lr=Cosine(0.1, steps=100))`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from talweg.autodiff import ieee
from talweg.errors import ArgumentError
from talweg.ops import to_float

Schedule: TypeAlias = Callable[[int], float]


@dataclass(frozen=True)
class Linear:
    """From `start` to `end` on a straight line: start + (end - start) k / steps.

    Args:
        start: the rate at step 0.
        end: the rate at step `steps` and ever after.
        steps: how many steps the way takes.

    >>> schedule = Linear(1.0, 0.1, steps=100)
    >>> schedule(0), schedule(50), schedule(1000)
    (1.0, 0.55, 0.1)
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _require_rates(start=self.start, end=self.end)
        _require_steps(steps=self.steps)

    def __call__(self, step: int) -> float:
        """The rate at this step, 0 for the first."""
        if step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * step / self.steps


@dataclass(frozen=True)
class Cosine:
    """From `start` down to `end` along half a cosine.

    The rate at step k is end + (start - end) (1 + cos(pi k / steps)) / 2.

    Args:
        start: the rate at step 0.
        steps: how many steps the way takes.
        end: the rate at step `steps` and ever after.

    Source: Loshchilov and Hutter, SGDR, arXiv 1608.03983.

    >>> schedule = Cosine(0.1, steps=100)
    >>> schedule(0), round(schedule(50), 12), schedule(100)
    (0.1, 0.05, 0.0)
    """

    start: float
    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        _require_rates(start=self.start, end=self.end)
        _require_steps(steps=self.steps)

    def __call__(self, step: int) -> float:
        """The rate at this step, 0 for the first."""
        if step >= self.steps:
            return self.end
        swing = (1.0 + math.cos(math.pi * step / self.steps)) / 2.0
        return self.end + (self.start - self.end) * swing


@dataclass(frozen=True)
class Exponential:
    """Multiplied by the same factor at every step: start factor**k.

    Args:
        start: the rate at step 0.
        factor: by how much each step multiplies it, at most 1 to decay.

    >>> Exponential(1.0, 0.5)(3)
    0.125
    """

    start: float
    factor: float

    def __post_init__(self) -> None:
        _require_rates(start=self.start, factor=self.factor)

    def __call__(self, step: int) -> float:
        """The rate at this step, 0 for the first."""
        return self.start * ieee.pow(self.factor, float(step))


@dataclass(frozen=True)
class StepDecay:
    """Multiplied by a factor every so many steps: start factor**floor(k / every).

    Args:
        start: the rate at step 0.
        factor: by how much it is multiplied.
        every: after how many steps.

    >>> schedule = StepDecay(1.0, 0.1, every=30)
    >>> schedule(29), schedule(30)
    (1.0, 0.1)
    """

    start: float
    factor: float
    every: int

    def __post_init__(self) -> None:
        _require_rates(start=self.start, factor=self.factor)
        _require_steps(every=self.every)

    def __call__(self, step: int) -> float:
        """The rate at this step, 0 for the first."""
        return self.start * ieee.pow(self.factor, float(step // self.every))


@dataclass(frozen=True)
class Warmup:
    """A straight rise from near zero over the first steps, then another schedule.

    The rate at step k < steps is then(0) (k + 1) / steps, later then(k - steps).

    Args:
        steps: how many steps the rise takes.
        then: the schedule or the number that follows.

    Source: Goyal et al., Accurate, large minibatch SGD, arXiv 1706.02677.

    >>> schedule = Warmup(4, then=0.1)
    >>> [round(schedule(k), 3) for k in range(6)]
    [0.025, 0.05, 0.075, 0.1, 0.1, 0.1]
    """

    steps: int
    then: float | Schedule

    def __post_init__(self) -> None:
        _require_steps(steps=self.steps)
        if not callable(self.then):
            _require_rates(then=self.then)

    def __call__(self, step: int) -> float:
        """The rate at this step, 0 for the first."""
        if step < self.steps:
            return rate_at(self.then, 0) * (step + 1) / self.steps
        return rate_at(self.then, step - self.steps)


@dataclass(frozen=True)
class OneCycle:
    """Up to `peak` and down again: along half a cosine each way.

    It begins at peak / 25, reaches the peak after `rise` of the steps, and ends at
    peak / 10,000.

    Args:
        peak: the largest rate.
        steps: how many steps the cycle takes; later ones stay at its end.
        rise: which part of them goes up, between 0 and 1.

    Source: Smith and Topin, Super-convergence, arXiv 1708.07120.

    >>> schedule = OneCycle(1.0, steps=100)
    >>> round(schedule(0), 6), schedule(30), round(schedule(100), 6)
    (0.04, 1.0, 0.0001)
    """

    peak: float
    steps: int
    rise: float = 0.3

    def __post_init__(self) -> None:
        _require_rates(peak=self.peak)
        _require_steps(steps=self.steps)
        if not (isinstance(self.rise, (int, float)) and 0.0 < self.rise < 1.0):
            raise ArgumentError(f"rise must be between 0 and 1, got {self.rise!r}")

    def __call__(self, step: int) -> float:
        """The rate at this step, 0 for the first."""
        top = self.rise * self.steps
        if step <= top:
            return _half_cosine(self.peak / 25.0, self.peak, step / top)
        return _half_cosine(self.peak, self.peak / 1e4, min(1.0, (step - top) / (self.steps - top)))


def rate_at(lr: float | Schedule, step: int) -> float:
    """The learning rate at a step, from a number or a schedule.

    Args:
        lr: a number, or a function of the step.
        step: 0 for the first.

    Raises:
        NumberError: if the schedule gives something that is not a number.

    >>> rate_at(0.1, 7), rate_at(Exponential(1.0, 0.5), 1)
    (0.1, 0.5)
    """
    return to_float(lr(step) if callable(lr) else lr)


def _half_cosine(start: float, end: float, way: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * way)) / 2.0


def _require_rates(**rates: float) -> None:
    for name, rate in rates.items():
        if not (isinstance(rate, (int, float)) and math.isfinite(rate) and rate >= 0.0):
            raise ArgumentError(f"{name} must be a finite number of at least 0, got {rate!r}")


def _require_steps(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ArgumentError(f"{name} must be a whole number of at least 1, got {count!r}")
