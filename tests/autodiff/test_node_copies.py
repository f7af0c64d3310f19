"""Copies of Values: nodes that are shared stay shared, and copies go backward."""

import copy
import pickle
from functools import partial

import pytest

import talweg as tw
from talweg import ops
from talweg.errors import OperationError
from talweg.value import Value

pytestmark = pytest.mark.filterwarnings("error")


def pickled_by(dumps, protocol):
    return lambda thing: pickle.loads(dumps(thing, protocol))


DUPLICATES = {
    "deepcopy": copy.deepcopy,
    "pickle 2": pickled_by(pickle.dumps, 2),
    "pickle 5": pickled_by(pickle.dumps, 5),
    "Python's pickle": pickled_by(pickle._dumps, 4),
}


@pytest.fixture(params=DUPLICATES)
def again(request):
    return DUPLICATES[request.param]


class Marked(Value):
    """A subclass with a slot and a method of its own."""

    __slots__ = ("mark",)


def test_nodes_that_are_shared_stay_shared(again):
    x = Value(1.0)
    h = x * 2.0
    y = h * 3.0
    h2, y2, x2 = again((h, y, x))
    y2.backward()
    assert (h2.grad, x2.grad, y2._children[0] is h2, h2._children[0] is x2) == (
        3.0,
        6.0,
        True,
        True,
    )
    assert (h.grad, x.grad) == (0.0, 0.0)
    y3, h3 = again([y, h])
    assert y3._children[0] is h3


def test_a_model_with_its_loss_and_an_earlier_result(again):
    w = [Value(0.5), Value(-1.0)]
    hidden = [p * 2.0 for p in w]
    loss = (hidden[0] * hidden[1]).tanh()
    again_w, again_hidden, again_loss = again([w, hidden, loss])
    again_loss.backward()
    loss.backward()
    assert [p.grad for p in again_w] == [p.grad for p in w]
    assert [p.grad for p in again_hidden] == [p.grad for p in hidden]


def test_classes_labels_symbols_and_attributes_are_kept(again):
    p = Marked(2.0, label="p")
    p.mark, p.m = "red", [1.0, 2.0]
    y = p * p
    y._op, y.note = "square", p
    y.backward()
    y2 = again(y)
    (p2,) = y2._prev
    assert (type(p2), p2.label, p2.mark, p2.m, p2.grad) == (Marked, "p", "red", [1.0, 2.0], 4.0)
    assert (y2._op, y2.note, y2.grad) == ("square", p2, 1.0)
    assert p2.m is not p.m


def test_local_gradients_are_kept(again):
    x = Value(3.0)
    y = Value(6.0, (x,), (2.0,)) * 5.0
    y2 = again(y)
    y2.backward()
    (inner, _) = y2._children
    assert (inner._local_grads, inner._children[0].grad) == ((2.0,), 10.0)


def test_registered_operations_are_kept(again):
    square = ops.register("squared_here", lambda x: x * x, "g * 2.0 * x", "x * x.")
    try:
        y = again(square(Value(3.0)))
        y.backward()
        assert y._children[0].grad == 6.0
    finally:
        ops.unregister("squared_here")


@pytest.mark.parametrize("length", [998, 999, 1000, 1001, 50_000])
def test_a_long_chain(again, length):
    x = Value(1.0)
    y = x
    for _ in range(length):
        y = y + x
    x2, y2 = again((x, y))
    y2.backward()
    assert (y2.data, x2.grad) == (length + 1.0, length + 1.0)


def test_a_pickle_that_failed_does_not_disturb_the_next():
    x = Value(2.0)
    y = x * 3.0
    z = y * 2.0
    z.note = lambda: None  # cannot be pickled
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(z)
    del z.note
    x2, y2, z2 = pickle.loads(pickle.dumps((x, y, z)))
    z2.backward()
    assert (x2.grad, y2.grad) == (6.0, 2.0)


# ---- shallow copies ----------------------------------------------------------------------------


def test_a_shallow_copy_has_the_same_operands():
    x = Value(3.0)
    x.m = [1.0]
    y = x * 2.0
    leaf, node = copy.copy(x), copy.copy(y)
    assert (node._children[0] is x, leaf.m is x.m, leaf is not x) == (True, True, True)
    leaf.data = 7.0
    node.backward()
    assert (x.data, x.grad, y.grad, node.grad) == (3.0, 2.0, 0.0, 1.0)


# ---- closures ------------------------------------------------------------------------------------


def cube(x):
    out = Value(x.data**3, (x,), "cube")

    def _backward():
        x.grad += 3.0 * x.data**2 * out.grad

    out._backward = _backward
    return out


def test_a_deep_copy_of_a_closure_propagates_between_the_copies():
    x = Value(2.0)
    y = cube(x * 2.0) + 1.0
    y2, x2 = copy.deepcopy((y, x))
    y2.backward()
    assert (x2.grad, x.grad) == (96.0, 0.0)
    y.backward()
    assert (x2.grad, x.grad) == (96.0, 96.0)


def test_a_shallow_copy_of_a_closure_propagates_from_the_copy():
    x = Value(2.0)
    y = cube(x)
    twin = copy.copy(y)
    twin.backward()
    assert (x.grad, y.grad) == (12.0, 0.0)


class Doubled(Value):
    """An operation whose step is a method."""

    def propagate(self):
        self.operand.grad += 2.0 * self.grad


def test_closures_in_other_forms():
    """Defaults and lists, a closure around the step that it replaces, a partial, a method."""
    x = Value(2.0)

    def add(scale, node, operands):
        operands[0].grad += scale * node.grad

    first = Value(1.0, (x,), "a")
    first._backward = lambda node=first, operands=[x]: add(5.0, node, operands)
    second, seen = x * 3.0, []
    step = second._backward
    second._backward = lambda: (seen.append(second.grad), step())
    third = Value(1.0, (x,), "c")
    third._backward = partial(add, 7.0, third, [x])
    fourth = Doubled(4.0, (x,), "d")
    fourth.operand, fourth._backward = x, fourth.propagate
    total = first + second + third + fourth
    total2, x2 = copy.deepcopy((total, x))
    total2.backward()
    assert (x2.grad, x.grad) == (5.0 + 3.0 + 7.0 + 2.0, 0.0)


# ---- results of compiled functions --------------------------------------------------------------


def test_a_compiled_result_is_copied_with_its_derivatives(again):
    w, v = Value(2.0), Value(-1.0)
    fast = tw.jit(lambda x: (w * x + v).tanh() * w)
    y = fast(0.3)
    total = y * 2.0
    total2, y2, w2, v2 = again((total, y, w, v))
    assert y2.data == y.data
    total2.backward()
    total.backward()
    assert (w2.grad, v2.grad) == pytest.approx((w.grad, v.grad), rel=1e-15)
    assert (w2.grad, y2.grad) == (pytest.approx(w.grad, rel=1e-15), 2.0)
    with pytest.raises(OperationError, match="no second derivative"):
        tw.gradients(y2, [w2])


def test_several_compiled_results(again):
    w = Value(2.0)
    fast = tw.jit(lambda x: (w * x, w * w))
    for _ in range(2):
        a, b = fast(3.0)
    a2, b2, w2 = again((a, b, w))
    (a2 + b2 * 10.0).backward()
    assert (a2.data, b2.data, w2.grad) == (6.0, 4.0, 3.0 + 40.0)
    (alone,) = again([b])
    alone.backward()
    assert alone._prev[0].grad == 4.0


def test_a_compiled_result_of_inner_nodes(again):
    w = Value(2.0)
    fast = tw.jit(lambda v: v * v)
    y = fast(w * 3.0)
    y2, w2 = again((y, w))
    y2.backward()
    assert (y2.data, w2.grad) == (36.0, 36.0)
