"""Figures of predictions: against targets, over a plane of two inputs, and by class.

Each function takes plain numbers, draws on the axes that it is given or on new ones, and
returns the axes. Start reading at `predictions`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from talweg.errors import ArgumentError, ShapeError
from talweg.plotting.figure import Axes, new_axes
from talweg.plotting.style import (
    BLACK,
    BLUE,
    COLOURS,
    DASHES,
    GREY,
    MARKERS,
    label_axes,
    plain_text,
)

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize

_GRID = 60
"""The number of points along each axis of the grid on which a model is evaluated."""

_BELOW, _ABOVE = "#6FAFD6", "#EBA277"
"""Lighter tones of the blue and vermillion of the points, which are drawn on them."""

# ---- predicted against target ---------------------------------------------------------------


def predictions(
    targets: Sequence[float],
    predictions: Sequence[float],
    *,
    target_name: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw each prediction against its target; a point on the diagonal is a perfect prediction.

    The title is the coefficient of determination
    R² = 1 - sum((target - prediction)²) / sum((target - mean of targets)²).

    Args:
        targets: the target of each sample.
        predictions: the prediction for each sample.
        target_name: the name of the target, with its unit.
        ax: the axes to draw on; a new figure of 5.2 by 5 inches unless given.

    Returns:
        The axes.

    Raises:
        ShapeError: if the lists have different lengths.
        ArgumentError: if no prediction is finite.

    Example:
        >>> ax = predictions([1.0, 2.0, 3.0], [1.1, 1.9, 3.0], target_name="price")
        >>> ax.get_title(loc="left")
        'R² = 0.9900'
    """
    if len(targets) != len(predictions):
        raise ShapeError(
            f"{len(targets)} targets and {len(predictions)} predictions: give one for each sample"
        )
    pairs = list(zip(targets, predictions, strict=True))
    shown = [(t, p) for t, p in pairs if math.isfinite(t) and math.isfinite(p)]
    if not shown:
        raise ArgumentError(f"none of the {len(pairs)} predictions of {target_name} is finite")
    ax = ax or new_axes(5.2, 5.0)
    x, y = [t for t, _ in shown], [p for _, p in shown]
    low, high = _with_margin([*x, *y])
    ax.plot([low, high], [low, high], color=GREY, ls=DASHES[1], lw=1.2, label="prediction = target")
    # Many points are transparent, so that dense regions are darker.
    alpha = max(0.2, min(0.8, 150.0 / len(shown)))
    ax.scatter(x, y, s=26, color=BLUE, alpha=alpha, linewidths=0, label="samples")
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.locator_params(nbins=5)  # room for labels of six digits
    name = plain_text(target_name, 40)
    label_axes(ax, f"target: {name}", f"predicted: {name}", _r2_title(shown, len(pairs)))
    ax.legend(frameon=False, fontsize=10, loc="upper left")
    return ax


def _r2_title(shown: Sequence[tuple[float, float]], samples: int) -> str:
    # Products and plain sums: `**` and `fsum` raise if a huge prediction overflows.
    mean = sum(t for t, _ in shown) / len(shown)
    spread = sum((t - mean) * (t - mean) for t, _ in shown)
    error = sum((t - p) * (t - p) for t, p in shown)
    # With a single target, or equal targets, the denominator is 0.
    title = f"R² = {1.0 - error / spread:.4f}" if spread > 0.0 else "R² undefined: equal targets"
    if len(shown) < samples:
        return f"{samples - len(shown)} of {samples} predictions are not finite"
    return title


# ---- decision boundary ------------------------------------------------------------------------


def boundary(
    predict: Callable[[float, float], float],
    inputs: Sequence[Sequence[float]],
    classes_or_targets: Sequence[float],
    *,
    names: Sequence[str],
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the predictions of a model over the plane of its two inputs, with the samples.

    With `class_names` the model returns the index of a class, and each class has the colour of a
    region and a marker. Without them it returns a number: the colour shows the number, and a line
    shows where it is zero, which is the boundary between targets of -1 and 1.

    Args:
        predict: the model, called as `predict(x1, x2)` on a grid of 60 by 60 points.
        inputs: the inputs of the samples, two numbers each.
        classes_or_targets: the index of the class, or the target, of each sample.
        names: the names of the two inputs.
        class_names: the names of the classes; None if targets are numbers.
        ax: the axes to draw on; a new figure of 6.4 by 4.8 inches unless given.

    Returns:
        The axes.

    Raises:
        ShapeError: if a sample does not have two inputs, or two lists differ in length.
        ArgumentError: if there are no samples.

    Example:
        >>> ax = boundary(lambda x, y: x - y, [[0, 1], [1, 0]], [-1, 1], names=["x", "y"])
        >>> ax.get_xlabel(), [text.get_text() for text in ax.get_legend().get_texts()]
        ('x', ['prediction 0', 'target -1', 'target 1'])
    """
    _check_plane(inputs, classes_or_targets, names)
    ax = ax or new_axes(6.4, 4.8)
    x1, x2 = [float(row[0]) for row in inputs], [float(row[1]) for row in inputs]
    sides = _axis(x1), _axis(x2)
    z = [[float(predict(a, b)) for a in sides[0]] for b in sides[1]]
    if class_names is None:
        scale = _number_regions(ax, *sides, z, classes_or_targets)
        _number_points(ax, x1, x2, classes_or_targets, scale)
    else:
        _class_regions(ax, *_refined(predict, *sides, z), len(class_names))
        for k, name in enumerate(class_names):
            at = [i for i, c in enumerate(classes_or_targets) if c == k]
            _points(ax, [x1[i] for i in at], [x2[i] for i in at], k, plain_text(name))
    label_axes(ax, plain_text(names[0], 40), plain_text(names[1], 40))
    ax.set(xlim=(sides[0][0], sides[0][-1]), ylim=(sides[1][0], sides[1][-1]))
    ax.grid(visible=False)
    # Above the axes: there may be samples in every corner.
    ax.legend(
        frameon=False, fontsize=10, ncols=3, loc="lower left", bbox_to_anchor=(-0.02, 1.0),
        handletextpad=0.4, columnspacing=1.4,
    )  # fmt: skip
    return ax


def _check_plane(
    inputs: Sequence[Sequence[float]], answers: Sequence[float], names: Sequence[str]
) -> None:
    if len(inputs) == 0:
        raise ArgumentError("there are no samples to draw")
    wrong = next((i for i, row in enumerate(inputs) if len(row) != 2), None)
    if wrong is not None or len(names) != 2:
        found = (
            f"{len(names)} names" if wrong is None else f"{len(inputs[wrong])} in sample {wrong}"
        )
        raise ShapeError(f"a decision boundary needs exactly 2 inputs, found {found}")
    if len(inputs) != len(answers):
        raise ShapeError(f"{len(inputs)} samples and {len(answers)} targets: give one for each")


Side = list[float]
Rows = list[list[float]]
"""Predictions on a grid, one row for each x2."""


def _axis(numbers: Sequence[float]) -> Side:
    low, high = _with_margin(numbers)
    return [low + (high - low) * i / (_GRID - 1) for i in range(_GRID)]


def _refined(
    predict: Callable[[float, float], float], x1: Side, x2: Side, z: Rows
) -> tuple[Side, Side, Rows]:
    """The classes on a grid four times as fine, so that boundaries are drawn without steps.

    The model is evaluated again only in cells whose corners differ: a few in a hundred.
    """
    last, fine = _GRID - 2, range(4 * (_GRID - 1) + 1)
    cells = [(min(i // 4, last), i / 4 - min(i // 4, last)) for i in fine]
    f1 = [x1[c] + part * (x1[c + 1] - x1[c]) for c, part in cells]
    f2 = [x2[c] + part * (x2[c + 1] - x2[c]) for c, part in cells]
    rows = []
    for b, (r, _) in zip(f2, cells, strict=True):
        same = [z[r][c] == z[r][c + 1] == z[r + 1][c] == z[r + 1][c + 1] for c in range(last + 1)]
        rows.append(
            [
                z[r][c] if same[c] else float(predict(a, b))
                for a, (c, _) in zip(f1, cells, strict=True)
            ]
        )
    return f1, f2, rows


def _class_regions(ax: Axes, x1: Side, x2: Side, z: Rows, classes: int) -> None:
    import numpy as np

    for k in range(classes):
        inside = (np.array(z) == k).astype(float)
        if not inside.any():
            continue
        colour = COLOURS[k % len(COLOURS)]
        # Each class by itself: a contour of the indices would draw class 1 between 0 and 2.
        ax.contourf(x1, x2, inside, levels=[0.5, 1.5], colors=[colour], alpha=0.22)
        if not inside.all():
            ax.contour(x1, x2, inside, levels=[0.5], colors=[BLACK], linewidths=0.9)


def _number_regions(
    ax: Axes, x1: Side, x2: Side, z: Rows, targets: Sequence[float]
) -> tuple[Colormap, Normalize]:
    """Colour by value: blue below zero, orange above, and a line between them.

    If no number is below zero, or none above, the colours go from dark to light.
    """
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    numbers = [v for v in [*(v for row in z for v in row), *targets] if math.isfinite(v)] or [0.0]
    low, high = min(numbers), max(numbers)
    if low < 0.0 < high:
        colours: Colormap = LinearSegmentedColormap.from_list("signs", [_BELOW, "white", _ABOVE])
        low, high = min(low, -high), max(high, -low)
    else:
        colours = colormaps["viridis"]
    norm = Normalize(low, high)
    h1, h2 = (x1[1] - x1[0]) / 2, (x2[1] - x2[0]) / 2  # points are the centres of pixels
    image = ax.imshow(
        np.ma.masked_invalid(z), cmap=colours.with_extremes(bad="#BBB"), norm=norm,
        origin="lower", aspect="auto",
        extent=(x1[0] - h1, x1[-1] + h1, x2[0] - h2, x2[-1] + h2), interpolation="bilinear",
    )  # fmt: skip
    figure: Any = ax.get_figure()
    bar = figure.colorbar(image, ax=ax, pad=0.02)
    bar.set_label("prediction", fontsize=11)
    bar.ax.tick_params(labelsize=10)
    if any(v < 0.0 for row in z for v in row) and any(v > 0.0 for row in z for v in row):
        ax.contour(x1, x2, z, levels=[0.0], colors=[BLACK], linewidths=1.6)
        ax.plot([], [], color=BLACK, lw=1.6, label="prediction 0")
    return colours, norm


def _number_points(
    ax: Axes,
    x1: Sequence[float],
    x2: Sequence[float],
    targets: Sequence[float],
    scale: tuple[Colormap, Normalize],
) -> None:
    kinds = sorted(dict.fromkeys(targets))
    colours, norm = scale
    if len(kinds) == 2:
        for k, kind in enumerate(kinds):
            at = [i for i, t in enumerate(targets) if t == kind]
            _points(ax, [x1[i] for i in at], [x2[i] for i in at], k, f"target {kind:g}")
    else:
        ax.scatter(
            x1, x2, c=list(targets), cmap=colours, norm=norm, s=34, edgecolors=BLACK,
            linewidths=0.8, label="samples, filled by target",
        )  # fmt: skip


def _points(ax: Axes, x1: Sequence[float], x2: Sequence[float], k: int, label: str) -> None:
    colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
    ax.scatter(
        x1, x2, s=32, color=colour, marker=marker, edgecolors="white", linewidths=0.7, label=label
    )


def _with_margin(numbers: Sequence[float]) -> tuple[float, float]:
    low, high = min(numbers), max(numbers)
    margin = 0.08 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin


# ---- confusion matrix -------------------------------------------------------------------------


_MOST_PERCENTAGES = 15
"""With more classes the cells have no percentages; there is a colour bar instead."""

_MOST_COUNTED = 40
"""With more classes the cells have no text."""


def confusion(
    matrix: Sequence[Sequence[int]], class_names: Sequence[str], ax: Axes | None = None
) -> Axes:
    r"""Draw a confusion matrix: for each true class, how often each class was predicted.

    A cell shows its count and its fraction of the row; the colour is that fraction.

    Args:
        matrix: one row for each true class, one column for each predicted class.
        class_names: the names of the classes, in the order of rows and columns.
        ax: the axes to draw on; a new figure, whose size depends on the number of classes, unless
            given.

    Returns:
        The axes.

    Raises:
        ShapeError: if the matrix is not square with one row for each name.

    Example:
        >>> ax = confusion([[9, 1], [0, 10]], ["no", "yes"])
        >>> ax.get_title(loc="left")
        'accuracy 95.0%\n19 of 20 correct'
    """
    n = len(class_names)
    if n == 0 or len(matrix) != n or any(len(row) != n for row in matrix):
        found = f"{len(matrix)} x {', '.join(sorted({str(len(row)) for row in matrix}))}"
        raise ShapeError(f"a confusion matrix of {n} classes is {n} x {n}, found {found}")
    cell = 0.62 if n <= 12 else 0.4
    ax = ax or new_axes(min(24.0, max(4.0, cell * n + 2.0)), min(22.0, max(3.6, cell * n + 1.4)))
    fractions = [[count / (sum(row) or 1) for count in row] for row in matrix]
    image = ax.imshow(fractions, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    size = 11 if n <= 5 else 9 if n <= 12 else 7
    if n <= _MOST_COUNTED:
        _write_counts(ax, matrix, fractions, size)
    if n > _MOST_PERCENTAGES:
        _fraction_bar(ax, image)
    _name_classes(ax, class_names, size)
    ax.set_title(_accuracy(matrix), fontsize=12, loc="left")
    return ax


def _write_counts(
    ax: Axes, matrix: Sequence[Sequence[int]], fractions: Sequence[Sequence[float]], size: int
) -> None:
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            text = f"{count:,}"
            if count and len(matrix) <= _MOST_PERCENTAGES:  # zeros have none: they hide the rest
                text += f"\n{_percent(fractions[i][j])}"
            # Black and white have the same contrast to the colour of a fraction of 0.71.
            colour = "white" if fractions[i][j] > 0.71 else BLACK if count else GREY
            ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)


def _percent(fraction: float) -> str:
    """A fraction in percent; only 0 is 0% and only 1 is 100%."""
    if 0.0 < fraction < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= fraction < 1.0 else f"{fraction:.0%}"


def _accuracy(matrix: Sequence[Sequence[int]]) -> str:
    correct, total = sum(row[i] for i, row in enumerate(matrix)), sum(map(sum, matrix))
    if total == 0:
        return "no samples"
    accuracy = 1.0 if correct == total else min(correct / total, 0.999)  # no 100.0% with errors
    return f"accuracy {accuracy:.1%}\n{correct:,} of {total:,} correct"


def _name_classes(ax: Axes, class_names: Sequence[str], size: int) -> None:
    names = [plain_text(name, 18) for name in class_names]
    crowded = max(map(len, names)) > (10 if len(names) <= 5 else 5)
    rotated: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(range(len(names)), names, fontsize=max(9, size), **(rotated if crowded else {}))
    ax.set_yticks(range(len(names)), names, fontsize=max(9, size))
    ax.set_xlabel("predicted class", fontsize=11)
    ax.set_ylabel("true class", fontsize=11)
    between = [i + 0.5 for i in range(len(names) - 1)]
    ax.set_xticks(between, minor=True)
    ax.set_yticks(between, minor=True)
    ax.grid(visible=True, which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)


def _fraction_bar(ax: Axes, image: Any) -> None:
    figure: Any = ax.get_figure()
    bar = figure.colorbar(image, ax=ax, pad=0.02, format="{x:.0%}")
    bar.set_label("fraction of the true class", fontsize=11)
    bar.outline.set_visible(False)
