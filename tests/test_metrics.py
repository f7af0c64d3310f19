"""Metrics: against scikit-learn, and data that they cannot judge."""

import math
import random

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, r2_score

from talweg import Value, metrics
from talweg.errors import DataError, ShapeError

RNG = random.Random(12)


def identity(x):
    return x


def first(x):
    return x[0]


def test_r_squared_is_scikit_learns():
    true = np.array([[RNG.gauss(3.0, 2.0), RNG.gauss(0.0, 1.0)] for _ in range(30)])
    found = true + np.array([[RNG.gauss(0.0, 0.7)] * 2 for _ in range(30)])
    one = metrics.r_squared(first, [([p], t) for p, t in zip(found[:, 0], true[:, 0], strict=True)])
    assert one == pytest.approx(r2_score(true[:, 0], found[:, 0]))
    both = metrics.r_squared(identity, zip(found, true, strict=True))
    wrong, spread = ((true - found) ** 2).sum(), ((true - true.mean(axis=0)) ** 2).sum()
    assert both == pytest.approx(1.0 - wrong / spread)


def test_classes_are_scikit_learns():
    outputs = [[Value(RNG.gauss(0.0, 1.0)) for _ in range(3)] for _ in range(50)]
    true = [RNG.randrange(3) for _ in outputs]
    found = [int(np.argmax([v.data for v in row])) for row in outputs]
    data = list(zip(outputs, true, strict=True))
    assert metrics.accuracy(identity, data) == accuracy_score(true, found)
    expected = confusion_matrix(true, found).tolist()
    assert metrics.confusion_matrix(identity, data, classes=3) == expected


def test_two_classes_by_the_sign_of_one_output():
    assert [metrics.predicted_class(x) for x in (-1.0, 0.0, 1e-9)] == [0, 0, 1]
    assert metrics.predicted_class([1.0, 2.0, 2.0]) == 1  # the first at a tie
    zeros_and_ones = [([0.5], 1), ([-0.5], 0), ([-0.5], 1), ([0.5], 0)]
    signs = [(x, 1.0 if y else -1.0) for x, y in zeros_and_ones]
    for data in (zeros_and_ones, signs):
        assert metrics.accuracy(first, data) == 0.5
        assert metrics.confusion_matrix(first, data, classes=2) == [[1, 1], [1, 1]]


@pytest.mark.parametrize("output", [math.nan, [math.nan, 1.0], [1.0, math.nan], [math.nan] * 3])
def test_nan_is_of_no_class(output):
    outputs = output if isinstance(output, list) else [output]
    assert metrics.predicted_class(output) == metrics.NO_CLASS
    data = [(outputs, k) for k in range(max(2, len(outputs)))]
    assert metrics.accuracy(identity, data) == 0.0
    matrix = metrics.confusion_matrix(identity, [*data, ([1.0], 1)], classes=3)
    assert matrix == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_infinities_are_of_a_class():
    assert metrics.predicted_class([-math.inf, math.inf]) == 1
    assert metrics.predicted_class(math.inf) == 1


def test_overflow_is_not_an_exception():
    assert metrics.r_squared(first, [([1e200], 1.0), ([1.0], 2.0)]) == -math.inf
    assert math.isnan(metrics.r_squared(first, [([math.nan], 1.0), ([1.0], 2.0)]))
    assert math.isnan(metrics.r_squared(first, [([1.0], 2.0), ([3.0], 2.0)]))


@pytest.mark.parametrize("y", [0.5, -2, "setosa", None, [1.0, 0.0], math.nan, math.inf])
def test_targets_that_are_no_class(y):
    for metric in (metrics.accuracy, lambda m, d: metrics.confusion_matrix(m, d, classes=2)):
        with pytest.raises(DataError, match="class of a sample must be an integer"):
            metric(first, [([1.0], y)])


def test_other_data_that_cannot_be_judged():
    for metric in (metrics.accuracy, metrics.r_squared):
        with pytest.raises(DataError, match="needs at least one sample, got none"):
            metric(first, [])
    with pytest.raises(DataError, match="class 2 is not one of the 2 classes 0 to 1"):
        metrics.confusion_matrix(first, [([1.0], 2)], classes=2)
    with pytest.raises(ShapeError, match="prediction has 2 numbers, its target 1"):
        metrics.r_squared(identity, [([1.0, 2.0], 1.0)])
    with pytest.raises(ShapeError, match="prediction has 2 numbers, its target 3"):
        metrics.r_squared(identity, [([1.0, 2.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])])
    with pytest.raises(ShapeError):
        metrics.r_squared(identity, [([], [])])
