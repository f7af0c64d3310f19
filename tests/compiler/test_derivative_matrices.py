"""Jacobians and Hessians by colouring: closed forms, rows of products, mpmath, differences."""

import itertools
import random

import mpmath
import numpy as np
import pytest
from scipy.optimize import rosen_hess

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.derivative_matrix import hessian_of, jacobian_of
from talweg.compiler.differentiation import Differentiator
from talweg.compiler.passes.colouring import column_colours, star_colours

MODES = ["exact", "default"]


def rosenbrock(x):
    return sum(100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2 for a, b in itertools.pairwise(x))


def banded(x, width):
    """Each number meets the next ones, by an expression of its own."""
    return sum(
        tw.sin(x[i] * x[j]) + x[i] / (2.0 + x[j] ** 2)
        for i in range(len(x))
        for j in range(i + 1, min(len(x), i + 1 + width))
    )


def arrow(x):
    return sum(tw.exp(0.1 * x[0] * a) for a in x[1:])


def pairs(x):
    """Numbers far apart meet; nothing else does."""
    half = len(x) // 2
    return sum(a * a * tw.tanh(b) for a, b in zip(x[:half], x[half:], strict=False))


def dense(x):
    return tw.log(1.0 + sum(a * a for a in x)) * sum(x)


def separable(x):
    return sum(tw.softplus(a) for a in x)


def linear(x):
    return sum(2.0 * a for a in x)


def chain(x):
    """A recurrence, as in optimal control."""
    state, cost = 1.0, 0.0
    for u in x:
        state = state + 0.1 * (tw.sin(state) + u)
        cost = cost + state * state + 0.01 * u * u
    return cost


FUNCTIONS = {
    "rosenbrock": rosenbrock,
    "band 2": lambda x: banded(x, 2),
    "band 5": lambda x: banded(x, 5),
    "arrow": arrow,
    "pairs": pairs,
    "dense": dense,
    "separable": separable,
    "linear": linear,
    "chain": chain,
}


def start(n, seed=0):
    return np.random.default_rng(seed).uniform(0.2, 1.5, size=n)


def row_by_row(f, x):
    """The Hessian by the eager engine: gradients of gradients."""
    v = [tw.Value(a) for a in x]
    return np.array([[h.data for h in tw.gradients(g, v)] for g in tw.gradients(f(v), v)])


# ---- Hessians ------------------------------------------------------------------------------------


OF_ONE_NUMBER = ("dense", "separable", "linear", "chain")


@pytest.mark.parametrize(
    ("name", "n"),
    [(name, n) for name in FUNCTIONS for n in (1, 2, 7, 17) if n > 1 or name in OF_ONE_NUMBER],
)
def test_hessians_are_those_of_the_eager_engine(name, n):
    f = FUNCTIONS[name]
    for seed in range(2):
        x = start(n, seed)
        expected = row_by_row(f, x)
        scale = max(1.0, np.abs(expected).max())
        found = tw.hessian(f)(x)
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-11 * scale)
        assert (found == found.T).all()
        assert (tw.hessian(f, sparse=True)(x).toarray() == found).all()
        assert tw.hessian(f)(x.tolist()) == found.tolist()
        assert tw.hessian(f, mode="exact")(x) == pytest.approx(expected, rel=1e-13)
        p = start(n, 9)
        assert tw.hvp(f)(x, p) == pytest.approx(expected @ p, rel=1e-10, abs=1e-11 * scale)


def test_the_hessian_of_rosenbrock_is_the_closed_form():
    x = np.random.default_rng(0).normal(size=100)
    assert tw.hessian(rosenbrock)(x) == pytest.approx(rosen_hess(x), rel=1e-12, abs=1e-10)


def test_hessians_agree_with_mpmath():
    mpmath.mp.dps = 40

    def f(x, exp, sin):
        return exp(x[0] * x[1]) / (1.0 + x[2] ** 2) + sin(x[1] * x[2])

    x = [0.3, -0.7, 1.1]
    found = tw.hessian(lambda x: f(x, tw.exp, tw.sin))(np.array(x))
    for i in range(3):
        for j in range(3):
            order = [0, 0, 0]
            order[i] += 1
            order[j] += 1
            exact = mpmath.diff(lambda *x: f(x, mpmath.exp, mpmath.sin), tuple(x), tuple(order))
            assert found[i, j] == pytest.approx(float(exact), rel=1e-12)


def programs_of(f, x, several=False):
    return Differentiator(f, 0, "default", several=several).programs((x,), {})


@pytest.mark.parametrize(
    ("name", "n", "entries", "products"),
    [
        ("rosenbrock", 100, 298, 3),
        ("separable", 50, 50, 1),
        ("arrow", 30, 30 + 2 * 29, 2),
        ("pairs", 40, 80, 2),
        ("dense", 9, 81, 9),
        ("linear", 9, 0, 1),
    ],
)
def test_hessians_need_few_products_where_programs_are_sparse(name, n, entries, products):
    matrix = hessian_of(*programs_of(FUNCTIONS[name], start(n)))
    found = tw.hessian(FUNCTIONS[name], sparse=True)(start(n))
    assert found.nnz == entries
    assert found.has_sorted_indices
    assert matrix.products == products


DIFFICULT = {
    "power 1.5": (lambda v: v[0] ** 1.5 + v[1] ** 2, [0.0, 1.0]),
    "square root times": (lambda v: tw.sqrt(v[0]) * v[1], [0.0, 1.0]),
    "square root and": (lambda v: tw.sqrt(v[0]) + v[1] ** 2 * v[0], [0.0, 1.0]),
    "x log x": (lambda v: v[0] * tw.log(v[0]) + v[1] ** 2, [0.0, 1.0]),
    "where": (lambda v: tw.where(v[0] > 0.0, tw.log(v[0]), v[0]) * v[1], [-1.0, 1.0]),
    "where at the edge": (lambda v: tw.where(v[0] > 0.0, tw.sqrt(v[0]), 0.0) * v[1], [0.0, 2.0]),
    "norm at 0": (lambda v: tw.sqrt(v[0] * v[0] + v[1] * v[1]), [0.0, 0.0]),
    "absolute value": (lambda v: abs(v[0]) * v[1], [0.0, 1.0]),
    "relu": (lambda v: tw.relu(v[0] * v[1]), [0.0, 1.0]),
    "quotient": (lambda v: v[1] / v[0], [0.0, 1.0]),
    "maximum": (lambda v: tw.max(v[0], v[1]) ** 2, [1.0, 1.0]),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", DIFFICULT)
def test_at_difficult_points_zeros_are_not_multiplied_by_infinite_slopes(name, mode):
    """Each entry is that of the eager engine, which computes each row on its own."""
    f, x = DIFFICULT[name]
    point = np.array(x)
    second = row_by_row(f, x)
    np.testing.assert_array_equal(tw.hessian(f, mode=mode)(point), second)
    np.testing.assert_array_equal(tw.hessian(f, mode=mode, sparse=True)(point).toarray(), second)
    v = [tw.Value(a) for a in x]
    several = lambda v: [f(v) + v[1], v[1] * 2.0, f([v[0], v[1] + v[0]])]  # noqa: E731
    first = [[g.data for g in tw.gradients(output, v)] for output in several(v)]
    found = tw.jacobian(several, mode=mode)(point)
    # Forward mode may have a number where the eager engine, in reverse mode, has none.
    known = ~np.isnan(first)
    np.testing.assert_array_equal(found[known], np.array(first)[known])


def test_a_shared_parameter_at_a_difficult_point():
    class Scale:
        def __init__(self, w):
            self.w = w

        def parameters(self):
            return [self.w, self.w]

    found = tw.hessian(lambda a: a.w**1.5 * 2.0)(Scale(tw.Value(0.0)))
    assert found == [[float("inf")] * 2] * 2


def test_programs_without_loops_have_the_same_hessians(monkeypatch):
    x = start(6)
    expected = tw.hessian(dense)(x)
    monkeypatch.setattr(pipeline, "LONGEST_TEXT", 0)
    assert tw.hessian(dense)(x) == pytest.approx(expected, rel=1e-12)
    assert tw.hvp(dense)(x, x) == pytest.approx(expected @ x, rel=1e-12)


def test_hessians_of_large_sparse_programs():
    n = 3000
    x = start(n)
    found = tw.hessian(rosenbrock, sparse=True)(x)
    assert found.shape == (n, n)
    assert found.diagonal(1) == pytest.approx(-400.0 * x[:-1], rel=1e-13)
    assert found.diagonal()[1:-1] == pytest.approx(
        202.0 + 1200.0 * x[1:-1] ** 2 - 400.0 * x[2:], rel=1e-12
    )


# ---- Jacobians -----------------------------------------------------------------------------------


def differences(f, x):
    """The Jacobian by central differences of plain floats."""
    columns = []
    for j in range(len(x)):
        step = np.zeros(len(x))
        step[j] = 1e-6
        columns.append((np.array(f(x + step)) - np.array(f(x - step))) / 2e-6)
    return np.array(columns).T


RESULTS = {
    "wide": lambda x: [x[0] * x[1] * x[2], sum(a * a for a in x)],
    "tall": lambda x: [x[k % len(x)] ** 2 * x[0] for k in range(23)],
    "banded": lambda x: [a * b + a for a, b in itertools.pairwise(x)],
    "diagonal": lambda x: [a * a * a for a in x],
    "dense": lambda x: [sum(tw.sin(a * (k + 1.0)) for a in x) for k in range(5)],
    "with constants": lambda x: [x[0], 3.0, 2, x[1] * x[0], x[-1]],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", RESULTS)
def test_jacobians_agree_with_differences(name, mode):
    f, x = RESULTS[name], start(9)
    found = tw.jacobian(f, mode=mode)(x)
    assert found == pytest.approx(differences(f, x), rel=1e-6, abs=1e-7)
    assert (tw.jacobian(f, mode=mode, sparse=True)(x).toarray() == found).all()
    assert tw.jacobian(f, mode=mode)(x.tolist()) == found.tolist()


@pytest.mark.parametrize(
    ("name", "n", "products"),
    [("wide", 100, 2), ("tall", 3, 2), ("banded", 100, 2), ("diagonal", 50, 1)],
)
def test_jacobians_take_the_direction_with_fewer_products(name, n, products):
    matrix = jacobian_of(*programs_of(RESULTS[name], start(n), several=True))
    assert matrix.products == products


def test_the_shape_of_a_jacobian():
    x = np.array([2.0, 3.0])
    assert tw.jacobian(lambda x: x * x)(x).tolist() == [[4.0, 0.0], [0.0, 6.0]]
    assert tw.jacobian(lambda x: x[0] * x[1])(x).tolist() == [3.0, 2.0]
    assert tw.jacobian(lambda x: x * x)(3.0) == 6.0
    assert tw.jacobian(lambda x: [x, x * x])(3.0) == [1.0, 6.0]
    assert tw.jacobian(lambda x: np.array([x, x * x]))(3.0).tolist() == [1.0, 6.0]
    assert tw.jacobian(lambda v: np.array([v[0] * v[1]]))([2.0, 3.0]).tolist() == [[3.0, 2.0]]
    found = tw.jacobian(lambda v: {"p": v[0] * v[1], "q": [v[0]]})(x)
    assert found["p"].tolist() == [3.0, 2.0]
    assert found["q"][0].tolist() == [1.0, 0.0]
    assert tw.jacobian(lambda d: (d["a"] * d["b"],))({"a": 2.0, "b": 3.0}) == (
        {"a": 3.0, "b": 2.0},
    )
    square = np.arange(4.0).reshape(2, 2)
    assert tw.jacobian(lambda a: [a[0, 0] * a[1, 1], a[0, 1]])(square).shape == (2, 2, 2)
    assert tw.jacobian(lambda a: a @ a)(square).shape == (2, 2, 2, 2)


# ---- colours -------------------------------------------------------------------------------------


def random_rows(rng, n, symmetric):
    rows = [set() for _ in range(n)]
    for _ in range(rng.randrange(3 * n)):
        i, j = rng.randrange(n), rng.randrange(n)
        rows[i].add(j)
        if symmetric:
            rows[j].add(i)
    return [np.array(sorted(row), dtype=np.int64) for row in rows]


@pytest.mark.parametrize("seed", range(20))
def test_colours_let_every_entry_be_read(seed):
    rng = random.Random(seed)
    n = rng.randrange(1, 25)
    rows = random_rows(rng, n, symmetric=False)
    colours = column_colours(rows, n)
    for row in rows:
        assert len({colours[j] for j in row}) == len(row)
    rows = random_rows(rng, n, symmetric=True)
    colours = star_colours(rows)
    for i, row in enumerate(rows):
        for j in row:
            if i == j:
                assert [k for k in row if colours[k] == colours[i]] == [i]
            else:
                high, low = sorted((i, int(j)), key=lambda v: -colours[v])
                assert colours[high] != colours[low]
                assert [k for k in rows[high] if colours[k] == colours[low]] == [low]
