"""Figures: their data, scales and texts, and that a saved one is whole and repeatable."""

import math
import os
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from talweg.errors import ArgumentError, ShapeError
from talweg.plotting import curves, style
from talweg.plotting.predictions import boundary, confusion, predictions

LESSON = [5.278844, 2.0, 0.488259, 0.1, 0.028227]


def line(ax, label):
    (found,) = [each for each in ax.get_lines() if each.get_label() == label]
    return list(found.get_xdata()), list(found.get_ydata())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---- loss ---------------------------------------------------------------------------------


def test_the_first_loss_stands_at_step_one():
    ax = curves.loss(LESSON, title="The lesson")
    assert line(ax, "training") == ([1, 2, 3, 4, 5], LESSON)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss")
    assert ax.get_title(loc="left") == "The lesson"
    assert ax.get_legend() is None  # one curve explains itself


def test_validation_losses_stand_at_their_own_steps():
    ax = curves.loss(LESSON, [(2, 2.5), (4, 0.7)], best_step=4)
    assert line(ax, "validation") == ([2, 4], [2.5, 0.7])
    assert line(ax, "best: step 4")[0] == [4, 4]
    assert legend(ax) == ["training", "validation", "best: step 4"]
    training, validation, _ = ax.get_lines()
    assert training.get_color() != validation.get_color()
    assert training.get_linestyle() != validation.get_linestyle()


@pytest.mark.parametrize(
    ("losses", "validation", "scale"),
    [
        (LESSON, None, "log"),
        ([100.0, 1.0], None, "linear"),  # exactly a factor 100
        ([101.0, 1.0], None, "log"),
        ([5.0, 4.0, 3.0], None, "linear"),
        ([5.0, 4.0], [(2, 0.01)], "log"),
        ([500.0, 1.0, -1.0], None, "linear"),  # a log axis would hide the last
        ([500.0, 1.0, 0.0], None, "log"),
        ([0.0, 0.0], None, "linear"),
        ([5.0, 4.0, math.inf], None, "linear"),
        ([math.nan], None, "linear"),
    ],
)
def test_a_log_axis_is_used_where_positive_losses_span_over_a_factor_100(losses, validation, scale):
    ax = curves.loss(losses, validation)
    assert ax.get_yscale() == scale
    ax.figure.canvas.draw()  # and it can be drawn


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_step_where_a_run_stops_being_finite_is_marked(bad):
    ax = curves.loss([5.0, 4.0, bad, math.nan, 3.0])
    assert line(ax, f"loss is {bad} at step 3")[0] == [3, 3]
    ys = line(ax, "training")[1]
    assert ys[:2] + ys[4:] == [5.0, 4.0, 3.0]
    assert all(math.isnan(y) for y in ys[2:4])
    assert f"loss is {bad} at step 3" in legend(ax)


def test_one_loss_alone_is_visible():
    assert curves.loss([5.0]).get_lines()[0].get_marker() == "o"


def test_given_axes_are_drawn_on():
    ax = Figure().add_subplot()
    assert curves.loss(LESSON, ax=ax) is ax


# ---- rates ----------------------------------------------------------------------------------


def test_each_rate_has_its_own_colour_and_dashes_and_a_legend_entry():
    runs = [(0.001 * 2**i, [5.0, 4.0 / (i + 1)]) for i in range(8)]
    ax = curves.rates(runs)
    assert legend(ax) == [str(rate) for rate, _ in runs]
    assert [list(each.get_ydata()) for each in ax.get_lines()] == [losses for _, losses in runs]
    assert len({each.get_color() for each in ax.get_lines()}) == 8
    assert len({str(each._dash_pattern) for each in ax.get_lines()}) == 8
    assert ax.get_yscale() == "linear"


def test_a_diverging_rate_leaves_the_others_their_height():
    good = [5.0 * 0.8**i for i in range(30)]
    bad = [5.0, 40.0, 1e10, 1e300, math.inf] + [math.nan] * 25
    ax = curves.rates([(0.1, good), (1.0, bad), (2.0, [5.0, math.nan])])
    bottom, top = ax.get_ylim()
    assert bottom < good[-1]
    assert top <= 50.0
    assert ax.get_yscale() == "log"
    assert legend(ax) == ["0.1", "1.0  (off the scale at step 3)", "2.0  (nan at step 2)"]


def test_a_diverging_rate_does_not_force_a_log_axis_on_close_curves():
    ax = curves.rates([(0.1, [5.0, 4.0, 3.0]), (1.0, [5.0, 1e5, math.inf])])
    assert ax.get_yscale() == "linear"
    assert ax.get_ylim()[1] <= 15.0


def test_the_lessons_plateau_stays_in_the_picture():
    ax = curves.rates([("0.1", [5.28, 0.0119]), ("1.0", [5.28, 8.0, 8.0])])
    assert ax.get_ylim()[1] > 8.0
    assert legend(ax) == ["0.1", "1.0"]


def test_more_than_eight_rates_have_a_colour_scale_instead_of_a_legend():
    ax = curves.rates([(10.0 ** (-3 + i / 20), [5.0, 5.0 - 0.05 * i]) for i in range(60)])
    assert ax.get_legend() is None
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "learning rate"
    assert bar.get_yscale() == "log"
    assert bar.get_ylim() == pytest.approx((1e-3, 10 ** (-3 + 59 / 20)))
    assert len({str(each.get_color()) for each in ax.get_lines()}) == 60


def test_labels_that_are_no_numbers_name_the_colour_scale():
    ax = curves.rates([(f"run {i}", [5.0, 4.0]) for i in range(9)])
    bar = ax.figure.axes[1]
    assert [text.get_text() for text in bar.get_yticklabels()] == ["run 0", "run 4", "run 8"]


# ---- predictions ----------------------------------------------------------------------------


def test_predictions_stand_over_their_targets_with_equal_axes():
    ax = predictions([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 5.0], target_name="price in $")
    points = ax.collections[0].get_offsets().tolist()
    assert points == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 5.0]]
    assert ax.get_title(loc="left") == "R² = 0.8000"  # 1 - 1 / 5
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_aspect() == 1.0
    xs, ys = line(ax, "perfect")
    assert xs == ys == list(ax.get_xlim())
    assert ax.get_xlabel() == r"target: price in \$"


def test_predictions_that_cannot_be_drawn_are_counted():
    ax = predictions([1.0, 2.0, 3.0], [1.0, math.nan, math.inf], target_name="y")
    assert ax.get_title(loc="left") == "2 of 3 predictions are not finite"
    assert len(ax.collections[0].get_offsets()) == 1
    assert "undefined" in predictions([2.0, 2.0], [1.0, 3.0], target_name="y").get_title(loc="left")


# ---- boundary -------------------------------------------------------------------------------

CORNERS = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]


def test_a_boundary_between_classes_has_a_region_and_a_marker_for_each():
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


def test_the_drawn_boundary_lies_where_the_class_changes():
    ax = boundary(
        lambda x1, x2: int(x1 > 0.4321), CORNERS, [0, 1, 0, 1], names="uv", class_names="ab"
    )
    edge = ax.collections[1].get_paths()[0].vertices[:, 0]
    assert abs(edge - 0.4321).max() < 1.16 / 59 / 4  # a quarter of a cell of the grid


def test_signed_targets_show_the_line_where_the_prediction_is_zero():
    ax = boundary(lambda x1, x2: 3.0 * x1 - 0.9, CORNERS, [-1, 1, -1, 1], names=["u", "v"])
    assert sorted(legend(ax)) == ["prediction 0", "target -1", "target 1"]
    assert ax.collections[0].get_paths()[0].vertices[:, 0] == pytest.approx(0.3)
    (image,) = ax.images
    low, high = image.get_clim()
    assert low == -high  # zero is the middle of the colours
    assert image.get_array().shape == (60, 60)
    assert image.get_array()[0, -1] > 0.0 > image.get_array()[-1, 0]  # columns are x1


def test_numeric_targets_of_one_sign_have_no_zero_line():
    ax = boundary(lambda x1, x2: 10.0 + x1, CORNERS, [10.0, 11.0, 10.5, 12.0], names=["u", "v"])
    assert legend(ax) == ["samples, filled by target"]
    assert ax.images[0].get_clim() == pytest.approx((9.92, 12.0))


def test_predictions_that_are_not_finite_do_not_spoil_a_boundary(tmp_path):
    def predict(x1, x2):
        return math.nan if x1 > 0.8 else x1 - 0.5

    ax = boundary(predict, CORNERS, [-1, 1, -1, 1], names=["u", "v"])
    curves.save(ax, tmp_path / "b.png")
    assert ax.images[0].get_clim() == (-1.0, 1.0)


# ---- confusion ------------------------------------------------------------------------------


def cells(ax):
    return {text.get_position(): text for text in ax.texts}


def test_rows_are_true_classes_and_percentages_are_of_the_row():
    ax = confusion([[50, 0, 0], [0, 45, 5], [0, 2, 48]], ["setosa", "versicolor", "virginica"])
    shown = {at: text.get_text() for at, text in cells(ax).items()}
    assert shown[2, 1] == "5\n10%"  # column 2, row 1
    assert shown[1, 2] == "2\n4%"
    assert shown[0, 0] == "50\n100%"
    assert shown[1, 0] == "0"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert ax.get_title(loc="left") == "accuracy 95.3%\n143 of 150 right"
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "setosa", "versicolor", "virginica"
    ]  # fmt: skip


@pytest.mark.parametrize("share", range(0, 101, 4))
def test_text_is_light_on_dark_cells_and_dark_on_light_ones(share):
    ax = confusion([[share, 100 - share], [0, 1]], ["no", "yes"])
    for (j, i), text in cells(ax).items():
        red, green, blue, _ = ax.images[0].to_rgba(ax.images[0].get_array())[i, j]
        luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
        other = {"white": 1.0, "#000000": 0.0, style.GREY: 0.4**2.2}[text.get_color()]
        lighter, darker = max(luminance, other), min(luminance, other)
        assert (lighter + 0.05) / (darker + 0.05) > 4.4  # as read by WCAG 2.1; white on grey: 5.7


def test_rounding_never_claims_none_or_all():
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
    # Turned by 45 degrees, lines of text are apart by their distance over the root of two.
    gap = (labels[1].get_window_extent().x1 - labels[0].get_window_extent().x1) / math.sqrt(2)
    assert labels[0].get_rotation() == 45
    assert gap > labels[0].get_fontsize() * figure.dpi / 72
    for text in cells(ax).values():
        assert text.get_window_extent().width < ax.get_window_extent().width / n
        assert text.get_window_extent().height < ax.get_window_extent().height / n


# ---- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: curves.loss([]), ArgumentError, "no losses"),
        (lambda: curves.rates([]), ArgumentError, "no runs"),
        (lambda: curves.rates([(0.1, [])]), ArgumentError, "losses of run 0.1"),
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
def test_what_cannot_be_drawn_is_refused_in_one_line(draw, error, message):
    with pytest.raises(error, match=message) as caught:
        draw()
    assert "\n" not in str(caught.value)


# ---- saving ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")]
)
def test_saving_twice_writes_the_same_bytes(tmp_path, suffix, start):
    first = curves.save(curves.loss(LESSON, [(2, 3.0)]), tmp_path / f"a{suffix}")
    second = curves.save(curves.loss(LESSON, [(2, 3.0)]), tmp_path / f"b{suffix}")
    assert first.read_bytes().startswith(start)
    assert first.read_bytes() == second.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2  # no temporary file stays behind


def test_a_png_has_150_dots_an_inch(tmp_path):
    raw = curves.save(curves.loss(LESSON), tmp_path / "a.png").read_bytes()
    assert [int.from_bytes(raw[i : i + 4], "big") for i in (16, 20)] == [1050, 600]


def test_text_in_an_svg_is_text(tmp_path):
    ax = curves.loss(LESSON, [(2, 3.0)], title="Loss of <A & B> in $")
    text = curves.save(ax, tmp_path / "a.svg").read_text(encoding="utf-8")
    for word in ("training", "validation", "step", "Loss of &lt;A &amp; B&gt; in $"):
        assert f">{word}</text>" in text
    assert "<dc:date>" not in text


@pytest.mark.parametrize(("name", "found"), [("a.gif", "'.gif'"), ("a", "no suffix")])
def test_an_unknown_suffix_is_refused_and_nothing_is_written(tmp_path, name, found):
    with pytest.raises(ArgumentError, match=rf"{found}.*\.png, \.svg, \.pdf.*'a\.png'"):
        curves.save(curves.loss(LESSON), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_cannot_be_drawn_leaves_the_old_file(tmp_path, monkeypatch):
    def broken(*_args, **_settings):
        raise RuntimeError("the renderer broke")

    (tmp_path / "a.png").write_text("old")
    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(RuntimeError):
        curves.save(curves.loss(LESSON), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "old"


PROGRAM = """
import sys
from talweg.plotting import curves
runs = [(0.1, [5.0, 1.0, 0.01]), (1.0, [5.0, 500.0, float("nan")])]
curves.save(curves.rates(runs), sys.argv[1])
curves.loss([5.0, 0.1]).figure.savefig(sys.argv[2])  # what a learner writes
assert "matplotlib.pyplot" not in sys.modules
"""


def test_pictures_are_the_same_in_every_process_and_need_no_pyplot(tmp_path):
    def drawn(hash_seed):
        path = tmp_path / f"{hash_seed}.svg"
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-W", "error", "-c", PROGRAM, path, tmp_path / "own.png"]
        subprocess.run(command, env=environment, check=True)
        return path.read_bytes()

    assert drawn("1") == drawn("2")
    assert (tmp_path / "own.png").stat().st_size > 0


def test_a_notebook_shows_the_figure(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    code = "from talweg.plotting import curves\nax = curves.loss([5.0, 0.1])"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    kinds = [kind for out in notebook.cells[0].outputs for kind in out.get("data", {})]
    assert "image/png" in kinds


def test_a_line_of_text_keeps_its_dollars_and_is_cut():
    assert style.plain("a $ and\n b $") == r"a \$ and b \$"
    assert style.short("x" * 30) == "x" * 23 + "…"
