"""Training: forward, loss, backward, update, and a record of it.

`train` is the lesson's loop with everything around it that people ask for. Start reading
at `train`; the loop's body is in `talweg.eager_run`, and once more in `talweg.native_run`,
where many steps are one call of native code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Integral
from typing import Any, Literal, TypeAlias

from talweg import losses
from talweg.backward import inner_nodes
from talweg.eager_run import Batch, EagerRun, Model, Sample
from talweg.errors import ArgumentError, DataError, NativeError, ShapeError, TalwegError
from talweg.history import History
from talweg.optim import SGD, Optimizer
from talweg.progress import progress_bar
from talweg.value import Value
from talweg.watch import EarlyStopping, Watch

Metric: TypeAlias = Callable[[Any, Iterable[Sample]], float]
Engine: TypeAlias = Literal["auto", "eager", "native"]
Mode: TypeAlias = Literal["default", "exact"]


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
    mode: Mode = "default",
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
        engine: "eager", "native" for machine code, or "auto" for native code where that can
            run the model and the run is long enough to be worth compiling. It is the same
            training by either; `history.engine` says which it was.
        mode: what native code promises. "default": numbers that agree to rounding errors, as
            fast as possible. "exact": the same bits as the eager engine.
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
        NativeError: if native code is asked for, and is not possible.

    Example:
        >>> import random
        >>> from talweg import MLP, lesson_data
        >>> model = MLP(3, [4, 4, 1], rng=random.Random(42))
        >>> history = train(model, lesson_data(), steps=50)
        >>> round(history.losses[0], 6), round(history.losses[-1], 6)
        (5.278844, 0.028227)
    """
    _check(loss=loss, reduction=reduction, optimizer=optimizer, steps=steps, seed=seed)
    _check(batch_size=batch_size, engine=engine, mode=mode, early_stopping=early_stopping)
    _check(clip_norm=clip_norm, metrics=metrics, callbacks=callbacks)
    samples = _samples(data, "data")
    watched = None if validation is None else _samples(validation, "validation")
    run = _run(
        engine,
        mode,
        batch_size,
        steps * (batch_size or len(samples)),
        model=model,
        samples=samples,
        loss=loss,
        mean=reduction == "mean",
        optimizer=optimizer or SGD(lr=0.05),
        clip_norm=clip_norm,
    )
    pass_length = -(-len(samples) // batch_size) if batch_size else 1
    batches = _batches(len(samples), batch_size, random if seed is None else random.Random(seed))
    watch = Watch(run, samples, watched, metrics or {}, early_stopping)
    history = run.history
    history.metrics = {name: [] for name in watch.metrics}
    try:
        with progress_bar(steps, progress) as show:
            while history.steps < steps and history.status == "running":
                if history.steps % pass_length == 0 and watch.says_stop():
                    break
                most = steps - history.steps
                if callbacks:
                    most = 1
                elif watch.is_watching:
                    most = min(most, pass_length - history.steps % pass_length)
                run.take(list(islice(batches, run.steps_at_once(most))))
                show(history.steps, history.losses[-1])
                told = Step(history.steps, history.losses[-1], model, history)
                answers = [callback(told) for callback in callbacks]
                if any(answers):
                    run.end("stopped early", f"a callback stopped the run at step {told.number}")
            if history.status != "diverged":
                watch.look()
    except KeyboardInterrupt:
        history.drop_half_a_step()
        run.end("interrupted", f"interrupted after {history.steps} of {steps} steps")
    run.end("finished", f"finished {steps} steps; {_fall(history, batch_size is not None)}")
    watch.restore_best()
    return history


_WORTH_COMPILING = 100_000
"""Runs of fewer operations than this are over before they would have been compiled."""


def _run(
    engine: Engine, mode: Mode, batch_size: int | None, samples_in_all: int, **settings: Any
) -> EagerRun:
    """A run by the engine asked for; if that is "auto", by native code where it can and pays."""
    run = EagerRun(**settings)
    if engine == "eager":
        return run
    if engine == "auto" and samples_in_all * _operations(run) < _WORTH_COMPILING:
        run.history.why_eager = "the run is too short to be worth compiling"
        return run
    from talweg.native_run import NativeRun  # loads NumPy and LLVM, which eager runs do without

    drawn = random.getstate()  # a model that draws numbers is not to notice that it was tried
    try:
        return NativeRun(**settings, mode=mode, batch_size=batch_size)
    except NativeError as reason:
        if engine == "native":
            raise NativeError(f'engine="native" is not possible: {reason}') from None
        run.history.why_eager = str(reason)
        return run
    finally:
        random.setstate(drawn)


def _operations(run: EagerRun) -> int:
    """How many operations the loss of the first sample takes; 0 if it has none."""
    drawn = random.getstate()
    try:
        x, y = run.samples[0]
        part = run.loss(run.model(x), y)
    except Exception:  # whatever it is, the run itself will meet it again, and report it
        return 0
    finally:
        random.setstate(drawn)
    return len(inner_nodes(part)) if isinstance(part, Value) else 0


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


def _batches(count: int, batch_size: int | None, rng: Any) -> Iterator[Batch]:
    """Batches without end, pass after pass, as the numbers of their samples."""
    while True:
        if batch_size is None:
            yield None
            continue
        order = list(range(count))
        rng.shuffle(order)
        for i in range(0, count, batch_size):
            yield order[i : i + batch_size]


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
