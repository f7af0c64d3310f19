"""`trainability_map`: its arguments, the eager engine, and stores of other maps."""

import numpy as np
import pytest
from mean_field_runs import Runs

import talweg as tw
from talweg.errors import ArgumentError, DataError
from talweg.explore.trainability.mean_field import default_problem
from talweg.explore.trainability.trainability import trainability_map


def test_the_eager_engine_and_its_stores(tmp_path):
    def fourth_power(prediction, target):
        return (prediction - target) ** 4.0

    make_model, data = default_problem(2)
    settings = {"resolution": 8, "steps": 30, "store": tmp_path / "map"}
    found = trainability_map(make_model, data, engine="eager", **settings)
    runs = Runs(width=2, steps=30)
    xs, ys = np.meshgrid(found.x, found.y)
    expected = runs.compute(xs.ravel(), ys.ravel()).reshape(8, 8)
    assert (found.measure < 0.0).tolist() == (expected < 0.0).tolist()
    assert np.isclose(found.measure, expected, rtol=1e-6).mean() > 0.9
    with pytest.raises(ArgumentError, match="steps is 30 there, and 31 was asked for"):
        trainability_map(make_model, data, **{**settings, "steps": 31})
    with pytest.raises(ArgumentError, match="samples is 6 there, and 5 was asked for"):
        trainability_map(make_model, data[1:], **settings)
    with pytest.raises(ArgumentError, match=r"loss is 'squared_error' there, and .*fourth"):
        trainability_map(make_model, data, loss=fourth_power, **settings)
    fourth_power.__qualname__ = "squared_error"  # another function of the same name
    with pytest.raises(ArgumentError, match="first_loss is "):
        trainability_map(make_model, data, loss=fourth_power, **settings)
    with pytest.raises(ArgumentError, match="optimizer is 'SGD"):
        trainability_map(make_model, data, optimizer=tw.SGD(lr=0.05, momentum=0.5), **settings)


def test_a_setting_of_the_optimiser_and_a_scale_as_axes():
    make_model, data = default_problem(2)
    found = trainability_map(
        make_model,
        data,
        ("beta1", 0.1, 0.9),
        ("initial_scale[0]", 0.1, 10.0),
        optimizer=tw.Adam(lr=0.05),
        resolution=8,
        steps=5,
    )
    assert (found.x[0], found.y[4]) == (0.1, 1.0)
    assert found.finished == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 100}, "power of two from 8 to 16384, got 100"),
        ({"resolution": 32768}, "power of two from 8 to 16384"),
        ({"resolution": 64.0}, "power of two from 8 to 16384"),
        ({"steps": 0}, "steps must be"),
        ({"seed": None}, "seed must be an integer, got None"),
        ({"loss": 3}, "loss must be a function"),
        ({"optimizer": "SGD"}, "optimizer must be"),
        (
            {"x": ("learning_rate[1]", 1e-3, 1.0)},
            r"y: learning_rate\[1\] is the setting along x too",
        ),
        ({"x": ("beta1", 0.1, 0.9)}, "'beta1' is no setting of a run with SGD; there are learning"),
        ({"x": ("nesterov", 0.1, 0.9)}, "'nesterov' is no setting of a run with SGD"),
        ({"x": ("momentum", 0.0, 1.5)}, r"momentum must be at least 0 and below 1, got 1\.49"),
        ({"x": ("momentum", -0.1, 0.9)}, "the low end of momentum must be at least 0, got -0.1"),
        ({"x": ("learning_rate[2]", 0.1, 0.9)}, "the model has 2 layers, 0 to 1"),
        (
            {"make_model": lambda rng: tw.Neuron(2, rng=rng)},
            "needs a model with an attribute `layers`, a list",
        ),
        (
            {
                "x": ("learning_rate", 0.1, 0.9),
                "optimizer": tw.SGD(lr=lambda step: 0.1),
            },
            "the optimiser has a schedule",
        ),
    ],
)
def test_arguments_that_are_not_valid(settings, message):
    make_model, data = default_problem(2)
    with pytest.raises(ArgumentError, match=message):
        trainability_map(**{"make_model": make_model, "data": data, "steps": 5, **settings})


def test_integers_of_numpy(tmp_path):
    make_model, data = default_problem(2)
    plain = {"steps": 5, "batch_size": 2, "seed": 3}
    settings = {"resolution": 8, "engine": "native", "store": tmp_path / "map"}
    of_numpy = {name: np.int64(x) for name, x in plain.items()}
    first = trainability_map(make_model, data, **settings, **of_numpy)
    assert trainability_map(make_model, data, **settings, **plain).measure.tolist() == (
        first.measure.tolist()
    )


def test_no_samples():
    with pytest.raises(DataError, match="no samples"):
        trainability_map(default_problem()[0], [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": tw.lesson_data()}, "^data is given without make_model; give both, or neither"),
        ({"make_model": lambda rng: tw.MLP(3, [1], rng=rng)}, "^make_model is given without data"),
    ],
)
def test_a_model_and_its_data_are_given_together(given, message):
    with pytest.raises(ArgumentError, match=message):
        trainability_map(**given)
