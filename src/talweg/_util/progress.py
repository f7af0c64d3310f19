"""The progress bar of long runs, on standard error, and only if that is a terminal.

Start reading at `progress_bar`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich is imported where a bar is shown
    from rich.console import Console

_SLOW = 1.0
"""A step of preparation that takes so many seconds is named while it goes on."""

_consoles: list[Console] = []
"""The consoles of the bars that are shown now; text between their updates goes there."""


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
def slow_step(what: str, enabled: bool) -> Iterator[None]:
    """Say what the block does, on a terminal, if it takes more than a second.

    Args:
        what: such as "compiling the loss of example 3".
        enabled: whether anything is said at all.
    """
    if not enabled:
        yield
        return
    timer = threading.Timer(_SLOW, _say, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(what: str) -> None:
    from rich.console import Console

    console = _consoles[-1] if _consoles else Console(stderr=True)
    if console.is_terminal:
        console.print(f"{what} ...", markup=False, highlight=False)


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
        _consoles.append(bar.console)
        try:
            yield lambda done, text: bar.update(task, completed=done, text=text)
        finally:
            _consoles.remove(bar.console)
