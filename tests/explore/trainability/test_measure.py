"""The published measure of runs, compared with a loop of plain floats."""

import math
import random

import numpy as np
import pytest

from talweg.errors import ArgumentError, DataError
from talweg.explore.trainability.measure import convergence_measure


def published_measure(losses):
    """The published formula for one run whose first loss is above 0."""
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
    np.testing.assert_allclose(found, [published_measure(run) for run in runs], rtol=1e-12)
    assert (found < 0.0).any()
    assert (found > 0.0).any()


def test_a_loss_is_at_most_a_million_times_the_first():
    assert convergence_measure(np.array([[1e-300, 1e300]])) == pytest.approx(1.0 + 1e-6)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.0, 0.0, 0.0], -1.0),  # nothing to learn
        ([0.0, 1.0, 1.0], 1.0 + 2e-6),  # the loss rises from 0
        ([math.inf, math.nan, math.nan], 3.0),
        ([math.nan, math.nan], 2.0),
        ([4.0], 1.0),
        ([1.0, 0.0, 8.0], 1e300),  # 1 / 0
    ],
)
def test_measure_where_the_formula_divides_by_zero(losses, expected):
    assert convergence_measure(np.array([losses])).tolist() == [pytest.approx(expected, rel=1e-15)]


def test_measure_does_not_change_its_losses():
    losses = np.array([[2.0, math.inf]])
    convergence_measure(losses)
    assert losses.tolist() == [[2.0, math.inf]]


def test_negative_losses_and_no_steps_are_errors():
    with pytest.raises(ArgumentError, match=r"at least 0, but one is -0\.5"):
        convergence_measure(np.array([[1.0, -0.5]]))
    with pytest.raises(DataError, match="at least one step"):
        convergence_measure(np.zeros((3, 0)))
