"""The sweep: the lesson's four rates, verdicts by their rules, seeds, and what is refused."""

import math
import random

import numpy as np
import pytest

import talweg as tw
from talweg import MLP, lesson_data, sweep, train
from talweg.errors import ArgumentError, DataError, TalwegError
from talweg.explore.verdicts import summary, verdict

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


def test_each_run_starts_afresh_and_is_what_train_does(lesson):
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


def test_settings_go_on_to_train():
    data = [([x / 5.0], x / 5.0) for x in range(-5, 6)]
    settings = {"steps": 6, "batch_size": 4, "reduction": "mean", "clip_norm": 0.1}
    result = sweep(line, data, [0.1], seeds=[7], optimizer=tw.Adam, **settings)
    alone = train(line(random.Random(7)), data, optimizer=tw.Adam(0.1), seed=7, **settings)
    assert result.runs[0].history.losses == alone.losses
    other = sweep(line, data, [0.1], seeds=[7], optimizer=tw.Adam, seed=8, **settings)
    assert other.runs[0].history.losses != alone.losses  # a seed of its own for the batches


# ---- the best, and runs that end early -------------------------------------------------------


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


# ---- what is refused -------------------------------------------------------------------------


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
def test_settings_that_make_no_sense(rates, settings, message):
    with pytest.raises(ArgumentError, match=message):
        sweep(lesson_model, lesson_data(), rates, **settings)


def test_a_bad_rate_is_refused_before_any_run():
    def never(rng):
        raise AssertionError("no model should be made")

    with pytest.raises(ArgumentError, match=r"lr must be .* got -0\.1"):
        sweep(never, lesson_data(), [0.1, -0.1])


# ---- verdicts --------------------------------------------------------------------------------


def falling(start, factor, steps, floor=0.0):
    return [floor + start * factor**k for k in range(steps)]


def noisy(losses, size):
    return [x + NOISE.uniform(-size, size) for x in losses]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        # diverged: not finite anywhere, or ten times the start
        ([1.0, NAN, 0.5, 0.1], "diverged"),
        ([1.0, 0.5, INF], "diverged"),
        ([NAN], "diverged"),
        ([-INF, 1.0, 1.0], "diverged"),
        ([1.0, 3.0, 11.0], "diverged"),
        ([1.0, 50.0, 11.0, 5.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.001], "converged"),  # an excursion
        ([-1.0, -0.5, 9.0], "diverged"),
        # stuck: flat and not below the start
        ([5.0] * 10, "stuck"),  # dead from the start: every relu off
        ([5.0, *[8.0] * 9], "stuck"),  # a plateau above where it began
        (noisy([5.0, *[8.0] * 30], 0.01), "stuck"),
        ([5.0, 2.0, *[5.0] * 20], "stuck"),
        ([0.0] * 5, "stuck"),
        ([5.0], "stuck"),
        # oscillating
        ([4.0, 1.0] * 10, "oscillating"),
        ([4.0, *[1.0, 2.0] * 20], "oscillating"),
        ([4.0, *[1.0, 1.5, 1.4, 1.3] * 10], "oscillating"),  # one step in four goes up
        ([4.0, *[1.0, 5.0] * 10, 4.5], "oscillating"),
        (noisy(falling(4.0, 0.7, 60, 1.0), 0.3), "oscillating"),
        # converged: small, or flat at the end
        (falling(5.0, 0.8, 50), "converged"),
        (falling(5.0, 0.7, 60, 2.0), "converged"),  # to a floor that it cannot pass
        ([5.0, *[3.0] * 20], "converged"),  # relus that died on the way: flat below the start
        (noisy(falling(5.0, 0.7, 60, 2.0), 0.003), "converged"),  # with noise at the floor
        ([4.0, *[0.03, 0.031] * 20], "converged"),  # noise under 1 % of the fall
        ([100.0, 50.0, 1.0], "converged"),
        # descending
        (falling(5.0, 0.99, 50), "descending"),
        ([8.0, 4.0, 2.0, 1.0], "descending"),
        (noisy(falling(5.0, 0.98, 50), 0.001), "descending"),
        ([4.0, 3.9, 4.0, *falling(3.9, 0.97, 27)], "descending"),  # it rose, but early on
        ([-1.0, -2.0, -5.0, -15.0], "descending"),  # a loss may be below zero
        ([1.0, 0.0, -1.0, -2.0, -3.0], "descending"),
        ([2.0, 1.0], "descending"),
    ],
)
def test_verdicts(losses, expected):
    assert verdict(losses) == expected
    assert verdict([x * 1024.0 for x in losses]) == expected  # no rule knows a scale
    assert summary(losses).split()[0] in (expected, "still")


def test_the_thresholds_of_the_rules():
    assert verdict([1.0, 0.5, 10.0]) == "oscillating"
    assert verdict([1.0, 0.5, 10.1]) == "diverged"
    assert verdict([100.0, 50.0, 1.01]) == "descending"
    assert verdict([100.0, 50.0, 1.0]) == "converged"
    # "at the end" is the last fifth: the last ten of fifty steps
    steep = falling(5.0, 0.9, 41, 1.0)
    assert verdict(steep[:40] + [1.0] * 10) == "converged"
    assert verdict(steep + [1.0] * 9) == "descending"
    # one step in five of the second half: 4 of 20 is not yet more than that
    calm = [4.0 - 0.05 * k for k in range(20)]
    for rises, expected in ((4, "descending"), (5, "oscillating")):
        second = [2.0]
        for k in range(20):
            second.append(second[-1] + (0.1 if k < rises else -0.1))
        assert verdict([*calm, *second]) == expected


def test_verdicts_in_words():
    assert summary([1.0, 2.0, NAN, INF]) == "diverged at step 3"
    assert summary([1.0, 2.0, 1234.56]) == "diverged to 1235"
    assert summary([8.0] * 5) == "stuck at 8, where it began"
    assert summary([4.0, *[1.0, 2.0] * 9]) == "oscillating between 1 and 2"
    assert summary([5.0, 0.01]) == "converged to 0.01"
    assert summary([5.0, 3.0]) == "still descending at 3"


def test_no_losses_no_verdict():
    for function in (verdict, summary):
        with pytest.raises(DataError, match="needs at least one loss"):
            function([])
    assert issubclass(DataError, TalwegError)


def test_a_run_that_ends_on_a_gradient_that_is_not_finite_has_diverged():
    result = tw.sweep(
        lambda rng: tw.MLP(3, [4, 4, 1], rng=rng), tw.lesson_data(), [1e308, 0.1], steps=5
    )
    assert result.runs[0].history.status == "diverged"
    assert all(map(math.isfinite, result.runs[0].history.losses))
    assert result.verdicts[0] == "diverged"
    assert result.runs[0].summary.startswith("diverged at step")
    assert result.best is result.runs[1]
