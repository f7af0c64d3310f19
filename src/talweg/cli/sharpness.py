"""`talweg sharpness`: which learning rates are stable, from the curvature of a loss.

The loss is that of the lesson, or of a file, at the initial weights. Start reading at `sharpness`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from talweg.cli import exit_codes
from talweg.cli.command import Command
from talweg.cli.console import print_json, print_line, print_saved
from talweg.cli.defaults import defaults
from talweg.cli.options import (
    OPTIMIZERS,
    TRAINING,
    DataOptions,
    File,
    LearningRate,
    ModelOptions,
    Optimizer,
    OutputOptions,
    PositiveInteger,
    RunOptions,
)
from talweg.cli.run_outcome import exit_code, print_verdict
from talweg.cli.training_problem import TrainingProblem, problem_of
from talweg.errors import ArgumentError
from talweg.explore.sharpness import Sharpness, SharpnessCallback
from talweg.explore.sharpness import sharpness as sharpness_of
from talweg.optim import Optimizer as Rule
from talweg.training.history import History
from talweg.training.objective import Model
from talweg.training.train import train


@Parameter(name="*", group=TRAINING)
@dataclass(frozen=True)
class SharpnessOptions(RunOptions):
    """The learning rate to judge, and the run along which the curvature is measured.

    Attributes:
        along: train too, measure the curvature along the run, and save a picture; sgd only.
        steps: with --along, the number of updates. Unless given: 50.
        every: with --along, the number of steps between two measurements. Unless given: 1.
    """

    optimizer: Annotated[
        Optimizer,
        Parameter(
            help="the rule that updates parameters. Unless given: sgd; with a file and without "
            "--along, adam."
        ),
    ] = None
    lr: LearningRate = None
    along: bool = False
    steps: PositiveInteger = 50
    every: PositiveInteger = 1


def sharpness(
    file: File = None,
    /,
    *,
    data: DataOptions = DataOptions(),
    model: ModelOptions = ModelOptions(),
    run: SharpnessOptions = SharpnessOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Show how large a learning rate the curvature of the loss allows.

    The network, its data and the other settings are those of `talweg train`, with the same
    defaults, except that the loss is that of all samples, because the curvature differs from batch
    to batch.

    Args:
        file: a CSV or Parquet file; None for the lesson.
        data: the columns of the file.
        model: the network and its loss.
        run: the learning rate, and the run along which the curvature is measured.
        output: what is saved and printed.

    Returns:
        The exit code.
    """
    if output.plot is not None and not run.along:
        raise ArgumentError("--plot draws a run; give --along too")
    usual = defaults(file)
    chosen = run.settings(replace(usual, optimizer="sgd") if run.along else usual)
    path = output.picture("sharpness") if run.along else None
    optimizer = OPTIMIZERS[chosen.optimizer](chosen.lr)
    problem = problem_of("sharpness", file, data, model, batch=None, seed=chosen.seed)
    network = problem.model()
    settings: dict[str, Any] = {
        "loss": problem.loss,
        "reduction": problem.reduction,
        "optimizer": optimizer,
    }
    start = sharpness_of(network, problem.samples, **settings)
    measure = None
    if run.along:
        measure = SharpnessCallback(network, problem.samples, steps=run.every, **settings)
    if not output.as_json:
        _print_start(problem, network, optimizer, start, chosen.lr)
    history, saved = None, None
    if measure is not None:
        history = train(
            network,
            problem.samples,
            steps=run.steps,
            callbacks=[measure],
            progress=True,
            **settings,
        )
        if path is not None and history.sharpness:
            from talweg.plotting import figure

            saved = figure.save(history.plot_stability(), path)
    if output.as_json:
        print_json(_document(problem, network, optimizer, start, history, saved))
    elif history is not None:
        _print_run(history, saved)
    return exit_codes.FINE if history is None else exit_code(history)


# ---- the report -----------------------------------------------------------------------------


def _print_start(
    problem: TrainingProblem, model: Model, optimizer: Rule, start: Sharpness, lr: float
) -> None:
    samples = "summed over the lesson's four samples"
    if problem.file is not None:
        print_line(str(problem.file), "bold")
        samples = f"mean over {len(problem.samples)} rows, those that talweg train would train on"
    print_line(f"Network: {model!r}, seed {problem.seed}")
    print_line(f"Loss: {problem.loss_name}, {samples}")
    print_line()
    print_line(f"Largest curvature at the start: {start.largest:.6g}")
    print_line(f"Length of the gradient: {start.gradient_norm:.6g}")
    name = type(optimizer).__name__
    print_line(f"Largest stable learning rate of {name}: {start.max_stable_lr:.6g}", "bold")
    print_line()
    print_line(f"Learning rate {start.summary(lr)}.")


def _print_run(history: History, saved: Path | None) -> None:
    measured = list(zip(history.sharpness, history.sharpness_limits, strict=True))
    finite = [(largest, step) for (step, largest), _ in measured if math.isfinite(largest)]
    if finite:
        highest, step = max(finite)
        limit = history.sharpness_limits[0][1]
        above = [step for (step, largest), (_, limit) in measured if largest > limit]
        first = f", first at step {above[0]}" if above else ""
        print_line()
        print_line(f"Along {history.steps} steps the largest was {highest:.6g}, at step {step}")
        print_line(
            f"Above {limit:.6g}, unstable at this learning rate: {len(above)} of "
            f"{len(measured)} measurements{first}"
        )
    print_verdict(history, with_losses=True)
    print_saved("Picture", saved)


def _document(
    problem: TrainingProblem,
    model: Model,
    optimizer: Rule,
    start: Sharpness,
    history: History | None,
    saved: Path | None,
) -> dict[str, Any]:
    lr: Any = optimizer.lr
    document = {
        "command": "sharpness",
        "file": None if problem.file is None else str(problem.file),
        "network": repr(model),
        "seed": problem.seed,
        "optimizer": type(optimizer).__name__,
        "learning_rate": lr,
        "largest": start.largest,
        "max_stable_lr": start.max_stable_lr,
        "gradient_norm": start.gradient_norm,
        "products": start.products,
        "summary": start.summary(lr),
        "plots": [] if saved is None else [str(saved)],
    }
    if history is not None:
        document |= {
            "steps": history.steps,
            "losses": history.losses,
            "sharpness": history.sharpness,
            "sharpness_limits": history.sharpness_limits,
            "status": history.status,
            "verdict": history.verdict,
        }
    return document


COMMAND = Command(
    run=sharpness,
    usage="[FILE] [OPTIONS]",
    examples=(
        "talweg sharpness",
        "talweg sharpness --lr 0.1 --along",
        "talweg sharpness --optimizer adam --lr 0.01",
        "talweg sharpness iris.csv --target species --lr 0.02",
    ),
    trains=True,
)
