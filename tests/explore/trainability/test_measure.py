"""The published measure against a loop of plain floats; dimensions of known curves."""

import math
import random

import numpy as np
import pytest

from talweg.errors import ArgumentError, DataError
from talweg.explore.trainability.measure import (
    boundary,
    box_counting_dimension,
    busiest_point,
    convergence_measure,
)


def one_by_one(losses):
    """The published formula, written out for one run whose first loss is above 0."""
    v = [loss if math.isfinite(loss) else 1e6 for loss in losses]
    v = [min(loss / v[0], 1e6) for loss in v]
    last = v[-20:]
    if sum(last) / len(last) < 1.0:
        return -sum(v)
    return sum(1.0 / x for x in v)


def test_measure_of_random_runs():
    rng = random.Random(3)
    runs = [[math.exp(rng.gauss(0.0, 3.0)) for _ in range(60)] for _ in range(40)]
    for run in runs[::3]:
        run[rng.randrange(1, 60) :] = [rng.choice([math.inf, math.nan])] * 60
        del run[60:]
    found = convergence_measure(np.array(runs))
    np.testing.assert_allclose(found, [one_by_one(run) for run in runs], rtol=1e-12)
    assert (found < 0.0).any()
    assert (found > 0.0).any()


def test_a_huge_finite_loss_counts_as_a_millionfold_one():
    assert convergence_measure(np.array([[1e-300, 1e300]])) == pytest.approx(1.0 + 1e-6)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.0, 0.0, 0.0], -1.0),  # nothing was to be learnt
        ([0.0, 1.0, 1.0], 1.0 + 2e-6),  # the loss left 0
        ([math.inf, math.nan, math.nan], 3.0),
        ([math.nan, math.nan], 2.0),
        ([4.0], 1.0),
        ([1.0, 0.0, 8.0], 1e300),  # 1 / 0 is that
    ],
)
def test_measure_where_the_formula_divides_by_zero(losses, expected):
    assert convergence_measure(np.array([losses])).tolist() == [pytest.approx(expected, rel=1e-15)]


def test_measure_does_not_change_its_losses():
    losses = np.array([[2.0, math.inf]])
    convergence_measure(losses)
    assert losses.tolist() == [[2.0, math.inf]]


def test_measure_refuses():
    with pytest.raises(ArgumentError, match=r"at least 0, but one is -0\.5"):
        convergence_measure(np.array([[1.0, -0.5]]))
    with pytest.raises(DataError, match="at least one step"):
        convergence_measure(np.zeros((3, 0)))


# ---- the dimension of a boundary ---------------------------------------------------------------

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
            share = (middles[row] - 0.3 - low.imag) / (high.imag - low.imag)
            inside[row] ^= middles > low.real + share * (high.real - low.real)
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


def test_dimension_counts_boxes():
    converged = np.zeros((64, 48), bool)
    converged[:, 17:] = True  # the boundary is column 16
    found = box_counting_dimension(converged)
    assert (found.sizes, found.counts) == ((1, 2, 4), (64, 32, 16))
    assert found.value == pytest.approx(1.0)


def test_no_dimension():
    same = box_counting_dimension(np.ones((64, 64), bool))
    assert (same.value, same.summary) == (None, "there is no boundary in this picture")
    small = box_counting_dimension(ROWS[:16, :16] > 7)
    assert (small.value, small.summary) == (None, "16 x 16 points are too few to tell a dimension")


# ---- where to look closer ----------------------------------------------------------------------


def test_busiest_point_prefers_stripes_to_noise():
    rng = np.random.default_rng(1)
    picture = np.zeros((128, 128), bool)
    picture[8:50, 8:50] = rng.random((42, 42)) < 0.5
    picture[80:120, 80:120] = (np.arange(40) // 4) % 2
    picture[10, 100] = True
    row, column = busiest_point(picture)
    assert boundary(picture)[row, column]
    assert 80 <= row < 120
    assert 79 <= column < 120


def test_busiest_point_of_noise_alone_is_on_the_boundary():
    picture = np.zeros((32, 32), bool)
    picture[4, 20] = True
    assert busiest_point(picture) in {(4, 20), (4, 19), (3, 20)}
    assert busiest_point(np.ones((32, 32), bool)) is None
