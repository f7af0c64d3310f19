"""Checks: whether places hold what they held. Equality is strict, and containers are deep."""

import collections
import types

import numpy as np
import pytest

from talweg import Value
from talweg.compiler.frontend.check import Check
from talweg.compiler.frontend.inspection import Inspection
from talweg.compiler.frontend.places import ListPlace, is_same
from talweg.compiler.frontend.reachable import Reach


def check_of(thing):
    inspection = Inspection(Reach(everything=True))
    inspection.key_of(thing, "thing")
    return Check(inspection.places), inspection


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (2, 2.0),
        (0.0, -0.0),
        (True, 1),
        (1, True),
        (1.0, np.float64(1.0)),
        (1.5, 2.5),
        (None, 0),
        ((1, 2), (1.0, 2)),
        ([1], [1.0]),
        ("a", b"a"),
        (float("nan"), 0.0),
        (1j, 1.0 + 1j),
    ],
)
@pytest.mark.parametrize("many", [0, 20])
def test_equality_is_strict(before, after, many):
    for thing in ([*range(many), before], {"a": before}, [[before]], {"a": {"b": (0, [before])}}):
        check, _ = check_of(thing)
        assert check()
        holder = thing
        while isinstance(holder, (list, dict, tuple)):
            key = len(holder) - 1 if isinstance(holder, (list, tuple)) else next(iter(holder))
            if holder[key] is before:
                break
            holder = holder[key]
        holder[key] = after
        assert not check()
        holder[key] = before
        assert check()


def test_lists_are_compared_by_their_values():
    values = [Value(1.0), Value(2.0)]
    thing = {"values": types.SimpleNamespace(rows=[values, [Value(3.0)]])}
    check, _ = check_of(thing)
    thing["values"].rows = [list(row) for row in thing["values"].rows]
    assert check()
    thing["values"].rows[0][1] = Value(2.0)  # in the list that was assigned afterwards
    assert not check()


def test_objects_with_an_equality_of_their_own():
    class Equal:
        def __eq__(self, other):
            return True

        __hash__ = None

    thing = {"a": Equal()}
    check, _ = check_of(thing)
    assert check()
    thing["a"] = Equal()
    assert not check()


@pytest.mark.parametrize("kind", [list, collections.deque, set, dict.fromkeys])
def test_containers_that_grow_shrink_or_change_their_order(kind):
    thing = kind(["a", "b"])
    check, _ = check_of(thing)
    assert check()
    other = thing.copy()
    thing.clear()
    assert not check()
    (thing.update if hasattr(thing, "update") else thing.extend)(other)
    assert check() == (list(thing) == list(other))


def test_a_container_that_contains_itself():
    thing = [1.0, "text"]
    thing.append(thing)
    check, _ = check_of(thing)
    assert check()
    thing[1] = "other"
    assert not check()


def test_restore_puts_everything_back():
    inner, numbers = [Value(1.0)], np.arange(3.0)
    thing = types.SimpleNamespace(a=1, inner=inner, names={"x"}, table={1: 2.0, "b": 3}, n=numbers)
    check, inspection = check_of(thing)
    value = inner[0]
    thing.a, thing.new = 2, 3
    inner.append(4.0)
    inner[0] = 7.0
    thing.names.add("y")
    thing.table.clear()
    thing.table["b"] = 1
    numbers[:] = 5.0
    assert not check()
    for place in inspection.places:
        place.restore()
    assert check()
    assert thing == types.SimpleNamespace(
        a=1, inner=[value], names={"x"}, table={1: 2.0, "b": 3}, n=numbers
    )
    assert list(thing.table) == [1, "b"]
    assert numbers.tolist() == [0.0, 1.0, 2.0]


def test_changes_of_a_place():
    items = [1, "a", 2.0]
    place = ListPlace(items, "items")
    items[0], items[2] = 1.0, float("2")
    assert list(place.changes()) == [(0, 1, 1.0)]
    assert place.name_of(0) == "items[0]"
    assert is_same(float("nan"), float("nan"))
