"""The choice of an executor, the count of operations, and the eager executor by itself."""

import random

import pytest

import talweg as tw
from talweg import SGD, Adam, Value
from talweg.errors import ArgumentError, NativeError
from talweg.training.eager_executor import EagerExecutor, loss_and_gradient
from talweg.training.executor import choose_executor, operation_count
from talweg.training.history import RunRecord
from talweg.training.native_executor import NativeExecutor
from talweg.training.objective import Objective
from talweg.training.settings import Settings


def objective(examples=3, mean=False):
    """The sum of (w x + b - 2 x)**2 over x = 1, 2, ..."""
    w, b = Value(0.5), Value(0.0)
    xs = [float(k + 1) for k in range(examples)]
    return Objective([w, b], lambda x: (w * x + b - 2.0 * x) ** 2, xs, mean=mean)


def settings(**given):
    return Settings(**{"optimizer": SGD(0.01), "steps": 10, **given})


# ---- the choice ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind", "engine", "reason"),
    [
        ({"engine": "eager", "steps": 10**6}, EagerExecutor, "eager", ""),
        ({"steps": 10}, EagerExecutor, "eager", "the run is too short to be worth compiling"),
        ({"steps": 10**6}, NativeExecutor, "native", ""),
        ({"engine": "native", "mode": "exact"}, NativeExecutor, "native, exact", ""),
        (
            {"steps": 10**6, "mode": "exact", "clip_norm": 1.0},
            EagerExecutor,
            "eager",
            'mode="exact" does not support clip_norm',
        ),
    ],
)
def test_the_choice_of_an_executor(given, kind, engine, reason):
    executor, why = choose_executor(objective(), settings(**given), as_floats=True)
    assert type(executor) is kind
    assert (executor.engine, why) == (engine, reason)


def test_native_code_that_is_not_possible_is_an_error_if_it_is_requested():
    with pytest.raises(NativeError, match=r'^native code is not possible: mode="exact" does'):
        choose_executor(
            objective(), settings(engine="native", mode="exact", clip_norm=1.0), as_floats=True
        )


def test_the_choice_draws_no_random_numbers():
    def loss(x):
        return w * x * random.random()

    w, state = Value(1.0), random.getstate()
    given = Objective([w], loss, [1.0], mean=False)
    executor, reason = choose_executor(given, settings(steps=10**6), as_floats=True)
    assert isinstance(executor, EagerExecutor)
    assert "draws random numbers from random" in reason
    assert random.getstate() == state


def test_operations_are_counted_without_leaves():
    w = Value(0.5)
    assert operation_count(lambda x: (w * x - 1.0) ** 2, 3.0) == 3
    assert operation_count(lambda x: w, 3.0) == 0
    assert operation_count(lambda x: 3.0, 3.0) == 0
    assert operation_count(lambda x: 1 / 0, 3.0) == 0


# ---- the eager executor ----------------------------------------------------------------------


def test_the_gradient_of_a_batch():
    given = objective(3)
    assert loss_and_gradient(given, [0, 2]) == 1.5**2 + 4.5**2
    assert [p.grad for p in given.parameters] == [-2 * 1.5 - 2 * 4.5 * 3, -2 * 1.5 - 2 * 4.5]
    mean = objective(2, mean=True)
    assert loss_and_gradient(mean, None) == (1.5**2 + 3.0**2) / 2


def test_a_loss_without_a_gradient_is_refused():
    with pytest.raises(ArgumentError, match=r"bare number 2\.0, which has no gradient"):
        loss_and_gradient(Objective([Value(1.0)], lambda x: 2.0, [1.0], mean=False), None)


def test_steps_are_recorded_and_the_state_is_stored():
    given, record = objective(), RunRecord()
    executor = EagerExecutor(given, Adam(tw.schedules.Linear(0.1, 0.0, 10)))
    executor.take_steps([None, [0], [1, 2]], record)
    assert record.history.learning_rates == pytest.approx([0.1, 0.09, 0.08])
    assert len(record.history.losses) == len(record.history.seconds) == 3
    assert executor.states != [(0.0, 0.0)] * 2


def test_a_parameter_with_its_own_rate():
    shared, own = objective(), objective()
    EagerExecutor(shared, SGD(0.01)).take_steps([None], RunRecord())
    w, b = own.parameters
    executor = EagerExecutor(own, SGD(0.01), own_rates={b: 0.0})
    executor.take_steps([None], RunRecord())
    assert (w.data, b.data) == (shared.parameters[0].data, 0.0)


def test_a_diverged_step_changes_nothing_and_is_the_last():
    given, record = objective(), RunRecord()
    before = [p.data for p in given.parameters]
    EagerExecutor(given, SGD(1e308)).take_steps([None, None], record)
    assert [p.data for p in given.parameters] == before
    assert (record.history.status, record.history.steps) == ("diverged", 1)
    assert "the update is not finite" in record.history.verdict
