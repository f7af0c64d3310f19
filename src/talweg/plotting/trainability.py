"""The picture of a trainability map: converged runs in cool colours, others in warm ones.

Measures of runs span many powers of ten, so colours follow their rank: each colour of a family is
given to as many points as any other (`intensities`). Runs that decided at once are pale or dark,
and those that took long, near the boundary, have the strongest colours, in contrast across it.
Start reading at `trainability`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg.errors import ArgumentError
from talweg.plotting.style import new_axes, plain

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

Array: TypeAlias = "np.ndarray[Any, Any]"

NOT_COMPUTED = "#B4B4B4"
"""The colour of points that have no measure: a grey that is in no map."""

_BUFFER = 0.25
"""The intensity of runs that decided at once; it keeps the two families apart."""

# Converged: from deep blue at the boundary to pale; then, across the boundary, from bright yellow
# to dark red where runs blow up at once. Light meets dark, with any kind of colour vision.
_CONVERGED = ("#08103A", "#0B2C6B", "#13599B", "#2E8DB5", "#79BFC6", "#CFE8E2")
_DIVERGED = ("#2B0713", "#5C0E22", "#9C2023", "#D9541E", "#F79A2B", "#FFF0A0")


def trainability(
    measure: Array,
    x: Sequence[float] | Array,
    y: Sequence[float] | Array,
    *,
    names: tuple[str, str] = ("x", "y"),
    scales: tuple[str, str] = ("linear", "linear"),
    reference: Array | None = None,
    title: str | None = None,
    colours: str = "talweg",
    ax: Axes | None = None,
) -> Axes:
    """Draw a map of runs, one pixel for each.

    Args:
        measure: for each row (of y, from low to high) and column (of x) below 0 for a run that
            converged, above 0 for one that did not; nan for what was not computed, in grey.
        x: the setting of each column, evenly spaced on its scale.
        y: the setting of each row, likewise.
        names: what the settings are called.
        scales: "log" or "linear" for each.
        reference: the measures whose ranks give the colours; those of the map unless given.
            Pictures that share it have the same colour for the same measure.
        title: a heading.
        colours: "talweg", "published" (matplotlib's Spectral), or any colour map of matplotlib;
            its lower half is for runs that did not converge.
        ax: where to draw; a new square figure unless given.

    Returns:
        The axes.

    Raises:
        ArgumentError: if there is no such colour map.

    Example:
        >>> import numpy as np
        >>> ax = trainability(np.array([[-3.0, 2.0], [-9.0, 1.0]]), [0.1, 1.0], [0.1, 1.0],
        ...                   names=("learning_rate", "initial_scale"), scales=("log", "log"))
        >>> ax.get_xlabel(), len(ax.images)
        ('learning_rate', 1)
    """
    ax = ax or _square_axes()
    ends = [_ends(values, scale) for values, scale in zip((x, y), scales, strict=True)]
    ax.imshow(
        as_pixels(intensities(measure, reference), colours),
        origin="lower",
        extent=(*ends[0], *ends[1]),
        aspect="auto",
        interpolation="nearest",
    )
    ax.set_box_aspect(1.0)
    for axis, ends_of, scale, name in zip((ax.xaxis, ax.yaxis), ends, scales, names, strict=True):
        places, labels, beside = _ticks(*ends_of, scale)
        axis.set_ticks(places, labels)
        axis.set_label_text(plain(name, 40) + beside, fontsize=11)
    ax.tick_params(labelsize=10, color="#888888", length=3)
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(title, fontsize=12, loc="left")
    _legend(ax, colours)
    return ax


def _square_axes() -> Axes:
    """New axes whose figure leaves room for what stands beside a square."""
    ax = new_axes(6.6, 5.9)
    ax.figure.set_layout_engine("compressed")  # type: ignore[union-attr]
    return ax


def intensities(measure: Array, reference: Array | None = None) -> Array:
    """Measures as numbers from -1 to 1, by rank: as many at each intensity as at any other.

    Converged runs get -1 (the slowest) to -0.25 (those that were done at once), others 0.25 (those
    that blew up at once) to 1 (the slowest).

    Args:
        measure: below 0 for converged, above 0 for others, nan for not computed.
        reference: the measures that are ranked; a measure between two of them gets an intensity
            between theirs. Those of `measure` unless given.

    Returns:
        An array of the same shape; nan stays nan.

    Source: Sohl-Dickstein, The boundary of neural network trainability is fractal,
    arXiv 2402.06184, appendix: colours by the cumulative distribution.

    Example:
        >>> import numpy as np
        >>> intensities(np.array([-100.0, -2.0, -1.0, 1.0, 50.0])).tolist()
        [-1.0, -0.625, -0.25, 0.25, 1.0]
    """
    import numpy as np

    ranked = measure if reference is None else reference
    result = np.full(measure.shape, np.nan)
    for sign, low, high in ((-1.0, -1.0, -_BUFFER), (1.0, _BUFFER, 1.0)):
        chosen = measure * sign > 0.0
        values, counts = np.unique(ranked[ranked * sign > 0.0], return_counts=True)
        if not len(values):
            result[chosen] = sign * (1.0 + _BUFFER) / 2.0
            continue
        # Equal measures share the middle of their ranks.
        ranks = np.cumsum(counts) - 0.5 * (counts + 1)
        spread = low + (high - low) * ranks / max(1, counts.sum() - 1)
        result[chosen] = np.interp(measure[chosen], values, spread)
    return result


def as_pixels(intensity: Array, colours: str = "talweg") -> Array:
    """Intensities as colours: an array of bytes, red, green and blue for each point.

    >>> import numpy as np
    >>> as_pixels(np.array([[-1.0, np.nan]])).tolist()
    [[[8, 16, 58], [180, 180, 180]]]
    """
    import numpy as np

    pixels: Array = _colour_map(colours)(np.ma.masked_invalid((1.0 - intensity) / 2.0), bytes=True)
    return pixels[..., :3]


def as_png(ax: Axes) -> bytes:
    """The figure of some axes as a PNG picture for a notebook; the same bytes each time."""
    from matplotlib.figure import Figure

    content = BytesIO()
    figure: Any = ax.get_figure()
    while not isinstance(figure, Figure):  # axes in a part of a figure
        figure = figure.figure
    figure.savefig(content, format="png", dpi=100, metadata={})
    return content.getvalue()


@cache
def _colour_map(colours: str) -> Colormap:
    """A diverging map: from 0, runs that barely diverged, to 1, runs that barely converged."""
    import matplotlib as mpl
    from matplotlib.colors import LinearSegmentedColormap

    if colours != "talweg":
        name = "Spectral" if colours == "published" else colours
        if name not in mpl.colormaps:
            raise ArgumentError(
                f'unknown colours {colours!r}; there are "talweg", "published", and the names of '
                "matplotlib's colour maps, such as 'RdBu'"
            )
        return mpl.colormaps[name].with_extremes(bad=NOT_COMPUTED)
    edge = (1.0 - _BUFFER) / 2.0
    stops = [
        *_spread(_DIVERGED[::-1], 0.0, edge),
        *_spread(_CONVERGED[::-1], 1.0 - edge, 1.0),
    ]
    made = LinearSegmentedColormap.from_list("talweg", stops, N=1024)
    return made.with_extremes(bad=NOT_COMPUTED)


def _spread(names: Sequence[str], first: float, last: float) -> list[tuple[float, str]]:
    steps = len(names) - 1
    return [(first + (last - first) * i / steps, name) for i, name in enumerate(names)]


# ---- axes -------------------------------------------------------------------------------------


def _ends(values: Sequence[float] | Array, scale: str) -> tuple[float, float]:
    """Where the picture begins and ends: half a pixel before the first and after the last."""
    first, last = float(values[0]), float(values[-1])
    if scale == "log":
        first, last = math.log10(first), math.log10(last)
    half = 0.5 * (last - first) / max(1, len(values) - 1) or 0.5
    return first - half, last + half


def _ticks(begin: float, end: float, scale: str) -> tuple[list[float], list[str], str]:
    """Ticks: where, their labels, and what is to be said beside the axis's name.

    A long logarithmic axis has powers of ten, a shorter one also 2 and 5 times these. Others have
    round numbers, and those of a closer look
    are given as differences from its middle.
    """
    if scale == "log" and end - begin >= 2.0:
        step = max(1, round((end - begin) / 8.0))
        powers = range(math.ceil(begin - 1e-9), math.floor(end + 1e-9) + 1, step)
        return [float(p) for p in powers], [f"$10^{{{p}}}$" for p in powers], ""
    low, high = (10.0**begin, 10.0**end) if scale == "log" else (begin, end)
    if scale == "log" and end - begin >= 0.7:
        numbers = [m * 10.0**p for p in range(math.floor(begin), math.ceil(end)) for m in (1, 2, 5)]
        numbers = [number for number in numbers if low <= number <= high]
        return [math.log10(number) for number in numbers], [f"{n:g}" for n in numbers], ""
    width = high - low
    largest = max(abs(low), abs(high))
    if width > 1e-3 * largest:
        numbers = _round_numbers(low, high)
        labels = [f"{number:.6g}" for number in numbers]
        beside = ""
    else:
        middle = 0.5 * (low + high)
        digits = max(1, math.ceil(math.log10(largest / width)) + 2)
        shown = float(f"{middle:.{digits}g}")
        differences = _round_numbers(low - shown, high - shown)
        numbers = [shown + difference for difference in differences]
        power = math.floor(math.log10(width))
        labels = [_signed(difference / 10.0**power) for difference in differences]
        beside = f"  =  {shown:.{digits}g} + tick $\\times$ $10^{{{power}}}$"
    places = [math.log10(number) if scale == "log" else number for number in numbers]
    return places, labels, beside


def _signed(x: float) -> str:
    return f"{x:+.3g}".replace("-", "−") if x else "0"


def _round_numbers(low: float, high: float) -> list[float]:
    """About five round numbers between two."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(number) for number in found if low <= number <= high]


def _legend(ax: Axes, colours: str) -> None:
    """A slim bar at the right: which colours are which runs."""
    import numpy as np

    bar = ax.inset_axes((1.03, 0.0, 0.025, 1.0))
    half = np.linspace(_BUFFER, 1.0, 128)
    strip = np.concatenate([-half, half[::-1]])[:, None]
    bar.imshow(
        as_pixels(strip, colours),
        origin="lower",
        aspect="auto",
        extent=(0.0, 1.0, 0.0, 1.0),
        interpolation="nearest",
    )
    bar.set_xticks([])
    bar.set_yticks([])
    bar.spines[:].set_visible(False)
    for place, text, where in (
        (0.0, "at once", "bottom"),
        (0.25, "converged", "center"),
        (0.5, "barely", "center"),
        (0.75, "diverged", "center"),
        (1.0, "at once", "top"),
    ):
        is_kind = text in ("converged", "diverged")
        bar.text(
            1.6, place, text, fontsize=10 if is_kind else 8.5, va=where,
            color="#222222" if is_kind else "#777777", rotation=90 if is_kind else 0,
        )  # fmt: skip
