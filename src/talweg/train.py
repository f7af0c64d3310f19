"""Training: forward, loss, backward, update, and a record of it.

`train` is the lesson's loop with everything around it that people ask for. Start reading
at `train`, then `_Run.step`, which is the loop's body.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, Protocol, TypeAlias

from talweg import losses, ops
from talweg.errors import ArgumentError, DataError, ShapeError, TalwegError
from talweg.history import History, Status
from talweg.optim import SGD, Optimizer
from talweg.progress import progress_bar
from talweg.schedules import rate_at
from talweg.value import Value
from talweg.watch import EarlyStopping, Watch

Sample: TypeAlias = tuple[Sequence[float], Any]
Metric: TypeAlias = Callable[[Any, Iterable[Sample]], float]
Engine: TypeAlias = Literal["auto", "eager"]


class Model(Protocol):
    """What `train` asks of a model: to be called on inputs, and to name its parameters."""

    def __call__(self, x: Sequence[float], /) -> Any:
        """The prediction for one sample."""

    def parameters(self) -> Sequence[Value]:
        """All Values that training may change, in a fixed order."""


@dataclass(frozen=True)
class Step:
    """What a callback is told after each step.

    Attributes:
        number: the step, 1 for the first.
        loss: the training loss before its update.
        model: the model, after the update.
        history: the record so far, this step included.
    """

    number: int
    loss: float
    model: Model
    history: History


def train(
    model: Model,
    data: Iterable[Sample],
    *,
    loss: losses.Loss = losses.squared_error,
    reduction: Literal["sum", "mean"] = "sum",
    optimizer: Optimizer | None = None,
    steps: int = 50,
    batch_size: int | None = None,
    seed: int | None = None,
    engine: Engine = "auto",
    validation: Iterable[Sample] | None = None,
    early_stopping: EarlyStopping | None = None,
    clip_norm: float | None = None,
    metrics: dict[str, Metric] | None = None,
    callbacks: Sequence[Callable[[Step], bool | None]] = (),
    progress: bool = False,
) -> History:
    """Train a model by gradient descent: forward, loss, backward, update.

    Each step takes the samples of one batch, adds up their losses (`reduction="sum"`, the
    lesson's way) or takes the mean, and moves every parameter once. The model is changed in
    place. A loss or gradient that becomes inf or nan ends the run with a verdict, not with
    an exception; Ctrl-C ends it too, and the history so far is returned.

    Args:
        model: anything with `parameters()` that can be called on a sample's inputs.
        data: the samples, a `Dataset` or pairs (inputs, target).
        loss: a function (prediction, target) of one sample, see `talweg.losses`.
        reduction: "sum" or "mean" over the samples of a batch.
        optimizer: how parameters move; SGD(lr=0.05) unless given. Its state is not kept
            between runs.
        steps: how many updates to make.
        batch_size: how many samples a step takes; None for all of them. Each pass over the
            data is shuffled anew; the last batch of a pass may be smaller.
        seed: where shuffling starts; None for Python's own `random`. Full batches are not
            shuffled and need none.
        engine: "eager", or "auto" for the fastest that there is.
        validation: samples that are only looked at: their loss is recorded before each pass
            over the data, and after the last update.
        early_stopping: when to stop before `steps`.
        clip_norm: scale the gradient down to this length (over all parameters) if longer.
        metrics: numbers to record with the validation loss, by name: functions of (model,
            samples), see `talweg.metrics`. They see the validation data if there are any.
        callbacks: functions called with a `Step` after each step; one that returns True
            ends the run.
        progress: show a progress bar if this is a terminal.

    Returns:
        The `History`; `history.verdict` says in words how the run ended.

    Raises:
        ArgumentError: if a setting makes no sense.
        DataError: if there are no samples.
        ShapeError: if a sample does not fit the model or the loss.

    Example:
        >>> import random
        >>> from talweg import MLP, lesson_data
        >>> model = MLP(3, [4, 4, 1], rng=random.Random(42))
        >>> history = train(model, lesson_data(), steps=50)
        >>> round(history.losses[0], 6), round(history.losses[-1], 6)
        (5.278844, 0.028227)
    """
    _check(loss=loss, reduction=reduction, optimizer=optimizer, steps=steps, seed=seed)
    _check(batch_size=batch_size, engine=engine, early_stopping=early_stopping)
    _check(clip_norm=clip_norm, metrics=metrics, callbacks=callbacks)
    samples = _samples(data, "data")
    watched = None if validation is None else _samples(validation, "validation")
    run = _Run(
        model=model,
        loss=loss,
        mean=reduction == "mean",
        optimizer=optimizer or SGD(lr=0.05),
        clip_norm=clip_norm,
    )
    pass_length = -(-len(samples) // batch_size) if batch_size else 1
    batches = _batches(samples, batch_size, random if seed is None else random.Random(seed))
    watch = Watch(run, samples, watched, metrics or {}, early_stopping)
    history = run.history
    history.metrics = {name: [] for name in watch.metrics}
    try:
        with progress_bar(steps, progress) as show:
            for number, batch in zip(range(1, steps + 1), batches, strict=False):
                if (number - 1) % pass_length == 0 and watch.says_stop():
                    break
                run.step(batch)
                show(number, history.losses[-1])
                told = Step(number, history.losses[-1], model, history)
                answers = [callback(told) for callback in callbacks]
                if any(answers):
                    run.end("stopped early", f"a callback stopped the run at step {number}")
                if history.status != "running":
                    break
            if history.status != "diverged":
                watch.look()
    except KeyboardInterrupt:
        history.drop_half_a_step()
        run.end("interrupted", f"interrupted after {history.steps} of {steps} steps")
    run.end("finished", f"finished {steps} steps; {_fall(history, batch_size is not None)}")
    watch.restore_best()
    return history


class _Run:
    """The state of a training run: the parameters, what the optimiser remembers, the record."""

    def __init__(
        self,
        model: Model,
        loss: losses.Loss,
        mean: bool,
        optimizer: Optimizer,
        clip_norm: float | None,
    ) -> None:
        self.model = model
        self.loss = loss
        self.mean = mean
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.parameters = _parameters_of(model)
        self.states = [optimizer.initial_state() for _ in self.parameters]
        self.history = History()
        self.start = time.perf_counter()

    def step(self, batch: Sequence[Sample]) -> None:
        """Forward, loss, backward, update."""
        number = self.history.steps + 1
        loss = self.loss_and_gradient(batch)
        gradient = [p.grad for p in self.parameters]
        lr = rate_at(self.optimizer.lr, number - 1)
        now = zip(self.parameters, self.clipped(gradient), self.states, strict=True)
        moved = [self.optimizer.update(p.data, g, state, lr, float(number)) for p, g, state in now]
        numbers = [number for number, _ in moved]
        if all(map(math.isfinite, [loss, *gradient, *numbers])):
            self.assign(numbers)
            self.states = [state for _, state in moved]
        else:
            self.end("diverged", self.why_diverged(number, loss))
        self.history.learning_rates.append(lr)
        self.history.seconds.append(time.perf_counter() - self.start)
        self.history.losses.append(loss)

    def loss_and_gradient(self, batch: Sequence[Sample]) -> float:
        """The loss of a batch; its gradient is left in the parameters.

        Each sample has a graph of its own, so that memory does not grow with the batch.
        They go backward from the last to the first, which is the order in which one graph
        of the whole batch would: the gradients are the same to the last bit.
        """
        weight = 1.0 / len(batch) if self.mean else 1.0
        for p in self.parameters:
            p.grad = 0.0
        parts = []
        for x, y in reversed(batch):
            part = self.loss(self.model(x), y)
            if not isinstance(part, Value):
                raise ArgumentError(
                    f"the loss of a sample is the bare number {part!r}, so nothing can be learnt "
                    "from it; compute it from the model's Values without reading .data"
                )
            parts.append(part.data)
            (part * weight).backward()
        total: float = losses.add_up(reversed(parts))
        return total * weight

    def mean_loss(self, samples: Sequence[Sample]) -> float:
        """The loss of samples that are only looked at, reduced as in training."""
        total: float = losses.add_up(ops.to_float(self.loss(self.model(x), y)) for x, y in samples)
        return total / len(samples) if self.mean else total

    def clipped(self, gradient: list[float]) -> list[float]:
        """The gradient, scaled down to `clip_norm` if it is longer."""
        if self.clip_norm is None:
            return gradient
        length = math.hypot(*gradient)
        if length <= self.clip_norm:
            return gradient
        return [g * (self.clip_norm / length) for g in gradient]

    def assign(self, numbers: Sequence[float]) -> None:
        """Set all parameters; a Ctrl-C in between does not leave half of them old."""
        try:
            for p, x in zip(self.parameters, numbers, strict=True):
                p.data = x
        except KeyboardInterrupt:
            self.assign(numbers)
            raise

    def why_diverged(self, number: int, loss: float) -> str:
        """One sentence: the step, what became of the loss, the largest gradient, what to try."""
        sizes = [(math.inf if math.isnan(p.grad) else abs(p.grad)) for p in self.parameters]
        largest = max(range(len(sizes)), key=sizes.__getitem__)
        before = f" after {self.history.losses[-1]:.6g}" if self.history.losses else ""
        overflows = math.isfinite(loss) and math.isfinite(sizes[largest])
        return (
            f"diverged at step {number}: the loss is {loss:.6g}{before}, the largest gradient "
            f"{self.parameters[largest].grad:.6g} ({self.name_of(largest)})"
            f"{', and the update is not finite' if overflows else ''}; "
            "try a smaller learning rate or clip_norm"
        )

    def name_of(self, index: int) -> str:
        """The name of a parameter, or its number in a model without names."""
        named = getattr(self.model, "named_parameters", None)
        return list(named())[index][0] if named else f"parameter {index}"

    def end(self, status: Status, verdict: str) -> None:
        """Note how the run ended, unless it had ended already."""
        if self.history.status == "running":
            self.history.status, self.history.verdict = status, verdict


def _samples(data: Iterable[Sample], what: str) -> list[Sample]:
    try:
        samples = [(x, y) for x, y in data]
    except TalwegError:
        raise  # from a generator of the user's, which has said already what is wrong
    except (TypeError, ValueError):
        raise ShapeError(
            f"{what} must be a Dataset or pairs (inputs, target); for two lists use "
            "tw.Dataset(inputs, targets)"
        ) from None
    if not samples:
        raise DataError(f"{what} has no samples")
    return samples


def _batches(samples: list[Sample], batch_size: int | None, rng: Any) -> Iterator[Sequence[Sample]]:
    """Batches without end, pass after pass."""
    while True:
        if batch_size is None:
            yield samples
            continue
        order = list(range(len(samples)))
        rng.shuffle(order)
        for i in range(0, len(order), batch_size):
            yield [samples[j] for j in order[i : i + batch_size]]


def _parameters_of(model: Model) -> list[Value]:
    method = getattr(model, "parameters", None)
    parameters = list(method()) if callable(method) else []
    if not parameters or not callable(model) or not all(isinstance(p, Value) for p in parameters):
        raise ArgumentError(
            "the model must be callable and have parameters(), which returns a list of Values, "
            f"got {model!r}"
        )
    return parameters


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "loss": ("a function such as tw.losses.squared_error", callable),
    "reduction": ('"sum" or "mean"', lambda x: x in ("sum", "mean")),
    "optimizer": (
        "None or an optimiser such as tw.Adam(lr=0.01)",
        lambda x: x is None or isinstance(x, Optimizer),
    ),
    "steps": ("a whole number of at least 0", lambda x: isinstance(x, Integral) and int(x) >= 0),
    "batch_size": (
        "None or a whole number of at least 1",
        lambda x: x is None or (isinstance(x, Integral) and int(x) >= 1),
    ),
    "seed": ("None or a whole number", lambda x: x is None or isinstance(x, Integral)),
    "engine": ('"auto" or "eager" in this version', lambda x: x in ("auto", "eager")),
    "early_stopping": (
        "None or an object such as tw.EarlyStopping(patience=10)",
        lambda x: x is None or isinstance(x, EarlyStopping),
    ),
    "clip_norm": (
        "None or a number above 0",
        lambda x: x is None or (isinstance(x, (int, float)) and x > 0.0),
    ),
    "metrics": (
        'None or functions by name such as {"accuracy": tw.metrics.accuracy}',
        lambda x: x is None or (isinstance(x, dict) and all(map(callable, x.values()))),
    ),
    "callbacks": (
        "a list of functions",
        lambda x: isinstance(x, (list, tuple)) and all(map(callable, x)),
    ),
}
"""For each setting of `train`: what it must be, in words and as a test."""


def _check(**settings: Any) -> None:
    """Refuse settings that make no sense, before anything is changed."""
    for name, setting in settings.items():
        expected, holds = _RULES[name]
        if not holds(setting):
            raise ArgumentError(f"{name} must be {expected}, got {setting!r}")


def _fall(history: History, batches: bool) -> str:
    """How far the loss fell; by the validation loss if each training loss is of another batch."""
    if not history.losses:
        return "no step was made"
    which, curve = "the loss", history.losses
    if batches and history.validation_losses:
        which, curve = "the validation loss", [loss for _, loss in history.validation_losses]
    elif batches:
        return f"the loss was {curve[0]:.6g} on the first batch and {curve[-1]:.6g} on the last"
    return f"{which} went from {curve[0]:.6g} to {curve[-1]:.6g}"
