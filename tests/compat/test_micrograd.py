"""micrograd's demo with another import trains the same network, to the last bit."""

import math
import random

import numpy as np
import pytest

import talweg as tw
from talweg.compat import micrograd
from talweg.errors import ArgumentError, ShapeError
from talweg.model_file import Predictor

# ---- a class in the style of micrograd, whose operands are in order -----------------------------


class Ordered:
    """The oracle: closures, and parents in a tuple, so that the order does not vary."""

    def __init__(self, data, parents=()):
        self.data, self.grad, self.parents = data, 0, parents
        self.propagate = lambda: None

    def _result(self, data, parents, propagate):
        out = Ordered(data, parents)
        out.propagate = lambda: propagate(out)
        return out

    def __add__(self, other):
        other = other if isinstance(other, Ordered) else Ordered(other)

        def propagate(out):
            self.grad += out.grad
            other.grad += out.grad

        return self._result(self.data + other.data, (self, other), propagate)

    def __mul__(self, other):
        other = other if isinstance(other, Ordered) else Ordered(other)

        def propagate(out):
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        return self._result(self.data * other.data, (self, other), propagate)

    def relu(self):
        def propagate(out):
            self.grad += (out.data > 0) * out.grad

        return self._result(0 if self.data < 0 else self.data, (self,), propagate)

    def __radd__(self, other):
        return self + other

    def __rmul__(self, other):
        return self * other

    def backward(self):
        order, seen = [], set()

        def visit(node):
            if node not in seen:
                seen.add(node)
                for parent in node.parents:
                    visit(parent)
                order.append(node)

        visit(self)
        self.grad = 1
        for node in reversed(order):
            node.propagate()


class OrderedMLP:
    def __init__(self, nin, nouts):
        sizes = [nin, *nouts]
        self.layers = [
            [([Ordered(random.uniform(-1, 1)) for _ in range(n)], Ordered(0)) for _ in range(m)]
            for n, m in zip(sizes, nouts, strict=False)
        ]

    def __call__(self, x):
        for k, layer in enumerate(self.layers):
            sums = [sum((w * a for w, a in zip(ws, x, strict=True)), b) for ws, b in layer]
            x = [s.relu() for s in sums] if k < len(self.layers) - 1 else sums
        return x[0] if len(x) == 1 else x

    def parameters(self):
        return [p for layer in self.layers for ws, b in layer for p in [*ws, b]]


def demo(value, make_model, steps=12):
    """micrograd's demo: two classes, a hinge loss, a penalty, a falling learning rate."""
    random.seed(1337)
    points = [(random.uniform(-1, 1), random.uniform(-1, 1)) for _ in range(20)]
    labels = [1 if math.hypot(*p) < 0.75 else -1 for p in points]
    model, history = make_model(2, [8, 8, 1]), []
    for k in range(steps):
        inputs = [list(map(value, row)) for row in points]
        scores = list(map(model, inputs))
        losses = [(1 + -y * s).relu() for y, s in zip(labels, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        total = data_loss + 1e-4 * sum(p * p for p in model.parameters())
        for p in model.parameters():
            p.grad = 0
        total.backward()
        rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= rate * p.grad
        history.append(total.data)
    return history, [p.data for p in model.parameters()]


def test_the_demo_trains_the_same_network_to_the_last_bit():
    assert demo(micrograd.Value, micrograd.MLP) == demo(Ordered, OrderedMLP)


def test_the_network_is_that_of_the_case():
    """Relu inside, a linear output, and the random numbers of micrograd."""
    random.seed(1337)
    model = micrograd.MLP(2, [16, 16, 1])
    random.seed(1337)
    shapes = ((2, 16), (16, 16), (16, 1))
    weights = [[[random.uniform(-1, 1) for _ in range(a)] for _ in range(b)] for a, b in shapes]
    x = [0.5, -1.5]
    for k, layer in enumerate(weights):
        x = [sum(p * q for p, q in zip(row, x, strict=True)) for row in layer]
        x = [max(0.0, v) for v in x] if k < 2 else x
    assert abs(model([0.5, -1.5]).data - x[0]) < 1e-12
    assert len(model.parameters()) == 337


def test_representations():
    model = micrograd.MLP(2, [2, 1])
    assert repr(model) == (
        "MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(2)]]"
    )


def test_the_networks_work_with_the_rest_of_talweg(tmp_path):
    random.seed(1)
    model = micrograd.MLP(2, [6, 1])
    data = [([a / 4, b / 4], (a - b) / 8) for a in range(-4, 5, 2) for b in range(-4, 5, 2)]
    history = tw.train(model, data, steps=100, optimizer=tw.SGD(lr=0.01))
    assert history.losses[-1] < 0.2 * history.losses[0]
    fast = tw.jit(model)
    assert fast([0.5, -0.5]).data == pytest.approx(model([0.5, -0.5]).data, rel=1e-14)
    assert len(model.state_dict()) == 6 * 3 + 7
    path = tmp_path / "model.safetensors"
    Predictor(model, ["a", "b"], "y").save(path)
    assert Predictor.load(path).model([0.5, -0.5]).data == model([0.5, -0.5]).data


def test_numpy_rows_are_inputs():
    model = micrograd.MLP(2, [3, 1])
    assert model(np.array([1.0, 2.0])).data == model([1.0, 2.0]).data


def test_wrong_arguments_are_refused():
    with pytest.raises(ArgumentError, match="nin must be an integer"):
        micrograd.MLP(0, [1])
    with pytest.raises(ShapeError, match="has 3 numbers"):
        micrograd.MLP(2, [1])([1.0, 2.0, 3.0])
