"""How a training run ended: its exit code, and what is said and saved after it."""

from __future__ import annotations

from pathlib import Path

from talweg.cli.console import in_options, say
from talweg.explore.verdicts import verdict
from talweg.training.history import History

FINE, FAILED, WRONG_USAGE, DIVERGED, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 3, 130, 141

MEANING = """Exit codes:
    0  fine
    1  failed: a file could not be written, or a bug
    2  wrong usage, or data or a model that cannot be used
    3  the training diverged
  130  interrupted by Ctrl-C; what there was by then is reported and saved
  141  the reader of the output went away"""


def diverged(history: History) -> bool:
    """Whether the losses ended in inf or nan, or far above where they began.

    Where there are validation losses they decide: those of training are each of another batch.
    """
    if history.status == "diverged":
        return True
    curve = [loss for _, loss in history.validation_losses] or history.losses
    return bool(curve) and verdict(curve) == "diverged"


def exit_code(history: History) -> int:
    """The exit code of a command that ran one training.

    >>> exit_code(History(losses=[4.0, 1.0], status="finished"))
    0
    >>> exit_code(History(losses=[4.0, 400.0], status="finished"))
    3
    """
    if history.status == "interrupted":
        return INTERRUPTED
    return DIVERGED if diverged(history) else FINE


def say_verdict(history: History, text: str) -> None:
    """Print how the run ended, in red if it diverged."""
    say(f"Verdict: {in_options(text)}", "bold red" if diverged(history) else "bold")


def say_saved(what: str, *paths: Path | None) -> None:
    """Print where something was saved, if it was."""
    written = [str(path) for path in paths if path is not None]
    if written:
        say(f"{what} saved to {' and '.join(written)}")
