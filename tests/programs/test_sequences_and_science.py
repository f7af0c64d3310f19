"""Sequences, decisions, simulations and statistics, written with single numbers and lists."""

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from program_checks import check, check_training, numbers, stateless, values

import talweg as tw
from talweg import Value
from talweg.errors import TraceError


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def matrix(rows, columns, seed=0):
    return [values(columns, seed + 10 * k) for k in range(rows)]


def cross_entropy(logits, target):
    z = np.asarray(logits) - np.max(logits)
    return float(np.log(np.exp(z).sum()) - z[target])


# ---- letters ------------------------------------------------------------------------------------


def surprise(logits, target):
    """Cross entropy written by hand."""
    counts = [v.exp() for v in logits]
    return -(counts[target] / sum(counts)).log()


def test_bigram():
    def loss(table, word):
        pairs = list(pairwise(word))
        return sum(surprise(table[a], b) for a, b in pairs) / len(pairs)

    def number(w, word):
        pairs = list(pairwise(word))
        return np.mean([cross_entropy(w.reshape(4, 4)[a], b) for a, b in pairs])

    words = [[0, 1, 2, 0], [0, 3, 3, 0], [0, 2, 1, 0]]
    check(loss, lambda: matrix(4, 4), [(word,) for word in words], stateless(number))
    check_training(loss, lambda: matrix(4, 4), words, number)


def test_attention():
    """One head over the letters so far, with keys and values that grow in lists."""

    def make():
        return {name: matrix(4, 2, 3 * k) for k, name in enumerate(["e", "q", "k", "v", "out"])}

    def loss(m, word):
        keys, contents, total = [], [], 0.0
        for now, following in pairwise(word):
            x = m["e"][now]
            query, key, content = ([dot(row, x) for row in m[name][:2]] for name in "qkv")
            keys.append(key)
            contents.append(content)
            scores = [dot(query, key) / 2**0.5 for key in keys]
            largest = max(s.data for s in scores)
            weights = [(s - largest).exp() for s in scores]
            norm = sum(weights)
            seen = [sum(w * c[j] for w, c in zip(weights, contents, strict=True)) / norm
                    for j in range(2)]  # fmt: skip
            total = total + surprise([dot(row, [a + b for a, b in zip(x, seen, strict=True)])
                                      for row in m["out"]], following)  # fmt: skip
        return total / (len(word) - 1)

    def number(w, word):
        e, q, k, v, out = w.reshape(5, 4, 2)
        total = 0.0
        for t, following in enumerate(word[1:]):
            x = e[word[: t + 1]]
            s = x @ k[:2].T @ (q[:2] @ x[-1]) / math.sqrt(2.0)
            a = np.exp(s - s.max())
            total += cross_entropy(out @ (x[-1] + a / a.sum() @ (x @ v[:2].T)), following)
        return total / (len(word) - 1)

    words = [[0, 1, 2, 0], [0, 3, 3, 1, 0], [0, 2, 1, 0]]
    check(loss, make, [(word,) for word in words], stateless(number))
    check_training(loss, make, words, number)


# ---- recurrent cells ----------------------------------------------------------------------------


class Recurrent:
    """A cell that keeps its state in `self.h`, detached between calls."""

    def __init__(self):
        self.wx, self.wh, self.b = values(2, 1), matrix(2, 2, 5), values(2, 2)
        self.h = [Value(0.0), Value(0.0)]

    def parameters(self):
        return [*self.wx, *[p for row in self.wh for p in row], *self.b]

    def step(self, x):
        self.h = [
            (u * x + dot(row, self.h) + b).tanh()
            for u, row, b in zip(self.wx, self.wh, self.b, strict=True)
        ]
        return self.h


def test_a_recurrent_cell_with_state_in_an_attribute():
    def loss(cell, xs, y):
        cell.h = [Value(v.data) for v in cell.h]
        for x in xs:
            out = cell.step(x)
        return (sum(out) - y) ** 2

    def oracle(w, kept, xs, y):
        wx, wh, b = w[:2], w[2:6].reshape(2, 2), w[6:]
        h = np.array(kept)
        for x in xs:
            h = np.tanh(wx * x + wh @ h + b)
        return (h.sum() - y) ** 2, list(h)

    calls = [(numbers(3, k), 0.2 * k) for k in range(5)]
    check(loss, Recurrent, calls, oracle, state=lambda cell: cell.h)


def lstm(m, xs, y):
    h = c = 0.0
    for x in xs:
        i, f, o, g = (a * x + b * h + d for a, b, d in m)
        c = tw.sigmoid(f) * c + tw.sigmoid(i) * g.tanh()
        h = tw.sigmoid(o) * c.tanh()
    return (h - y) ** 2


def of_lstm(w, xs, y):
    h = c = 0.0
    for x in xs:
        i, f, o, g = w.reshape(4, 3) @ np.array([x, h, 1.0])
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return (h - y) ** 2


def gru(m, xs, y):
    h = Value(0.0)
    for x in xs:
        z, r = (tw.sigmoid(a * x + b * h + d) for a, b, d in m[:2])
        a, b, d = m[2]
        h = (1 - z) * h + z * tw.tanh(a * x + b * (r * h) + d)
    return (h - y) ** 2


def of_gru(w, xs, y):
    h, m = 0.0, w.reshape(3, 3)
    for x in xs:
        z, r = sigmoid(m[:2] @ np.array([x, h, 1.0]))
        h = (1 - z) * h + z * np.tanh(m[2] @ np.array([x, r * h, 1.0]))
    return (h - y) ** 2


@pytest.mark.parametrize(("f", "rows", "number"), [(lstm, 4, of_lstm), (gru, 3, of_gru)])
def test_gated_cells(f, rows, number):
    examples = [(numbers(6, k), 0.1 * k) for k in range(4)]
    check(f, lambda: matrix(rows, 3), examples, stateless(number))
    check_training(lambda m, e: f(m, *e), lambda: matrix(rows, 3), examples,
                   lambda w, e: number(w, *e))  # fmt: skip


def test_convolution_over_a_list():
    def loss(m, xs, y):
        width = len(m["kernel"])
        maps = [dot(m["kernel"], xs[i : i + width]) + m["b"] for i in range(len(xs) - width + 1)]
        pooled = [max(a, b) for a, b in zip(maps[::2], maps[1::2], strict=False)]
        return (sum(v.relu() for v in pooled) - y) ** 2

    def number(w, xs, y):
        maps = np.convolve(xs, w[:3][::-1], "valid") + w[3]
        pooled = np.maximum(maps[::2][: len(maps) // 2], maps[1::2])
        return (np.maximum(pooled, 0.0).sum() - y) ** 2

    def make():
        return {"kernel": values(3, 2), "b": Value(0.05)}

    check(loss, make, [(numbers(9, k), 0.5) for k in range(4)], stateless(number))


# ---- decisions ----------------------------------------------------------------------------------


def test_policy_gradient():
    """The action is sampled outside and given; the reward and its baseline are plain numbers."""

    class Policy:
        def __init__(self):
            self.w, self.baseline = matrix(3, 2), 0.0

        def parameters(self):
            return [p for row in self.w for p in row]

    def loss(policy, state, action, reward):
        logits = [dot(row, state) for row in policy.w]
        exps = [v.exp() for v in logits]
        advantage = reward - policy.baseline
        policy.baseline = policy.baseline + 0.1 * advantage
        return -(exps[action] / sum(exps)).log() * advantage

    def oracle(w, kept, state, action, reward):
        advantage = reward - kept[0]
        entropy = cross_entropy(w.reshape(3, 2) @ np.array(state), action)
        return entropy * advantage, [kept[0] + 0.1 * advantage]

    calls = [(numbers(2, k), k % 3, float(k % 2) + 0.25) for k in range(6)]
    check(loss, Policy, calls, oracle, state=lambda policy: [policy.baseline])


def test_a_table_of_action_values():
    """The target is the largest next value, as a plain number."""

    def loss(table, state, action, reward, following):
        best = max(q.data for q in table[following])
        target = reward + (0.9 * best if following != 0 else 0.0)
        return (table[state][action] - target) ** 2

    start = np.array(numbers(2, 0) + numbers(2, 10) + numbers(2, 20)).reshape(3, 2)

    def number(w, state, action, reward, following):
        target = reward + (0.9 * start[following].max() if following else 0.0)
        return (w.reshape(3, 2)[state, action] - target) ** 2

    calls = [(0, 1, 0.5, 2), (1, 0, -0.25, 0), (2, 1, 1.0, 1), (0, 1, 0.75, 2)]
    check(loss, lambda: matrix(3, 2), calls, stateless(number))


def test_early_exit():
    """A loop that ends when a number is small: its length is a branch on parameters."""

    def loss(m, x):
        v, steps = m[0] * x, 0
        while abs(v.data) > 0.3 and steps < 6:
            v = v * 0.5 + m[1] * 0.1
            steps += 1
        return v * v + steps

    def number(w, x):
        v, steps = w[0] * x, 0
        while abs(v) > 0.3 and steps < 6:
            v, steps = v * 0.5 + w[1] * 0.1, steps + 1
        return v * v + steps

    check(loss, lambda: [Value(0.9), Value(0.4)], [(x,) for x in (0.2, 2.0, 5.0, -3.0, 0.1)],
          stateless(number))  # fmt: skip


# ---- embeddings ---------------------------------------------------------------------------------


def test_matrix_factorisation():
    def loss(m, rating):
        user, item, stars = rating
        return (dot(m["users"][user], m["items"][item]) - stars) ** 2

    def number(w, rating):
        user, item, stars = rating
        rows = w.reshape(7, 2)
        return (rows[user] @ rows[3 + item] - stars) ** 2

    class Factors:
        def __init__(self):
            rng = random.Random(5)
            self.users, self.items = (tw.Embedding(n, 2, std=0.5, rng=rng) for n in (3, 4))

        def __getitem__(self, name):
            return getattr(self, name)

        def parameters(self):
            return [*self.users.parameters(), *self.items.parameters()]

    ratings = [(k % 3, (k * k) % 4, 0.5 * k) for k in range(6)]
    check(loss, Factors, [(rating,) for rating in ratings], stateless(number))
    check_training(loss, Factors, ratings, number)


def test_words_with_negative_samples():
    def loss(m, centre, near, others):
        positive = tw.sigmoid(dot(m[centre], m[4 + near])).log()
        return -positive - sum(tw.sigmoid(-dot(m[centre], m[4 + k])).log() for k in others)

    def number(w, centre, near, others):
        rows = w.reshape(8, 2)
        z = [rows[centre] @ rows[4 + near], *[-rows[centre] @ rows[4 + k] for k in others]]
        return -float(np.sum(np.log(sigmoid(np.array(z)))))

    calls = [(k % 4, (k + 1) % 4, [(k + 2) % 4, (k + 3) % 4]) for k in range(5)]
    check(loss, lambda: matrix(8, 2), calls, stateless(number))


def test_soft_assignment_to_centres():
    def loss(centres, points):
        total = 0.0
        for x in points:
            d = [(c - x) ** 2 for c in centres]
            nearest = min(v.data for v in d)
            w = [(-4.0 * (v - nearest)).exp() for v in d]
            total += sum(a * b for a, b in zip(w, d, strict=True)) / sum(w)
        return total

    def number(w, points):
        d = (np.array(points)[:, None] - w) ** 2
        a = np.exp(-4.0 * (d - d.min(axis=1, keepdims=True)))
        return float(np.sum((a * d).sum(axis=1) / a.sum(axis=1)))

    check(loss, lambda: values(3), [(numbers(5, k, 2.0),) for k in range(4)], stateless(number))


# ---- statistics and physics ---------------------------------------------------------------------


def test_kalman_filter():
    def loss(m, observed):
        q, r = m[0].exp(), m[1].exp()
        mean, var, score = 0.0, 1.0, 0.0
        for z in observed:
            var = var + q
            score = score + 0.5 * ((z - mean) ** 2 / (var + r) + (var + r).log())
            gain = var / (var + r)
            mean, var = mean + gain * (z - mean), (1 - gain) * var
        return score

    def number(w, observed):
        """The joint density of the observations: one Gaussian, by linear algebra."""
        n, (q, r) = len(observed), np.exp(w)
        steps = np.minimum.outer(np.arange(1, n + 1), np.arange(1, n + 1))
        cov = 1.0 + q * steps + r * np.eye(n)
        z = np.array(observed)
        return 0.5 * (z @ np.linalg.solve(cov, z) + np.linalg.slogdet(cov)[1])

    series = [numbers(8, k) for k in range(3)]
    check(loss, lambda: values(2), [(z,) for z in series], stateless(number))
    check_training(loss, lambda: values(2), series, number)


def test_garch():
    def loss(m, returns):
        omega, alpha, beta = (p.exp() for p in m)
        var, score = 1.0, 0.0
        for r in returns:
            var = omega + alpha * r * r + beta * var
            score = score + tw.log(var) + r * r / var
        return score

    def number(w, returns):
        omega, alpha, beta = np.exp(w)
        n = len(returns)
        r2 = np.array(returns) ** 2
        powers = beta ** np.arange(n)
        var = [np.sum((omega + alpha * r2[: t + 1][::-1]) * powers[: t + 1]) + beta ** (t + 1)
               for t in range(n)]  # fmt: skip
        return float(np.sum(np.log(var) + r2 / var))

    check(loss, lambda: [Value(-2.0), Value(-1.5), Value(-0.5)],
          [(numbers(9, k),) for k in range(3)], stateless(number))  # fmt: skip


def runge_kutta(slope, y, h):
    k1 = slope(y)
    k2 = slope([a + 0.5 * h * b for a, b in zip(y, k1, strict=True)])
    k3 = slope([a + 0.5 * h * b for a, b in zip(y, k2, strict=True)])
    k4 = slope([a + h * b for a, b in zip(y, k3, strict=True)])
    parts = zip(y, k1, k2, k3, k4, strict=True)
    return [a + h / 6 * (p + 2 * q + 2 * r + s) for a, p, q, r, s in parts]


def test_predators_and_prey():
    def loss(m, observed):
        a, b, c, d = m
        y, total = [1.0, 0.5], 0.0
        for target in observed:
            y = runge_kutta(lambda y: [a * y[0] - b * y[0] * y[1], c * y[0] * y[1] - d * y[1]],
                            y, 0.1)  # fmt: skip
            total = total + (y[0] - target) ** 2
        return total

    def number(w, observed):
        """Fifty Euler steps extrapolated would differ; the same scheme on arrays."""
        a, b, c, d = w
        y, total = np.array([1.0, 0.5]), 0.0
        rate = lambda y: np.array([a * y[0] - b * y[0] * y[1], c * y[0] * y[1] - d * y[1]])  # noqa: E731
        for target in observed:
            k1 = rate(y)
            k2 = rate(y + 0.05 * k1)
            k3 = rate(y + 0.05 * k2)
            y = y + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + rate(y + 0.1 * k3))
            total += (y[0] - target) ** 2
        return float(total)

    make = lambda: [Value(x) for x in (1.1, 0.4, 0.1, 0.4)]  # noqa: E731
    series = [numbers(6, k) for k in range(3)]
    check(loss, make, [(z,) for z in series], stateless(number))
    check_training(loss, make, series, number)


def test_pendulum_control():
    """Torques are parameters; a torque beyond the limit is cut by a branch."""

    def loss(torques, angle, limit):
        velocity, cost = 0.0, 0.0
        for torque in torques:
            u = limit if torque > limit else -limit if torque < -limit else torque
            velocity = velocity + 0.1 * (u - tw.sin(angle))
            angle = angle + 0.1 * velocity
            cost = cost + 0.01 * u**2
        return cost + (angle - math.pi) ** 2

    def number(w, angle, limit):
        velocity, u = 0.0, np.clip(w, -limit, limit)
        for a in u:
            velocity += 0.1 * (a - math.sin(angle))
            angle += 0.1 * velocity
        return 0.01 * float(u @ u) + (angle - math.pi) ** 2

    check(loss, lambda: values(8, scale=2.0), [(0.1, 1.0), (0.5, 1.5), (0.1, 0.25)],
          stateless(number))  # fmt: skip


def test_a_network_of_springs():
    """Springs that only pull: those that are shorter than their length at rest have no energy."""

    def energy(m, edges, rest):
        total = 0.0
        for i, j in edges:
            length = ((m[i][0] - m[j][0]) ** 2 + (m[i][1] - m[j][1]) ** 2).sqrt()
            if length.data > rest:
                total = total + 0.5 * (length - rest) ** 2
        return total + 0.1 * sum(p[1] for p in m)

    def number(w, edges, rest):
        p = w.reshape(4, 2)
        stretch = [max(0.0, np.linalg.norm(p[i] - p[j]) - rest) for i, j in edges]
        return 0.5 * float(np.dot(stretch, stretch)) + 0.1 * p[:, 1].sum()

    edges = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]
    check(energy, lambda: matrix(4, 2), [(edges, r) for r in (0.3, 0.8, 1.2, 0.3)],
          stateless(number))  # fmt: skip


# ---- what is refused, with one clear line -------------------------------------------------------


class Counter:
    def __init__(self):
        self.w, self.calls, self.log = Value(0.5), 0, []

    def parameters(self):
        return [self.w]


def counts(model, x):
    model.calls += 1
    return model.w * x


def logs(model, x):
    model.log.append(x)
    return model.w * x


def draws(model, x):
    return model.w * x * random.random()


def assigns(model, x):
    model.w.data = x
    return model.w * x


def steps_by_itself(model, x):
    loss = (model.w * x) ** 2
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (counts, r"counts changes `model\.calls` from 0 to 1|calls` from"),
        (logs, "append them outside"),
        (draws, "draws random numbers"),
        (assigns, r"assigns \.data of a Value"),
        (steps_by_itself, r"\.grad of a Value|backward\(\)"),
    ],
)
@pytest.mark.parametrize("mode", ["exact", "default"])
def test_programs_that_cannot_be_compiled_are_refused(f, words, mode):
    model = Counter()
    with pytest.raises(TraceError, match=words) as caught:
        tw.jit(f, mode=mode)(model, 2.0)
    assert "\n" not in str(caught.value)
    assert (model.w.data, model.calls, model.log) == (0.5, 0, [])
