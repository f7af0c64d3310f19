"""The figure of the sharpness: the largest curvature of the loss over the steps of a run.

Start reading at `sharpness`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from talweg.errors import ArgumentError
from talweg.plotting.figure import Axes, new_axes
from talweg.plotting.style import (
    BLUE,
    DASHES,
    VERMILLION,
    format_step_ticks,
    label_axes,
    with_gaps,
)

_LOG_SPAN = 30.0
"""The axis is logarithmic if the ratio of the largest to the smallest number is above this."""


def sharpness(
    found: Sequence[tuple[int, float]],
    limits: Sequence[tuple[int, float]],
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the largest curvature of the loss over the steps, with the stability limit.

    While the curve is above the limit, steps along the direction of largest curvature overshoot
    further each time, and the loss rises. The axis is logarithmic if all numbers are positive and
    span more than a factor of 30. What is not finite is left out.

    Args:
        found: pairs (step, sharpness at the weights that the step starts from), at least one.
        limits: pairs (step, largest sharpness at which its learning rate is stable), for the
            same steps.
        title: the title.
        ax: the axes to draw on; a new figure of 7 by 4 inches unless given.

    Returns:
        The axes.

    Raises:
        ArgumentError: if `found` is empty.

    Example:
        >>> ax = sharpness([(1, 8.0), (11, 21.0)], [(1, 20.0), (11, 20.0)])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['sharpness', 'stability limit of the learning rate']
    """
    if not found:
        raise ArgumentError(
            "there is no sharpness to draw; "
            "train with callbacks=[tw.SharpnessCallback(model, data)]"
        )
    ax = ax or new_axes()
    ax.set_yscale(_scale([y for _, y in [*found, *limits]]))
    few = len(found) <= 30  # few points have markers: the line between them was not measured
    steps, curve = [step for step, _ in found], with_gaps(y for _, y in found)
    ax.plot(steps, curve, color=BLUE, lw=1.8, marker="o" if few else "", ms=4, label="sharpness")
    steps, line = [step for step, _ in limits], with_gaps(y for _, y in limits)
    name = "stability limit of the learning rate"
    if len(set(line)) == 1 and math.isfinite(line[0]):
        ax.axhline(line[0], color=VERMILLION, ls=DASHES[1], lw=1.6, label=name)
    else:
        ax.plot(steps, line, color=VERMILLION, ls=DASHES[1], lw=1.6, label=name)
    if ax.get_yscale() == "linear" and min(filter(math.isfinite, curve), default=0.0) >= 0.0:
        ax.set_ylim(bottom=0.0)
    label_axes(ax, "step", "largest curvature of the loss", title)
    format_step_ticks(ax)
    ax.legend(fontsize=10, framealpha=0.85, edgecolor="none")
    return ax


def _scale(numbers: Sequence[float]) -> str:
    finite = [y for y in numbers if math.isfinite(y)]
    positive = bool(finite) and min(finite) > 0.0
    return "log" if positive and max(finite) > _LOG_SPAN * min(finite) else "linear"
