"""New figures, and saving them.

A plot function draws on the axes that it is given. Without axes it draws on a new figure from
`new_axes`. `save` writes the figure of some axes to a file, and `figure_bytes` returns the content
of that file. Start reading at `save`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg._util.atomic_files import write_whole
from talweg.errors import ArgumentError

if TYPE_CHECKING:
    import matplotlib.axes

Axes: TypeAlias = "matplotlib.axes.Axes"
"""The axes of matplotlib, for annotations outside of this package."""


def new_axes(width: float = 7.0, height: float = 4.0) -> Axes:
    """Return the axes of a new figure.

    The figure is freed with its last reference, and no window is opened. A notebook, however,
    displays only the figures that pyplot has made, and so does `plt.show()`. So pyplot makes the
    figure in a notebook, and in a program that has loaded pyplot with an interactive backend.

    Args:
        width: the width of the figure in inches.
        height: the height of the figure in inches.
    """
    if _pyplot_shows_figures():
        from matplotlib import pyplot as plt

        axes: Axes = plt.figure(figsize=(width, height), layout="constrained").add_subplot()
        return axes
    return hidden_axes(width, height)


def hidden_axes(width: float, height: float) -> Axes:
    """Return the axes of a new figure that neither a notebook nor `plt.show()` displays.

    Args:
        width: the width of the figure in inches.
        height: the height of the figure in inches.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def _pyplot_shows_figures() -> bool:
    if "inline" in os.environ.get("MPLBACKEND", ""):  # set by the kernel of a notebook
        return True
    pyplot = sys.modules.get("matplotlib.pyplot")
    return pyplot is not None and pyplot.get_backend().lower() != "agg"


def save(ax: Axes, path: str | os.PathLike[str]) -> Path:
    """Write the figure of some axes as .png (150 dots per inch), .svg or .pdf.

    The file is replaced in one step, and its content is the same each time: identifiers inside an
    SVG come from a fixed salt, and no date is written. Text in an SVG stays text, so it can be
    searched and read aloud.

    Args:
        ax: the axes that a plot function returned.
        path: the file to write; the suffix decides the format.

    Returns:
        The path written.

    Raises:
        ArgumentError: if the suffix is none of these.
        OSError: if the folder is missing or cannot be written to.
    """
    suffix = checked_suffix(path, (".png", ".svg", ".pdf"), "a figure")
    return write_whole(path, figure_bytes(ax, suffix))


def figure_bytes(ax: Axes, suffix: str = ".png", dpi: int = 150) -> bytes:
    """Return the content of the file that `save` writes.

    Args:
        ax: the axes that a plot function returned.
        suffix: ".png", ".svg" or ".pdf".
        dpi: the dots per inch of a PNG.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    no_date: dict[str, dict[str, Any]] = {
        ".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}
    }  # fmt: skip
    figure: Any = ax.get_figure()
    while not isinstance(figure, Figure):  # the axes of a subfigure
        figure = figure.figure
    content = BytesIO()
    with rc_context({"svg.hashsalt": "talweg", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure.savefig(content, format=suffix[1:], dpi=dpi, metadata=no_date[suffix])
    return content.getvalue()


def checked_suffix(path: str | os.PathLike[str], known: Sequence[str], what: str) -> str:
    """Return the suffix of a file name in lower case.

    Args:
        path: the file to write.
        known: the suffixes of the formats that can be written, each with its dot.
        what: what is saved, for the error message.

    Returns:
        One of `known`.

    Raises:
        ArgumentError: if the suffix is none of these.

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
