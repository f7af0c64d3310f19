"""The arguments of a compiled function: which numbers are in them, and what else they are.

A call is taken apart into its numbers (floats and Values, in the order in which they are found)
and its *key*, which says everything else: types, lengths, names, whole numbers, and which
places hold the same Value. Two calls with equal keys run the same program.

* Floats, alone or in lists, tuples, dictionaries, dataclasses and NumPy arrays, are inputs.
* Values, there or anywhere inside another object, such as a model, are parameters.
* Everything else is part of the program. What is in an object is looked through once, and
  afterwards only compared with what was seen (`talweg.compiler.frontend.object_guard`).

This is done at every call, so it must not take longer than the native code. Most arguments are
nested lists of floats. Python's `marshal` writes such a list as bytes in a few microseconds, and
the bytes say it all: without the floats they are its key, and the floats are what native code
is given (`_Plain`).

Start reading at `flatten`.
"""

from __future__ import annotations

import marshal
import struct
from array import array
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from types import MethodType
from typing import Any

import numpy as np

from talweg.compiler.frontend.object_guard import (
    FIXED,
    Key,
    Kind,
    Look,
    Objects,
    Part,
    Same,
    is_function,
)
from talweg.compiler.frontend.pytree import rebuilt
from talweg.errors import TraceError
from talweg.value import Value

NUMBER = ("a number",)
"""The key of a float."""

WHOLE = ("a whole number",)
"""The key of an int where those are numbers too."""


class Flat:
    """A call taken apart.

    Attributes:
        key: what is not a number in it: (one part an argument, one a named argument).
        chunks: the floats of each argument, as bytes; those of the named ones last, by name.
        values: the Values, each once, in order; not to be changed.
        looks: the objects in it that were looked through.
        look: the only object that the Values come from, if there is only one such.
        has_own_values: whether there are Values that are not inside an object.
    """

    __slots__ = ("_places", "chunks", "has_own_values", "key", "look", "looks", "values")

    def __init__(self) -> None:
        self.key: Key = ()
        self.chunks: list[bytes] = []
        self.values: list[Value] = []
        self.looks: list[Look] = []
        self.look: Look | None = None
        self.has_own_values = False
        self._places: dict[Value, int] | None = None

    @property
    def floats(self) -> list[float]:
        """The floats, in order."""
        return array("d", b"".join(self.chunks)).tolist()

    @property
    def places(self) -> dict[Value, int]:
        """The number of each Value among the Values of the call."""
        if self._places is None:
            self._places = {value: k for k, value in enumerate(self.values)}
        return self._places

    def place(self, value: Value) -> int:
        """The number of a Value, which is noted if it is a new one."""
        places = self.places
        if value not in places:
            if self.look is not None:  # the list belongs to the object
                self.values, self.look = self.values.copy(), None
            places[value] = len(self.values)
            self.values.append(value)
        return places[value]

    def add(self, look: Look) -> Key:
        """Note the Values of an object; the key of the object."""
        self.looks.append(look)
        if not self.values:  # nearly always: then places are those of the look
            if look.values:
                self.values, self.look, self._places = look.values, look, None
            return (look.kind,)
        return (look.kind, *[self.place(value) for value in look.values])

    def float_range(self, k: int) -> tuple[int, int]:
        """The number of the first float of argument k, and of the first after it."""
        begin = sum(map(len, self.chunks[:k])) // 8
        return begin, begin + len(self.chunks[k]) // 8


class Seen:
    """What earlier calls of a function were given: to recognise it is faster than to look again."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.plain: dict[int | str, _Plain] = {}


def flatten(
    args: Sequence[Any], kwargs: dict[str, Any], seen: Seen, integers: bool = False
) -> Flat:
    """Take a call apart.

    Args:
        args: the positional arguments.
        kwargs: the others.
        seen: what earlier calls were given.
        integers: whether to take whole numbers for numbers, as floats.

    Returns:
        Its numbers and its key.

    Raises:
        TraceError: if an argument is an iterator, which can be gone through only once.
    """
    flat = Flat()
    parts = [_argument(k, x, flat, seen, integers) for k, x in enumerate(args)]
    names = sorted(kwargs) if kwargs else ()
    named = [(name, _argument(name, kwargs[name], flat, seen, integers)) for name in names]
    flat.key = (tuple(parts), tuple(named))
    return flat


def _argument(where: int | str, x: Any, flat: Flat, seen: Seen, integers: bool) -> Key:
    """The key of an argument; its numbers are added to those of the call."""
    if type(x) in _PLAIN_HOLDERS and not integers:
        plain = _plain(where, x, seen)
        if plain is not None:
            flat.chunks.append(plain.numbers)
            return plain.key
    if type(x) is float:
        flat.chunks.append(_double(x))
        return NUMBER
    if type(x) is np.ndarray and x.dtype.kind == "f":
        flat.chunks.append(x.astype(np.float64, copy=False).tobytes())
        return ("an array", x.shape)
    look = seen.objects.known(x)  # before all else, for this is what most calls have
    if look is not None:
        flat.chunks.append(b"")
        return flat.add(look)
    floats = array("d")
    key = _Reader(flat, floats, seen.objects, where, integers).key(x)
    flat.chunks.append(floats.tobytes())
    return key


_double = struct.Struct("=d").pack


# ---- nested lists of floats -------------------------------------------------------------------

_PLAIN_HOLDERS = (list, tuple, dict)
_PLAIN_ATOMS = {float, int, bool, str, type(None)}
_PLAIN_NAMES = {int, bool, str, type(None)}
_VERSION = 2
"""Of marshal's format: the last in which a thing that occurs twice is written twice."""

_MARK = struct.unpack("=d", b"\1" * 8)[0]  # differs from 0.0 in every byte


class _Plain:
    """Lists, tuples and dictionaries of floats and of what is part of the program.

    Attributes:
        text: all of it, as marshal writes it.
        key: the same with 0.0 in place of every float.
        numbers: the floats.
        is_float: for each byte of the text whether it belongs to a float.
    """

    __slots__ = ("_fixed", "_is_float", "_rest", "key", "numbers", "text")

    def __init__(self, text: bytes, key: bytes, is_float: Any) -> None:
        self.text = text
        self.key = key
        letters = np.frombuffer(text, np.uint8)
        self._is_float = np.flatnonzero(is_float)
        self._fixed = np.flatnonzero(~is_float)
        self._rest = letters[self._fixed]
        self.numbers = letters[self._is_float].tobytes()

    def with_other_floats(self, text: bytes) -> _Plain | None:
        """The one with this text, if it differs in nothing but the floats."""
        letters = np.frombuffer(text, np.uint8)
        if len(text) != len(self.text) or (letters[self._fixed] != self._rest).any():
            return None
        other: _Plain = object.__new__(_Plain)
        other.text, other.key = text, self.key
        other._is_float, other._fixed, other._rest = self._is_float, self._fixed, self._rest
        other.numbers = letters[self._is_float].tobytes()
        return other


def _plain(where: int | str, x: Any, seen: Seen) -> _Plain | None:
    """An argument as a `_Plain`, or None if there is something else in it."""
    try:
        text = marshal.dumps(x, _VERSION)
    except ValueError:
        return None
    last = seen.plain.get(where)
    if last is not None:
        # Only a text that marshal made of plain things was kept, and no other thing has it:
        # even arrays, which marshal takes for mere bytes, are written with another letter.
        if text == last.text:
            return last
        last = last.with_other_floats(text)
    if last is None:
        if not _is_plain(x):
            return None
        key = marshal.dumps(rebuilt(x, lambda _: 0.0, _itself), _VERSION)
        marked = marshal.dumps(rebuilt(x, lambda _: _MARK, _itself), _VERSION)
        is_float = np.frombuffer(key, np.uint8) != np.frombuffer(marked, np.uint8)
        last = _Plain(text, key, is_float)
    seen.plain[where] = last
    return last


def _itself(value: Value) -> Value:
    return value


def _is_plain(x: Any) -> bool:
    if type(x) is dict:
        return set(map(type, x)) <= _PLAIN_NAMES and _is_plain(list(x.values()))
    if type(x) is list or type(x) is tuple:
        return set(map(type, x)) <= _PLAIN_ATOMS or all(map(_is_plain, x))
    return type(x) in _PLAIN_ATOMS


# ---- everything else --------------------------------------------------------------------------


class _Reader:
    """Goes through one argument."""

    def __init__(
        self, flat: Flat, floats: array[float], objects: Objects, where: Any, integers: bool = False
    ) -> None:
        self.flat = flat
        self.floats = floats
        self.objects = objects
        self.where = where
        self.integers = integers

    def key(self, x: Any) -> Key:
        """The key of a thing; its numbers are noted."""
        kind = type(x)
        if isinstance(x, (float, np.floating)):
            self.floats.append(float(x))
            return NUMBER
        if isinstance(x, Value):
            self.flat.has_own_values = True
            return ("a Value", self.flat.place(x))
        if self.integers and isinstance(x, (int, np.integer)) and kind is not bool:
            self.floats.append(float(x))
            return WHOLE
        if isinstance(x, FIXED):
            return (kind, x)
        if isinstance(x, np.generic):
            return (kind, x.item())
        if isinstance(x, np.ndarray):
            return self.key_of_array(x)
        if isinstance(x, (list, tuple)):
            return self.key_of_sequence(x)
        if isinstance(x, dict):
            parts = [Part(name, self.key(part)) for name, part in x.items()]
            return (kind, len(parts), *parts)
        if isinstance(x, (set, frozenset)):
            return (kind, frozenset(x))
        return self.key_of_object(x)

    def key_of_sequence(self, x: Sequence[Any]) -> Key:
        kinds, flat = set(map(type, x)), self.flat
        if kinds == {float}:
            self.floats.extend(x)
            return (type(x), len(x), NUMBER)
        if kinds == {Value} and not flat.values and len(set(x)) == len(x):
            flat.has_own_values = True
            flat.values = list(x)
            return (type(x), len(x), "Values")
        return (type(x), len(x), *[self.key(part) for part in x])

    def key_of_array(self, x: Any) -> Key:
        if x.dtype.kind == "f":
            self.floats.extend(x.astype(np.float64).ravel().tolist())
            return ("an array", x.shape)
        if x.dtype.kind == "O" or (self.integers and x.dtype.kind in "iu"):
            return ("an array", x.shape, *[self.key(part) for part in x.ravel().tolist()])
        return (f"an array of {x.dtype}", x.shape, x.tobytes())

    def key_of_object(self, x: Any) -> Key:
        if isinstance(x, MethodType):
            return ("a method", Same(x.__func__), self.key(x.__self__))
        if is_function(x):
            return ("the function", Same(x))
        if is_dataclass(x) and not callable(getattr(x, "parameters", None)):
            parts = [Part(f.name, self.key(getattr(x, f.name))) for f in fields(x) if f.init]
            return (type(x), len(parts), *parts)
        if hasattr(x, "__next__"):
            raise TraceError(
                f"{_describe_place(self.where)} holds a {type(x).__name__}, which can be gone "
                "through only once; give a list: list(...)"
            )
        if hasattr(x, "__dict__") or hasattr(x, "parameters"):
            return self.flat.add(self.objects.look(x))
        return ("the object", Same(x))


def _describe_place(where: int | str) -> str:
    return f"argument {where + 1}" if isinstance(where, int) else f"argument {where!r}"


# ---- telling keys apart -------------------------------------------------------------------------


def difference(key: Key, other: Key) -> str:
    """The first place in which the keys of two calls differ, in words.

    >>> seen = Seen()
    >>> a, b = flatten([[1.0, 2.0], "x"], {}, seen), flatten([[1.0], "x"], {}, seen)
    >>> difference(a.key, b.key)
    'argument 1: list of 2, was list of 1'
    """
    (parts, named), (old_parts, old_named) = key, other
    if len(parts) != len(old_parts):
        return f"{len(parts)} arguments, were {len(old_parts)}"
    names, old_names = [name for name, _ in named], [name for name, _ in old_named]
    if names != old_names:
        return f"the arguments named {', '.join(names)}, were {', '.join(old_names)}"
    pairs: list[tuple[int | str, Key, Key]] = []
    pairs += [(k, a, b) for k, (a, b) in enumerate(zip(parts, old_parts, strict=True))]
    pairs += [(name, a, b) for (name, a), (_, b) in zip(named, old_named, strict=True)]
    for where, new, old in pairs:
        if new != old:
            return f"{_describe_place(where)}: {_differing(new, old)}"
    return "which Values are the same"


def _differing(new: Key, old: Key) -> str:
    new, old = _opened(new), _opened(old)
    if isinstance(new, Part) and isinstance(old, Part):
        if new.name != old.name:
            return f"{new.name!r}, was {old.name!r}"
        return f"{new.name}: {_differing(new.key, old.key)}"
    if isinstance(new, tuple) and isinstance(old, tuple) and len(new) == len(old):
        first = next((a, b) for a, b in zip(new, old, strict=True) if a != b)
        if all(map(_is_key, first)):
            return _differing(*first)
    return f"{_described(new)}, was {_described(old)}"


def _is_key(x: Any) -> bool:
    """Whether a part of a key is a key, and not a detail such as an array's shape."""
    if not isinstance(x, tuple) or isinstance(x, Part):
        return isinstance(x, Part)
    return len(x) > 0 and isinstance(x[0], (str, type, Kind))


def _opened(key: Key) -> Key:
    """A key with what stands for more in it written out."""
    if isinstance(key, bytes):
        return _Reader(Flat(), array("d"), Objects(), 0).key(marshal.loads(key))
    if isinstance(key, tuple) and len(key) and isinstance(key[0], Kind):
        return key[0].detail if len(key) == 1 else (key[0].detail, *key[1:])
    return key


def _described(key: Key) -> str:
    if not isinstance(key, tuple) or not key:
        return repr(key)
    if key == NUMBER:
        return "a number"
    kind, *rest = key
    if kind in (list, tuple, dict):
        return f"{kind.__name__} of {rest[0]}"
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    return f"{name} {rest[0]!r}" if rest else name
