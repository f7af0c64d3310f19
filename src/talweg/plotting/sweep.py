"""The figure of a sweep with many rates: the final loss over the learning rate.

Bands of colour behind the losses show the verdicts; neighbouring rates with the same verdict share
a band. With one line the bands fill the axes; with several lines, each has a strip of bands above
the axes. Start reading at `rates`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from talweg.errors import ArgumentError
from talweg.plotting.figure import Axes, new_axes
from talweg.plotting.style import (
    BLACK,
    BLUE,
    COLOURS,
    DASHES,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    SKY,
    VERMILLION,
    label_axes,
    plain_text,
)

_VERDICT_COLOURS = {
    "converged": GREEN,
    "descending": SKY,
    "oscillating": ORANGE,
    "stuck": GREY,
    "diverged": VERMILLION,
}

_LOG_SPAN = 100.0
"""The loss axis is logarithmic if the ratio of the largest to the smallest loss is above this."""

_LOWEST_SHOWN = 0.01
"""A logarithmic loss axis starts no lower than this fraction of the lowest median."""

_STRIP = 0.028
"""The height of the strip of verdicts of one of several lines, as a fraction of the axes."""


@dataclass(frozen=True)
class Line:
    """The runs of a sweep that differ only in learning rate and seed.

    The lists `rates`, `median`, `low`, `high` and `verdicts` have one entry per rate.

    Attributes:
        name: the settings that the runs share; empty if there is only one line.
        rates: the learning rates, in ascending order.
        median: the median of the final losses over the seeds; inf if most runs diverged.
        low: the lower end of the spread of the final losses.
        high: the upper end of the spread.
        verdicts: the most frequent verdict.
        points: pairs (learning rate, final loss) of the runs, with inf for a run that diverged;
            empty to draw no points.
        limits: the smallest, median and largest of the largest stable rates at the start; nan if
            unknown.
        runs_a_rate: the largest number of runs of one rate.
    """

    name: str
    rates: Sequence[float]
    median: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    verdicts: Sequence[str]
    points: Sequence[tuple[float, float]]
    limits: tuple[float, ...] = (math.nan, math.nan, math.nan)
    runs_a_rate: int = 1


def rates(
    lines: Sequence[Line],
    *,
    spread: str = "",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the final loss over the learning rate.

    The axis of rates is logarithmic if all rates are above 0. The loss axis is logarithmic if no
    loss is negative and the losses span more than a factor of 100. A run that diverged is a cross
    at the upper edge.

    Args:
        lines: the runs, at least one line.
        spread: the name of the shaded range, such as "middle half"; empty for no shading.
        title: the title.
        ax: the axes to draw on; a new figure of 7.5 by 4 inches unless given.

    Returns:
        The axes; `ax.figure.savefig(...)` or `talweg.plotting.figure.save(ax, path)` writes them.

    Raises:
        ArgumentError: if there are no lines, or one has no rates.

    Example:
        >>> line = Line("", [0.01, 0.1], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0], ["descending"] * 2, [])
        >>> ax = rates([line])
        >>> ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()
        ('log', 'learning rate', 'final loss')
    """
    if not lines or not all(line.rates for line in lines):
        raise ArgumentError("there are no runs to draw; let the sweep finish at least one")
    ax = ax or new_axes(7.5, 4.0)
    log = _set_scales(ax, lines)
    for i, line in enumerate(lines):
        _median(ax, line, _colour(i, lines), i, spread)
    for i, line in enumerate(lines):
        _points(ax, line, _colour(i, lines), i, VERMILLION if len(lines) == 1 else COLOURS[i])
    for i, line in enumerate(lines):
        _limit(ax, line, _colour(i, lines, BLACK), len(lines) == 1)
    unnamed = _verdicts(ax, lines, log)
    pad = 6.0 + 13.0 * (len(lines) == 1) + 9.0 * len(lines) * (len(lines) > 1)
    label_axes(ax, "learning rate", "final loss")
    if title:
        ax.set_title(title, fontsize=12, loc="left", pad=pad)
    _format_ticks(ax)
    _legend(ax, unnamed, len(lines) > 1)
    return ax


def _colour(i: int, lines: Sequence[Line], alone: str = BLUE) -> str:
    return alone if len(lines) == 1 else COLOURS[i]


# ---- scales -------------------------------------------------------------------------------------


def _set_scales(ax: Axes, lines: Sequence[Line]) -> bool:
    """Set the scales and limits of both axes. Return whether the axis of rates is logarithmic."""
    everything = sorted(rate for line in lines for rate in line.rates)
    first, last = everything[0], everything[-1]
    log = first > 0.0
    if log:
        ax.set_xscale("log")
        margin = 2.0 if first == last else (last / first) ** 0.02
        ax.set_xlim(first / margin, last * margin)
    else:
        margin = 0.02 * (last - first) or 1.0
        ax.set_xlim(first - margin, last + margin)
    _set_loss_axis(ax, lines)
    return log


def _set_loss_axis(ax: Axes, lines: Sequence[Line]) -> None:
    """Set the scale and limits of the loss axis.

    The losses of a few seeds may be many decades below the others; they are drawn at the lower
    edge.
    """
    medians = [y for line in lines for y in line.median]
    others = [y for line in lines for y in (*line.low, *line.high)]
    others += [y for line in lines for _, y in line.points]
    finite = [y for y in medians + others if math.isfinite(y)]
    if not finite:
        return
    positive = [y for y in finite if y > 0.0]
    top = max(finite)
    if positive and min(finite) >= 0.0 and top > _LOG_SPAN * min(positive):
        lowest = min((y for y in medians if 0.0 < y < math.inf), default=top)
        bottom = max(min(positive), _LOWEST_SHOWN * lowest)
        margin = (top / bottom) ** 0.05
        ax.set_yscale("log")
        ax.set_ylim(bottom / margin, top * margin)
        return
    margin = 0.05 * (top - min(finite)) or 0.1 * abs(top) or 1.0
    ax.set_ylim(min(finite) - margin, top + margin)


def _format_ticks(ax: Axes) -> None:
    """Label a logarithmic axis of few decades with numbers such as 0.01, not powers of ten."""
    from matplotlib.ticker import FormatStrFormatter, NullFormatter

    for axis, scale, (low, high) in (
        (ax.xaxis, ax.get_xscale(), ax.get_xlim()),
        (ax.yaxis, ax.get_yscale(), ax.get_ylim()),
    ):
        if scale == "log" and low >= 1e-5 and high <= 1e5:
            axis.set_major_formatter(FormatStrFormatter("%g"))
            if high >= 10.0 * low:
                axis.set_minor_formatter(NullFormatter())
            else:
                axis.set_minor_formatter(FormatStrFormatter("%.2g"))


# ---- losses -------------------------------------------------------------------------------------


def _median(ax: Axes, line: Line, colour: str, i: int, spread: str) -> None:
    """Draw the line through the medians and, with several seeds, the shaded spread."""
    several = line.runs_a_rate > 1
    style: dict[str, Any] = {"color": colour, "ls": DASHES[i], "lw": 1.9, "zorder": 3}
    name = "median over seeds" if several else "final loss"
    dot = "" if len(line.rates) > 1 else "o"
    ax.plot(line.rates, _clipped(ax, line.median), marker=dot, label=None if line.name else name,
            **style)  # fmt: skip
    if line.name:  # the legend shows the marker of its points and of its strip
        ax.plot([], [], marker=MARKERS[i], ms=5, label=plain_text(line.name, 40), **style)
    if several and spread:
        bottom, top = ax.get_ylim()
        low = [max(bottom, y) if math.isfinite(y) else math.nan for y in line.low]
        high = [min(top, y) for y in line.high]
        ax.fill_between(line.rates, low, high, color=colour, alpha=0.22, lw=0, zorder=2,
                        label=f"{spread} of the seeds" if not line.name else None)  # fmt: skip


def _clipped(ax: Axes, losses: Sequence[float]) -> list[float]:
    """The losses, on a logarithmic axis at least its lower end; nan for what is not finite."""
    bottom = ax.get_ylim()[0] if ax.get_yscale() == "log" else -math.inf
    return [max(bottom, y) if math.isfinite(y) else math.nan for y in losses]


def _points(ax: Axes, line: Line, colour: str, i: int, crosses: str) -> None:
    """Draw a point for each run; those that diverged are crosses at the upper edge."""
    bottom = ax.get_ylim()[0]
    finite = [(rate, y) for rate, y in line.points if bottom <= y < math.inf]
    below = [rate for rate, y in line.points if y < bottom]
    x, heights = [rate for rate, _ in finite], [y for _, y in finite]
    size = 2.2 if len(line.points) > 300 else 3.6
    alpha = 0.35 if line.runs_a_rate > 1 else 0.8
    ax.plot(x, heights, ls="", marker=MARKERS[i], ms=size, mew=0, color=colour, alpha=alpha,
            zorder=2.5, clip_on=False)  # fmt: skip
    if below:
        ax.plot(below, [bottom] * len(below), ls="", marker="v", ms=4, mew=0, color=colour,
                alpha=0.6, clip_on=False, zorder=2.5, label="below the range shown")  # fmt: skip
    out = [rate for rate, y in line.points if y == math.inf]
    if out:
        ax.plot(out, [1.0] * len(out), ls="", marker="x", ms=5, mew=1.4, color=crosses,
                transform=ax.get_xaxis_transform(), clip_on=False, zorder=4,
                label="diverged")  # fmt: skip


def _limit(ax: Axes, line: Line, colour: str, alone: bool) -> None:
    """Draw the largest stable rate at the start: a dashed line, and its range over the seeds."""
    low, middle, high = line.limits
    left, right = ax.get_xlim()
    if not left <= middle <= right:
        return
    same = f"{low:.2g}" == f"{high:.2g}"
    where = f"{middle:.3g}" if same else f"{low:.2g} to {high:.2g}"
    name = f"limit at the start: {where}" if alone else "limits at the start"
    ax.axvline(middle, color=colour, ls=(0, (4, 2.5)), lw=1.4, zorder=2.2, label=name)
    if alone and not same:
        ax.axvspan(max(low, left), min(high, right), color=colour, alpha=0.08, lw=0, zorder=1.5)


# ---- verdicts -----------------------------------------------------------------------------------


def _verdicts(ax: Axes, lines: Sequence[Line], log: bool) -> list[str]:
    """Draw the bands of all lines. Return the verdicts that are not named above a band."""
    seen, named = set(), set()
    for i, line in enumerate(lines):
        for verdict, left, right in _bands(line, ax.get_xlim(), log):
            seen.add(verdict)
            if len(lines) > 1:
                _strip(ax, verdict, left, right, i, len(lines))
                continue
            ax.axvspan(left, right, color=_VERDICT_COLOURS[verdict], alpha=0.13, lw=0, zorder=0.5)
            if _name_band(ax, verdict, left, right, log):
                named.add(verdict)
    return [verdict for verdict in _VERDICT_COLOURS if verdict in seen - named]


def _bands(
    line: Line, limits: tuple[float, float], log: bool
) -> Iterator[tuple[str, float, float]]:
    """Neighbouring rates of equal verdict: (verdict, left end, right end).

    A band ends half way to the next rate.
    """
    middle = (lambda a, b: math.sqrt(a) * math.sqrt(b)) if log else (lambda a, b: 0.5 * (a + b))
    edges = [limits[0], *map(middle, line.rates, line.rates[1:]), limits[1]]
    for verdict, same in groupby(range(len(line.rates)), line.verdicts.__getitem__):
        numbers = list(same)
        yield verdict, edges[numbers[0]], edges[numbers[-1] + 1]


def _strip(ax: Axes, verdict: str, left: float, right: float, i: int, count: int) -> None:
    """Draw a band in the strip of line i above the axes."""
    bottom = 1.025 + (count - 1 - i) * _STRIP
    colour = _VERDICT_COLOURS[verdict]
    ax.fill_between([left, right], bottom, bottom + 0.8 * _STRIP, color=colour, lw=0, alpha=0.75,
                    transform=ax.get_xaxis_transform(), clip_on=False)  # fmt: skip
    ax.plot([-0.018], [bottom + 0.4 * _STRIP], marker=MARKERS[i], ms=4.5, mew=0, color=COLOURS[i],
            transform=ax.transAxes, clip_on=False)  # fmt: skip


def _name_band(ax: Axes, verdict: str, left: float, right: float, log: bool) -> bool:
    """Write the verdict above its band if the band is wide enough. Return whether it is."""
    low, high = ax.get_xlim()
    position = (lambda x: math.log(x / low) / math.log(high / low)) if log else (
        lambda x: (x - low) / (high - low)
    )  # fmt: skip
    start, end = position(left), position(right)
    if end - start < 0.018 * len(verdict) + 0.01:
        return False
    ax.text(0.5 * (start + end), 1.03, verdict, transform=ax.transAxes, ha="center", va="bottom",
            fontsize=9, color="#444444")  # fmt: skip
    return True


def _legend(ax: Axes, verdicts: Sequence[str], several: bool) -> None:
    from matplotlib.patches import Patch

    handles, labels = ax.get_legend_handles_labels()
    entries = dict(zip(labels, handles, strict=True))  # each label once
    alpha = 0.75 if several else 0.3
    entries |= {v: Patch(color=_VERDICT_COLOURS[v], alpha=alpha, lw=0) for v in verdicts}
    ax.legend(
        list(entries.values()),
        list(entries),
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=10,
        handlelength=2.6,
        alignment="left",
    )
