"""Each row of the tables in docs/compatibility.md is true."""

import copy
import math
import pickle
import random
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.compat import micrograd

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
ROWS = re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
CHECKS = {}


def row(text):
    """Marks the check of a row of the tables."""

    def decorate(check):
        assert text not in CHECKS
        CHECKS[text] = check
        return check

    return decorate


@row("`Value(data)`")
def _():
    assert [(type(v.data), v.data) for v in (Value(2), Value(np.float32(0.5)))] == [
        (float, 2.0),
        (float, 0.5),
    ]


@row('`Value(data, (a, b), "+")`')
def _():
    a, b = Value(1.0), Value(2.0)
    assert list(Value(3.0, (b, a), "+")._prev) == [b, a]
    assert list(Value(3.0, {b, a}, _op="+")._prev) == [a, b]
    assert Value(3.0, _children=(a,), _op="+")._op == "+"


@row('`Value(data, _prev=(a,), _op="x")`')
def _():
    a = Value(1.0)
    assert Value(3.0, _prev=(a,), _op="x")._prev == {a}


@row("`Value(data, (a, b), (2.0, 3.0))`")
def _():
    a, b = Value(1.0), Value(2.0)
    Value(8.0, (a, b), (2.0, 3.0)).backward()
    Value(8.0, children=(a, b), local_grads=(2.0, 3.0)).backward()
    assert (a.grad, b.grad) == (4.0, 6.0)
    with pytest.raises(tw.errors.OperationError):
        tw.gradients(Value(8.0, (a, b), (2.0, 3.0)), [a])


@row("`v.data`, `v.grad`")
def _():
    v = Value(1.0)
    v.data, v.grad = np.float32(2.0), 0
    assert (type(v.data), v.grad) == (float, 0)


@row("`v.label`")
def _():
    v = Value(1.0, label="v")
    assert v.label == "v"
    v.label = "w"
    assert v.label == "w"


@row("`v._prev`")
def _():
    a, b = Value(1.0), Value(2.0)
    y = b * a
    assert (y._prev == {a, b}, y._prev == (b, a), y._prev[0] is b) == (True, True, True)
    assert (len((a * a)._prev), (a * a)._children) == (1, (a, a))


@row("`v._prev = set()`")
def _():
    a, b = Value(3.0), Value(2.0)
    forgetful, cut = a * b, a * b
    forgetful._prev = set()
    cut._prev = {b}
    (forgetful + cut).backward()
    assert (a.grad, b.grad) == (0.0, 3.0)


@row("`v._op`")
def _():
    a = Value(2.0)
    assert (a.relu()._op, (a**2)._op, (a + a)._op, a.tanh()._op, a._op) == (
        "relu",
        "**",
        "+",
        "tanh",
        "",
    )
    y = a * a
    y._op = "square"
    y.backward()
    assert (y._op, a.grad) == ("square", 4.0)


@row("`v._backward()`")
def _():
    a, b = Value(2.0), Value(5.0)
    y = a * b
    y.grad = 3.0
    y._backward()
    assert (a.grad, b.grad) == (15.0, 6.0)


@row("`out._backward = f`")
def _():
    a = Value(2.0)

    def cube(x):
        out = Value(x.data**3, (x,), "cube")

        def _backward():
            x.grad += 3.0 * x.data**2 * out.grad

        out._backward = _backward
        return out

    (cube(a) * 2.0).backward()
    assert a.grad == 24.0
    with pytest.raises(tw.errors.OperationError):
        tw.gradients(cube(a), [a])
    with pytest.raises(tw.errors.TraceError):
        tw.jit(lambda x: cube(a) * x)(1.0)


@row("`v._children`, `v._local_grads`")
def _():
    a, b = Value(2.0), Value(5.0)
    assert ((a * b)._children, (a * b)._local_grads) == ((a, b), (5.0, 2.0))


@row("`a + b`, `a - b`, `a * b`, `a / b`, `a ** b`, `-a`")
def _():
    for number in (2, 2.0, np.float64(2.0), np.int64(2)):
        a = Value(3.0)
        results = [a + number, number + a, a - number, number - a, a * number, number * a]
        results += [a / number, number / a, a**number, number**a, -a]
        expected = [5.0, 5.0, 1.0, -1.0, 6.0, 6.0, 1.5, 2.0 / 3.0, 9.0, 8.0, -3.0]
        assert [r.data for r in results] == expected


@row("`v.exp()`, `v.log()`, `v.tanh()`, `v.relu()`")
def _():
    v = Value(0.5)
    pairs = [(v.exp(), math.exp(0.5)), (v.log(), math.log(0.5)), (v.tanh(), math.tanh(0.5))]
    pairs += [(v.relu(), 0.5), (v.sigmoid(), 1 / (1 + math.exp(-0.5))), (v.sqrt(), math.sqrt(0.5))]
    pairs += [(v.sin(), math.sin(0.5)), (v.cos(), math.cos(0.5))]
    pairs += [(v.softplus(), math.log1p(math.exp(0.5)))]
    assert [a.data for a, _ in pairs] == pytest.approx([b for _, b in pairs], rel=1e-15)


@row("`v.backward()`")
def _():
    a = Value(3.0)
    h = a * a
    y = h * 2.0
    y.backward()
    y.backward()
    assert (a.grad, h.grad) == (24.0, 2.0)


@row("`p.m = 0.0`")
def _():
    p = Value(1.0)
    p.m = p.v = 0.0
    assert (p.m, p.v) == (0.0, 0.0)


@row("`if bias:`")
def _():
    assert Value(0.0)


@row("`{a, b}`, `a == b`")
def _():
    a, b = Value(1.0), Value(1.0)
    assert (len({a, b, a}), a == b, a == a) == (2, False, True)  # noqa: PLR0124


@row("`class MyValue(Value)`")
def _():
    class MyValue(Value):
        def __add__(self, other):
            return MyValue(self.data + float(other))

        def __mul__(self, other):
            return MyValue(self.data * float(other))

    v = MyValue(3.0)
    results = [2 * v, sum([v, v]), -v, v - 1.0, v / 2.0]
    assert [(type(r), r.data) for r in results] == [
        (MyValue, x) for x in (6.0, 6.0, -3.0, 2.0, 1.5)
    ]


@row("`Value.__mul__ = f`")
def _():
    own, calls, v = Value.__mul__, [], Value(3.0)
    Value.__mul__ = lambda a, b: calls.append(b) or own(a, b)
    try:
        results = [v * 2, 2 * v, -v, v / 2]
    finally:
        Value.__mul__ = own
    assert ([r.data for r in results], calls) == ([6.0, 6.0, -3.0, 1.5], [2, 2])


@row("`copy.deepcopy(v)`")
def _():
    a = Value(2.0)
    h = Value(4.0, (a,), "square")
    h._backward = lambda: setattr(a, "grad", a.grad + 2.0 * a.data * h.grad)
    y2, h2, a2 = copy.deepcopy((h * 3.0, h, a))
    y2.backward()
    assert (a2.grad, h2.grad, a.grad) == (12.0, 3.0, 0.0)


@row("`pickle.dumps(v)`")
def _():
    a = Value(2.0)
    a2, y2 = pickle.loads(pickle.dumps((a, a * a)))
    y2.backward()
    assert a2.grad == 4.0
    own = Value(1.0, (a,), "own")
    own._backward = lambda: None
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(own)


@row("`np.array(w) * v`, `np.dot(x, w) + b`")
def _():
    w, v = [Value(1.0), Value(2.0)], Value(3.0)
    assert [y.data for y in np.array(w) * v] == [3.0, 6.0]
    assert [y.data for y in np.dot(np.array([[1.0, 2.0], [3.0, 4.0]]), w) + v] == [8.0, 14.0]


@row("`np.exp(v)`")
def _():
    v = Value(0.5)
    np.exp(v).backward()
    assert v.grad == math.exp(0.5)


@row("`math.exp(v)`")
def _():
    with pytest.raises(TypeError, match=r"tw\.exp"):
        math.exp(Value(1.0))


@row("`float(v)`")
def _():
    assert float(Value(2.0)) == 2.0


@row("`a < b`")
def _():
    assert (Value(1.0) < Value(2.0), Value(1.0) >= 2) == (True, False)


# ---- networks --------------------------------------------------------------------------------


@row("`MLP(3, [4, 4, 1])` with tanh")
def _():
    random.seed(42)
    model = tw.MLP(3, [4, 4, 1])
    random.seed(42)
    w = [random.uniform(-1, 1) for _ in range(3)]
    assert [p.data for p in model.layers[0].neurons[0].w] == w
    assert model([2.0, 3.0, -1.0])._op == "tanh"


@row("`from micrograd.engine import Value`")
def _():
    from talweg.compat.micrograd.engine import Value as TheirValue

    assert TheirValue is Value is micrograd.Value


@row("`from micrograd.nn import Neuron, Layer, MLP`")
def _():
    from talweg.compat.micrograd.nn import MLP, Layer, Module, Neuron

    assert (MLP, Layer, Module, Neuron) == (
        micrograd.MLP,
        micrograd.Layer,
        micrograd.Module,
        micrograd.Neuron,
    )
    random.seed(1337)
    model = MLP(2, [3, 1])
    random.seed(1337)
    drawn = [random.uniform(-1, 1) for _ in range(9)]
    weights = [p.data for layer in model.layers for n in layer.neurons for p in n.w]
    assert weights == drawn


@row("`Neuron(2, nonlin=False)`, `Layer(2, 3, nonlin=False)`")
def _():
    neuron = micrograd.Neuron(2, nonlin=False)
    assert (neuron.nonlin, neuron([1.0, 2.0])._op, repr(neuron)) == (False, "+", "LinearNeuron(2)")
    layer = micrograd.Layer(2, 3, nonlin=False)
    assert [n.nonlin for n in layer.neurons] == [False] * 3
    assert len(layer([1.0, 2.0])) == 3


@row("`model.parameters()`, `model.zero_grad()`")
def _():
    for model in (tw.MLP(2, [2, 1]), micrograd.MLP(2, [2, 1])):
        assert len(model.parameters()) == 9
        model([1.0, 2.0]).backward()
        model.zero_grad()
        assert {p.grad for p in model.parameters()} == {0.0}


@row("`MLP(2, [8, 3])` of Eureka")
def _():
    rng, same = random.Random(42), random.Random(42)
    model = tw.MLP(2, [8, 3], output="linear", scale="fan_in", rng=rng)
    weights = [[w.data for w in n.w] for layer in model.layers for n in layer.neurons]
    expected = [[same.uniform(-1, 1) * len(n) ** -0.5 for _ in n] for n in weights]
    assert np.concatenate(weights) == pytest.approx(np.concatenate(expected), rel=1e-15)
    x = [0.5, -1.0]
    h = [math.tanh(sum(w * a for w, a in zip(row, x, strict=True))) for row in expected[:8]]
    out = [sum(w * a for w, a in zip(row, h, strict=True)) for row in expected[8:]]
    assert [v.data for v in model(x)] == pytest.approx(out, rel=1e-14)


@row("`cross_entropy(logits, target)`")
def _():
    logits = [0.5, -1.0, 2.0]
    expected = -math.log(math.exp(2.0) / sum(map(math.exp, logits)))
    assert tw.losses.cross_entropy([Value(z) for z in logits], 2).data == pytest.approx(expected)
    assert tw.losses.cross_entropy([1000.0, 0.0], 1) == 1000.0


@row("`AdamW(parameters, lr=0.1)`")
def _():
    p, optimizer = Value(3.0), tw.AdamW(lr=0.1, beta2=0.95, weight_decay=0.0)
    own = SimpleNamespace(data=3.0, m=0.0, v=0.0)
    for t in range(1, 5):
        p.grad = 0.0
        ((p - 1.0) ** 2).backward()
        optimizer.step([p])
        g = 2.0 * (own.data - 1.0)
        own.m, own.v = 0.9 * own.m + 0.1 * g, 0.95 * own.v + 0.05 * g * g
        own.data -= 0.1 * (own.m / (1 - 0.9**t)) / ((own.v / (1 - 0.95**t)) ** 0.5 + 1e-8)
    assert p.data == pytest.approx(own.data, rel=1e-12)


# ---- the tables ------------------------------------------------------------------------------


def test_every_row_has_a_check():
    assert len(ROWS) == len(set(ROWS))
    assert list(CHECKS) == ROWS


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_what_a_row_says(check):
    check()
