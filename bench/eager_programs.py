"""The programs of bench/eager.py: each trains a model of any class of Values, step by step.

Written in the style of the public programs that they stand for: lists of lists of Values, `sum`
over a generator, an update in a loop. Start reading at `Program`.
"""

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

NAMES = ["emma", "olivia", "ava", "isabella", "sophia", "charlotte", "mia", "amelia"]
LETTERS = 27


@dataclass
class Program:
    """A training run: `loss(step)` is computed from `parameters`."""

    parameters: list[Any]
    loss: Any
    rate: float = 0.05

    def step(self, number):
        loss = self.loss(number)
        for p in self.parameters:
            p.grad = 0.0
        loss.backward()
        for p in self.parameters:
            p.data -= self.rate * p.grad
        return loss.data


def tokens_of(name):
    """Letters as 1 to 26, with 0 before and after the name."""
    return [0, *(ord(c) - 96 for c in name), 0]


def matrix(value, rng, rows, columns, std=0.08):
    return [[value(rng.gauss(0.0, std)) for _ in range(columns)] for _ in range(rows)]


def product(m, x):
    return [sum(w * a for w, a in zip(row, x)) for row in m]


def softmax(logits):
    largest = max(v.data for v in logits)
    exps = [(v - largest).exp() for v in logits]
    total = sum(exps)
    return [e / total for e in exps]


def normed(x):
    mean = sum(a * a for a in x) / len(x)
    scale = (mean + 1e-5) ** -0.5
    return [a * scale for a in x]


def flat(*parts):
    return [p for m in parts for row in m for p in row]


def lesson(make_model):
    """The lesson's network, 3-4-4-1 with tanh, on its four samples."""
    xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    ys = [1.0, -1.0, -1.0, 1.0]
    random.seed(42)
    model = make_model(3, [4, 4, 1])

    def loss(_):
        return sum((model(x) - y) ** 2 for x, y in zip(xs, ys))

    return Program(model.parameters(), loss)


def transformer(value, size=16, heads=4, block=16):
    """A transformer of one layer that reads names letter by letter, after microgpt."""
    rng, head = random.Random(42), size // heads
    wte, wpe = matrix(value, rng, LETTERS, size), matrix(value, rng, block, size)
    wq, wk, wv, wo = (matrix(value, rng, size, size) for _ in range(4))
    up, down = matrix(value, rng, 4 * size, size), matrix(value, rng, size, 4 * size)
    out = matrix(value, rng, LETTERS, size)

    def logits_of(token, position, keys, values):
        x = normed([a + b for a, b in zip(wte[token], wpe[position])])
        before, x = x, normed(x)
        q = product(wq, x)
        keys.append(product(wk, x))
        values.append(product(wv, x))
        mixed = []
        for h in range(0, size, head):
            scores = [sum(q[h + j] * k[h + j] for j in range(head)) / head**0.5 for k in keys]
            weights = softmax(scores)
            mixed += [sum(w * v[h + j] for w, v in zip(weights, values)) for j in range(head)]
        x = [a + b for a, b in zip(product(wo, mixed), before)]
        hidden = [a.relu() for a in product(up, normed(x))]
        return product(out, [a + b for a, b in zip(product(down, hidden), x)])

    def loss(step):
        tokens = tokens_of(NAMES[step % len(NAMES)])
        keys, values, losses = [], [], []
        for position, (token, target) in enumerate(pairwise(tokens)):
            probabilities = softmax(logits_of(token, position, keys, values))
            losses.append(-probabilities[target].log())
        return (1.0 / len(losses)) * sum(losses)

    return Program(flat(wte, wpe, wq, wk, wv, wo, up, down, out), loss)


def lstm(value, size=32):
    """An LSTM that reads names as one-hot vectors of Values, after no-magic's microlstm."""
    rng = random.Random(42)
    inner = [matrix(value, rng, size, LETTERS) for _ in range(4)]
    again = [matrix(value, rng, size, size) for _ in range(4)]
    bias = [[value(1.0 if gate == 0 else 0.0) for _ in range(size)] for gate in range(4)]
    out = matrix(value, rng, LETTERS, size)

    def step_of(x, h, c):
        gates = []
        for gate in range(4):
            sums = zip(product(inner[gate], x), product(again[gate], h), bias[gate])
            gates.append([a + b + offset for a, b, offset in sums])
        forget, enter, leave = ([a.sigmoid() for a in gate] for gate in gates[:3])
        new = [a.tanh() for a in gates[3]]
        c = [f * old + i * g for f, old, i, g in zip(forget, c, enter, new)]
        return [o * a.tanh() for o, a in zip(leave, c)], c

    def loss(step):
        tokens = tokens_of(NAMES[step % len(NAMES)])
        h, c = ([value(0.0) for _ in range(size)] for _ in range(2))
        losses = []
        for token, target in pairwise(tokens):
            x = [value(1.0 if i == token else 0.0) for i in range(LETTERS)]
            h, c = step_of(x, h, c)
            losses.append(-softmax(product(out, h))[target].log())
        return sum(losses) * (1.0 / len(losses))

    parameters = flat(*inner, *again, bias, out)
    return Program(parameters, loss)
