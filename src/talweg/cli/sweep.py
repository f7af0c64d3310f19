"""`talweg sweep`: one training run for each learning rate, for the lesson or a file of yours.

Start reading at `sweep`; what is printed is in `talweg.cli.sweep_words`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from talweg.cli import ending, lesson
from talweg.cli.console import note, print_json
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
    rates,
)
from talweg.cli.subject import Subject, subject_of
from talweg.cli.sweep_words import document, say_sweep
from talweg.errors import ArgumentError
from talweg.explore.sweep.conclusion import MOST_COMBINATIONS
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.sweep import sweep as run_sweep
from talweg.training.settings import Engine, Mode

EXAMPLES = """Examples:
  talweg sweep
  talweg sweep --lr 0.001..10:200 --seed 1,2,3 --csv sweep.csv
  talweg sweep --lr 0.001..1:30 --momentum 0,0.9
  talweg sweep iris.csv --target species --lr 0.001,0.01,0.1"""


def sweep(
    file: Path | None = None,
    /,
    *,
    target: str | None = None,
    kind: Kind = "auto",
    ignore: str = "",
    hidden: str | None = None,
    activation: ActivationName = "tanh",
    loss: LossName | None = None,
    lr: str = "0.001,0.01,0.1,1.0",
    steps: Whole | None = None,
    seed: str | None = None,
    optimizer: OptimizerName | None = None,
    momentum: str | None = None,
    batch: Whole | None = None,
    engine: Engine = "auto",
    mode: Mode = "default",
    threads: Whole | None = None,
    stop_at: float | None = None,
    store: Path | None = None,
    csv: Path | None = None,
    parquet: Path | None = None,
    plot: Path | None = None,
    no_plot: bool = False,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Train one network at several learning rates, and compare.

    The network, its data and the other settings are those of `talweg train`, with the same
    defaults; but a step takes all samples, because the verdict of a run takes the noise of
    batches for oscillation.

    Args:
        file: a CSV or Parquet file with a line of column names; without it, the lesson.
        target: the column to predict; all others are inputs.
        kind: what the target is; auto decides by its values.
        ignore: columns to leave out, separated by commas.
        hidden: the sizes of the hidden layers, separated by commas, or none. Lesson: 4,4;
            file: 16.
        activation: the activation of the hidden layers. Both: tanh.
        loss: how wrong one prediction is; unless given, the usual one for the target.
        lr: the learning rates, separated by commas; or LOW..HIGH:COUNT for so many rates, each
            the same multiple of the one before. Both: 0.001,0.01,0.1,1.0.
        steps: how many updates each run makes. Lesson: 50; file: 200.
        seed: where the weights start; with several, separated by commas, one run for each
            at every rate. Lesson: 42; file: 1.
        optimizer: how parameters move. Lesson: sgd; file: adam.
        momentum: the momentum of sgd; with several, separated by commas, one run for each at
            every rate.
        batch: how many samples a step takes. Both: all.
        engine: native for compiled code or an error, eager for none. Both: auto.
        mode: exact for the bits of the eager engine. Both: default.
        threads: how many threads share the runs. Both: one for each core.
        stop_at: a loss at which a run has converged and ends. Both: none, all steps are made.
        store: a folder for the losses as they come in; the same command with the same folder
            goes on where the last one ended, however it ended.
        csv: where to save the table of all runs, as CSV.
        parquet: where to save it as Parquet.
        plot: where to save the picture: .png, .svg or .pdf. Unless given: talweg-sweep.png.
        no_plot: save no picture.
        as_json: print one JSON document in place of text.

    Returns:
        The exit code.
    """
    chosen = rates("--lr", lr)
    seeds = [lesson.SEED if file is None else 1] if seed is None else numbers("--seed", seed, int)
    for option, number in (("--steps", steps), ("--batch", batch), ("--threads", threads)):
        at_least_1(option, 1 if number is None else number)
    name = optimizer or ("sgd" if file is None else "adam")
    grid = _grid(name, momentum)
    if len(grid.get("momentum", [])) > MOST_COMBINATIONS and not no_plot:
        raise ArgumentError(
            f"one picture shows up to {MOST_COMBINATIONS} momenta; give fewer, or --no-plot"
        )
    picture = destination("--plot", plot, "talweg-sweep.png", no_plot, FIGURES)
    tables = (
        destination("--csv", csv, None, False, (".csv",)),
        destination("--parquet", parquet, None, False, (".parquet",)),
    )
    subject = subject_of(
        "sweep",
        file,
        target=target,
        kind=kind,
        ignore=ignore,
        hidden=hidden,
        activation=activation,
        loss=loss,
        batch=batch,
        seed=seeds[0],
    )
    result = run_sweep(
        subject.make_model,
        subject.samples,
        chosen,
        seeds=seeds,
        steps=steps or (50 if file is None else 200),
        optimizer=OPTIMIZERS[name],
        engine=engine,
        mode=mode,
        threads=threads,
        stop_at=stop_at,
        store=store,
        progress=True,
        **_settings(subject, grid),
    )
    asked_for = len(chosen) * len(seeds) * len(grid.get("momentum", [0.0]))
    if result.interrupted:
        note(f"interrupted: {int(result.whole.sum())} of {asked_for} runs were finished")
    plots, saved = _save(result, picture, *tables)
    if as_json:
        print_json(document(subject, result, name, plots, saved))
    else:
        say_sweep(subject, result, name, plots, saved)
    if result.interrupted:
        return ending.INTERRUPTED
    return ending.FINE if result.best else ending.DIVERGED


def _grid(optimizer: str, momentum: str | None) -> dict[str, list[float]]:
    """The settings to try besides rates and seeds."""
    if momentum is None:
        return {}
    if optimizer != "sgd":
        raise ArgumentError(f"--momentum is for --optimizer sgd, not for {optimizer}")
    return {"momentum": numbers("--momentum", momentum, float)}


def _settings(subject: Subject, grid: dict[str, list[float]]) -> dict[str, Any]:
    """What `sweep` is told beyond its own settings."""
    settings: dict[str, Any] = {"loss": subject.loss, "reduction": subject.reduction}
    if subject.batch is not None:
        settings["batch_size"] = subject.batch
    if grid:
        settings["grid"] = grid
    return settings


def _save(
    result: SweepResult, picture: Path | None, csv: Path | None, parquet: Path | None
) -> tuple[list[Path], list[Path]]:
    """Write what was asked for: the pictures and the tables that were written."""
    from talweg.plotting import figure

    saved = [] if csv is None else [result.to_csv(csv)]
    saved += [] if parquet is None else [result.to_parquet(parquet)]
    plots = []
    if picture is not None and len(result):
        plots = [figure.save(result.plot(), picture)]
    return plots, saved
