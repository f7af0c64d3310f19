"""`talweg sweep`: the lesson's last section, one training run for each learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from talweg.cli import ending, lesson
from talweg.cli.console import note, print_json, say, six, table
from talweg.cli.options import (
    FIGURES,
    OPTIMIZERS,
    OptimizerName,
    Whole,
    at_least_1,
    destination,
    numbers,
)
from talweg.data import lesson_data
from talweg.explore.result import SweepResult
from talweg.explore.sweep import sweep as run_sweep

EXAMPLES = """Examples:
  talweg sweep
  talweg sweep --lr 0.02,0.05,0.2 --seed 1,2,3 --steps 100"""


def sweep(
    *,
    lr: str = "0.001,0.01,0.1,1.0",
    steps: Whole = 50,
    seed: str = str(lesson.SEED),
    optimizer: OptimizerName = "sgd",
    plot: Path | None = None,
    no_plot: bool = False,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Train the lesson's network at several learning rates, and compare.

    Args:
        lr: the learning rates, separated by commas. Unless given: 0.001,0.01,0.1,1.0.
        steps: how many updates each run makes. Unless given: 50.
        seed: where the weights start; with several, separated by commas, one run for each
            at every rate. Unless given: 42.
        optimizer: how parameters move. Unless given: sgd.
        plot: where to save the picture: .png, .svg or .pdf. Unless given: talweg-sweep.png.
        no_plot: save no picture.
        as_json: print one JSON document in place of text.

    Returns:
        The exit code.
    """
    rates = numbers("--lr", lr, float)
    seeds = numbers("--seed", seed, int)
    at_least_1("--steps", steps)
    path = destination("--plot", plot, "talweg-sweep.png", no_plot, FIGURES)
    result = run_sweep(
        lesson.network,
        lesson_data(),
        rates,
        seeds=seeds,
        steps=steps,
        optimizer=OPTIMIZERS[optimizer],
        progress=True,
    )
    # Ctrl-C ends the sweep with fewer runs, the last of them perhaps cut short.
    whole = [run for run in result.runs if run.history.status != "interrupted"]
    interrupted = len(whole) < len(rates) * len(seeds)
    if interrupted:
        note(f"interrupted: {len(whole)} of {len(rates) * len(seeds)} runs were finished")
    saved = None
    if path is not None and result.runs:
        from talweg.draw import curves

        saved = curves.save(result.plot(), path)
    if as_json:
        print_json(_document(result, optimizer, saved))
    else:
        _say(result, len(seeds) > 1, saved)
    if interrupted:
        return ending.INTERRUPTED
    return ending.FINE if result.best else ending.DIVERGED


def _say(result: SweepResult, several_seeds: bool, saved: Path | None) -> None:
    header = ["rate", "first loss", "final loss", "best loss", "verdict"]
    rows = [
        [
            f"{run.learning_rate:g}",
            six(run.history.losses[0]),
            six(run.history.losses[-1]),
            six(run.best_loss),
            run.in_words,
        ]
        for run in result.runs
    ]
    if several_seeds:
        header.insert(1, "seed")
        for row, run in zip(rows, result.runs, strict=True):
            row.insert(1, str(run.seed))
    say(f"The lesson's network at each learning rate, {result.steps} steps", "bold")
    table(header, rows, words=[len(header) - 1])
    say()
    ending.say_saved("Picture", saved)
    best = result.best
    all_diverged = all(verdict == "diverged" for verdict in result.verdicts)
    none = "none, all runs diverged" if all_diverged else "none, no run was finished"
    found = none if best is None else f"{best.learning_rate:g}"
    say(f"Best learning rate: {found}", "bold")


def _document(result: SweepResult, optimizer: str, saved: Path | None) -> dict[str, Any]:
    best = result.best
    return {
        "command": "sweep",
        "optimizer": optimizer,
        "steps": result.steps,
        "runs": [
            {
                "learning_rate": run.learning_rate,
                "seed": run.seed,
                "first_loss": run.history.losses[0],
                "final_loss": run.history.losses[-1],
                "best_loss": run.best_loss,
                "verdict": run.verdict,
                "in_words": run.in_words,
                "losses": run.history.losses,
            }
            for run in result.runs
        ],
        "best_learning_rate": None if best is None else best.learning_rate,
        "plots": [] if saved is None else [str(saved)],
    }
