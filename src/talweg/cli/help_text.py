"""How `--help` looks: two columns without boxes, which any terminal and any pipe can show."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions


def help_formatter(console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
    """Print one group of commands or options, as cyclopts asks for it.

    Args:
        console: where to print.
        options: not needed; the console knows its width.
        panel: the title and the entries.
    """
    if not panel.entries:
        return
    grid = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    for entry in panel.entries:
        grid.add_row(Text(", ".join(entry.display_labels_with_metavar)), _description(entry))
    console.print(Text(f"{panel.title}:", style="bold"))
    console.print(grid)
    console.print()


def _description(entry: HelpEntry) -> Text:
    """The description without the line ends of the docstring, and the choices if there are."""
    found = getattr(entry.description, "primary_renderable", entry.description)
    words = " ".join(str(found or "").split())
    return Text(words + (f" [{', '.join(entry.choices)}]" if entry.choices else ""))


def summary(command: Callable[..., int]) -> str:
    """What a command's docstring says before its arguments, one line a paragraph.

    Args:
        command: a function with a docstring in Google's style.
    """
    text = (inspect.getdoc(command) or "").partition("\nArgs:")[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
