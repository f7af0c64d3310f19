"""The report of `talweg sweep`: a table of the runs and a conclusion, as text or as JSON.

Start reading at `print_sweep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from talweg.cli.console import fits, loss_text, print_line, print_saved, print_table
from talweg.cli.training_problem import TrainingProblem
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.run import Run

_MOST_ROWS = 20
"""The number of runs that are printed; files have all."""


def print_sweep(
    problem: TrainingProblem,
    result: SweepResult,
    optimizer: str,
    plots: Sequence[Path],
    saved: Sequence[Path],
) -> None:
    """Print a sweep for people.

    Args:
        problem: what was trained.
        result: the result of the sweep.
        optimizer: the name of the optimiser.
        plots: where pictures were saved.
        saved: where tables were saved.
    """
    print_line(f"{problem.name} at each learning rate, {result.steps} steps", "bold")
    if problem.file is not None:
        batch = "all rows" if problem.batch is None else f"{problem.batch} rows"
        print_line(f"Network: {problem.model()!r}")
        print_line(f"Loss: {problem.loss_name}, mean over {batch} of a step; optimizer {optimizer}")
        print_line()
    _print_table(result)
    about_limit = _describe_limit(result)
    if about_limit:
        print_line()
        print_line(f"Rate {about_limit}")
    print_line()
    print_saved("Picture", *plots)
    print_saved("Table", *saved)
    conclusion = result.summary
    style = "bold red" if result.best is None else "bold"
    print_line(conclusion[:1].upper() + conclusion[1:], style)


def _print_table(result: SweepResult) -> None:
    """Print the first rows, without the columns for which the terminal is too narrow."""
    header, rows = _table(result)
    # A line below the table has the share of the limit too, so this column is the first to go.
    for left_out in ((), ("of limit",), ("of limit", "best loss")):
        columns = [i for i, name in enumerate(header) if name not in left_out]
        lines = [[line[i] for i in columns] for line in (header, *rows)]
        unknown = "of limit" not in left_out and {row[-2] for row in rows} == {"nan"}
        if not unknown and fits(lines):
            break
    print_table(lines[0], lines[1:], left=[len(lines[0]) - 1])
    more = len(result) - len(rows)
    if more:
        print_line(f"  ... and {more:,} more; --csv saves all")


def _table(result: SweepResult) -> tuple[list[str], list[list[str]]]:
    """The header and the first rows, with all columns."""
    varied = [
        name
        for name, values in result.settings.items()
        if name not in ("learning_rate", "seed") or (name == "seed" and len(set(values)) > 1)
    ]
    header = ["rate", *(name.replace("_", " ") for name in varied)]
    header += ["first loss", "final loss", "best loss", "of limit", "verdict"]
    runs: Sequence[Run] = result.runs[:_MOST_ROWS]
    shares = result.lr_over_limit[: len(runs)].tolist()
    rows = [
        [
            f"{run.learning_rate:.6g}",
            *(str(run.settings[name]) for name in varied),
            loss_text(run.history.losses[0]),
            loss_text(run.history.losses[-1]),
            loss_text(run.best_loss),
            f"{share:.3g}",
            run.summary,
        ]
        for run, share in zip(runs, shares, strict=True)
    ]
    return header, rows


def _describe_limit(result: SweepResult) -> str:
    """A sentence on the first run above its limit at the start, or else on the last run."""
    above = (result.lr_over_limit > 1.0).tolist()
    k = above.index(True) if True in above else len(result) - 1
    return result.describe_limit(k) if len(result) else ""


def document(
    problem: TrainingProblem,
    result: SweepResult,
    optimizer: str,
    plots: Sequence[Path],
    saved: Sequence[Path],
) -> dict[str, Any]:
    """A sweep for programs; for the arguments see `print_sweep`."""
    best = result.best
    limits, shares = result.max_stable_lrs.tolist(), result.lr_over_limit.tolist()
    return {
        "command": "sweep",
        "file": None if problem.file is None else str(problem.file),
        "network": repr(problem.model()),
        "optimizer": optimizer,
        "steps": result.steps,
        "batch": problem.batch,
        "runs": [
            {
                **run.settings,
                "first_loss": run.history.losses[0],
                "final_loss": run.history.losses[-1],
                "best_loss": run.best_loss,
                "verdict": run.verdict,
                "summary": run.summary,
                "max_stable_lr": limits[k],
                "lr_over_limit": shares[k],
                "losses": run.history.losses,
            }
            for k, run in enumerate(result.runs)
        ],
        "best_learning_rate": None if best is None else best.learning_rate,
        "summary": result.summary,
        "fallback_reason": result.fallback_reason,
        "plots": [str(path) for path in plots],
        "tables": [str(path) for path in saved],
    }
