"""Functions of several numbers, against mpmath and by differences, in every engine."""

import math
import random

import mpmath
import numpy as np
import pytest
from mpmath import mpf

import talweg as tw
from talweg import Value
from talweg.errors import ShapeError, TalwegError

INF, NAN = math.inf, math.nan
RNG = random.Random(4)
LISTS = [[RNG.uniform(-5.0, 5.0) for _ in range(n)] for n in (1, 2, 3, 7)]
LARGE = [[1000.0, 999.0], [-1000.0, -1001.0, -999.0], [1e300, 0.0], [0.0, 1e-300]]


def exact(name, x):
    with mpmath.workdps(60):
        x = [mpf(a) for a in x]
        total = mpmath.fsum(mpmath.exp(a) for a in x) if max(x) < 1e4 else mpmath.exp(max(x))
        results = {
            "logsumexp": lambda: [mpmath.log(total)],
            "softmax": lambda: [mpmath.exp(a) / total for a in x],
            "log_softmax": lambda: [a - mpmath.log(total) for a in x],
            "norm": lambda: [mpmath.sqrt(mpmath.fsum(a * a for a in x))],
        }
        return list(map(float, results[name]()))


def as_list(x):
    return x if isinstance(x, list) else [x]


NAMES = ["logsumexp", "softmax", "log_softmax", "norm"]
every_function = pytest.mark.parametrize("name", NAMES)


@every_function
@pytest.mark.parametrize("x", [*LISTS, *LARGE[:2]], ids=str)
def test_values(name, x):
    found = as_list(getattr(tw, name)(x))
    assert found == pytest.approx(exact(name, x), rel=1e-14, abs=1e-14)
    assert all(type(y) is float for y in found)
    values = as_list(getattr(tw, name)([Value(a) for a in x]))
    assert [y.data for y in values] == found


def test_numbers_of_all_sizes():
    assert tw.logsumexp([1e300, 0.0]) == 1e300
    assert tw.softmax([1e300, 0.0]) == [1.0, 0.0]
    assert tw.log_softmax([1e300, 0.0]) == [0.0, -1e300]
    assert tw.norm([3e-300, 4e-300]) == pytest.approx(5e-300, rel=1e-15)
    assert tw.norm([3e300, -4e300, 0.0]) == pytest.approx(5e300, rel=1e-15)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([-INF, 0.0], 0.0),
        ([-INF, -INF], -INF),
        ([INF, 0.0], INF),
        ([INF, -INF], INF),
        ([NAN, 0.0], NAN),
        ([0.0, NAN], NAN),
    ],
)
def test_logsumexp_of_infinities(x, expected):
    assert tw.logsumexp(x) == pytest.approx(expected, nan_ok=True)


def test_softmax_of_infinities():
    assert tw.softmax([-INF, 0.0, 0.0]) == [0.0, 0.5, 0.5]
    assert tw.log_softmax([-INF, 0.0]) == [-INF, 0.0]
    assert all(map(math.isnan, tw.softmax([NAN, 0.0])))


@every_function
@pytest.mark.parametrize("x", LISTS[1:], ids=str)
def test_derivatives(name, x):
    assert tw.gradcheck(getattr(tw, name), x).worst < 1e-8
    weights = [0.5 + 0.25 * k for k in range(len(x))]

    def weighted(numbers):
        results = as_list(getattr(tw, name)(numbers))
        return sum((w * y for w, y in zip(weights, results, strict=False)), 0.0)

    slopes = tw.grad(weighted)
    curvature = np.array(tw.hessian(weighted)(x))
    step = 1e-5
    for k in range(len(x)):
        up, down = list(x), list(x)
        up[k] += step
        down[k] -= step
        row = (np.array(slopes(up)) - np.array(slopes(down))) / (2.0 * step)
        assert curvature[k] == pytest.approx(row, rel=1e-6, abs=1e-8)


@every_function
@pytest.mark.parametrize("x", [*LISTS, *LARGE, [0.0, 0.0], [2.0, 2.0, 1.0]], ids=str)
def test_exact_mode_has_the_bits_of_the_eager_engine(name, x):
    def first_of(numbers):
        results = as_list(getattr(tw, name)(numbers))
        return results[0] + 2.0 * results[-1]

    values = [Value(a) for a in x]
    y = first_of(values)
    y.backward()
    value, slopes = tw.value_and_grad(first_of, mode="exact")(x)
    assert value.hex() == y.data.hex()
    assert [s.hex() for s in slopes] == [v.grad.hex() for v in values]
    assert tw.value_and_grad(first_of)(x)[1] == pytest.approx(slopes, rel=1e-12, abs=1e-15)


def test_the_gradient_of_logsumexp_is_softmax():
    for x in (*LISTS, *LARGE):
        values = [Value(a) for a in x]
        tw.logsumexp(values).backward()
        assert [v.grad for v in values] == pytest.approx(tw.softmax(x), rel=1e-14, abs=1e-300)


def test_ties_share_the_gradient():
    assert tw.grad(tw.logsumexp)([1.0, 1.0]) == [0.5, 0.5]


def test_norm_at_zero():
    assert tw.norm([0.0, -0.0]) == 0.0
    assert tw.grad(tw.norm)([0.0, 0.0]) == [0.0, 0.0]
    assert tw.hessian(tw.norm)([0.0, 0.0]) == [[0.0, 0.0], [0.0, 0.0]]
    assert tw.grad(tw.norm)([0.0, -2.0]) == [0.0, -1.0]


def test_dot():
    assert tw.dot([1.0, 1e100, 1.0], [1.0, 1.0, 2.0]) == 1e100
    a, b = [Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]
    y = tw.dot(a, b)
    y.backward()
    assert y.data == 11.0
    assert [v.grad for v in a + b] == [3.0, 4.0, 1.0, 2.0]
    assert tw.dot(np.array([1.0, 2.0]), (3, 4)) == 11.0


def test_they_are_compiled_as_loops():
    x = [0.01 * k for k in range(200)]
    for name in (*NAMES, "dot"):
        arguments = (x, x) if name == "dot" else (x,)
        text = str(tw.explain(getattr(tw, name), *arguments))
        assert "for " in text, name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tw.logsumexp([]), "logsumexp takes at least one number, got an empty list"),
        (lambda: tw.softmax(1.0), "softmax takes a list of numbers, got float 1.0"),
        (lambda: tw.log_softmax("ab"), "log_softmax takes a list of numbers, got str"),
        (lambda: tw.norm(Value(1.0)), "norm takes a list of numbers, got Value"),
        (lambda: tw.dot([1.0], [1.0, 2.0]), "two lists of one length, got 1 and 2 numbers"),
        (lambda: tw.dot([], []), "dot takes at least one number"),
    ],
)
def test_misuse(call, words):
    with pytest.raises(ShapeError, match=words) as caught:
        call()
    assert isinstance(caught.value, TalwegError)
    assert "\n" not in str(caught.value)
