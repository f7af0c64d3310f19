"""Training sample by sample: the steps of the eager engine, and a step that diverges."""

import math
import random

import numpy as np
import pytest

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.runtime.per_sample_trainer import PerSampleTrainer


def without_loops(w, x):
    """More operations without a pattern than are compiled as text."""
    rng, total = random.Random(0), w * x
    for _ in range(2 * pipeline.LONGEST_TEXT):
        total = rng.choice([tw.sin, tw.cos, tw.tanh])(total) * 1.1
    return (total - w * x) ** 2


def trainer_of(samples, lr, mean):
    w = tw.Value(0.7)
    tape = trace(lambda x: without_loops(w, x), samples[0]).tape
    made = pipeline.trainer(
        tape, np.array(samples)[:, None], update=tw.SGD(lr).update, state_size=0, trained=1,
        mean=mean,
    )  # fmt: skip
    assert isinstance(made, PerSampleTrainer)
    made.parameters[:] = [0.7]
    return made


@pytest.mark.parametrize("mean", [False, True])
def test_the_steps_are_those_of_the_eager_engine(mean):
    samples, lr = [0.4, 0.9], 0.1
    made = trainer_of(samples, lr, mean)
    w, losses = tw.Value(0.7), []
    for _ in range(2):
        w.grad = 0.0
        total = without_loops(w, samples[0]) + without_loops(w, samples[1])
        loss = total * 0.5 if mean else total
        loss.backward()
        losses.append(loss.data)
        w.data -= lr * w.grad
    taken = made.take([None, None], lr, 1)
    assert not taken.diverged
    assert taken.losses == pytest.approx(losses, rel=1e-12)
    assert made.parameters[0] == pytest.approx(w.data, rel=1e-12)


def test_a_step_that_diverges_changes_no_parameter_and_is_the_last():
    made = trainer_of([0.4], 0.1, mean=False)
    taken = made.take([None, None, None], [0.1, math.inf, 0.1], 1)
    assert taken.diverged
    assert len(taken.losses) == 2
    assert math.isfinite(made.parameters[0])
    after_one = trainer_of([0.4], 0.1, mean=False)
    after_one.take([None], 0.1, 1)
    assert made.parameters[0] == after_one.parameters[0]
