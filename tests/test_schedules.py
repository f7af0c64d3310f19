"""Schedules: their formulas at every step, their ends, and that training obeys them."""

import math
import random

import pytest

import talweg as tw
from talweg.errors import ArgumentError, NumberError
from talweg.schedules import Cosine, Exponential, Linear, OneCycle, StepDecay, Warmup, rate_at


@pytest.mark.parametrize("k", range(25))
def test_the_formulas(k):
    w = min(k / 20, 1.0)
    close = {"rel": 1e-14, "abs": 1e-18}
    assert Linear(0.5, 0.1, 20)(k) == pytest.approx(0.5 * (1 - w) + 0.1 * w, **close)
    assert Cosine(0.5, 20, 0.1)(k) == pytest.approx(0.3 + 0.2 * math.cos(math.pi * w), **close)
    assert Exponential(0.5, 0.9)(k) == pytest.approx(0.5 * math.exp(k * math.log(0.9)), **close)
    drops = [7, 14, 21]
    expected = 0.5 * 0.1 ** sum(k >= drop for drop in drops)
    assert StepDecay(0.5, 0.1, every=7)(k) == pytest.approx(expected, **close)
    expected = 0.5 * (k + 1) / 5 if k < 5 else 0.5 * 0.9 ** (k - 5)
    assert Warmup(5, Exponential(0.5, 0.9))(k) == pytest.approx(expected, **close)


def test_one_cycle_goes_up_and_down_again_between_its_three_corners():
    schedule = OneCycle(2.0, steps=40, rise=0.25)
    rates = [schedule(k) for k in range(45)]
    assert [rates[0], rates[10]] == pytest.approx([2.0 / 25.0, 2.0])
    assert rates[40:] == pytest.approx([2.0 / 1e4] * 5)
    assert rates[5] == pytest.approx((2.0 + 0.08) / 2.0)  # halfway in steps, halfway in rate
    assert rates[25] == pytest.approx((2.0 + 0.0002) / 2.0)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_an_exponential_that_grows_forever_becomes_inf_and_does_not_raise():
    assert Exponential(0.1, 10.0)(400) == math.inf
    assert StepDecay(0.1, 10, every=1)(400) == math.inf


@pytest.mark.parametrize(
    "schedule",
    [
        Linear(0.1, 0.01, 8),
        Cosine(0.1, 10),
        OneCycle(0.1, 10),
        Warmup(3, 0.1),
        lambda k: 0.1 / (k + 1),
    ],
)
def test_training_takes_the_rate_of_each_step(schedule):
    line = tw.MLP(1, [1], output="linear", rng=random.Random(0))
    history = tw.train(line, [([1.0], 0.5)], optimizer=tw.SGD(lr=schedule), steps=10)
    assert history.learning_rates == [schedule(k) for k in range(10)]
    w, b = tw.MLP(1, [1], rng=random.Random(0)).state_dict().values()
    for k in range(10):
        g = 2.0 * (w + b - 0.5)
        w, b = w - schedule(k) * g, b - schedule(k) * g
    assert list(line.state_dict().values()) == pytest.approx([w, b], rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear(-1.0, 0.1, 10), "start must be a finite number of at least 0, got -1.0"),
        (lambda: Linear(1.0, math.nan, 10), "end must"),
        (lambda: Linear(1.0, 0.1, 0), "steps must be an integer of at least 1, got 0"),
        (lambda: Cosine(0.1, 10.0), "steps must"),
        (lambda: Cosine("a", 10), "start must"),
        (lambda: Exponential(0.1, -0.5), "factor must"),
        (lambda: StepDecay(0.1, 0.5, every=0), "every must"),
        (lambda: Warmup(0, 0.1), "steps must"),
        (lambda: Warmup(5, -0.1), "then must"),
        (lambda: OneCycle(math.inf, 10), "peak must"),
        (lambda: OneCycle(0.1, -10), "steps must"),
        (lambda: OneCycle(0.1, 10, rise=0.0), "rise must be between 0 and 1, got 0.0"),
        (lambda: OneCycle(0.1, 10, rise=1.0), "rise must"),
        (lambda: OneCycle(0.1, 10, rise="half"), "rise must"),
    ],
)
def test_settings_that_are_not_valid(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_schedule_that_gives_no_number():
    with pytest.raises(NumberError, match="expected a number, got NoneType None"):
        rate_at(lambda step: None, 3)
