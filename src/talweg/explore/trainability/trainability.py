"""The trainability map: which runs converge, over a plane of two settings.

`trainability_map` checks its arguments, makes a `MapSpecification` of them, and computes the points
of the map (`talweg.explore.trainability.result`): by native code (`point_lanes.py`) or by the eager
engine (`point_runs.py`).

Source: Sohl-Dickstein, The boundary of neural network trainability is fractal, arXiv 2402.06184.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from talweg import losses
from talweg._util.cpu_count import cores
from talweg.errors import ArgumentError, NativeError
from talweg.explore.tasks import completed
from talweg.explore.trainability.axes import LAYER_SETTINGS, AxisLike, Plane, parse_axis
from talweg.explore.trainability.mean_field import default_problem
from talweg.explore.trainability.point_runs import first_loss, run_measures
from talweg.explore.trainability.pyramid import MissingPoints, Pyramid
from talweg.explore.trainability.refinement import Evaluator, serial_evaluator
from talweg.explore.trainability.result import TrainabilityMap, compute_map
from talweg.explore.trainability.specification import MapSpecification
from talweg.explore.trainability.tiles import TileStorage, Window
from talweg.optim import SGD, Optimizer
from talweg.training.objective import Model, Sample
from talweg.training.settings import Engine, Mode, Reduction, Settings
from talweg.training.train import samples_of

RESOLUTIONS = (8, 16384)
"""The least and the largest number of points along an axis."""


def trainability_map(
    make_model: Callable[[random.Random], Model] | None = None,
    data: Iterable[Sample] | None = None,
    x: AxisLike = ("learning_rate[0]", 1e-3, 1e6),
    y: AxisLike = ("learning_rate[1]", 1e-3, 1e6),
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
    """Train a model at each point of a plane of two settings, and show which runs converge.

    All runs start from the same weights and use the same data. Point i of n along an axis is
    low + (high - low) i / n; on a logarithmic axis low and high are the decadic logarithms, and
    the setting is 10 to that power. A map of twice the resolution contains all points of this one.
    The measure of a run is `talweg.explore.trainability.measure.convergence_measure`.

    Args:
        make_model: a function that makes a model, with weights drawn from the `random.Random` that
            it is given. For settings of a single layer the model has `layers`, a list of objects
            with `parameters()`. Without it, and without data, the problem of the published map is
            used (`talweg.explore.trainability.mean_field`).
        data: the samples, see `train`.
        x: the setting along x: (name, low, high) or (name, low, high, scale), with the scale "log"
            or "linear". The name is "learning_rate", "initial_scale" (a factor of the initial
            weights), one of these for a single layer, as in "learning_rate[0]", or a numeric
            setting of the optimiser, such as "momentum". Without a scale the axis is logarithmic
            if low is above 0 and high is at least ten times as large.
        y: the setting along y, in the same form.
        resolution: the number of points along each axis, a power of two from 8 to 16384.
        steps: the number of updates of each run.
        loss: a function (prediction, target) of one sample, at least 0.
        reduction: "mean" (as published) or "sum" over the samples of a step.
        optimizer: the rule of the update; SGD(lr=0.05) unless given. The axes replace its settings.
        batch_size: the number of samples of a step; None for all of them.
        seed: the seed of the weights and of the order of the batches.
        engine: "native" for many runs at once in SIMD lanes, "eager" for one run after the other by
            the eager engine, or "auto" for native code where that is possible; where it is not,
            `fallback_reason` of the map is the reason.
        mode: see `train`. A store of one mode is refused in the other, because a run near the
            boundary depends on the last bit.
        threads: the number of threads that compute points; None for one per core. The bits do not
            depend on it.
        executor: computes the points in place of threads of this process; see `sweep`.
        store: a folder for the points. A later map of the same specification with this store
            computes only the points that are missing: after Ctrl-C, at another resolution, or in a
            zoom.
        progress: show a progress bar if the output is a terminal.

    Returns:
        The `TrainabilityMap`; after Ctrl-C that of the points computed so far.

    Raises:
        ArgumentError: if an argument is not valid, or the store is that of another map.
        DataError: if there are no samples, or the store is damaged or not a map.
        NativeError: if `engine` is "native" and native code is not possible.
        OSError: if the store cannot be written.

    Source: Sohl-Dickstein, The boundary of neural network trainability is fractal,
    arXiv 2402.06184.

    Example:
        >>> trainability_map(resolution=16)
        TrainabilityMap(16 x 16 runs of 100 steps, 50 % converged)
    """
    level = _level_of(resolution)
    if make_model is None and data is None:
        make_model, data = default_problem()
    if make_model is None or data is None:
        missing, found = ("make_model", "data") if make_model is None else ("data", "make_model")
        raise ArgumentError(
            f"{found} is given without {missing}; give both, or neither for the published problem"
        )
    plane = Plane(parse_axis(x, "x"), parse_axis(y, "y"))
    optimizer = SGD(lr=0.05) if optimizer is None else optimizer
    Settings.among(locals())  # raises an error if one of them is not valid
    if steps < 1:
        raise ArgumentError(argument="steps", expected="an integer of at least 1", got=steps)
    if seed is None:
        raise ArgumentError("seed must be an integer, got None: all runs start from one model")
    if not callable(loss):
        raise ArgumentError(f"loss must be a function (prediction, target), got {loss!r}")
    _require_settings(plane, optimizer)
    specification = MapSpecification(
        make_model=make_model,
        samples=samples_of(data, "data"),
        plane=plane,
        loss=loss,
        reduction=reduction,
        optimizer=optimizer,
        steps=int(steps),
        batch_size=None if batch_size is None else int(batch_size),
        seed=int(seed),
    )
    description = {**plane.description(), **specification.description(first_loss(specification))}
    evaluator, fallback_reason = _evaluator(specification, engine, mode, threads, executor)
    description["numbers"] = "exact" if fallback_reason or mode == "exact" else "default"
    return compute_map(
        Pyramid(plane, _tiles(store, description)),
        Window(level, 0, 0, resolution, resolution),
        evaluator,
        steps=specification.steps,
        progress=progress,
        fallback_reason=fallback_reason,
    )


def _tiles(store: str | os.PathLike[str] | None, description: dict[str, Any]) -> TileStorage | None:
    if store is None:
        return None
    from talweg.explore.trainability.tile_store import TileStore  # imports Zarr

    return TileStore(store, description)


def _evaluator(
    specification: MapSpecification, engine: Engine, mode: Mode, threads: int | None, executor: Any
) -> tuple[Evaluator, str]:
    """What computes the points of a map, and why it is not native code; empty if it is.

    Raises:
        NativeError: if `engine` is "native" and native code is not possible.
    """
    try:
        if engine == "eager":
            raise NativeError("the eager engine was requested")
        return _native_evaluator(specification, mode, threads, executor), ""
    except NativeError as reason:
        if engine == "native":
            raise NativeError.not_possible(reason) from None
        return serial_evaluator(partial(run_measures, specification)), str(reason)


def _native_evaluator(
    specification: MapSpecification, mode: Mode, threads: int | None, executor: Any
) -> Evaluator:
    """Native code, in threads of this process or by an executor."""
    from talweg.explore.trainability.point_lanes import PointJob  # imports NumPy and LLVM

    job = PointJob(specification, mode)
    work = job.prepare()  # in this process too: here a NativeError means another evaluator

    def evaluate(tiles: Sequence[MissingPoints]) -> Generator[tuple[int, Any], None, None]:
        points = [(tile.xs, tile.ys) for tile in tiles]
        count = threads or cores()
        return completed(job, points, executor=executor, threads=count, prepared=work.fresh())

    return evaluate


def _level_of(resolution: Any) -> int:
    least, most = RESOLUTIONS
    is_integer = isinstance(resolution, int) and not isinstance(resolution, bool)
    if not is_integer or not least <= resolution <= most or resolution & (resolution - 1):
        raise ArgumentError(
            argument="resolution", expected=f"a power of two from {least} to {most}", got=resolution
        )
    return int(resolution).bit_length() - 1


def _require_settings(plane: Plane, optimizer: Optimizer) -> None:
    """Refuse axes that are not settings of the runs."""
    if plane.x.name == plane.y.name:
        raise ArgumentError(
            f"{plane.x.name} is the setting along x too", argument="y", repair="give another one"
        )
    known = [*LAYER_SETTINGS, *_numeric_settings(optimizer)]
    for which, axis in (("x", plane.x), ("y", plane.y)):
        if axis.setting not in known:
            raise ArgumentError(
                f"{axis.name!r} is no setting of a run with {type(optimizer).__name__}",
                argument=which,
                repair=f"there are {', '.join(known)}",
            )
        if axis.low < 0.0:
            raise ArgumentError(
                f"the low end of {axis.name} must be at least 0, got {axis.low:g}", argument=which
            )
        if axis.name == "learning_rate" and callable(optimizer.lr):
            raise ArgumentError(
                f"it varies the learning rate, but the optimiser has a schedule, {optimizer.lr!r}",
                argument=which,
                repair="give the optimiser a number",
            )


def _numeric_settings(optimizer: Optimizer) -> list[str]:
    """The numeric settings of an optimiser, without its learning rate."""
    names = [f.name for f in fields(optimizer) if f.init and f.name != "lr"]
    return [name for name in names if type(getattr(optimizer, name)) in (int, float)]
