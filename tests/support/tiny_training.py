"""A tiny program to train: its loss, its samples, and specifications for both lane strategies."""

import numpy as np

import talweg as tw
from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.scheduling import schedule
from talweg.compiler.runtime import lane_trainer, trainer

START = np.array([0.5, -0.25, 0.125, 0.75])
"""Three parameters that are trained, and one that is not."""

SAMPLES = np.random.default_rng(3).normal(size=(11, 3))
"""Two inputs and a target."""


def tape():
    w = [tw.Value(x) for x in START]

    def loss(x):
        error = w[0] * x[0] + w[1] * x[1] + w[2] * w[3] - x[2]
        return error * error

    traced = trace(loss, SAMPLES[0].tolist())
    assert list(traced.parameters) == w
    return traced.tape


TAPE = tape()
CODE = schedule(find_loops(TAPE))

SAMPLE_LANES = trainer.spec_for(
    CODE, SAMPLES, parameters=4, update=tw.Adam(0.1).update, state_size=2, trained=3, mean=True,
)  # fmt: skip
MODEL_LANES = lane_trainer.spec_for(
    CODE, SAMPLES, parameters=4, update=lambda _: tw.Adam(0.1).update, state_size=2,
    range_ends=[1, 3], scheduled=True,
)  # fmt: skip
