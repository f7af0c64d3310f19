"""How all pictures look, and where a new figure comes from.

Colours are those of Okabe and Ito (Color Universal Design, 2008), which people with any
kind of colour vision can tell apart. Colour is never the only difference: lines also
differ by their dashes and points by their markers. Start reading at `new_axes`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talweg.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#666666"

# Okabe and Ito's yellow cannot be seen as a thin line on white; grey stands in for it.
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
DASHES: tuple[Any, ...] = (
    "-",
    (0, (6, 2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (1.2, 1.2)),
    (0, (10, 2, 2, 2, 2, 2)),
    (0, (3, 1)),
    (0, (12, 3)),
    (0, (1, 2.5)),
)
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")


def new_axes(width: float = 7.0, height: float = 4.0) -> Axes:
    """Axes on a new figure of that size in inches.

    A figure made here belongs to the caller alone: it is freed with its last reference,
    and no window system is looked for. Only pyplot's figures appear by themselves,
    though: a notebook shows those that pyplot knows when a cell ends (the Axes that a
    plot function returns would appear as a line of text), and `plt.show()` opens windows
    for them. So pyplot makes the figure where it is there to show it: in a notebook, and
    in a program that has loaded it with a backend that can show something.
    """
    if _pyplot_shows_figures():
        from matplotlib import pyplot as plt

        axes: Axes = plt.figure(figsize=(width, height), layout="constrained").add_subplot()
        return axes
    return hidden_axes(width, height)


def hidden_axes(width: float, height: float) -> Axes:
    """`new_axes` that nothing shows by itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def _pyplot_shows_figures() -> bool:
    if "inline" in os.environ.get("MPLBACKEND", ""):  # set by the kernel of a notebook
        return True
    pyplot = sys.modules.get("matplotlib.pyplot")
    return pyplot is not None and pyplot.get_backend().lower() != "agg"


def dress(ax: Axes, x: str, y: str, title: str | None = None) -> None:
    """Give axes their labels, a pale grid behind the data, and no box around it."""
    ax.set_xlabel(x, fontsize=11)
    ax.set_ylabel(y, fontsize=11)
    if title:
        ax.set_title(title, fontsize=12, loc="left")
    ax.tick_params(labelsize=10)
    ax.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def short(text: object, longest: int = 24) -> str:
    """Text on one line, cut with an ellipsis where it is longer than that.

    >>> short("sepal length, measured twice", 12)
    'sepal lengt…'
    """
    line = " ".join(str(text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def plain(text: object, longest: int = 24) -> str:
    r"""`short` text as it is, which matplotlib leaves alone.

    No `$` starts a formula, and no `_` at the beginning keeps it out of a legend.

    >>> print(plain("price in $ or US$"))
    price in \$ or US\$
    >>> plain("_other")
    ' _other'
    """
    escaped = short(text, longest).replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def checked_suffix(path: str | os.PathLike[str], known: Sequence[str], what: str) -> str:
    """The suffix of a picture's path in small letters.

    Args:
        path: where the picture is to be written.
        known: the suffixes that can be written, each with its dot.
        what: what is being saved, for the message.

    Returns:
        One of `known`.

    Raises:
        ArgumentError: if the suffix is another.

    Example:
        >>> checked_suffix("plots/loss.PNG", (".png", ".svg"), "a figure")
        '.png'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        found = f"ends in {suffix!r}" if suffix else "has no suffix"
        raise ArgumentError(
            f"{os.fspath(path)!r} {found}; {what} is saved as {', '.join(known)}, "
            f"for example {Path(path).stem + known[0]!r}"
        )
    return suffix
