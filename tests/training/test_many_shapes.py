"""Training on examples of several shapes: each has a program, and all have the same parameters."""

import random
import time
import warnings

import pytest

import talweg as tw
from talweg._util import progress
from talweg.compiler.runtime.per_sample_trainer import PerSampleTrainer
from talweg.compiler.runtime.trainer import Trainer
from talweg.errors import CompilerError, TraceWarning
from talweg.training.native_executor import NativeExecutor

RNG = random.Random(3)
EXAMPLES = [[RNG.uniform(-1.0, 1.0) for _ in range(n)] for n in (3, 5, 2, 3, 4, 5, 2, 2, 3, 4)]


def loss(w, xs):
    h = w[0]
    for k, x in enumerate(xs):
        h = tw.tanh(h * w[1 + k % 3] + w[4] * x)
    return (h - 0.25) ** 2


def irregular(w, xs):
    """As `loss`; for three numbers it is a program that is trained as a table of operations."""
    total = loss(w, xs)
    if len(xs) == 3:
        rng, numbers = random.Random(1), [*w, *xs]
        for _ in range(2300):
            numbers.append((rng.choice(numbers) * rng.choice(numbers)) * 0.5)
        total = total + sum(numbers[-300:]) * 0.01
    return total


def minimized(f, engine, mode="exact", examples=EXAMPLES, **settings):
    w = [tw.Value(0.1 * k - 0.2) for k in range(5)]
    history = tw.minimize(
        f, w, examples, engine=engine, mode=mode, batch_size=1, seed=2, **settings
    )
    return history, [p.data for p in w], [p.grad for p in w]


SETTINGS = {
    "SGD": {"optimizer": tw.SGD(0.1), "steps": 95},
    "momentum": {"optimizer": tw.SGD(0.05, momentum=0.9), "steps": 95},
    "a schedule": {"optimizer": tw.Adam(tw.schedules.Cosine(0.05, 60, 0.001)), "steps": 95},
    "callbacks": {"optimizer": tw.Adam(0.05), "steps": 12, "callbacks": [lambda step: None]},
    "divergence": {"optimizer": tw.SGD(1e300, momentum=0.5), "steps": 60},
}


@pytest.mark.parametrize("f", [loss, irregular])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_exact_training_has_the_bits_of_the_eager_engine(settings, f):
    history, numbers, gradient = minimized(f, "eager", **settings)
    native, moved, wrt = minimized(f, "native", **settings)
    assert str(native.losses) == str(history.losses)
    assert (moved, str(wrt)) == (numbers, str(gradient))
    assert native.learning_rates == history.learning_rates
    assert native.status == history.status
    assert native.seconds == sorted(native.seconds)


@pytest.mark.parametrize("settings", list(SETTINGS.values())[:3], ids=list(SETTINGS)[:3])
def test_default_training_has_its_digits(settings):
    history, numbers, _ = minimized(loss, "eager", **settings)
    native, moved, _ = minimized(loss, "native", "default", **settings)
    assert native.losses == pytest.approx(history.losses, rel=1e-10)
    assert moved == pytest.approx(numbers, rel=1e-10)


@pytest.mark.parametrize("order", [EXAMPLES, EXAMPLES[1:]], ids=["table first", "table later"])
def test_all_trainers_have_the_parameters_and_the_state_of_one(monkeypatch, order):
    made = []
    plain = NativeExecutor._trainer

    def noted(self, program, inputs):
        made.append(plain(self, program, inputs))
        return made[-1]

    monkeypatch.setattr(NativeExecutor, "_trainer", noted)
    minimized(irregular, "native", examples=order, optimizer=tw.SGD(0.01, momentum=0.5), steps=40)
    assert {type(trainer) for trainer in made} == {Trainer, PerSampleTrainer}
    made[0].parameters[:] = range(5)
    made[-1].state[:] = 7.0
    for trainer in made:
        assert trainer.parameters.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert trainer.state.tolist() == [[7.0] * 5]


def test_parameters_of_another_number_cannot_be_shared():
    from talweg.compiler.codegen.memory_layout import MemoryLayout
    from talweg.compiler.runtime.buffers import Memory

    three, four = (Memory(MemoryLayout.vectors(("a", "b")), {"a": n, "b": 2}) for n in (3, 4))
    three.share("b", four)
    four["b"][:] = [1.5, 2.5]
    assert three["b"].tolist() == [1.5, 2.5]
    with pytest.raises(CompilerError, match=r"array 'a' of shape \(4,\) is shared .* shape \(3,\)"):
        three.share("a", four)


def test_parameters_are_copied_once_a_call_and_not_once_a_shape(monkeypatch):
    copies = []
    plain = tw.training.objective.Objective.assign
    monkeypatch.setattr(
        tw.training.objective.Objective,
        "assign",
        lambda self, numbers: (copies.append(1), plain(self, numbers))[1],
    )
    minimized(loss, "native", optimizer=tw.SGD(0.01), steps=500)
    assert len(copies) < 20  # the calls take 1, 2, 4, ... steps


# ---- what is said -------------------------------------------------------------------------------


def one_hot(w, tokens):
    h = 0.0
    for t in tokens:
        h = tw.tanh(h + sum(a * (1.0 if k == t else 0.0) for k, a in enumerate(w)))
    return h**2


TOKENS = [[a, b, c] for a in range(4) for b in range(4) for c in range(2)]


def warned(f, examples, **settings):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        minimized(f, "native", examples=examples, **settings)
    return [w for w in seen if w.category is TraceWarning]


def test_many_shapes_are_warned_of_with_the_integer_that_differs():
    found = warned(one_hot, TOKENS, steps=32)
    assert len(found) == 2  # at the 9th and at the 17th
    text = str(found[0].message)
    assert text.startswith("the loss is traced and compiled for the 9th time, because of the shape")
    assert "the integer " in text
    assert "as floats" in text
    assert found[0].filename == __file__


def test_many_shapes_are_warned_of_with_the_length_that_differs():
    (found,) = warned(loss, [[0.5] * n for n in range(1, 10)], steps=30)
    assert "list of " in str(found.message)
    assert ", was list of " in str(found.message)


def test_a_few_shapes_are_not_warned_of():
    assert warned(loss, EXAMPLES, steps=30) == []


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(progress, "_SLOW", 0.0)


@pytest.mark.usefixtures("terminal")
def test_slow_traces_and_compilations_are_named(monkeypatch, capfd):
    plain = NativeExecutor._trainer

    def slowly(self, program, inputs):
        time.sleep(0.2)
        return plain(self, program, inputs)

    monkeypatch.setattr(NativeExecutor, "_trainer", slowly)
    minimized(loss, "native", examples=[[0.5] * 3, [0.5] * 4], steps=6, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "compiling the loss of example 0: 14 operations ..." in err
    assert "compiling the loss of example 1, because of its list of 4, was list of 3: " in err


@pytest.mark.usefixtures("terminal")
def test_nothing_is_said_without_progress(capfd):
    minimized(loss, "native", steps=6)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_said_where_there_is_no_terminal(monkeypatch, capfd):
    monkeypatch.setattr(progress, "_SLOW", 0.0)
    minimized(loss, "native", steps=6, progress=True)
    assert capfd.readouterr() == ("", "")


def test_a_fast_step_is_not_named(monkeypatch):
    said = []
    monkeypatch.setattr(progress, "_say", said.append)
    with progress.slow_step("nothing", enabled=True):
        pass
    assert said == []


def test_paths_of_one_shape_are_not_warned_of():
    def branching(w, xs):
        total = w[0]
        for k, x in enumerate(xs):
            total = total + (w[1] if x > 0.0 else w[2]) * (0.5 + k)
        return total**2

    signs = [[1.0 if n >> k & 1 else -1.0 for k in range(4)] for n in range(12)]
    assert warned(branching, signs, steps=3) == []
