"""What `talweg sweep` prints: a table of the runs, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from talweg.cli import ending
from talweg.cli.console import fits, say, six, table
from talweg.cli.subject import Subject
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.run import Run

_MOST_ROWS = 20
"""So many runs are printed; files take all."""


def say_sweep(
    subject: Subject,
    result: SweepResult,
    optimizer: str,
    plots: Sequence[Path],
    saved: Sequence[Path],
) -> None:
    """Print a sweep for people.

    Args:
        subject: what was trained.
        result: what became of it.
        optimizer: the name of the optimiser.
        plots: where pictures were saved.
        saved: where tables were saved.
    """
    say(f"{subject.name} at each learning rate, {result.steps} steps", "bold")
    if subject.file is not None:
        batch = "all rows" if subject.batch is None else f"{subject.batch} rows"
        say(f"Network: {subject.model()!r}")
        say(f"Loss: {subject.loss_name}, mean over {batch} of a step; optimizer {optimizer}")
        say()
    _say_table(result)
    words = _about_the_limit(result)
    if words:
        say()
        say(f"Rate {words}")
    say()
    ending.say_saved("Picture", *plots)
    ending.say_saved("Table", *saved)
    closing = result.summary
    style = "bold red" if result.best is None else "bold"
    say(closing[:1].upper() + closing[1:], style)


def _say_table(result: SweepResult) -> None:
    """The first rows; the column "of limit" only where it fits: words below say the same."""
    runs: Sequence[Run] = result.runs[:_MOST_ROWS]
    several = [
        name
        for name, values in result.settings.items()
        if name not in ("learning_rate", "seed") or (name == "seed" and len(set(values)) > 1)
    ]
    header = ["rate", *(name.replace("_", " ") for name in several)]
    header += ["first loss", "final loss", "best loss", "verdict"]
    rows = [
        [
            f"{run.learning_rate:.6g}",
            *(str(run.settings[name]) for name in several),
            six(run.history.losses[0]),
            six(run.history.losses[-1]),
            six(run.best_loss),
            run.summary,
        ]
        for run in runs
    ]
    shares = [f"{share:.3g}" for share in result.lr_over_limit[: len(runs)].tolist()]
    wider = [[*row[:-1], share, row[-1]] for row, share in zip(rows, shares, strict=True)]
    wide_header = [*header[:-1], "of limit", header[-1]]
    if set(shares) != {"nan"} and fits([wide_header, *wider]):
        header, rows = wide_header, wider
    elif not fits([header, *rows]):  # then the best loss is what can be done without
        header, *rows = [[*row[:-2], row[-1]] for row in [header, *rows]]
    table(header, rows, words=[len(header) - 1])
    more = len(result) - len(runs)
    if more:
        say(f"  ... and {more:,} more; --csv saves all")


def _about_the_limit(result: SweepResult) -> str:
    """The words for the first run above its limit at the start, or else for the last run."""
    above = (result.lr_over_limit > 1.0).tolist()
    k = above.index(True) if True in above else len(result) - 1
    return result.describe_limit(k) if len(result) else ""


def document(
    subject: Subject,
    result: SweepResult,
    optimizer: str,
    plots: Sequence[Path],
    saved: Sequence[Path],
) -> dict[str, Any]:
    """A sweep for programs; for the arguments see `say_sweep`."""
    best = result.best
    limits, shares = result.max_stable_lrs.tolist(), result.lr_over_limit.tolist()
    return {
        "command": "sweep",
        "file": None if subject.file is None else str(subject.file),
        "network": repr(subject.model()),
        "optimizer": optimizer,
        "steps": result.steps,
        "batch": subject.batch,
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
