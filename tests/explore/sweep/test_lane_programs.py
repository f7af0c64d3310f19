"""Which runs of a sweep native code trains together, and how often a model is made for them."""

import numpy as np
import pytest

import talweg as tw
from talweg.explore.sweep import lane_programs
from talweg.explore.sweep.lane_programs import LanePrograms
from talweg.explore.sweep.optimizer_table import optimizer_table
from talweg.explore.sweep.specification import Specification, route

DATA = [([0.1 * k, 0.2], 0.3 * k) for k in range(6)]
RATES = np.geomspace(0.001, 0.1, 40).tolist()


def network(rng, width=2):
    return tw.MLP(2, [width, 1], rng=rng)


def programs(grid, seeds=(1, 2), rates=(0.1, 0.2), **settings):
    specification = Specification(
        make_model=network,
        optimizer=tw.SGD,
        samples=DATA,
        choices={**grid, "learning_rate": list(rates), "seed": list(seeds)},
        steps=3,
        settings=settings,
        engine="native",
        mode="default",
        stop_at=None,
        threads=None,
        routes={name: route(name, network, tw.SGD) for name in grid},
    )
    return LanePrograms(specification, optimizer_table(specification))


@pytest.mark.parametrize(
    ("grid", "settings", "groups"),
    [
        ({}, {}, [[0, 1, 2, 3]]),
        ({"momentum": [0.5, 0.9]}, {}, [list(range(8))]),
        ({"momentum": [0.0, 0.9]}, {}, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ({"initial_scale": [0.5, 1.0]}, {}, [list(range(8))]),
        ({"width": [2, 3]}, {}, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ({"reduction": ["sum", "mean"]}, {}, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ({"batch_size": [None, 4]}, {}, [[0, 1, 2, 3], [4, 6], [5, 7]]),
        ({}, {"batch_size": 4}, [[0, 2], [1, 3]]),
        ({}, {"batch_size": 4, "seed": 9}, [[0, 1, 2, 3]]),
        ({}, {"batch_size": None}, [[0, 1, 2, 3]]),
    ],
)
def test_runs_of_one_program_and_one_order_of_samples_are_a_group(grid, settings, groups):
    found = programs(grid, **settings)
    numbers = np.arange(found.specification.count)
    assert [group.tolist() for group in found.groups(numbers)] == groups
    some = list(found.groups(numbers[1:3]))
    assert sorted(np.concatenate(some).tolist()) == [1, 2]


def counted(make_model):
    def make(rng, **settings):
        make.calls += 1
        return make_model(rng, **settings)

    make.calls = 0
    return make


def test_a_model_is_made_once_for_each_seed_and_scale():
    make = counted(network)
    grid = {"momentum": [0.0, 0.5], "initial_scale": [0.5, 1.0]}
    tw.sweep(make, DATA, RATES, seeds=[1, 2, 3], grid=grid, steps=3, engine="native")
    assert make.calls == 1 + 3 * 2  # the first one is traced


def test_weights_that_are_not_kept_are_the_same(monkeypatch):
    given = {"seeds": [1, 2, 3], "grid": {"initial_scale": [0.5, 2.0]}, "steps": 3}
    kept = tw.sweep(network, DATA, RATES, engine="native", **given)
    monkeypatch.setattr(lane_programs, "_MOST_KEPT", 0)
    made_again = tw.sweep(network, DATA, RATES, engine="native", **given)
    assert kept.losses.tolist() == made_again.losses.tolist()
