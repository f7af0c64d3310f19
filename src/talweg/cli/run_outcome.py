"""The outcome of one training run: whether it diverged, its exit code, its verdict."""

from __future__ import annotations

from talweg.cli import exit_codes
from talweg.cli.console import print_line
from talweg.explore.verdicts import summary, verdict
from talweg.training.history import History


def diverged(history: History) -> bool:
    """Whether the losses ended in inf or nan, or far above the first.

    If there are validation losses, they decide: each training loss is of another batch.
    """
    if history.status == "diverged":
        return True
    curve = [loss for _, loss in history.validation_losses] or history.losses
    return bool(curve) and verdict(curve) == "diverged"


def exit_code(history: History) -> int:
    """The exit code of a command that made one training run.

    >>> exit_code(History(losses=[4.0, 1.0], status="finished"))
    0
    >>> exit_code(History(losses=[4.0, 400.0], status="finished"))
    3
    """
    if history.status == "interrupted":
        return exit_codes.INTERRUPTED
    return exit_codes.DIVERGED if diverged(history) else exit_codes.FINE


def print_verdict(history: History, *, with_losses: bool = False) -> None:
    """Print how the run ended, in red if it diverged.

    Args:
        history: the record of the run.
        with_losses: whether to judge the losses of a run that finished.
    """
    text = history.verdict
    if with_losses and history.status == "finished":
        text = summary(history.losses)
    elif history.advice:  # it names clip_norm, which is not an option
        text = f"{text.removesuffix(history.advice)}try a smaller learning rate"
    print_line(f"Verdict: {text}", "bold red" if diverged(history) else "bold")
