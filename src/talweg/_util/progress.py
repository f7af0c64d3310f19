"""The progress bar of long runs: on a terminal only, and on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    total: int, wanted: bool, unit: str = "step"
) -> Iterator[Callable[[int, float], None]]:
    """A function (how many are done, loss) that moves a progress bar, or does nothing."""
    with _bar(total, wanted, unit) as move:
        yield lambda step, loss: move(step, f"loss {loss:.6f}")


@contextmanager
def counting_bar(total: int, wanted: bool, unit: str) -> Iterator[Callable[[int], None]]:
    """A function (how many are done) that moves a progress bar, or does nothing."""
    with _bar(total, wanted, unit) as move:
        yield lambda done: move(done, "")


@contextmanager
def _bar(total: int, wanted: bool, unit: str) -> Iterator[Callable[[int, str], None]]:
    if not wanted:
        yield lambda done, text: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn(unit),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=total, text="")
        yield lambda done, text: bar.update(task, completed=done, text=text)
