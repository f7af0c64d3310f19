"""The runs of a map by the eager engine, and the problem of the published map."""

import math
import pickle
import random

import numpy as np
import pytest
from mean_field_runs import Runs

import talweg as tw
from talweg.explore.trainability.axes import Plane, parse_axis
from talweg.explore.trainability.mean_field import MeanFieldNet, default_problem
from talweg.explore.trainability.point_runs import run_losses
from talweg.explore.trainability.specification import MapSpecification


def specification(x, y, steps=25, width=2, optimizer=None, **settings):
    make_model, samples = default_problem(width)
    return MapSpecification(
        make_model,
        samples,
        Plane(parse_axis(x, "x"), parse_axis(y, "y")),
        steps=steps,
        optimizer=optimizer or tw.SGD(lr=0.05),
        **{
            "loss": tw.losses.squared_error,
            "reduction": "mean",
            "batch_size": None,
            "seed": 42,
            **settings,
        },
    )


def test_the_network_and_data_of_the_paper():
    net = MeanFieldNet(3, 2, random.Random(5))
    w0, w1 = ([[w.data for w in row] for row in layer] for layer in net.layers)
    x = [0.3, -1.2, 2.0]
    sums = [math.fsum(w * a for w, a in zip(row, x, strict=True)) for row in w0]
    hidden = [math.tanh(math.sqrt(2.0 / 3.0) * total) for total in sums]
    expected = math.fsum(w * h for w, h in zip(w1[0], hidden, strict=True)) / 2.0
    assert net(x).data == pytest.approx(expected, rel=1e-14)
    rng = random.Random(5)
    assert [p.data for p in net.parameters()] == [rng.gauss(0.0, 1.0) for _ in range(8)]
    _, data = default_problem()
    assert (len(data), len(data[0][0])) == (72, 8)
    assert data == default_problem()[1] != default_problem(seed=1)[1]


def test_the_published_problem_can_be_pickled():
    make_model, _ = default_problem(2)
    again = pickle.loads(pickle.dumps(make_model))
    numbers = [p.data for p in again(random.Random(1)).parameters()]
    assert numbers == [p.data for p in make_model(random.Random(1)).parameters()]


def test_eager_runs_and_numpy_agree():
    rates = ("learning_rate[0]", 1e-3, 1e6), ("learning_rate[1]", 1e-3, 1e6)
    for x, y in [(0.5, 2.0), (1e-3, 1e-3), (30.0, 1.0), (1.0, 1e250)]:
        found = run_losses(specification(*rates), x, y)
        expected = Runs(width=2, steps=25).losses(np.array([x]), np.array([y]))[0]
        np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-9)
        assert np.isnan(expected[len(found) :]).all()
    assert len(found) < 25


def test_a_run_with_one_rate_for_all_layers_equals_train():
    made = specification(("learning_rate", 0.1, 1.0), ("momentum", 0.0, 0.9), seed=3, batch_size=2)
    make_model, data = default_problem(2)
    history = tw.train(
        make_model(random.Random(3)),
        data,
        reduction="mean",
        optimizer=tw.SGD(lr=0.3, momentum=0.7),
        steps=25,
        batch_size=2,
        seed=3,
        engine="eager",
    )
    assert run_losses(made, 0.3, 0.7) == history.losses


def test_a_layers_setting_comes_after_that_of_all_layers():
    layer_first = specification(("learning_rate[1]", 0.1, 1.0), ("learning_rate", 0.1, 1.0))
    both = specification(("learning_rate[0]", 0.1, 1.0), ("learning_rate[1]", 0.1, 1.0))
    assert run_losses(layer_first, 0.2, 0.4) == run_losses(both, 0.4, 0.2)
    scales = specification(("initial_scale[0]", 0.1, 10.0), ("initial_scale", 0.1, 10.0))
    net = scales.make_model(random.Random(42))
    for p in net.layers[0].parameters():
        p.data = p.data * 2.0
    for p in net.parameters():
        p.data = p.data * 3.0
    losses = [tw.losses.squared_error(net(x), y).data for x, y in scales.samples]
    mean = math.fsum(losses) / len(losses)
    assert run_losses(scales, 2.0, 3.0)[0] == pytest.approx(mean, rel=1e-12)
