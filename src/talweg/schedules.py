"""Schedules: a learning rate for every step.

A schedule is a function from the number of the step, 0 for the first, to a learning
rate. An optimiser takes one in place of a number: `SGD(lr=Cosine(0.1, steps=100))`. Start reading
at `Linear`.
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
    """Linear from `start` to `end`: start + (end - start) k / steps at step k.

    Args:
        start: the rate at step 0.
        end: the rate from step `steps` on.
        steps: the number of steps from `start` to `end`, at least 1.

    Raises:
        ArgumentError: if a rate is negative or not finite, or `steps` is not at least 1.

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
        """The rate of a step, 0 for the first."""
        if step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * step / self.steps


@dataclass(frozen=True)
class Cosine:
    """From `start` to `end` along half a period of a cosine.

    The rate at step k is end + (start - end) (1 + cos(pi k / steps)) / 2.

    Args:
        start: the rate at step 0.
        steps: the number of steps from `start` to `end`, at least 1.
        end: the rate from step `steps` on.

    Raises:
        ArgumentError: if a rate is negative or not finite, or `steps` is not at least 1.

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
        """The rate of a step, 0 for the first."""
        if step >= self.steps:
            return self.end
        fraction = (1.0 + math.cos(math.pi * step / self.steps)) / 2.0
        return self.end + (self.start - self.end) * fraction


@dataclass(frozen=True)
class Exponential:
    """Exponential decay: start factor**k at step k.

    Args:
        start: the rate at step 0.
        factor: the ratio of the rates of two consecutive steps, below 1 to decay.

    Raises:
        ArgumentError: if a number is negative or not finite.

    >>> Exponential(1.0, 0.5)(3)
    0.125
    """

    start: float
    factor: float

    def __post_init__(self) -> None:
        _require_rates(start=self.start, factor=self.factor)

    def __call__(self, step: int) -> float:
        """The rate of a step, 0 for the first."""
        return self.start * ieee.pow(self.factor, float(step))


@dataclass(frozen=True)
class StepDecay:
    """Constant over several steps, then multiplied by a factor: start factor**floor(k / every).

    Args:
        start: the rate at step 0.
        factor: the factor.
        every: the number of steps between two multiplications, at least 1.

    Raises:
        ArgumentError: if a number is negative or not finite, or `every` is not at least 1.

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
        """The rate of a step, 0 for the first."""
        return self.start * ieee.pow(self.factor, float(step // self.every))


@dataclass(frozen=True)
class Warmup:
    """A linear rise over the first steps, then another schedule.

    The rate at step k is then(0) (k + 1) / steps if k < steps; from that step on it is
    then(k - steps).

    Args:
        steps: the number of steps of the rise, at least 1.
        then: the schedule or the number that follows.

    Raises:
        ArgumentError: if a number is negative or not finite, or `steps` is not at least 1.

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
        """The rate of a step, 0 for the first."""
        if step < self.steps:
            return rate_at(self.then, 0) * (step + 1) / self.steps
        return rate_at(self.then, step - self.steps)


@dataclass(frozen=True)
class OneCycle:
    """A rise to `peak`, then a fall, each along half a period of a cosine.

    The rate starts at peak / 25, reaches the peak at step rise * steps, and stops at
    peak / 10,000.

    Args:
        peak: the largest rate.
        steps: the number of steps of the cycle, at least 1; later steps have its last rate.
        rise: the part of the steps in which the rate rises, between 0 and 1.

    Raises:
        ArgumentError: if a setting is not valid.

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
        """The rate of a step, 0 for the first."""
        top = self.rise * self.steps
        if step <= top:
            return _half_cosine(self.peak / 25.0, self.peak, step / top)
        return _half_cosine(self.peak, self.peak / 1e4, min(1.0, (step - top) / (self.steps - top)))


def rate_at(lr: float | Schedule, step: int) -> float:
    """The learning rate of a step, from a number or a schedule.

    Args:
        lr: a number, or a function of the step.
        step: the number of the step, 0 for the first.

    Raises:
        NumberError: if the schedule returns something that is not a number.

    >>> rate_at(0.1, 7), rate_at(Exponential(1.0, 0.5), 1)
    (0.1, 0.5)
    """
    return to_float(lr(step) if callable(lr) else lr)


def _half_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * fraction)) / 2.0


def _require_rates(**rates: float) -> None:
    for name, rate in rates.items():
        if not (isinstance(rate, (int, float)) and math.isfinite(rate) and rate >= 0.0):
            raise ArgumentError(f"{name} must be a finite number of at least 0, got {rate!r}")


def _require_steps(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ArgumentError(f"{name} must be an integer of at least 1, got {count!r}")
