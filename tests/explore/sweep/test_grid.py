"""Settings beside rate and seed: each run is what `train` does by itself with that setting."""

import math
import random
import threading

import numpy as np
import pytest

import talweg as tw
from talweg import MLP, lesson_data, sweep, train
from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace
from talweg.errors import ArgumentError, NativeError
from talweg.training.lane_executor import LaneExecutor
from talweg.training.model_program import ModelProgram
from talweg.training.optimizer_family import Family, family_of

LESSON = lesson_data()
MOONS = [([math.cos(k), math.sin(2.0 * k)], (-1.0) ** k * 0.8) for k in range(23)]


def network(rng, width=3, gain=1.0):
    model = MLP(2, [width, 1], rng=rng)
    for p in model.parameters():
        p.data *= gain
    return model


def squared_error(model, sample):
    return tw.losses.squared_error(model(sample[0]), sample[1])


def alone(settings, optimizer, steps, *, data=MOONS, scale=1.0, **given):
    model_settings = {k: settings[k] for k in ("width", "gain") if k in settings}
    model = network(random.Random(settings["seed"]), **model_settings)
    for p in model.parameters():
        p.data *= scale
    given.setdefault("seed", settings["seed"])
    return train(model, data, steps=steps, optimizer=optimizer, engine="eager", **given)


def same(run, history):
    assert str(run.history.losses) == str(history.losses)
    assert run.history.learning_rates == history.learning_rates
    assert (run.history.status, run.history.verdict) == (history.status, history.verdict)


# ---- which runs there are --------------------------------------------------------------------


def test_grid_varies_slowest_then_rate_then_seed():
    grid = {"width": [2, 3], "momentum": [0.0, 0.9]}
    result = sweep(network, MOONS, [0.01, 0.02], seeds=[5, 6], grid=grid, steps=2)
    assert len(result.runs) == 16
    assert result.runs[0].settings == {
        "learning_rate": 0.01, "seed": 5, "width": 2, "momentum": 0.0
    }  # fmt: skip
    order = [tuple(run.settings.values()) for run in result.runs]
    wanted = [
        (rate, seed, width, momentum)
        for width in (2, 3)
        for momentum in (0.0, 0.9)
        for rate in (0.01, 0.02)
        for seed in (5, 6)
    ]
    assert order == wanted


@pytest.mark.parametrize(
    ("grid", "complaint"),
    [
        ({"depth": [1, 2]}, r"nothing takes the setting 'depth' .*make_model\(rng, depth=\.\.\.\)"),
        ({"momentum": []}, "momentum must be a list with at least one entry"),
        ({"momentum": "0.9"}, "momentum must be a list"),
        ({"learning_rate": [0.1]}, r"give learning_rates=\[\.\.\.\]"),
        ({"reduction": ["mean"]}, "reduction is given twice"),
        ({"momentum": [0.5, 1.5]}, "momentum must be at least 0 and below 1, got 1.5"),
        ({"initial_scale": ["a"]}, "initial_scale must be a number, got 'a'"),
        ({"batch_size": [0]}, "batch_size must be None or an integer of at least 1"),
    ],
)
def test_invalid_grids_are_refused_before_any_run(grid, complaint):
    def never(prediction, target):
        raise AssertionError("a run was made")

    with pytest.raises(ArgumentError, match=complaint):
        sweep(network, MOONS, [0.1], grid=grid, reduction="sum", loss=never)


def test_optimizer_must_make_an_optimiser_and_stop_at_be_finite():
    with pytest.raises(ArgumentError, match="optimizer must make an optimiser"):
        sweep(network, MOONS, [0.1], optimizer=lambda lr: lr)
    with pytest.raises(ArgumentError, match="stop_at must be None or a finite number"):
        sweep(network, MOONS, [0.1], stop_at=math.nan)


# ---- each run is what train does -------------------------------------------------------------


@pytest.mark.parametrize("engine", ["native", "eager"])
def test_momentum_width_and_initial_scale_give_the_runs_of_train(engine):
    grid = {"width": [2, 3], "momentum": [0.0, 0.5, 0.9], "initial_scale": [1.0, 0.25]}
    result = sweep(
        network, MOONS, [0.01, 0.03, 1e308], seeds=[1, 2], grid=grid, steps=7, engine=engine,
        mode="exact" if engine == "native" else "default",
    )  # fmt: skip
    assert len(result.runs) == 72
    ends = set()
    for run in result.runs:
        optimizer = tw.SGD(run.learning_rate, momentum=run.settings["momentum"])
        history = alone(run.settings, optimizer, 7, scale=run.settings["initial_scale"])
        same(run, history)
        ends.add(history.status)
    assert ends == {"finished", "diverged"}
    assert result.fallback_reason == (
        "" if engine == "native" else "the eager engine was requested"
    )


@pytest.mark.parametrize("optimizer", [tw.Adam, tw.RMSprop, tw.AdamW])
def test_other_settings_of_optimisers_give_the_runs_of_train(optimizer):
    varied = {"decay": [0.9, 0.5]} if optimizer is tw.RMSprop else {"beta1": [0.9, 0.5, 0.0]}
    grid = {**varied, "weight_decay": [0.0, 0.1, 0.3]}
    result = sweep(
        network, MOONS, [0.01, 0.1], grid=grid, optimizer=optimizer, steps=6, engine="native",
        mode="exact",
    )  # fmt: skip
    for run in result.runs:
        own = {name: run.settings[name] for name in grid}
        same(run, alone(run.settings, optimizer(run.learning_rate, **own), 6))


def test_integers_booleans_and_a_scale_that_the_model_takes():
    def scaled(rng, initial_scale):
        model = network(rng)

        class Scaled:
            parameters = model.parameters

            def __call__(self, x):
                return initial_scale * model(x)

        return Scaled()

    grid = {"weight_decay": [0, 1], "initial_scale": [0.5, 2], "nesterov": [False, True]}
    asked = {
        "grid": grid, "steps": 6, "mode": "exact",
        "optimizer": lambda lr, weight_decay, nesterov: tw.SGD(lr, 0.9, nesterov, weight_decay),
    }  # fmt: skip
    native, eager = (sweep(scaled, MOONS, [0.01], engine=e, **asked) for e in ("native", "eager"))
    assert native.losses.tolist() == eager.losses.tolist()


@pytest.mark.parametrize("mode", ["exact", "default"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_batches_are_those_of_train(mode, reduction):
    grid = {"batch_size": [1, 4, 5, 23, 40]}  # 23 samples: 4 and 5 leave a smaller batch
    result = sweep(
        network, MOONS, [0.01, 0.02, 0.03], seeds=[1, 2], grid=grid, steps=14, engine="native",
        mode=mode, reduction=reduction,
    )  # fmt: skip
    assert result.fallback_reason == ""
    for run in result.runs:
        history = alone(
            run.settings, tw.SGD(run.learning_rate), 14,
            batch_size=run.settings["batch_size"], reduction=reduction,
        )  # fmt: skip
        if mode == "exact":
            same(run, history)
        else:
            np.testing.assert_allclose(run.history.losses, history.losses, rtol=1e-9)


def test_batches_can_be_seeded_separately_from_the_weights():
    given = {"batch_size": 4, "seed": 99}
    result = sweep(
        network, MOONS, [0.01, 0.02], seeds=[1, 2], steps=9, engine="native", mode="exact", **given
    )
    for run in result.runs:
        same(run, alone(run.settings, tw.SGD(run.learning_rate), 9, **given))


def test_settings_that_lanes_do_not_support_are_trained_one_by_one():
    asked = {"grid": {"clip_norm": [0.1, 1.0]}, "steps": 5}
    with pytest.raises(NativeError, match="clip_norm is set"):
        sweep(network, MOONS, [0.1], engine="native", **asked)
    result = sweep(network, MOONS, [0.1], engine="eager", **asked)
    for run in result.runs:
        history = alone(run.settings, tw.SGD(0.1), 5, clip_norm=run.settings["clip_norm"])
        same(run, history)


def test_a_width_that_native_code_refuses_is_trained_one_by_one(monkeypatch):
    def sometimes(rng, width):
        model = network(rng, width)
        if width == 2:
            return model

        class UsesPlainNumber:
            parameters = model.parameters

            def __call__(self, x):
                return model(x) * (1.0 + float(model.parameters()[0]))

        return UsesPlainNumber()

    monkeypatch.setattr("talweg.explore.sweep.sweep.WORTH_COMPILING", 0)
    result = sweep(sometimes, MOONS, [0.01, 0.02], grid={"width": [2, 3]}, steps=4)
    assert "the loss is not one program" in result.fallback_reason
    assert len(result.runs) == 4
    with pytest.raises(NativeError, match="the loss is not one program"):
        sweep(sometimes, MOONS, [0.01], grid={"width": [2, 3]}, steps=4, engine="native")


# ---- a target --------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["native", "eager"])
def test_runs_that_reach_the_target_stop_and_other_lanes_continue(engine):
    def make(rng):
        return MLP(3, [4, 4, 1], rng=rng)

    rates = [0.001, 0.05, 0.1, 1e200, 0.07, 0.02, 0.3, 0.2, 0.15, 0.01, 1.0]
    asked = {"steps": 40, "engine": engine, "mode": "exact" if engine == "native" else "default"}
    whole = sweep(make, LESSON, rates, **asked)
    result = sweep(make, LESSON, rates, stop_at=0.05, **asked)
    ends = [run.history.status for run in result.runs]
    assert {"finished", "stopped early"} <= set(ends)
    for run, other in zip(result.runs, whole.runs, strict=True):
        taken = run.history.steps
        assert run.history.losses == other.history.losses[:taken]
        below = [loss <= 0.05 for loss in run.history.losses]
        assert not any(below[:-1])
        if run.history.status == "stopped early":
            assert below[-1]
            assert run.verdict == "converged"
            assert run.history.verdict == (
                f"stopped at step {taken}: the loss {run.history.losses[-1]:.6g} is not above "
                "stop_at, 0.05"
            )
        else:
            assert taken == 40 or run.history.status == "diverged"
            same(run, other.history)


def test_a_target_can_stop_all_lanes_and_weights_are_those_after_the_last_step():
    program = ModelProgram(network(random.Random(1)), MOONS[:5], squared_error, mean=False)
    lanes = LaneExecutor(program, Family(tw.SGD(0.1)), mode="exact")
    weights = np.array([program.weights_of(network(random.Random(k))) for k in range(3)])
    rates = [0.01, 0.02, 0.03]
    swept = lanes.train(weights, np.array(rates), 30, target=1e9)
    assert swept.steps.tolist() == [1, 1, 1]
    assert swept.reached.all()
    assert not swept.diverged.any()
    for k, rate in enumerate(rates):
        model = network(random.Random(k))
        train(model, MOONS[:5], steps=1, optimizer=tw.SGD(rate), engine="eager")
        assert swept.weights[k].tolist() == [p.data for p in model.parameters()]


# ---- ranges of parameters with separate rates ------------------------------------------------


@pytest.mark.parametrize("scheduled", [False, True])
def test_ranges_of_parameters_have_separate_learning_rates(scheduled):
    model, steps, models = network(random.Random(3)), 6, 11
    numbers = [p.data for p in model.parameters()]
    traced = trace(lambda x: tw.losses.squared_error(model(x[:2]), x[2]), [0.1, 0.2, 0.3])
    assert list(traced.parameters) == model.parameters()
    samples = np.array([[*x, y] for x, y in MOONS[:4]])
    ends = [4, 9, len(numbers)]
    made = pipeline.lane_trainer(
        traced.tape, samples, update=lambda _: tw.SGD(1.0, momentum=0.5).update, start=(0.0,),
        range_ends=ends, exact=True, scheduled=scheduled,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    shape = (steps, 3, models) if scheduled else (3, models)
    rates = rng.uniform(0.001, 0.1, size=shape)
    swept = made.run(np.tile(numbers, (models, 1)), rates, steps)
    for k in range(models):  # by the equations
        for p, number in zip(model.parameters(), numbers, strict=True):
            p.data = number
        v = [0.0] * len(numbers)
        for step in range(steps):
            own = rates[step, :, k] if scheduled else rates[:, k]
            for p in model.parameters():
                p.grad = 0.0
            loss = sum(
                (tw.losses.squared_error(model(x), y) for x, y in MOONS[1:4]),
                start=tw.losses.squared_error(model(MOONS[0][0]), MOONS[0][1]),
            )
            assert swept.losses[k, step] == loss.data
            loss.backward()
            for i, p in enumerate(model.parameters()):
                v[i] = 0.5 * v[i] + p.grad
                p.data = p.data - float(own[0 if i < 4 else 1 if i < 9 else 2]) * v[i]
        assert swept.weights[k].tolist() == [p.data for p in model.parameters()]


# ---- threads, and stopping -------------------------------------------------------------------


def test_several_threads_can_train_with_one_executor():
    program = ModelProgram(network(random.Random(1)), MOONS, squared_error, mean=True)
    lanes = LaneExecutor(program, family_of([tw.SGD(0.1), tw.SGD(0.2)]), mode="default")
    weights = np.array([program.weights_of(network(random.Random(k))) for k in range(20)])
    rates = np.array([0.01 * (k + 1) for k in range(20)])
    once = lanes.train(weights, rates, 30)
    found = []

    def work():
        found.extend(lanes.train(weights, rates, 30).losses for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all((losses == once.losses).all() for losses in found)


def test_training_that_is_stopped_returns_and_reports_it():
    model = network(random.Random(1))
    program = ModelProgram(model, MOONS, squared_error, mean=True)
    lanes = LaneExecutor(program, Family(tw.SGD(0.1)), mode="default")
    weights, rates = np.array([program.weights_of(model)]), np.array([0.1])
    swept = lanes.train(weights, rates, 50, stopped=lambda: True)
    assert not swept.whole
    assert lanes.train(weights, rates, 50).whole


def test_the_values_of_a_setting_may_be_an_array_of_numpy():
    asked = {"seeds": [1], "steps": 3}
    rates, momenta = [0.01, 0.03], [0.0, 0.5]
    given = sweep(network, MOONS, np.array(rates), grid={"momentum": np.array(momenta)}, **asked)
    expected = sweep(network, MOONS, rates, grid={"momentum": momenta}, **asked)
    assert [run.settings for run in given.runs] == [run.settings for run in expected.runs]
    assert [run.history.losses for run in given.runs] == [
        run.history.losses for run in expected.runs
    ]
    assert {type(run.settings["momentum"]) for run in given.runs} == {float}
