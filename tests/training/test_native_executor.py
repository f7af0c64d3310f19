"""train(engine="native") gives the results of the eager engine."""

import dataclasses
import itertools
import math
import random
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stages import same

import talweg as tw
from talweg import optim
from talweg.compiler.runtime import llvm, trainer
from talweg.errors import ArgumentError, NativeError
from talweg.schedules import Cosine, Exponential, Linear, OneCycle, StepDecay, Warmup
from talweg.training import history as history_module
from talweg.training import native_executor, objective

LESSON = [([2.0, 3.0, -1.0], 1.0), ([3.0, -1.0, 0.5], -1.0), ([0.5, 1.0, 1.0], -1.0),
          ([1.0, 1.0, -1.0], 1.0)]  # fmt: skip


def rows(count, inputs, outputs=0, seed=0):
    """Samples with random inputs; targets of -1 and 1, or lists of them."""
    rng = random.Random(seed)

    def sign():
        return rng.choice([-1.0, 1.0])

    return [
        ([rng.uniform(-1.0, 1.0) for _ in range(inputs)],
         [sign() for _ in range(outputs)] if outputs else sign())
        for _ in range(count)
    ]  # fmt: skip


def trained(engine, mode="default", data=LESSON, sizes=(4, 4, 1), activation="tanh", **settings):
    inputs = len(data[0][0])
    model = tw.MLP(inputs, list(sizes), activation=activation, rng=random.Random(42))
    history = tw.train(model, data, engine=engine, mode=mode, **settings)
    parameters = model.parameters()
    return history, [p.data for p in parameters], [p.grad for p in parameters]


def compare(**settings):
    """Train by all engines; exact has the bits of eager, default its digits."""
    history, numbers, gradient = trained("eager", **settings)
    exact, fast = trained("native", "exact", **settings), trained("native", **settings)
    assert same(exact[0].losses, history.losses)
    assert exact[1] == numbers
    assert same(exact[2], gradient)
    finite = [x for x in history.losses if math.isfinite(x)]  # the last may be inf or nan
    assert [x for x in fast[0].losses if math.isfinite(x)] == pytest.approx(finite, rel=1e-9)
    assert fast[1] == pytest.approx(numbers, rel=1e-9, abs=1e-11)
    for other, engine in ((exact[0], "native, exact"), (fast[0], "native")):
        assert other.engine == engine
        assert other.learning_rates == history.learning_rates
        assert len(other.seconds) == other.steps == history.steps
        assert other.seconds == sorted(other.seconds)
        assert other.status == history.status
        assert [step for step, _ in other.validation_losses] == [
            step for step, _ in history.validation_losses
        ]
        assert [x for _, x in other.validation_losses] == pytest.approx(
            [x for _, x in history.validation_losses]
        )
    assert exact[0].verdict == history.verdict
    return history


OPTIMIZERS = [
    tw.SGD(lr=0.05),
    tw.SGD(lr=0.01, momentum=0.9),
    tw.SGD(lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.01),
    tw.RMSprop(lr=0.01, weight_decay=0.01),
    tw.RMSprop(lr=0.01, epsilon=0.0),
    tw.Adam(lr=0.02),
    tw.Adam(lr=0.02, weight_decay=0.01),
    tw.AdamW(lr=0.02),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_every_optimiser(optimizer):
    compare(optimizer=optimizer, steps=20)


SCHEDULES = [
    Linear(0.1, 0.01, steps=10),
    Cosine(0.1, steps=10),
    Exponential(0.1, 0.9),
    StepDecay(0.1, 0.5, every=3),
    Warmup(4, Cosine(0.1, steps=10)),
    OneCycle(0.1, steps=12),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_every_schedule(schedule):
    compare(optimizer=tw.Adam(lr=schedule), steps=12)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "softplus", "sin", "linear"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_every_activation_and_reduction(activation, reduction):
    data = rows(9, 2)
    compare(data=data, activation=activation, reduction=reduction, sizes=[5, 1], steps=15)


@pytest.mark.parametrize(
    ("loss", "outputs", "target"),
    [
        (tw.losses.squared_error, 1, lambda t: t),
        (tw.losses.squared_error, 3, lambda t: [t, -t, 0.5]),
        (tw.losses.hinge, 1, lambda t: t),
        (tw.losses.hinge, 2, lambda t: [t, -t]),
        (tw.losses.binary_cross_entropy, 1, lambda t: (t + 1.0) / 2.0),
        (tw.losses.binary_cross_entropy, 1, lambda t: int(t > 0)),
        (tw.losses.cross_entropy, 3, lambda t: int(t) + 1),
        (tw.losses.cross_entropy, 2, lambda t: np.int64(t > 0)),
    ],
)
def test_every_loss(loss, outputs, target):
    data = [(x, target(t)) for x, t in rows(11, 3)]
    compare(data=data, loss=loss, sizes=[4, outputs], optimizer=tw.SGD(lr=0.02), steps=15)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9, 17, 40, 65])
def test_every_number_of_samples(count):
    compare(data=rows(count, 2), sizes=[3, 1], reduction="mean", steps=4)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 10, 16])
def test_batches_come_in_the_same_order(batch_size):
    compare(data=rows(10, 2), sizes=[3, 1], batch_size=batch_size, seed=5, steps=25)


def test_networks_large_enough_for_loops():
    compare(data=rows(20, 9, 5), sizes=[17, 13, 5], optimizer=tw.SGD(lr=0.002), steps=3)


@pytest.mark.parametrize("lr", [0.0, 1e3, 1e200])
def test_learning_rates_of_zero_and_near_overflow(lr):
    compare(optimizer=tw.SGD(lr=lr), activation="linear", steps=30)


def test_a_run_that_diverges_stops_at_the_same_step_with_the_same_verdict():
    history = compare(optimizer=tw.SGD(lr=0.5), activation="linear", steps=3000)
    assert history.status == "diverged"
    assert 3 < history.steps < 3000


def test_clipping():
    settings = {"clip_norm": 0.3, "steps": 10}
    eager, fast = trained("eager", **settings), trained("native", **settings)
    assert fast[1] == pytest.approx(eager[1], rel=1e-12)
    assert fast[2] == pytest.approx(eager[2], rel=1e-12)
    with pytest.raises(NativeError, match="clip_norm"):
        trained("native", "exact", **settings)
    huge = {"clip_norm": 1.0, "steps": 2, "data": [([1e160, 1e160, 1.0], 0.0)] * 2}
    eager = trained("eager", activation="linear", sizes=[1], **huge)
    fast = trained("native", activation="linear", sizes=[1], **huge)
    assert fast[0].status == eager[0].status
    assert fast[1] == pytest.approx(eager[1])


def test_validation_metrics_and_early_stopping():
    seen = []
    compare(
        validation=rows(6, 3),
        early_stopping=tw.EarlyStopping(patience=3),
        metrics={"count": lambda model, samples: float(len(list(samples)))},
        callbacks=[lambda step: seen.append((step.number, step.loss)) and None],
        steps=12,
    )
    assert len(seen) >= 3
    history = compare(validation=rows(6, 3), batch_size=3, seed=1, steps=12)
    assert len(history.validation_losses) > 3


def test_a_callback_can_stop_the_run():
    history, _, _ = trained("native", callbacks=[lambda step: step.number == 4], steps=50)
    assert (history.steps, history.status) == (4, "stopped early")


def test_ctrl_c_loses_no_step():
    model = tw.MLP(3, [4, 4, 1], rng=random.Random(42))

    def interrupt():
        while not model.parameters()[0].grad:
            time.sleep(0.01)
        import _thread

        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    history = tw.train(model, LESSON, engine="native", mode="exact", steps=10**9)
    thread.join()
    assert history.status == "interrupted"
    assert 0 < history.steps == len(history.learning_rates) == len(history.seconds)
    steps = min(history.steps, 400)
    again = trained("eager", steps=steps)
    assert history.losses[:steps] == again[0].losses
    if steps == history.steps:
        assert [p.data for p in model.parameters()] == again[1]


# ---- models and losses of one's own -------------------------------------------------------------


class Line(tw.Module):
    def __init__(self):
        self.slope, self.start, self.unused = tw.Value(0.3), tw.Value(-0.2), tw.Value(1.5)

    def named_parameters(self):
        yield "unused", self.unused
        yield "start", self.start
        yield "slope", self.slope

    def __call__(self, x):
        return self.slope * x[0] + self.start


def line_data():
    return [([x / 5.0], 2.0 * x / 5.0 - 1.0) for x in range(-5, 6)]


@pytest.mark.parametrize("mode", ["default", "exact"])
def test_parameters_in_any_order_unused_ones_and_values_from_outside(mode):
    scale = tw.Value(1.25)
    results = []
    for engine in ("eager", "native"):
        model = Line()
        tw.train(
            model,
            line_data(),
            loss=lambda p, t: (scale * p - t) ** 2,
            optimizer=tw.AdamW(lr=0.05, weight_decay=0.1),
            engine=engine,
            mode=mode,
            steps=40,
        )
        results.append([p.data for p in model.parameters()])
    assert results[1] == pytest.approx(results[0], rel=1e-12)
    assert results[1] == results[0] or mode == "default"
    assert scale.data == 1.25


def refused(words, model=None, data=None, **settings):
    data = data or line_data()
    with pytest.raises(NativeError, match=words):
        tw.train(model or Line(), data, engine="native", **settings)
    eager, auto = Line(), Line()
    settings.pop("mode", None)
    for own, engine in ((eager, "eager"), (auto, "auto")):
        history = tw.train(own, data * 2000, engine=engine, steps=1, **settings)
    assert history.engine == "eager"
    assert history.fallback_reason
    assert [p.data for p in auto.parameters()] == [p.data for p in eager.parameters()]


@pytest.mark.slow
def test_the_reason_is_given_if_a_program_cannot_be_compiled():
    calls = itertools.count(1)
    with pytest.raises(NativeError, match="changes the contents of `calls`"):
        tw.train(Line(), line_data(), loss=lambda p, t: (p - t) * next(calls), engine="native")
    refused(
        "the loss has more than 16 paths .* is used as a plain number, in test_native_executor",
        data=[([0.1 * k], 0.0) for k in range(30)],
        loss=lambda p, t: (p - t) ** 2 * math.sin(p.data),
    )


def test_targets_may_be_text():
    data = [([1.0], "a"), ([2.0], "b")]
    results = []
    for engine in ("eager", "native"):
        model = Line()
        history = tw.train(
            model, data, loss=lambda p, t: p * p if t == "a" else -p, engine=engine, steps=2
        )
        results.append((history.losses, [p.data for p in model.parameters()]))
    assert results[0] == results[1]


@dataclasses.dataclass
class Signs(optim.Optimizer):
    """An optimiser that branches on numbers."""

    def update(self, p, g, state, lr, step):
        return (p - lr if g > 0.0 else p + lr), ()


def test_an_optimiser_that_branches_is_refused():
    refused("the optimiser cannot be compiled", optimizer=Signs(lr=0.01))


@dataclasses.dataclass
class Stepwise(optim.Optimizer):
    """An optimiser that asks a number for what only a float has."""

    def update(self, p, g, state, lr, step):
        return p - lr * g * (1.0 if step.is_integer() else 0.0), ()


@pytest.mark.slow
def test_an_optimiser_that_needs_floats_is_refused():
    refused("the optimiser cannot be compiled", optimizer=Stepwise(lr=0.01))


@dataclasses.dataclass
class Signed(optim.Optimizer):
    """The same, with a choice in place of the branch."""

    state_names = ("steps",)

    def update(self, p, g, state, lr, step):
        return p - lr * tw.where(tw.ops.lt(0.0, g), 1.0, -1.0), (state[0] + 1.0,)


def test_an_optimiser_defined_by_the_user():
    compare(optimizer=Signed(lr=0.01), steps=10)


def test_dropout_drawn_in_python_is_refused():
    class Dropping(Line):
        def __call__(self, x):
            return super().__call__(x) * float(random.random() < 0.5)

    random.seed(3)
    with pytest.raises(NativeError, match="draws random numbers from random"):
        tw.train(Dropping(), line_data(), engine="native", steps=2)
    state = random.getstate()
    random.seed(3)
    assert random.getstate() == state  # the attempt drew nothing


def test_auto_is_native_for_runs_worth_compiling():
    assert trained("auto", steps=5)[0].engine == "eager"
    assert trained("auto", steps=5)[0].fallback_reason.startswith("the run is too short")
    assert trained("auto", steps=5000)[0].engine == "native"
    assert math.isfinite(trained("auto", steps=5000)[0].losses[-1])


def test_the_number_of_steps_per_call_does_not_change_the_result():
    whole = trained("native", steps=300)
    slow = trained("native", steps=300, callbacks=[lambda step: None])
    assert whole[0].losses == slow[0].losses
    assert whole[1:] == slow[1:]


def test_bad_modes():
    with pytest.raises(ArgumentError, match="mode must be"):
        trained("native", "quick", steps=1)
    assert native_executor.NativeExecutor.__doc__


def irregular(count):
    def loss(prediction, target):
        rng = random.Random(4)
        pool = [prediction, prediction * target]
        for _ in range(count):
            f = rng.choice([tw.sin, tw.cos, tw.tanh])
            pool.append(f(rng.choice(pool[-9:])) * rng.choice(pool[-5:]) + rng.random())
        return pool[-1] * pool[-1]

    return loss


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_loss_without_any_pattern_is_trained_too(reduction):
    compare(loss=irregular(900), data=rows(3, 2), sizes=[2, 1], reduction=reduction,
            optimizer=tw.Adam(lr=0.001), steps=3)  # fmt: skip


# ---- everything together ------------------------------------------------------------------------

RATES = [0.02, *SCHEDULES]
MAKERS = [
    lambda lr: tw.SGD(lr=lr),
    lambda lr: tw.SGD(lr=lr, momentum=0.8, weight_decay=0.01),
    lambda lr: tw.RMSprop(lr=lr, epsilon=1e-3),
    lambda lr: tw.Adam(lr=lr),
    lambda lr: tw.AdamW(lr=lr),
]
LOSSES = [
    (tw.losses.squared_error, 1, lambda t: t),
    (tw.losses.squared_error, 2, lambda t: [t, 0.5 * t]),
    (tw.losses.hinge, 1, lambda t: t),
    (tw.losses.binary_cross_entropy, 1, lambda t: t > 0.0),
    (tw.losses.cross_entropy, 3, lambda t: int(t) + 1),
]


@pytest.mark.slow
@settings(max_examples=20)
@given(
    lr=st.sampled_from(RATES),
    make=st.sampled_from(MAKERS),
    which=st.sampled_from(LOSSES),
    activation=st.sampled_from(["tanh", "sigmoid", "softplus", "sin", "linear"]),
    reduction=st.sampled_from(["sum", "mean"]),
    batch_size=st.sampled_from([None, 1, 3, 4, 20]),
    count=st.integers(1, 9),
    sizes=st.sampled_from([[], [1], [3], [4, 2]]),
)
def test_any_combination(lr, make, which, activation, reduction, batch_size, count, sizes):
    loss, outputs, target = which
    compare(
        data=[(x, target(t)) for x, t in rows(count, 2, seed=count)],
        sizes=[*sizes, outputs],
        optimizer=make(lr),
        loss=loss,
        activation=activation,
        reduction=reduction,
        batch_size=batch_size,
        seed=7,
        steps=8,
    )


@pytest.mark.parametrize(
    "data",
    [
        [(np.array([1.0, 2.0, 3.0]), np.float64(1.0)), (np.array([3.0, 1.0, 0.5]), -1)],
        [(np.array([1, 2, 3]), np.int64(1)), (np.array([3, 1, 0]), np.int64(-1))],
        [(np.array([1, 2, 3], np.float32) / 3, np.float32(0.1))] * 3,
        [([1, 2.5, True], 1), ([0.5, 1, False], False)],
        [((1, 2, 3), 1), ((4, 5, 6), -1)],
    ],
)
def test_numbers_of_every_kind(data):
    compare(data=data, steps=10)


def test_changes_by_a_callback_apply_to_the_next_step():
    def change(step):
        step.model.parameters()[2].data *= 0.9
        optimizer.lr = 0.01 / step.number

    results = []
    for engine in ("eager", "native"):
        optimizer = tw.SGD(lr=0.05)
        history, numbers, gradient = trained(
            engine, "exact", optimizer=optimizer, callbacks=[change], steps=15
        )
        results.append((history.losses, history.learning_rates, numbers, gradient))
    assert results[0] == results[1]


def test_a_value_from_outside_is_read_again_at_each_step():
    results = []
    for engine in ("eager", "native"):
        scale, model = tw.Value(1.0), Line()
        history = tw.train(
            model,
            line_data(),
            loss=lambda p, t, scale=scale: (scale * p - t) ** 2,
            callbacks=[lambda step, scale=scale: setattr(scale, "data", 1.0 + 0.1 * step.number)],
            engine=engine,
            mode="exact",
            optimizer=tw.SGD(lr=0.005),
            steps=9,
        )
        results.append((history.losses, [p.data for p in model.parameters()]))
    assert results[0] == results[1]


def test_a_control_c_at_any_line_leaves_whole_steps():
    """An interrupt before each line that a native run executes between steps."""
    seen = []
    trained("eager", steps=7, callbacks=[lambda step: seen.append(step.model.state_dict())])
    start = tw.MLP(3, [4, 4, 1], rng=random.Random(42)).state_dict()
    files = {native_executor.__file__, history_module.__file__, trainer.__file__}
    files.add(objective.__file__)
    names = {"take_steps", "_take_stretch", "_prepared", "load", "run", "losses", "_record"}
    names |= {"add", "assign", "_keep_pace", "_rates"}

    def interrupted_at(count):
        lines = 0

        def tracer(frame, event, _):
            nonlocal lines
            if frame.f_code.co_filename not in files or frame.f_code.co_name not in names:
                return None
            lines += event == "line"
            if lines == count and event == "line":
                raise KeyboardInterrupt
            return tracer

        model = tw.MLP(3, [4, 4, 1], rng=random.Random(42))
        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            history = tw.train(model, LESSON, engine="native", mode="exact", steps=7)
        finally:
            sys.settrace(before)
        return history, model.state_dict(), lines

    *_, lines = interrupted_at(-1)
    assert lines > 100
    for count in range(1, lines + 1, 7):
        history, numbers, _ = interrupted_at(count)
        assert history.status == "interrupted"
        assert len(history.losses) == len(history.learning_rates) == len(history.seconds)
        assert history.seconds == sorted(history.seconds)
        assert numbers == [start, *seen][history.steps]


# ---- optimisers and models that have their own ways ---------------------------------------------


@dataclasses.dataclass
class Fading(optim.Optimizer):
    """An optimiser whose state does not start at 0."""

    state_names = ("strength", "count")

    def initial_state(self):
        return (1.0, 5.0)

    def update(self, p, g, state, lr, step):
        strength, count = state
        return p - lr * strength * g, (0.9 * strength, count + 1.0)


def test_the_state_of_an_optimiser_starts_at_initial_state():
    compare(optimizer=Fading(lr=0.05), steps=15)
    compare(optimizer=Fading(lr=0.05), data=rows(9, 2), batch_size=2, seed=1, steps=15)


@dataclasses.dataclass
class FirstStep(optim.Optimizer):
    def update(self, p, g, state, lr, step):
        return p - (lr if step == 1.0 else 0.5 * lr) * g, ()


@dataclasses.dataclass
class NotZero(optim.Optimizer):
    def update(self, p, g, state, lr, step):
        return (p - lr * g if g != 0.0 else p), ()


@dataclasses.dataclass
class Counting(optim.Optimizer):
    count: int = 0

    def update(self, p, g, state, lr, step):
        self.count += 1
        return p - lr * g * (1.0 / self.count), ()


@dataclasses.dataclass
class Drawing(optim.Optimizer):
    def update(self, p, g, state, lr, step):
        return p - lr * g * random.random(), ()


@dataclasses.dataclass
class MoreState(optim.Optimizer):
    def update(self, p, g, state, lr, step):
        return p - lr * g, (g, g)


@dataclasses.dataclass
class InPython(optim.Optimizer):
    def update(self, p, g, state, lr, step):
        return p - lr * math.copysign(1.0, g), ()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (FirstStep, "compares a number"),
        (NotZero, "compares a number"),
        (Counting, "Counting gives another result when update"),
        (Drawing, "Drawing gives another result when update"),
        (MoreState, "a state of 2 numbers, but initial_state.. has 0"),
        (InPython, "the optimiser cannot be compiled"),
    ],
)
def test_optimisers_that_would_be_frozen_are_refused(kind, words):
    optimizer = kind(lr=0.01)
    with pytest.raises(NativeError, match=words) as caught:
        trained("native", optimizer=optimizer, steps=2)
    assert "\n" not in str(caught.value)
    assert optimizer == kind(lr=0.01)  # the attempt did not count
    random.seed(1)
    auto = trained("auto", optimizer=kind(lr=0.01), steps=1000, callbacks=[lambda s: s.number > 5])
    random.seed(1)
    eager = trained("eager", optimizer=kind(lr=0.01), steps=6)
    assert words[:12] in auto[0].fallback_reason
    assert auto[1:] == eager[1:]


class Rows:
    """A model that is a list of numbers; `f` says what it does with them."""

    def __init__(self, f, size=5):
        self.f = f
        self.w = [tw.Value(0.1 * k + 0.1) for k in range(size)]

    def parameters(self):
        return self.w

    def __call__(self, x):
        return self.f(self.w, x)


@pytest.mark.slow
@pytest.mark.parametrize(
    "f",
    [
        lambda w, x: w[x[0]] * w[1],
        lambda w, x: w[int(x[0])] * w[1],
        lambda w, x: sum(w[k] * 0.5 for k in range(x[0])) + w[4],
        lambda w, x: w[0] * {0: 1.0, 1: 2.0, 2: 0.5, 3: 0.25, 4: 0.0}[x[0]],
        lambda w, x: w[0] * (x[0] // 2) + w[1] * (x[0] % 2),
        lambda w, x: w[0] * (1.0 if x[0] == 3 else 2.0),
        lambda w, x: w[0] * (str(x[0]) == "3") + w[1],
        lambda w, x: w[0] * math.sqrt(x[0]) + w[1],
        lambda w, x: w[0] * min(x) + w[1],
    ],
)
def test_a_model_that_uses_integers_as_python_ints(f):
    data = [([k % 5, 2], 0.1 * k) for k in range(12)]
    results = []
    for engine in ("eager", "auto"):
        model = Rows(f)
        history = tw.train(
            model, data * 200, engine=engine, steps=40, batch_size=2_000, seed=1,
            optimizer=tw.SGD(lr=1e-6),
        )  # fmt: skip
        results.append([*history.losses, *[p.data for p in model.w]])
    assert results[1] == pytest.approx(results[0], rel=1e-11)
    assert history.engine == "native"


def test_a_parameter_that_is_listed_twice_is_refused():
    model = Rows(lambda w, x: w[0] * x[0] + w[1])
    model.w.append(model.w[0])
    with pytest.raises(NativeError, match="the same Value twice"):
        tw.train(model, rows(4, 2), engine="native", steps=1)


def test_losses_that_are_a_parameter_or_a_constant():
    for f in (lambda w, x: w[2], lambda w, x: tw.Value(0.5), lambda w, x: 0.0 * w[0] + x[0]):
        results = []
        for engine in ("eager", "native"):
            model = Rows(f)
            history = tw.train(
                model, rows(4, 2), loss=lambda p, t: p, engine=engine, mode="exact", steps=5
            )
            results.append((history.losses, [p.data for p in model.w], [p.grad for p in model.w]))
        assert results[0] == results[1]


@pytest.mark.slow
def test_samples_of_several_lengths():
    data = [([1.0, 2.0], 1.0), ([0.5], 0.5), ([0.1, 0.2, 0.3], -1.0)]

    def run(engine, data=data, **given):
        model = Rows(lambda w, x: w[0] * sum(x) + w[1])
        history = tw.train(
            model, data, engine=engine, mode="exact", optimizer=tw.SGD(lr=1e-5), seed=1, **given
        )
        return history, [p.data for p in model.w]

    eager, native = (run(engine, batch_size=1, steps=30) for engine in ("eager", "native"))
    assert native[0].engine == "native, exact"
    assert native[0].losses == eager[0].losses
    assert native[1] == eager[1]
    history, numbers = run("native", data * 200, steps=6)  # a batch has samples of all lengths
    assert history.engine == "native, exact"
    assert numbers == run("eager", data * 200, steps=6)[1]


def test_samples_of_many_shapes_are_trained_eagerly():
    data = [([1.0] * n, 0.0) for n in range(1, 30)]
    with pytest.raises(NativeError, match="the examples have more than 16 shapes"):
        tw.train(Rows(lambda w, x: w[0] * sum(x)), data, engine="native", steps=1)


@pytest.mark.parametrize("mode", ["exact", "default"])
def test_long_text_compiled_with_few_passes_computes_the_same(mode, monkeypatch):
    plain = trained("native", mode, steps=40)
    chosen = []
    optimise = llvm._optimise

    def noted(ir, to, machine, level, tuning):
        chosen.append(tuning)
        return optimise(ir, to, machine, level, tuning)

    monkeypatch.setattr(llvm, "_optimise", noted)
    monkeypatch.setattr(llvm, "_LONG_TEXT", 10)
    monkeypatch.setenv("TALWEG_CACHE_DIR", "")
    quick = trained("native", mode, steps=40)
    assert chosen == [llvm.QUICK]
    if mode == "exact":
        assert quick[0].losses == plain[0].losses
        assert quick[1:] == plain[1:]
    assert quick[0].losses == pytest.approx(plain[0].losses, rel=1e-12)


@pytest.mark.parametrize("examples", [[[1.0, 2.0], [3.0, 0.5]], [[1.0, 2.0, 3.0]]])
def test_examples_of_the_first_shape_and_of_another_are_evaluated(examples):
    """Those of another shape are evaluated by the eager engine."""
    w = tw.Value(0.5)

    def loss(numbers):
        return sum((w * a - 1.0) ** 2 for a in numbers)

    executor = native_executor.NativeExecutor(
        objective.Objective([w], loss, [[1.0, 2.0]], mean=False),
        tw.SGD(0.1),
        mode="default",
        batch_size=None,
        as_floats=True,
    )
    expected = sum((0.5 * a - 1.0) ** 2 for numbers in examples for a in numbers)
    assert executor.evaluate(examples) == pytest.approx(expected, rel=1e-14)
