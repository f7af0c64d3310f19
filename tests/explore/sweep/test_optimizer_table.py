"""The optimisers of a sweep as arrays: the same whether one is made for each entry or not."""

import numpy as np
import pytest

import talweg as tw
from talweg.errors import ArgumentError, NativeError
from talweg.explore.sweep.optimizer_table import ByClass, ByFunction, optimizer_table
from talweg.explore.sweep.specification import Specification


def specification(optimizer, **choices):
    choices.setdefault("learning_rate", [0.3, 0.1, 2])
    choices["learning_rate"] = choices.pop("learning_rate")  # it varies fastest
    return Specification(
        make_model=lambda rng: tw.MLP(1, [1], rng=rng),
        optimizer=optimizer,
        samples=[([1.0], 0.0)],
        choices={**choices, "seed": [1]},
        steps=4,
        settings={},
        engine="native",
        mode="default",
        stop_at=None,
        threads=None,
        routes={name: "optimizer" for name in choices if name != "learning_rate"},
    )


CASES = [
    (tw.SGD, {}),
    (tw.SGD, {"learning_rate": [0.1]}),
    (tw.SGD, {"learning_rate": [0.0, 0.1]}),
    (tw.SGD, {"momentum": [0.9, 0.0, 0.5], "weight_decay": [0, 1]}),
    (tw.SGD, {"momentum": [0.5, 0.9], "nesterov": [False, True], "weight_decay": [0.0, 0.1, 2]}),
    (tw.Adam, {"beta1": [0.0, 0.5, 0.5], "beta2": [0.9]}),
    (tw.RMSprop, {"decay": [0.1, 0.2], "epsilon": [0.0, 1e-8]}),
]


@pytest.mark.parametrize(("optimizer", "grid"), CASES)
def test_a_class_and_a_function_give_the_same_table(optimizer, grid):
    asked = specification(optimizer, **grid)
    one, other = ByClass(asked), ByFunction(asked)
    assert one.kind.tolist() == other.kind.tolist()
    assert len(one.families) == len(other.families)
    for kind, (mine, others) in enumerate(zip(one.families, other.families, strict=True)):
        assert mine == others
        entries = np.flatnonzero(one.kind == kind)
        rates = other.rates(entries, others, 4)
        assert one.rates(entries, mine, 4).tolist() == rates.tolist()
        for name in mine.varied:
            assert one.numbers(name, entries).tolist() == other.numbers(name, entries).tolist()


def test_few_optimisers_of_a_class_are_made():
    class Counted(tw.SGD):
        made = 0

        def __post_init__(self):
            super().__post_init__()
            Counted.made += 1

    Counted.__module__ = "talweg.optim"
    rates = np.geomspace(0.001, 1.0, 5000).tolist()
    table = optimizer_table(specification(Counted, momentum=[0.0, 0.5, 0.9], learning_rate=rates))
    assert Counted.made <= 8
    entries = np.flatnonzero(table.kind == 1)
    assert table.rates(entries, table.families[1], 4).tolist() == rates * 2
    assert table.numbers("momentum", entries).tolist() == [0.5] * 5000 + [0.9] * 5000


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"learning_rate": [0.1, -2.0, -1.0, -3.0]}, "lr must be .* got -2.0"),
        ({"learning_rate": [0.1, float("nan")]}, "lr must be .* got nan"),
        ({"learning_rate": [0.1, float("inf"), -1.0]}, "lr must be .* got inf"),
        ({"momentum": [0.5, 1.5, 2.5]}, "momentum must be at least 0 and below 1, got 1.5"),
        ({"momentum": [0.5, None]}, "momentum must be .* got None"),
        ({"momentum": [0.5, 0.0], "nesterov": [True]}, "nesterov needs momentum"),
    ],
)
def test_the_first_setting_that_is_refused_is_reported(grid, message):
    with pytest.raises(ArgumentError, match=message):
        optimizer_table(specification(tw.SGD, **grid))


def test_a_function_is_called_for_each_entry():
    calls = []

    def make(lr, momentum):
        calls.append((momentum, lr))
        return tw.SGD(min(lr, 0.2), momentum=momentum, weight_decay=lr)

    table = optimizer_table(specification(make, momentum=[0.0, 0.5], learning_rate=[0.1, 0.3]))
    assert calls == [(0.0, 0.1), (0.0, 0.3), (0.5, 0.1), (0.5, 0.3)]
    assert table.kind.tolist() == [0, 0, 1, 1]
    assert [family.varied for family in table.families] == [("weight_decay",)] * 2
    entries = np.array([3, 2, 3])
    assert table.rates(entries, table.families[1], 4).tolist() == [0.2, 0.1, 0.2]
    assert table.numbers("weight_decay", entries).tolist() == [0.3, 0.1, 0.3]


def test_rates_that_follow_a_schedule_have_a_row_for_each_step():
    def make(lr):
        return tw.SGD(tw.schedules.Cosine(lr, steps=4) if lr > 0.2 else lr)

    table = optimizer_table(specification(make, learning_rate=[0.1, 0.3]))
    (family,) = table.families
    assert family.scheduled
    rates = table.rates(np.array([1, 0, 1]), family, 4)
    cosine = [tw.schedules.Cosine(0.3, steps=4)(k) for k in range(4)]
    assert rates.T.tolist() == [cosine, [0.1] * 4, cosine]


def test_optimisers_that_are_not_one_program_have_no_families():
    def make(lr):
        return tw.AdamW(lr) if lr < 0.2 else tw.Adam(lr, weight_decay=0.01)

    table = optimizer_table(specification(make))
    assert table.kind.tolist() == [0, 0, 0]
    with pytest.raises(NativeError, match="of several kinds"):
        _ = table.families
