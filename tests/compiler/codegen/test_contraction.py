"""Products that are not rounded: where many are added to one total, and nowhere else."""

import math
import random

import pytest

import talweg as tw
from talweg.compiler.codegen.contraction import contracted_sums
from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.scheduling import schedule

RNG = random.Random(5)
W = [tw.Value(RNG.uniform(0.1, 0.9)) for _ in range(40)]
X = [RNG.uniform(0.1, 0.9) for _ in range(40)]


def contracted(f, *args, of_samples=()):
    """The contracted sums of a program as text: those of the forward and of the backward pass."""
    program = schedule(find_loops(trace(f, *args).tape))
    both = [program.forward, program.backward]
    return [
        sorted(f"{s.targets[k]} in {s}" for s, k in contracted_sums(part, frozenset(of_samples)))
        for part in both
    ]


def targets(f, *args, **options):
    return [[text.split(" in ")[0] for text in part] for part in contracted(f, *args, **options)]


def dot(xs, ys):
    return sum((x * y for x, y in zip(xs, ys, strict=True)), 0.0)


# ---- the choice ---------------------------------------------------------------------------------


def test_a_weighted_sum():
    forward, backward = contracted(dot, W[:5], X[:5])
    assert forward == ["r1 in r1 = add r1 r2"]
    assert backward == []


def test_a_sum_of_few_products_is_none():
    assert contracted(dot, W[:4], X[:4]) == [[], []]  # a loop of three


def test_a_sum_of_rows_of_few_products():
    def kernel(w, x):
        total = w[-1]
        for i in range(7):
            for j in range(3):
                total = total + w[3 * i + j] * x[5 * i + j]
        return total

    program = schedule(find_loops(trace(kernel, W[:25], X).tape))
    assert "        for j in range(3):" in str(program)
    assert len(targets(kernel, W[:25], X)[0]) == 1


@pytest.mark.parametrize(
    "f",
    [
        lambda w, x: dot(w, w),
        lambda w, x: dot(w[:20], w[20:]),
        lambda w, x: dot(x, [w[0] * b for b in x]),
        lambda w, x: sum((a**2 for a in w), 0.0),
        lambda w, x: w[0] - sum((-a * b for a, b in zip(w, x, strict=True)), 0.0),
        lambda w, x: sum((a * b - 0.5 for a, b in zip(w, x, strict=True)), 0.0),
    ],
    ids=["squares", "two parameters", "no parameter", "powers", "negative", "differences"],
)
def test_other_sums(f):
    assert targets(f, W, X)[0] == []


def test_a_difference_is_never_contracted():
    def f(w, x):
        total = w[0]
        for a, b in zip(w[1:], x[1:], strict=True):
            total = total - a * b
        return total

    assert targets(f, W, X)[0] == []


def test_a_total_that_starts_anew_in_each_iteration():
    def f(w, x):
        parts = [a * b + c * d for a, b, c, d in zip(w[:9], x[:9], w[9:18], x[9:18], strict=True)]
        return sum((tw.tanh(part) for part in parts), 0.0)

    assert targets(f, W, X) == [[], []]


def layer(w, x):
    return sum((tw.tanh(dot(w[6 * i : 6 * i + 6], x[:6])) for i in range(5)), 0.0)


def test_the_derivatives_of_a_layer():
    def f(w, hidden):
        return layer(w, [tw.tanh(h) for h in hidden])

    forward, backward = targets(f, W[:30], W[30:36])
    assert len(forward) == 2  # the first row is not in the loop over the other rows
    assert backward  # each hidden number has a derivative from each of five rows
    assert all(target.startswith("da") for target in backward)


def test_the_derivatives_by_parameters_are_totals_of_the_samples_of_a_batch():
    alone, batch = (targets(layer, W[:30], X, of_samples=names)[1] for names in ((), ("dw",)))
    assert alone == []
    assert batch
    assert all(target.startswith("dw[") for target in batch)


def test_a_factor_of_all_numbers():
    def f(w, x):
        return sum((tw.tanh(w[0] * b) for b in x), 0.0)

    assert targets(f, W, X)[1] == ["dw[0]"]


def test_a_derivative_that_is_propagated_in_each_iteration():
    def f(w, x):
        h = 0.0
        for b in x:
            h = tw.tanh(h * w[0] + w[1] * b)
        return h

    _, backward = targets(f, W, X)
    assert set(backward) == {"dw[0]", "dw[1]"}  # not the derivative by h


def test_a_total_of_several_products_an_iteration():
    def f(w, x):
        return sum((tw.tanh(a * b - b * a) for a, b in zip(w, x, strict=True)), 0.0)

    assert targets(f, W, X, of_samples=["dw"]) == [[], []]


# ---- equal products are equal numbers -----------------------------------------------------------

PAIRS = [(x.data, x.data) for x in W]
DIFFERENCES = {
    "squares": lambda x, y: x * x - y * y,
    "powers": lambda x, y: x**2 - y**2,
    "commuted": lambda x, y: x * y - y * x,
    "determinant": lambda x, y: (x * 0.7) * y - (y * 0.7) * x,
    "negated": lambda x, y: -(x * y) + y * x,
    "sum": lambda x, y: x * y + (-x) * y,
    "root": lambda x, y: tw.sqrt(x * x - y * y),
    "logarithm": lambda x, y: tw.log(1.0 + (x * x - y * y)),
    "hypotenuse": lambda x, y: tw.sqrt((x * x + y * y) - (y * y + x * x)),
}


def variance(xs):
    mean = sum(xs, 0.0) * (1.0 / len(xs))
    return sum((x * x for x in xs), 0.0) * (1.0 / len(xs)) - mean * mean


def cosine(xs, ys):
    return dot(xs, ys) / tw.sqrt(dot(xs, xs) * dot(ys, ys))


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_of_equal_products(name):
    f = DIFFERENCES[name]
    compiled = tw.jit(f)
    for x, y in PAIRS:
        assert compiled(tw.Value(x), tw.Value(y)).data == f(tw.Value(x), tw.Value(y)).data == 0.0
    many = tw.jit(lambda xs, ys: [f(x, y) for x, y in zip(xs, ys, strict=True)])
    assert [v.data for v in many(W, [tw.Value(w.data) for w in W])] == [0.0] * len(W)


@pytest.mark.parametrize(
    "name", [name for name in DIFFERENCES if name not in ("root", "hypotenuse")]
)
def test_their_derivatives(name):
    f = DIFFERENCES[name]
    for x, y in PAIRS:
        found = []
        for g in (f, tw.jit(f)):
            a, b = tw.Value(x), tw.Value(y)
            g(a, b).backward()
            found.append((a.grad, b.grad))
        assert found[0] == found[1]


@pytest.mark.parametrize("n", [1, 2, 4, 8, 10, 16, 31, 100])
def test_the_variance_of_equal_numbers(n):
    for x, _ in PAIRS:
        xs = [tw.Value(x) for _ in range(n)]
        assert tw.jit(variance)(xs).data == variance(xs).data


@pytest.mark.parametrize("n", [2, 3, 8, 33])
def test_the_cosine_of_equal_vectors(n):
    for seed in range(20):
        xs = [tw.Value(random.Random(seed + k).uniform(-1, 1)) for k in range(n)]
        ys = [tw.Value(x.data) for x in xs]
        assert tw.jit(cosine)(xs, ys).data == cosine(xs, ys).data <= 1.0


def test_training_on_a_difference_of_equal_products():
    """Adam takes a whole step for a derivative that is not 0."""

    def loss(w, x):
        return sum((a * b - b * a for a, b in zip(w, x, strict=True)), 0.0) ** 2 + sum(
            (a * b - b * a for a, b in zip(w, x, strict=True)), 0.0
        )

    rng = random.Random(1)
    data = [[rng.uniform(-1, 1) for _ in range(6)] for _ in range(20)]
    w = [tw.Value(rng.uniform(-1, 1)) for _ in range(6)]
    before = [v.data for v in w]
    tw.minimize(loss, w, data, steps=5, optimizer=tw.Adam(0.1), engine="native")
    assert [v.data for v in w] == before


def test_contraction_takes_place():
    """So the tests above test the choice, and not a compiler that never contracts."""
    w, x = [0.1 * k + 0.1 for k in range(20)], [0.3 * k - 1.7 for k in range(20)]
    by_default, exactly = (
        tw.jit(dot, mode=mode)([tw.Value(a) for a in w], x).data for mode in ("default", "exact")
    )
    assert by_default == pytest.approx(exactly, rel=1e-15)
    assert math.fsum(a * b for a, b in zip(w, x, strict=True)) == pytest.approx(by_default)
