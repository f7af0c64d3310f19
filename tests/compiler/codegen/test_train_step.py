"""Training steps of a tiny program with both lane strategies, against a loop in NumPy."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from native_functions import NativeFunction
from tiny_training import CODE, MODEL_LANES, SAMPLE_LANES, SAMPLES, START, TAPE

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.model_lanes import ModelLanes
from talweg.compiler.codegen.sample_lanes import SampleLanes
from talweg.compiler.codegen.train_step import TrainStep, training_functions
from talweg.compiler.codegen.types import I64, PTR, Parameter
from talweg.compiler.runtime import lane_trainer, llvm, trainer
from talweg.compiler.runtime.buffers import (
    Batches,
    native_function,
    packed_samples,
    training_memory,
    write_batches,
)


def gradient(w, batch):
    """The losses of samples, and the derivatives of each by w[0], w[1] and w[2]."""
    error = batch[:, :2] @ w[:2] + w[2] * w[3] - batch[:, 2]
    by_error = 2.0 * error[:, None]
    return error**2, by_error * np.column_stack([batch[:, :2], np.full(len(batch), w[3])])


def by_numpy(w, optimizer, batches, rates, *, mean, clip_norm=None):
    """The losses of a run, and its last parameters."""
    w, losses = w.copy(), []
    state = np.tile(np.array(optimizer.initial_state()), (3, 1))
    for step, (batch, rate) in enumerate(zip(batches, rates, strict=True), start=1):
        of_samples, derivatives = gradient(w, SAMPLES[batch])
        weight = 1.0 / len(batch) if mean else 1.0
        losses.append(of_samples.sum() * weight)
        g = derivatives.sum(axis=0) * weight
        if clip_norm is not None:
            g = g * min(1.0, clip_norm / np.linalg.norm(g))
        for k in range(3):
            w[k], state[k] = optimizer.update(w[k], g[k], tuple(state[k]), rate, float(step))
    return losses, w


OPTIMIZERS = {
    "SGD": tw.SGD(0.1),
    "momentum": tw.SGD(0.1, momentum=0.5, nesterov=True, weight_decay=0.25),
    "Adam": tw.Adam(0.1),
}
EVERY = [list(range(11))] * 6
DRAWN = [random.Random(k).sample(range(11), k=1 + (5 * k) % 7) for k in range(6)]


# ---- sample lanes --------------------------------------------------------------------------------


def one_model(batches, optimizer, exact=False, **settings):
    given = {"mean": True, "clip_norm": None} | settings
    made = pipeline.trainer(
        TAPE, SAMPLES, update=optimizer.update, state_size=len(optimizer.initial_state()),
        trained=3, batch=None if batches is EVERY else 7, exact=exact, **given,
    )  # fmt: skip
    made.parameters[:] = START
    rates = [0.01 * (1 + k) for k in range(len(batches))]
    taken = made.take([None] * len(batches) if batches is EVERY else batches, rates, 1)
    expected = by_numpy(START, optimizer, batches, rates, **given)
    np.testing.assert_allclose(taken.losses, expected[0], rtol=1e-12)
    np.testing.assert_allclose(made.parameters, expected[1], rtol=1e-12)
    assert not taken.diverged
    return made


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("batches", [EVERY, DRAWN], ids=["all samples", "batches"])
@pytest.mark.parametrize(("lanes", "blocks"), [(2, 1), (4, 1), (4, 3), (8, 1)])
def test_sample_lanes(monkeypatch, lanes, blocks, batches, optimizer):
    monkeypatch.setattr(trainer, "lanes_and_blocks", lambda *_: (lanes, blocks))
    made = one_model(batches, optimizer)
    assert made.spec.lanes_hold == "samples"
    assert (made.spec.lanes, made.spec.blocks) == (lanes, blocks)


@pytest.mark.parametrize("clip_norm", [0.5, 100.0])
@pytest.mark.parametrize("exact", [False, True])
def test_clipping_and_sums(exact, clip_norm):
    one_model(EVERY, tw.SGD(0.1), clip_norm=clip_norm, mean=False, exact=exact)


def test_chunks_of_a_batch(monkeypatch):
    monkeypatch.setattr(trainer, "_CHUNK", 2)
    monkeypatch.setattr(trainer, "lanes_and_blocks", lambda *_: (2, 1))
    made = one_model(EVERY, tw.Adam(0.1))
    assert made.spec.chunks == 5
    assert one_model(DRAWN, tw.Adam(0.1)).spec.chunks == 3


@pytest.mark.parametrize("batches", [EVERY, DRAWN], ids=["all samples", "batches"])
def test_exact_mode_trains_one_model_in_one_lane(batches):
    made = one_model(batches, tw.SGD(0.1, momentum=0.5), exact=True)
    assert made.spec.lanes_hold == "models"
    assert (made.spec.models, made.spec.lanes) == (1, 1)


@pytest.mark.parametrize("exact", [False, True])
def test_a_step_that_diverges_leaves_parameters_and_state(exact):
    made = pipeline.trainer(
        TAPE, SAMPLES, update=tw.SGD(0.1, momentum=0.5).update, state_size=1, trained=3,
        mean=False, exact=exact,
    )  # fmt: skip
    made.parameters[:] = START
    made.state[:] = [[1.0, 2.0, 3.0]]
    taken = made.take([None] * 5, [0.0, 1e308, 0.0, 0.0, 0.0], 1)
    assert taken.diverged
    assert len(taken.losses) == 2
    assert made.parameters.tolist() == START.tolist()
    g = gradient(START, SAMPLES)[1].sum(axis=0)
    np.testing.assert_allclose(made.gradient, g, rtol=1e-12)
    np.testing.assert_allclose(made.state[0], 0.5 * np.array([1.0, 2.0, 3.0]) + g, rtol=1e-12)
    again = made.take([None], 0.0, 3)  # and it can go on from there
    assert (again.diverged, again.losses) == (False, taken.losses[:1])


# ---- model lanes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("batches", [EVERY, DRAWN], ids=["all samples", "batches"])
@pytest.mark.parametrize(("lanes", "blocks"), [(2, 1), (4, 3), (8, 4), (8, 11)])
def test_model_lanes(monkeypatch, lanes, blocks, batches, optimizer):
    monkeypatch.setattr(llvm, "lanes", lambda: lanes)
    spec = lane_trainer.spec_for(
        CODE, SAMPLES, parameters=4, update=lambda _: optimizer.update, mean=True,
        state_size=len(optimizer.initial_state()), batch=None if batches is EVERY else 7,
        scheduled=True, blocks=blocks, range_ends=[1, 3],
    )  # fmt: skip
    made = lane_trainer.LaneTrainer(
        spec,
        llvm.compile(training_functions(spec)),
        SAMPLES,
        start=optimizer.initial_state(),
    )
    models, steps = 5, len(batches)
    weights = START + 0.1 * np.arange(models)[:, None]
    rates = 0.01 * (1.0 + np.arange(steps)[:, None, None] + np.zeros((2, 1)) + np.arange(models))
    varying = batches is not EVERY
    order = [k for batch in batches for k in batch]
    given = Batches(np.array(order), np.array(list(map(len, batches)))) if varying else None
    swept = made.run(weights, rates, steps, batches=given)
    for k in range(models):
        losses, last = by_numpy(weights[k], optimizer, batches, rates[:, 0, k], mean=True)
        np.testing.assert_allclose(swept.losses[k], losses, rtol=1e-12)
        np.testing.assert_allclose(swept.weights[k], last, rtol=1e-12)


# ---- packed batches ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lanes_hold", "lanes", "blocks"),
    [("samples", 4, 1), ("samples", 2, 3), ("models", 4, 1), ("models", 4, 3), ("models", 1, 1)],
)
def test_batches_are_packed_alike_on_both_sides(lanes_hold, lanes, blocks):
    spec = replace(
        MODEL_LANES, lanes_hold=lanes_hold, lanes=lanes, blocks=blocks, batch=7,
        fixed_batch=False, exact=False,
    )  # fmt: skip
    strategy = SampleLanes if lanes_hold == "samples" else ModelLanes
    parameters = [Parameter("table", PTR), Parameter("step", I64)]
    step = TrainStep(spec, Module().function("pack", parameters), strategy, [])
    step.append_pack()
    native = NativeFunction(step.function)
    order = sum(map(len, DRAWN))
    memory = training_memory(spec, SAMPLES, lane_batches=1, steps=len(DRAWN), order=order)
    write_batches(memory, Batches(np.concatenate(DRAWN), np.array(list(map(len, DRAWN)))))
    for k, batch in enumerate(DRAWN):
        native(memory.address, k)
        expected = packed_samples(spec, SAMPLES[batch])
        packed = memory["packed"][: len(expected)]
        np.testing.assert_array_equal(packed, np.repeat(expected[:, None], spec.models, axis=1))
    fixed = training_memory(
        replace(spec, batch=11, fixed_batch=True), SAMPLES, lane_batches=1, steps=1
    )
    np.testing.assert_array_equal(fixed["packed"][:, 0], packed_samples(spec, SAMPLES))


def test_packed_samples_in_blocks():
    rows = np.arange(10.0).reshape(5, 2)
    samples = replace(SAMPLE_LANES, lanes=2, blocks=1, inputs=2, batch=5)
    assert packed_samples(samples, rows).tolist() == [0, 2, 1, 3, 4, 6, 5, 7, 8, 8, 9, 9]
    models = replace(MODEL_LANES, blocks=2, inputs=2, batch=5)
    assert packed_samples(models, rows).tolist() == [0, 2, 1, 3, 4, 6, 5, 7, 8, 9]


def test_steps_of_a_run_may_be_taken_in_several_calls():
    library = llvm.compile(training_functions(MODEL_LANES))
    run = native_function(library, "run", 6)
    lanes, found = MODEL_LANES.lanes, []
    for cuts in ([0, 9], [0, 1, 4, 9]):
        memory = training_memory(MODEL_LANES, SAMPLES, lane_batches=3, steps=9)
        memory["parameters"][:, 0] = START[None, :, None] + 0.01 * np.arange(lanes)
        memory["rates"][:] = 0.01
        memory["alive"][:] = 1.0
        memory["target"][:] = -np.inf
        for start, stop in itertools.pairwise(cuts):
            run(memory.address, 0, 2, start, stop, 1, 9)
        found.append(memory)
    one, several = found
    for name in ("losses", "parameters", "recorded", "alive"):
        np.testing.assert_array_equal(one[name], several[name])
    assert one["recorded"].tolist() == [[9.0] * lanes, [9.0] * lanes, [0.0] * lanes]
