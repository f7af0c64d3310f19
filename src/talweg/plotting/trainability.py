"""The figure of a trainability map: converged runs in cool colours, the others in warm colours.

Measures span many powers of ten, so a colour shows the rank of a measure: as many points have one
colour as any other (`intensities`). Runs that converged or diverged fast are pale or dark. Slow
runs, which are near the boundary, have the strongest colours, light on one side of the boundary
and dark on the other.

Start reading at `trainability`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from talweg._util.arrays import Array
from talweg.errors import ArgumentError
from talweg.plotting.figure import Axes, new_axes
from talweg.plotting.style import plain_text

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

NOT_COMPUTED = "#B4B4B4"
"""The colour of points without a measure: a grey that no other point has."""

_FASTEST = 0.25
"""The size of the intensity of the fastest runs, which separates the two families of colours."""

# From the boundary outward. Converged: from deep blue to pale. Diverged: from bright yellow to
# dark red. So light meets dark at the boundary, for any kind of colour vision.
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
    """Draw a map of runs, one pixel for each run.

    Args:
        measure: the measure of each run, rows along y from low to high, columns along x: below 0
            if the run converged, above 0 if not, nan if it was not computed (grey).
        x: the setting of each column, equally spaced on its scale.
        y: the setting of each row, equally spaced on its scale.
        names: the names of the two settings.
        scales: "log" or "linear" for each setting.
        reference: the measures whose ranks give the colours; those of the map unless given.
            In figures with the same reference, equal measures have equal colours.
        title: the title.
        colours: "talweg", "published" (Spectral of matplotlib), or the name of a colour map of
            matplotlib; its lower half is for runs that did not converge.
        ax: the axes to draw on; a new square figure unless given.

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
    limits = [_limits(values, scale) for values, scale in zip((x, y), scales, strict=True)]
    ax.imshow(
        as_pixels(intensities(measure, reference), colours),
        origin="lower",
        extent=(*limits[0], *limits[1]),
        aspect="auto",
        interpolation="nearest",
    )
    ax.set_box_aspect(1.0)
    for axis, ends, scale, name in zip((ax.xaxis, ax.yaxis), limits, scales, names, strict=True):
        ticks = _ticks(*ends, scale)
        axis.set_ticks(ticks.positions, ticks.labels)
        axis.set_label_text(plain_text(name, 40) + ticks.note, fontsize=11)
    ax.tick_params(labelsize=10, color="#888888", length=3)
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(title, fontsize=12, loc="left")
    _colour_legend(ax, colours)
    return ax


def _square_axes() -> Axes:
    """The axes of a new figure that leaves room for a legend beside a square."""
    ax = new_axes(6.6, 5.9)
    ax.figure.set_layout_engine("compressed")  # type: ignore[union-attr]
    return ax


# ---- colours ----------------------------------------------------------------------------------


def intensities(measure: Array, reference: Array | None = None) -> Array:
    """Map measures to numbers from -1 to 1 by their rank.

    Converged runs are mapped to -1 (the slowest) to -0.25 (the fastest), the other runs to 0.25
    (the fastest) to 1 (the slowest). In both ranges the numbers have equal distances.

    Args:
        measure: below 0 for converged runs, above 0 for others, nan if not computed.
        reference: the measures that are ranked; a measure between two of them is mapped to a
            number between theirs. `measure` itself unless given.

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
    for sign, low, high in ((-1.0, -1.0, -_FASTEST), (1.0, _FASTEST, 1.0)):
        chosen = measure * sign > 0.0
        values, counts = np.unique(ranked[ranked * sign > 0.0], return_counts=True)
        if not len(values):
            result[chosen] = sign * (1.0 + _FASTEST) / 2.0
            continue
        # The rank of equal measures is the mean of their ranks.
        ranks = np.cumsum(counts) - 0.5 * (counts + 1)
        spread = low + (high - low) * ranks / max(1, counts.sum() - 1)
        result[chosen] = np.interp(measure[chosen], values, spread)
    return result


def as_pixels(intensity: Array, colours: str = "talweg") -> Array:
    """Map intensities to colours: bytes of red, green and blue for each point.

    Args:
        intensity: numbers from -1 to 1, see `intensities`; nan is drawn grey.
        colours: see `trainability`.

    Raises:
        ArgumentError: if there is no such colour map.

    >>> import numpy as np
    >>> as_pixels(np.array([[-1.0, np.nan]])).tolist()
    [[[8, 16, 58], [180, 180, 180]]]
    """
    import numpy as np

    pixels: Array = _colour_map(colours)(np.ma.masked_invalid((1.0 - intensity) / 2.0), bytes=True)
    return pixels[..., :3]


@cache
def _colour_map(colours: str) -> Colormap:
    """A diverging colour map: 0 is the slowest diverged run, 1 the slowest converged run."""
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
    edge = (1.0 - _FASTEST) / 2.0
    stops = [
        *_equally_spaced(_DIVERGED[::-1], 0.0, edge),
        *_equally_spaced(_CONVERGED[::-1], 1.0 - edge, 1.0),
    ]
    made = LinearSegmentedColormap.from_list("talweg", stops, N=1024)
    return made.with_extremes(bad=NOT_COMPUTED)


def _equally_spaced(names: Sequence[str], first: float, last: float) -> list[tuple[float, str]]:
    steps = len(names) - 1
    return [(first + (last - first) * i / steps, name) for i, name in enumerate(names)]


# ---- axes -------------------------------------------------------------------------------------


class _Ticks(NamedTuple):
    """The ticks of an axis.

    Attributes:
        positions: where they are; on a logarithmic axis the decadic logarithm of the setting.
        labels: the label of each.
        note: what is appended to the name of the axis.
    """

    positions: list[float]
    labels: list[str]
    note: str = ""


def _limits(values: Sequence[float] | Array, scale: str) -> tuple[float, float]:
    """The ends of an axis: half a pixel before the first value and after the last."""
    first, last = float(values[0]), float(values[-1])
    if scale == "log":
        first, last = math.log10(first), math.log10(last)
    half = 0.5 * (last - first) / max(1, len(values) - 1) or 0.5
    return first - half, last + half


def _ticks(start: float, end: float, scale: str) -> _Ticks:
    """The ticks of an axis from `start` to `end`, which are logarithms on a logarithmic axis.

    A logarithmic axis has powers of ten as ticks if it is long, and also 2 and 5 times these if it
    is shorter. Other axes have round numbers. On an axis so short that its numbers share their
    first digits, the labels are differences from a number in its middle.
    """
    if scale == "log" and end - start >= 2.0:
        return _powers_of_ten(start, end)
    low, high = (10.0**start, 10.0**end) if scale == "log" else (start, end)
    if scale == "log" and end - start >= 0.7:
        numbers = [m * 10.0**p for p in range(math.floor(start), math.ceil(end)) for m in (1, 2, 5)]
        numbers = [number for number in numbers if low <= number <= high]
        return _Ticks([math.log10(number) for number in numbers], [f"{n:g}" for n in numbers])
    is_short = high - low <= 1e-3 * max(abs(low), abs(high))
    ticks = _differences(low, high) if is_short else _round_ticks(low, high)
    if scale == "log":
        return ticks._replace(positions=[math.log10(number) for number in ticks.positions])
    return ticks


def _powers_of_ten(start: float, end: float) -> _Ticks:
    step = max(1, round((end - start) / 8.0))
    powers = range(math.ceil(start - 1e-9), math.floor(end + 1e-9) + 1, step)
    return _Ticks([float(p) for p in powers], [f"$10^{{{p}}}$" for p in powers])


def _round_ticks(low: float, high: float) -> _Ticks:
    numbers = _round_numbers(low, high)
    return _Ticks(numbers, [f"{number:.6g}" for number in numbers])


def _differences(low: float, high: float) -> _Ticks:
    """Ticks whose labels are differences from a number in the middle, which the note states."""
    width, middle = high - low, 0.5 * (low + high)
    digits = max(1, math.ceil(math.log10(max(abs(low), abs(high)) / width)) + 2)
    shown = float(f"{middle:.{digits}g}")
    differences = _round_numbers(low - shown, high - shown)
    power = math.floor(math.log10(width))
    return _Ticks(
        [shown + difference for difference in differences],
        [_signed(difference / 10.0**power) for difference in differences],
        f"  =  {shown:.{digits}g} + tick $\\times$ $10^{{{power}}}$",
    )


def _signed(x: float) -> str:
    return f"{x:+.3g}".replace("-", "−") if x else "0"


def _round_numbers(low: float, high: float) -> list[float]:
    """About five round numbers between two numbers."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(number) for number in found if low <= number <= high]


def _colour_legend(ax: Axes, colours: str) -> None:
    """Draw a slim bar of the colours at the right, with what they mean."""
    import numpy as np

    bar = ax.inset_axes((1.03, 0.0, 0.025, 1.0))
    half = np.linspace(_FASTEST, 1.0, 128)
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
    for height, text, alignment in (
        (0.0, "fast", "bottom"),
        (0.25, "converged", "center"),
        (0.5, "slow", "center"),
        (0.75, "diverged", "center"),
        (1.0, "fast", "top"),
    ):
        is_family = text in ("converged", "diverged")
        bar.text(
            1.6, height, text, fontsize=10 if is_family else 8.5, va=alignment,
            color="#222222" if is_family else "#777777", rotation=90 if is_family else 0,
        )  # fmt: skip
