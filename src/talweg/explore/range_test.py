"""The learning-rate range test: a short run on a copy of the model, with a growing learning rate.

The status and the suggestions follow from the losses by the rules of `talweg.explore.range_rules`.
Start reading at `lr_range_test`.
"""

from __future__ import annotations

import csv
import html
import io
import math
import os
import random
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from numbers import Integral
from pathlib import Path
from typing import TypeVar

from talweg import losses
from talweg._util.atomic_files import write_whole
from talweg._util.deprecation import RenamedAttribute
from talweg.autodiff.backward import inner_nodes
from talweg.error_fields import PYTHON, Notation
from talweg.errors import ArgumentError
from talweg.explore import range_rules
from talweg.explore.limits import limit_at_start
from talweg.explore.range_rules import (
    ExponentialMovingAverage,
    Status,
    smooth,
    too_high,
    warm_up_steps,
)
from talweg.optim import SGD, Optimizer
from talweg.plotting.figure import Axes
from talweg.training.callbacks import Step
from talweg.training.history import History
from talweg.training.objective import Model, Sample, parameters_of
from talweg.training.settings import Engine, Mode, Reduction
from talweg.training.train import train
from talweg.value import Value

T = TypeVar("T")


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test. The three lists have one entry per step.

    The suggestions are learning rates to try first, for example with `tw.sweep`; none is applied.
    They are found by three rules from the smoothed losses, where s is the smoothing. The first
    round(2 s / (1 - s)) smoothed losses are left out, because they are means of few losses. The
    descent ends at the first step at which 98 % of the fall to the lowest smoothed loss has been
    made.

    * "steepest": the rate at the steepest fall of the lowest smoothed loss so far, over
      round(1 / (1 - s)) steps: that of the middle step, rounded down. With smoothing, only steps
      after the last one at which less than a quarter of the fall had been made are considered. The
      distance of steps is constant on a logarithmic axis of rates, so this is the steepest descent
      over log rate; without smoothing it is the rate whose update gave the largest fall.
    * "minimum / 10": a tenth of the rate at the end of the descent.
    * "valley": of the steps of the descent at which the smoothed loss reached a new minimum, the
      one at two thirds of their number, rounded down.

    A smoothed loss lags about s / (1 - s) steps behind, so with batches the rates are that many
    steps too high; with more steps the error is smaller. If nothing can be learnt, noise is taken
    for a fall in about one of ten tests; it can also hide a fall. Repeat a test with another seed.

    Attributes:
        learning_rates: the rate of each update.
        losses: the loss before each update.
        smoothed: the exponential moving average of the losses.
        suggestions: rates by the name of their rule; empty unless the status is "found".
        status: "found", "still falling at lr_max", "never fell", "diverged at once" or
            "interrupted"; the rules are in `talweg.explore.range_rules`.
        summary: one sentence: why the test stopped, and without suggestions also why there are
            none and what to try.
        limit_of: computes `max_stable_lr`; None if it is not known how.
        summary_of: writes the summary in a notation, see `describe`.

    Example:
        >>> RangeTest([0.1, 1.0], [5.0, 6.0], [5.0, 6.0], {}, "never fell", "never fell")
        RangeTest(2 steps, never fell)
    """

    learning_rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestions: dict[str, float]
    status: Status
    summary: str
    limit_of: Callable[[], float | None] | None = field(default=None, repr=False, compare=False)
    summary_of: Callable[[Notation], str] | None = field(default=None, repr=False, compare=False)

    in_words = RenamedAttribute("summary")
    limit = RenamedAttribute("max_stable_lr")

    @cached_property
    def max_stable_lr(self) -> float | None:
        """The largest stable rate at the weights before the test; None if it is unknown.

        It is that of `tw.sharpness` for the optimiser of the test, computed on first access.
        """
        return None if self.limit_of is None else self.limit_of()

    def describe(self, notation: Notation = PYTHON) -> str:
        """The summary, with the arguments of `lr_range_test` written in a notation.

        Args:
            notation: how arguments are written; `summary` has Python's.
        """
        return self.summary if self.summary_of is None else self.summary_of(notation)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the losses over the learning rate, with the suggestions and `max_stable_lr`.

        Args:
            ax: the matplotlib Axes to draw on; those of a new figure if None.

        Returns:
            The Axes; `test.plot().figure.savefig("range.png")` writes the figure.

        Raises:
            ArgumentError: if there are no losses, because the test was interrupted before the
                first step.
        """
        from talweg.plotting import range_test

        title = None if self.suggestions else f"No suggestion: {self.status}"
        return range_test.range_test(
            self.learning_rates,
            self.losses,
            self.smoothed,
            self.suggestions,
            limit=self.max_stable_lr if self.losses else None,
            title=title,
            ax=ax,
        )

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write a line for each step: step, learning rate, loss, smoothed loss.

        Args:
            path: the file to write; it is replaced in one step.

        Returns:
            The path written.

        Raises:
            OSError: if the folder does not exist or cannot be written to.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", "learning_rate", "loss", "smoothed_loss"])
        columns = zip(self.learning_rates, self.losses, self.smoothed, strict=True)
        writer.writerows([step, *row] for step, row in enumerate(columns, 1))
        return write_whole(path, text.getvalue())

    def __repr__(self) -> str:
        found = ", ".join(f"{name} {rate:.3g}" for name, rate in self.suggestions.items())
        return f"RangeTest({len(self.losses)} steps, {found or self.status})"

    def _repr_html_(self) -> str:
        rows = [("steps", str(len(self.losses))), ("status", self.status)]
        rows += [(name, f"{rate:.3g}") for name, rate in self.suggestions.items()]
        cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{v}</td></tr>" for k, v in rows)
        return f"<table>{cells}</table><p>{html.escape(self.summary)}</p>"


def lr_range_test(
    model: Model,
    data: Iterable[Sample],
    *,
    loss: losses.Loss = losses.squared_error,
    reduction: Reduction = "sum",
    optimizer: Optimizer | None = None,
    lr_min: float = 1e-5,
    lr_max: float = 10.0,
    steps: int = 100,
    batch_size: int | None = None,
    seed: int | None = None,
    smoothing: float | None = None,
    stop_factor: float = 4.0,
    clip_norm: float | None = None,
    engine: Engine = "auto",
    mode: Mode = "default",
    progress: bool = False,
) -> RangeTest:
    """Find learning rates: train a copy of the model while the rate grows, and record the loss.

    At step k = 0, 1, ..., steps - 1 the rate is lr_min**(1 - t) lr_max**t with
    t = k / (steps - 1): the ratio of successive rates is constant. The test stops early if the
    smoothed loss exceeds `stop_factor` times the lowest smoothed loss so far, or a loss or gradient
    is not finite. The model, the optimiser and the state of Python's `random` are not changed,
    also if an error is raised.

    Args:
        model: the model; a copy of it is trained.
        data: the samples, see `train`.
        loss: a function (prediction, target) of one sample, see `talweg.losses`.
        reduction: "sum" or "mean" over the samples of a batch, as for the training to come: the
            suitable rates differ.
        optimizer: the rule of the update; SGD unless given. Its rate is replaced, and it starts
            from its initial state, as in `train`.
        lr_min: the first rate, above 0.
        lr_max: the rate of the last step, above lr_min.
        steps: the number of updates from lr_min to lr_max; at least 10, and at least three times
            as many as the moving average needs: 27 with a smoothing of 0.8.
        batch_size: the number of samples of a step; None for all of them.
        seed: the seed of the shuffling; None for Python's global `random`.
        smoothing: the weight of the moving average in its next value, from 0 up to but not
            including 1. None means 0 with all samples in a step, and 0.8 with smaller batches,
            whose losses are noisy.
        stop_factor: the multiple of the lowest smoothed loss above which the test stops, above 1.
        clip_norm: see `train`.
        engine: see `train`; rates and rules do not depend on it.
        mode: see `train`.
        progress: show a progress bar if the output is a terminal.

    Returns:
        The `RangeTest`; after Ctrl-C that of the steps so far.

    Raises:
        ArgumentError: if a setting is not valid, the model cannot be copied, or the loss reads the
            model's own parameters, which the copy does not have.
        DataError: if there are no samples.
        ShapeError: if a sample does not fit the model or the loss.
        NativeError: if `engine` is "native" and native code is not possible.

    Source: Smith, Cyclical learning rates, arXiv 1506.01186, section 3.3, with rates that grow
    exponentially, not linearly.

    Example:
        >>> from talweg import MLP, lesson_data
        >>> model = MLP(3, [4, 4, 1], rng=random.Random(42))
        >>> test = lr_range_test(model, lesson_data())
        >>> test.status, {name: round(rate, 3) for name, rate in test.suggestions.items()}
        ('found', {'steepest': 0.033, 'minimum / 10': 0.015, 'valley': 0.006})
    """
    if smoothing is None:
        smoothing = 0.0 if batch_size is None else 0.8
    _refuse_bad_settings(lr_min, lr_max, steps, smoothing, stop_factor)
    samples = list(data) if isinstance(data, Iterable) else data  # train raises the error
    random_state = random.getstate()
    try:
        copied, start = _copy(model, "model"), _copy(model, "model")
        _refuse_shared_parameters(model, copied, loss, samples)
        random.setstate(random_state)
        rates = geometric(float(lr_min), float(lr_max), int(steps))
        growing = _copy(SGD(lr=0.0) if optimizer is None else optimizer, "optimizer")
        if isinstance(growing, Optimizer):  # else train raises the error
            growing.lr = rates.__getitem__
        history = train(
            copied,
            samples,
            loss=loss,
            reduction=reduction,
            optimizer=growing,
            steps=steps,
            batch_size=batch_size,
            seed=seed,
            engine=engine,
            mode=mode,
            clip_norm=clip_norm,
            callbacks=[_StopWhenTooHigh(smoothing, stop_factor)],
            progress=progress,
        )
    finally:
        random.setstate(random_state)
    found = _result(history, smoothing, steps, stop_factor)
    chosen = growing if isinstance(growing, Optimizer) else SGD(lr=0.0)
    return replace(
        found,
        limit_of=lambda: limit_at_start(
            lambda: start, samples, loss=loss, reduction=reduction, optimizer=chosen
        ),
    )


def _result(history: History, smoothing: float, steps: int, stop_factor: float) -> RangeTest:
    """The result, from the history of the copy's training."""
    rates, recorded = history.learning_rates, history.losses
    smoothed = smooth(recorded, smoothing)
    stopped = history.status in ("stopped early", "diverged")
    kind: Status = "interrupted"
    if history.status != "interrupted":
        kind = range_rules.status(recorded, smoothed, smoothing, steps, stopped)
    found = range_rules.suggestions(rates, smoothed, smoothing) if kind == "found" else {}
    ending = ""
    if history.status == "diverged" and math.isfinite(recorded[-1]):
        ending = f"a gradient or an update was not finite at {rates[-1]:.3g}"
    elif history.status == "diverged":
        ending = f"the loss was {recorded[-1]:g} at {rates[-1]:.3g}"
    elif stopped:
        ending = f"the loss rose over {stop_factor:g} times its lowest at {rates[-1]:.3g}"
    summary = partial(range_rules.summary, kind, rates, smoothed, smoothing, found, ending)
    return RangeTest(rates, recorded, smoothed, found, kind, summary(), summary_of=summary)


class _StopWhenTooHigh:
    """The callback that stops the test when the smoothed loss is too high."""

    def __init__(self, smoothing: float, stop_factor: float) -> None:
        self.average = ExponentialMovingAverage(smoothing)
        self.skipped = warm_up_steps(smoothing)
        self.stop_factor = stop_factor
        self.best = math.inf

    def __call__(self, step: Step) -> bool:
        smoothed = self.average.add(step.loss)
        if step.number <= self.skipped:
            return False
        self.best = min(self.best, smoothed)
        return too_high(smoothed, self.best, self.stop_factor)


def geometric(first: float, last: float, count: int) -> list[float]:
    """Rates with a constant ratio; the ends are exact, and no intermediate result overflows.

    Args:
        first: the first rate, above 0.
        last: the last rate, above 0.
        count: the number of rates, at least 2.

    >>> geometric(1.0, 4.0, 3)
    [1.0, 2.0, 4.0]
    """
    fractions = [k / (count - 1) for k in range(count)]
    return [math.pow(first, 1.0 - t) * math.pow(last, t) for t in fractions]


def _copy(thing: T, what: str) -> T:
    try:
        return deepcopy(thing)
    except Exception as error:  # any error: a class of the user may hold a lock or a file
        raise ArgumentError(
            f"the test trains a copy of the {what}, but {type(thing).__name__} cannot be copied: "
            f"{type(error).__name__}: {error}; give it a __deepcopy__ method"
        ) from None


def _refuse_shared_parameters(
    model: Model, copied: Model, loss: losses.Loss, samples: list[Sample]
) -> None:
    """Refuse a copy or a loss that uses the parameters of the model itself."""
    own = set(parameters_of(model))
    if own.intersection(parameters_of(copied)):
        raise ArgumentError(
            f"a copy of {type(model).__name__} has the same Values as the model, so the test "
            "would change them; keep parameters as attributes of an object, not in a function"
        )
    try:
        x, y = samples[0]
        part = loss(deepcopy(copied)(x), y)
    except Exception:  # train raises the same error
        return
    nodes = inner_nodes(part) if isinstance(part, Value) else []
    if any(own.intersection(node._prev) for node in nodes):
        raise ArgumentError(
            "the loss or the model reads the original's parameters, which the test's copy "
            "does not have; compute the loss from the prediction and the target alone "
            "(weight_decay of the optimiser is a penalty on weights)"
        )


def _refuse_bad_settings(
    lr_min: float, lr_max: float, steps: int, smoothing: float, stop_factor: float
) -> None:
    for name, rate in (("lr_min", lr_min), ("lr_max", lr_max)):
        if not (_is_number(rate) and rate > 0.0):
            raise ArgumentError(argument=name, expected="a finite number above 0", got=rate)
    if not lr_min < lr_max:
        raise ArgumentError(
            argument="lr_min", expected=f"below the last rate, {lr_max!r}", got=lr_min
        )
    if not (_is_number(smoothing) and 0.0 <= smoothing < 1.0):
        raise ArgumentError(f"smoothing must be at least 0 and below 1, got {smoothing!r}")
    fewest = max(10, 3 * (warm_up_steps(smoothing) + 1))
    if not _is_integer(steps) or steps < fewest:
        raise ArgumentError(
            argument="steps",
            expected=f"an integer of at least {fewest} at a smoothing of {smoothing:g}",
            got=steps,
        )
    if not (_is_number(stop_factor) and stop_factor > 1.0):
        raise ArgumentError(f"stop_factor must be a finite number above 1, got {stop_factor!r}")


def _is_integer(x: object) -> bool:
    return isinstance(x, Integral)


def _is_number(x: object) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)
