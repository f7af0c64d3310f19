"""Figures of training runs: their data, scales, legends and marks."""

import math

import pytest
from matplotlib.figure import Figure

from talweg.errors import ArgumentError
from talweg.plotting import curves

LESSON = [5.278844, 2.0, 0.488259, 0.1, 0.028227]


def line(ax, label):
    (found,) = [each for each in ax.get_lines() if each.get_label() == label]
    return list(found.get_xdata()), list(found.get_ydata())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---- loss ---------------------------------------------------------------------------------


def test_the_first_loss_is_drawn_at_step_1():
    ax = curves.loss(LESSON, title="The lesson")
    assert line(ax, "training") == ([1, 2, 3, 4, 5], LESSON)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss")
    assert ax.get_title(loc="left") == "The lesson"
    assert ax.get_legend() is None  # one curve needs none


def test_validation_losses_are_drawn_at_their_steps():
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
def test_the_loss_axis_is_logarithmic_over_more_than_a_factor_of_100(losses, validation, scale):
    ax = curves.loss(losses, validation)
    assert ax.get_yscale() == scale
    ax.figure.canvas.draw()  # drawing raises no error


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_not_finite_is_marked(bad):
    ax = curves.loss([5.0, 4.0, bad, math.nan, 3.0])
    assert line(ax, f"loss is {bad} at step 3")[0] == [3, 3]
    ys = line(ax, "training")[1]
    assert ys[:2] + ys[4:] == [5.0, 4.0, 3.0]
    assert all(math.isnan(y) for y in ys[2:4])
    assert f"loss is {bad} at step 3" in legend(ax)


def test_a_single_loss_has_a_marker():
    assert curves.loss([5.0]).get_lines()[0].get_marker() == "o"


def test_the_axes_given_are_drawn_on():
    ax = Figure().add_subplot()
    assert curves.loss(LESSON, ax=ax) is ax


# ---- rates ----------------------------------------------------------------------------------


def test_each_rate_has_a_colour_dashes_and_a_legend_entry():
    runs = [(0.001 * 2**i, [5.0, 4.0 / (i + 1)]) for i in range(8)]
    ax = curves.rates(runs)
    assert legend(ax) == [str(rate) for rate, _ in runs]
    assert [list(each.get_ydata()) for each in ax.get_lines()] == [losses for _, losses in runs]
    assert len({each.get_color() for each in ax.get_lines()}) == 8
    assert len({str(each._dash_pattern) for each in ax.get_lines()}) == 8
    assert ax.get_yscale() == "linear"


def test_a_diverging_run_does_not_flatten_the_other_curves():
    good = [5.0 * 0.8**i for i in range(30)]
    bad = [5.0, 40.0, 1e10, 1e300, math.inf] + [math.nan] * 25
    ax = curves.rates([(0.1, good), (1.0, bad), (2.0, [5.0, math.nan])])
    bottom, top = ax.get_ylim()
    assert bottom < good[-1]
    assert top <= 50.0
    assert ax.get_yscale() == "log"
    assert legend(ax) == ["0.1", "1.0  (off the scale at step 3)", "2.0  (nan at step 2)"]


def test_a_diverging_run_does_not_make_the_axis_logarithmic():
    ax = curves.rates([(0.1, [5.0, 4.0, 3.0]), (1.0, [5.0, 1e5, math.inf])])
    assert ax.get_yscale() == "linear"
    assert ax.get_ylim()[1] <= 15.0


def test_a_plateau_above_the_first_loss_is_shown():
    ax = curves.rates([("0.1", [5.28, 0.0119]), ("1.0", [5.28, 8.0, 8.0])])
    assert ax.get_ylim()[1] > 8.0
    assert legend(ax) == ["0.1", "1.0"]


def test_more_than_eight_rates_have_a_colour_bar():
    ax = curves.rates([(10.0 ** (-3 + i / 20), [5.0, 5.0 - 0.05 * i]) for i in range(60)])
    assert ax.get_legend() is None
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "learning rate"
    assert bar.get_yscale() == "log"
    assert bar.get_ylim() == pytest.approx((1e-3, 10 ** (-3 + 59 / 20)))
    assert len({str(each.get_color()) for each in ax.get_lines()}) == 60


def test_a_colour_bar_of_labels_that_are_not_numbers():
    ax = curves.rates([(f"run {i}", [5.0, 4.0]) for i in range(9)])
    bar = ax.figure.axes[1]
    assert [text.get_text() for text in bar.get_yticklabels()] == ["run 0", "run 4", "run 8"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: curves.loss([]), "no losses"),
        (lambda: curves.rates([]), "no runs"),
        (lambda: curves.rates([(0.1, [])]), "losses of run 0.1"),
    ],
)
def test_a_figure_without_losses_is_an_error_of_one_line(draw, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        draw()
    assert "\n" not in str(caught.value)


def test_runs_without_a_finite_first_loss_are_named_and_not_drawn():
    ax = curves.rates([(0.1, [math.inf, 3.0, 2.0]), (0.2, [math.nan, 500.0])])
    assert legend(ax) == ["0.1  (inf at step 1)", "0.2  (nan at step 1)"]
    assert all(len(each.get_ydata()) == 0 for each in ax.get_lines())


def test_losses_below_0_have_no_upper_end():
    ax = curves.rates([(0.1, [-1.0, -2.0]), (0.2, [-1.0, 30.0, math.inf])])
    assert ax.get_yscale() == "linear"
    assert legend(ax) == ["0.1", "0.2  (inf at step 3)"]
    assert ax.get_ylim()[1] >= 30.0
