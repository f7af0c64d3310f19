"""The figure of a learning-rate range test: the loss over the learning rate, and the suggestions.

Start reading at `range_test`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from talweg.errors import ArgumentError
from talweg.plotting.figure import Axes, new_axes
from talweg.plotting.style import (
    BLACK,
    BLUE,
    DASHES,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    PURPLE,
    VERMILLION,
    label_axes,
    plain_text,
)

_SUGGESTION_COLOURS = (VERMILLION, GREEN, PURPLE, ORANGE)


def range_test(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestions: Mapping[str, float],
    *,
    limit: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss over the learning rate, on a logarithmic axis of rates.

    The losses are a thin line and the smoothed losses a thick line; if both are the same, only
    the thick line is drawn. The loss axis ends not far above the losses up to the lowest one, and
    a curve that rises above it ends there with a mark. It is logarithmic if the losses shown are
    positive and span more than a factor of 100.

    Args:
        rates: the learning rate of each step, above 0.
        losses: the loss of each step.
        smoothed: the smoothed loss of each step.
        suggestions: learning rates to mark, by the name of their rule.
        limit: the largest stable rate at the start, drawn if it is within the rates.
        title: the title.
        ax: the axes to draw on; a new figure of 7 by 4 inches unless given.

    Returns:
        The axes; `ax.figure.savefig(...)` or `talweg.plotting.figure.save(ax, path)` writes them.

    Raises:
        ArgumentError: if there are no losses.

    Example:
        >>> ax = range_test([0.01, 0.1, 1.0], [5.0, 2.0, 9.0], [5.0, 2.0, 9.0], {"valley": 0.1})
        >>> ax.get_xscale(), [text.get_text() for text in ax.get_legend().get_texts()]
        ('log', ['loss', 'valley: 0.1'])
    """
    if not losses:
        raise ArgumentError("there are no losses to draw; run the range test for at least one step")
    ax = ax or new_axes()
    ax.set_xscale("log")
    low, top = _low_and_top(losses, smoothed)
    ax.set_yscale("log" if 0.0 < 100.0 * low < top else "linear")
    both = list(losses) != list(smoothed)
    if both:
        _curve(ax, rates, losses, top, GREY, 0.8, "loss of each step")
    _curve(ax, rates, smoothed, top, BLUE, 2.2, "smoothed loss" if both else "loss")
    _limit_axis(ax, [y for y in (*losses, *smoothed) if math.isfinite(y)], top)
    for i, (name, rate) in enumerate(suggestions.items()):
        _suggestion(ax, rates, smoothed, name, rate, i)
    if limit is not None and rates[0] <= limit <= rates[-1]:
        label = f"limit at the start: {limit:.3g}"
        ax.axvline(limit, color=BLACK, ls=DASHES[1], lw=1.2, label=label, zorder=1.9)
    label_axes(ax, "learning rate", "loss", title)
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(fontsize=10, framealpha=0.85, edgecolor="none")
    return ax


def _low_and_top(losses: Sequence[float], smoothed: Sequence[float]) -> tuple[float, float]:
    """The lowest loss, and the upper end of the loss axis.

    The axis ends above the losses up to the lowest one, by a quarter of their range.
    """
    finite = [k for k, y in enumerate(smoothed) if math.isfinite(y)]
    if not finite:
        return 0.0, math.inf
    best = min(finite, key=smoothed.__getitem__)
    before = [*losses[: best + 1], *smoothed[: best + 1]]
    low, high = min(before), max(before)
    # If the loss never fell the range is 0: then the axis ends at four times the first loss.
    return low, high + (0.25 * (high - low) if best else 3.0 * abs(high))


def _curve(
    ax: Axes,
    rates: Sequence[float],
    losses: Sequence[float],
    top: float,
    colour: str,
    width: float,
    label: str,
) -> None:
    """Draw one curve up to its last loss that can be drawn, with a mark that shows why."""
    shown = [(rate, y) for rate, y in zip(rates, losses, strict=True) if math.isfinite(y)]
    x, y = [rate for rate, _ in shown], [loss for _, loss in shown]
    dot = "o" if len(shown) == 1 else ""
    ax.plot(x, y, color=colour, lw=width, marker=dot, label=label, zorder=2.0 + 0.1 * width)
    if not y or width < 1.0:
        return
    out = next((k for k, loss in enumerate(y) if loss > top), None)
    if out is not None:
        ax.plot(x[out], top, marker="^", ms=8, color=colour, clip_on=False, ls="", zorder=3)
    elif len(y) < len(losses):
        ax.plot(x[-1], y[-1], marker="x", ms=8, mew=2, color=colour, ls="", zorder=3)


def _limit_axis(ax: Axes, drawn: Sequence[float], top: float) -> None:
    """End the loss axis at the top if a loss is above it, with a margin below the lowest."""
    if not drawn or max(drawn) <= top:
        return
    if ax.get_yscale() == "linear":
        floor = min(drawn)
        ax.set_ylim(floor - 0.05 * (top - floor), top)
    else:
        floor = min(y for y in drawn if y > 0.0)
        ax.set_ylim(floor * (floor / top) ** 0.05, top)


def _suggestion(
    ax: Axes, rates: Sequence[float], smoothed: Sequence[float], name: str, rate: float, i: int
) -> None:
    """Draw a suggestion: a vertical line, and a point on the curve if it is within the rates."""
    colour, marker = _SUGGESTION_COLOURS[i % len(_SUGGESTION_COLOURS)], MARKERS[i % len(MARKERS)]
    nearest = min(range(len(rates)), key=lambda k: abs(math.log(rates[k]) - math.log(rate)))
    ax.axvline(rate, color=colour, ls=DASHES[1 + i % (len(DASHES) - 1)], lw=1.2, zorder=1.9)
    inside = rates[0] <= rate <= rates[-1]
    height = smoothed[nearest] if inside else math.nan
    label = f"{plain_text(name)}: {rate:.3g}"
    ax.plot([rate], [height], marker=marker, ms=8, color=colour, ls="", zorder=4, label=label)
