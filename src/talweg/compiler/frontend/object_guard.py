"""Objects as arguments: the Values in a model, and everything else in it that makes a program.

A model is looked through once: its attributes, and the objects, lists and dictionaries in them.
The Values are its numbers; all else (types, lengths, names, plain floats too) is part of the
program. At the next call it is only compared with what was seen, which is an equality of
lists and dictionaries whose items are mostly the very same objects, and quick.

Start reading at `Objects.look`.
"""

from __future__ import annotations

import functools
import itertools
import threading
import types
import weakref
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from talweg.value import Value

Key: TypeAlias = Any
"""Nested tuples (kind, detail, *parts), hashable."""

FIXED = (int, bool, str, bytes, complex, type(None), type(Ellipsis), range)
"""What is part of the program by what it is equal to."""

_FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ModuleType,
    functools.partial,
    np.ufunc,
    type,
)

_serial = itertools.count().__next__


def is_function(x: Any) -> bool:
    """Whether a thing is part of the program by itself, whatever is in it."""
    return isinstance(x, _FUNCTIONS) or hasattr(x, "__wrapped__")


class Part(NamedTuple):
    """The key of what has a name in something larger."""

    name: Any
    key: Key


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


class Kind:
    """Stands for all that objects of one kind have in common; equal only to itself."""

    __slots__ = ("detail",)

    def __init__(self, detail: Key) -> None:
        self.detail = detail


class Look:
    """What was seen of an object.

    Attributes:
        serial: another one for each look.
        kind: what is not a Value in it.
        values: its Values, each once.
        reads: for each program what it reads of them; filled by the programs.
    """

    def __init__(self, thing: Any) -> None:
        self.serial = _serial()
        self.values: list[Value] = []
        self.reads: dict[Any, Any] = {}
        self._now: list[Any] = []
        self._then: list[Any] = []
        self._has_unseen = False
        self._found: dict[int, int] = {}
        self._places: dict[Value, int] = {}
        self.detail: Key = self._key(thing)
        self.kind = Kind(self.detail)
        self.thing: Any = lambda: None  # set by who remembers it

    def is_of(self, thing: Any) -> bool:
        """Whether this is what would be seen of the object now."""
        if self._has_unseen or self.thing() is not thing:  # arrays and slots change unseen
            return False
        try:
            return self._now == self._then
        except Exception:  # an object may be of any kind, and so may its equality
            return False

    def _key(self, x: Any) -> Key:
        if isinstance(x, Value):
            place = self._places.setdefault(x, len(self.values))
            if place == len(self.values):
                self.values.append(x)
            return ("a Value", place)
        if isinstance(x, (float, np.floating)):
            return (type(x), repr(x))  # not the number itself: nan is not equal to nan
        if isinstance(x, FIXED):
            return (type(x), x)
        if isinstance(x, types.MethodType):
            return ("a method", Same(x.__func__), self._key(x.__self__))
        if is_function(x):
            return ("the function", Same(x))
        if id(x) in self._found:
            return ("again", self._found[id(x)])
        self._found[id(x)] = len(self._found)
        return self._contents(x)

    def _contents(self, x: Any) -> Key:
        kind = type(x)
        if isinstance(x, (np.ndarray, np.generic)):
            self._has_unseen = True
            items = [self._key(part) for part in x.ravel().tolist()] if x.dtype.kind == "O" else []
            return (kind, x.shape, x.dtype.str, *(items or [x.tobytes()]))
        if isinstance(x, dict):
            self._watch(x, dict(x))
            return (kind, len(x), *[Part(name, self._key(part)) for name, part in x.items()])
        if isinstance(x, (list, tuple)):
            if isinstance(x, list):
                self._watch(x, x.copy())
            return (kind, len(x), *[self._key(part) for part in x])
        if isinstance(x, (set, frozenset)):
            self._watch(x, frozenset(x))
            return (kind, frozenset(x))
        attributes = dict(getattr(x, "__dict__", {}))
        if attributes:
            self._watch(x.__dict__, attributes)
        for name in _slots(kind):
            self._has_unseen = True
            if hasattr(x, name):
                attributes = {**attributes, name: getattr(x, name)}
        if not attributes and not hasattr(x, "__dict__"):
            return ("the object", Same(x))
        return (
            kind,
            len(attributes),
            *[Part(n, self._key(part)) for n, part in attributes.items()],
        )

    def _watch(self, now: Any, then: Any) -> None:
        self._now.append(now)
        self._then.append(then)


def _slots(kind: type) -> list[str]:
    """The names of the attributes that objects of a class have beside those in `__dict__`."""
    found: list[str] = []
    for cls in kind.__mro__:
        names = cls.__dict__.get("__slots__", ())
        found += [names] if isinstance(names, str) else names
    return [name for name in found if name not in ("__dict__", "__weakref__")]


class Objects:
    """The objects that were looked through, and what was seen.

    Only the last few are remembered, and none is kept alive by that.
    """

    _MOST = 16

    def __init__(self) -> None:
        self._looks: dict[int, Look] = {}
        self._kinds: dict[Key, Kind] = {}  # hashing all that is in a model takes long: once only
        self._lock = threading.Lock()

    def known(self, thing: Any) -> Look | None:
        """What was seen of an object, if it was looked through and has not changed."""
        look = self._looks.get(id(thing))
        return look if look is not None and look.is_of(thing) else None

    def look(self, thing: Any) -> Look:
        """What is in an object."""
        look = self.known(thing)
        if look is None:
            look = Look(thing)
            with self._lock:
                look.kind = self._kinds.setdefault(look.detail, look.kind)
                while len(self._looks) >= self._MOST:
                    self._looks.pop(next(iter(self._looks)), None)
                with suppress(TypeError):  # an object that cannot be recognised
                    look.thing = weakref.ref(thing, functools.partial(self._forget, id(thing)))
                    self._looks[id(thing)] = look
        return look

    def _forget(self, number: int, thing: Any) -> None:
        """Drop what was seen of an object that is gone; called by Python at any moment."""
        look = self._looks.get(number)
        if look is not None and look.thing is thing:
            self._looks.pop(number, None)
