"""train and minimize: training by gradient descent.

`train` fits a model to samples with a loss function, `minimize` minimises any scalar program over
examples. Both check their arguments and make an `Objective`; the loop is in
`talweg.training.loop`. Start reading at `train`.
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

    With parameters w, inputs x_i and targets t_i a step computes the loss of a batch B,
    L(w) = sum over i in B of loss(model(x_i), t_i) (`reduction="sum"`, as in the lesson), or its
    mean, and the optimiser updates w by the gradient of L. The model is changed in place. A run
    whose loss, gradient or update becomes inf or nan stops, without an exception: the status in
    its history is "diverged", and the model has the weights before that step. Ctrl-C stops a run
    too, and the history so far is returned.

    Args:
        model: an object with `parameters()` that can be called on the inputs of a sample.
        data: the samples, a `Dataset` or pairs (inputs, target).
        loss: a function (prediction, target) of one sample, see `talweg.losses`.
        reduction: "sum" or "mean" over the samples of a batch.
        optimizer: the update of the parameters; by default SGD(lr=0.05). Each run starts with
            a new state.
        steps: the number of updates, at least 0.
        batch_size: the number of samples of a step; None for all of them. Each pass over the
            data is shuffled anew; the last batch of a pass may be smaller.
        seed: the seed of the shuffling; None for Python's own `random`. It has no effect
            without batches.
        engine: "eager" for Python, "native" for machine code, or "auto" for machine code if the
            model can be compiled and the run is long enough to be worth compiling. The engine in
            use is in `history.engine`.
        mode: the accuracy of native code. "default": results agree with those of the eager engine
            up to rounding errors. "exact": they are equal to the last bit; this is slower.
        threads: the number of threads that native code uses for a batch of 2,048 samples or more;
            None for one for each core. It does not change a bit of the result. Exact mode uses
            one thread.
        validation: samples that are not trained on. Their loss is recorded before each pass
            over the data, and after the last update.
        early_stopping: when to stop before `steps`; None for never.
        clip_norm: the largest Euclidean length of the gradient over all parameters; a longer one
            is scaled to it. None for no limit.
        metrics: functions (model, samples) by name, see `talweg.metrics`. Their results for the
            validation data, or else the training data, are recorded with the validation loss.
        callbacks: functions that are called with a `Step` after each step. If one returns True,
            the run stops.
        progress: whether to show a progress bar, if standard error is a terminal. Traces and
            compilations of more than a second are named too.

    Returns:
        The record of the run; `history.verdict` describes how it ended.

    Raises:
        ArgumentError: if a setting is not valid.
        DataError: if there are no samples.
        ShapeError: if a sample does not fit the model or the loss.
        NativeError: with engine="native", if the run cannot be compiled.

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
    settings = Settings.among(locals())
    samples = samples_of(data, "data")
    validation_samples = None if validation is None else samples_of(validation, "validation")

    def loss_of(sample: Sample) -> Any:
        return loss(model(sample[0]), sample[1])

    loss_of.__name__ = "the loss"  # messages about it have this name
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
    """Minimise a scalar program over examples by gradient descent.

    The objective is the sum over examples e of f(model, e), or its mean. `train` is the case
    f(model, (x, t)) = loss(model(x), t). An example is any structure of numbers, lists, tuples,
    dictionaries and text. Examples may differ in shape: native code compiles f once for each
    shape. The shape of an example is its structure, its text, and its integers, except integers
    that are used only as an index of an `Embedding` or of `gather`.

    Args:
        f: the loss of one example, a function (model, example) that returns a Value.
        model: an object with `parameters()`, which are changed; or a list or dictionary of such
            objects and of Values.
        examples: at least one.
        reduction: "sum" or "mean" over the examples of a batch.
        optimizer: the update of the parameters; by default SGD(lr=0.05).
        steps: the number of updates, at least 0.
        batch_size: the number of examples of a step, shuffled anew in each pass; None for all of
            them. Native code takes examples of up to 16 shapes in a batch, and of any number with
            `batch_size=1`.
        seed: the seed of the shuffling; None for Python's own `random`.
        engine: see `train`.
        mode: see `train`.
        threads: see `train`.
        clip_norm: see `train`.
        callbacks: see `train`.
        progress: see `train`.

    Returns:
        The record of the run; `history.verdict` describes how it ended.

    Raises:
        ArgumentError: if a setting is not valid.
        DataError: if there are no examples.
        NativeError: with engine="native", if the run cannot be compiled.

    Warns:
        TraceWarning: at the 9th shape of examples and at some later ones, with what differs: each
            shape is traced and compiled.

    Example:
        >>> from talweg import Value, Module
        >>> class Spring(Module):
        ...     def __init__(self):
        ...         self.stiffness = Value(1.0)
        ...     def named_parameters(self):
        ...         yield "stiffness", self.stiffness
        >>> def squared_residual(spring, observation):
        ...     return (spring.stiffness * observation["length"] - observation["force"]) ** 2
        >>> spring = Spring()
        >>> observations = [{"length": 1.0, "force": 2.9}, {"length": 2.0, "force": 6.1}]
        >>> history = minimize(squared_residual, spring, observations, steps=100)
        >>> round(spring.stiffness.data, 4)
        3.02
    """
    if not callable(f):
        raise ArgumentError(f"f must be a function (model, example), got {f!r}")
    settings = Settings.among(locals())
    given = list(examples)
    if not given:
        raise DataError("there are no examples")

    def loss_of(example: Any) -> Any:
        return f(model, example)

    loss_of.__name__ = getattr(f, "__name__", "f")
    objective = Objective(model, loss_of, given, mean=reduction == "mean")
    return run_training(objective, settings)


def samples_of(data: Iterable[Sample], what: str) -> list[Sample]:
    """The samples of a data set or of pairs, as a list.

    Args:
        data: the data set or the pairs (inputs, target).
        what: their name in messages.

    Raises:
        DataError: if there are none.
        ShapeError: if they are not pairs.
    """
    try:
        samples = [(x, y) for x, y in data]
    except TalwegError:
        raise  # the error of a generator that the user wrote, such as a reader of a file
    except (TypeError, ValueError):
        raise ShapeError(
            f"{what} must be a Dataset or pairs (inputs, target); for two lists use "
            "tw.Dataset(inputs, targets)"
        ) from None
    if not samples:
        raise DataError(f"{what} has no samples")
    return samples
