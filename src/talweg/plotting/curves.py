"""Figures of training runs: the loss over the steps, of one run or of several.

Each function takes plain lists, draws on the axes that it is given or on new ones, and returns
the axes. Start reading at `loss`.

The losses of a run that diverges reach 1e300, inf and nan, which no axis can show beside the
others. Such a curve ends at its last loss that can be drawn, with a mark that shows why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from talweg.errors import ArgumentError
from talweg.plotting.figure import Axes, new_axes
from talweg.plotting.style import (
    BLACK,
    BLUE,
    COLOURS,
    DASHES,
    VERMILLION,
    format_step_ticks,
    label_axes,
    plain_text,
    with_gaps,
)

_LOG_SPAN = 100.0
"""The loss axis is logarithmic if the ratio of the largest to the smallest loss is above this."""


def loss(
    losses: Sequence[float],
    validation: Sequence[tuple[int, float]] | None = None,
    *,
    best_step: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss over the steps of one run; the first loss is that of step 1.

    The loss axis is logarithmic if no loss is negative and the positive losses span more than a
    factor of 100. The curve has a gap where a loss is not finite, and the first such step is
    marked.

    Args:
        losses: the training loss before each update.
        validation: pairs (step, validation loss).
        best_step: the step whose weights were kept, drawn as a vertical line.
        title: the title.
        ax: the axes to draw on; a new figure of 7 by 4 inches unless given.

    Returns:
        The axes; `ax.figure.savefig(...)` or `talweg.plotting.figure.save(ax, path)` writes them.

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
    curve = with_gaps(losses)
    ax.plot(steps, curve, color=BLUE, lw=1.8, marker=_marker(losses), label="training")
    if pairs:
        x, y = [step for step, _ in pairs], with_gaps(loss for _, loss in pairs)
        # Few points have markers, because the line between them was not measured.
        marker = "s" if len(pairs) <= 30 else ""
        ax.plot(x, y, color=VERMILLION, ls=DASHES[1], marker=marker, ms=4, label="validation")
    if best_step is not None:
        label = f"best: step {best_step:,}"
        ax.axvline(best_step, color=BLACK, ls=DASHES[3], lw=1.2, label=label)
    _mark_not_finite(ax, losses)
    label_axes(ax, "step", "loss", title)
    format_step_ticks(ax)
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
    """Draw the losses of runs with different learning rates.

    The loss axis ends not far above the first losses, and the curve of a run that diverges ends
    there with a mark: so the other curves keep their height. Up to eight runs have a legend, more
    have a colour bar.

    Args:
        runs: pairs (learning rate or another label, losses of the run).
        limit: the largest stable learning rate at the start, to be marked on the colour bar.
        title: the title.
        ax: the axes to draw on; a new figure of 7.5 by 4 inches unless given.

    Returns:
        The axes.

    Raises:
        ArgumentError: if there are no runs, or a run has no losses.

    Example:
        >>> ax = rates([(0.01, [5.28, 2.0, 0.9]), (0.1, [5.28, 0.4, 0.01])])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['0.01', '0.1']
    """
    _refuse_empty(runs, "runs")
    for label, losses in runs:
        _refuse_empty(losses, f"losses of run {label}")
    ax = ax or new_axes(7.5, 4.0)
    scale, top = _scale_and_top([losses for _, losses in runs])
    ax.set_yscale(scale)
    many = len(runs) > len(COLOURS)
    colours, mapping = _colour_scale([label for label, _ in runs]) if many else (COLOURS, None)
    for i, (label, losses) in enumerate(runs):
        style: dict[str, Any] = {"color": colours[i], "lw": 1.1 if many else 1.8}
        if not many:
            style["ls"] = DASHES[i]
        _curve(ax, str(label), losses, top, style)
    label_axes(ax, "step", "loss", title)
    format_step_ticks(ax)
    if mapping is not None:
        _colour_bar(ax, mapping, [label for label, _ in runs], limit)
    else:
        # Outside of the axes: with several curves no corner is sure to be empty.
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


# ---- scales -------------------------------------------------------------------------------


def _scale(losses: Sequence[float]) -> str:
    finite = [y for y in losses if math.isfinite(y)]
    positive = [y for y in finite if y > 0.0]
    if len(positive) == 0 or min(finite) < 0.0:
        return "linear"
    return "log" if max(positive) > _LOG_SPAN * min(positive) else "linear"


def _scale_and_top(curves: Sequence[Sequence[float]]) -> tuple[str, float]:
    """The scale of the loss axis, and its upper end: not far above the highest first loss."""
    firsts = [losses[0] for losses in curves if math.isfinite(losses[0])]
    everything = [y for losses in curves for y in losses if math.isfinite(y)]
    if not firsts or max(firsts) <= 0.0:
        return _scale(everything), math.inf
    top = 10.0 * max(firsts)
    scale = _scale([y for y in everything if y <= top])
    return scale, top if scale == "log" else 0.25 * top


def _colour_scale(labels: Sequence[object]) -> tuple[Sequence[Any], Any]:
    """One colour for each label, from dark to light, and the mapping that gave them.

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
    """The labels as numbers; empty if one of them is not a positive number."""
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
        bar.set_ticks(at, labels=[plain_text(labels[i]) for i in at])
    elif limit is not None and bar.vmin <= limit <= bar.vmax:
        bar.ax.axhline(limit, color="white", lw=3.0)
        bar.ax.axhline(limit, color=BLACK, ls=DASHES[5], lw=1.6)
        bar.set_label(f"learning rate (dashed: limit at the start, {limit:.3g})", fontsize=10)


# ---- curves ---------------------------------------------------------------------------------


def _curve(
    ax: Axes, label: str, losses: Sequence[float], top: float, style: dict[str, Any]
) -> None:
    """Draw one of several curves, up to its first loss outside of the axes."""
    outside = (i for i, y in enumerate(losses) if not (math.isfinite(y) and y <= top))
    end = next(outside, len(losses))
    shown, name = list(losses[:end]), plain_text(label)
    mark: dict[str, Any] = {"color": style["color"], "ms": 4.0 * style["lw"], "ls": ""}
    if end < len(losses):
        first = losses[end]
        name += f"  ({'off the scale' if math.isfinite(first) else first} at step {end + 1:,})"
        if first > top:  # draw it up to the upper edge, with a mark there
            shown.append(top)
            ax.plot([end + 1], [top], marker="^", clip_on=False, zorder=3, **mark)
            ax.set_ylim(top=top)
        elif shown:
            ax.plot([end], shown[-1:], marker="x", mew=2, zorder=3, **mark)
    ax.plot(range(1, len(shown) + 1), shown, marker=_marker(losses), label=name, **style)


def _mark_not_finite(ax: Axes, losses: Sequence[float]) -> None:
    step = next((i for i, y in enumerate(losses, 1) if not math.isfinite(y)), None)
    if step is None:
        return
    label = f"loss is {losses[step - 1]} at step {step:,}"
    ax.axvline(step, color=VERMILLION, ls=DASHES[2], lw=1.4, label=label)
    if step > 1:
        ax.plot([step - 1], [losses[step - 2]], marker="x", ms=9, mew=2, color=VERMILLION)


def _marker(losses: Sequence[float]) -> str:
    """A marker for a single point, whose line has no length; none for a curve."""
    return "o" if len(losses) == 1 else ""


def _refuse_empty(items: Sequence[object], what: str) -> None:
    if len(items) == 0:
        raise ArgumentError(f"there are no {what} to draw; train for at least one step")
