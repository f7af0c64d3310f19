"""train(engine="native") is the training that the eager engine makes."""

import dataclasses
import math
import random
import threading
import time

import numpy as np
import pytest

import talweg as tw
from stages import same
from talweg import native_run, optim
from talweg.errors import ArgumentError, NativeError
from talweg.schedules import Cosine, Exponential, Linear, OneCycle, StepDecay, Warmup

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
def test_rates_at_which_nothing_or_everything_happens(lr):
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
    assert history.why_eager
    assert [p.data for p in auto.parameters()] == [p.data for p in eager.parameters()]


def test_what_cannot_be_compiled_says_why():
    refused("branches on", loss=lambda p, t: p * p if p > t else p)
    refused("reading? \\.data|reads .data", loss=lambda p, t: (p - t) ** 2 * (1.0 + p.data))
    refused("depends on numbers", loss=lambda p, t: (p - t) * (1.0 if t == -1.0 else 2.0))
    refused("example 2 has another shape", data=[([1.0], 0.0), ([2.0], 0.0), ([1.0, 2.0], 0.0)])


def test_targets_that_are_no_numbers_are_refused():
    data = [([1.0], "a"), ([2.0], "b")]
    with pytest.raises(NativeError, match="example 1 has another shape"):
        tw.train(Line(), data, loss=lambda p, t: p * p, engine="native", steps=2)


@dataclasses.dataclass
class Signs(optim.Optimizer):
    """An optimiser that branches on numbers."""

    def update(self, p, g, state, lr, step):
        return (p - lr if g > 0.0 else p + lr), ()


def test_an_optimiser_that_branches_is_refused():
    refused("the optimiser cannot be compiled", optimizer=Signs(lr=0.01))


@dataclasses.dataclass
class Signed(optim.Optimizer):
    """The same, with a choice in place of the branch."""

    remembers = ("steps",)

    def update(self, p, g, state, lr, step):
        return p - lr * tw.where(tw.ops.lt(0.0, g), 1.0, -1.0), (state[0] + 1.0,)


def test_an_optimiser_of_ones_own():
    compare(optimizer=Signed(lr=0.01), steps=10)


def test_a_dropout_that_is_drawn_in_python_is_noticed():
    class Dropping(Line):
        def __call__(self, x):
            return super().__call__(x) * float(random.random() < 0.5)

    random.seed(3)
    with pytest.raises(NativeError, match="depends on numbers"):
        tw.train(Dropping(), line_data(), engine="native", steps=2)
    state = random.getstate()
    random.seed(3)
    assert random.getstate() == state  # the attempt drew nothing


def test_auto_is_native_where_it_pays():
    assert trained("auto", steps=5)[0].engine == "eager"
    assert trained("auto", steps=5)[0].why_eager.startswith("the run is too short")
    assert trained("auto", steps=5000)[0].engine == "native"
    assert math.isfinite(trained("auto", steps=5000)[0].losses[-1])


def test_slices_grow_but_do_not_matter():
    whole = trained("native", steps=300)
    slow = trained("native", steps=300, callbacks=[lambda step: None])
    assert whole[0].losses == slow[0].losses
    assert whole[1:] == slow[1:]


def test_bad_modes():
    with pytest.raises(ArgumentError, match="mode must be"):
        trained("native", "quick", steps=1)
    assert native_run.NativeRun.__doc__


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
