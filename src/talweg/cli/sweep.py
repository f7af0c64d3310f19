"""`talweg sweep`: one training run for each learning rate, on the lesson or on a file.

Start reading at `sweep`; the report is in `talweg.cli.sweep_report`.
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
from talweg.cli.messages import print_note
from talweg.cli.option_values import learning_rates, numbers
from talweg.cli.options import (
    OPTIMIZERS,
    OUTPUT,
    TRAINING,
    Batch,
    DataOptions,
    ExecutionOptions,
    File,
    ModelOptions,
    Optimizer,
    OutputOptions,
    Steps,
)
from talweg.cli.output_files import output_file
from talweg.cli.sweep_report import document, print_sweep
from talweg.cli.training_problem import TrainingProblem, problem_of
from talweg.errors import ArgumentError
from talweg.explore.sweep.conclusion import MOST_COMBINATIONS
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.sweep import sweep as run_sweep


@Parameter(name="*", group=TRAINING)
@dataclass(frozen=True)
class SweepOptions:
    """The runs.

    Attributes:
        lr: the learning rates, separated by commas; or LOW..HIGH:COUNT for COUNT rates with one
            ratio between neighbours. Unless given: 0.001,0.01,0.1,1.0.
        seed: the seed of the weights; with several, separated by commas, one run for each at
            every rate. Unless given: 42; with a file, 1.
        momentum: the momentum of sgd; with several, separated by commas, one run for each at
            every rate.
        stop_at: a loss at which a run has converged and stops. Unless given, all steps are made.
    """

    lr: str = "0.001,0.01,0.1,1.0"
    steps: Steps = None
    seed: str | None = None
    optimizer: Optimizer = None
    momentum: str | None = None
    batch: Annotated[
        Batch, Parameter(help="the number of samples of a step. Unless given: all.")
    ] = None
    stop_at: float | None = None


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True)
class SweepOutput(OutputOptions):
    """The store, the tables, the picture, and the form of the report.

    Attributes:
        store: a folder for the losses of the runs. If the command was interrupted or killed, the
            same command with the same folder continues it.
        csv: where to save the table of all runs, as CSV.
        parquet: where to save it as Parquet.
    """

    store: Path | None = None
    csv: Path | None = None
    parquet: Path | None = None


def sweep(
    file: File = None,
    /,
    *,
    data: DataOptions = DataOptions(),
    model: ModelOptions = ModelOptions(),
    runs: SweepOptions = SweepOptions(),
    execution: ExecutionOptions = ExecutionOptions(),
    output: SweepOutput = SweepOutput(),
) -> int:
    """Train one network at several learning rates, and compare.

    The network, its data and the other settings are those of `talweg train`, with the same
    defaults, except that a step takes all samples: with batches, the noise of the losses would be
    reported as oscillation.

    Args:
        file: a CSV or Parquet file; None for the lesson.
        data: the columns of the file.
        model: the network and its loss.
        runs: the runs.
        execution: what computes them.
        output: what is saved and printed.

    Returns:
        The exit code.
    """
    usual = defaults(file)
    rates = learning_rates("--lr", runs.lr)
    seeds = [usual.seed] if runs.seed is None else numbers("--seed", runs.seed, int)
    optimizer = runs.optimizer or usual.optimizer
    momenta = _momenta(optimizer, runs.momentum)
    if len(momenta) > MOST_COMBINATIONS and not output.no_plot:
        raise ArgumentError(
            f"one picture shows up to {MOST_COMBINATIONS} momenta; give fewer, or --no-plot"
        )
    picture = output.picture("sweep")
    tables = (
        output_file("--csv", output.csv, (".csv",)),
        output_file("--parquet", output.parquet, (".parquet",)),
    )
    problem = problem_of("sweep", file, data, model, batch=runs.batch, seed=seeds[0])
    result = run_sweep(
        problem.make_model,
        problem.samples,
        rates,
        seeds=seeds,
        steps=runs.steps or usual.steps,
        optimizer=OPTIMIZERS[optimizer],
        engine=execution.engine,
        mode=execution.mode,
        threads=execution.threads,
        stop_at=runs.stop_at,
        store=output.store,
        progress=True,
        **_settings(problem, momenta),
    )
    if result.interrupted:
        requested = len(rates) * len(seeds) * max(1, len(momenta))
        finished = int(result.whole.sum())
        print_note(f"interrupted: {finished} of {requested} runs were finished")
    plots, saved = _save(result, picture, *tables)
    if output.as_json:
        print_json(document(problem, result, optimizer, plots, saved))
    else:
        print_sweep(problem, result, optimizer, plots, saved)
    if result.interrupted:
        return exit_codes.INTERRUPTED
    return exit_codes.FINE if result.best else exit_codes.DIVERGED


def _momenta(optimizer: str, momentum: str | None) -> list[float]:
    """The momenta to try; empty if none were given."""
    if momentum is None:
        return []
    if optimizer != "sgd":
        raise ArgumentError(f"--momentum is for --optimizer sgd, not for {optimizer}")
    return numbers("--momentum", momentum, float)


def _settings(problem: TrainingProblem, momenta: list[float]) -> dict[str, Any]:
    """The settings that `sweep` passes on to `train`, and the grid; only those that are given."""
    settings: dict[str, Any] = {"loss": problem.loss, "reduction": problem.reduction}
    if problem.batch is not None:
        settings["batch_size"] = problem.batch
    if momenta:
        settings["grid"] = {"momentum": momenta}
    return settings


def _save(
    result: SweepResult, picture: Path | None, csv: Path | None, parquet: Path | None
) -> tuple[list[Path], list[Path]]:
    """Save the pictures and the tables; the paths of those that were saved."""
    from talweg.plotting import figure

    saved = [] if csv is None else [result.to_csv(csv)]
    saved += [] if parquet is None else [result.to_parquet(parquet)]
    plots = []
    if picture is not None and len(result):
        plots = [figure.save(result.plot(), picture)]
    return plots, saved


COMMAND = Command(
    run=sweep,
    usage="[FILE] [OPTIONS]",
    examples=(
        "talweg sweep",
        "talweg sweep --lr 0.001..10:200 --seed 1,2,3 --csv sweep.csv",
        "talweg sweep --lr 0.001..1:30 --momentum 0,0.9",
        "talweg sweep iris.csv --target species --lr 0.001,0.01,0.1",
    ),
    trains=True,
)
