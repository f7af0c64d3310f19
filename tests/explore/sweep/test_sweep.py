"""Sweeps: the rates of the lesson, seeds, the best run, runs that stop early, invalid settings."""

import math
import random

import numpy as np
import pytest

import talweg as tw
from talweg import MLP, lesson_data, sweep, train
from talweg.errors import ArgumentError

NAN, INF = math.nan, math.inf
NOISE = random.Random(4)


def lesson_model(rng):
    return MLP(3, [4, 4, 1], rng=rng)


def line(rng):
    return MLP(1, [1], output="linear", rng=rng)


@pytest.fixture(scope="module")
def lesson():
    return sweep(lesson_model, lesson_data(), [0.001, 0.01, 0.1, 1.0])


# ---- the lesson ------------------------------------------------------------------------------


def test_the_lessons_four_rates(lesson):
    last = [f"{loss:.6f}" for loss in lesson.losses[:, -1]]
    assert last == ["3.346645", "0.401654", "0.011888", "8.000000"]
    assert lesson.verdicts == ["descending", "descending", "converged", "stuck"]
    assert [run.summary for run in lesson.runs] == [
        "still descending at 3.347",
        "still descending at 0.4017",
        "converged to 0.01189",
        "stuck at 8, above the start",
    ]
    assert lesson.best.learning_rate == 0.1
    assert repr(lesson) == "SweepResult(4 runs of 50 steps, best rate 0.1)"


def test_each_run_is_what_train_does_with_a_new_model(lesson):
    for run in lesson.runs:
        model = lesson_model(random.Random(42))
        history = train(model, lesson_data(), optimizer=tw.SGD(run.learning_rate))
        assert run.history.losses == history.losses
        assert run.best_loss == min(history.losses)
    assert lesson.losses.shape == (4, 50)
    assert set(lesson.losses[:, 0]) == {lesson.losses[0, 0]}


def test_several_seeds_are_one_run_each_in_order():
    result = sweep(lesson_model, lesson_data(), [0.01, 0.1], seeds=[1, 2, 3], steps=3)
    labels = [(run.learning_rate, run.seed) for run in result.runs]
    assert labels == [(lr, seed) for lr in (0.01, 0.1) for seed in (1, 2, 3)]
    first = result.losses[:, 0]
    assert list(first[:3]) == list(first[3:])  # a seed draws the same weights at every rate
    assert len(set(first)) == 3


def test_settings_are_passed_to_train():
    data = [([x / 5.0], x / 5.0) for x in range(-5, 6)]
    settings = {"steps": 6, "batch_size": 4, "reduction": "mean", "clip_norm": 0.1}
    result = sweep(line, data, [0.1], seeds=[7], optimizer=tw.Adam, **settings)
    alone = train(line(random.Random(7)), data, optimizer=tw.Adam(0.1), seed=7, **settings)
    assert result.runs[0].history.losses == alone.losses
    other = sweep(line, data, [0.1], seeds=[7], optimizer=tw.Adam, seed=8, **settings)
    assert other.runs[0].history.losses != alone.losses  # a seed of its own for the batches


# ---- the best run, and runs that stop early --------------------------------------------------


def test_the_best_is_the_lowest_last_loss_of_the_runs_that_did_not_diverge():
    data = [([1.0], 0.0), ([-2.0], 3.0)]
    result = sweep(line, data, [1e200, 0.01, 0.05, 3.0], steps=40)
    assert result.verdicts[0] == result.verdicts[3] == "diverged"
    assert result.best.learning_rate == 0.05
    steps = [run.history.steps for run in result.runs]
    assert steps[0] < 5
    assert np.isnan(result.losses[0, steps[0] :]).all()
    assert result.runs[0].best_loss == result.losses[0, 0]
    none = sweep(line, data, [1e200, 1e300], steps=40)
    assert none.best is None
    assert repr(none) == "SweepResult(2 runs of 40 steps, all diverged)"


def test_a_run_that_diverges_to_a_smaller_loss_than_the_rest_is_not_the_best():
    def loss(p, t):  # falls without end, and is nan at last
        return p.sqrt() if p.data < 5.0 else p

    result = sweep(lambda rng: positive(), [([1.0], 0.0)], [1.0, 0.001], steps=20, loss=loss)
    assert result.verdicts[0] == "diverged"
    assert result.best.learning_rate == 0.001


def positive():
    model = line(random.Random(0))
    model.load_state_dict(dict.fromkeys(model.state_dict(), 3.0))
    return model


@pytest.mark.parametrize(("call", "steps"), [(2, []), (9, [4]), (13, [4, 2])])
def test_ctrl_c_keeps_the_runs_so_far(call, steps):
    calls = iter(range(1, 100))

    def loss(p, t):
        if next(calls) == call:
            raise KeyboardInterrupt
        return (p - t) ** 2

    data = [([1.0], 0.0), ([-2.0], 3.0)]
    result = sweep(line, data, [0.1, 0.2, 0.3], steps=4, loss=loss, engine="eager")
    assert [run.history.steps for run in result.runs] == steps
    assert result.losses.shape == (len(steps), 4)
    assert len(result.verdicts) == len(steps)


def test_early_stopping_leaves_short_runs():
    data = [([1.0], 1.0)]
    result = sweep(line, data, [0.6, 0.01], steps=9, early_stopping=tw.EarlyStopping(2))
    assert [run.history.steps for run in result.runs] == [2, 9]
    assert np.isnan(result.losses[0, 2:]).all()


@pytest.mark.parametrize(("rates", "seeds"), [(3, 1), (3, 2), (12, 1), (6, 3)])
def test_plot_has_one_curve_a_run(rates, seeds):
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    result = sweep(
        line,
        [([1.0], 1.0)],
        [0.1 * 0.5**k for k in range(rates)],
        seeds=range(seeds),
        steps=3,
    )
    ax = result.plot(kind="curves")
    curves = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
    assert len(curves) == rates * seeds
    assert ax.get_title("left") == "Effect of the learning rate"
    if rates * seeds <= 8:
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert labels[0] == ("0.1" if seeds == 1 else "0.1, seed 0")
    _, own = plt.subplots()
    assert result.plot(own, kind="curves") is own
    plt.close("all")


# ---- invalid settings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "settings", "message"),
    [
        ([], {}, "learning_rates must be a list with at least one entry"),
        (0.1, {}, r"learning_rates must be a list .* got 0\.1"),
        ([0.1], {"seeds": []}, "seeds must be a list"),
        ([0.1], {"seeds": 42}, "seeds must be a list .* got 42"),
        ([0.1], {"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ([0.1], {"steps": "5"}, "steps must"),
        ([0.1], {"reduction": "max"}, "reduction must"),
    ],
)
def test_invalid_settings_are_refused(rates, settings, message):
    with pytest.raises(ArgumentError, match=message):
        sweep(lesson_model, lesson_data(), rates, **settings)


def test_a_bad_rate_is_refused_before_any_run():
    def never(rng):
        raise AssertionError("no model should be made")

    with pytest.raises(ArgumentError, match=r"lr must be .* got -0\.1"):
        sweep(never, lesson_data(), [0.1, -0.1])


def test_a_run_that_stops_at_a_gradient_that_is_not_finite_has_diverged():
    result = tw.sweep(
        lambda rng: tw.MLP(3, [4, 4, 1], rng=rng), tw.lesson_data(), [1e308, 0.1], steps=5
    )
    assert result.runs[0].history.status == "diverged"
    assert all(map(math.isfinite, result.runs[0].history.losses))
    assert result.verdicts[0] == "diverged"
    assert result.runs[0].summary.startswith("diverged at step")
    assert result.best is result.runs[1]
