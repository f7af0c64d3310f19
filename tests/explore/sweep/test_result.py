"""The result of a sweep: columns, runs on demand, selection, largest stable rates."""

import math
import random

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from sweep_results import CURVE, CURVES, run, with_verdicts

import talweg as tw
from talweg.errors import ArgumentError
from talweg.explore.limits import limit_at_start
from talweg.explore.sweep.columns import crossed
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.task_result import ENDS
from talweg.training.history import History

NAN, INF = math.nan, math.inf

# ---- columns and runs ------------------------------------------------------------------------

SETTINGS = st.sampled_from(ENDS)


@given(st.lists(st.tuples(CURVE, SETTINGS), min_size=1, max_size=12))
def test_columns_agree_with_the_properties_of_each_run(curves):
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


def test_runs_are_made_on_demand_and_kept_while_in_use():
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


def test_losses_can_be_a_zarr_array():
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
    result = with_verdicts("stuck")
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


def test_where_the_values_are_lists_or_arrays():
    sizes = [[4, 1], [1], np.array([2, 1])]
    result = SweepResult.of_runs([run([5.0, 1.0], 0.1, 1, sizes=x) for x in sizes], steps=2)
    assert [r.settings["sizes"] for r in result.where(sizes=[4, 1]).runs] == [[4, 1]]
    assert len(result.where(sizes=[[4, 1], [1]])) == 2
    assert len(result.where(sizes=[np.array([2, 1])])) == 1


# ---- the largest stable rate -----------------------------------------------------------------


def test_a_limit_is_computed_once_for_all_rates():
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
    assert np.isnan(with_verdicts("stuck").max_stable_lrs).all()


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
