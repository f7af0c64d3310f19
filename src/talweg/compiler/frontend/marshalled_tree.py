"""The numbers and the key of nested lists of floats, in a few microseconds.

Most arguments are lists, tuples and dictionaries of floats, integers and strings. To visit their
parts in Python at every call would take longer than the native code. Python's `marshal` writes
such an argument as bytes. The bytes of its floats are the numbers that native code reads. The other
bytes are the key.

To find the bytes of floats, the argument is written twice, with two different numbers in place of
every float. This is done once. A later argument whose other bytes are equal has its floats in the
same places.

Start reading at `marshalled`.
"""

from __future__ import annotations

import marshal
import struct
from typing import Any

import numpy as np

from talweg.compiler.frontend.pytree import tree_map

CONTAINERS = (list, tuple, dict)
"""The types that an argument must have to be written by marshal."""

_LEAVES = {float, int, bool, str, type(None)}
_NAMES = {int, bool, str, type(None)}

_VERSION = 2
"""Of marshal's format: the last one without references to an object that was written before."""

_OTHER_THAN_ZERO = struct.unpack("=d", b"\1" * 8)[0]
"""A float that differs from 0.0 in every byte."""


class MarshalledTree:
    """Containers of floats, integers and strings, as bytes.

    Attributes:
        text: all of it, as marshal writes it.
        key: the same with 0.0 in place of every float.
        numbers: the bytes of the floats.
    """

    __slots__ = ("_fixed_bytes", "_fixed_places", "_float_places", "key", "numbers", "text")

    def __init__(self, text: bytes, key: bytes, is_float: Any) -> None:
        """The tree with this text; `is_float` tells for each byte whether it is one of a float."""
        self.text = text
        self.key = key
        letters = np.frombuffer(text, np.uint8)
        self._float_places = np.flatnonzero(is_float)
        self._fixed_places = np.flatnonzero(~is_float)
        self._fixed_bytes = letters[self._fixed_places]
        self.numbers = letters[self._float_places].tobytes()

    def with_other_floats(self, text: bytes) -> MarshalledTree | None:
        """The tree with this text, if it differs from this tree in its floats only."""
        letters = np.frombuffer(text, np.uint8)
        if len(text) != len(self.text):
            return None
        if (letters[self._fixed_places] != self._fixed_bytes).any():
            return None
        other: MarshalledTree = object.__new__(MarshalledTree)
        other.text, other.key = text, self.key
        other._float_places = self._float_places
        other._fixed_places, other._fixed_bytes = self._fixed_places, self._fixed_bytes
        other.numbers = letters[self._float_places].tobytes()
        return other


def marshalled(tree: Any, last: MarshalledTree | None) -> MarshalledTree | None:
    """An argument as bytes.

    Args:
        tree: the argument, one of `CONTAINERS`.
        last: the same argument of an earlier call; None if there was none.

    Returns:
        The tree; None if there is something else in it, such as a Value or an array.
    """
    try:
        text = marshal.dumps(tree, _VERSION)
    except ValueError:
        return None
    if last is not None:
        # `last.text` was written from floats, integers and strings only, and marshal writes
        # nothing else with the same bytes: arrays and other buffers have a type byte of their own.
        if text == last.text:
            return last
        found = last.with_other_floats(text)
        if found is not None:
            return found
    if not _is_plain(tree):
        return None
    key = marshal.dumps(tree_map(tree, lambda _: 0.0), _VERSION)
    marked = marshal.dumps(tree_map(tree, lambda _: _OTHER_THAN_ZERO), _VERSION)
    is_float = np.frombuffer(key, np.uint8) != np.frombuffer(marked, np.uint8)
    return MarshalledTree(text, key, is_float)


def _is_plain(tree: Any) -> bool:
    if type(tree) is dict:
        return set(map(type, tree)) <= _NAMES and _is_plain(list(tree.values()))
    if type(tree) is list or type(tree) is tuple:
        return set(map(type, tree)) <= _LEAVES or all(map(_is_plain, tree))
    return type(tree) in _LEAVES
