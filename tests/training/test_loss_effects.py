"""Losses that change something or read what changes: native training has the eager numbers, or says
why it is not possible."""

import random
import re
import types

import pytest

import talweg as tw
from talweg import Value
from talweg.errors import NativeError, TraceWarning
from talweg.training import executor

XS = [0.1 * k for k in range(10)]
RATE = types.SimpleNamespace(temperature=1.0)


class Model(tw.Module):
    def __init__(self):
        self.w, self.h, self.calls, self.mean = Value(0.5), Value(0.0), 0, 0.0

    def named_parameters(self):
        yield "w", self.w


def counts(model, x):
    model.calls += 1
    return (model.w * x - 1.0) ** 2


def drops(model, x):
    return (model.w * x * (random.random() < 0.5) - 1.0) ** 2


def keeps_state(model, x):
    model.h = model.h * 0.5 + model.w * x
    return (model.h - 1.0) ** 2


def keeps_a_mean(model, x):
    y = model.w * x
    model.mean = 0.9 * model.mean + 0.1 * y.data
    return (y - model.mean) ** 2


def reads_gradients(model, x):
    return (model.w * x - 1.0) ** 2 + 0.0 * model.w.grad


REFUSED = {
    counts: r"changes `model\.calls` from 0 to 1",
    drops: r"draws random numbers from random",
    keeps_state: r"keeps numbers in `model\.h` from example to example",
    keeps_a_mean: r"keeps numbers in `model\.mean` from example to example",
    reads_gradients: r"reads \.grad of a Value",
}


@pytest.mark.parametrize("loss", REFUSED)
def test_losses_that_native_code_would_not_repeat(loss):
    model = Model()
    with pytest.raises(NativeError, match=REFUSED[loss]):
        tw.minimize(loss, model, XS, steps=5, engine="native")
    assert (model.calls, model.h.data, model.mean) == (0, 0.0, 0.0)


@pytest.mark.parametrize("loss", REFUSED)
def test_the_eager_engine_takes_over_with_the_reason(loss, monkeypatch):
    monkeypatch.setattr(executor, "_is_short", lambda *_: False)
    found = []
    for engine in ("auto", "eager"):
        random.seed(0)
        model = Model()
        history = tw.minimize(loss, model, XS, steps=20, engine=engine)
        found.append((model.w.data, model.h.data, model.mean, model.calls))
        assert history.engine == "eager"
        if engine == "auto":
            assert re.search(REFUSED[loss], history.fallback_reason)
    assert found[0] == found[1]


def cooled(model, x):
    return (model.w * x * RATE.temperature - 1.0) ** 2


def cool(progress):
    RATE.temperature *= 1.01


def test_what_a_callback_changes_is_seen():
    found = []
    for engine in ("native", "eager"):
        RATE.temperature = 1.0
        model = Model()
        history = tw.minimize(
            cooled, model, XS, steps=20, engine=engine, mode="exact", callbacks=[cool]
        )
        assert history.engine.startswith(engine)
        found.append(model.w.data)
    assert found[0] == found[1]


def test_a_change_that_cannot_be_compiled_continues_eagerly(monkeypatch):
    monkeypatch.setattr(executor, "_is_short", lambda *_: False)
    kind = types.SimpleNamespace(draws=False)

    def loss(model, x):
        scale = random.random() if kind.draws else 1.0
        return (model.w * x * scale - 1.0) ** 2

    def change(progress):
        kind.draws = True

    with pytest.warns(TraceWarning, match="draws random numbers"):
        history = tw.minimize(loss, Model(), XS, steps=20, engine="auto", callbacks=[change])
    assert history.engine == "eager"
    assert "what the loss reads has changed" in history.fallback_reason
