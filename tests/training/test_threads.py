"""Threads share the samples of a large batch, and do not change a bit of the result."""

import random

import pytest

import talweg as tw
from talweg.compiler.runtime import trainer
from talweg.errors import ArgumentError


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """A batch of a few dozen samples is cut into chunks, too."""
    monkeypatch.setattr(trainer, "_CHUNK", 24)
    monkeypatch.setattr(trainer, "_WORTH_SHARING", 0)


def samples(count, inputs=2):
    rng = random.Random(7)
    rows = [[rng.uniform(-1, 1) for _ in range(inputs)] for _ in range(count)]
    return [(x, 1.0 if x[0] * x[1] > 0 else -1.0) for x in rows]


def trained(count=203, hidden=8, inputs=2, **settings):
    model = tw.MLP(inputs, [hidden, 1], rng=random.Random(3))
    given = {"engine": "native", "steps": 30, "reduction": "mean", "seed": 5} | settings
    history = tw.train(model, samples(count, inputs), **given)
    return history, [p.data for p in model.parameters()]


SETTINGS = {
    "gradient descent": {},
    "Adam, batches, the last one small": {"optimizer": tw.Adam(lr=0.01), "batch_size": 60},
    "a gradient cut short": {"clip_norm": 0.1},
    "a rate that changes": {"optimizer": tw.SGD(lr=tw.schedules.Linear(0.1, 0.01, steps=30))},
    "arrays that do not fit on the stack": {"hidden": 300, "inputs": 3, "steps": 3},
    "a run that diverges": {"optimizer": tw.SGD(lr=1e200), "loss": tw.losses.squared_error},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_number_of_threads_does_not_change_a_bit(settings):
    one, weights = trained(threads=1, **settings)
    for threads in (2, 3, 16):
        other, moved = trained(threads=threads, **settings)
        assert other.losses == one.losses
        assert moved == weights
        assert (other.status, other.verdict) == (one.status, one.verdict)


def test_a_large_batch_is_cut_into_chunks_for_threads(monkeypatch):
    plans = []
    run = trainer.Trainer._run_in_threads
    monkeypatch.setattr(
        trainer.Trainer,
        "_run_in_threads",
        lambda self, *given: (plans.append((self.spec.chunks, self.threads)), run(self, *given))[1],
    )
    trained(threads=2)
    assert set(plans) == {(203 // 24, 2)}


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_chunks_agree_with_the_eager_engine(settings):
    native, weights = trained(threads=2, **settings)
    eager, expected = trained(**{**settings, "engine": "eager"})
    assert native.losses == pytest.approx(eager.losses, rel=1e-11, nan_ok=True)
    assert weights == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert native.status == eager.status


def test_small_steps_use_one_thread(monkeypatch):
    monkeypatch.setattr(trainer, "_WORTH_SHARING", 10_000_000)
    monkeypatch.delattr(trainer.Trainer, "_run_in_threads")
    one, two = trained(threads=1), trained(threads=2)
    assert (one[0].losses, one[1]) == (two[0].losses, two[1])


def test_exact_mode_has_the_bits_of_the_eager_engine_with_any_number_of_threads():
    expected, weights = trained(count=101, engine="eager", steps=5)
    for threads in (1, 4):
        exact, moved = trained(count=101, mode="exact", threads=threads, steps=5)
        assert (exact.losses, moved) == (expected.losses, weights)


def test_ctrl_c_between_chunks_leaves_history_and_weights_of_the_same_step(monkeypatch):
    class Pool(trainer.ThreadPoolExecutor):
        calls = 0

        def submit(self, *args):
            Pool.calls += 1
            if Pool.calls == 9:
                raise KeyboardInterrupt
            return super().submit(*args)

    monkeypatch.setattr(trainer, "ThreadPoolExecutor", Pool)
    history, weights = trained(threads=2)
    assert history.status == "interrupted"
    assert 0 < history.steps < 9
    monkeypatch.setattr(trainer, "ThreadPoolExecutor", Pool.__base__)
    again, expected = trained(threads=2, steps=history.steps)
    assert (again.losses, expected) == (history.losses, weights)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "two"])
def test_a_number_of_threads_that_is_not_valid(threads):
    with pytest.raises(ArgumentError, match="threads must be None or an integer"):
        trained(threads=threads)
