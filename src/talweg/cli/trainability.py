"""`talweg map`: which settings train, over a plane of two of them, as a picture.

Start reading at `map_`: it checks everything that can be checked before the work begins, makes the
map, looks closer if asked to, and saves pictures. What is printed is in `talweg.cli.map_words`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from talweg.cli import ending
from talweg.cli.console import note, print_json
from talweg.cli.map_words import document, say_map
from talweg.cli.options import (
    FIGURES,
    OPTIMIZERS,
    ActivationName,
    Kind,
    LossName,
    OptimizerName,
    Whole,
    at_least_1,
    destination,
    numbers,
)
from talweg.cli.subject import Subject, published, subject_of
from talweg.errors import ArgumentError
from talweg.explore.trainability.axes import Axis, parse_axis
from talweg.explore.trainability.result import TrainabilityMap
from talweg.explore.trainability.trainability import trainability_map
from talweg.training.settings import Engine, Mode

EXAMPLES = """Examples:
  talweg map
  talweg map --resolution 1024 --store published-map
  talweg map --zoom 16
  talweg map --animate zoom.webp --doublings 8
  talweg map --lesson --x learning_rate,0.01,10 --y momentum,0,1
  talweg map iris.csv --target species --optimizer sgd"""

_PUBLISHED = ("learning_rate[0],0.001,1e6", "learning_rate[1],0.001,1e6")
_LESSON = ("learning_rate,0.001,10", "initial_scale,0.1,10")
_FILE = ("learning_rate,0.001,100", "initial_scale,0.1,10")


def map_(
    file: Path | None = None,
    /,
    *,
    lesson: bool = False,
    target: str | None = None,
    kind: Kind = "auto",
    ignore: str = "",
    hidden: str | None = None,
    activation: ActivationName | None = None,
    loss: LossName | None = None,
    x: str | None = None,
    y: str | None = None,
    resolution: Whole = 256,
    steps: Whole = 100,
    lr: float | None = None,
    optimizer: OptimizerName | None = None,
    batch: Whole | None = None,
    seed: Whole | None = None,
    zoom: Whole | None = None,
    at: str | None = None,
    animate: Path | None = None,
    doublings: Whole | None = None,
    store: Path | None = None,
    engine: Engine = "auto",
    mode: Mode = "default",
    threads: Whole | None = None,
    colours: str = "talweg",
    plot: Path | None = None,
    no_plot: bool = False,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Draw a map of two settings: one training run for each point, and whether it converged.

    Without a file it is the published map of a small network with a learning rate of its own for
    each of two layers. The lesson's network and that of a file are those of talweg train, with
    the same defaults; but a step takes all samples.

    A run counts as converged if its last 20 losses are, on average, below its first.

    Args:
        file: a CSV or Parquet file with a line of column names; without it, the published map.
        lesson: map the lesson's network.
        target: the column to predict; all others are inputs.
        kind: what the target is; auto decides by its values.
        ignore: columns to leave out, separated by commas.
        hidden: the sizes of the hidden layers, separated by commas, or none. Lesson: 4,4;
            file: 16.
        activation: the activation of the hidden layers. Lesson and file: tanh.
        loss: how wrong one prediction is; unless given, the usual one for the target.
        x: the setting along x, as NAME,LOW,HIGH or NAME,LOW,HIGH,SCALE. Names: learning_rate,
            initial_scale (what the first weights are multiplied by), either of one layer, as in
            "learning_rate[0]" (in quotes: shells know brackets), or a number that the optimizer
            has, such as momentum. Scales: log, linear. Lesson: learning_rate,0.001,10; file:
            learning_rate,0.001,100; else "learning_rate[0],0.001,1e6".
        y: the setting along y, likewise. Lesson and file: initial_scale,0.1,10; else
            "learning_rate[1],0.001,1e6".
        resolution: how many points along each axis, a power of two from 8 to 16384. Unless
            given: 256; 512 has four times as many runs, and takes four times as long.
        steps: how many updates each run makes. Unless given: 100.
        lr: the learning rate where no axis has it. File: 0.02; else 0.05.
        optimizer: how parameters move. File: adam; else sgd.
        batch: how many samples a step takes. Unless given: all; in batches the noise of the first
            loss can decide what counts as converged.
        seed: where weights, split and shuffling start. File: 1; else 42.
        zoom: look so many times closer, a power of two; with the same resolution.
        at: where --zoom and --animate look, as X,Y. Unless given: where the boundary is busiest.
        animate: where to save a zoom as an animation: .gif or .webp.
        doublings: how often --animate doubles the scale. Unless given: 6.
        store: a folder for the points; with it again, only what is missing is computed: after
            Ctrl-C, at another resolution, for a zoom. It has the measures of all runs, as Zarr.
        engine: native for compiled code or an error, eager for none. Unless given: auto.
        mode: exact for the bits of the eager engine. Unless given: default.
        threads: how many threads share the runs. Unless given: one for each core.
        colours: talweg, published, or the name of one of matplotlib's colour maps.
        plot: where to save the picture: .png, .svg or .pdf. Unless given: talweg-map.png.
        no_plot: save no picture.
        as_json: print one JSON document in place of text; converged has a row of 1, 0 or null
            (not computed) for each y, from low to high.

    Returns:
        The exit code.
    """
    for option, number in (("--steps", steps), ("--batch", batch), ("--threads", threads)):
        at_least_1(option, 1 if number is None else number)
    given = {"--hidden": hidden, "--activation": activation, "--loss": loss, "--target": target}
    given |= {"--ignore": ignore, "--kind": None if kind == "auto" else kind}
    _require_one_subject(file, lesson, given)
    usual = _FILE if file is not None else _LESSON if lesson else _PUBLISHED
    axes = _axis("--x", x or usual[0]), _axis("--y", y or usual[1])
    look = _look(axes, zoom, at, animate, doublings)
    picture = destination("--plot", plot, "talweg-map.png", no_plot, FIGURES)
    _require_colours(colours)
    if lesson or file is not None:
        subject = subject_of(
            "map", file, target=target, kind=kind, ignore=ignore, hidden=hidden,
            activation=activation or "tanh", loss=loss, batch=batch, seed=seed,
        )  # fmt: skip
    else:
        subject = published(batch, seed)
    name = optimizer or ("sgd" if file is None else "adam")
    chosen = OPTIMIZERS[name](_rate(lr, axes, 0.05 if file is None else 0.02))
    settings: dict[str, Any] = {
        "resolution": resolution,
        "steps": steps,
        "optimizer": chosen,
        "engine": engine,
        "mode": mode,
        "threads": threads,
        "store": store,
    }
    try:
        result = _made(subject, axes, settings, look)
        plots, animation = _save(result, picture, look, colours)
    except ArgumentError as error:
        raise ArgumentError(_in_options(str(error))) from None
    unfinished = _say_what_is_missing(result, look, animation, store)
    if as_json:
        print_json(document(subject, result, name, plots, animation))
    else:
        say_map(subject, result, name, plots, animation, store)
    if unfinished:
        return ending.INTERRUPTED
    return ending.FINE if result.converged.any() else ending.DIVERGED


# ---- before the work ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    """A closer look at a map: how close, where, and as an animation or not."""

    zoom: int | None
    x: float | None
    y: float | None
    animate: Path | None
    doublings: int


def _require_one_subject(file: Path | None, lesson: bool, given: dict[str, str | None]) -> None:
    """Refuse the lesson together with a file, and options for a network that is not mapped."""
    if lesson and file is not None:
        raise ArgumentError("--lesson and a file contradict each other; give one of them")
    if lesson or file is not None:
        return
    for option, value in given.items():
        if value:
            more = ", or --lesson" if option in ("--hidden", "--activation", "--loss") else ""
            raise ArgumentError(
                f"{option} is for a file; name it: talweg map FILE --target COLUMN{more}"
            )


def _axis(option: str, text: str) -> Axis:
    """The axis in a text such as `learning_rate,0.001,10` or `momentum,0,1,linear`."""
    name, *rest = (word.strip() for word in text.split(","))
    try:
        low, high, *scale = rest
        wanted: Any = (name.replace("-", "_"), float(low), float(high), *scale)
    except ValueError:
        raise ArgumentError(
            f"{option} takes NAME,LOW,HIGH or NAME,LOW,HIGH,SCALE, such as "
            f"learning_rate,0.001,10,log, got {text!r}"
        ) from None
    if len(scale) > 1:
        raise ArgumentError(f"{option} takes NAME,LOW,HIGH,SCALE and no more, got {text!r}")
    try:
        return parse_axis(wanted, option)
    except ArgumentError as error:
        raise ArgumentError(str(error).replace(repr(wanted), repr(text))) from None


def _look(
    axes: tuple[Axis, Axis],
    zoom: int | None,
    at: str | None,
    animate: Path | None,
    doublings: int | None,
) -> _Look:
    if zoom is not None and (zoom < 1 or zoom & (zoom - 1)):
        raise ArgumentError(f"--zoom must be a power of two, such as 16, got {zoom}")
    if doublings is not None and animate is None:
        raise ArgumentError("--doublings is for an animation; give --animate too")
    path = destination("--animate", animate, None, False, (".gif", ".webp"))
    count = at_least_1("--doublings", 6 if doublings is None else doublings)
    if at is None:
        return _Look(zoom, None, None, path, count)
    if zoom is None and path is None:
        raise ArgumentError("--at is where to look closer; give --zoom or --animate too")
    place = numbers("--at", at, float)
    if len(place) != 2:
        raise ArgumentError(f"--at takes X,Y, two numbers, got {at!r}")
    try:
        for one, value in zip(axes, place, strict=True):
            one.index(value, 0)
    except ArgumentError as error:
        raise ArgumentError(f"--at {at} is not on the map: {error}") from None
    return _Look(zoom, place[0], place[1], path, count)


def _rate(lr: float | None, axes: tuple[Axis, Axis], usual: float) -> float:
    if lr is not None and any(one.name == "learning_rate" for one in axes):
        raise ArgumentError("--lr is for maps without learning_rate along --x or --y")
    return usual if lr is None else lr


def _require_colours(colours: str) -> None:
    """Refuse unknown colours now, not when all runs are made."""
    import numpy as np

    from talweg.plotting.trainability import as_pixels

    try:
        as_pixels(np.zeros((1, 1)), colours)
    except ArgumentError as error:
        raise ArgumentError(f"--colours: {error}") from None


_ARGUMENTS = (
    (r"^resolution must", "--resolution must"),
    (r"^([xy]):", r"--\1:"),
    (r"^x and y are both", "--x and --y are both"),
    (r"give x and y of a point", "give a point, --at X,Y"),
    (r"give another store", "give another --store"),
    (r"^(\d+) doublings lead", r"--doublings \1 leads"),
)
"""What errors of `trainability_map` call its arguments, and what they are called here."""


def _in_options(text: str) -> str:
    for argument, option in _ARGUMENTS:
        text = re.sub(argument, option, text)
    return text


# ---- the work -----------------------------------------------------------------------------------


def _made(
    subject: Subject, axes: tuple[Axis, Axis], settings: dict[str, Any], look: _Look
) -> TrainabilityMap:
    """The map, or the closer look at it; after Ctrl-C what there is of either."""
    x, y = ((one.name, one.low, one.high, one.scale) for one in axes)
    whole = trainability_map(
        subject.make_model,
        subject.samples,
        x,
        y,
        loss=subject.loss,
        reduction=subject.reduction,
        batch_size=subject.batch,
        seed=subject.seed,
        progress=True,
        **settings,
    )
    if look.zoom is None or whole.finished < 1.0:
        return whole
    return whole.zoom(look.x, look.y, look.zoom, progress=True)


def _save(
    result: TrainabilityMap, picture: Path | None, look: _Look, colours: str
) -> tuple[list[Path], Path | None]:
    """Write the picture and the animation that were asked for, if there is something to show."""
    from talweg.plotting import figure

    plots = []
    if picture is not None and result.finished > 0.0:
        plots = [figure.save(result.plot(colours=colours), picture)]
    if look.animate is None or result.finished < 1.0:
        return plots, None
    try:
        return plots, result.animate(
            look.animate, look.x, look.y, doublings=look.doublings, colours=colours, progress=True
        )
    except KeyboardInterrupt:
        return plots, None


def _say_what_is_missing(
    result: TrainabilityMap, look: _Look, animation: Path | None, store: Path | None
) -> bool:
    """After Ctrl-C, note on standard error how far the work was; whether that is the case."""
    if result.finished == 1.0 and (look.animate is None or animation is not None):
        return False
    what = (
        "there is no animation"
        if result.finished == 1.0
        else f"{100.0 * result.finished:.3g} % of the points were computed"
    )
    again = "" if store is None else "; the same command goes on from what is in --store"
    note(f"interrupted: {what}{again}")
    return True
