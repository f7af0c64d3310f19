"""What a sweep found: columns and runs, verdicts at once, tables, limits and closing words."""

import io
import math
import random
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

import talweg as tw
from talweg.errors import ArgumentError, DataError
from talweg.explore.limits import limit_at_start
from talweg.explore.sweep.columns import column, crossed, groups
from talweg.explore.sweep.conclusion import by_rate, stability
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.run import Run
from talweg.explore.sweep.task_result import ENDS
from talweg.explore.verdicts import VERDICTS, summary, verdict, verdicts
from talweg.training.history import History

NAN, INF = math.nan, math.inf

# One curve for each verdict, of ten losses.
CURVES = {
    "converged": [5.0 * 0.3**k for k in range(10)],
    "descending": [5.0 * 0.9**k for k in range(10)],
    "oscillating": [4.0, 1.0] * 5,
    "stuck": [5.0, *[8.0] * 9],
    "diverged": [5.0, 60.0, *[70.0] * 8],
}


def run(losses, lr=0.1, seed=1, status="finished", stop_at=None, **others):
    history = History(list(losses), [lr] * len(losses), status=status)
    return Run({"learning_rate": lr, "seed": seed, **others}, history, stop_at)


def of_words(*words, rates=None, seeds=1, **others):
    """A sweep whose runs have these verdicts, one rate after the other."""
    chosen = rates or [0.01 * 2**k for k in range(len(words) // seeds)]
    runs = [
        run(CURVES[word], chosen[k // seeds], k % seeds, **others) for k, word in enumerate(words)
    ]
    return SweepResult.of_runs(runs, steps=10)


# ---- verdicts, beside the same rules written for one run -----------------------------------------


def by_hand(losses, stop_at=None):
    first, last = losses[0], losses[-1]
    if not all(map(math.isfinite, losses)) or last - first > 9.0 * abs(first):
        return "diverged"
    if stop_at is not None and last <= stop_at:
        return "converged"
    end = losses[-max(2, len(losses) // 5) :]
    spread = max(end) - min(end)
    if last >= first and spread <= 0.01 * abs(last):
        return "stuck"
    fall = first - min(losses)
    pairs = list(pairwise(losses[len(losses) // 2 :]))
    rises = sum(b - a > 0.01 * fall for a, b in pairs)
    if last >= first or rises > 0.2 * len(pairs):
        return "oscillating"
    if 0.0 <= last <= 0.01 * first or spread <= 0.01 * fall:
        return "converged"
    return "descending"


ANY = st.floats() | st.floats(-10.0, 10.0) | st.integers(-3, 3).map(float)
CALM = st.integers(0, 200).map(lambda x: x / 10.0)
CURVE = st.one_of(
    st.lists(ANY, min_size=1, max_size=40),
    st.lists(CALM, min_size=1, max_size=40),
    st.lists(CALM, min_size=1, max_size=40).map(lambda xs: sorted(xs, reverse=True)),
    st.tuples(CALM, st.floats(0.3, 1.02), st.integers(1, 60)).map(
        lambda t: [t[0] * t[1] ** k for k in range(t[2])]
    ),
)


@given(st.lists(CURVE, min_size=1, max_size=12), st.none() | st.floats(-1.0, 5.0))
def test_verdicts_of_many_runs_are_those_of_each(curves, stop_at):
    lengths = [len(curve) for curve in curves]
    table = np.full((len(curves), max(lengths) + 1), 123.0)  # what follows a run does not count
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    expected = [by_hand(curve, stop_at) for curve in curves]
    assert verdicts(table, lengths, stop_at) == expected
    assert [verdict(curve, stop_at) for curve in curves] == expected


def test_the_curves_of_these_tests_are_what_they_are_called():
    assert [verdict(curve) for curve in CURVES.values()] == list(CURVES)


def test_full_rows_need_no_lengths_and_empty_ones_are_refused():
    assert verdicts(np.array(list(CURVES.values()))) == list(CURVES)
    assert verdicts(np.empty((0, 5))) == []
    with pytest.raises(DataError, match="needs at least one loss"):
        verdicts(np.ones((2, 3)), [3, 0])


def test_a_loss_at_the_target_has_converged():
    losses = [5.0, 4.0, 3.0]
    assert verdict(losses) == "descending"
    assert verdict(losses, stop_at=3.0) == "converged"
    assert verdict([3.0], stop_at=3.0) == "converged"  # not stuck
    assert verdict([5.0, NAN], stop_at=9.0) == "diverged"
    assert summary(losses, 3.0) == "converged to 3, in 3 steps"
    stopped = [run([5.0, 2.9], status="stopped early", stop_at=3.0), run([5.0, 4.0, 3.5])]
    result = SweepResult.of_runs(stopped, steps=3)
    assert result.verdicts == [each.verdict for each in result.runs] == ["converged", "descending"]


# ---- columns and runs ----------------------------------------------------------------------------

SETTINGS = st.sampled_from(ENDS)


@given(st.lists(st.tuples(CURVE, SETTINGS), min_size=1, max_size=12))
def test_what_is_computed_at_once_is_what_each_run_says(curves):
    runs = [run(curve, 0.1 * (k + 1), k, status) for k, (curve, status) in enumerate(curves)]
    result = SweepResult.of_runs(runs, steps=61)
    assert result.verdicts == [each.verdict for each in runs]
    np.testing.assert_array_equal(result.first_losses, [r.history.losses[0] for r in runs])
    np.testing.assert_array_equal(result.final_losses, [r.history.losses[-1] for r in runs])
    np.testing.assert_array_equal(result.best_losses, [r.best_loss for r in runs])
    assert result.how_ended == [status for _, status in curves]
    assert result.interrupted == ("interrupted" in result.how_ended)
    whole = [r for r in runs if r.verdict != "diverged" and r.history.status != "interrupted"]
    best = min(whole, key=lambda r: r.history.losses[-1], default=None)
    assert (result.best is None) == (best is None)
    if best is not None:
        assert result.best.settings == best.settings


def test_runs_are_made_on_demand_and_forgotten():
    made = []

    def history_of(k):
        made.append(k)
        return History([1.0, 0.5])

    result = SweepResult(
        crossed({"learning_rate": [0.1, 0.2], "seed": [1, 2, 3]}),
        2,
        np.full((6, 2), 1.0),
        np.full(6, 2),
        np.zeros(6, dtype=np.int8),
        history_of,
    )
    assert len(result) == len(result.runs) == 6
    assert len(result.verdicts) == 6
    assert made == []
    assert result.runs[4] is result.runs[4]
    assert result.runs[-1].settings == {"learning_rate": 0.2, "seed": 3}
    assert [type(x) for x in result.runs[-1].settings.values()] == [float, int]
    assert [each.seed for each in result.runs[1:3]] == [2, 3]
    with pytest.raises(IndexError):
        result.runs[6]


def test_losses_may_lie_in_a_zarr_array():
    table = np.random.default_rng(1).random((50, 7))
    settings = crossed({"learning_rate": np.geomspace(0.001, 1.0, 10), "seed": range(5)})
    numbers = settings, 7

    def result(curves):
        rest = np.full(50, 7), np.zeros(50, dtype=np.int8), lambda k: History(table[k].tolist())
        return SweepResult(*numbers, curves, *rest)

    stored = zarr.create_array(store={}, data=table, chunks=(8, 7))
    there, here = result(stored), result(table)
    np.testing.assert_array_equal(there.losses, table)
    assert there.table.equals(here.table)
    assert there.best.settings == here.best.settings
    np.testing.assert_array_equal(there.where(seed=3).losses, table[3::5])


def test_losses_are_a_copy():
    result = of_words("stuck")
    result.losses[0, 0] = 99.0
    assert result.losses[0, 0] == 5.0


def test_a_sweep_without_runs():
    result = SweepResult.of_runs([], steps=4, interrupted=True)
    assert (len(result), result.losses.shape, result.best) == (0, (0, 4), None)
    assert repr(result) == "SweepResult(0 runs of 4 steps, none finished)"
    assert result.interrupted
    assert result.table.height == 0
    assert result.summary == "no run was finished"
    assert "no run was finished" in result._repr_html_()
    with pytest.raises(ArgumentError, match="no runs to draw"):
        result.plot()


def test_columns():
    columns = crossed({"learning_rate": [0.1, 0.2], "layers": [(4,), (4, 4)], "batch_size": [None]})
    assert columns["layers"].tolist() == [(4,), (4, 4)] * 2
    assert columns["batch_size"].tolist() == [None] * 4
    assert column([True, False]).dtype == object
    number, values, first = groups({"a": column([[1], [2], [1]])}, ["a"])  # lists cannot be hashed
    assert (number.tolist(), values, first) == ([0, 1, 0], [([1],), ([2],)], [0, 1])
    assert groups(columns, [])[1] == [()]


def test_where():
    runs = [
        run(CURVES["stuck"], lr, seed, momentum=m, layers=layers)
        for lr in (0.1, 0.2)
        for seed in (1, 2)
        for m, layers in ((0.0, (4,)), (0.9, (4, 4)))
    ]
    result = SweepResult.of_runs(runs, 10, fallback_reason="because", limit_of=lambda k: 1.0 + k)
    some = result.where(momentum=0.9, seed=[2, 7])
    assert [each.settings for each in some.runs] == [runs[3].settings, runs[7].settings]
    assert some.runs[1].history is runs[7].history
    assert some.max_stable_lrs.tolist() == [4.0, 4.0]
    assert some.fallback_reason == "because"
    assert len(result.where()) == 8
    assert len(result.where(layers=(4, 4))) == len(result.where(learning_rate=0.1)) == 4
    assert some.where(seed=2).losses.shape == (2, 10)
    with pytest.raises(ArgumentError, match="no setting 'width'; it has learning_rate, seed, mom"):
        result.where(width=8)
    with pytest.raises(ArgumentError, match=r"no run with momentum=0\.5"):
        result.where(momentum=0.5)
    with pytest.raises(ArgumentError, match="no run with momentum='high'"):
        result.where(momentum="high")


# ---- table and files -----------------------------------------------------------------------------


def a_sweep(limit_of=None):
    runs = [
        run(CURVES["converged"], 0.1, 1, momentum=0.9, batch_size=None, layers=(4, 4)),
        run([5.0, 7.0, INF], 10.0, 1, "diverged", momentum=0.9, batch_size=4, layers=(8,)),
        run([5.0], 1.0, 2, "interrupted", momentum=0.0, batch_size=4, layers=(8,)),
    ]
    return SweepResult.of_runs(runs, steps=10, limit_of=limit_of)


def test_the_table_has_one_row_a_run():
    table = a_sweep(lambda k: [0.5, 2.0, None][k]).table
    last = CURVES["converged"][-1]
    assert table.to_dict(as_series=False) == {
        "learning_rate": [0.1, 10.0, 1.0],
        "seed": [1, 1, 2],
        "momentum": [0.9, 0.9, 0.0],
        "batch_size": [None, 4, 4],
        "layers": ["(4, 4)", "(8,)", "(8,)"],
        "steps": [10, 3, 1],
        "first_loss": [5.0, 5.0, 5.0],
        "final_loss": [last, INF, 5.0],
        "best_loss": [last, 5.0, 5.0],
        "verdict": ["converged", "diverged", "stuck"],
        "status": ["finished", "diverged", "interrupted"],
        "max_stable_lr": [0.5, 2.0, None],
        "lr_over_limit": [0.2, 5.0, None],
    }
    assert "max_stable_lr" not in a_sweep().table.columns


def test_files_hold_the_table(tmp_path):
    result = a_sweep(lambda k: 0.5)
    assert result.to_csv(tmp_path / "a.csv") == tmp_path / "a.csv"
    assert pl.read_csv(tmp_path / "a.csv").equals(result.table)
    result.to_parquet(str(tmp_path / "a.parquet"))
    assert pl.read_parquet(tmp_path / "a.parquet").equals(result.table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.parquet"]
    with pytest.raises(FileNotFoundError):
        result.to_csv(tmp_path / "nowhere" / "a.csv")


def test_other_libraries_take_the_table_over():
    result = a_sweep(lambda k: 0.5)
    assert pl.DataFrame(result).equals(result.table)
    assert type(result.__arrow_c_stream__()).__name__ == "PyCapsule"


class Page(HTMLParser):
    """Notes which tags are open, and that each is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_notebook_shows_picture_and_first_rows():
    result = of_words(*["descending"] * 25, kind="<script>&")
    page = Page(result._repr_html_())
    picture = next(attributes for tag, attributes in page.seen if tag == "img")
    assert picture["src"].startswith("data:image/png;base64,iVBOR")
    assert picture["alt"] == "the losses of 25 runs"
    assert [tag for tag, _ in page.seen].count("tr") == 11
    assert "script" not in [tag for tag, _ in page.seen]
    assert "<script>&" in page.text
    assert "and 15 more" in page.text
    assert page.text.endswith(result.summary)
    assert "more" not in Page(of_words("stuck", "stuck")._repr_html_()).text


def test_a_notebook_says_why_there_is_no_picture():
    runs = [run(CURVES["stuck"], lr, width=w) for lr in (0.1, 0.2) for w in range(7)]
    page = Page(SweepResult.of_runs(runs, 10)._repr_html_())
    assert "7 combinations of width are too many for one picture" in page.text
    assert "img" not in [tag for tag, _ in page.seen]


# ---- the limit at the start ----------------------------------------------------------------------


def test_a_limit_is_found_once_for_all_rates():
    asked = []

    def limit_of(k):
        asked.append(k)
        return None if k == 1 else 0.25

    runs = [run([5.0, 4.0], lr, seed) for lr in (0.1, 1.0) for seed in (1, 2)]
    result = SweepResult.of_runs(runs, steps=2, limit_of=limit_of)
    assert asked == []
    np.testing.assert_array_equal(result.max_stable_lrs, [0.25, NAN, 0.25, NAN])
    np.testing.assert_array_equal(result.lr_over_limit, [0.4, NAN, 4.0, NAN])
    assert result.describe_limit(0) == (
        "0.1 is 0.4 of the limit at the start, 0.25: steps are stable here"
    )
    assert result.describe_limit(1) == ""
    assert result.describe_limit(2) == (
        "1 is 4 times the limit at the start, 0.25: expect a spike first"
    )
    assert asked == [0, 1]
    assert np.isnan(of_words("stuck").max_stable_lrs).all()


def test_a_sweep_finds_the_limits_that_sharpness_finds():
    def network(rng):
        return tw.MLP(3, [4, 1], rng=rng)

    result = tw.sweep(
        network,
        tw.lesson_data(),
        [0.01, 0.1],
        seeds=[1, 2],
        steps=2,
        reduction="mean",
        optimizer=lambda lr: tw.SGD(lr, momentum=0.5),
    )
    expected = [
        tw.sharpness(
            network(random.Random(seed)),
            tw.lesson_data(),
            reduction="mean",
            optimizer=tw.SGD(0.1, momentum=0.5),
        ).max_stable_lr
        for seed in (1, 2)
    ]
    assert result.max_stable_lrs.tolist() == expected * 2


def test_where_there_is_no_limit_it_is_unknown():
    samples = list(tw.lesson_data())

    def network():
        return tw.MLP(3, [4, 1], rng=random.Random(1))

    class Own(tw.SGD):
        pass

    assert limit_at_start(network, samples, optimizer=Own(0.1)) is None
    assert limit_at_start(network, samples * 100_000, optimizer=tw.SGD(0.1)) is None
    assert limit_at_start(lambda: 1 / 0, samples, optimizer=tw.SGD(0.1), among=10_000) is None
    broken = limit_at_start(network, samples, optimizer=tw.SGD(0.1), loss=lambda p, t: p * INF)
    assert broken is None


# ---- the runs of one rate ------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), CALM), min_size=1, max_size=40))
def test_runs_of_one_rate_are_put_together(runs):
    rates, codes, losses = (np.array(column) for column in zip(*runs, strict=True))
    found = by_rate(rates, codes, losses)
    assert found.rates.tolist() == sorted(set(rates.tolist()))
    sizes = []
    for i, rate in enumerate(found.rates):
        words = codes[rates == rate].tolist()
        heights = np.where(codes == 4, INF, losses)[rates == rate]
        often = max(words.count(code) for code in words)
        assert found.codes[i] == max(code for code in words if words.count(code) == often)
        ordered = sorted(heights.tolist())
        middle = 0.5 * (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2])
        assert found.median[i] == pytest.approx(middle)
        sizes.append(len(ordered))
    assert found.most == max(sizes)
    if max(sizes) < 5:
        assert found.low.tolist() == [
            min(np.where(codes == 4, INF, losses)[rates == rate]) for rate in found.rates
        ]


def test_the_spread_of_many_seeds_is_the_middle_half():
    losses = np.arange(1.0, 10.0)
    found = by_rate(np.ones(9), np.zeros(9, dtype=int), losses)
    assert (found.low[0], found.median[0], found.high[0]) == tuple(
        np.quantile(losses, [0.25, 0.5, 0.75])
    )
    codes = np.array([4] * 5 + [0] * 4)
    assert by_rate(np.ones(9), codes, losses).median[0] == INF


# ---- closing words -------------------------------------------------------------------------------

GOOD, SLOW, SHAKY, FLAT, OFF = "converged", "descending", "oscillating", "stuck", "diverged"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([SLOW, GOOD, FLAT], "stable up to 0.02; at 0.04 it gets stuck, not unstable"),
        ([SLOW, GOOD, FLAT, FLAT], "stable up to 0.02; from 0.04 on it gets stuck, not unstable"),
        ([SLOW, GOOD, OFF, OFF], "stable up to 0.02; from 0.04 on it diverges"),
        ([SLOW, SHAKY], "stable up to 0.01; at 0.02 it oscillates"),
        ([GOOD, SHAKY, OFF, OFF], "stable up to 0.01; from 0.02 on it oscillates or diverges"),
        (
            [GOOD, SHAKY, FLAT, OFF],
            "stable up to 0.01; from 0.02 on it oscillates, gets stuck or diverges",
        ),
        (
            [SLOW, FLAT, SHAKY, GOOD, FLAT],
            "stable up to 0.01; mixed above: from 0.02 on it gets stuck or oscillates, "
            "but 0.08 works again",
        ),
        (
            [FLAT, GOOD],
            "not stable at the smallest rate; mixed above: from 0.01 on it gets stuck, "
            "but 0.02 works again",
        ),
        ([SLOW, GOOD, GOOD], "stable at all 3 rates tried, up to 0.04"),
        (
            [OFF, OFF],
            "stable nowhere: from 0.01 on, the smallest rate tried, it diverges",
        ),
        ([GOOD], "0.01 is the only rate tried, and there it converges"),
        ([SLOW], "0.01 is the only rate tried, and there it descends"),
        ([FLAT], "0.01 is the only rate tried, and there it gets stuck"),
    ],
)
def test_closing_words(words, expected):
    result = of_words(*words)
    assert result.summary.endswith(f"; {expected}")
    best = result.best
    named = "no best rate: all diverged" if best is None else f"best rate {best.learning_rate:g}"
    assert result.summary == f"{named}; {expected}"
    assert (
        stability(
            np.array([0.01 * 2**k for k in range(len(words))]),
            np.array([VERDICTS.index(w) for w in words]),
        )
        == expected
    )


def test_closing_words_go_by_the_rates_not_by_their_order():
    shuffled = of_words(GOOD, FLAT, SLOW, rates=[0.1, 1.0, 0.01])
    assert shuffled.summary == "best rate 0.1; stable up to 0.1; at 1 it gets stuck, not unstable"


def test_closing_words_go_by_most_seeds():
    words = [GOOD, GOOD, FLAT, FLAT, GOOD, FLAT, OFF, OFF, GOOD]
    result = of_words(*words, seeds=3)
    assert result.summary == (
        "best rate 0.01; stable up to 0.01; from 0.02 on it gets stuck or diverges"
    )
    # The single best run is that of a lucky seed; the rate is that of the median.
    runs = [run([5.0, 1.0], 0.1, k) for k in range(3)]
    runs += [run([5.0, last], 0.2, k) for k, last in enumerate((0.9, 4.0, 4.0))]
    lucky = SweepResult.of_runs(runs, steps=2)
    assert lucky.best.learning_rate == 0.2
    assert lucky.summary.startswith("best rate 0.1;")


def test_runs_that_were_cut_short_do_not_count():
    runs = [run(CURVES[GOOD], 0.1), run(CURVES[FLAT], 0.2, status="interrupted")]
    result = SweepResult.of_runs(runs, steps=10)
    assert result.summary == "best rate 0.1; 0.1 is the only rate tried, and there it converges"
    nothing = SweepResult.of_runs(runs[1:], steps=10)
    assert nothing.summary == "no run was finished"


def test_neighbouring_rates_are_told_apart():
    result = of_words(SLOW, FLAT, rates=[0.12341, 0.12349])
    assert "stable up to 0.1234; at 0.1235 " in result.summary


def test_each_combination_of_settings_has_its_words():
    runs = [
        run(CURVES[word], lr, momentum=m)
        for m, words in ((0.0, (SLOW, SLOW)), (0.9, (GOOD, OFF)))
        for lr, word in zip((0.1, 1.0), words, strict=True)
    ]
    result = SweepResult.of_runs(runs, steps=10)
    assert result.summary == (
        "best rate 0.1 with momentum 0.9; momentum 0: stable at all 2 rates tried, up to 1; "
        "momentum 0.9: stable up to 0.1; at 1 it diverges"
    )
    one = result.where(momentum=0.9)
    assert one.summary == "best rate 0.1; stable up to 0.1; at 1 it diverges"
    many = SweepResult.of_runs(
        [run(CURVES[SLOW], 0.1, width=w, batch_size=b) for w in range(4) for b in (None, 2)], 10
    )
    assert many.summary == (
        "best rate 0.1 with width 0, batch size None; "
        "8 combinations of width and batch size: result.where selects some of them"
    )


def test_bytes_of_a_table_are_the_same_each_time():
    first, second = io.BytesIO(), io.BytesIO()
    a_sweep(lambda k: 0.5).table.write_parquet(first)
    a_sweep(lambda k: 0.5).table.write_parquet(second)
    assert first.getvalue() == second.getvalue()


def test_where_the_values_are_lists_or_arrays():
    sizes = [[4, 1], [1], np.array([2, 1])]
    result = SweepResult.of_runs([run([5.0, 1.0], 0.1, 1, sizes=x) for x in sizes], steps=2)
    assert [r.settings["sizes"] for r in result.where(sizes=[4, 1]).runs] == [[4, 1]]
    assert len(result.where(sizes=[[4, 1], [1]])) == 2
    assert len(result.where(sizes=[np.array([2, 1])])) == 1
