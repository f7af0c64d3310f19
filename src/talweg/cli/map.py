"""`talweg map`: for which values of two settings the training converges, as a picture.

Start reading at `map_`: it checks the options, computes the map, zooms into it if that is
requested, and saves pictures. The report is in `talweg.cli.map_report`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from talweg.cli import exit_codes
from talweg.cli.command import Command
from talweg.cli.console import print_json
from talweg.cli.defaults import defaults
from talweg.cli.map_report import document, print_map
from talweg.cli.messages import print_note
from talweg.cli.option_values import numbers
from talweg.cli.options import (
    MAP,
    OPTIMIZERS,
    TRAINING,
    Batch,
    DataOptions,
    ExecutionOptions,
    File,
    Integer,
    LearningRate,
    ModelOptions,
    OutputOptions,
    PositiveInteger,
    RunOptions,
    given,
    refuse_without_file,
)
from talweg.cli.output_files import output_file
from talweg.cli.training_problem import TrainingProblem, problem_of, published_problem
from talweg.errors import ArgumentError
from talweg.explore.trainability.axes import Axis, parse_axis
from talweg.explore.trainability.result import TrainabilityMap
from talweg.explore.trainability.trainability import trainability_map

_PUBLISHED = ("learning_rate[0],0.001,1e6", "learning_rate[1],0.001,1e6")
_LESSON = ("learning_rate,0.001,10", "initial_scale,0.1,10")
_FILE = ("learning_rate,0.001,100", "initial_scale,0.1,10")
"""The axes unless given."""


@Parameter(name="*", group=MAP)
@dataclass(frozen=True)
class MapOptions:
    """The axes, the points, and the zoom.

    Attributes:
        lesson: map the lesson's network.
        x: the setting along x, as NAME,LOW,HIGH or NAME,LOW,HIGH,SCALE. Names: learning_rate,
            initial_scale (a factor of the initial weights); one of these for a single layer, such
            as "learning_rate[0]" (in quotes, because shells interpret brackets); or a number that
            the optimizer has, such as momentum. Scales: log, linear. Unless given:
            "learning_rate[0],0.001,1e6"; for the lesson learning_rate,0.001,10; with a file
            learning_rate,0.001,100.
        y: the setting along y, in the same form. Unless given: "learning_rate[1],0.001,1e6"; for
            the lesson and with a file initial_scale,0.1,10.
        resolution: the number of points along each axis, a power of two from 8 to 16384. Unless
            given: 256; 512 has four times as many runs, and takes four times as long.
        zoom: the factor of a zoom into the map, a power of two; with the same resolution.
        at: the point of --zoom and --animate, as X,Y. Unless given: where the boundary is most
            complex.
        animate: where to save a zoom as an animation: .gif or .webp.
        doublings: how often --animate doubles the scale. Unless given: 6.
        store: a folder for the measures of the points, as Zarr. A later command with this folder
            computes only missing points: after Ctrl-C, at another resolution, or for a zoom.
        colours: talweg, published, or the name of one of matplotlib's colour maps.
    """

    lesson: bool = False
    x: str | None = None
    y: str | None = None
    resolution: Integer = 256
    zoom: Integer | None = None
    at: str | None = None
    animate: Path | None = None
    doublings: PositiveInteger | None = None
    store: Path | None = None
    colours: str = "talweg"


@Parameter(name="*", group=TRAINING)
@dataclass(frozen=True)
class PointRunOptions(RunOptions):
    """The training run of each point.

    Attributes:
        steps: the number of updates of each run. Unless given: 100.
    """

    steps: PositiveInteger = 100
    lr: Annotated[
        LearningRate,
        Parameter(
            help="the learning rate if no axis has it. Unless given: 0.05; with a file, 0.02."
        ),
    ] = None
    batch: Annotated[
        Batch,
        Parameter(
            help="the number of samples of a step. Unless given: all. With batches, the noise "
            "of the first loss can decide whether a run counts as converged."
        ),
    ] = None


def map_(
    file: Annotated[
        File,
        Parameter(
            help="a CSV or Parquet file with a line of column names; without it, the published map."
        ),
    ] = None,
    /,
    *,
    data: DataOptions = DataOptions(),
    model: ModelOptions = ModelOptions(),
    options: MapOptions = MapOptions(),
    run: PointRunOptions = PointRunOptions(),
    execution: ExecutionOptions = ExecutionOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Draw a map of two settings: one training run for each point, and whether it converged.

    Without a file it is the published map of a small network with a learning rate of its own for
    each of two layers. The lesson's network and that of a file are those of talweg train, with
    the same defaults, except that a step takes all samples.

    A run counts as converged if its last 20 losses are, on average, below its first. In the JSON
    document, converged has a row of 1, 0 or null (not computed) for each y, from low to high.

    Args:
        file: a CSV or Parquet file; None for the lesson or the published map.
        data: the columns of the file.
        model: the network and its loss.
        options: the axes, the points, and the zoom.
        run: the training run of each point.
        execution: what computes the runs.
        output: what is saved and printed.

    Returns:
        The exit code.
    """
    _require_one_problem(file, options.lesson, model, data)
    published = file is None and not options.lesson
    usual_x, usual_y = _FILE if file is not None else _PUBLISHED if published else _LESSON
    axes = _axis("x", options.x or usual_x), _axis("y", options.y or usual_y)
    zoom = _zoom(axes, options)
    picture = output.picture("map")
    _require_colours(options.colours)
    if published:
        problem = published_problem(run.batch, run.seed)
    else:
        problem = problem_of("map", file, data, model, batch=run.batch, seed=run.seed)
    _refuse_unused_rate(run.lr, axes)
    chosen = run.settings(defaults(file))
    settings: dict[str, Any] = {
        "resolution": options.resolution,
        "steps": chosen.steps,
        "optimizer": OPTIMIZERS[chosen.optimizer](chosen.lr),
        "engine": execution.engine,
        "mode": execution.mode,
        "threads": execution.threads,
        "store": options.store,
    }
    result = _compute(problem, axes, settings, zoom)
    plots, animation = _save(result, picture, zoom, options.colours)
    unfinished = _report_unfinished(result, zoom, animation, options.store)
    if output.as_json:
        print_json(document(problem, result, chosen.optimizer, plots, animation))
    else:
        print_map(problem, result, chosen.optimizer, plots, animation, options.store)
    if unfinished:
        return exit_codes.INTERRUPTED
    return exit_codes.FINE if result.converged.any() else exit_codes.DIVERGED


# ---- checks before the work ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Zoom:
    """A zoom into a map.

    Attributes:
        factor: of the zoom; None for the whole map.
        x: the point along x; None for the most complex part of the boundary.
        y: the point along y, likewise.
        animate: where to save an animation of the zoom, or None.
        doublings: how often the animation doubles the scale.
    """

    factor: int | None
    x: float | None
    y: float | None
    animate: Path | None
    doublings: int


def _require_one_problem(
    file: Path | None, lesson: bool, model: ModelOptions, data: DataOptions
) -> None:
    """Refuse the lesson together with a file, and options for a network that is not mapped."""
    if lesson and file is not None:
        raise ArgumentError("--lesson and a file contradict each other; give one of them")
    if file is None and not lesson:
        refuse_without_file("map", given(model), ", or --lesson")
        refuse_without_file("map", given(data))


def _axis(which: str, text: str) -> Axis:
    """The axis in a text such as `learning_rate,0.001,10` or `momentum,0,1,linear`."""
    name, *rest = (word.strip() for word in text.split(","))
    try:
        low, high, *scale = rest
        values: Any = (name.replace("-", "_"), float(low), float(high), *scale)
    except ValueError:
        raise ArgumentError(
            f"--{which} takes NAME,LOW,HIGH or NAME,LOW,HIGH,SCALE, such as "
            f"learning_rate,0.001,10,log, got {text!r}"
        ) from None
    if len(scale) > 1:
        raise ArgumentError(f"--{which} takes NAME,LOW,HIGH,SCALE and no more, got {text!r}")
    try:
        return parse_axis(values, which)
    except ArgumentError as error:
        if error.got is not values:
            raise
        raise ArgumentError(argument=which, expected=error.expected, got=text) from None


def _zoom(axes: tuple[Axis, Axis], options: MapOptions) -> _Zoom:
    factor, at, doublings = options.zoom, options.at, options.doublings
    if factor is not None and (factor < 1 or factor & (factor - 1)):
        raise ArgumentError(f"--zoom must be a power of two, such as 16, got {factor}")
    if doublings is not None and options.animate is None:
        raise ArgumentError("--doublings is for an animation; give --animate too")
    path = output_file("--animate", options.animate, (".gif", ".webp"))
    doublings = doublings or 6
    if at is None:
        return _Zoom(factor, None, None, path, doublings)
    if factor is None and path is None:
        raise ArgumentError("--at is the point of a zoom; give --zoom or --animate too")
    point = numbers("--at", at, float)
    if len(point) != 2:
        raise ArgumentError(f"--at takes X,Y, two numbers, got {at!r}")
    try:
        for one, value in zip(axes, point, strict=True):
            one.index(value, 0)
    except ArgumentError as error:
        raise ArgumentError(f"--at {at} is not on the map: {error}") from None
    return _Zoom(factor, point[0], point[1], path, doublings)


def _refuse_unused_rate(lr: float | None, axes: tuple[Axis, Axis]) -> None:
    """Refuse --lr if an axis has the learning rate."""
    if lr is not None and any(one.name == "learning_rate" for one in axes):
        raise ArgumentError("--lr is for maps without learning_rate along --x or --y")


def _require_colours(colours: str) -> None:
    """Refuse unknown colours before the runs are made."""
    import numpy as np

    from talweg.plotting.trainability import as_pixels

    try:
        as_pixels(np.zeros((1, 1)), colours)
    except ArgumentError as error:
        raise ArgumentError(str(error), argument="colours") from None


# ---- the work -----------------------------------------------------------------------------------


def _compute(
    problem: TrainingProblem, axes: tuple[Axis, Axis], settings: dict[str, Any], zoom: _Zoom
) -> TrainabilityMap:
    """The map, or the zoom into it; after Ctrl-C the points of either that were computed."""
    x, y = ((one.name, one.low, one.high, one.scale) for one in axes)
    whole = trainability_map(
        problem.make_model,
        problem.samples,
        x,
        y,
        loss=problem.loss,
        reduction=problem.reduction,
        batch_size=problem.batch,
        seed=problem.seed,
        progress=True,
        **settings,
    )
    if zoom.factor is None or whole.finished < 1.0:
        return whole
    return whole.zoom(zoom.x, zoom.y, zoom.factor, progress=True)


def _save(
    result: TrainabilityMap, picture: Path | None, zoom: _Zoom, colours: str
) -> tuple[list[Path], Path | None]:
    """Save the picture and the animation, if their points were computed."""
    from talweg.plotting import figure

    plots = []
    if picture is not None and result.finished > 0.0:
        plots = [figure.save(result.plot(colours=colours), picture)]
    if zoom.animate is None or result.finished < 1.0:
        return plots, None
    try:
        return plots, result.animate(
            zoom.animate, zoom.x, zoom.y, doublings=zoom.doublings, colours=colours, progress=True
        )
    except KeyboardInterrupt:
        return plots, None


def _report_unfinished(
    result: TrainabilityMap, zoom: _Zoom, animation: Path | None, store: Path | None
) -> bool:
    """Whether Ctrl-C stopped the work; then print on standard error how much is done."""
    if result.finished == 1.0 and (zoom.animate is None or animation is not None):
        return False
    what = (
        "there is no animation"
        if result.finished == 1.0
        else f"{100.0 * result.finished:.3g} % of the points were computed"
    )
    again = "" if store is None else "; the same command continues with those in --store"
    print_note(f"interrupted: {what}{again}")
    return True


COMMAND = Command(
    run=map_,
    usage="[FILE] [OPTIONS]",
    examples=(
        "talweg map",
        "talweg map --resolution 1024 --store published-map",
        "talweg map --zoom 16",
        "talweg map --animate zoom.webp --doublings 8",
        "talweg map --lesson --x learning_rate,0.01,10 --y momentum,0,1",
        "talweg map iris.csv --target species --optimizer sgd",
    ),
    trains=True,
)
