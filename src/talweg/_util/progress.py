"""The progress bar of long runs, on standard error, and only if that is a terminal.

Start reading at `progress_bar`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    total: int, enabled: bool, unit: str = "step"
) -> Iterator[Callable[[int, float], None]]:
    """Show a progress bar during a `with` block.

    Args:
        total: the number of units of work.
        enabled: whether a bar is shown at all.
        unit: the name of a unit.

    Yields:
        A function (units done, loss) that updates the bar.
    """
    with _bar(total, enabled, unit) as update:
        yield lambda done, loss: update(done, f"loss {loss:.6f}")


@contextmanager
def counting_bar(total: int, enabled: bool, unit: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar without a loss; see `progress_bar`.

    Yields:
        A function (units done) that updates the bar.
    """
    with _bar(total, enabled, unit) as update:
        yield lambda done: update(done, "")


@contextmanager
def _bar(total: int, enabled: bool, unit: str) -> Iterator[Callable[[int, str], None]]:
    if not enabled:
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
