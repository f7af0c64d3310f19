"""Losses: their formulas, their gradients, large numbers, and targets that are refused."""

import math
import random

import mpmath
import numpy as np
import pytest

import talweg as tw
from talweg import Value, losses
from talweg.errors import ArgumentError, NumberError, ShapeError, TalwegError

RNG = random.Random(8)
POINTS = [RNG.uniform(-4.0, 4.0) for _ in range(12)]
LOGITS = [[RNG.uniform(-5.0, 5.0) for _ in range(n)] for n in (1, 2, 3, 7)]


def exact_cross_entropy(z, k):
    """By the textbook formula, at 60 digits."""
    with mpmath.workdps(60):
        return float(mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(a) - z[k]) for a in z)))


# ---- the numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("p", POINTS)
def test_single_numbers(p):
    for t in (-1.0, 1.0):
        assert losses.squared_error(p, t) == pytest.approx((p - t) ** 2, rel=1e-15)
        assert losses.hinge(p, t) == max(0.0, 1.0 - t * p)
    for t in (0.0, 0.3, 1.0):
        s = 1.0 / (1.0 + np.exp(-p))
        expected = -t * np.log(s) - (1.0 - t) * np.log(1.0 - s)
        assert losses.binary_cross_entropy(p, t) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("z", LOGITS)
def test_cross_entropy(z):
    for k in range(len(z)):
        expected = np.log(np.sum(np.exp(z))) - z[k]
        assert losses.cross_entropy(z, k) == pytest.approx(expected, rel=1e-13, abs=1e-14)


def test_several_outputs_are_summed():
    p, t = np.array(POINTS[:6]), np.sign(POINTS[6:])
    assert losses.squared_error(list(p), list(t)) == pytest.approx(np.sum((p - t) ** 2))
    assert losses.hinge(p, t) == pytest.approx(np.sum(np.maximum(0.0, 1.0 - t * p)))


LARGE = [-1e300, -1000.0, -40.0, 0.0, 1e-300, 40.0, 1000.0, 1e300]


@pytest.mark.parametrize("z", LARGE)
def test_large_logits_of_two_classes_neither_overflow_nor_turn_into_nan(z):
    for t in (0.0, 1.0):
        v = Value(z)
        out = losses.binary_cross_entropy(v, t)
        out.backward()
        expected = exact_cross_entropy([0.0, z], int(t)) if abs(z) < 1e4 else max(z, 0.0) - t * z
        assert out.data == pytest.approx(expected, rel=1e-15, abs=1e-15)
        assert v.grad == pytest.approx(1.0 / (1.0 + math.exp(min(-z, 700.0))) - t, abs=1e-15)


@pytest.mark.parametrize("size", [1000.0, 40.0, 700.0, 1e300])
def test_large_logits_of_several_classes(size):
    for z in ([size, -size, 0.0], [-size, -size, -size], [size, size, 0.0]):
        for k in range(3):
            values = [Value(a) for a in z]
            out = losses.cross_entropy(values, k)
            out.backward()
            expected = exact_cross_entropy(z, k)
            assert out.data == pytest.approx(expected, rel=1e-13, abs=1e-13)
            exp = np.exp(np.array(z) - max(z))
            softmax = exp / exp.sum()
            assert [v.grad for v in values] == pytest.approx(
                list(softmax - np.eye(3)[k]), abs=1e-13
            )


# ---- the gradients ---------------------------------------------------------------------------


def test_gradients_agree_with_finite_differences():
    for p in POINTS:
        tw.gradcheck(lambda v: losses.squared_error(v, 0.5), p)
        for t in (-1, 1):
            if abs(1.0 - t * p) > 0.1:
                tw.gradcheck(lambda v, t=t: losses.hinge(v, t), p)
        for t in (0, 0.25, 1):
            tw.gradcheck(lambda v, t=t: losses.binary_cross_entropy(v, t), p)
    for z in LOGITS[1:]:
        for k in range(len(z)):
            tw.gradcheck(lambda v, k=k: losses.cross_entropy(v, k), z)
        tw.gradcheck(lambda v: losses.squared_error(v, [0.0] * len(v)), z)


def test_no_loss_is_below_0_by_rounding():
    rng = random.Random(3)
    for _ in range(2000):
        z = [rng.uniform(-50.0, 50.0) for _ in range(3)]
        best = z.index(max(z))
        assert losses.cross_entropy(z, best) >= 0.0
        assert losses.binary_cross_entropy(z[0], float(z[0] > 0.0)) >= 0.0


def test_a_target_may_be_a_value_too():
    t = Value(0.25)
    losses.squared_error(Value(1.0), t).backward()
    assert t.grad == -1.5


def test_the_names():
    assert list(losses.LOSSES) == [
        "squared_error",
        "hinge",
        "binary_cross_entropy",
        "cross_entropy",
    ]
    for name, loss in losses.LOSSES.items():
        assert getattr(losses, name) is loss


def test_sums_are_plain_sums_from_left_to_right():
    # Python's own `sum` gives 2.0 here since 3.12, and 0.0 before.
    assert losses.add_up([1.0, 1e100, 1.0, -1e100]) == 0.0


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "error", "message"),
    [
        ("squared_error", 1.0, [1.0], ShapeError, "prediction is one number but the target is a l"),
        ("squared_error", [1.0], 1.0, ShapeError, "prediction is a list but the target is one num"),
        ("squared_error", [1.0, 2.0], [1.0], ShapeError, "prediction has 2 numbers, the target 1"),
        ("squared_error", [], [], ShapeError, "has 0 numbers"),
        ("squared_error", 1.0, "a", NumberError, "text 'a'"),
        ("hinge", 0.5, 0.0, ArgumentError, "targets of -1 or 1, got 0.0"),
        ("hinge", 0.5, np.int64(0), ArgumentError, "targets of -1 or 1"),
        ("hinge", [0.5, 1.0], [1, 2], ArgumentError, "targets of -1 or 1, got 2"),
        ("hinge", 0.5, math.nan, ArgumentError, "got nan"),
        ("binary_cross_entropy", 0.5, -1.0, ArgumentError, "from 0 to 1, got -1.0"),
        ("binary_cross_entropy", 0.5, np.int64(2), ArgumentError, "from 0 to 1"),
        ("binary_cross_entropy", 0.5, math.nan, ArgumentError, "got nan"),
        ("binary_cross_entropy", [0.5, 1.0], 1.0, ShapeError, "list of 2; use cross_entropy"),
        ("binary_cross_entropy", 0.5, [1.0], ShapeError, "the target is a list"),
        ("cross_entropy", 0.5, 1, ShapeError, "a single number; .* use binary_cross_entropy"),
        ("cross_entropy", [], 0, ShapeError, "an empty list"),
        *(
            ("cross_entropy", [0.5, 1.0], t, ArgumentError, r"a class from 0 to 1 as target, got")
            for t in (2, -1, 0.5, True, None, "a", "1", math.nan, math.inf, [1], Value(0.5))
        ),
    ],
)
def test_targets_that_do_not_fit(loss, prediction, target, error, message):
    as_values = (
        [Value(p) for p in prediction] if isinstance(prediction, list) else Value(prediction)
    )
    with pytest.raises(error, match=message) as caught:
        losses.LOSSES[loss](as_values, target)
    assert isinstance(caught.value, TalwegError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", [1, 1.0, np.int64(1), np.float64(1.0), np.uint8(1)])
def test_targets_from_numpy_and_files_are_accepted(target):
    assert losses.cross_entropy([0.0, 0.0], target) == pytest.approx(math.log(2.0))
    assert losses.hinge(0.25, target) == 0.75
    assert losses.binary_cross_entropy(0.0, target) == pytest.approx(math.log(2.0))
