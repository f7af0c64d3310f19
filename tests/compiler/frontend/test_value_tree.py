"""Lists of Values among the arguments: recognised by identity, never mistaken for others."""

import gc
import itertools
import weakref

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.compiler.frontend.value_tree import value_tree


def values(n, start=1.0):
    return [Value(start + 0.1 * k) for k in range(n)]


def weighted(ws, xs):
    return sum(w * x for w, x in zip(ws, xs, strict=True))


@pytest.mark.parametrize("mode", ["exact", "default"])
def test_lists_that_change_between_calls(mode):
    ws, xs = values(5), [1.0, 2.0, 3.0, 4.0, 5.0]
    f = tw.jit(weighted, mode=mode)

    def check():
        for w in ws:
            w.grad = 0.0
        result = f(ws, xs)
        result.backward()
        assert result.data == pytest.approx(sum(w.data * x for w, x in zip(ws, xs, strict=True)))
        expected = {}
        for w, x in zip(ws, xs, strict=True):
            expected[w] = expected.get(w, 0.0) + x
        assert [w.grad for w in ws] == [expected[w] for w in ws]

    check()
    for change in (
        lambda: ws[0].__setattr__("data", 7.0),
        lambda: ws.__setitem__(2, Value(-3.0)),  # another Value in the same list
        ws.reverse,
        lambda: ws.__setitem__(1, ws[3]),  # the same Value twice
        lambda: ws.__setitem__(1, Value(2.0) * Value(3.0)),  # a computed one
        lambda: ws.__setitem__(1, Value(4.0)),
    ):
        for _ in range(2):
            check()
        change()
        for _ in range(2):
            check()
    assert f.traces == 2  # without and with a Value that is there twice


def test_rows_and_dictionaries_of_values():
    f = tw.jit(lambda p, xs: weighted(p["w"][0], xs) * p["b"][1] + weighted(p["w"][1], xs))
    p = {"w": [values(3), values(3, 5.0)], "b": (Value(1.0), Value(2.0))}
    xs = [1.0, 2.0, 3.0]
    for _ in range(3):
        for row in itertools.chain(p["w"], [p["b"]]):
            for w in row:
                w.grad = 0.0
        f(p, xs).backward()
        assert [w.grad for w in p["w"][0]] == [2.0, 4.0, 6.0]
        assert [w.grad for w in p["w"][1]] == xs
        assert p["b"][1].grad == pytest.approx(
            sum(w.data * x for w, x in zip(p["w"][0], xs, strict=True))
        )
        p["w"][1] = values(3, 9.0)  # a row is replaced
    assert f.traces == 1


def test_several_lists_a_model_and_values_from_outside():
    outside, model = values(2, 3.0), tw.MLP(2, [2, 1])
    f = tw.jit(lambda a, b, m: weighted(a, [x.data for x in b]) + m([a[0], b[0]]) * outside[1])

    def eager(a, b, m):
        return weighted(a, [x.data for x in b]) + m([a[0], b[0]]) * outside[1]

    first, second = values(2), values(2, 7.0)
    for a, b in (
        (first, second),
        (first, second),
        (second, first),
        (first, first),
        (values(2), second),
    ):
        everything = {*a, *b, *outside, *model.parameters()}
        found = []
        for g in (f, eager):
            for w in everything:
                w.grad = 0.0
            result = g(a, b, model)
            result.backward()
            found.append((result.data, {w: w.grad for w in everything}))
        assert found[0][0] == pytest.approx(found[1][0])
        assert found[0][1] == pytest.approx(found[1][1])


def test_values_that_were_computed_are_not_kept_alive():
    f = tw.jit(lambda ws: ws[0] * ws[1])
    w = Value(2.0)
    ws = [w * 3.0, w * 4.0]
    f(ws)
    gone = weakref.ref(ws[0])
    del ws
    gc.collect()
    assert gone() is None


def test_what_is_no_tree_of_values():
    for other in ([], [1.0], [Value(1.0), 2.0], {}, {1: Value(1.0)}, [[Value(1.0)], []], 3.0, "a"):
        assert value_tree(other) is None
    tree = value_tree([[Value(1.0)], (Value(2.0),)])
    assert not tree.holds_for([[1.0], (2.0,)])
    assert not tree.holds_for([np.ones(1), (2.0,)])
    ws = values(2)
    assert value_tree(ws).holds_for(ws.copy())
    assert not value_tree(ws).holds_for(tuple(ws))
    assert not value_tree(ws).holds_for([ws[0], np.ones(3)])
    assert value_tree([ws[0], ws[0]]).key != value_tree(ws).key
    assert value_tree([ws, [ws[0]]]).key != value_tree([ws, [Value(1.0)]]).key
