"""The appearance of all figures: colours, dashes, markers, axis labels and text.

The colours are those of Okabe and Ito (Color Universal Design, 2008), which can be told apart
with any kind of colour vision. No difference is shown by colour alone: lines also differ in
their dashes, and points in their markers. Start reading at `label_axes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from talweg.plotting.figure import Axes

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#666666"

# Grey replaces the yellow of Okabe and Ito, which is too pale for a thin line on white.
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


def label_axes(ax: Axes, x: str, y: str, title: str | None = None) -> None:
    """Label axes, put a pale grid behind the data, and remove the upper and right edge.

    Args:
        ax: the axes.
        x: the label of the x axis.
        y: the label of the y axis.
        title: the title, at the left; None for no title.
    """
    ax.set_xlabel(x, fontsize=11)
    ax.set_ylabel(y, fontsize=11)
    if title:
        ax.set_title(title, fontsize=12, loc="left")
    ax.tick_params(labelsize=10)
    ax.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def format_step_ticks(ax: Axes) -> None:
    """Put the ticks of an x axis of steps at integers, and format those of the y axis.

    A logarithmic y axis of few decades is labelled with decimal numbers such as 0.01 in place of
    powers of ten.
    """
    from matplotlib.ticker import FormatStrFormatter, MaxNLocator

    steps = MaxNLocator(nbins=8, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    ax.xaxis.set_major_locator(steps)
    low, high = ax.get_ylim()
    if ax.get_yscale() == "log" and low >= 1e-5 and high <= 1e5:
        ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))


def with_gaps(numbers: Iterable[float]) -> list[float]:
    """Replace what is not finite by nan, at which matplotlib interrupts a line.

    >>> with_gaps([1.0, math.inf])
    [1.0, nan]
    """
    return [y if math.isfinite(y) else math.nan for y in numbers]


def shorten(text: object, longest: int = 24) -> str:
    """Write text on one line, with an ellipsis in place of what is too long.

    Args:
        text: anything; its `str` is written.
        longest: the largest number of characters.

    >>> shorten("sepal length, measured twice", 12)
    'sepal lengt…'
    """
    line = " ".join(str(text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def plain_text(text: object, longest: int = 24) -> str:
    r"""Shorten text and escape it, so that matplotlib draws it as it is.

    A `$` starts no formula, and a `_` at the beginning does not hide an entry of a legend.

    Args:
        text: anything; its `str` is written.
        longest: the largest number of characters.

    >>> print(plain_text("price in $ or US$"))
    price in \$ or US\$
    >>> plain_text("_other")
    ' _other'
    """
    escaped = shorten(text, longest).replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped
