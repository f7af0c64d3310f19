"""Boundaries: the dimension of known curves, and the point with the most boundary around it."""

import math

import numpy as np
import pytest

from talweg.explore.trainability.boundary import (
    boundary,
    box_counting_dimension,
    densest_boundary_point,
)

ROWS, COLUMNS = np.indices((512, 512))


def koch_island(size):
    """Which pixels are inside Koch's snowflake, by the crossings of a ray with its edges."""
    points = np.array([0.0, 0.5 + 0.75**0.5 * 1j, 1.0])
    for _ in range(6):
        third = (np.roll(points, -1) - points) / 3.0
        peak = points + third * (1.0 + np.exp(1j * np.pi / 3.0))
        points = np.stack([points, points + third, peak, points + 2.0 * third], axis=1).ravel()
    middles = -0.1 + 1.2 * (np.arange(size) + 0.5) / size
    inside = np.zeros((size, size), bool)
    for start, end in zip(points, np.roll(points, -1), strict=True):
        low, high = sorted((start, end), key=lambda p: p.imag)
        crossed = (middles - 0.3 > low.imag) & (middles - 0.3 <= high.imag)
        for row in np.flatnonzero(crossed):
            fraction = (middles[row] - 0.3 - low.imag) / (high.imag - low.imag)
            inside[row] ^= middles > low.real + fraction * (high.real - low.real)
    return inside


@pytest.mark.parametrize(
    ("converged", "expected", "tolerance"),
    [
        (ROWS > 100, 1.0, 0.01),
        (ROWS > COLUMNS, 1.0, 0.02),
        (ROWS > 0.37 * COLUMNS + 50, 1.0, 0.02),
        ((ROWS - 256) ** 2 + (COLUMNS - 256) ** 2 < 190**2, 1.0, 0.05),
        ((ROWS + COLUMNS) % 2 == 0, 2.0, 1e-5),
        (koch_island(512), math.log(4.0) / math.log(3.0), 0.1),
        ((ROWS & COLUMNS) == 0, math.log(3.0) / math.log(2.0), 0.1),  # Sierpinski's triangle
    ],
    ids="level diagonal slope circle checkerboard koch sierpinski".split(),
)
def test_dimension_of_known_curves(converged, expected, tolerance):
    found = box_counting_dimension(converged)
    assert found.value == pytest.approx(expected, abs=tolerance)
    assert found.sizes == (2, 4, 8, 16, 32, 64)
    assert 0.0 <= found.error < 0.05
    assert found.summary.startswith(f"the boundary's box-counting dimension is {found.value:.2f}")


def test_the_boxes_of_a_line_are_counted():
    converged = np.zeros((64, 48), bool)
    converged[:, 17:] = True  # the boundary is column 16
    found = box_counting_dimension(converged)
    assert (found.sizes, found.counts) == ((1, 2, 4), (64, 32, 16))
    assert found.value == pytest.approx(1.0)


def test_maps_without_a_dimension():
    same = box_counting_dimension(np.ones((64, 64), bool))
    assert (same.value, same.summary) == (None, "the map has no boundary")
    small = box_counting_dimension(ROWS[:16, :16] > 7)
    assert small.value is None
    assert small.summary == "16 x 16 points are too few to estimate a dimension"


def test_the_densest_point_is_among_stripes_and_not_in_noise():
    rng = np.random.default_rng(1)
    picture = np.zeros((128, 128), bool)
    picture[8:50, 8:50] = rng.random((42, 42)) < 0.5
    picture[80:120, 80:120] = (np.arange(40) // 4) % 2
    picture[10, 100] = True
    row, column = densest_boundary_point(picture)
    assert boundary(picture)[row, column]
    assert 80 <= row < 120
    assert 79 <= column < 120


def test_the_densest_point_of_noise_is_on_the_boundary():
    picture = np.zeros((32, 32), bool)
    picture[4, 20] = True
    assert densest_boundary_point(picture) in {(4, 20), (4, 19), (3, 20)}
    assert densest_boundary_point(np.ones((32, 32), bool)) is None
