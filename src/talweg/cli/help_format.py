"""The layout of `--help`: two columns without boxes, which every terminal and pipe can show."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

_WIDTH = 19
"""The least width of the column of options, so that the groups of a command are aligned."""


def help_formatter(
    console: Console, options: ConsoleOptions, panel: HelpPanel, command: str = ""
) -> None:
    """Print one group of commands or options, as cyclopts requires.

    Args:
        console: where to print.
        options: not used; the console knows its width.
        panel: the title and the entries.
        command: the command that the help is of.
    """
    if not panel.entries:
        return
    grid = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    grid.add_column(min_width=_WIDTH if command else None)
    grid.add_column()
    for entry in panel.entries:
        labels = ", ".join(entry.display_labels_with_metavar)
        grid.add_row(Text(labels), _description(entry, command))
    console.print(Text(f"{panel.title}:", style="bold"))
    console.print(grid)
    console.print()


def _description(entry: HelpEntry, command: str) -> Text:
    """The description in one paragraph, with the name of the command, and the choices."""
    found = getattr(entry.description, "primary_renderable", entry.description)
    words = " ".join(str(found or "").split()).replace("{command}", command)
    return Text(words + (f" [{', '.join(entry.choices)}]" if entry.choices else ""))


def summary(command: Callable[..., int]) -> str:
    """The docstring of a command up to its arguments, one line a paragraph.

    Args:
        command: a function with a docstring in Google's style.
    """
    text = (inspect.getdoc(command) or "").partition("\nArgs:")[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
