"""Figures of a training run: loss over steps, and learning rates side by side.

Each function takes plain lists, draws on the axes that it is given or on new ones, and
returns the axes. `save` writes any figure to a file. Only this package imports
matplotlib, and only when something is drawn. Start reading at `loss`.

A run that diverges has losses of 1e300, inf and nan. No axis can show those beside the
rest, so each curve ends at its last drawable loss with a mark that says why.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talweg._util.atomic_files import write_whole
from talweg.errors import ArgumentError
from talweg.plotting.style import (
    BLACK,
    BLUE,
    COLOURS,
    DASHES,
    VERMILLION,
    checked_suffix,
    dress,
    new_axes,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOG_SPAN = 100.0
"""Losses whose largest is more than this many times the smallest get a log axis."""


def loss(
    losses: Sequence[float],
    validation: Sequence[tuple[int, float]] | None = None,
    *,
    best_step: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss over the steps of one run; the first loss is that of step 1.

    The loss axis is logarithmic when the losses are positive and span more than a
    factor 100. Where a loss is not finite, the curve has a gap and the step is marked.

    Args:
        losses: the training loss before each update.
        validation: pairs of a step and the validation loss there.
        best_step: the step whose weights were kept, drawn as a vertical line.
        title: a heading.
        ax: where to draw; a new figure of 7 by 4 inches unless given.

    Returns:
        The axes; `ax.figure.savefig(...)` or `save(ax, path)` writes them.

    Raises:
        ArgumentError: if there are no losses.

    Example:
        >>> ax = loss([5.28, 0.49, 0.03], best_step=3)
        >>> ax.get_yscale(), ax.get_xlabel()
        ('log', 'step')
    """
    _refuse_empty(losses, "losses")
    ax = ax or new_axes()
    pairs = list(validation or ())
    ax.set_yscale(_scale([*losses, *(y for _, y in pairs)]))
    steps = range(1, len(losses) + 1)
    ax.plot(steps, _gaps(losses), color=BLUE, lw=1.8, marker=_dot(losses), label="training")
    if pairs:
        x, y = [step for step, _ in pairs], _gaps([loss for _, loss in pairs])
        # Few points are shown one by one, because the line between them was not measured.
        marker = "s" if len(pairs) <= 30 else ""
        ax.plot(x, y, color=VERMILLION, ls=DASHES[1], marker=marker, ms=4, label="validation")
    if best_step is not None:
        label = f"best: step {best_step:,}"
        ax.axvline(best_step, color=BLACK, ls=DASHES[3], lw=1.2, label=label)
    _mark_not_finite(ax, losses)
    dress(ax, "step", "loss", title)
    tick_marks(ax)
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(fontsize=10, framealpha=0.85, edgecolor="none")
    return ax


def rates(
    runs: Sequence[tuple[object, Sequence[float]]],
    *,
    limit: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the losses of several learning rates side by side.

    A run that diverges leaves through the top: the axis ends not far above the losses
    that the runs began with, so the other curves keep their height. Up to eight runs have
    a legend; more have a scale of colours.

    Args:
        runs: pairs of a learning rate (or other label) and the losses of its run.
        limit: the largest stable rate at the start, to be marked on the scale of colours.
        title: a heading.
        ax: where to draw; a new figure of 7.5 by 4 inches unless given.

    Returns:
        The axes.

    Raises:
        ArgumentError: if there are no runs, or one of them has no losses.

    Example:
        >>> ax = rates([(0.01, [5.28, 2.0, 0.9]), (0.1, [5.28, 0.4, 0.01])])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['0.01', '0.1']
    """
    _refuse_empty(runs, "runs")
    for label, losses in runs:
        _refuse_empty(losses, f"losses of run {label}")
    ax = ax or new_axes(7.5, 4.0)
    scale, roof = _scale_and_roof([losses for _, losses in runs])
    ax.set_yscale(scale)
    many = len(runs) > len(COLOURS)
    colours, mapping = _colour_scale([label for label, _ in runs]) if many else (COLOURS, None)
    for i, (label, losses) in enumerate(runs):
        style: dict[str, Any] = {"color": colours[i], "lw": 1.1 if many else 1.8}
        if not many:
            style["ls"] = DASHES[i]
        _run(ax, str(label), losses, roof, style)
    dress(ax, "step", "loss", title)
    tick_marks(ax)
    if mapping is not None:
        _colour_bar(ax, mapping, [label for label, _ in runs], limit)
    else:
        # Beside the curves: with this many there is no free corner to count on.
        where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
        legend = ax.legend(
            title="learning rate",
            alignment="left",
            frameon=False,
            fontsize=10,
            handlelength=3.2,
            **where,
        )
        legend.get_title().set_fontsize(10)
    return ax


def save(ax: Axes, path: str | os.PathLike[str]) -> Path:
    """Write the figure of some axes as .png (150 dots an inch), .svg or .pdf.

    The file appears whole or not at all, and its bytes are the same each time: names
    inside an SVG come from a fixed salt, and no date is written. Text in an SVG stays
    text, so it can be searched and read aloud.

    Args:
        ax: what one of the plot functions returned.
        path: where to write; the suffix decides the format.

    Returns:
        The path written.

    Raises:
        ArgumentError: if the suffix is another.
        OSError: if the folder is missing or cannot be written to.
    """
    suffix = checked_suffix(path, (".png", ".svg", ".pdf"), "a figure")
    return write_whole(path, content(ax, suffix))


def content(ax: Axes, suffix: str = ".png") -> bytes:
    """What `save` writes.

    Args:
        ax: what one of the plot functions returned.
        suffix: .png, .svg or .pdf.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    no_date: dict[str, dict[str, Any]] = {
        ".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}
    }  # fmt: skip
    figure: Any = ax.get_figure()
    while not isinstance(figure, Figure):  # axes in a part of a figure
        figure = figure.figure
    written = BytesIO()
    with rc_context({"svg.hashsalt": "talweg", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure.savefig(written, format=suffix[1:], dpi=150, metadata=no_date[suffix])
    return written.getvalue()


# ---- scales -------------------------------------------------------------------------------


def _scale(losses: Sequence[float]) -> str:
    finite = [y for y in losses if math.isfinite(y)]
    positive = [y for y in finite if y > 0.0]
    if len(positive) == 0 or min(finite) < 0.0:
        return "linear"
    return "log" if max(positive) > _LOG_SPAN * min(positive) else "linear"


def _scale_and_roof(curves: Sequence[Sequence[float]]) -> tuple[str, float]:
    """The scale, and the highest loss to show: not far above the highest first loss."""
    firsts = [losses[0] for losses in curves if math.isfinite(losses[0])]
    everything = [y for losses in curves for y in losses if math.isfinite(y)]
    if not firsts or max(firsts) <= 0.0:
        return _scale(everything), math.inf
    roof = 10.0 * max(firsts)
    scale = _scale([y for y in everything if y <= roof])
    return scale, roof if scale == "log" else 0.25 * roof


def _colour_scale(labels: Sequence[object]) -> tuple[Sequence[Any], Any]:
    """One colour for each label, dark to light, and the mapping that made them.

    The upper end of viridis is left out: its yellow is too pale for lines on white.
    """
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    numbers = _positive_numbers(labels)
    log = bool(numbers) and max(numbers) > 10.0 * min(numbers)
    values = numbers or [float(i) for i in range(len(labels))]
    norm = (LogNorm if log else Normalize)(min(values), max(values))
    viridis = ListedColormap(colormaps["viridis"](np.linspace(0.0, 0.88, 256)))
    mapping = ScalarMappable(norm, viridis)
    return list(mapping.to_rgba(np.array(values))), mapping


def _positive_numbers(labels: Sequence[object]) -> list[float]:
    """The labels as numbers, or nothing if one of them is not a positive number."""
    try:
        numbers = [float(label) for label in labels]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []
    return numbers if all(0.0 < x < math.inf for x in numbers) else []


def _colour_bar(ax: Axes, mapping: Any, labels: Sequence[object], limit: float | None) -> None:
    figure: Any = ax.get_figure()
    bar = figure.colorbar(mapping, ax=ax, pad=0.02, format="%g")
    bar.set_label("learning rate", fontsize=11)
    bar.ax.tick_params(labelsize=10)
    if not _positive_numbers(labels):
        at = [0, len(labels) // 2, len(labels) - 1]
        bar.set_ticks(at, labels=[plain(labels[i]) for i in at])
    elif limit is not None and bar.vmin <= limit <= bar.vmax:
        bar.ax.axhline(limit, color="white", lw=3.0)
        bar.ax.axhline(limit, color=BLACK, ls=DASHES[5], lw=1.6)
        bar.set_label(f"learning rate (dashed: limit at the start, {limit:.3g})", fontsize=10)


# ---- curves ---------------------------------------------------------------------------------


def _run(ax: Axes, label: str, losses: Sequence[float], roof: float, style: dict[str, Any]) -> None:
    """One curve of several, up to where it leaves the picture for the first time."""
    end = next((i for i, y in enumerate(losses) if not y <= roof), len(losses))
    shown, name = list(losses[:end]), plain(label)
    mark: dict[str, Any] = {"color": style["color"], "ms": 4.0 * style["lw"], "ls": ""}
    if end < len(losses):
        first = losses[end]
        name += f"  ({'off the scale' if math.isfinite(first) else first} at step {end + 1:,})"
        if first > roof:  # up to the upper edge, with a mark where the curve goes out
            shown.append(roof)
            ax.plot([end + 1], [roof], marker="^", clip_on=False, zorder=3, **mark)
            ax.set_ylim(top=roof)
        elif shown:
            ax.plot([end], shown[-1:], marker="x", mew=2, zorder=3, **mark)
    ax.plot(range(1, len(shown) + 1), shown, marker=_dot(losses), label=name, **style)


def _mark_not_finite(ax: Axes, losses: Sequence[float]) -> None:
    step = next((i for i, y in enumerate(losses, 1) if not math.isfinite(y)), None)
    if step is None:
        return
    label = f"loss is {losses[step - 1]} at step {step:,}"
    ax.axvline(step, color=VERMILLION, ls=DASHES[2], lw=1.4, label=label)
    if step > 1:
        ax.plot([step - 1], [losses[step - 2]], marker="x", ms=9, mew=2, color=VERMILLION)


def _gaps(losses: Sequence[float]) -> list[float]:
    """The losses with nan, which matplotlib leaves out, for every one that is not finite."""
    return [y if math.isfinite(y) else math.nan for y in losses]


def _dot(losses: Sequence[float]) -> str:
    """A line through one point has no length; only a marker shows it."""
    return "o" if len(losses) == 1 else ""


def tick_marks(ax: Axes) -> None:
    """Whole steps below; 0.01 rather than a power of ten on a log axis of few decades."""
    from matplotlib.ticker import FormatStrFormatter, MaxNLocator

    steps = MaxNLocator(nbins=8, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    ax.xaxis.set_major_locator(steps)
    low, high = ax.get_ylim()
    if ax.get_yscale() == "log" and low >= 1e-5 and high <= 1e5:
        ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))


def _refuse_empty(items: Sequence[object], what: str) -> None:
    if len(items) == 0:
        raise ArgumentError(f"there are no {what} to draw; train for at least one step")
