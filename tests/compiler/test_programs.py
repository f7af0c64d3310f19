"""Realistic and random programs through the whole compiler: eager, every stage, native code."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stages import check

import talweg as tw
from talweg import Value


def numbers(count, seed=0, scale=1.0):
    rng = random.Random(seed)
    return [rng.uniform(-scale, scale) for _ in range(count)]


def values(count, seed=0, scale=1.0):
    return [Value(x) for x in numbers(count, seed, scale)]


def matrix(rows, columns, seed=0, of=values, scale=1.0):
    return [of(columns, seed + 100 * i, scale) for i in range(rows)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


# ---- a dozen ordinary programs -----------------------------------------------------------------


def recurrent(w, u, xs, ys):
    h, loss = [0.0 * w[0][0]] * len(w), 0.0
    for x, y in zip(xs, ys, strict=True):
        h = [(dot(row, h) + v * x).tanh() for row, v in zip(w, u, strict=True)]
        loss = loss + (sum(h) - y) ** 2
    return loss


def gated(w, xs):
    """A recurrent unit with input, forget and output gates, one number wide."""
    h = c = 0.0
    for x in xs:
        i, f, o, g = [a * x + b * h + d for a, b, d in w]
        c = tw.sigmoid(f) * c + tw.sigmoid(i) * tw.tanh(g)
        h = tw.sigmoid(o) * tw.tanh(c)
    return h


def kalman(q, r, observed):
    mean, variance, score = q * 0.0, q * 0.0 + 1.0, 0.0
    for z in observed:
        variance = variance + q
        gain = variance / (variance + r)
        score = score + (z - mean) ** 2 / (variance + r) + tw.log(variance + r)
        mean = mean + gain * (z - mean)
        variance = (1.0 - gain) * variance
    return score


def hunters(a, b, c, d, observed):
    """Prey and hunters (Lotka and Volterra) by Runge and Kutta, against observations."""

    def slope(x, y):
        return a * x - b * x * y, c * x * y - d * y

    x, y, h, loss = 1.0, 0.5, 0.1, 0.0
    for target in observed:
        k1 = slope(x, y)
        k2 = slope(x + 0.5 * h * k1[0], y + 0.5 * h * k1[1])
        k3 = slope(x + 0.5 * h * k2[0], y + 0.5 * h * k2[1])
        k4 = slope(x + h * k3[0], y + h * k3[1])
        x = x + h / 6.0 * (k1[0] + 2.0 * k2[0] + 2.0 * k3[0] + k4[0])
        y = y + h / 6.0 * (k1[1] + 2.0 * k2[1] + 2.0 * k3[1] + k4[1])
        loss = loss + (x - target) ** 2
    return loss


def option(price, rate, volatility, draws):
    total = 0.0
    for z in draws:
        end = price * tw.exp(rate - 0.5 * volatility**2 + volatility * z)
        total = total + tw.max(end - 1.0, 0.0)
    return tw.exp(-rate) * total / len(draws)


def cholesky(a, b):
    """The root of a positive matrix, and with it the solution of a y = b, squared."""
    n = len(a)
    low = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            s = a[i][j]
            for k in range(j):
                s = s - low[i][k] * low[j][k]
            low[i][j] = tw.sqrt(s) if i == j else s / low[j][j]
    y = []
    for i in range(n):
        s = b[i]
        for k in range(i):
            s = s - low[i][k] * y[k]
        y.append(s / low[i][i])
    return dot(y, y)


def image(kernel, picture):
    rows, columns = len(picture) - 2, len(picture[0]) - 2
    out = 0.0
    for i in range(rows):
        for j in range(columns):
            s = 0.0
            for a in range(3):
                for b in range(3):
                    s = s + kernel[a][b] * picture[i + a][j + b]
            out = out + tw.relu(s)
    return out


def attention(queries, keys, contents):
    """Each position attends to itself and the ones before it."""
    total = 0.0
    for i, query in enumerate(queries):
        weights = [tw.exp(dot(query, keys[j])) for j in range(i + 1)]
        total_weight = sum(weights)
        for k in range(len(contents[0])):
            total = total + sum(w * contents[j][k] for j, w in enumerate(weights)) / total_weight
    return total


def arm(angles, lengths):
    x = y = heading = 0.0
    for angle, length in zip(angles, lengths, strict=True):
        heading = heading + angle
        x = x + length * tw.cos(heading)
        y = y + length * tw.sin(heading)
    return (x - 1.0) ** 2 + (y - 0.5) ** 2


def logistic(w, b, rows, classes):
    return sum(
        tw.softplus(dot(w, row) + b) - c * (dot(w, row) + b)
        for row, c in zip(rows, classes, strict=True)
    )


def mixture(means, spreads, xs):
    """The log-likelihood of a mixture of bell curves."""
    score = 0.0
    for x in xs:
        exponents = [-(((x - m) / s) ** 2) - tw.log(s) for m, s in zip(means, spreads, strict=True)]
        largest = exponents[0]
        for e in exponents[1:]:
            largest = tw.max(largest, e)
        score = score + largest + tw.log(sum(tw.exp(e - largest) for e in exponents))
    return score


def butterflies(xs, twiddle):
    """The wiring of a fast Fourier transform of eight numbers."""
    span = 1
    while span < len(xs):
        new = list(xs)
        for start in range(0, len(xs), 2 * span):
            for k in range(start, start + span):
                t = twiddle * xs[k + span]
                new[k], new[k + span] = xs[k] + t, xs[k] - t
        xs, span = new, 2 * span
    return sum(x * x for x in xs)


POSITIVE = [[Value(4.0 * (i == j) + 0.3 * math.cos(i + j)) for j in range(7)] for i in range(7)]

PROGRAMS = {
    "recurrent network": (recurrent, matrix(4, 4, scale=0.5), values(4), numbers(12), numbers(12)),
    "gated recurrent network": (gated, matrix(4, 3), numbers(20)),
    "Kalman filter": (kalman, Value(0.1), Value(0.5), numbers(25)),
    "Lotka and Volterra": (hunters, *values(4, scale=0.7), numbers(15)),
    "option by Monte Carlo": (option, Value(1.0), Value(0.02), Value(0.3), numbers(60, scale=2.0)),
    "Cholesky": (cholesky, POSITIVE, values(7)),
    "image": (image, matrix(3, 3), matrix(7, 8, of=numbers)),
    "attention": (attention, matrix(6, 3), matrix(6, 3, 7), matrix(6, 2, 9)),
    "arm": (arm, values(6), numbers(6)),
    "logistic regression": (logistic, values(3), Value(0.1),
                            matrix(20, 3, of=numbers), [0.0, 1.0] * 10),
    "mixture": (mixture, values(3), [Value(0.5), Value(1.0), Value(2.0)], numbers(20)),
    "butterflies": (butterflies, values(8), 0.7),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_realistic_programs(name):
    f, *args = PROGRAMS[name]
    check(f, *args, native=True)


# ---- random programs that carry state ----------------------------------------------------------


@st.composite
def machines(draw):
    """A few registers, and a body of random assignments to them that is repeated.

    Old numbers are read later: those of the last round, of the round before, and of the first.
    """
    registers = draw(st.integers(1, 4))
    reads = st.tuples(st.sampled_from(["now", "last", "before", "first", "x", "w", "c"]),
                      st.integers(0, 3))  # fmt: skip
    lines = draw(
        st.lists(
            st.tuples(
                st.integers(0, registers - 1),
                st.sampled_from(["add", "sub", "mul", "tanh", "max", "where", "sin"]),
                reads,
                reads,
                reads,
            ),
            min_size=1,
            max_size=5,
        )
    )
    rounds = draw(st.integers(1, 7))
    inner = draw(st.sampled_from([0, 0, 1, 3, 4]))
    returned = draw(st.sampled_from(["sum", "list", "all"]))

    def program(ws, xs):
        state = [xs[k % len(xs)] * (k + 0.5) for k in range(registers)]
        history = [list(state)]

        def read(kind, k, i):
            if kind == "w":
                return ws[(i + k) % len(ws) if k > 1 else k]
            if kind == "x":
                return xs[(2 * i + k) % len(xs)]
            if kind == "c":
                return 0.25 * ((i + k) % 3) if k > 1 else 0.5
            rounds_ago = {"now": state, "last": history[-1], "first": history[0]}
            source = history[max(0, len(history) - 2)] if kind == "before" else rounds_ago[kind]
            return source[k % registers]

        for i in range(rounds):
            for j in range(max(1, inner)):
                for target, name, a, b, c in lines:
                    op = tw.ops.lookup(name)
                    operands = [read(*r, i + j) for r in (a, b, c)][: op.arity]
                    state[target] = tw.sin(op(*operands)) if name == "mul" else op(*operands)
            history.append(list(state))
        out = [ws[0] * s for s in state]
        if returned == "all":
            return [ws[0] * s for row in history for s in row]
        return out if returned == "list" else sum(out)

    return program, draw(st.integers(0, 10**6))


@pytest.mark.slow
@settings(max_examples=250)
@given(machines())
def test_programs_that_carry_state(case):
    program, seed = case
    check(program, values(4, seed), numbers(6, seed + 1))


@pytest.mark.slow
@settings(max_examples=25)
@given(machines())
def test_programs_that_carry_state_natively(case):
    program, seed = case
    check(program, values(4, seed), numbers(6, seed + 1), native=True)
