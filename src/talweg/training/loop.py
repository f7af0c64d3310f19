"""The loop around every training run: batches, slices, progress, callbacks, when to stop.

`train` and `minimize` say what the loss of an example is; what happens to it is here. The steps
themselves are taken by a run: `training/eager_executor.py`, or `training/native_executor.py`,
where many of them are one call of native code. Start reading at `descend`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from numbers import Integral
from typing import Any, Literal, TypeAlias

from talweg._util.progress import progress_bar
from talweg.autodiff.backward import inner_nodes
from talweg.errors import ArgumentError, NativeError
from talweg.optim import SGD, Optimizer
from talweg.training.eager_executor import Batch, EagerExecutor, Model
from talweg.training.early_stopping import EarlyStopping, Watch
from talweg.training.history import History
from talweg.value import Value

Metric: TypeAlias = Callable[[Any, Iterable[Any]], float]
Engine: TypeAlias = Literal["auto", "eager", "native"]
Mode: TypeAlias = Literal["default", "exact"]
Reduction: TypeAlias = Literal["sum", "mean"]


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


@dataclass(frozen=True)
class Settings:
    """What a user may ask of a training run; `talweg.train` says what each means.

    Raises:
        ArgumentError: if a setting makes no sense.
    """

    reduction: Reduction
    optimizer: Optimizer | None
    steps: int
    batch_size: int | None
    seed: int | None
    engine: Engine
    mode: Mode
    clip_norm: float | None
    callbacks: Sequence[Callable[[Step], bool | None]]
    progress: bool
    threads: int | None = None
    early_stopping: EarlyStopping | None = None
    metrics: dict[str, Metric] | None = None

    def __post_init__(self) -> None:
        for name, (expected, holds) in _RULES.items():
            setting = getattr(self, name)
            if not holds(setting):
                raise ArgumentError(argument=name, expected=expected, got=setting)


def descend(
    model: Model,
    f: Callable[[Any], Any],
    examples: Sequence[Any],
    settings: Settings,
    validation: Sequence[Any] | None = None,
    as_floats: bool = False,
) -> History:
    """Train a model on examples.

    Args:
        model: what is trained.
        f: the loss of one example.
        examples: at least one.
        settings: how.
        validation: examples that are only looked at.
        as_floats: whether whole numbers in examples are meant as numbers like others.

    Returns:
        The record of the run.
    """
    batch_size, steps = settings.batch_size, settings.steps
    run = _run(settings, model, f, examples, as_floats)
    pass_length = -(-len(examples) // batch_size) if batch_size else 1
    rng = random if settings.seed is None else random.Random(int(settings.seed))
    batches = batches_of(len(examples), batch_size, rng)
    watch = Watch(run, examples, validation, settings.metrics or {}, settings.early_stopping)
    history = run.history
    history.metrics = {name: [] for name in watch.metrics}
    try:
        with progress_bar(steps, settings.progress) as show:
            while history.steps < steps and history.status == "running":
                if history.steps % pass_length == 0 and watch.says_stop():
                    break
                most = steps - history.steps
                if settings.callbacks:
                    most = 1
                elif watch.is_watching:
                    most = min(most, pass_length - history.steps % pass_length)
                run.take(list(islice(batches, run.steps_at_once(most))))
                show(history.steps, history.losses[-1])
                told = Step(history.steps, history.losses[-1], model, history)
                answers = [callback(told) for callback in settings.callbacks]
                if any(answers):
                    run.end("stopped early", f"a callback stopped the run at step {told.number}")
            if history.status != "diverged":
                watch.look()
    except KeyboardInterrupt:
        history.drop_half_a_step()
        run.end("interrupted", f"interrupted after {history.steps} of {steps} steps")
    run.end("finished", f"finished {steps} steps; {fall(history, batch_size is not None)}")
    watch.restore_best()
    return history


WORTH_COMPILING = 100_000
"""Runs of fewer operations than this are over before they would have been compiled."""


def _run(
    settings: Settings,
    model: Model,
    f: Callable[[Any], Any],
    examples: Sequence[Any],
    as_floats: bool,
) -> EagerExecutor:
    """A run by the engine asked for; if that is "auto", by native code where it can and pays."""
    given: dict[str, Any] = {
        "model": model,
        "samples": examples,
        "f": f,
        "mean": settings.reduction == "mean",
        "optimizer": settings.optimizer or SGD(lr=0.05),
        "clip_norm": settings.clip_norm,
    }
    run = EagerExecutor(**given)
    if settings.engine == "eager":
        return run
    in_all = settings.steps * (settings.batch_size or len(examples))
    if settings.engine == "auto" and in_all * operations(run) < WORTH_COMPILING:
        run.history.fallback_reason = "the run is too short to be worth compiling"
        return run
    from talweg.training.native_executor import (
        NativeExecutor,  # loads NumPy and LLVM, which eager runs do without
    )

    drawn = random.getstate()  # a model that draws numbers is not to notice that it was tried
    try:
        return NativeExecutor(
            **given,
            mode=settings.mode,
            batch_size=settings.batch_size,
            as_floats=as_floats,
            threads=settings.threads,
        )
    except NativeError as reason:
        if settings.engine == "native":
            raise NativeError.not_possible(reason) from None
        run.history.fallback_reason = str(reason)
        return run
    finally:
        random.setstate(drawn)


def operations(run: EagerExecutor) -> int:
    """How many operations the loss of the first example takes; 0 if it has none."""
    drawn = random.getstate()
    try:
        part = run.f(run.samples[0])
    except Exception:  # whatever it is, the run itself will meet it again, and report it
        return 0
    finally:
        random.setstate(drawn)
    return len(inner_nodes(part)) if isinstance(part, Value) else 0


def batches_of(count: int, batch_size: int | None, rng: Any) -> Iterator[Batch]:
    """Batches without end, pass after pass, as the numbers of their samples; None is all."""
    if batch_size is None:
        return repeat(None)
    return _shuffled(count, batch_size, rng)


def _shuffled(count: int, batch_size: int, rng: Any) -> Iterator[Batch]:
    while True:
        order = list(range(count))
        rng.shuffle(order)
        for i in range(0, count, batch_size):
            yield order[i : i + batch_size]


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
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
    "threads": (
        "None or a whole number of at least 1",
        lambda x: x is None or (isinstance(x, Integral) and int(x) >= 1),
    ),
    "engine": ('"auto", "eager" or "native"', lambda x: x in ("auto", "eager", "native")),
    "mode": ('"default" or "exact"', lambda x: x in ("default", "exact")),
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


def fall(history: History, batches: bool) -> str:
    """How far the loss fell; by the validation loss if each training loss is of another batch."""
    if not history.losses:
        return "no step was made"
    which, curve = "the loss", history.losses
    if batches and history.validation_losses:
        which, curve = "the validation loss", [loss for _, loss in history.validation_losses]
    elif batches:
        return f"the loss was {curve[0]:.6g} on the first batch and {curve[-1]:.6g} on the last"
    return f"{which} went from {curve[0]:.6g} to {curve[-1]:.6g}"
