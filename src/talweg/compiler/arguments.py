"""The arguments of a compiled function: which numbers are in them, and what else they are.

A call is taken apart into its numbers (floats and Values, in the order in which they are found)
and its *key*, which says everything else: types, lengths, names, whole numbers, and which
places hold the same Value. Two calls with equal keys run the same program.

* Floats, alone or in lists, tuples, dictionaries, dataclasses and NumPy arrays, are inputs.
* Values, there or anywhere inside an object with `parameters()`, are parameters.
* Everything else is part of the program. Of an object with `parameters()` that is all that its
  attributes hold; it is looked through once, and afterwards only compared with what was seen.

Start reading at `flatten`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from talweg.value import Value

Key: TypeAlias = Any
"""Nested tuples (kind, detail, *parts), hashable."""

NUMBER = ("a number", None)
"""The key of a float."""

WHOLE = ("a whole number", None)
"""The key of an int where those are numbers too."""

_PLAIN = (int, bool, str, bytes, complex, type(None), type(Ellipsis), range)


@dataclass
class Flat:
    """A call taken apart.

    Attributes:
        key: what is not a number in it.
        integers: whether whole numbers are numbers like floats, and not part of the key.
        floats: its floats, in order.
        values: its Values, each once, in order.
    """

    floats: list[float] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    key: Key = ()
    integers: bool = False

    @cached_property
    def places(self) -> dict[Value, int]:
        """The number of each Value among the Values of the call."""
        return {value: k for k, value in enumerate(self.values)}

    def place(self, value: Value) -> int:
        """The number of a Value, which is noted if it is a new one."""
        place = self.places.setdefault(value, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place


def flatten(
    args: Sequence[Any], kwargs: dict[str, Any], seen: Seen, integers: bool = False
) -> Flat:
    """Take a call apart.

    Args:
        args: the positional arguments.
        kwargs: the others.
        seen: the objects with `parameters()` that were looked through before.
        integers: whether to take whole numbers for numbers, as floats.

    Returns:
        Its numbers and its key.
    """
    flat = Flat(integers=integers)
    parts = [_key(arg, flat, seen) for arg in args]
    named = [(name, _key(kwargs[name], flat, seen)) for name in sorted(kwargs)]
    flat.key = (tuple(parts), tuple(named)) if named else tuple(parts)
    return flat


def _key(x: Any, flat: Flat, seen: Seen) -> Key:
    kind = type(x)
    if kind is float:
        flat.floats.append(x)
        return NUMBER
    if kind is list or kind is tuple:
        return _key_of_sequence(x, kind, flat, seen)
    if isinstance(x, Value):
        return ("a Value", flat.place(x))
    if isinstance(x, np.floating):
        flat.floats.append(float(x))
        return NUMBER
    if flat.integers and isinstance(x, (int, np.integer)) and kind is not bool:
        flat.floats.append(float(x))
        return WHOLE
    if isinstance(x, _PLAIN):
        return (kind, x)
    if isinstance(x, np.ndarray):
        return _key_of_array(x, flat, seen)
    if isinstance(x, dict):
        parts = [(name, _key(part, flat, seen)) for name, part in x.items()]
        return (kind, len(parts), *parts)
    if isinstance(x, (list, tuple)):
        return _key_of_sequence(x, kind, flat, seen)
    if callable(getattr(x, "parameters", None)) and not isinstance(x, type):
        return seen.key(x, flat)
    if is_dataclass(x) and not isinstance(x, type):
        parts = [(f.name, _key(getattr(x, f.name), flat, seen)) for f in fields(x) if f.init]
        return (kind, len(parts), *parts)
    return ("the object", Same(x))


def _key_of_sequence(x: Any, kind: type, flat: Flat, seen: Seen) -> Key:
    if x and set(map(type, x)) == {float}:  # most lists: one step for all
        flat.floats += x
        return (kind, len(x), NUMBER)
    return (kind, len(x), *[_key(part, flat, seen) for part in x])


def _key_of_array(x: Any, flat: Flat, seen: Seen) -> Key:
    if x.dtype.kind == "f":
        flat.floats += x.ravel().tolist()
        return ("an array", x.shape)
    if x.dtype.kind == "O" or (flat.integers and x.dtype.kind in "iu"):
        return ("an array", x.shape, *[_key(part, flat, seen) for part in x.ravel().tolist()])
    return (f"an array of {x.dtype}", x.shape, x.tobytes())


class Same:
    """An object, equal only to itself; it is kept alive, so that nothing takes its place."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __repr__(self) -> str:
        text = repr(self.thing)
        return text if len(text) < 60 else f"{text[:57]}..."


# ---- objects with parameters ------------------------------------------------------------------


@dataclass
class _Look:
    """What was seen of an object: its key, its Values, and copies of all that is in it."""

    thing: Any
    key: Key
    values: list[Value]
    now: list[Any]
    then: list[Any]
    has_arrays: bool = False  # which change unseen: such an object is looked through each time


class Seen:
    """The objects with `parameters()` that were looked through, and what was seen.

    Only the last few are remembered; whoever comes back is looked through again.
    """

    _MOST = 16

    def __init__(self) -> None:
        self.looks: dict[int, _Look] = {}
        self.kinds: dict[Key, int] = {}  # hashing all that is in a model takes long: once only

    def key(self, thing: Any, flat: Flat) -> Key:
        """The key of an object; its Values go into `flat`."""
        look = self.looks.get(id(thing))
        if look is None or look.thing is not thing or look.has_arrays or look.now != look.then:
            look = _look(thing)
            look.key = ("a model of kind", self.kinds.setdefault(look.key, len(self.kinds)))
            if len(self.looks) >= self._MOST:
                del self.looks[next(iter(self.looks))]
            self.looks[id(thing)] = look
        if not flat.values:  # nearly always: then places are those of the look
            flat.values = look.values.copy()
            flat.__dict__.pop("places", None)
            return look.key
        places = tuple([flat.place(value) for value in look.values])
        return (*look.key, places)


def _look(thing: Any) -> _Look:
    """Look through an object: its attributes, and the objects, lists and dictionaries in them."""
    look = _Look(thing, (), [], [], [])
    found: dict[int, int] = {}
    values: dict[Value, int] = {}

    def key(x: Any) -> Key:
        if isinstance(x, Value):
            return ("a Value", values.setdefault(x, len(values)))
        if isinstance(x, (*_PLAIN, float, np.generic)):
            return (type(x), repr(x) if isinstance(x, float) else x)
        if callable(x) and not hasattr(x, "parameters"):
            return ("the object", Same(x))
        if id(x) in found:
            return ("again", found[id(x)])
        found[id(x)] = len(found)
        return (type(x), *contents(x))

    def contents(x: Any) -> list[Key]:
        if isinstance(x, np.ndarray):
            look.has_arrays = True
            return [x.shape, x.dtype.str, x.tobytes()]
        if isinstance(x, dict):
            watch(x, dict(x))
            return [(name, key(part)) for name, part in x.items()]
        if isinstance(x, (list, tuple)):
            watch(x, list(x) if isinstance(x, list) else x)
            return [key(part) for part in x]
        attributes = getattr(x, "__dict__", None)
        if attributes is None:
            return [Same(x)]
        return contents(attributes)

    def watch(now: Any, then: Any) -> None:
        look.now.append(now)
        look.then.append(then)

    look.key = ("a model", type(thing), *contents(vars(thing)))
    look.values = list(values)
    return look


# ---- putting together again -------------------------------------------------------------------


def rebuilt(
    thing: Any,
    on_float: Callable[[float], Any],
    on_value: Callable[[Value], Any],
    on_integer: Callable[[int], Any] | None = None,
) -> Any:
    """The same thing with other things in place of its floats and Values.

    Args:
        thing: an argument or a result.
        on_float: what to put in place of a float.
        on_value: what to put in place of a Value.
        on_integer: what to put in place of a whole number; None to leave it.

    Returns:
        Lists, tuples, dictionaries, dataclasses and arrays (as arrays of objects) anew;
        anything else, objects with `parameters()` too, as it is.
    """

    def again(x: Any) -> Any:
        if isinstance(x, Value):
            return on_value(x)
        if isinstance(x, (float, np.floating)):
            return on_float(float(x))
        if on_integer and isinstance(x, (int, np.integer)) and not isinstance(x, bool):
            return on_integer(int(x))
        if isinstance(x, np.ndarray):
            return again_array(x) if x.dtype.kind in ("fOiu" if on_integer else "fO") else x
        if isinstance(x, (list, tuple)):
            parts = [again(part) for part in x]
            return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
        if isinstance(x, dict):
            return {name: again(part) for name, part in x.items()}
        if callable(getattr(x, "parameters", None)):
            return x
        if is_dataclass(x) and not isinstance(x, type):
            new = {f.name: again(getattr(x, f.name)) for f in fields(x) if f.init}
            return replace(x, **new)
        return x

    def again_array(x: Any) -> Any:
        new = np.empty(x.shape, dtype=object)
        new.reshape(-1)[:] = [again(part) for part in x.ravel().tolist()]
        return new

    return again(thing)


# ---- telling keys apart -------------------------------------------------------------------------


def difference(key: Key, other: Key) -> str:
    """The first place in which two keys differ, in words.

    >>> difference(((list, 3, NUMBER),), ((list, 2, NUMBER),))
    'argument 1: list of 3, was list of 2'
    """
    if len(key) != len(other):
        return f"{len(key)} arguments, were {len(other)}"
    for k, (new, old) in enumerate(zip(key, other, strict=True), 1):
        if new != old:
            return f"argument {k}: {_differing(new, old)}"
    return "nothing"


def _differing(new: Key, old: Key) -> str:
    both = isinstance(new, tuple) and isinstance(old, tuple) and len(new) == len(old)
    if both and new[:2] == old[:2]:
        pairs = [(a, b) for a, b in zip(new[2:], old[2:], strict=True) if a != b]
        return _differing(*pairs[0])
    if both and len(new) == 2 and new[0] == old[0] and isinstance(new[1], tuple):
        return f"{new[0]}: {_differing(new[1], old[1])}"
    return f"{_in_words(new)}, was {_in_words(old)}"


def _in_words(key: Key) -> str:
    if not isinstance(key, tuple) or not key:
        return repr(key)
    if key == NUMBER:
        return "a number"
    kind, *rest = key
    if kind in (list, tuple, dict):
        return f"{kind.__name__} of {rest[0]}"
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    return f"{name} {rest[0]!r}" if rest else name
