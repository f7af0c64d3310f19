"""The trainability map: which settings train, over a plane of two of them.

`trainability_map` checks what it is given, describes it (so that a store is never mixed with that
of something else) and fills the points (`trainability/result.py`). What is trained at a point
is a `Plan`; `_computer` turns a plan into a function that computes points.

Source: Sohl-Dickstein, The boundary of neural network trainability is fractal, arXiv 2402.06184.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import fields
from typing import Any

from talweg import losses
from talweg._util.cpu_count import cores
from talweg.errors import ArgumentError, NativeError
from talweg.explore.tasks import completed
from talweg.explore.trainability.axes import LAYERED, Axis, Given, axis
from talweg.explore.trainability.mean_field import default_problem
from talweg.explore.trainability.point_runs import Plan
from talweg.explore.trainability.pyramid import Box, Frame, Pyramid, Task
from talweg.explore.trainability.refinement import Completed, one_by_one
from talweg.explore.trainability.result import TrainabilityMap, mapped
from talweg.optim import SGD, Optimizer
from talweg.training.eager_executor import Model, Sample
from talweg.training.loop import Engine, Mode, Reduction, Settings
from talweg.training.train import samples_of

RESOLUTIONS = (8, 16384)
"""The least and the most points along an axis."""


def trainability_map(
    make_model: Callable[[random.Random], Model] | None = None,
    data: Iterable[Sample] | None = None,
    x: Given = ("learning_rate[0]", 1e-3, 1e6),
    y: Given = ("learning_rate[1]", 1e-3, 1e6),
    *,
    resolution: int = 512,
    steps: int = 100,
    loss: losses.Loss = losses.squared_error,
    reduction: Reduction = "mean",
    optimizer: Optimizer | None = None,
    batch_size: int | None = None,
    seed: int = 42,
    engine: Engine = "auto",
    mode: Mode = "default",
    threads: int | None = None,
    executor: Any = None,
    store: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> TrainabilityMap:
    """Train one model at each point of a plane of two settings, and see which runs converge.

    All runs start from the same weights and see the same data. Point i of n along an axis is
    low + (high - low) i / n, on a logarithmic axis as a power of ten; a map of twice the
    resolution has all points of this one. The measure of a run is that of
    `talweg.explore.trainability.measure.convergence_measure`.

    Args:
        make_model: makes a model whose weights are drawn from the `random.Random` it gets. For
            settings of one layer it has `layers`, a list of things with `parameters()`. Without
            it, and without data, those of the published map (`trainability/mean_field.py`).
        data: the samples, see `train`.
        x: the setting along x: (name, low, high) or (name, low, high, "log" or "linear"). A name
            is "learning_rate", "initial_scale" (what the drawn weights are multiplied by), either
            of them of one layer as in "learning_rate[0]", or a number that the optimiser has,
            such as "momentum". Without a scale the axis is logarithmic where low is above 0 and
            high at least ten times as large.
        y: the setting along y, likewise.
        resolution: how many points along each axis, a power of two from 8 to 16384.
        steps: how many updates each run makes.
        loss: a function (prediction, target) of one sample, at least 0.
        reduction: "mean" (as published) or "sum" over the samples of a step.
        optimizer: how parameters move; SGD(lr=0.05) unless given. The axes replace its settings.
        batch_size: how many samples a step takes; None for all of them.
        seed: where the weights are drawn from, and the order of batches.
        engine: "native" for many runs at once in SIMD lanes or an error, "eager" for one by one
            by the eager engine, or "auto" for native code where that is possible; if not,
            `fallback_reason` of the map says why.
        mode: see `train`. A store of one mode is refused in the other: near the boundary a last
            bit decides.
        threads: how many threads share the runs; None for one for each core. It does not change
            a bit.
        executor: who does the work instead of threads here; see `sweep`.
        store: a folder for the points. A map of the same settings that is made again with it
            computes only what is missing: after Ctrl-C, at another resolution, for a zoom.
        progress: show a progress bar if this is a terminal.

    Returns:
        The `TrainabilityMap`; after Ctrl-C, of what was computed until then.

    Raises:
        ArgumentError: if a setting makes no sense, or the store is the map of something else.
        DataError: if there are no samples, or the store is damaged or no map.
        NativeError: if native code is asked for, and is not possible.
        OSError: if the store cannot be written.

    Source: Sohl-Dickstein, The boundary of neural network trainability is fractal,
    arXiv 2402.06184.

    Example:
        >>> trainability_map(resolution=16)
        TrainabilityMap(16 x 16 runs of 100 steps, 50 % converged)
    """
    level = _level_of(resolution)
    if make_model is None or data is None:
        if make_model is not None or data is not None:
            raise ArgumentError("give make_model and data, or neither for the published problem")
        make_model, data = default_problem()
    axes = axis(x, "x"), axis(y, "y")
    optimizer = SGD(lr=0.05) if optimizer is None else optimizer
    Settings(
        reduction, optimizer, steps, batch_size, seed, engine, mode, None, (), progress, threads
    )
    if steps < 1:
        raise ArgumentError(argument="steps", expected="a whole number of at least 1", got=steps)
    if seed is None:
        raise ArgumentError("seed must be a whole number, got None: all runs share their weights")
    if not callable(loss):
        raise ArgumentError(f"loss must be a function (prediction, target), got {loss!r}")
    _require_settings(axes, optimizer)
    plan = Plan(
        make_model, samples_of(data, "data"), axes[0], axes[1], loss, reduction, optimizer,
        int(steps), None if batch_size is None else int(batch_size), int(seed),
    )  # fmt: skip
    first_loss = plan.check()
    compute, why = _computer(plan, engine, mode, threads, executor)
    numbers = "exact" if why or mode == "exact" else "default"
    pyramid = Pyramid(Frame(*axes), {**_about(plan, first_loss), "numbers": numbers}, store)
    window = Box(level, 0, 0, resolution, resolution)
    return mapped(pyramid, window, compute, steps=plan.steps, progress=progress, why=why)


def _computer(
    plan: Plan, engine: Engine, mode: Mode, threads: int | None, executor: Any
) -> tuple[Completed, str]:
    """What computes the points of a map, and why it is not native code; empty if it is.

    Raises:
        NativeError: if native code is asked for, and is not possible.
    """
    try:
        if engine == "eager":
            raise NativeError("the eager engine was requested")
        return _native(plan, mode, threads, executor), ""
    except NativeError as reason:
        if engine == "native":
            raise NativeError.not_possible(reason) from None
        return one_by_one(plan.measures), str(reason)


def _native(plan: Plan, mode: Mode, threads: int | None, executor: Any) -> Completed:
    """Native code, by threads here or by an executor."""
    from talweg.explore.trainability.point_lanes import PointJob  # loads NumPy and LLVM

    job = PointJob(plan, mode)
    work = job.prepare()  # here in any case: what cannot be compiled is to be told here

    def compute(tasks: Sequence[Task]) -> Generator[tuple[int, Any], None, None]:
        points = [(task.xs, task.ys) for task in tasks]
        count = threads or cores()
        return completed(job, points, executor=executor, threads=count, prepared=work.fresh())

    return compute


def _level_of(resolution: Any) -> int:
    least, most = RESOLUTIONS
    is_whole = isinstance(resolution, int) and not isinstance(resolution, bool)
    if not is_whole or not least <= resolution <= most or resolution & (resolution - 1):
        raise ArgumentError(
            argument="resolution", expected=f"a power of two from {least} to {most}", got=resolution
        )
    return int(resolution).bit_length() - 1


def _require_settings(axes: tuple[Axis, Axis], optimizer: Optimizer) -> None:
    """Refuse axes that are no settings of the runs."""
    if axes[0].name == axes[1].name:
        raise ArgumentError(
            f"{axes[0].name} is the setting along x too", argument="y", repair="give another one"
        )
    known = _numbers_of(optimizer)
    for which, one in zip("xy", axes, strict=True):
        if one.setting not in (*LAYERED, *known):
            raise ArgumentError(
                f"{one.name!r} is no setting of a run with {type(optimizer).__name__}",
                argument=which,
                repair=f"there are {', '.join([*LAYERED, *known])}",
            )
        if one.low < 0.0:
            raise ArgumentError(
                f"{one.name} starts at {one.low:g}, but is at least 0", argument=which
            )
        if one.name == "learning_rate" and callable(optimizer.lr):
            raise ArgumentError(
                f"it varies the learning rate, but the optimiser has a schedule, {optimizer.lr!r}",
                argument=which,
                repair="give it a number",
            )


def _numbers_of(optimizer: Optimizer) -> list[str]:
    """The settings of an optimiser that are numbers, but its rate."""
    named = [f.name for f in fields(optimizer) if f.init and f.name != "lr"]
    return [name for name in named if type(getattr(optimizer, name)) in (int, float)]


def _about(plan: Plan, first_loss: float) -> dict[str, Any]:
    """What a map is of: two maps with the same description have the same points.

    Functions have no content that could be compared. The loss of the first step stands for the
    model and the loss function: it changes with any of their equations.
    """
    return {
        "steps": plan.steps,
        "reduction": plan.reduction,
        "loss": getattr(plan.loss, "__qualname__", type(plan.loss).__name__),
        "optimizer": repr(plan.optimizer),
        "batch_size": plan.batch_size,
        "seed": plan.seed,
        "samples": len(plan.samples),
        "data": _digest([(list(inputs), target) for inputs, target in plan.samples]),
        "weights": _digest([p.data for p in plan.model().parameters()]),
        "first_loss": first_loss.hex(),
    }


def _digest(data: Any) -> str:
    return hashlib.sha256(repr(data).encode()).hexdigest()[:16]
