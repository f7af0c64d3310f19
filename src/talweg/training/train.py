"""Training: forward, loss, backward, update, and a record of it.

`train` is the lesson's loop with everything around it that people ask for, `minimize` the same
for any scalar program. Start reading at `train`; the loop itself is in `talweg.training.loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from talweg import losses
from talweg.errors import ArgumentError, DataError, ShapeError, TalwegError
from talweg.optim import Optimizer
from talweg.training.callbacks import Callback, Step
from talweg.training.early_stopping import EarlyStopping
from talweg.training.history import History
from talweg.training.loop import run_training
from talweg.training.objective import Model, Objective, Sample
from talweg.training.settings import Engine, Mode, Reduction, Settings
from talweg.training.validation import Metric

__all__ = ["Step", "minimize", "train"]


def train(
    model: Model,
    data: Iterable[Sample],
    *,
    loss: losses.Loss = losses.squared_error,
    reduction: Reduction = "sum",
    optimizer: Optimizer | None = None,
    steps: int = 50,
    batch_size: int | None = None,
    seed: int | None = None,
    engine: Engine = "auto",
    mode: Mode = "default",
    threads: int | None = None,
    validation: Iterable[Sample] | None = None,
    early_stopping: EarlyStopping | None = None,
    clip_norm: float | None = None,
    metrics: dict[str, Metric] | None = None,
    callbacks: Sequence[Callback] = (),
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
        threads: how many threads of native code may share a batch of 2,048 samples or more; None
            for one for each core. Their number does not change a bit of the result. In exact
            mode samples go one after the other, by one thread.
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
    if not callable(loss):
        raise ArgumentError(
            f"loss must be a function such as tw.losses.squared_error, got {loss!r}"
        )
    if not callable(model):
        raise ArgumentError(f"the model must be callable and have parameters(), got {model!r}")
    settings = Settings(
        reduction=reduction,
        optimizer=optimizer,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        engine=engine,
        mode=mode,
        threads=threads,
        clip_norm=clip_norm,
        callbacks=callbacks,
        progress=progress,
        early_stopping=early_stopping,
        metrics=metrics,
    )
    samples = samples_of(data, "data")
    validation_samples = None if validation is None else samples_of(validation, "validation")

    def loss_of(sample: Sample) -> Any:
        return loss(model(sample[0]), sample[1])

    objective = Objective(model, loss_of, samples, mean=reduction == "mean")
    return run_training(objective, settings, validation=validation_samples, as_floats=True)


def minimize(
    f: Callable[[Any, Any], Any],
    model: Any,
    examples: Iterable[Any],
    *,
    reduction: Reduction = "sum",
    optimizer: Optimizer | None = None,
    steps: int = 50,
    batch_size: int | None = None,
    seed: int | None = None,
    engine: Engine = "auto",
    mode: Mode = "default",
    threads: int | None = None,
    clip_norm: float | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
) -> History:
    """Minimise any scalar program over examples by gradient descent.

    `train` is this with f(model, (x, y)) = loss(model(x), y). Here an example may be anything
    made of numbers, lists, tuples, dictionaries and text, and examples may differ in shape:
    native code compiles f once for each shape. Whole numbers in an example that only pick a row
    of a `Table` or an entry by `pick` may differ without that; any other use of one, and all
    text, makes another shape.

    Args:
        f: the loss of one example, a function (model, example) of numbers that returns a Value.
        model: anything with `parameters()`, which are changed; or a list or dictionary of such
            things and of Values.
        examples: at least one.
        reduction: "sum" or "mean" over the examples of a batch.
        optimizer: how parameters move; SGD(lr=0.05) unless given.
        steps: how many updates to make.
        batch_size: how many examples a step takes, shuffled anew in each pass; None for all of
            them. Native code takes examples of several shapes one at a time: `batch_size=1`.
        seed: where shuffling starts; None for Python's own `random`.
        engine: see `train`.
        mode: see `train`.
        threads: see `train`.
        clip_norm: scale the gradient down to this length (over all parameters) if longer.
        callbacks: functions called with a `Step` after each step; one that returns True ends
            the run.
        progress: show a progress bar if this is a terminal.

    Returns:
        The `History`; `history.verdict` says in words how the run ended.

    Raises:
        ArgumentError: if a setting makes no sense.
        DataError: if there are no examples.
        NativeError: if native code is asked for, and is not possible.

    Example:
        >>> from talweg import Value, Module
        >>> class Spring(Module):
        ...     def __init__(self):
        ...         self.stiffness = Value(1.0)
        ...     def named_parameters(self):
        ...         yield "stiffness", self.stiffness
        >>> def misfit(spring, seen):
        ...     return (spring.stiffness * seen["length"] - seen["force"]) ** 2
        >>> spring = Spring()
        >>> seen = [{"length": 1.0, "force": 2.9}, {"length": 2.0, "force": 6.1}]
        >>> history = minimize(misfit, spring, seen, steps=100)
        >>> round(spring.stiffness.data, 4)
        3.02
    """
    if not callable(f):
        raise ArgumentError(f"f must be a function (model, example), got {f!r}")
    settings = Settings(
        reduction=reduction,
        optimizer=optimizer,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        engine=engine,
        mode=mode,
        threads=threads,
        clip_norm=clip_norm,
        callbacks=callbacks,
        progress=progress,
    )
    given = list(examples)
    if not given:
        raise DataError("there are no examples")
    objective = Objective(model, lambda example: f(model, example), given, mean=reduction == "mean")
    return run_training(objective, settings)


def samples_of(data: Iterable[Sample], what: str) -> list[Sample]:
    """The samples of a data set or a list of pairs; `what` names them in a message.

    Raises:
        DataError: if there are none.
        ShapeError: if they are no pairs.
    """
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
