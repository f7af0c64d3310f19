"""Pytrees: every container is rebuilt, every leaf is visited once and in order."""

import collections
from dataclasses import dataclass

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.compiler.frontend.pytree import (
    tree_differences,
    tree_leaves,
    tree_map,
    tree_unflatten,
    tree_values,
)


@dataclass
class Point:
    x: float
    rest: list
    name: str = "p"


Row = collections.namedtuple("Row", "x y")


def tree():
    return {
        "list": [1.0, 2, True, None, "text"],
        "tuple": (np.float64(3.0), Row(4.0, 5.0)),
        "array": np.array([[6.0], [7.0]]),
        "object": Point(8.0, [Value(9.0)]),
    }


def test_the_leaves_are_visited_in_order():
    leaves = tree_leaves(tree())
    assert [x.data if isinstance(x, Value) else x for x in leaves] == [1, 3, 4, 5, 6, 7, 8, 9]
    assert all(type(x) in (float, Value) for x in leaves)
    assert tree_values(tree())[0].data == 9.0


def test_the_containers_keep_their_types():
    new = tree_map(tree(), lambda x: -x, lambda v: v.data)
    assert new["list"] == [-1.0, 2, True, None, "text"]
    assert new["tuple"] == (-3.0, Row(-4.0, -5.0))
    assert type(new["tuple"][1]) is Row
    assert new["array"].tolist() == [[-6.0], [-7.0]]
    assert new["object"] == Point(-8.0, [9.0])
    counts = collections.defaultdict(float, a=1.0)
    assert tree_map(counts, lambda x: x + 1.0)["missing"] == 0.0


def test_integers_are_leaves_on_request():
    assert tree_map([1, True, np.int64(3)], on_integer=float) == [1.0, True, 3.0]
    assert tree_map(np.array([1, 2]), on_integer=float).tolist() == [1.0, 2.0]
    array = np.array([1, 2])
    assert tree_map(array) is array


def test_models_and_other_objects_are_passed_on():
    model, other = tw.MLP(1, [1]), object()
    assert tree_map([model, other])[0] is model
    assert tree_map([model, other])[1] is other
    assert tree_leaves([model, other, Point]) == []


def test_unflatten_is_the_inverse_of_leaves():
    numbers = [10.0 * k for k in range(8)]
    assert tree_leaves(tree_unflatten(tree(), numbers)) == numbers


@pytest.mark.parametrize(
    ("a", "b", "differences"),
    [
        ([1.0, float("nan")], [1.0, float("nan")], []),
        ({"a": (1.0, 2.0)}, {"a": (1.0, 3.0)}, [(2.0, 3.0)]),
        ([1.0], [1.0, 2.0], [([1.0], [1.0, 2.0])]),
        ({"a": 1.0}, {"b": 1.0}, [({"a": 1.0}, {"b": 1.0})]),
        (np.array([1.0, 2.0]), np.array([1.0, 4.0]), [(2.0, 4.0)]),
        (Point(1.0, []), Point(2.0, []), [(1.0, 2.0)]),
    ],
)
def test_differences_are_the_pairs_that_are_not_equal(a, b, differences):
    assert list(tree_differences(a, b)) == differences
