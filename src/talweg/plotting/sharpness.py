"""The figure of a run's stability: sharpness over steps, beside the limit.

Start reading at `sharpness`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from talweg.errors import ArgumentError
from talweg.plotting.curves import tick_marks
from talweg.plotting.style import BLUE, DASHES, VERMILLION, dress, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOG_SPAN = 30.0
"""A curve and a limit that lie further apart than this factor get a log axis."""


def sharpness(
    found: Sequence[tuple[int, float]],
    limits: Sequence[tuple[int, float]],
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the largest curvature of the loss over the steps, beside the limit.

    Where the curve is above the line, steps overshoot further each time, and the loss rises.
    The axis is logarithmic when all numbers are positive and span more than a factor 30. What
    is not finite is left out.

    Args:
        found: pairs of a step and the sharpness before it, at least one.
        limits: for the same steps, the sharpness above which the learning rate is unstable.
        title: a heading.
        ax: where to draw; a new figure of 7 by 4 inches unless given.

    Returns:
        The axes.

    Raises:
        ArgumentError: if there is nothing to draw.

    Example:
        >>> ax = sharpness([(1, 8.0), (11, 21.0)], [(1, 20.0), (11, 20.0)])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['sharpness', 'limit of the learning rate']
    """
    if not found:
        raise ArgumentError(
            "there is no sharpness to draw; "
            "train with callbacks=[tw.SharpnessCallback(model, data)]"
        )
    ax = ax or new_axes()
    ax.set_yscale(_scale([y for _, y in [*found, *limits]]))
    few = len(found) <= 30  # then one by one: the line between them was not measured
    steps, curve = [step for step, _ in found], [_gap(y) for _, y in found]
    ax.plot(steps, curve, color=BLUE, lw=1.8, marker="o" if few else "", ms=4, label="sharpness")
    steps, line = [step for step, _ in limits], [_gap(y) for _, y in limits]
    name = "limit of the learning rate"
    if len(set(line)) == 1 and math.isfinite(line[0]):
        ax.axhline(line[0], color=VERMILLION, ls=DASHES[1], lw=1.6, label=name)
    else:
        ax.plot(steps, line, color=VERMILLION, ls=DASHES[1], lw=1.6, label=name)
    if ax.get_yscale() == "linear" and min(filter(math.isfinite, curve), default=0.0) >= 0.0:
        ax.set_ylim(bottom=0.0)
    dress(ax, "step", "largest curvature of the loss", title)
    tick_marks(ax)
    ax.legend(fontsize=10, framealpha=0.85, edgecolor="none")
    return ax


def _gap(y: float) -> float:
    return y if math.isfinite(y) else math.nan


def _scale(numbers: Sequence[float]) -> str:
    finite = [y for y in numbers if math.isfinite(y)]
    positive = bool(finite) and min(finite) > 0.0
    return "log" if positive and max(finite) > _LOG_SPAN * min(finite) else "linear"
