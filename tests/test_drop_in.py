"""What programs do with a `Value` of another class beside arithmetic: attributes, truth, parents.

The classes are those of the lesson, of micrograd, of EurekaLabs' micrograd and of microgpt;
docs/compatibility.md has the table.
"""

import copy
import math

import pytest

from talweg.autodiff.higher_order import gradients
from talweg.errors import GradientWarning, NumberError, OperationError, ShapeError
from talweg.value import Value

# ---- attributes of one's own ---------------------------------------------------------


def test_leaves_and_results_take_attributes():
    p = Value(1.0)
    p.m, p.v = 0.0, 0.0
    q = p * 2.0
    setattr(q, "_vis_color", "lightblue")  # noqa: B010 - as in the program
    assert (p.m, p.v, q._vis_color) == (0.0, 0.0, "lightblue")
    assert vars(p) == {"m": 0.0, "v": 0.0}
    assert not hasattr(q, "m")


def test_an_optimiser_that_keeps_its_state_on_the_parameters():
    """Adam in the manner of EurekaLabs' AdamW, against the same on floats."""
    p, x, m, v = Value(3.0), 3.0, 0.0, 0.0
    p.m = p.v = 0.0
    for t in range(1, 6):
        p.grad = 0.0
        ((p - 1.0) ** 2).backward()
        p.m = 0.9 * p.m + 0.1 * p.grad
        p.v = 0.95 * p.v + 0.05 * p.grad**2
        p.data -= 0.1 * (p.m / (1 - 0.9**t)) / ((p.v / (1 - 0.95**t)) ** 0.5 + 1e-8)
        g = 2.0 * (x - 1.0)
        m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
        x -= 0.1 * (m / (1 - 0.9**t)) / ((v / (1 - 0.95**t)) ** 0.5 + 1e-8)
        assert p.data == pytest.approx(x, rel=1e-12)


def test_slots_of_a_subclass():
    class Own(Value):
        __slots__ = (*Value.__slots__, "m")

    p = Own(2.0)
    p.m = 1.0
    (p * p).backward()
    assert (p.m, p.grad) == (1.0, 4.0)
    assert copy.deepcopy(p).m == 1.0


# ---- truth ---------------------------------------------------------------------------


@pytest.mark.parametrize("data", [0.0, -0.0, 1.0, math.nan])
def test_a_value_is_true_as_any_object(data):
    assert Value(data)
    assert Value(data) * 1.0
    bias, x = Value(data), Value(2.0)
    y = x * 3.0
    if bias:  # "there is a bias"
        y = y + bias
    y.backward()
    assert bias.grad == 1.0
    assert (None or bias) is bias
    assert any([bias])


# ---- parents -------------------------------------------------------------------------


def test_parents_are_a_set_and_keep_their_order():
    x, w = Value(3.0), Value(2.0)
    y = x * x
    assert len(y._prev) == 1
    seen = {y}
    seen |= (y * w)._prev
    assert seen == {y, w}
    z = y - w
    assert (list(z._prev), z._prev[0], z._prev == (y, w), z._prev == {w, y}) == (
        [y, w],
        y,
        True,
        True,
    )
    assert z._prev | {x} == {x, y, w}
    assert z._prev & {w} == {w}
    assert isinstance(z._prev, (set, frozenset))
    assert sorted((v.data for v in set(z._prev)), reverse=True) == [9.0, 2.0]
    assert list(reversed(z._prev)) == [w, y]
    assert not Value(1.0)._prev


def test_a_set_of_parents_says_how_to_change_it():
    y = Value(3.0) * 2.0
    with pytest.raises(TypeError, match=r"v\._prev = set\(\)"):
        y._prev.clear()


def test_assigning_no_parents_forgets_where_a_value_comes_from():
    x = Value(3.0)
    y = x * x
    y._prev = set()
    z = y * 2.0
    z.backward()
    assert (len(y._prev), y.grad, x.grad) == (0, 2.0, 0.0)
    y.backward()
    assert y.grad == 3.0  # a leaf accumulates


def test_assigning_fewer_parents_cuts_the_links_to_the_others():
    a, b = Value(3.0), Value(5.0)
    y = a * b
    y._prev = {a}
    (y * 2.0).backward()
    assert (a.grad, b.grad, y._prev) == (10.0, 0.0, {a})


def test_parents_and_a_closure_given_after_the_constructor():
    x = Value(3.0)
    out = Value(x.data**3)
    out._prev, out._op = {x}, "cube"

    def _backward():
        x.grad += 3 * x.data**2 * out.grad

    out._backward = _backward
    (out * 2.0).backward()
    assert (x.grad, out._op) == (54.0, "cube")


def test_parents_given_without_a_derivative_are_warned_of():
    x, other = Value(3.0), Value(4.0)
    out = x * 2.0
    out._prev = {other}
    with pytest.warns(GradientWarning, match="no gradient passes"):
        (out * 2.0).backward()
    assert (x.grad, other.grad) == (0.0, 0.0)


def test_the_symbol_is_assigned_and_the_derivative_stays():
    x = Value(3.0)
    y = x * x
    y._op = "square"
    assert y._op == "square"
    assert "op='square'" in repr(y)
    y.backward()
    assert x.grad == 6.0
    x._op = "input"
    assert x._op == "input"


def test_parents_of_a_bare_number_are_the_same_nodes_at_each_access():
    y = Value(2.0) * 4.0
    (_, number) = y._prev
    assert y._prev[1] is number
    assert (number.data, number._op, len(number._prev)) == (4.0, "", 0)


def test_a_leaf_with_a_closure_is_visited_and_accumulates():
    """A hook on a parameter, as other classes call it: after all that use the parameter."""
    w, seen = Value(2.0), []
    w._backward = lambda: seen.append(w.grad)
    for _ in range(2):
        (w * 3.0 + w).backward()
    assert (seen, w.grad) == ([4.0, 8.0], 8.0)
    w.grad = 0.0
    (w * 3.0).backward()
    assert (seen, w.grad) == ([4.0, 8.0, 3.0], 3.0)


def test_a_root_with_a_closure_and_no_operands():
    """Its class may have lost them; what it computes backward is called all the same."""
    x, out = Value(3.0), Value(9.0)

    def _backward():
        x.grad += 6.0 * out.grad

    out._backward = _backward
    out.backward()
    assert (out.grad, x.grad) == (1.0, 6.0)


def test_a_graph_that_is_taken_apart_after_backward():
    """Each node is made a leaf with an empty step; parameters go on."""
    w = Value(2.0)
    for step in range(1, 4):
        h = w * 3.0
        loss = h * h
        loss.backward()
        for v in (loss, h, w):
            v._prev, v._op = set(), ""
            v._backward = lambda: None
        assert (w.grad, len(h._prev)) == (36.0 * step, 0)


@pytest.mark.parametrize("grad", [None, "0"])
def test_a_gradient_that_is_no_number(grad):
    w = Value(2.0)
    w.grad = grad
    with pytest.raises(NumberError, match=r"data 2\.0 is (None|'0').*set it to 0\.0"):
        (w * 3.0).backward()


# ---- microgpt's constructor ----------------------------------------------------------


def clipped_log(p):
    clamped = max(p.data, 1e-10)
    return Value(math.log(clamped), (p,), (1.0 / clamped,))


def test_local_gradients_propagate():
    x = Value(3.0)
    y = Value(x.data * 2.0, (x,), (2.0,))
    y.backward()
    assert (x.grad, y._children, y._local_grads) == (2.0, (x,), (2.0,))
    a, b = Value(2.0), Value(5.0)
    product = Value(a.data * b.data, children=(a, b), local_grads=(b.data, a.data))
    (clipped_log(product * 0.5) * 3.0).backward()
    assert a.grad == pytest.approx(3.0 / 2.0, rel=1e-15)
    assert b.grad == pytest.approx(3.0 / 5.0, rel=1e-15)


def test_an_operand_that_is_there_twice_gets_both_local_gradients():
    x = Value(3.0)
    (Value(9.0, [x, x], [3.0, 3.0]) + x).backward()
    assert x.grad == 7.0


def test_the_keyword_of_eurekalabs():
    x = Value(3.0)
    y = Value(9.0, _prev=(x, x), _op="square")
    assert (y._prev, y._op) == ({x}, "square")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda x: Value(1.0, (x,), (2.0, 3.0)), ShapeError, "1 operands and 2 local gradients"),
        (lambda x: Value(1.0, (), (2.0,)), ShapeError, "0 operands and 1 local gradients"),
        (lambda x: Value(1.0, (x,), (x,)), NumberError, r"give its bare number: v\.data"),
        (lambda x: Value(1.0, (x,), ("2",)), NumberError, "the text '2'"),
        (lambda x: Value(1.0, ("x",), "+"), NumberError, "the text 'x'"),
    ],
)
def test_wrong_local_gradients_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        make(Value(3.0))


def test_local_gradients_have_no_second_derivative():
    x = Value(3.0)
    with pytest.raises(OperationError, match="no second derivative"):
        gradients(clipped_log(x), [x])


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (lambda a, b: a * b, (5.0, 2.0)),
        (lambda a, b: a - b, (1.0, -1.0)),
        (lambda a, b: a.exp(), (math.exp(2.0),)),
        (lambda a, b: a**3, (12.0, pytest.approx(8.0 * math.log(2.0)))),
        (lambda a, b: Value(1.0), ()),
    ],
)
def test_every_node_shows_its_local_gradients(node, expected):
    assert node(Value(2.0), Value(5.0))._local_grads == expected


# ---- methods that a program defines --------------------------------------------------


class Counted(Value):
    """Counts its products; its sums are of its own class."""

    products = 0

    def __mul__(self, other):
        Counted.products += 1
        return super().__mul__(other)

    def __add__(self, other):
        number = other if isinstance(other, Value) else Value(other)
        out = Counted(self.data + number.data, (self, number), "+")

        def _backward():
            self.grad += out.grad
            number.grad += out.grad

        out._backward = _backward
        return out


def test_reflected_operators_and_sum_use_what_a_subclass_defines():
    Counted.products = 0
    v = Counted(3.0)
    results = [2 * v, v * 2, 2.0 * v, -v, v / 2.0]
    assert Counted.products == 5
    assert [r.data for r in results] == [6.0, 6.0, 6.0, -3.0, 1.5]
    total = sum([v, v])
    assert (type(total), total.data) == (Counted, 6.0)
    assert [type(x) for x in (1 + v, v - 1.0)] == [Counted] * 2
    assert (v - 1.0).data == 2.0
    total.backward()
    assert v.grad == 2.0


def test_a_subclass_of_a_subclass_may_define_the_reflected_operator_itself():
    class Own(Counted):
        def __rmul__(self, other):
            return "own"

    Counted.products = 0
    assert 2 * Own(1.0) == "own"
    assert Counted.products == 0


def test_every_operator_of_a_class_that_keeps_its_type():
    """In micrograd's classes - and / are made of +, * and **, so results keep their class."""

    class Kept(Value):
        def _kept(self, other, slopes, data):
            return Kept(data, (self, other), slopes)

        def __add__(self, other):
            other = other if isinstance(other, Value) else Kept(other)
            return self._kept(other, (1.0, 1.0), self.data + other.data)

        def __mul__(self, other):
            other = other if isinstance(other, Value) else Kept(other)
            return self._kept(other, (other.data, self.data), self.data * other.data)

        def __pow__(self, k):
            return Kept(self.data**k, (self,), (k * self.data ** (k - 1),))

    def program(a, b):
        return (2 * a - b / a + 1.0 / b - (3 - a)) * -b + (a / 2.0) ** 2

    a, b = Kept(1.5), Kept(-0.7)
    out = program(a, b)
    assert type(out) is Kept
    out.backward()
    plain = [Value(1.5), Value(-0.7)]
    expected = program(*plain)
    expected.backward()
    assert out.data == pytest.approx(expected.data, rel=1e-14)
    assert [a.grad, b.grad] == pytest.approx([v.grad for v in plain], rel=1e-14)


def test_reflected_operators_use_what_is_put_into_the_class(monkeypatch):
    times, plus = Value.__mul__, Value.__add__
    calls = []
    monkeypatch.setattr(Value, "__mul__", lambda a, b: calls.append("*") or times(a, b))
    monkeypatch.setattr(Value, "__add__", lambda a, b: calls.append("+") or plus(a, b))
    x = Value(3.0)
    assert ((2 * x).data, sum([x, x]).data) == (6.0, 6.0)
    assert calls == ["*", "+", "+"]
    monkeypatch.undo()
    assert (2 * x)._children[1] is x
    assert calls == ["*", "+", "+"]
