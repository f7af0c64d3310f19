"""Figures of sweeps: the kind of figure, scales, lines, bands of verdicts, and marks."""

import math

import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from talweg.errors import ArgumentError
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.run import Run
from talweg.plotting.figure import save
from talweg.plotting.sweep import Line, rates
from talweg.training.history import History

NAN, INF = math.nan, math.inf
DOWN = [5.0 * 0.9**k for k in range(10)]
FLAT = [5.0, *[8.0] * 9]
OFF = [5.0, 60.0, *[70.0] * 8]


def run(losses, lr=0.1, seed=1, **others):
    return Run({"learning_rate": lr, "seed": seed, **others}, History(losses, status="finished"))


def sweep(runs, limit=None):
    return SweepResult.of_runs(runs, 10, limit_of=None if limit is None else lambda k: limit)


def drawn(ax, label):
    (found,) = [each for each in ax.get_lines() if each.get_label() == label]
    return list(found.get_xdata()), list(found.get_ydata())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def titles(ax):
    """The verdicts above the bands."""
    return [text.get_text() for text in ax.texts]


def bands(ax):
    """The left and right end of each band that fills the axes."""
    areas = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    return [(area.get_x(), area.get_x() + area.get_width()) for area in areas]


def one_line(**other):
    numbers = [0.01, 0.1, 1.0]
    plain = {
        "name": "",
        "rates": numbers,
        "median": [3.0, 2.0, 4.0],
        "low": [2.5, 1.5, 3.5],
        "high": [3.5, 2.5, 4.5],
        "verdicts": ["descending", "converged", "stuck"],
        "points": [(0.01, 3.0), (0.1, 2.0), (1.0, 4.0)],
    }
    return Line(**{**plain, **other})


# ---- the kind of figure ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "seeds", "label"),
    [(8, 1, "step"), (9, 1, "learning rate"), (2, 2, "learning rate"), (1, 1, "step")],
)
def test_few_runs_of_one_seed_are_curves(runs, seeds, label):
    result = sweep([run(DOWN, 0.1 * (k + 1), seed) for k in range(runs) for seed in range(seeds)])
    assert result.plot().get_xlabel() == label
    assert result.plot(kind="curves").get_xlabel() == "step"
    assert result.plot(kind="rates").get_xlabel() == "learning rate"


def test_the_axes_given_are_drawn_on():
    ax = Figure().add_subplot()
    result = sweep([run(DOWN, 0.1), run(FLAT, 1.0)])
    assert result.plot(ax) is ax
    assert result.plot(ax=ax, kind="rates") is ax
    assert ax.get_title(loc="left") == "Effect of the learning rate"


def test_errors_name_what_can_be_drawn():
    with pytest.raises(
        ArgumentError, match='kind must be "auto", "curves" or "rates", got \'bars\''
    ):
        sweep([run(DOWN)]).plot(kind="bars")
    many = sweep([run(DOWN, 0.1 + k, 1) for k in range(1001)])
    with pytest.raises(ArgumentError, match=r"1,001 curves are too many .* result\.where"):
        many.plot(kind="curves")
    wide = sweep([run(DOWN, lr, 1, width=w) for lr in (0.1, 1.0) for w in range(7)])
    with pytest.raises(
        ArgumentError, match=r"7 combinations of width .* select up to 6 .*where\(width=0\)"
    ):
        wide.plot(kind="rates")
    assert legend(wide.where(width=list(range(6))).plot())[:6] == [f"width {w}" for w in range(6)]
    with pytest.raises(ArgumentError, match="no runs to draw"):
        rates([])


def test_interrupted_runs_are_curves():
    cut = Run({"learning_rate": 0.1, "seed": 1}, History(DOWN[:3], status="interrupted"))
    other = Run({"learning_rate": 0.1, "seed": 2}, History(DOWN[:3], status="interrupted"))
    assert sweep([cut, other]).plot().get_xlabel() == "step"


# ---- curves --------------------------------------------------------------------------------------


def test_a_legend_of_curves_marks_rates_above_the_limit():
    ax = sweep([run(DOWN, 0.1), run(FLAT, 1.0)], limit=0.4).plot()
    assert legend(ax) == ["0.1", "1: 2.5 × limit"]
    assert legend(sweep([run(DOWN, 0.1), run(FLAT, 1.0)]).plot()) == ["0.1", "1"]


def test_a_legend_of_curves_names_the_settings_that_differ():
    ax = sweep([run(DOWN, 0.1, 1, momentum=m, width=8) for m in (0.0, 0.9)]).plot()
    assert legend(ax) == ["0.1, momentum 0", "0.1, momentum 0.9"]


def test_the_limit_is_marked_on_the_colour_bar():
    runs = [run(DOWN, 0.01 * 1.5**k) for k in range(12)]
    ax = sweep(runs, limit=0.1).plot(kind="curves")
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "learning rate (dashed: limit at the start, 0.1)"
    assert [list(line.get_ydata()) for line in bar.get_lines()] == [[0.1, 0.1]] * 2
    outside = sweep(runs, limit=7.0).plot(kind="curves").figure.axes[1]
    assert outside.get_ylabel() == "learning rate"
    assert not outside.get_lines()


# ---- rates: scales and lines ---------------------------------------------------------------------


def test_one_seed_is_a_line_without_a_spread():
    ax = sweep([run(DOWN, 0.1 * 2**k) for k in range(9)]).plot()
    assert drawn(ax, "final loss") == ([0.1 * 2**k for k in range(9)], [DOWN[-1]] * 9)
    assert not [area for area in ax.collections if isinstance(area, PolyCollection)]
    assert (ax.get_xscale(), ax.get_ylabel()) == ("log", "final loss")


@pytest.mark.parametrize(
    ("seeds", "name"), [(3, "lowest to highest of the seeds"), (5, "middle half of the seeds")]
)
def test_several_seeds_are_points_with_a_median_and_a_spread(seeds, name):
    losses = [[8.0, 4.0 - 0.5 * k] for k in range(seeds)]
    runs = [Run({"learning_rate": lr, "seed": k}, History(losses[k], status="finished"))
            for lr in (0.1, 0.2, 0.4) for k in range(seeds)]  # fmt: skip
    ax = SweepResult.of_runs(runs, 2).plot()
    middle = losses[seeds // 2][-1]
    assert drawn(ax, "median over seeds") == ([0.1, 0.2, 0.4], [middle] * 3)
    (area,) = [each for each in ax.collections if each.get_label() == name]
    heights = {y for _, y in area.get_paths()[0].vertices}
    ends = (0, -1) if seeds == 3 else (1, -2)
    assert heights == {losses[k][-1] for k in ends}
    (points,) = [each for each in ax.get_lines() if len(each.get_xdata()) == 3 * seeds]
    assert sorted(set(points.get_ydata())) == sorted(loss[-1] for loss in losses)


@pytest.mark.parametrize(
    ("median", "scale"),
    [
        ([3.0, 2.0, 4.0], "linear"),
        ([3.0, 0.02, 4.0], "log"),
        ([3.0, 0.0, 4.0], "linear"),
        ([300.0, 0.0, 1.0], "log"),
        ([300.0, -1.0, 1.0], "linear"),
        ([INF, INF, INF], "linear"),
    ],
)
def test_the_loss_axis_is_logarithmic_if_losses_span_more_than_a_factor_of_100(median, scale):
    points = list(zip([0.01, 0.1, 1.0], median, strict=True))
    ax = rates([one_line(median=median, low=median, high=median, points=points)])
    assert ax.get_yscale() == scale


def test_the_axis_of_a_rate_of_0_is_linear_and_a_single_rate_has_a_margin():
    ax = rates([one_line(rates=[0.0, 0.1, 1.0], points=[])])
    assert ax.get_xscale() == "linear"
    single = rates([Line("", [0.1], [2.0], [2.0], [2.0], ["stuck"], [(0.1, 2.0)])])
    assert single.get_xlim() == pytest.approx((0.05, 0.2))
    assert drawn(single, "final loss") == ([0.1], [2.0])


def test_losses_far_below_the_median_are_drawn_at_the_lower_edge():
    points = [(0.01, 3.0), (0.1, 2.0), (0.1, 1e-30), (1.0, 400.0)]
    median = [3.0, 2.0, 400.0]
    ax = rates([one_line(median=median, low=median, high=median, points=points)])
    low, _ = ax.get_ylim()
    assert 0.005 < low < 0.02
    assert drawn(ax, "below the range shown") == ([0.1], [low])
    ordinary = rates([one_line()])
    assert "below the range shown" not in legend(ordinary)


def test_runs_that_diverged_are_crosses_at_the_upper_edge():
    runs = [run(losses, lr, seed) for lr in (0.1, 0.2) for seed, losses in enumerate((DOWN, OFF))]
    ax = sweep([*runs, run(OFF, 0.4, 0), run(OFF, 0.4, 1)]).plot()
    x, y = drawn(ax, "diverged")
    assert (x, y) == ([0.1, 0.2, 0.4, 0.4], [1.0] * 4)
    (marks,) = [each for each in ax.get_lines() if each.get_label() == "diverged"]
    assert marks.get_transform() == ax.get_xaxis_transform()  # 1.0 is the upper edge
    assert math.isnan(drawn(ax, "median over seeds")[1][-1])


def test_more_than_5000_runs_have_no_points():
    runs = [run(DOWN, 0.1 * 2**k, seed) for k in range(3) for seed in range(1700)]
    ax = sweep(runs).plot()
    assert max(len(each.get_xdata()) for each in ax.get_lines()) == 3


# ---- rates: verdicts and limits ------------------------------------------------------------------


def test_a_band_ends_half_way_to_the_next_rate():
    words = ["descending", "converged", "converged"]
    ax = rates([one_line(verdicts=words)])
    left, right = ax.get_xlim()
    edge = pytest.approx(math.sqrt(0.01 * 0.1))
    assert bands(ax) == [(left, edge), (edge, pytest.approx(right))]
    assert titles(ax) == ["descending", "converged"]
    assert legend(ax) == ["final loss"]  # the verdicts are above the bands
    linear = rates([one_line(verdicts=words, rates=[0.0, 1.0, 2.0], points=[])])
    assert bands(linear)[0][1] == pytest.approx(0.5)


def test_the_verdict_of_a_narrow_band_is_in_the_legend():
    numbers = [0.001 * 1.1**k for k in range(60)]
    words = ["converged"] * 40 + ["oscillating"] + ["stuck"] * 19
    flat = [1.0] * 60
    ax = rates([Line("", numbers, flat, flat, flat, words, [])])
    assert titles(ax) == ["converged", "stuck"]
    assert legend(ax) == ["final loss", "oscillating"]


def test_each_of_several_lines_has_a_strip():
    parts = [one_line(name="momentum 0"), one_line(name="momentum 0.9", verdicts=["stuck"] * 3)]
    ax = rates(parts)
    assert bands(ax) == []
    assert len([area for area in ax.collections if isinstance(area, PolyCollection)]) == 3 + 1
    expected = ["momentum 0", "momentum 0.9", "converged", "descending", "stuck"]
    assert legend(ax) == expected
    colours = {each.get_color() for each in ax.get_lines() if str(each.get_label()) in expected}
    assert len(colours) == 2


def test_the_limit_at_the_start_is_a_dashed_line():
    ax = rates([one_line(limits=(0.35, 0.35, 0.35))])
    assert drawn(ax, "limit at the start: 0.35")[0] == [0.35, 0.35]
    assert len(bands(ax)) == 3
    wide = rates([one_line(limits=(0.2, 0.35, 5.0))])
    assert drawn(wide, "limit at the start: 0.2 to 5")[0] == [0.35, 0.35]
    assert (0.2, pytest.approx(wide.get_xlim()[1])) in bands(wide)
    outside = rates([one_line(limits=(7.0, 7.0, 7.0))])
    assert legend(outside) == ["final loss"]
    several = rates([one_line(name=name, limits=(0.2, 0.3, 0.4)) for name in ("a", "b")])
    assert legend(several).count("limits at the start") == 1


def test_a_sweep_draws_the_range_of_the_limits_of_its_seeds():
    runs = [run(DOWN, lr, seed) for lr in (0.1, 0.2, 0.4) for seed in range(3)]
    limits = {0: 0.15, 1: 0.25, 2: None}
    result = SweepResult.of_runs(runs, 10, limit_of=lambda k: limits[runs[k].seed])
    assert "limit at the start: 0.15 to 0.25" in legend(result.plot())


def test_a_saved_figure_has_the_same_bytes_each_time(tmp_path):
    runs = [run(DOWN if lr < 1.0 else OFF, lr, seed) for lr in (0.1, 0.3, 2.0) for seed in (1, 2)]
    first, second = (
        save(sweep(runs, 0.2).plot(), tmp_path / name).read_bytes() for name in ("a.svg", "b.svg")
    )
    assert first == second
    assert b"limit at the start: 0.2" in first
    assert sweep(runs).png().startswith(b"\x89PNG")
