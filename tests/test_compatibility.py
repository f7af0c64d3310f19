"""Programs in the style of the lesson and of micrograd, with only the import changed.

Each program below is one that runs with those classes: it builds its own network, adds its
own operations with closures, or walks the graph by `_prev` and `_op`.
"""

import math
import random

import numpy as np
import pytest

from talweg.errors import GradientWarning
from talweg.gradcheck import gradcheck
from talweg.value import Value

# ---- the lesson's program: a network of Values, trained by hand ------------------------------


class Neuron:
    def __init__(self, nin):
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0)

    def __call__(self, x):
        return sum((w * xi for w, xi in zip(self.w, x, strict=True)), self.b).tanh()

    def parameters(self):
        return [*self.w, self.b]


class Layer:
    def __init__(self, nin, nout):
        self.neurons = [Neuron(nin) for _ in range(nout)]

    def __call__(self, x):
        out = [neuron(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def parameters(self):
        return [p for neuron in self.neurons for p in neuron.parameters()]


class MLP:
    def __init__(self, nin, nouts):
        self.layers = [Layer(a, b) for a, b in zip([nin, *nouts], nouts, strict=False)]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]


INPUTS = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
TARGETS = [1.0, -1.0, -1.0, 1.0]


def test_the_lessons_training_run():
    random.seed(42)
    model = MLP(3, [4, 4, 1])
    losses = []
    for _ in range(50):
        predictions = [model(x) for x in INPUTS]
        loss = sum((p - t) ** 2 for p, t in zip(predictions, TARGETS, strict=True))
        losses.append(loss.data)
        for p in model.parameters():
            p.grad = 0.0
        loss.backward()
        for p in model.parameters():
            p.data -= 0.05 * p.grad
    assert len(model.parameters()) == 41
    assert [f"{losses[step - 1]:.6f}" for step in (1, 10, 50)] == [
        "5.278844",
        "0.488259",
        "0.028227",
    ]
    assert [f"{model(x).data:.4f}" for x in INPUTS] == ["0.9461", "-0.9023", "-0.9274", "0.9014"]


@pytest.mark.parametrize(("rate", "last"), [(0.001, 3.346645), (0.1, 0.011888), (1.0, 8.0)])
def test_the_lessons_other_learning_rates(rate, last):
    random.seed(42)
    model = MLP(3, [4, 4, 1])
    for _ in range(50):
        loss = sum((model(x) - t) ** 2 for x, t in zip(INPUTS, TARGETS, strict=True))
        for p in model.parameters():
            p.grad = 0.0
        loss.backward()
        for p in model.parameters():
            p.data -= rate * p.grad
    assert round(loss.data, 6) == last


# ---- a user's own operation, in the lesson's manner ------------------------------------------


def softsign(self):
    t = self.data / (1 + abs(self.data))
    out = Value(t, (self,), "softsign")

    def _backward():
        self.grad += (1 - abs(t)) ** 2 * out.grad

    out._backward = _backward
    return out


def product(self, other):
    other = other if isinstance(other, Value) else Value(other)
    out = Value(self.data * other.data, (self, other), "product")

    def _backward():
        self.grad += other.data * out.grad
        other.grad += self.data * out.grad

    out._backward = _backward
    return out


def test_an_operation_with_a_closure():
    x = Value(-3.0)
    y = softsign(x * 2.0) + softsign(x)
    assert (y._prev[0]._op, y._prev[1]._prev) == ("softsign", {x})
    y.backward()
    assert x.grad == pytest.approx(2.0 / 49.0 + 1.0 / 16.0, rel=1e-15)
    y.backward()
    assert x.grad == pytest.approx(2.0 * (2.0 / 49.0 + 1.0 / 16.0), rel=1e-15)
    assert (
        gradcheck(lambda a, b: softsign(product(a, b)).tanh() * softsign(a), 0.7, -1.3).checked == 2
    )


def test_an_operation_put_into_the_class(monkeypatch):
    monkeypatch.setattr(Value, "softsign", softsign, raising=False)
    monkeypatch.setattr(Value, "__mul__", product)
    monkeypatch.setattr(Value, "tanh", lambda self: self.softsign())
    x = Value(3.0)
    y = (x * x).tanh()
    y.backward()
    assert (y.data, y._op, y._prev[0]._op) == (0.9, "softsign", "product")
    assert x.grad == pytest.approx(0.06, rel=1e-14)


def test_a_set_of_children_is_accepted_and_put_in_order():
    values = [Value(float(i)) for i in range(50)]
    out = Value(0.0, set(values), "many")
    assert list(out._prev) == values


def test_a_closure_given_to_an_ordinary_node_replaces_its_rule():
    x = Value(2.0)
    y = x * 3.0

    def clipped():
        x.grad += min(y.grad * 3.0, 1.0)

    y._backward = clipped
    (y * 1.0).backward()
    assert (x.grad, y._op) == (1.0, "*")


def test_a_closure_may_call_the_step_that_it_replaces():
    x = Value(2.0)
    y = x * 3.0
    seen = []
    step = y._backward

    def watched():
        seen.append(y.grad)
        step()

    y._backward = watched
    (y * 5.0).backward()
    assert (seen, x.grad) == ([5.0], 15.0)


# ---- going backward by hand ------------------------------------------------------------------


def topological(root):
    order, visited = [], set()

    def visit(v):
        if v not in visited:
            visited.add(v)
            for child in v._prev:
                visit(child)
            order.append(v)

    visit(root)
    return order


def expression(a, b, c):
    d = a * b + c**3
    return (softsign(d) - d / b).tanh() * d.relu() + 2.0 * a


def test_backward_by_hand_equals_backward():
    numbers = (1.5, 0.8, 0.9)
    by_hand, by_method = [Value(x) for x in numbers], [Value(x) for x in numbers]
    result = expression(*by_hand)
    result.grad = 1.0
    for node in reversed(topological(result)):
        node._backward()
    expression(*by_method).backward()
    assert [v.grad for v in by_hand] == pytest.approx([v.grad for v in by_method], rel=1e-14)
    assert all(v.grad != 0.0 for v in by_hand)


def test_one_step_at_a_time():
    a, b = Value(2.0), Value(-3.0)
    product_, total = (p := a * b), p + 10.0
    total.grad = 1.0
    total._backward()
    assert (product_.grad, a.grad) == (1.0, 0.0)
    product_._backward()
    assert (a.grad, b.grad) == (-3.0, 2.0)
    a._backward()  # a leaf has nothing to do
    assert (a.grad, b.grad) == (-3.0, 2.0)


# ---- drawing the graph -----------------------------------------------------------------------


def trace(root):
    nodes, edges = set(), set()

    def build(v):
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)

    build(root)
    return nodes, edges


def draw(root):
    """The text of a drawing, made by the rules of a notebook's draw_dot."""
    nodes, edges = trace(root)
    lines = []
    for n in nodes:
        uid = str(id(n))
        lines.append("box %s { %s | data %.4f | grad %.4f }" % (uid, n.label, n.data, n.grad))  # noqa: UP031
        if n._op:
            lines.append(f"circle {uid + n._op} {n._op}")
            lines.append(f"edge {uid + n._op} {uid}")
    for child, parent in edges:
        lines.append(f"edge {id(child)} {str(id(parent)) + parent._op}")
    return lines


def test_code_that_draws_the_graph():
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    c = a * b
    c.label = "c"
    out = softsign(c + a)
    out.backward()
    nodes, edges = trace(out)
    assert nodes == {a, b, c, out._prev[0], out}
    assert edges == {(a, c), (b, c), (c, out._prev[0]), (a, out._prev[0]), (out._prev[0], out)}
    lines = draw(out)
    assert f"box {id(c)} {{ c | data -6.0000 | grad 0.0400 }}" in lines
    assert sorted(line.split()[2] for line in lines if line[0] == "c") == ["*", "+", "softsign"]
    assert sum(line.startswith("edge") for line in lines) == 3 + 5


# ---- a network of relu neurons with a hinge loss, in the manner of micrograd -----------------


class Module:
    def zero_grad(self):
        for p in self.parameters():
            p.grad = 0


class ReluNeuron(Module):
    def __init__(self, nin, *, nonlinear=True):
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0)
        self.nonlinear = nonlinear

    def __call__(self, x):
        act = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
        return act.relu() if self.nonlinear else act

    def parameters(self):
        return [*self.w, self.b]


class ReluNetwork(Module):
    def __init__(self, nin, hidden):
        self.hidden = [ReluNeuron(nin) for _ in range(hidden)]
        self.out = ReluNeuron(hidden, nonlinear=False)

    def __call__(self, x):
        return self.out([n(x) for n in self.hidden])

    def parameters(self):
        return [p for n in [*self.hidden, self.out] for p in n.parameters()]


def ring(count):
    """Points inside a circle are 1, those outside -1."""
    points = [(random.uniform(-1, 1), random.uniform(-1, 1)) for _ in range(count)]
    return points, [1 if math.hypot(*p) < 0.75 else -1 for p in points]


def hinge(model, points, labels, alpha=1e-4):
    inputs = [list(map(Value, row)) for row in points]
    scores = list(map(model, inputs))
    losses = [(1 + -yi * si).relu() for yi, si in zip(labels, scores, strict=True)]
    data_loss = sum(losses) * (1.0 / len(losses))
    penalty = alpha * sum(p * p for p in model.parameters())
    right = [(yi > 0) == (si.data > 0) for yi, si in zip(labels, scores, strict=True)]
    return data_loss + penalty, sum(right) / len(right)


def test_a_relu_network_with_a_hinge_loss_learns():
    random.seed(1337)
    points, labels = ring(40)
    model = ReluNetwork(2, 8)
    first, _ = hinge(model, points, labels)
    for k in range(60):
        total, accuracy = hinge(model, points, labels)
        model.zero_grad()
        total.backward()
        rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= rate * p.grad
    assert total.data < 0.35 * first.data
    assert accuracy >= 0.95


def test_relu_network_gradients():
    random.seed(3)
    points, labels = ring(6)
    labels = np.array(labels)  # -yi * score then begins with a NumPy number
    model = ReluNetwork(2, 3)
    report = gradcheck(lambda m: hinge(m, points, labels)[0], model)
    assert report.checked == len(model.parameters()) == 13


def test_every_operator_in_one_expression():
    """Augmented assignment, powers, division both ways, against the same on floats."""

    def walk(a, b, relu):
        c = b - a * 0.5
        c *= 3
        c -= relu(a * b + 10) / 7
        e = 2 / (c**2 + 1)
        e += relu(-a) ** 1.5 - relu(a)
        e /= b**-1 + 4
        return e * e - (-c) + 0.25 * sum([a, b, e])

    a, b = Value(-4.0), Value(2.0)
    out = walk(a, b, Value.relu)
    out.backward()

    def on_floats(x, y):
        return walk(x, y, lambda z: max(z, 0.0))

    h = 1e-6
    assert out.data == on_floats(-4.0, 2.0)
    assert a.grad == pytest.approx(
        (on_floats(-4 + h, 2) - on_floats(-4 - h, 2)) / (2 * h), rel=1e-6
    )
    assert b.grad == pytest.approx(
        (on_floats(-4, 2 + h) - on_floats(-4, 2 - h)) / (2 * h), rel=1e-6
    )


def test_a_missing_zero_grad_in_the_lessons_loop_gives_a_warning():
    random.seed(42)
    model = MLP(3, [4, 4, 1])

    def step():
        sum((model(x) - t) ** 2 for x, t in zip(INPUTS, TARGETS, strict=True)).backward()
        for p in model.parameters():
            p.data -= 0.05 * p.grad

    step()
    with pytest.warns(GradientWarning, match="zero"):
        step()
