"""Printing: words and tables for people, one JSON document or CSV for programs.

Standard output has what was asked for; notes, warnings and errors go to standard error.
Text is wrapped at the width of the terminal, or at 80 columns where there is none, and is
coloured on a terminal only, unless NO_COLOR is set. Tables have no lines, so they survive
any encoding. Text from files may hold control characters; `printable` makes them visible.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text


class _Console(Console):
    """rich's console, but a closed pipe is an exception that `main` answers for all output."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def console() -> Console:
    """A console on standard output as it is now: its width, its colours, its encoding."""
    return _Console(highlight=False, markup=False, emoji=False)


def prepare_output() -> None:
    """What the encoding of standard output cannot write is written as an escape."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def finish_output() -> None:
    """Write what is still in the buffer of standard output; if that fails, throw it away.

    Otherwise Python would try once more at its end, and complain in lines of its own.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # the reader is gone, the disk is full, it is closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


# ---- for people ---------------------------------------------------------------------------


def say(text: str = "", style: str = "") -> None:
    """Print a line, wrapped between words; a long path stays in one piece.

    Args:
        text: the line.
        style: a style of rich, such as "bold".
    """
    here = console()
    # rich would cut a long path in two.
    lines = textwrap.wrap(
        printable(text), here.width, break_long_words=False, break_on_hyphens=False
    )
    here.print(Text("\n".join(lines), style=style), overflow="ignore", crop=False)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()) -> None:
    """Print a table, indented by two columns, without lines.

    Args:
        header: the names of the columns.
        rows: the cells.
        words: the columns that hold words and stand to the left; numbers stand to the right.
    """
    grid = Table(box=None, padding=(0, 0, 0, 2), header_style="bold")
    for i, name in enumerate(header):
        grid.add_column(printable(name), justify="left" if i in words else "right", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    console().print(grid)


def fits(rows: Sequence[Sequence[str]]) -> bool:
    """Whether `table` can print these rows without breaking a cell into two lines."""
    widths = (
        max(cell_len(printable(cell)) for cell in column) for column in zip(*rows, strict=True)
    )
    return sum(2 + width for width in widths) <= console().width


def six(x: float) -> str:
    """A loss with six decimals; with an exponent where that would be long.

    >>> six(5.27884412), six(1e300)
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


# ---- standard error -----------------------------------------------------------------------


def note(text: str) -> None:
    """Print one line on standard error, after the name of the program."""
    if sys.stderr is not None:
        sys.stderr.write(f"talweg: {printable(' '.join(in_options(text).split()))}\n")
        sys.stderr.flush()


def show_warning(message: Warning | str, *place: Any, **more: Any) -> None:
    """What `warnings.showwarning` is while a command runs: one line, without its place."""
    note(f"warning: {message}")


def in_options(text: str) -> str:
    """A message that names an argument of Python, in words of the command line.

    >>> in_options("leave it out with ignore=['age', 'id no']")
    "leave it out with --ignore 'age,id no'"
    >>> in_options("take texts as classes with kind='classification'")
    'take texts as classes with --kind classification'
    >>> in_options('engine="native" is not possible: batch_size is set')
    '--engine native is not possible: --batch is set'
    """

    def option(found: re.Match[str]) -> str:
        names = ast.literal_eval(found[1])
        return f"--ignore {shlex.quote(','.join(names))}"

    text = re.sub(r"ignore=(\[('[^']*'(, )?)+\])", option, text)
    text = re.sub(r"kind='(\w+)'", r"--kind \1", text)
    text = re.sub(r'(engine|mode)="(\w+)"', r"--\1 \2", text).replace("batch_size", "--batch")
    return text.replace(" or clip_norm", "")  # which the command line does not offer


def printable(text: str) -> str:
    r"""Text in which control characters are visible and harmless.

    >>> printable("red \x1b[31m")
    'red \\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
