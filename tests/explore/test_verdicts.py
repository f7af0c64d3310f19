"""Verdicts on runs: typical curves, thresholds, and the rules written for one run."""

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_results import CURVE, CURVES, run

from talweg.errors import DataError, TalwegError
from talweg.explore.sweep.result import SweepResult
from talweg.explore.verdicts import summary, verdict, verdicts

NAN, INF = math.nan, math.inf
NOISE = random.Random(4)

# ---- typical curves --------------------------------------------------------------------------


def falling(start, factor, steps, floor=0.0):
    return [floor + start * factor**k for k in range(steps)]


def noisy(losses, size):
    return [x + NOISE.uniform(-size, size) for x in losses]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        # diverged: not finite anywhere, or ten times the start
        ([1.0, NAN, 0.5, 0.1], "diverged"),
        ([1.0, 0.5, INF], "diverged"),
        ([NAN], "diverged"),
        ([-INF, 1.0, 1.0], "diverged"),
        ([1.0, 3.0, 11.0], "diverged"),
        ([1.0, 50.0, 11.0, 5.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.001], "converged"),  # an excursion
        ([-1.0, -0.5, 9.0], "diverged"),
        # stuck: flat and not below the start
        ([5.0] * 10, "stuck"),  # dead from the start: every relu off
        ([5.0, *[8.0] * 9], "stuck"),  # a plateau above where it began
        (noisy([5.0, *[8.0] * 30], 0.01), "stuck"),
        ([5.0, 2.0, *[5.0] * 20], "stuck"),
        ([0.0] * 5, "stuck"),
        ([5.0], "stuck"),
        # oscillating
        ([4.0, 1.0] * 10, "oscillating"),
        ([4.0, *[1.0, 2.0] * 20], "oscillating"),
        ([4.0, *[1.0, 1.5, 1.4, 1.3] * 10], "oscillating"),  # one step in four goes up
        ([4.0, *[1.0, 5.0] * 10, 4.5], "oscillating"),
        (noisy(falling(4.0, 0.7, 60, 1.0), 0.3), "oscillating"),
        # converged: small, or flat at the end
        (falling(5.0, 0.8, 50), "converged"),
        (falling(5.0, 0.7, 60, 2.0), "converged"),  # to a floor that it cannot pass
        ([5.0, *[3.0] * 20], "converged"),  # relus that died on the way: flat below the start
        (noisy(falling(5.0, 0.7, 60, 2.0), 0.003), "converged"),  # with noise at the floor
        ([4.0, *[0.03, 0.031] * 20], "converged"),  # noise under 1 % of the fall
        ([100.0, 50.0, 1.0], "converged"),
        # descending
        (falling(5.0, 0.99, 50), "descending"),
        ([8.0, 4.0, 2.0, 1.0], "descending"),
        (noisy(falling(5.0, 0.98, 50), 0.001), "descending"),
        ([4.0, 3.9, 4.0, *falling(3.9, 0.97, 27)], "descending"),  # it rose, but early on
        ([-1.0, -2.0, -5.0, -15.0], "descending"),  # a loss may be below zero
        ([1.0, 0.0, -1.0, -2.0, -3.0], "descending"),
        ([2.0, 1.0], "descending"),
    ],
)
def test_verdict_of_typical_curves(losses, expected):
    assert verdict(losses) == expected
    assert verdict([x * 1024.0 for x in losses]) == expected  # no rule knows a scale
    assert summary(losses).split()[0] in (expected, "still")


def test_the_thresholds_of_the_rules():
    assert verdict([1.0, 0.5, 10.0]) == "oscillating"
    assert verdict([1.0, 0.5, 10.1]) == "diverged"
    assert verdict([100.0, 50.0, 1.01]) == "descending"
    assert verdict([100.0, 50.0, 1.0]) == "converged"
    # "at the end" is the last fifth: the last ten of fifty steps
    steep = falling(5.0, 0.9, 41, 1.0)
    assert verdict(steep[:40] + [1.0] * 10) == "converged"
    assert verdict(steep + [1.0] * 9) == "descending"
    # one step in five of the second half: 4 of 20 is not yet more than that
    calm = [4.0 - 0.05 * k for k in range(20)]
    for rises, expected in ((4, "descending"), (5, "oscillating")):
        second = [2.0]
        for k in range(20):
            second.append(second[-1] + (0.1 if k < rises else -0.1))
        assert verdict([*calm, *second]) == expected


def test_summaries_of_runs():
    assert summary([1.0, 2.0, NAN, INF]) == "diverged at step 3"
    assert summary([1.0, 2.0, 1234.56]) == "diverged to 1235"
    assert summary([8.0] * 5) == "stuck at 8, where it began"
    assert summary([4.0, *[1.0, 2.0] * 9]) == "oscillating between 1 and 2"
    assert summary([5.0, 0.01]) == "converged to 0.01"
    assert summary([5.0, 3.0]) == "still descending at 3"


def test_a_verdict_needs_a_loss():
    for function in (verdict, summary):
        with pytest.raises(DataError, match="needs at least one loss"):
            function([])
    assert issubclass(DataError, TalwegError)


# ---- many runs -------------------------------------------------------------------------------


def by_hand(losses, stop_at=None):
    first, last = losses[0], losses[-1]
    if not all(map(math.isfinite, losses)) or last - first > 9.0 * abs(first):
        return "diverged"
    if stop_at is not None and last <= stop_at:
        return "converged"
    end = losses[-max(2, len(losses) // 5) :]
    spread = max(end) - min(end)
    if last >= first and spread <= 0.01 * abs(last):
        return "stuck"
    fall = first - min(losses)
    pairs = list(pairwise(losses[len(losses) // 2 :]))
    rises = sum(b - a > 0.01 * fall for a, b in pairs)
    if last >= first or rises > 0.2 * len(pairs):
        return "oscillating"
    if 0.0 <= last <= 0.01 * first or spread <= 0.01 * fall:
        return "converged"
    return "descending"


@given(st.lists(CURVE, min_size=1, max_size=12), st.none() | st.floats(-1.0, 5.0))
def test_verdicts_of_many_runs_are_those_of_each(curves, stop_at):
    lengths = [len(curve) for curve in curves]
    table = np.full((len(curves), max(lengths) + 1), 123.0)  # what follows a run does not count
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    expected = [by_hand(curve, stop_at) for curve in curves]
    assert verdicts(table, lengths, stop_at) == expected
    assert [verdict(curve, stop_at) for curve in curves] == expected


def test_the_curves_of_these_tests_have_the_verdicts_they_are_named_after():
    assert [verdict(curve) for curve in CURVES.values()] == list(CURVES)


def test_full_rows_need_no_lengths_and_empty_ones_are_refused():
    assert verdicts(np.array(list(CURVES.values()))) == list(CURVES)
    assert verdicts(np.empty((0, 5))) == []
    with pytest.raises(DataError, match="needs at least one loss"):
        verdicts(np.ones((2, 3)), [3, 0])


def test_a_loss_at_the_target_has_converged():
    losses = [5.0, 4.0, 3.0]
    assert verdict(losses) == "descending"
    assert verdict(losses, stop_at=3.0) == "converged"
    assert verdict([3.0], stop_at=3.0) == "converged"  # not stuck
    assert verdict([5.0, NAN], stop_at=9.0) == "diverged"
    assert summary(losses, 3.0) == "converged to 3, in 3 steps"
    stopped = [run([5.0, 2.9], status="stopped early", stop_at=3.0), run([5.0, 4.0, 3.5])]
    result = SweepResult.of_runs(stopped, steps=3)
    assert result.verdicts == [each.verdict for each in result.runs] == ["converged", "descending"]
