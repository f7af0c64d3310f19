"""Training: the lesson's loop to the last bit, batches, stopping, divergence, Ctrl-C, misuse."""

import contextlib
import math
import os
import random
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import talweg as tw
from talweg import MLP, SGD, EarlyStopping, Value, train
from talweg.errors import ArgumentError, DataError, NumberError, ShapeError, TalwegError
from talweg.training import eager_executor, objective
from talweg.training import history as history_module

LESSON = list(tw.lesson_data())
SINES = [([x / 10.0], math.sin(x / 10.0)) for x in range(-10, 11)]


def lesson_model(seed=42):
    return MLP(3, [4, 4, 1], rng=random.Random(seed))


def line(w=0.0, b=0.0):
    model = MLP(1, [1], output="linear", scale=0.0)
    model.load_state_dict({"layers.0.neurons.0.w.0": w, "layers.0.neurons.0.b": b})
    return model


def numbers(model):
    return [p.data for p in model.parameters()]


# ---- the lesson ------------------------------------------------------------------------------


def lesson_loop(model, reduction, steps=50, lr=0.05):
    """The lesson's own loop: one graph of the whole batch."""
    losses = []
    for _ in range(steps):
        predictions = [model(x) for x, _ in LESSON]
        total = sum((p - t) ** 2 for p, (_, t) in zip(predictions, LESSON, strict=True))
        loss = total * (1.0 / len(LESSON)) if reduction == "mean" else total
        losses.append(loss.data)
        for p in model.parameters():
            p.grad = 0.0
        loss.backward()
        for p in model.parameters():
            p.data -= lr * p.grad
    return losses


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_lessons_loop_to_the_last_bit(reduction, monkeypatch):
    # Since Python 3.12 `sum` corrects rounding on floats, but not on Values: not to be used.
    monkeypatch.setattr(eager_executor, "sum", math.fsum, raising=False)
    by_hand, trained = lesson_model(), lesson_model()
    losses = lesson_loop(by_hand, reduction)
    history = train(trained, tw.lesson_data(), reduction=reduction, validation=LESSON)
    assert history.losses == losses
    assert numbers(trained) == numbers(by_hand)
    assert [loss for _, loss in history.validation_losses[:-1]] == losses


def test_the_lessons_numbers():
    random.seed(42)
    model = MLP(3, [4, 4, 1])
    start = time.perf_counter()
    history = train(model, tw.lesson_data(), steps=50)
    elapsed = time.perf_counter() - start
    shown = [f"{history.losses[i]:.6f}" for i in (0, 9, 49)]
    assert shown == ["5.278844", "0.488259", "0.028227"]
    predictions = [f"{model(x).data:.4f}" for x, _ in LESSON]
    assert predictions == ["0.9461", "-0.9023", "-0.9274", "0.9014"]
    assert (history.status, history.steps) == ("finished", 50)
    assert history.verdict == "finished 50 steps; the loss went from 5.27884 to 0.0282272"
    assert history.learning_rates == [0.05] * 50
    assert history.seconds == sorted(history.seconds)
    assert 0.0 < history.seconds[0] < history.seconds[-1] < elapsed


# ---- batches ---------------------------------------------------------------------------------


def batches_seen(samples, batch_size, steps, seed):
    """The samples of each step, from the gradient of a model with one parameter a sample."""
    model = MLP(len(samples), [1], output="linear", scale=0.0)
    size = range(len(samples))
    data = [([float(i == j) for i in size], samples[j]) for j in size]
    seen = []

    def note(step):
        seen.append([i for i, w in enumerate(model.layers[0].neurons[0].w) if w.grad != 0.0])

    train(
        model,
        data,
        optimizer=SGD(0.0),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        callbacks=[note],
    )
    return seen


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 64])
def test_every_sample_comes_once_a_pass(batch_size):
    samples = [1.0 + i for i in range(10)]
    a_pass = -(-10 // batch_size)
    seen = batches_seen(samples, batch_size, 3 * a_pass, seed=1)
    for k in range(3):
        part = seen[k * a_pass : (k + 1) * a_pass]
        assert sorted(i for batch in part for i in batch) == list(range(10))
        assert [len(batch) for batch in part[:-1]] == [batch_size] * (a_pass - 1)
    if a_pass > 1:
        assert seen[:a_pass] != seen[a_pass : 2 * a_pass]  # shuffled anew


def test_a_batch_is_reduced_over_its_own_size():
    model = line()
    data = [([0.0], 1.0), ([0.0], 2.0), ([0.0], 3.0)]
    history = train(
        model, data, reduction="mean", optimizer=SGD(0.0), batch_size=2, steps=2, seed=0
    )
    order = [0, 1, 2]
    random.Random(0).shuffle(order)
    t = [data[i][1] for i in order]
    assert history.losses == [(t[0] ** 2 + t[1] ** 2) / 2, t[2] ** 2]


def test_seeds():
    def losses(seed):
        model = MLP(1, [3, 1], rng=random.Random(0))
        return train(model, SINES, batch_size=4, steps=12, seed=seed).losses

    state = random.getstate()
    assert losses(3) == losses(3)
    assert losses(3) != losses(4)
    assert random.getstate() == state
    random.seed(9)
    first = losses(None)  # no seed: Python's own random
    assert random.getstate() != state
    random.seed(9)
    assert losses(None) == first


SCRIPT = """
import random
import talweg as tw
padding = [object() for _ in range(random.randrange(5000))]
model = tw.MLP(3, [4, 1], rng=random.Random(1))
history = tw.train(model, tw.lesson_data(), optimizer=tw.Adam(lr=0.05), steps=12, batch_size=3,
                   seed=5, clip_norm=1.0, validation=tw.lesson_data(), reduction="mean")
print([x.hex() for x in history.losses], history.validation_losses, model.state_dict())
"""


def test_two_processes_agree_to_the_last_bit():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 500


# ---- what is looked at, and stopping ---------------------------------------------------------


def test_validation_and_metrics_are_evaluated_before_each_pass_and_after_the_last_update():
    model = line()
    seen = []

    def weight(m, samples):
        seen.append(list(samples))
        return m.parameters()[0].data

    weights = [0.0]
    history = train(
        model,
        [([1.0], 1.0)] * 6,
        optimizer=SGD(0.01),
        batch_size=2,
        steps=5,
        seed=0,
        validation=[([2.0], 0.0), ([1.0], 1.0)],
        metrics={"weight": weight},
        callbacks=[lambda step: weights.append(step.model.parameters()[0].data) or False],
    )
    looked_at = {1: weights[0], 4: weights[3], 6: weights[5]}
    assert history.metrics == {"weight": list(looked_at.items())}
    losses = dict(history.validation_losses)
    assert list(losses) == list(looked_at)
    expected = [(3.0 * w) ** 2 + (2.0 * w - 1.0) ** 2 for w in looked_at.values()]  # b is w here
    assert list(losses.values()) == pytest.approx(expected)
    assert seen[0] == [([2.0], 0.0), ([1.0], 1.0)]
    alone = train(line(), [([1.0], 1.0)], steps=2, metrics={"n": lambda m, s: len(s)})
    assert alone.metrics == {"n": [(1, 1), (2, 1), (3, 1)]}  # the training data without validation
    assert alone.validation_losses == []


def test_validation_changes_nothing_in_training():
    plain, watched = lesson_model(), lesson_model()
    train(plain, LESSON, steps=10, batch_size=2, seed=0)
    train(watched, LESSON, steps=10, batch_size=2, seed=0, validation=LESSON, early_stopping=None)
    assert numbers(plain) == numbers(watched)


# The target of training is 1 and that of validation 0.3, so the validation loss
# (2 w - 0.3)**2 falls at first and rises when w passes 0.15 on its way to 0.5.
OVERFIT = {"optimizer": SGD(0.02), "validation": [([1.0], 0.3)]}


def validation_loss(model):
    w, b = numbers(model)
    return (w + b - 0.3) ** 2


def test_early_stopping_keeps_the_weights_of_the_lowest_validation_loss():
    path = []
    model = line()
    history = train(
        model,
        [([1.0], 1.0)],
        steps=100,
        early_stopping=EarlyStopping(patience=3),
        callbacks=[lambda step: path.append(numbers(model)) and False],
        **OVERFIT,
    )
    losses = [loss for _, loss in history.validation_losses]
    best = losses.index(min(losses))
    assert 0 < best == len(losses) - 4  # three trials without a better one, then the end
    assert numbers(model) == path[best - 1]
    assert validation_loss(model) == min(losses)
    assert history.best_step == best + 1
    assert history.status == "stopped early"
    assert history.steps == len(losses) - 1
    assert history.verdict.startswith(
        f"stopped before step {len(losses)}: the last 3 evaluations did not improve the loss; "
        f"the model has the weights with the lowest loss evaluated, {min(losses):.6g} before step "
        f"{best + 1}"
    )


def test_early_stopping_without_validation_data_uses_the_training_loss():
    model = line()
    history = train(
        model, [([1.0], 1.0)], optimizer=SGD(0.6), steps=50, early_stopping=EarlyStopping(2)
    )  # each step overshoots: the error grows by 1.4
    assert (history.status, history.steps) == ("stopped early", 2)
    assert numbers(model) == [0.0, 0.0]


def test_an_equal_loss_is_not_a_better_one():
    settings = {"optimizer": SGD(0.0), "steps": 50, "early_stopping": EarlyStopping()}
    history = train(line(), [([1.0], 1.0)], **settings)
    assert (history.status, history.steps) == ("stopped early", 10)  # patience is 10
    assert "before step 1" in history.verdict


def test_min_delta_counts_only_falls_that_are_larger():
    settings = {"optimizer": SGD(0.01), "steps": 60}
    runs = [
        train(line(), [([1.0], 1.0)], early_stopping=EarlyStopping(4, delta), **settings)
        for delta in (0.0, 0.5, 10.0)
    ]
    assert runs[0].status == "finished"
    assert runs[1].status == runs[2].status == "stopped early"
    assert runs[2].steps == 4
    # from a loss of 1 (error 0.96**k): the first fall by over 0.5 is at k = 9, but 4 come before
    assert runs[1].steps == 4


@pytest.mark.parametrize("settings", [{}, {"batch_size": 2, "seed": 0}])
def test_a_run_that_stops_within_a_pass_keeps_its_last_weights(settings):
    # All weights but the first are better than those before them: none may be thrown away.
    plain, stopped = line(), line()
    data = [([1.0], 1.0)] * 10
    for model, extra in ((plain, {}), (stopped, {"early_stopping": EarlyStopping()})):
        history = train(model, data, optimizer=SGD(0.001), steps=3, **settings, **extra)
        assert history.status == "finished"
    assert numbers(stopped) == numbers(plain) != [0.0, 0.0]
    assert "before step 4" in history.verdict


def test_early_stopping_does_not_stop_a_run_whose_validation_loss_is_never_finite():
    history = train(
        line(),
        [([1.0], 1.0)],
        validation=[([1.0], math.nan)],
        steps=6,
        early_stopping=EarlyStopping(2),
    )
    assert (history.status, history.steps) == ("finished", 6)
    assert "lowest" not in history.verdict


def test_callbacks_receive_each_step_and_can_stop_the_run():
    told = []

    def stop_at_3(step):
        told.append((step.number, step.loss, step.history.steps, numbers(step.model)))
        return step.number == 3

    others = []
    model = lesson_model()
    history = train(model, LESSON, callbacks=[stop_at_3, lambda step: others.append(step.number)])
    assert [number for number, *_ in told] == others == [1, 2, 3]
    assert [loss for _, loss, *_ in told] == history.losses
    assert [steps for *_, steps, _ in told] == [1, 2, 3]
    assert told[-1][-1] == numbers(model)
    assert (history.status, history.verdict) == (
        "stopped early",
        "a callback stopped the run at step 3",
    )


@pytest.mark.parametrize("clip_norm", [0.5, 3.0, 1e6])
def test_clip_norm_shortens_the_gradient_and_keeps_its_direction(clip_norm):
    model, free = lesson_model(), lesson_model()
    before = numbers(model)
    train(model, LESSON, optimizer=SGD(1.0), steps=1, clip_norm=clip_norm)
    train(free, LESSON, optimizer=SGD(1.0), steps=1)
    clipped = [a - b for a, b in zip(before, numbers(model), strict=True)]
    whole = [a - b for a, b in zip(before, numbers(free), strict=True)]
    length = math.hypot(*whole)
    assert length > 3.0
    scale = min(1.0, clip_norm / length)
    assert clipped == pytest.approx([g * scale for g in whole], rel=1e-9, abs=1e-12)


def test_no_steps():
    model = lesson_model()
    before = numbers(model)
    history = train(model, LESSON, steps=0, validation=LESSON)
    assert (history.status, history.verdict) == ("finished", "finished 0 steps; no step was made")
    assert (history.losses, numbers(model)) == ([], before)
    assert [step for step, _ in history.validation_losses] == [1]


# ---- divergence ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "step", "words"),
    [
        ({"optimizer": SGD(1e200)}, 2, "the loss is inf after 1, the largest gradient "),
        (
            {"optimizer": SGD(1e308)},
            1,
            "the loss is 1, the largest gradient -2 (layers.0.neurons."
            "0.w.0), and the update is not finite",
        ),
        ({"optimizer": SGD(lr=lambda step: math.nan)}, 1, "the update is not finite"),
        ({"loss": lambda p, t: (p - 2.0).log()}, 1, "the loss is nan"),
        ({"loss": lambda p, t: p.log()}, 1, "the loss is -inf"),
        ({"loss": lambda p, t: p.sqrt()}, 1, "the loss is 0, the largest gradient inf (layers.0"),
    ],
)
def test_a_run_that_diverges_ends_with_a_verdict(settings, step, words):
    model = line()
    history = train(model, [([1.0], 1.0)], steps=10, **settings)
    assert history.status == "diverged"
    assert history.steps == step == len(history.learning_rates) == len(history.seconds)
    assert history.verdict.startswith(f"diverged at step {step}: ")
    assert words in history.verdict
    assert ("not finite" in history.verdict) == ("not finite" in words)
    assert history.verdict.endswith("; try a smaller learning rate or clip_norm")
    assert all(map(math.isfinite, numbers(model)))


def test_the_largest_gradient_is_named():
    model = MLP(2, [1], output="linear", scale=0.0)

    def loss(p, t):
        return p * math.inf

    history = train(model, [([0.0, 2.0], 1.0)], loss=loss)
    assert "nan (layers.0.neurons.0.w.0)" in history.verdict  # 0 * inf
    model = MLP(2, [1], output="linear", scale=0.0)
    history = train(model, [([3.0, -5.0], 1.0)], loss=lambda p, t: p * 1e308 * 10.0 + math.nan)
    assert "inf (layers.0.neurons.0.w.0)" in history.verdict
    model = MLP(2, [1], output="linear", scale=0.0)
    history = train(model, [([3.0, -5.0], 1.0)], loss=lambda p, t: p + math.nan)
    assert "the largest gradient -5 (layers.0.neurons.0.w.1)" in history.verdict


def test_divergence_with_early_stopping_restores_the_best_weights():
    rates = [0.1, 0.1, 1e308]
    model = line()
    history = train(
        model,
        [([1.0], 1.0)],
        optimizer=SGD(lr=lambda step: rates[min(step, 2)]),
        steps=9,
        early_stopping=EarlyStopping(),
    )
    assert history.status == "diverged"
    assert numbers(model) == pytest.approx([0.32, 0.32])


class Bare:
    """A model with parameters() alone."""

    def __init__(self):
        self.w = Value(1.0)

    def parameters(self):
        return [self.w]

    def __call__(self, x):
        return self.w * x[0]


def test_a_model_without_names():
    history = train(Bare(), [([1.0], 3.0)], optimizer=SGD(0.25), steps=2)
    assert history.losses == [4.0, 1.0]
    history = train(Bare(), [([1.0], 3.0)], loss=lambda p, t: p * math.nan)
    assert "the largest gradient nan (parameter 0)" in history.verdict


# ---- Ctrl-C ----------------------------------------------------------------------------------


def consistent(history):
    assert len(history.losses) == len(history.learning_rates) == len(history.seconds)
    assert (history.status == "interrupted") == history.verdict.startswith("interrupted after")


def test_ctrl_c_in_a_callback_keeps_the_history():
    def interrupt(step):
        if step.number == 4:
            raise KeyboardInterrupt

    model, same = lesson_model(), lesson_model()
    history = train(model, LESSON, callbacks=[interrupt])
    assert history.verdict == "interrupted after 4 of 50 steps"
    consistent(history)
    assert history.losses == train(same, LESSON, steps=4).losses
    assert numbers(model) == numbers(same)


def test_ctrl_c_in_a_loss_keeps_the_weights_of_the_step_before():
    calls = iter(range(100))

    def loss(p, t):
        if next(calls) == 4 * 3 + 2:  # in the fourth step
            raise KeyboardInterrupt
        return (p - t) ** 2

    model, same = lesson_model(), lesson_model()
    history = train(model, LESSON, loss=loss)
    train(same, LESSON, steps=3)
    assert history.verdict == "interrupted after 3 of 50 steps"
    consistent(history)
    assert numbers(model) == numbers(same)


def interrupted_at(count):
    """Train with a Ctrl-C at the count-th line of a step of the eager executor."""
    files = {eager_executor.__file__, history_module.__file__, objective.__file__}
    model = line()
    lines = 0

    def tracer(frame, event, _):
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        inside = frame.f_code.co_name in {"step", "add", "assign", "loss_and_gradient"}
        if inside and event == "line":
            lines += 1
            if lines == count:
                raise KeyboardInterrupt
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        history = train(model, [([1.0], 1.0), ([1.0], 1.0)], optimizer=SGD(0.05), steps=2)
    finally:
        sys.settrace(before)
    return model, history, lines


def test_ctrl_c_at_any_line_leaves_a_whole_step_of_weights_and_equal_lists():
    w = [0.0, 0.2, 0.32]  # the weight and the bias before the first, second and third step
    count, seen = 1, set()
    while True:
        model, history, lines = interrupted_at(count)
        if lines < count:
            break
        consistent(history)
        assert history.status == "interrupted"
        now = numbers(model)
        assert now[0] == now[1]
        known = [k for k, x in enumerate(w) if abs(x - now[0]) < 1e-12]
        assert known in ([history.steps], [history.steps + 1])
        seen.add((history.steps, known[0]))
        count += 1
    assert {(0, 0), (0, 1), (1, 1), (1, 2)} <= seen
    assert count > 40


# ---- misuse ----------------------------------------------------------------------------------

XS, YT = [x for x, _ in LESSON], [y for _, y in LESSON]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": (XS, YT)}, ShapeError, r"data must be .* pairs .* tw\.Dataset\(inputs, targets"),
        ({"data": XS}, ShapeError, "data must be"),
        ({"data": None}, ShapeError, "data must be"),
        ({"data": []}, DataError, "data has no samples"),
        ({"validation": []}, DataError, "validation has no samples"),
        ({"validation": YT}, ShapeError, "validation must be"),
        ({"data": ((x, y, 1) for x, y in LESSON)}, ShapeError, "data must be"),
        ({"loss": lambda p, t: (p.data - t) ** 2}, ArgumentError, r"bare number .*\.data"),
        ({"loss": lambda p, t: None}, ArgumentError, "bare number None"),
        ({"loss": lambda p, t: None, "validation": LESSON}, NumberError, "expected a number"),
        ({"loss": "squared_error"}, ArgumentError, r"loss must be a function such as tw\.losses"),
        ({"loss": None}, ArgumentError, "loss must"),
        ({"reduction": "average"}, ArgumentError, 'reduction must be "sum" or "mean", got \'aver'),
        ({"steps": -1}, ArgumentError, "steps must be an integer of at least 0, got -1"),
        ({"steps": 5.0}, ArgumentError, r"steps must .* got 5\.0"),
        ({"steps": None}, ArgumentError, "steps must"),
        ({"batch_size": 0}, ArgumentError, "batch_size must be None or .* got 0"),
        ({"batch_size": 2.0}, ArgumentError, "batch_size must"),
        ({"seed": "x"}, ArgumentError, "seed must be None or an integer, got 'x'"),
        ({"engine": "fast"}, ArgumentError, 'engine must be "auto", "eager" or "native", got'),
        ({"mode": "fast"}, ArgumentError, 'mode must be "default" or "exact", got'),
        ({"clip_norm": 0.0}, ArgumentError, "clip_norm must be None or a number above 0, got 0.0"),
        ({"clip_norm": math.nan}, ArgumentError, "clip_norm must"),
        ({"clip_norm": "1"}, ArgumentError, "clip_norm must"),
        ({"optimizer": 0.1}, ArgumentError, r"optimizer must be .* tw\.Adam\(lr=0\.01\), got 0\.1"),
        ({"optimizer": tw.Adam}, ArgumentError, "optimizer must"),
        ({"early_stopping": 10}, ArgumentError, r"early_stopping must .* tw\.EarlyStopping"),
        ({"metrics": ["accuracy"]}, ArgumentError, r'metrics must .* {"accuracy": tw\.metrics'),
        ({"metrics": {"accuracy": "accuracy"}}, ArgumentError, "metrics must"),
        ({"callbacks": print}, ArgumentError, "callbacks must be a list of functions"),
        ({"callbacks": [1]}, ArgumentError, "callbacks must"),
        ({"model": lambda x: x[0]}, ArgumentError, "the model must have param"),
        ({"model": [Value(1.0)]}, ArgumentError, "the model must"),
        ({"model": MLP(2, [1])}, ShapeError, r"the input has 3 numbers, but Neuron\(2, tanh\)"),
        ({"model": MLP(3, [2])}, ShapeError, "prediction is a list but the target is one number"),
    ],
)
def test_misuse_gets_one_clear_line(change, error, message):
    settings = {"model": lesson_model(), "data": LESSON, **change}
    with pytest.raises(error, match=message) as caught:
        train(settings.pop("model"), settings.pop("data"), **settings)
    assert "\n" not in str(caught.value)


def test_a_model_without_parameters_or_with_plain_numbers():
    for parameters in ([], [1.0]):
        model = Bare()
        model.parameters = lambda parameters=parameters: parameters
        with pytest.raises(ArgumentError, match="list of Values"):
            train(model, LESSON)


def test_the_error_of_a_generator_of_samples_is_not_hidden():
    def samples():
        yield [1.0, 2.0, 3.0], 1.0
        raise DataError("row 7 is bad")

    with pytest.raises(DataError, match="row 7 is bad"):
        train(lesson_model(), samples())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 0}, "patience must be an integer of at least 1, got 0"),
        ({"patience": 2.5}, "patience must"),
        ({"min_delta": -0.1}, "min_delta must be a number of at least 0, got -0.1"),
        ({"min_delta": math.nan}, "min_delta must"),
        ({"min_delta": "x"}, "min_delta must"),
    ],
)
def test_early_stopping_settings(settings, message):
    with pytest.raises(ArgumentError, match=message):
        EarlyStopping(**settings)


def test_progress_prints_nothing_when_piped(capfd):
    train(lesson_model(), LESSON, steps=3, progress=True)
    tw.sweep(lambda rng: MLP(3, [1], rng=rng), LESSON, [0.1], steps=2, progress=True)
    assert capfd.readouterr() == ("", "")


def test_progress_on_a_terminal_shows_step_and_loss(monkeypatch, capfd):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    train(lesson_model(), LESSON, steps=3, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "3/3" in err


def log_of_first(prediction, _):
    return (prediction[0] if isinstance(prediction, list) else prediction).log()


SETTING = {
    "loss": st.sampled_from([*tw.losses.LOSSES.values(), log_of_first, None]),
    "reduction": st.sampled_from(["sum", "mean", "max"]),
    "optimizer": st.builds(
        lambda make, lr: make(lr=lr),
        st.sampled_from([tw.SGD, tw.Adam, tw.AdamW, tw.RMSprop]),
        st.sampled_from([0.0, 1e-3, 1.0, 1e200, 1e308, tw.schedules.Exponential(0.1, 1e300)]),
    ),
    "steps": st.integers(-1, 4),
    "batch_size": st.sampled_from([None, -1, 1, 2, 3, 100]),
    "seed": st.sampled_from([None, 0, -5]),
    "clip_norm": st.sampled_from([None, 1e-300, 1.0, math.inf, -1.0]),
    "validation": st.sampled_from([None, LESSON, LESSON[:1], [([1.0], 2.0)]]),
    "early_stopping": st.sampled_from([None, EarlyStopping(1), EarlyStopping(2, 0.5)]),
    "metrics": st.sampled_from(
        [None, {"a": tw.metrics.accuracy}, {"r": tw.metrics.r_squared}, {"x": None}]
    ),
}
NUMBER = st.floats(allow_nan=True, allow_infinity=True)


@given(
    settings=st.fixed_dictionaries({}, optional=SETTING),
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=2),
    activation=st.sampled_from(["tanh", "relu", "linear", "softplus"]),
    data=st.lists(
        st.tuples(
            st.lists(NUMBER, min_size=2, max_size=2), st.sampled_from([0, 1, -1.0, 0.5, 1e300])
        ),
        max_size=3,
    ),
)
def test_any_settings_either_train_or_raise_an_error_of_talweg(settings, sizes, activation, data):
    model = MLP(2, sizes, activation, rng=random.Random(0))
    with contextlib.suppress(TalwegError):
        history = train(model, data, **settings)
        assert len(history.losses) == len(history.learning_rates) == len(history.seconds)
        assert history.status != "running"
        assert history.verdict
    assert all(map(math.isfinite, numbers(model)))
