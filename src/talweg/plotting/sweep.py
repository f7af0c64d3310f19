"""The figure of a sweep with many rates: the final loss over the learning rate.

Behind the losses stand the verdicts, as bands of colour: where neighbouring rates have the same
verdict there is one band. With one line the bands fill the picture; with several, each line
has a strip of its own above it. It takes plain lists and returns axes, like the functions of
`talweg.plotting.curves`, whose `save` writes them to a file. Start reading at `rates`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from talweg.errors import ArgumentError
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
    dress,
    new_axes,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BANDS = {
    "converged": GREEN,
    "descending": SKY,
    "oscillating": ORANGE,
    "stuck": GREY,
    "diverged": VERMILLION,
}

_LOG_SPAN = 100.0
"""Losses whose largest is more than this many times the smallest get a log axis."""

_FOOT = 0.01
"""A logarithmic axis of losses ends at this share of the lowest median, if not above."""

_STRIP = 0.028
"""The height of the strip of verdicts of one of several lines, as a share of the picture."""


@dataclass(frozen=True)
class Line:
    """The runs of a sweep that differ in their rate and seed alone; lists have one entry a rate.

    Attributes:
        name: the settings that they share; empty if there is nothing to tell apart.
        rates: the learning rates, in ascending order.
        median: the median of the final losses; inf where most diverged.
        low: the lower end of their spread.
        high: the upper end.
        verdicts: the verdict of most runs.
        points: for each run its rate and final loss, inf if it diverged; none to draw no points.
        limits: the smallest, median and largest limit of a stable rate at the start; nan where
            that is unknown.
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

    The axis of rates is logarithmic if all are above 0. The axis of losses is logarithmic when
    they are not negative and span more than a factor 100. Runs that diverged have a cross at
    the upper edge.

    Args:
        lines: the runs, at least one line.
        spread: what the shaded area goes from and to; empty for no area.
        title: a heading.
        ax: where to draw; a new figure of 7.5 by 4 inches unless given.

    Returns:
        The axes; `ax.figure.savefig(...)` or `curves.save(ax, path)` writes them.

    Raises:
        ArgumentError: if there is nothing to draw.

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
    words = _verdicts(ax, lines, log)
    heading = 6.0 + 13.0 * (len(lines) == 1) + 9.0 * len(lines) * (len(lines) > 1)
    dress(ax, "learning rate", "final loss")
    if title:
        ax.set_title(title, fontsize=12, loc="left", pad=heading)
    _tick_marks(ax)
    _legend(ax, words, len(lines) > 1)
    return ax


def _colour(i: int, lines: Sequence[Line], alone: str = BLUE) -> str:
    return alone if len(lines) == 1 else COLOURS[i]


# ---- scales -------------------------------------------------------------------------------------


def _set_scales(ax: Axes, lines: Sequence[Line]) -> bool:
    """Both axes from what is finite; says whether that of the rates is logarithmic."""
    everything = sorted(rate for line in lines for rate in line.rates)
    first, last = everything[0], everything[-1]
    log = first > 0.0
    if log:
        ax.set_xscale("log")
        beside = 2.0 if first == last else (last / first) ** 0.02
        ax.set_xlim(first / beside, last * beside)
    else:
        beside = 0.02 * (last - first) or 1.0
        ax.set_xlim(first - beside, last + beside)
    _set_heights(ax, lines)
    return log


def _set_heights(ax: Axes, lines: Sequence[Line]) -> None:
    """The axis of losses, from the medians and spreads, and the points not far below them.

    A few lucky seeds reach losses many decades below the rest; they are shown at the foot.
    """
    middle = [y for line in lines for y in line.median]
    around = [y for line in lines for y in (*line.low, *line.high)]
    around += [y for line in lines for _, y in line.points]
    finite = [y for y in middle + around if math.isfinite(y)]
    if not finite:
        return
    positive = [y for y in finite if y > 0.0]
    top = max(finite)
    if positive and min(finite) >= 0.0 and top > _LOG_SPAN * min(positive):
        lowest = min((y for y in middle if 0.0 < y < math.inf), default=top)
        foot = max(min(positive), _FOOT * lowest)
        room = (top / foot) ** 0.05
        ax.set_yscale("log")
        ax.set_ylim(foot / room, top * room)
        return
    room = 0.05 * (top - min(finite)) or 0.1 * abs(top) or 1.0
    ax.set_ylim(min(finite) - room, top + room)


def _tick_marks(ax: Axes) -> None:
    """0.01 rather than a power of ten on a log axis of few decades."""
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
    """The line through the medians and, with several seeds, the area around it."""
    several = line.runs_a_rate > 1
    style: dict[str, Any] = {"color": colour, "ls": DASHES[i], "lw": 1.9, "zorder": 3}
    name = "median over seeds" if several else "final loss"
    dot = "" if len(line.rates) > 1 else "o"
    ax.plot(line.rates, _gaps(ax, line.median), marker=dot, label=None if line.name else name,
            **style)  # fmt: skip
    if line.name:  # the marker in the legend is that of its points and of its strip
        ax.plot([], [], marker=MARKERS[i], ms=5, label=plain(line.name, 40), **style)
    if several and spread:
        bottom, top = ax.get_ylim()
        low = [max(bottom, y) if math.isfinite(y) else math.nan for y in line.low]
        high = [min(top, y) for y in line.high]
        ax.fill_between(line.rates, low, high, color=colour, alpha=0.22, lw=0, zorder=2,
                        label=f"{spread} of the seeds" if not line.name else None)  # fmt: skip


def _gaps(ax: Axes, losses: Sequence[float]) -> list[float]:
    """The losses with nan for what is not finite; what a log axis cannot show is at its foot."""
    foot = ax.get_ylim()[0] if ax.get_yscale() == "log" else -math.inf
    return [max(foot, y) if math.isfinite(y) else math.nan for y in losses]


def _points(ax: Axes, line: Line, colour: str, i: int, crosses: str) -> None:
    """One point a run; those that diverged are crosses at the upper edge."""
    foot = ax.get_ylim()[0]
    finite = [(rate, y) for rate, y in line.points if foot <= y < math.inf]
    below = [rate for rate, y in line.points if y < foot]
    x, heights = [rate for rate, _ in finite], [y for _, y in finite]
    size = 2.2 if len(line.points) > 300 else 3.6
    alpha = 0.35 if line.runs_a_rate > 1 else 0.8
    ax.plot(x, heights, ls="", marker=MARKERS[i], ms=size, mew=0, color=colour, alpha=alpha,
            zorder=2.5, clip_on=False)  # fmt: skip
    if below:
        ax.plot(below, [foot] * len(below), ls="", marker="v", ms=4, mew=0, color=colour,
                alpha=0.6, clip_on=False, zorder=2.5, label="below the picture")  # fmt: skip
    out = [rate for rate, y in line.points if y == math.inf]
    if out:
        ax.plot(out, [1.0] * len(out), ls="", marker="x", ms=5, mew=1.4, color=crosses,
                transform=ax.get_xaxis_transform(), clip_on=False, zorder=4,
                label="diverged")  # fmt: skip


def _limit(ax: Axes, line: Line, colour: str, alone: bool) -> None:
    """The largest stable rate at the start: a dashed line, and an area if seeds differ in it."""
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
    """The bands of all lines; returns the words that the legend has to explain."""
    seen, named = set(), set()
    for i, line in enumerate(lines):
        for word, left, right in _bands(line, ax.get_xlim(), log):
            seen.add(word)
            if len(lines) > 1:
                _strip(ax, word, left, right, i, len(lines))
                continue
            ax.axvspan(left, right, color=_BANDS[word], alpha=0.13, lw=0, zorder=0.5)
            if _name(ax, word, left, right, log):
                named.add(word)
    return [word for word in _BANDS if word in seen - named]


def _bands(
    line: Line, limits: tuple[float, float], log: bool
) -> Iterator[tuple[str, float, float]]:
    """Each run of equal verdicts: the word, and its two ends, half way to the next rates."""
    middle = (lambda a, b: math.sqrt(a) * math.sqrt(b)) if log else (lambda a, b: 0.5 * (a + b))
    edges = [limits[0], *map(middle, line.rates, line.rates[1:]), limits[1]]
    for word, same in groupby(range(len(line.rates)), line.verdicts.__getitem__):
        numbers = list(same)
        yield word, edges[numbers[0]], edges[numbers[-1] + 1]


def _strip(ax: Axes, word: str, left: float, right: float, i: int, count: int) -> None:
    """A part of the strip above the picture that belongs to line number i."""
    bottom = 1.025 + (count - 1 - i) * _STRIP
    ax.fill_between([left, right], bottom, bottom + 0.8 * _STRIP, color=_BANDS[word], lw=0,
                    alpha=0.75, transform=ax.get_xaxis_transform(), clip_on=False)  # fmt: skip
    ax.plot([-0.018], [bottom + 0.4 * _STRIP], marker=MARKERS[i], ms=4.5, mew=0, color=COLOURS[i],
            transform=ax.transAxes, clip_on=False)  # fmt: skip


def _name(ax: Axes, word: str, left: float, right: float, log: bool) -> bool:
    """Write the verdict above its band, if there is room for it."""
    low, high = ax.get_xlim()
    along = (lambda x: math.log(x / low) / math.log(high / low)) if log else (
        lambda x: (x - low) / (high - low)
    )  # fmt: skip
    begin, end = along(left), along(right)
    if end - begin < 0.018 * len(word) + 0.01:
        return False
    ax.text(0.5 * (begin + end), 1.03, word, transform=ax.transAxes, ha="center", va="bottom",
            fontsize=9, color="#444444")  # fmt: skip
    return True


def _legend(ax: Axes, words: Sequence[str], several: bool) -> None:
    from matplotlib.patches import Patch

    handles, labels = ax.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))  # each name once
    alpha = 0.75 if several else 0.3
    found |= {word: Patch(color=_BANDS[word], alpha=alpha, lw=0) for word in words}
    ax.legend(
        list(found.values()),
        list(found),
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=10,
        handlelength=2.6,
        alignment="left",
    )
