"""The numbers of runs: indices of their values, combinations of settings, and where settings go."""

import numpy as np
import pytest

import talweg as tw
from talweg.explore.sweep.specification import Specification

CHOICES = {
    "width": [2, 3],
    "momentum": [0.0, 0.5, 0.9],
    "batch_size": [None, 4],
    "learning_rate": [0.1, 0.2, 0.3],
    "seed": [7, 8],
}
ROUTES = {"width": "model", "momentum": "optimizer", "batch_size": "train"}


def network(rng, width=2):
    return tw.MLP(2, [width, 1], rng=rng)


@pytest.fixture
def specification():
    rest = {"engine": "auto", "mode": "default", "stop_at": None, "threads": None}
    samples = [([0.1, 0.2], 0.3)]
    return Specification(network, tw.SGD, samples, CHOICES, 5, {}, routes=ROUTES, **rest)


def test_settings_of_each_run(specification):
    assert specification.count == 72
    assert specification.grid == ("width", "momentum", "batch_size")
    found = [tuple(specification.settings_of(k).values()) for k in range(72)]
    expected = [
        (rate, seed, width, momentum, size)
        for width in CHOICES["width"]
        for momentum in CHOICES["momentum"]
        for size in CHOICES["batch_size"]
        for rate in CHOICES["learning_rate"]
        for seed in CHOICES["seed"]
    ]
    assert found == expected


def test_indices_of_many_runs_are_those_of_each(specification):
    places = specification.places_of(np.arange(72))
    for k in range(72):
        of_run = specification.places_of(k)
        assert {name: int(place[k]) for name, place in places.items()} == of_run
        assert {n: CHOICES[n][i] for n, i in of_run.items()} == specification.settings_of(k)


@pytest.mark.parametrize(
    ("names", "count"),
    [([], 1), (["seed"], 2), (["momentum", "learning_rate"], 9), (["width", "batch_size"], 4)],
)
def test_combinations_of_settings_have_consecutive_numbers(specification, names, count):
    places = specification.places_of(np.arange(72))
    numbers = specification.combination(places, names)
    assert specification.combinations(names) == count
    rows = [tuple(specification.settings_of(k)[name] for name in names) for k in range(72)]
    known = dict(zip(numbers.tolist(), rows, strict=True))
    assert sorted(known) == list(range(count))
    assert [known[k] for k in numbers.tolist()] == rows
    assert list(known.values()) == list(dict.fromkeys(rows))  # numbered in the order of the runs


def test_a_run_with_each_value(specification):
    runs = specification.runs_with_each_value(["momentum", "batch_size"])
    values = [specification.settings_of(k) for k in runs]
    assert runs == sorted(runs)
    assert runs[0] == 0
    assert len(runs) == 1 + 2 + 1
    assert {x["momentum"] for x in values} == {0.0, 0.5, 0.9}
    assert {x["batch_size"] for x in values} == {None, 4}
    assert specification.runs_with_each_value([]) == [0]


def test_settings_by_where_they_go(specification):
    assert specification.names_of("model", "train") == ["width", "batch_size"]
    assert specification.optimizer_names == ["momentum", "learning_rate"]
    settings = specification.settings_of(0)
    assert specification.routed("optimizer", settings) == {"momentum": 0.0}
    assert specification.given_to_train(settings) == {"seed": 7, "batch_size": None}
