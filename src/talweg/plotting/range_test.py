"""The figure of a learning-rate range test: loss over rate, and the rates suggested.

It takes plain lists and returns axes, like the functions of `talweg.plotting.curves`, whose `save`
writes them to a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from talweg.errors import ArgumentError
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
    dress,
    new_axes,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKED = (VERMILLION, GREEN, PURPLE, ORANGE)


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

    Single losses are a thin line and smoothed ones a thick line; where both are the same, there
    is only the thick one. The axis of losses ends not far above those up to the lowest: a curve
    that blows up leaves through the top, with a mark. It is logarithmic where the losses shown
    are positive and span more than a factor 100.

    Args:
        rates: the learning rate of each step, above 0.
        losses: the loss of each.
        smoothed: the smoothed loss of each.
        suggestions: rates to mark, by name.
        limit: the largest stable rate at the start, drawn if it is among the rates.
        title: a heading.
        ax: where to draw; a new figure of 7 by 4 inches unless given.

    Returns:
        The axes; `ax.figure.savefig(...)` or `curves.save(ax, path)` writes them.

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
    low, roof = _low_and_roof(losses, smoothed)
    ax.set_yscale("log" if 0.0 < 100.0 * low < roof else "linear")
    both = list(losses) != list(smoothed)
    if both:
        _curve(ax, rates, losses, roof, GREY, 0.8, "loss of each step")
    _curve(ax, rates, smoothed, roof, BLUE, 2.2, "smoothed loss" if both else "loss")
    _cut(ax, [y for y in (*losses, *smoothed) if math.isfinite(y)], roof)
    for i, (name, rate) in enumerate(suggestions.items()):
        _mark(ax, rates, smoothed, name, rate, i)
    if limit is not None and rates[0] <= limit <= rates[-1]:
        label = f"limit at the start: {limit:.3g}"
        ax.axvline(limit, color=BLACK, ls=DASHES[1], lw=1.2, label=label, zorder=1.9)
    dress(ax, "learning rate", "loss", title)
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(fontsize=10, framealpha=0.85, edgecolor="none")
    return ax


def _low_and_roof(losses: Sequence[float], smoothed: Sequence[float]) -> tuple[float, float]:
    """The lowest loss, and the highest to show: a quarter of the height above those before it."""
    finite = [k for k, y in enumerate(smoothed) if math.isfinite(y)]
    if not finite:
        return 0.0, math.inf
    best = min(finite, key=smoothed.__getitem__)
    before = [*losses[: best + 1], *smoothed[: best + 1]]
    low, high = min(before), max(before)
    # Where the loss never fell there is no height: then up to four times the first loss.
    return low, high + (0.25 * (high - low) if best else 3.0 * abs(high))


def _curve(
    ax: Axes,
    rates: Sequence[float],
    losses: Sequence[float],
    roof: float,
    colour: str,
    width: float,
    label: str,
) -> None:
    """One curve, up to the last loss that can be drawn, with a mark that says why it ends."""
    shown = [(rate, y) for rate, y in zip(rates, losses, strict=True) if math.isfinite(y)]
    x, y = [rate for rate, _ in shown], [loss for _, loss in shown]
    dot = "o" if len(shown) == 1 else ""
    ax.plot(x, y, color=colour, lw=width, marker=dot, label=label, zorder=2.0 + 0.1 * width)
    if not y or width < 1.0:
        return
    out = next((k for k, loss in enumerate(y) if loss > roof), None)
    if out is not None:
        ax.plot(x[out], roof, marker="^", ms=8, color=colour, clip_on=False, ls="", zorder=3)
    elif len(y) < len(losses):
        ax.plot(x[-1], y[-1], marker="x", ms=8, mew=2, color=colour, ls="", zorder=3)


def _cut(ax: Axes, drawn: Sequence[float], roof: float) -> None:
    """End the axis of losses at the roof, if there is anything above; with a margin below."""
    if not drawn or max(drawn) <= roof:
        return
    if ax.get_yscale() == "linear":
        floor = min(drawn)
        ax.set_ylim(floor - 0.05 * (roof - floor), roof)
    else:
        floor = min(y for y in drawn if y > 0.0)
        ax.set_ylim(floor * (floor / roof) ** 0.05, roof)


def _mark(
    ax: Axes, rates: Sequence[float], smoothed: Sequence[float], name: str, rate: float, i: int
) -> None:
    """A suggested rate: an upright line, and a point on the curve if the curve is there."""
    colour, marker = _MARKED[i % len(_MARKED)], MARKERS[i % len(MARKERS)]
    nearest = min(range(len(rates)), key=lambda k: abs(math.log(rates[k]) - math.log(rate)))
    ax.axvline(rate, color=colour, ls=DASHES[1 + i % (len(DASHES) - 1)], lw=1.2, zorder=1.9)
    inside = rates[0] <= rate <= rates[-1]
    place = smoothed[nearest] if inside else math.nan
    label = f"{plain(name)}: {rate:.3g}"
    ax.plot([rate], [place], marker=marker, ms=8, color=colour, ls="", zorder=4, label=label)
