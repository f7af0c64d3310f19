"""Containers of Values among the arguments, recognised at the next call.

A program with its parameters in lists gets the same lists at every call. To visit ten thousand
Values in Python would take longer than the native code. A `ValueTree` stores what was found in such
an argument: copies of its lists, and its Values. Python compares two lists of Values in C, by the
identity of their items, in two nanoseconds an item.

Only lists, tuples and dictionaries of leaves are stored. A Value that is the result of an operation
would keep its graph in memory.

Start reading at `ValueTree.holds_for`.
"""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import Any

from talweg.value import Value

_next_serial = itertools.count(-1, -1).__next__  # object guards count upward


class ValueTree:
    """The Values in nested lists, tuples and dictionaries that contain nothing else.

    Args:
        tree: the containers.

    Attributes:
        serial: a number of its own.
        values: the Values, each once, in order.
        key: types, lengths, names, and which places hold the same Value.
        bindings: what each traced program reads of these Values; filled by `ParameterBinding`.
    """

    def __init__(self, tree: Any) -> None:
        self.serial = _next_serial()
        self.bindings: dict[Any, Any] = {}
        self.apart: dict[int, bool] = {}
        self._copy = _copied(tree)
        self.values: list[Value] = []
        if type(self._copy) is not dict and _is_row(tree) and len(set(tree)) == len(tree):
            self.values = list(tree)  # nearly always
            self.key: Any = (type(tree), len(tree), "Values")
        else:
            positions: dict[Value, int] = {}
            self.key = _key_of(self._copy, positions)
            self.values = list(positions)

    @cached_property
    def positions(self) -> dict[Value, int]:
        """The position of each Value; not to be changed by others."""
        return {value: k for k, value in enumerate(self.values)}

    @cached_property
    def value_set(self) -> frozenset[Value]:
        """The Values, for comparisons with those of other arguments."""
        return frozenset(self.values)

    def holds_for(self, tree: Any) -> bool:
        """Whether an argument has the same Values in the same containers."""
        return _is_same(tree, self._copy)

    @property
    def is_stored(self) -> bool:
        """Whether it may be kept until the next call: only leaves keep no graph alive."""
        return not any(value._operands for value in self.values)


def value_tree(tree: Any) -> ValueTree | None:
    """The tree of an argument; None if there is anything in it but Values."""
    return ValueTree(tree) if _is_plain(tree) else None


def _is_row(tree: Any) -> bool:
    return set(map(type, tree)) == {Value}


def _is_plain(tree: Any) -> bool:
    if type(tree) is dict:
        return bool(tree) and set(map(type, tree)) == {str} and all(map(_is_plain, tree.values()))
    if type(tree) not in (list, tuple) or not tree:
        return False
    return _is_row(tree) or all(map(_is_plain, tree))


def _key_of(tree: Any, positions: dict[Value, int]) -> Any:
    """The key of containers; their Values are added to the positions."""
    if type(tree) is dict:
        parts = [(name, _key_of(part, positions)) for name, part in tree.items()]
        return (dict, len(parts), *parts)
    if type(tree[0]) is not Value:
        return (type(tree), len(tree), *[_key_of(part, positions) for part in tree])
    before = len(positions)
    places = [positions.setdefault(value, len(positions)) for value in tree]
    if places == list(range(before, before + len(tree))):  # each is there once, and a new one
        return (type(tree), len(tree), "Values")
    return (type(tree), len(tree), *[("a Value", place) for place in places])


def _copied(tree: Any) -> Any:
    """The same containers as new ones."""
    if type(tree) is dict:
        return {name: _copied(part) for name, part in tree.items()}
    if type(tree[0]) is Value:
        return tree.copy() if type(tree) is list else tree
    return type(tree)([_copied(part) for part in tree])


def _is_same(tree: Any, copy: Any) -> bool:
    if type(tree) is not type(copy) or len(tree) != len(copy):
        return False
    if type(copy) is dict:
        return list(tree) == list(copy) and all(map(_is_same, tree.values(), copy.values()))
    if type(copy[0]) is not Value:
        return all(map(_is_same, tree, copy))
    try:
        return bool(tree == copy)  # compares the identity of items first
    except Exception:  # an item may be of any class, and `==` of that class may raise
        return False
