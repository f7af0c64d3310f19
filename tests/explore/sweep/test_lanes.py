"""Sweeps with a model in each SIMD lane: each run is the same as if it is trained alone."""

import math
import random
import re
from dataclasses import dataclass

import numpy as np
import pytest

import talweg as tw
from talweg import MLP, lesson_data, sweep, train
from talweg.compiler import pipeline
from talweg.compiler.codegen import training_spec
from talweg.compiler.frontend.trace import trace
from talweg.compiler.runtime import lane_trainer
from talweg.errors import ArgumentError, NativeError
from talweg.explore.sweep.result import Run

LESSON = lesson_data()
RATES = [0.001 * 1.3**k for k in range(19)]  # not a multiple of the lanes
WILD = [0.01, 30.0, 0.02, 1e155, 1e308, 0.05, 3.0, 0.03, 1e200, 0.04, 0.5]


def lesson_model(rng):
    return MLP(3, [4, 4, 1], rng=rng)


def line(rng):
    return MLP(2, [3, 1], activation="relu", output="linear", rng=rng)


LINE = [([1.0, 0.5], 0.0), ([-2.0, 1.0], 3.0), ([0.5, -1.0], 1.0)]


def alone(make, data, rates, seeds, steps, optimizer, **settings):
    """The records of the same runs, one by one by the eager engine."""
    return [
        train(
            make(random.Random(seed)),
            data,
            steps=steps,
            optimizer=optimizer(rate),
            engine="eager",
            **settings,
        )
        for rate in rates
        for seed in seeds
    ]


OPTIMIZERS = {
    "sgd": tw.SGD,
    "momentum": lambda lr: tw.SGD(lr, momentum=0.9),
    "adam": tw.Adam,
    "adamw": tw.AdamW,
    "rmsprop": tw.RMSprop,
    "schedule": lambda lr: tw.SGD(tw.schedules.Cosine(lr, steps=12)),
}


# ---- the same as one by one ------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_exact_mode_gives_the_bits_of_the_eager_engine(name, reduction):
    settings = {"seeds": [1, 2, 3], "steps": 12, "optimizer": OPTIMIZERS[name]}
    result = sweep(
        lesson_model,
        LESSON,
        RATES[::4],
        engine="native",
        mode="exact",
        reduction=reduction,
        **settings,
    )
    expected = alone(lesson_model, LESSON, RATES[::4], reduction=reduction, **settings)
    assert len(result.runs) == len(expected) == 15
    for run, history in zip(result.runs, expected, strict=True):
        assert run.history.losses == history.losses
        assert run.history.learning_rates == history.learning_rates
        assert (run.history.status, run.history.verdict) == (history.status, history.verdict)
        assert run.history.engine == "native, exact"
    assert [(run.learning_rate, run.seed) for run in result.runs[:4]] == [
        (RATES[0], 1),
        (RATES[0], 2),
        (RATES[0], 3),
        (RATES[4], 1),
    ]
    assert result.fallback_reason == ""


@pytest.mark.parametrize("name", ["sgd", "momentum"])
def test_runs_that_diverge_do_not_change_other_lanes(name):
    settings = {"seeds": [1, 2], "steps": 40, "optimizer": OPTIMIZERS[name]}
    result = sweep(line, LINE, WILD, engine="native", mode="exact", **settings)
    expected = alone(line, LINE, WILD, **settings)
    ends = [history.status for history in expected]
    assert {"finished", "diverged"} <= set(ends)
    assert len({history.steps for history in expected}) > 3  # in the middle, here and there
    for k, (run, history) in enumerate(zip(result.runs, expected, strict=True)):
        assert str(run.history.losses) == str(history.losses)  # str: nan is the same as nan
        assert (run.history.status, run.history.verdict) == (history.status, history.verdict)
        assert np.isnan(result.losses[k, history.steps :]).all()
        assert len(run.history.seconds) == len(run.history.learning_rates) == history.steps
    assert result.verdicts == [Run({}, h).verdict for h in expected]


def test_all_lanes_of_a_lane_batch_may_diverge():
    result = sweep(line, LINE, [1e308] * 9, engine="native", steps=30)
    assert result.verdicts == ["diverged"] * 9
    assert result.best is None
    assert all(run.history.steps < 5 for run in result.runs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_default_mode_agrees_to_rounding_errors(name):
    # Not at rates at which the loss oscillates, so that any difference grows from step to step.
    settings = {"seeds": [1, 2], "steps": 50, "optimizer": OPTIMIZERS[name]}
    result = sweep(lesson_model, LESSON, RATES[:13], engine="native", **settings)
    expected = alone(lesson_model, LESSON, RATES[:13], **settings)
    table = np.array([history.losses for history in expected])
    np.testing.assert_allclose(result.losses, table, rtol=1e-9)
    assert result.verdicts == [Run({}, h).verdict for h in expected]
    assert result.runs[0].history.engine == "native"


def test_parameters_stay_those_before_the_step_that_diverged():
    made = sweeper_of_line()
    weights = np.linspace(-1.0, 1.0, 13)
    first = np.tile(weights, (3, 1))
    swept = made.run(first, np.array([0.01, 1e308, 0.02]), 3)
    assert swept.diverged.tolist() == [False, True, False]
    assert swept.steps.tolist() == [3, 1, 3]
    assert swept.weights[1].tolist() == weights.tolist()
    assert np.isfinite(swept.weights).all()
    assert (swept.gradients[[0, 2]] == 0.0).all()
    assert swept.gradients[1].any()


def sweeper_of_line(**settings):
    model = line(random.Random(0))
    numbers = model.parameters()
    traced = trace(lambda x: tw.losses.squared_error(model(x[:2]), x[2]), [1.0, 0.5, 0.0])
    assert list(traced.parameters) == list(numbers)
    samples = np.array([[*x, y] for x, y in LINE])
    return pipeline.lane_trainer(
        traced.tape, samples, update=lambda _: tw.SGD(0.1).update, **settings
    )


def test_rows_gathered_from_an_embedding_are_those_of_each_model():
    class Rows:
        def __init__(self, rng):
            self.table = tw.Embedding(5, 2, rng=rng)
            self.layer = line(rng)

        def parameters(self):
            return [*self.table.parameters(), *self.layer.parameters()]

        def __call__(self, x):
            return self.layer(self.table[x[0]])

    data = [([k], float(k)) for k in (0, 3, 1, 4, 2)]
    for mode in ("exact", "default"):
        settings = {"seeds": [1, 2, 3], "steps": 9, "optimizer": tw.Adam}
        result = sweep(Rows, data, RATES[8:12], mode=mode, engine="native", **settings)
        expected = [h.losses for h in alone(Rows, data, RATES[8:12], **settings)]
        np.testing.assert_allclose(result.losses, expected, rtol=0 if mode == "exact" else 1e-9)


# ---- threads, slices and blocks of samples change nothing ------------------------------------


def test_threads_and_slices_do_not_change_a_bit(monkeypatch):
    weights = np.random.default_rng(1).normal(size=(83, 13))
    rates = np.geomspace(1e-3, 50.0, 83)
    once = sweeper_of_line().run(weights, rates, 30)
    assert 0 < once.diverged.sum() < 83
    for seconds in (1e-9, 1e-4, 1.0):
        monkeypatch.setattr(lane_trainer, "_SLICE", seconds)
        again = sweeper_of_line().run(weights, rates, 30)
        for name in ("losses", "steps", "diverged", "weights", "gradients"):
            np.testing.assert_array_equal(getattr(once, name), getattr(again, name), name)
    for steps in (1, 3, 4, 5):  # fewer, or as many, as the first call makes
        fewer = sweeper_of_line().run(weights, rates, steps)
        np.testing.assert_array_equal(fewer.losses, once.losses[:, :steps])
    settings = {"seeds": [1, 2, 3], "steps": 20, "engine": "native"}
    results = [sweep(line, LINE, rates.tolist(), threads=t, **settings) for t in (1, 2, 3)]
    assert all(str(r.losses.tolist()) == str(results[0].losses.tolist()) for r in results)


@pytest.mark.parametrize("blocks", [1, 2, 3, 9])
def test_blocks_of_samples_give_the_same_to_rounding_errors(blocks):
    weights = np.random.default_rng(1).normal(size=(43, 13))
    rates = np.geomspace(1e-3, 0.05, 43)
    one, more = (
        sweeper_of_line(blocks=t, exact=exact).run(weights, rates, 30)
        for t, exact in ((1, True), (blocks, False))
    )
    np.testing.assert_allclose(one.losses, more.losses, rtol=1e-9)
    np.testing.assert_allclose(one.weights, more.weights, rtol=1e-9)


def test_large_programs_work_in_memory_instead_of_on_the_stack(monkeypatch):
    settings = {"engine": "native", "mode": "exact", "steps": 5}
    small = sweep(lesson_model, LESSON, RATES, **settings)
    by_default = sweep(lesson_model, LESSON, RATES, engine="native", steps=5)
    monkeypatch.setattr(training_spec, "STACK_LIMIT", 0)
    large = sweep(lesson_model, LESSON, RATES, threads=2, **settings)
    assert (small.losses == large.losses).all()
    again = sweep(lesson_model, LESSON, RATES, engine="native", steps=5)
    np.testing.assert_allclose(by_default.losses, again.losses, rtol=1e-12)


# ---- where native code is used ---------------------------------------------------------------


def test_auto_takes_native_code_for_long_sweeps_only():
    many_rates = sweep(lesson_model, LESSON, RATES, steps=50)
    assert many_rates.fallback_reason == ""
    assert many_rates.runs[3].history.engine == "native"
    few = sweep(lesson_model, LESSON, RATES[:2], steps=5)
    assert few.fallback_reason == "the sweep is too short to be worth compiling"
    eager = sweep(lesson_model, LESSON, RATES[:2], steps=5, engine="eager")
    assert eager.runs[0].history.engine == "eager"


def of_another_size(rng):
    return MLP(2, [rng.randrange(2, 20), 1], rng=rng)


def with_a_constant(rng):
    model, shift = line(rng), rng.random()

    class Shifted:
        parameters = model.parameters

        def __call__(self, x):
            return model(x) + shift

    return Shifted()


class Constants:
    """Weights that multiply drawn numbers, which are no parameters."""

    def __init__(self, rng, weight):
        self.drawn = [rng.random(), rng.random()]
        self.weights = [tw.Value(weight), tw.Value(weight)]

    def parameters(self):
        return self.weights

    def __call__(self, x):
        return sum(w * (c * a) for w, c, a in zip(self.weights, self.drawn, x, strict=True))


def with_weights_of_0(rng):
    return Constants(rng, 0.0)


def with_other_features(rng):
    return Constants(rng, 0.5)


class OwnRate(tw.SGD):
    def update(self, p, g, state, lr, step):
        return p - self.lr * g, state


def reads_its_rate(lr):
    return OwnRate(lr)


def of_a_class_each(lr):
    class Own(tw.SGD):
        def update(self, p, g, state, lr, step):
            return p - lr * g, state

    return Own(lr)


@dataclass
class Adagrad(tw.optim.Optimizer):
    initial: float = 0.1

    def initial_state(self):
        return (self.initial,)

    def update(self, p, g, state, lr, step):
        size = state[0] + g * g
        return p - tw.ops.div(lr * g, tw.ops.sqrt(size)), (size,)


class Named(tw.SGD):
    def __init__(self, lr, name):
        super().__init__(lr)
        self.name = name


@dataclass
class OfFloats(tw.optim.Optimizer):
    def update(self, p, g, state, lr, step):
        return p - lr * float(g), ()


def needs_floats(lr):
    return OfFloats(lr)


OUTSIDE = tw.Value(0.5)


def with_a_value_outside(rng):
    made = line(rng)
    return Wrapped(made, lambda x: made(x) * OUTSIDE)


class Wrapped:
    """The parameters of a model, and another function of its inputs."""

    def __init__(self, model, f):
        self.parameters, self.f = model.parameters, f

    def __call__(self, x):
        return self.f(x)


@pytest.mark.parametrize(
    ("make", "settings", "reason"),
    [
        (line, {"clip_norm": 1.0}, "clip_norm is set"),
        (line, {"callbacks": [lambda step: None]}, "callbacks is set"),
        (of_another_size, {}, r"have \d+ and \d+ parameters"),
        (with_a_constant, {}, "are not one program"),
        (with_weights_of_0, {}, "are not one program"),
        (line, {"batch_size": 2, "seed": None}, "seed=None shuffles by Python's own random"),
        (line, {"optimizer": reads_its_rate}, r"reads self\.lr"),
        (line, {"optimizer": lambda lr: Adagrad(lr, lr)}, r"initial_state\(\) of the optimisers"),
        (line, {"optimizer": of_a_class_each}, "of several kinds"),
        (line, {"optimizer": lambda lr: Named(lr, str(lr))}, "differ in name, which is not a num"),
        (line, {"optimizer": needs_floats}, "the optimiser cannot be compiled: "),
        (with_a_value_outside, {}, r"not parameters of the model; add them to parameters\(\)"),
    ],
)
def test_unsupported_sweeps_are_refused_or_trained_one_by_one(make, settings, reason, monkeypatch):
    asked = {"seeds": [1, 2, 3, 4], "steps": 3, **settings}
    with pytest.raises(NativeError, match=reason):
        sweep(make, LINE, [0.01, 0.03], engine="native", **asked)
    monkeypatch.setattr("talweg.explore.sweep.sweep.WORTH_COMPILING", 0)
    result = sweep(make, LINE, [0.01, 0.03], **asked)
    assert len(result.runs) == 8
    assert re.search(reason, result.fallback_reason)


def test_zeros_in_the_first_sample_do_not_hide_another_program():
    exclusive_or = [([0.0, 0.0], 0.0), ([0.0, 1.0], 1.0), ([1.0, 0.0], 1.0), ([1.0, 1.0], 0.0)]
    asked = {"seeds": [1, 2], "steps": 2}
    with pytest.raises(NativeError, match="are not one program: the loss of sample 1 is"):
        sweep(with_other_features, exclusive_or, [0.1], engine="native", **asked)


class ByName:
    """Another program for each name."""

    def __init__(self, rng):
        self.weights = [tw.Value(rng.random()), tw.Value(rng.random())]

    def parameters(self):
        return self.weights

    def __call__(self, x):
        name, number = x
        return self.weights["ab".index(name)] * number


def test_samples_of_several_programs_are_refused_also_one_at_a_time():
    named = [(("a", 1.0), 0.3), (("b", 2.0), 0.4)]
    with pytest.raises(NativeError, match=r"example 1 has another shape .* as an index; allow"):
        sweep(ByName, named, [0.1, 0.2], batch_size=1, steps=3, engine="native")


def test_weights_are_unchanged_after_a_model_was_compared():
    from talweg.training.model_program import ModelProgram

    def loss(model, sample):
        return tw.losses.squared_error(model(sample[0]), sample[1])

    first, other = line(random.Random(1)), line(random.Random(2))
    drawn = [p.data for p in other.parameters()]
    program = ModelProgram(first, LINE, loss, mean=False)
    assert program.weights_of(other) == drawn == [p.data for p in other.parameters()]


def test_invalid_settings_are_refused():
    for bad in ({"engine": "fast"}, {"mode": "quick"}, {"threads": 0}):
        with pytest.raises(ArgumentError, match=next(iter(bad))):
            sweep(line, LINE, [0.1], **bad)
    with pytest.raises(ArgumentError, match=r"momentum=0.9 is no setting of train.*into grid="):
        sweep(line, LINE, [0.1], momentum=0.9)
    with pytest.raises(ArgumentError, match=r"grid must be a dict such as .*, got \['momentum'\]"):
        sweep(line, LINE, [0.1], grid=["momentum"])
    for rate in ("a", tw.schedules.Cosine(0.1, steps=5)):
        with pytest.raises(ArgumentError, match="learning_rates must be numbers, got "):
            sweep(line, LINE, [0.1, rate])
    for seed in (2.5, None, "a"):
        with pytest.raises(ArgumentError, match="seeds must be integers, got "):
            sweep(line, LINE, [0.1], seeds=[1, seed])


def test_numpy_integers_are_settings():
    plain = {"steps": 5, "batch_size": 2, "seed": 3}
    of_numpy = {name: np.int64(x) for name, x in plain.items()}
    for engine in ("native", "eager"):
        found = sweep(line, LINE, [0.1], engine=engine, **of_numpy)
        assert (
            found.losses.tolist()
            == sweep(line, LINE, [0.1], engine=engine, **plain).losses.tolist()
        )
    assert (
        train(line(random.Random(1)), LINE, **of_numpy).losses
        == train(line(random.Random(1)), LINE, **plain).losses
    )


def test_empty_settings_do_not_prevent_native_code():
    result = sweep(
        line, LINE, [0.01, 0.03], engine="native", batch_size=None, callbacks=(), metrics={}
    )
    assert len(result.runs) == 2


# ---- the result ------------------------------------------------------------------------------


def test_runs_are_made_on_demand():
    result = sweep(lesson_model, LESSON, RATES, engine="native", steps=7)
    assert len(result.runs) == 19
    assert result.runs[-1].learning_rate == RATES[-1]
    assert result.runs[2] is result.runs[2]
    assert [run.learning_rate for run in result.runs[:2]] == RATES[:2]
    with pytest.raises(IndexError):
        result.runs[19]
    assert result.losses.shape == (19, 7)
    assert math.isfinite(result.best.best_loss)


def test_ctrl_c_keeps_the_runs_that_were_finished(monkeypatch):
    monkeypatch.setattr(lane_trainer, "_SLICE", 1e-9)  # one lane batch at a time

    class Bar:
        def __init__(self, *_):
            self.calls = 0

        def __enter__(self):
            return self.show

        def __exit__(self, *_):
            return None

        def show(self, finished, loss):
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr("talweg.explore.sweep.sweep.progress_bar", Bar)
    rates = list(np.geomspace(0.001, 0.1, 1000))
    result = sweep(lesson_model, LESSON, rates, engine="native", steps=6, threads=1)
    assert 0 < len(result.runs) < 1000
    assert result.interrupted
    assert result.losses.shape == (len(result.runs), 6)
    assert np.isfinite(result.losses).all()
    assert {run.history.status for run in result.runs} == {"finished"}


def test_ctrl_c_before_the_first_step_leaves_no_runs():
    def loss(p, t):
        raise KeyboardInterrupt

    result = sweep(line, LINE, [0.1, 0.2], engine="native", loss=loss, steps=6)
    assert len(result.runs) == 0
    assert result.losses.shape == (0, 6)
    assert result.best is None


@pytest.mark.parametrize("engine", ["auto", "native", "eager"])
def test_every_engine_refuses_a_sweep_without_samples(engine):
    with pytest.raises(tw.errors.DataError, match="data"):
        tw.sweep(lambda rng: tw.MLP(3, [1], rng=rng), [], [0.1], engine=engine)
