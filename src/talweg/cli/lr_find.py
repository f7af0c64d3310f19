"""`talweg lr-find`: a learning-rate range test, on the lesson or on a file.

Start reading at `lr_find`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from talweg.cli import exit_codes
from talweg.cli.command import Command
from talweg.cli.console import print_json, print_line, print_saved, print_table
from talweg.cli.defaults import Defaults, defaults
from talweg.cli.messages import OPTIONS
from talweg.cli.options import (
    OPTIMIZERS,
    TRAINING,
    Batch,
    DataOptions,
    File,
    ModelOptions,
    OutputOptions,
    PositiveInteger,
    RunOptions,
)
from talweg.cli.training_problem import TrainingProblem, problem_of
from talweg.explore.range_test import RangeTest, lr_range_test


@Parameter(name="*", group=TRAINING)
@dataclass(frozen=True)
class RangeTestOptions(RunOptions):
    """The training run whose learning rate grows.

    Attributes:
        lr_min: the first learning rate. Unless given: 0.00001.
        lr_max: the last learning rate. Unless given: 10.
        steps: the number of updates from the first to the last. Unless given: 100.
    """

    lr_min: float = 1e-5
    lr_max: float = 10.0
    steps: PositiveInteger = 100
    batch: Batch = None


def lr_find(
    file: File = None,
    /,
    *,
    data: DataOptions = DataOptions(),
    model: ModelOptions = ModelOptions(),
    run: RangeTestOptions = RangeTestOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Suggest a learning rate: train briefly while the rate grows, and judge the loss.

    The network, its data and the other settings are those of `talweg train`, with the same
    defaults. The suggested rates are printed and not used: pass one of them to talweg train --lr.

    Args:
        file: a CSV or Parquet file; None for the lesson.
        data: the columns of the file.
        model: the network and its loss.
        run: the training run.
        output: what is saved and printed.

    Returns:
        The exit code.
    """
    chosen = run.settings(defaults(file))
    path = output.picture("lr-find")
    problem = problem_of("lr-find", file, data, model, batch=chosen.batch, seed=chosen.seed)
    test = lr_range_test(
        problem.model(),
        problem.samples,
        loss=problem.loss,
        reduction=problem.reduction,
        optimizer=OPTIMIZERS[chosen.optimizer](0.0),
        lr_min=run.lr_min,
        lr_max=run.lr_max,
        steps=run.steps,
        batch_size=problem.batch,
        seed=problem.seed,
        progress=True,
    )
    saved = None
    if path is not None and test.losses:
        from talweg.plotting import figure

        saved = figure.save(test.plot(), path)
    if output.as_json:
        print_json(_document(problem, test, chosen, saved))
    else:
        _print(problem, test, chosen, saved)
    if test.status == "interrupted":
        return exit_codes.INTERRUPTED
    return exit_codes.DIVERGED if test.status == "diverged at once" else exit_codes.FINE


# ---- the report -----------------------------------------------------------------------------


def _print(problem: TrainingProblem, test: RangeTest, chosen: Defaults, saved: Path | None) -> None:
    print_line(f"{problem.name}: learning-rate range test", "bold")
    print_line(f"Network: {problem.model()!r}, seed {problem.seed}")
    batch = "all samples" if problem.batch is None else f"{problem.batch} samples"
    print_line(f"At most {chosen.steps} steps of {batch}, optimizer {chosen.optimizer}")
    print_line()
    if test.suggestions:
        rows = [[rule, f"{rate:.3g}"] for rule, rate in test.suggestions.items()]
        print_table(["rule", "rate"], rows, left=[0])
        print_line()
    if test.max_stable_lr is not None and math.isfinite(test.max_stable_lr):
        print_line(f"Largest stable rate at the initial weights: {test.max_stable_lr:.3g}")
        print_line()
    print_saved("Picture", saved)
    style = "bold red" if test.status == "diverged at once" else "bold"
    print_line(f"Verdict: {test.describe(OPTIONS)}", style)


def _document(
    problem: TrainingProblem, test: RangeTest, chosen: Defaults, saved: Path | None
) -> dict[str, Any]:
    return {
        "command": "lr-find",
        "file": None if problem.file is None else str(problem.file),
        "network": repr(problem.model()),
        "optimizer": chosen.optimizer,
        "steps": chosen.steps,
        "batch": problem.batch,
        "seed": problem.seed,
        "learning_rates": test.learning_rates,
        "losses": test.losses,
        "smoothed": test.smoothed,
        "suggestions": test.suggestions,
        "max_stable_lr": None
        if test.max_stable_lr is None or math.isinf(test.max_stable_lr)
        else test.max_stable_lr,
        "status": test.status,
        "summary": test.summary,
        "plots": [] if saved is None else [str(saved)],
    }


COMMAND = Command(
    run=lr_find,
    usage="[FILE] [OPTIONS]",
    examples=(
        "talweg lr-find",
        "talweg lr-find --optimizer adam --lr-max 1 --steps 200",
        "talweg lr-find iris.csv --target species",
        "talweg lr-find houses.csv --target price --ignore id,street --batch 32",
    ),
    trains=True,
)
