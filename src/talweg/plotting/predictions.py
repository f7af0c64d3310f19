"""Figures of what a model says: against targets, over two inputs, and where it confuses.

Each function takes plain numbers, draws on the axes that it is given or on new ones, and
returns the axes; `talweg.plotting.curves.save` writes them. Start reading at `predictions`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from talweg.errors import ArgumentError, ShapeError
from talweg.plotting.style import (
    BLACK,
    BLUE,
    COLOURS,
    DASHES,
    GREY,
    MARKERS,
    dress,
    new_axes,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

_GRID = 60
"""Points along each side of the grid on which a boundary is computed."""

_BELOW, _ABOVE = "#6FAFD6", "#EBA277"
"""Light relatives of the blue and vermillion of the points, which stand on them."""

# ---- predicted against target ---------------------------------------------------------------


def predictions(
    targets: Sequence[float],
    predictions: Sequence[float],
    *,
    target_name: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw each prediction against its target; a perfect model lies on the diagonal.

    The title has the coefficient of determination
    R² = 1 - sum((target - prediction)²) / sum((target - mean)²).

    Args:
        targets: the true numbers, one a sample.
        predictions: what the model says, in the same order.
        target_name: the name of the target, with its unit.
        ax: where to draw; a new figure of 5.2 by 5 inches unless given.

    Returns:
        The axes.

    Raises:
        ShapeError: if the lists have different lengths.
        ArgumentError: if there is nothing finite to draw.

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
    ax.plot([low, high], [low, high], color=GREY, ls=DASHES[1], lw=1.2, label="perfect")
    # With many points the light ones beneath show where they are dense.
    alpha = max(0.2, min(0.8, 150.0 / len(shown)))
    ax.scatter(x, y, s=26, color=BLUE, alpha=alpha, linewidths=0, label="samples")
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.locator_params(nbins=5)  # room for labels of six digits
    name = plain(target_name, 40)
    dress(ax, f"target: {name}", f"predicted: {name}", _r2_title(shown, len(pairs)))
    ax.legend(frameon=False, fontsize=10, loc="upper left")
    return ax


def _r2_title(shown: Sequence[tuple[float, float]], samples: int) -> str:
    # Products and plain sums, for `**` and `fsum` raise where a huge prediction overflows.
    mean = sum(t for t, _ in shown) / len(shown)
    spread = sum((t - mean) * (t - mean) for t, _ in shown)
    left = sum((t - p) * (t - p) for t, p in shown)
    # One target, or all targets equal: there is nothing to explain.
    title = f"R² = {1.0 - left / spread:.4f}" if spread > 0.0 else "R² undefined: equal targets"
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
    """Draw what a model says over the plane of its two inputs, and the samples on it.

    With `class_names` the model gives the index of a class, and each class has a region
    and a marker. Without, it gives a number: the colour is its value, and a line runs
    where it is zero, which is the boundary between targets of -1 and 1.

    Args:
        predict: the model, called as `predict(x1, x2)` on a grid of 60 by 60 points.
        inputs: the samples, two numbers each.
        classes_or_targets: the class index or the target of each sample.
        names: the names of the two inputs.
        class_names: the names of the classes; None if targets are numbers.
        ax: where to draw; a new figure of 6.4 by 4.8 inches unless given.

    Returns:
        The axes.

    Raises:
        ShapeError: if a sample has not two inputs, or a list has another length.
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
            _points(ax, [x1[i] for i in at], [x2[i] for i in at], k, plain(name))
    dress(ax, plain(names[0], 40), plain(names[1], 40))
    ax.set(xlim=(sides[0][0], sides[0][-1]), ylim=(sides[1][0], sides[1][-1]))
    ax.grid(visible=False)
    # Above the axes: inside, any corner may hold samples.
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
    """The classes on a grid four times as fine, so that boundaries show no stairs.

    The model is asked again only in cells whose corners differ: a few in a hundred.
    """
    last, fine = _GRID - 2, range(4 * (_GRID - 1) + 1)
    places = [(min(i // 4, last), i / 4 - min(i // 4, last)) for i in fine]
    f1 = [x1[c] + part * (x1[c + 1] - x1[c]) for c, part in places]
    f2 = [x2[c] + part * (x2[c + 1] - x2[c]) for c, part in places]
    rows = []
    for b, (r, _) in zip(f2, places, strict=True):
        same = [z[r][c] == z[r][c + 1] == z[r + 1][c] == z[r + 1][c + 1] for c in range(last + 1)]
        rows.append(
            [
                z[r][c] if same[c] else float(predict(a, b))
                for a, (c, _) in zip(f1, places, strict=True)
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
        # One region at a time: a contour of the indices would pass 1 between 0 and 2.
        ax.contourf(x1, x2, inside, levels=[0.5, 1.5], colors=[colour], alpha=0.22)
        if not inside.all():
            ax.contour(x1, x2, inside, levels=[0.5], colors=[BLACK], linewidths=0.9)


def _number_regions(
    ax: Axes, x1: Side, x2: Side, z: Rows, targets: Sequence[float]
) -> tuple[Colormap, Normalize]:
    """Colour by value: blue below zero, orange above, and a line between them.

    Where all numbers have one sign, zero has no meaning: then from dark to light.
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
    h1, h2 = (x1[1] - x1[0]) / 2, (x2[1] - x2[0]) / 2  # a point is the middle of its cell
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
"""With more classes the cells are too small for a second line; a colour bar replaces it."""

_MOST_COUNTED = 40
"""With more classes the cells are too small for any text."""


def confusion(
    matrix: Sequence[Sequence[int]], class_names: Sequence[str], ax: Axes | None = None
) -> Axes:
    r"""Draw a confusion matrix: for each true class, how often each class was predicted.

    A cell has its count and, beneath, its share of the row; the colour is that share.

    Args:
        matrix: one row for each true class, one column for each predicted class.
        class_names: the names of the classes, in that order.
        ax: where to draw; a new figure that grows with the number of classes unless given.

    Returns:
        The axes.

    Raises:
        ShapeError: if the matrix is not square with one row for each name.

    Example:
        >>> ax = confusion([[9, 1], [0, 10]], ["no", "yes"])
        >>> ax.get_title(loc="left")
        'accuracy 95.0%\n19 of 20 right'
    """
    n = len(class_names)
    if n == 0 or len(matrix) != n or any(len(row) != n for row in matrix):
        found = f"{len(matrix)} x {', '.join(sorted({str(len(row)) for row in matrix}))}"
        raise ShapeError(f"a confusion matrix of {n} classes is {n} x {n}, found {found}")
    cell = 0.62 if n <= 12 else 0.4
    ax = ax or new_axes(min(24.0, max(4.0, cell * n + 2.0)), min(22.0, max(3.6, cell * n + 1.4)))
    shares = [[count / (sum(row) or 1) for count in row] for row in matrix]
    image = ax.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    size = 11 if n <= 5 else 9 if n <= 12 else 7
    if n <= _MOST_COUNTED:
        _write_counts(ax, matrix, shares, size)
    if n > _MOST_PERCENTAGES:
        _share_bar(ax, image)
    _name_classes(ax, class_names, size)
    ax.set_title(_accuracy(matrix), fontsize=12, loc="left")
    return ax


def _write_counts(
    ax: Axes, matrix: Sequence[Sequence[int]], shares: Sequence[Sequence[float]], size: int
) -> None:
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            text = f"{count:,}"
            if count and len(matrix) <= _MOST_PERCENTAGES:  # of zeros, they would hide the rest
                text += f"\n{_percent(shares[i][j])}"
            # Black and white have the same contrast to the map's blue at a share of 0.71.
            colour = "white" if shares[i][j] > 0.71 else BLACK if count else GREY
            ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)


def _percent(share: float) -> str:
    """A share that rounds to none or all says that it is not quite that."""
    if 0.0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1.0 else f"{share:.0%}"


def _accuracy(matrix: Sequence[Sequence[int]]) -> str:
    right, total = sum(row[i] for i, row in enumerate(matrix)), sum(map(sum, matrix))
    if total == 0:
        return "no samples"
    share = 1.0 if right == total else min(right / total, 0.999)  # not 100.0% with an error
    return f"accuracy {share:.1%}\n{right:,} of {total:,} right"


def _name_classes(ax: Axes, class_names: Sequence[str], size: int) -> None:
    names = [plain(name, 18) for name in class_names]
    crowded = max(map(len, names)) > (10 if len(names) <= 5 else 5)
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(range(len(names)), names, fontsize=max(9, size), **(turned if crowded else {}))
    ax.set_yticks(range(len(names)), names, fontsize=max(9, size))
    ax.set_xlabel("predicted class", fontsize=11)
    ax.set_ylabel("true class", fontsize=11)
    between = [i + 0.5 for i in range(len(names) - 1)]
    ax.set_xticks(between, minor=True)
    ax.set_yticks(between, minor=True)
    ax.grid(visible=True, which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)


def _share_bar(ax: Axes, image: Any) -> None:
    figure: Any = ax.get_figure()
    bar = figure.colorbar(image, ax=ax, pad=0.02, format="{x:.0%}")
    bar.set_label("share of the true class", fontsize=11)
    bar.outline.set_visible(False)
