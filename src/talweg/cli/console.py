"""Standard output: lines and tables for people, one JSON document for programs.

Lines are wrapped at the width of the terminal, or at 80 columns where there is none. Colour is
used on a terminal only, and not if NO_COLOR is set. Tables have no lines, so every encoding can
write them. Text from files can hold control characters; `printable` makes them visible. Notes,
warnings and errors go to standard error, see `talweg.cli.messages`.
"""

from __future__ import annotations

import json
import math
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text


class _Console(Console):
    """rich's console, but a closed pipe is an exception, which `main` handles for all output."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def console() -> Console:
    """A console on the present standard output, with its width, colours and encoding."""
    return _Console(highlight=False, markup=False, emoji=False)


def prepare_output() -> None:
    """Write characters that the encoding of standard output does not have as escapes."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def finish_output() -> None:
    """Write the rest of the buffer of standard output; if that fails, discard it.

    Otherwise Python tries again when it exits, and prints messages of its own.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # the pipe is closed, the disk is full, the file is closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def printable(text: str) -> str:
    r"""Text in which control characters are visible and harmless.

    >>> printable("red \x1b[31m")
    'red \\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# ---- for people ---------------------------------------------------------------------------


def print_line(text: str = "", style: str = "") -> None:
    """Print a line, wrapped between words; a long path is not divided.

    Args:
        text: the line.
        style: a style of rich, such as "bold".
    """
    here = console()
    # rich would divide a long path.
    lines = textwrap.wrap(
        printable(text), here.width, break_long_words=False, break_on_hyphens=False
    )
    here.print(Text("\n".join(lines), style=style), overflow="ignore", crop=False)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = ()
) -> None:
    """Print a table, indented by two columns, without lines.

    Args:
        header: the names of the columns.
        rows: the cells.
        left: the columns that are aligned to the left, those of text; others to the right.
    """
    grid = Table(box=None, padding=(0, 0, 0, 2), header_style="bold")
    for i, name in enumerate(header):
        grid.add_column(printable(name), justify="left" if i in left else "right", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    console().print(grid)


def fits(rows: Sequence[Sequence[str]]) -> bool:
    """Whether `print_table` can print these rows without wrapping a cell."""
    widths = (
        max(cell_len(printable(cell)) for cell in column) for column in zip(*rows, strict=True)
    )
    return sum(2 + width for width in widths) <= console().width


def print_saved(what: str, *paths: Path | None) -> None:
    """Print where something was saved; nothing if no path is given."""
    written = [str(path) for path in paths if path is not None]
    if written:
        print_line(f"{what} saved to {' and '.join(written)}")


def loss_text(x: float) -> str:
    """A loss with six decimals; a large one with an exponent.

    >>> loss_text(5.27884412), loss_text(1e300)
    ('5.278844', '1.000000e+300')
    """
    return f"{x:.6f}" if abs(x) < 1e9 else f"{x:.6e}"


# ---- for programs -------------------------------------------------------------------------


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document; inf and nan, which JSON does not have, become null."""
    sys.stdout.write(json.dumps(_finite(document), allow_nan=False) + "\n")


def _finite(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: _finite(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [_finite(value) for value in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x
