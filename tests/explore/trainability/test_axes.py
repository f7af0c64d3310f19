"""Axes of a map: the points of each level, scales, and axes that are not valid."""

import math

import mpmath
import numpy as np
import pytest

from talweg.errors import ArgumentError
from talweg.explore.trainability.axes import parse_axis


@pytest.mark.parametrize(
    "given",
    [
        ("learning_rate", 1e-3, 1e6),
        ("learning_rate", 0.3, 47.0),
        ("momentum", 0.1, 0.95),
        ("initial_scale", 0.5, 3.0, "log"),
    ],
)
def test_a_level_has_every_second_point_of_the_next(given):
    a = parse_axis(given, "x")
    for level in (0, 3, 9, 20, 39):
        first = (1 << level) // 3
        count = min(64, (1 << level) - first)
        coarse, fine = a.values(level, first, count), a.values(level + 1, 2 * first, 2 * count)
        assert fine[::2].tobytes() == coarse.tobytes()
        assert (np.diff(fine) > 0.0).all()


def test_points_of_level_40_are_exact_to_rounding():
    a, level, first = parse_axis(("learning_rate", 1e-3, 1e6), "x"), 40, 987_654_321_012
    found = a.values(level, first, 200)
    with mpmath.workdps(40):
        for i, value in enumerate(found.tolist()):
            exact = mpmath.mpf(10) ** (-3 + mpmath.mpf(9) * (first + i) / 2**level)
            assert abs(value / exact - 1) < 1e-14
    steps = np.diff(np.log10(found)) / (9.0 / 2**level)
    assert abs(steps - 1.0).max() < 0.2
    assert [a.index(x, level) - first for x in found[:3].tolist()] == [0, 1, 2]


def test_points_of_the_finest_level_are_distinct():
    for given in [("momentum", 0.5, 0.500001), ("learning_rate", 1.0, 1.001, "log")]:
        a = parse_axis(given, "x")
        found = a.values(a.finest_level, (1 << a.finest_level) - 64, 64)
        assert len(set(found.tolist())) == 64
        beyond = a.finest_level + 8
        assert len(set(a.values(beyond, (1 << beyond) - 64, 64).tolist())) < 64


@pytest.mark.parametrize(
    ("given", "scale"),
    [
        (("learning_rate", 1.0, 10.0), "log"),
        (("learning_rate", 1.0, 9.9), "linear"),
        (("learning_rate", 0.0, 9.9), "linear"),
        (("learning_rate", 1, 2, "log"), "log"),
        (["learning_rate[3]", 1e-3, 1.0, "linear"], "linear"),
    ],
)
def test_scale(given, scale):
    assert parse_axis(given, "x").scale == scale


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("learning_rate", r"x must be \(name, low, high\) such as"),
        (("learning_rate", 1.0), r"x must be \(name, low, high\) such as"),
        (("learning rate", 1.0, 2.0), "x must be the name of a setting"),
        (("learning_rate[-1]", 1.0, 2.0), "x must be the name of a setting"),
        (("momentum[0]", 0.0, 0.9), "momentum is the same for all layers"),
        (("momentum", 0.9, 0.0), "from a low number to a higher one"),
        (("momentum", 0.0, math.inf), "finite numbers, got inf"),
        (("momentum", "0", 1.0), "finite numbers, got '0'"),
        (("momentum", 0.0, True), "finite numbers, got True"),
        (("momentum", -1e308, 1e308), "from a low number to a higher one"),
        (("momentum", 0.0, 1.0, "log"), "must start above 0"),
        (("momentum", 0.0, 1.0, "square"), '"log" or "linear"'),
    ],
)
def test_axes_that_are_not_valid(given, message):
    with pytest.raises(ArgumentError, match=message):
        parse_axis(given, "x")
