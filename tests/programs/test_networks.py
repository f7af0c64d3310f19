"""Networks and classifiers in the style of micrograd, with all that such programs do to numbers."""

import math
import random
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from program_checks import check, check_training, numbers, stateless, values

import talweg as tw
from talweg import Value


class Unit:
    """One neuron; the activation is chosen by a flag, as in micrograd."""

    def __init__(self, nin, rng, nonlin=True):
        self.w = [Value(rng.uniform(-1.0, 1.0)) for _ in range(nin)]
        self.b = Value(0.1)
        self.nonlin = nonlin

    def __call__(self, x):
        act = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
        return act.relu() if self.nonlin else act

    def parameters(self):
        return [*self.w, self.b]


class Net:
    """Layers of neurons, the last one linear."""

    def __init__(self, nin, nouts, seed=1):
        rng = random.Random(seed)
        sizes = [nin, *nouts]
        self.layers = [
            [Unit(sizes[i], rng, nonlin=i != len(nouts) - 1) for _ in range(sizes[i + 1])]
            for i in range(len(nouts))
        ]

    def __call__(self, x):
        for layer in self.layers:
            x = [unit(x) for unit in layer]
        return x[0] if len(x) == 1 else x

    def parameters(self):
        return [p for layer in self.layers for unit in layer for p in unit.parameters()]


def forward(w, sizes, x, hidden=lambda z: np.maximum(z, 0.0)):
    """The same network by NumPy; also returns how many parameters were used."""
    k = 0
    x = np.asarray(x, dtype=float)
    for i, (a, b) in enumerate(pairwise(sizes)):
        block = w[k : k + b * (a + 1)].reshape(b, a + 1)
        x = block[:, :-1] @ x + block[:, -1]
        x = hidden(x) if i < len(sizes) - 2 else x
        k += block.size
    return x, k


# ---- moons: hinge loss, L2, accuracy -------------------------------------------------------------


def moons(count=8):
    rng = random.Random(3)
    rows = []
    for k in range(count):
        angle, label = math.pi * rng.random(), 1.0 if k % 2 else -1.0
        x = (
            [math.cos(angle), math.sin(angle)]
            if k % 2
            else [1 - math.cos(angle), 0.5 - math.sin(angle)]
        )
        rows.append((x, label))
    return rows


def hinge(net, xs, ys, alpha):
    scores = [net(list(map(Value, x))) for x in xs]
    losses = [(1 + -yi * score).relu() for yi, score in zip(ys, scores, strict=True)]
    reg = alpha * sum(p * p for p in net.parameters())
    right = [(yi > 0) == (score.data > 0) for yi, score in zip(ys, scores, strict=True)]
    net.accuracy = sum(right) / len(right)
    return sum(losses) * (1.0 / len(losses)) + reg


def test_moons():
    rows = moons()
    half = [([x for x, _ in part], [y for _, y in part], 1e-3) for part in (rows[:4], rows[4:])]

    def oracle(w, kept, xs, ys, alpha):
        scores = [forward(w, [2, 6, 1], x)[0][0] for x in xs]
        loss = np.mean([max(0.0, 1 - y * s) for y, s in zip(ys, scores, strict=True)])
        right = np.mean([(y > 0) == (s > 0) for y, s in zip(ys, scores, strict=True)])
        return loss + alpha * np.sum(w * w), [right]

    def make():
        net = Net(2, [6, 1])
        net.accuracy = 0.0
        return net

    check(hinge, make, [*half, half[0]], oracle, state=lambda net: [float(net.accuracy)])


def test_moons_trained():
    def loss(net, row):
        x, y = row
        return (1 - y * net(x)).relu()

    check_training(
        loss, lambda: Net(2, [6, 1]), moons(20),
        lambda w, row: max(0.0, 1 - row[1] * forward(w, [2, 6, 1], row[0])[0][0]),
    )  # fmt: skip


# ---- classifiers that branch on labels and numbers -----------------------------------------------


def logistic(model, x, y):
    z = sum((a * b for a, b in zip(model["w"], x, strict=True)), model["b"])
    p = 1 / (1 + (-z).exp())
    if y == 1.0:
        return -p.log()
    return -(1 - p).log()


def of_logistic(w, x, y):
    p = 1 / (1 + math.exp(-(np.dot(w[:3], x) + w[3])))
    return -math.log(p if y == 1.0 else 1 - p)


def logistic_model():
    return {"w": values(3, 5), "b": Value(0.1)}


def test_logistic_regression_with_a_branch_on_the_label():
    rows = [(numbers(3, k), float(k % 2)) for k in range(6)]
    check(logistic, logistic_model, rows, stateless(of_logistic))
    check_training(
        lambda m, row: logistic(m, *row), logistic_model, rows, lambda w, row: of_logistic(w, *row)
    )


def leaky(net, x, y):
    """A leaky relu by a branch on `.data`, in both layers."""
    hidden = [sum(a * b for a, b in zip(row, x, strict=True)) for row in net["in"]]
    hidden = [v if v.data > 0 else 0.01 * v for v in hidden]
    out = sum(a * b for a, b in zip(net["out"], hidden, strict=True))
    return (out - y) ** 2


def of_leaky(w, x, y):
    h = w[:6].reshape(3, 2) @ np.array(x)
    return (w[6:] @ np.where(h > 0, h, 0.01 * h) - y) ** 2


def leaky_net():
    return {"in": [values(2, k) for k in range(3)], "out": values(3, 9)}


def test_leaky_relu_by_a_branch():
    rows = [(numbers(2, k, 2.0), 0.5) for k in range(5)]
    check(leaky, leaky_net, [*rows, *rows], stateless(of_leaky))
    check_training(lambda m, row: leaky(m, *row), leaky_net, rows, lambda w, row: of_leaky(w, *row))


def test_softmax_that_subtracts_the_largest():
    """The largest logit is a plain number: max over `.data`, as most public softmax functions."""

    def loss(weights, x, target):
        logits = [sum(a * b for a, b in zip(row, x, strict=True)) for row in weights]
        largest = max(v.data for v in logits)
        exps = [(v - largest).exp() for v in logits]
        total = sum(exps)
        probs = [e / total for e in exps]
        return -probs[target].log()

    def number(w, x, target):
        z = w.reshape(4, 3) @ np.array(x)
        return math.log(np.exp(z).sum()) - z[target]

    def make():
        return [values(3, k) for k in range(4)]

    calls = [(numbers(3, k), k % 4) for k in range(6)]
    check(loss, make, calls, stateless(number))
    check_training(lambda m, e: loss(m, *e), make, calls, lambda w, e: number(w, *e))


def test_a_decision_by_the_largest_output():
    """`max(range(n), key=...)`: the branch taken is that of the chosen class."""

    def loss(weights, x):
        scores = [sum(a * b for a, b in zip(row, x, strict=True)) for row in weights]
        chosen = max(range(3), key=lambda i: scores[i].data)
        ranked = sorted(scores, key=lambda v: v.data)
        return (1.0 + chosen) * scores[chosen] ** 2 + (ranked[-1] - ranked[0]) * 0.5

    def number(w, x):
        z = w.reshape(3, 2) @ np.array(x)
        return (1.0 + np.argmax(z)) * z.max() ** 2 + 0.5 * (z.max() - z.min())

    check(loss, lambda: [values(2, k) for k in range(3)],
          [(numbers(2, k, 2.0),) for k in range(6)], stateless(number))  # fmt: skip


# ---- two networks, encoders, masks ---------------------------------------------------------------


class Pair:
    """A generator and a discriminator."""

    def __init__(self):
        self.made, self.judge = Net(1, [3, 2], seed=4), Net(2, [3, 1], seed=5)

    def parameters(self):
        return [*self.made.parameters(), *self.judge.parameters()]


def test_two_networks_against_each_other():
    """Each step has its own loss; the gradient of both networks is compared."""

    def loss(pair, noise, real, is_judge):
        fake = pair.made([noise])
        on_fake = tw.sigmoid(pair.judge([tw.detach(v) for v in fake] if is_judge else fake))
        if not is_judge:
            return -on_fake.log()
        return -tw.sigmoid(pair.judge(real)).log() - (1.0 - on_fake).log()

    first = forward(np.zeros(14), [1, 3, 2], [0.0])[1]

    def oracle(w, kept, noise, real, is_judge):
        fixed = start if is_judge else w  # a detached network has no derivative
        fake = forward(fixed[:first], [1, 3, 2], [noise])[0]
        p = [1 / (1 + math.exp(-forward(w[first:], [2, 3, 1], x)[0][0])) for x in (fake, real)]
        return (-math.log(p[1]) - math.log(1 - p[0]) if is_judge else -math.log(p[0])), []

    start = np.array([p.data for p in Pair().parameters()])
    calls = [(numbers(1, k)[0], numbers(2, k + 20), k % 2 == 0) for k in range(6)]
    check(loss, Pair, calls, oracle)


def test_autoencoder():
    def loss(net, x):
        out = net["out"](net["in"](x))
        return sum((a - b) ** 2 for a, b in zip(out, x, strict=True)) / len(x)

    def number(w, x):
        code, k = forward(w, [4, 2], x)
        return np.mean((forward(w[k:], [2, 4], code)[0] - x) ** 2)

    def make():
        return {"in": Net(4, [2], seed=2), "out": Net(2, [4], seed=3)}

    class Both:
        def __init__(self):
            self.parts = make()

        def parameters(self):
            return [*self.parts["in"].parameters(), *self.parts["out"].parameters()]

    rows = [numbers(4, k) for k in range(5)]
    check(lambda m, x: loss(m.parts, x), Both, [(x,) for x in rows], stateless(number))
    check_training(lambda m, x: loss(m.parts, x), Both, rows, number)


def test_dropout_with_a_mask_as_argument():
    def loss(net, x, mask, y):
        hidden = [unit(x) for unit in net.layers[0]]
        kept = [h * m if m else Value(0.0) for h, m in zip(hidden, mask, strict=True)]
        return (net.layers[1][0](kept) - y) ** 2

    def number(w, x, mask, y):
        h = np.maximum(w[:12].reshape(4, 3)[:, :2] @ x + w[:12].reshape(4, 3)[:, 2], 0.0)
        return (w[12:16] @ (h * mask) + w[16] - y) ** 2

    calls = [(numbers(2, k), [2.0 * (k >> j & 1) for j in range(4)], 0.3) for k in (3, 5, 15, 3, 9)]
    check(loss, lambda: Net(2, [4, 1]), calls, stateless(number))


class Normed:
    """Batch normalisation over a list of numbers, with running averages in attributes."""

    def __init__(self):
        self.gain, self.shift, self.w = Value(1.2), Value(0.1), Value(0.7)
        self.mean, self.var, self.training = 0.0, 1.0, True

    def parameters(self):
        return [self.gain, self.shift, self.w]

    def __call__(self, batch):
        h = [self.w * x for x in batch]
        mean, var = self.mean, self.var
        if self.training:
            mean = sum(h) / len(h)
            var = sum((v - mean) ** 2 for v in h) / len(h)
            self.mean = 0.9 * self.mean + 0.1 * mean.data
            self.var = 0.9 * self.var + 0.1 * var.data
        return [self.gain * (v - mean) / (var + 1e-5) ** 0.5 + self.shift for v in h]


def test_batch_normalisation_with_running_averages():

    def oracle(w, kept, batch):
        h = w[2] * np.array(batch)
        mean, var = h.mean(), h.var()
        after = [0.9 * kept[0] + 0.1 * mean, 0.9 * kept[1] + 0.1 * var]
        return float(np.sum(np.tanh(w[0] * (h - mean) / np.sqrt(var + 1e-5) + w[1]) ** 2)), after

    def trained(layer, batch):
        return sum(v.tanh() ** 2 for v in layer(batch))

    batches = [(numbers(4, k, 2.0),) for k in range(4)]
    check(trained, Normed, batches, oracle, state=lambda layer: [layer.mean, layer.var])

    def at_rest():
        layer = Normed()
        layer.training, layer.mean, layer.var = False, 0.25, 2.0
        return layer

    def rested(w, batch):
        h = (w[2] * np.array(batch) - 0.25) / math.sqrt(2.0 + 1e-5)
        return float(np.sum(np.tanh(w[0] * h + w[1]) ** 2))

    check(trained, at_rest, batches, stateless(rested))


# ---- arguments of many kinds ---------------------------------------------------------------------


@dataclass
class Sample:
    x: list
    y: float
    weight: float = 1.0


def test_dataclasses_as_arguments():
    def loss(net, sample, *, scale=1.0):
        error = net(sample.x) - sample.y
        return sample.weight * error**2 * scale if sample.weight > 0 else error * 0.0

    def number(w, sample):
        out = forward(w, [2, 3, 1], sample.x)[0][0]
        return sample.weight * (out - sample.y) ** 2 if sample.weight > 0 else 0.0

    calls = [(Sample(numbers(2, k), 0.5, float(k % 3)),) for k in range(5)]
    check(loss, lambda: Net(2, [3, 1]), calls, stateless(number))


def test_arrays_of_inputs():
    """Rows of an array, the product of an array and a Value, and `np.dot`."""

    def loss(w, rows, y):
        out = [np.dot(np.array(w), row) for row in rows]
        shifted = np.array(out) - y
        return np.sum(shifted * shifted) + np.tanh(w[0]) * rows[0, 0]

    def number(w, rows, y):
        return float(np.sum((rows @ w - y) ** 2) + math.tanh(w[0]) * rows[0, 0])

    rng = np.random.default_rng(1)
    calls = [(rng.normal(size=(4, 3)), rng.normal(size=4)) for _ in range(4)]
    check(loss, lambda: values(3), calls, stateless(number))


class Weight(Value):
    """A parameter of a class of the user's, with attributes of its own."""

    def __init__(self, data, decay=0.0):
        super().__init__(data)
        self.decay = decay


def test_a_subclass_with_attributes_of_its_own():
    def loss(w, x, y):
        total = sum(p * a for p, a in zip(w, x, strict=True))
        penalty = sum(p.decay * p * p for p in w if p.decay > 0)
        return (total - y) ** 2 + penalty

    def number(w, x, y):
        return (w @ np.array(x) - y) ** 2 + 0.1 * w[1] ** 2 + 0.2 * w[2] ** 2

    def make():
        return [Weight(a, 0.1 * k) for k, a in enumerate([0.5, -1.0, 0.25])]

    check(loss, make, [(numbers(3, k), 0.7) for k in range(4)], stateless(number))


def test_inputs_wrapped_in_value():
    def loss(net, x, y):
        x = [Value(a) for a in x]
        y = y if isinstance(y, Value) else Value(y)
        return (net(x) - y) ** 2 + x[0] * Value(2.0)

    def number(w, x, y):
        return (forward(w, [2, 3, 1], x)[0][0] - y) ** 2 + 2.0 * x[0]

    rows = [(numbers(2, k), 0.4 * k) for k in range(4)]
    check(loss, lambda: Net(2, [3, 1]), rows, stateless(number))
    check_training(
        lambda m, row: loss(m, *row), lambda: Net(2, [3, 1]), rows, lambda w, row: number(w, *row)
    )
