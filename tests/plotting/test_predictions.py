"""Figures of predictions: points, regions, cells and labels."""

import math

import pytest

from talweg.errors import ArgumentError, ShapeError
from talweg.plotting import style
from talweg.plotting.figure import save
from talweg.plotting.predictions import boundary, confusion, predictions


def line(ax, label):
    (found,) = [each for each in ax.get_lines() if each.get_label() == label]
    return list(found.get_xdata()), list(found.get_ydata())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---- predictions ----------------------------------------------------------------------------


def test_predictions_are_drawn_over_their_targets_with_equal_axes():
    ax = predictions([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 5.0], target_name="price in $")
    points = ax.collections[0].get_offsets().tolist()
    assert points == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 5.0]]
    assert ax.get_title(loc="left") == "R² = 0.8000"  # 1 - 1 / 5
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_aspect() == 1.0
    xs, ys = line(ax, "prediction = target")
    assert xs == ys == list(ax.get_xlim())
    assert ax.get_xlabel() == r"target: price in \$"


def test_predictions_that_are_not_finite_are_counted():
    ax = predictions([1.0, 2.0, 3.0], [1.0, math.nan, math.inf], target_name="y")
    assert ax.get_title(loc="left") == "2 of 3 predictions are not finite"
    assert len(ax.collections[0].get_offsets()) == 1
    assert "undefined" in predictions([2.0, 2.0], [1.0, 3.0], target_name="y").get_title(loc="left")


# ---- boundary -------------------------------------------------------------------------------

CORNERS = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]


def test_each_class_has_a_region_and_a_marker():
    def predict(x1, x2):
        return 0 if x1 + x2 < 0.7 else 1 if x1 + x2 < 1.4 else 2

    ax = boundary(predict, CORNERS, [0, 1, 1, 2], names=["u", "v"], class_names=["a", "b", "c"])
    assert legend(ax) == ["a", "b", "c"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("u", "v")
    scatters = ax.collections[-3:]
    assert [each.get_offsets().tolist() for each in scatters] == [
        CORNERS[:1], CORNERS[1:3], CORNERS[3:]
    ]  # fmt: skip
    assert len({each.get_paths()[0].vertices.tobytes() for each in scatters}) == 3  # markers
    assert len({str(each.get_facecolor()) for each in scatters}) == 3


def test_the_boundary_is_drawn_where_the_class_changes():
    ax = boundary(
        lambda x1, x2: int(x1 > 0.4321), CORNERS, [0, 1, 0, 1], names="uv", class_names="ab"
    )
    edge = ax.collections[1].get_paths()[0].vertices[:, 0]
    assert abs(edge - 0.4321).max() < 1.16 / 59 / 4  # a quarter of a cell of the grid


def test_numeric_targets_of_both_signs_have_a_line_at_zero():
    ax = boundary(lambda x1, x2: 3.0 * x1 - 0.9, CORNERS, [-1, 1, -1, 1], names=["u", "v"])
    assert sorted(legend(ax)) == ["prediction 0", "target -1", "target 1"]
    assert ax.collections[0].get_paths()[0].vertices[:, 0] == pytest.approx(0.3)
    (image,) = ax.images
    low, high = image.get_clim()
    assert low == -high  # zero is the middle of the colours
    assert image.get_array().shape == (60, 60)
    assert image.get_array()[0, -1] > 0.0 > image.get_array()[-1, 0]  # columns are x1


def test_numeric_targets_of_one_sign_have_no_line():
    ax = boundary(lambda x1, x2: 10.0 + x1, CORNERS, [10.0, 11.0, 10.5, 12.0], names=["u", "v"])
    assert legend(ax) == ["samples, filled by target"]
    assert ax.images[0].get_clim() == pytest.approx((9.92, 12.0))


def test_predictions_that_are_not_finite_do_not_change_the_colour_scale(tmp_path):
    def predict(x1, x2):
        return math.nan if x1 > 0.8 else x1 - 0.5

    ax = boundary(predict, CORNERS, [-1, 1, -1, 1], names=["u", "v"])
    save(ax, tmp_path / "b.png")
    assert ax.images[0].get_clim() == (-1.0, 1.0)


# ---- confusion ------------------------------------------------------------------------------


def cells(ax):
    return {text.get_position(): text for text in ax.texts}


def test_rows_are_true_classes_and_percentages_are_fractions_of_a_row():
    ax = confusion([[50, 0, 0], [0, 45, 5], [0, 2, 48]], ["setosa", "versicolor", "virginica"])
    shown = {at: text.get_text() for at, text in cells(ax).items()}
    assert shown[2, 1] == "5\n10%"  # column 2, row 1
    assert shown[1, 2] == "2\n4%"
    assert shown[0, 0] == "50\n100%"
    assert shown[1, 0] == "0"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert ax.get_title(loc="left") == "accuracy 95.3%\n143 of 150 correct"
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "setosa", "versicolor", "virginica"
    ]  # fmt: skip


@pytest.mark.parametrize("count", range(0, 101, 4))
def test_text_has_contrast_to_its_cell(count):
    ax = confusion([[count, 100 - count], [0, 1]], ["no", "yes"])
    for (j, i), text in cells(ax).items():
        red, green, blue, _ = ax.images[0].to_rgba(ax.images[0].get_array())[i, j]
        luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
        other = {"white": 1.0, "#000000": 0.0, style.GREY: 0.4**2.2}[text.get_color()]
        lighter, darker = max(luminance, other), min(luminance, other)
        assert (lighter + 0.05) / (darker + 0.05) > 4.4  # WCAG 2.1 asks for 4.5; white on grey: 5.7


def test_percentages_near_0_and_100_are_not_rounded_to_them():
    ax = confusion([[99_999, 1], [0, 0]], ["no", "yes"])
    assert cells(ax)[0, 0].get_text() == "99,999\n>99%"
    assert cells(ax)[1, 0].get_text() == "1\n<1%"
    assert cells(ax)[0, 1].get_text() == "0"  # a class without samples
    assert ax.get_title(loc="left").startswith("accuracy 99.9%")


@pytest.mark.parametrize("n", [2, 3, 5, 10, 15])
def test_long_class_names_do_not_overlap(n):
    ax = confusion([[1] * n] * n, [f"a long class name {i}" for i in range(n)])
    figure = ax.figure
    figure.canvas.draw()
    labels = ax.get_xticklabels()
    # The gap between lines of text at 45 degrees is their distance divided by the root of 2.
    gap = (labels[1].get_window_extent().x1 - labels[0].get_window_extent().x1) / math.sqrt(2)
    assert labels[0].get_rotation() == 45
    assert gap > labels[0].get_fontsize() * figure.dpi / 72
    for text in cells(ax).values():
        assert text.get_window_extent().width < ax.get_window_extent().width / n
        assert text.get_window_extent().height < ax.get_window_extent().height / n


# ---- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: predictions([1.0], [], target_name="y"), ShapeError, "1 targets and 0 pred"),
        (lambda: predictions([1.0], [math.nan], target_name="y"), ArgumentError, "none of the 1"),
        (lambda: boundary(max, [], [], names="uv"), ArgumentError, "no samples"),
        (lambda: boundary(max, [[1, 2], [3]], [1, 1], names="uv"), ShapeError, "1 in sample 1"),
        (lambda: boundary(max, [[1, 2]], [1], names="uvw"), ShapeError, "3 names"),
        (lambda: boundary(max, [[1, 2]], [1, 2], names="uv"), ShapeError, "1 samples and 2"),
        (lambda: confusion([[1, 2]], ["a", "b"]), ShapeError, "2 x 2, found 1 x 2"),
        (lambda: confusion([[1, 2], [3]], ["a", "b"]), ShapeError, "found 2 x 1, 2"),
        (lambda: confusion([], []), ShapeError, "0 x 0"),
    ],
)
def test_data_that_cannot_be_drawn_are_an_error_of_one_line(draw, error, message):
    with pytest.raises(error, match=message) as caught:
        draw()
    assert "\n" not in str(caught.value)


def test_many_classes_have_a_colour_bar_in_place_of_percentages():
    n = 45
    matrix = [[5 if i == j else 0 for j in range(n)] for i in range(n)]
    ax = confusion(matrix, [str(k) for k in range(n)])
    assert not ax.texts
    _, bar = ax.figure.axes
    assert bar.get_ylabel() == "fraction of the true class"
    few = confusion([[1, 0], [0, 1]], ["a", "b"])
    assert len(few.figure.axes) == 1


def test_a_confusion_matrix_without_samples():
    assert confusion([[0, 0], [0, 0]], ["a", "b"]).get_title(loc="left") == "no samples"


def test_a_class_that_is_nowhere_predicted_has_no_region():
    def predict(x1, x2):
        return 0 if x1 < 0.5 else 2

    ax = boundary(predict, CORNERS, [0, 1, 1, 2], names=["u", "v"], class_names=["a", "b", "c"])
    regions = [x for x in ax.collections if len(x.get_facecolor()) and x.get_alpha() == 0.22]
    assert len(regions) == 2
