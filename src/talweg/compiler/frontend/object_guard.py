"""Object guards: the Values in a model, and whether anything else in it has changed.

An object among the arguments, such as a model, is inspected once: its attributes, and the objects,
lists and dictionaries in them. Its Values are parameters. All else (types, lengths, names, plain
floats too) is part of the program, and so of the cache key. At the next call the object is only
compared with copies of its dictionaries and lists. That is fast, because an equality of containers
first compares the identity of their items, and most items are still the same objects.

Start reading at `ObjectGuards.guard`.
"""

from __future__ import annotations

import functools
import itertools
import threading
import types
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from talweg.value import Value

CacheKey: TypeAlias = Any
"""What two calls must have in common to run the same program: nested tuples (kind, detail,
*parts) that can be hashed."""

FIXED = (int, bool, str, bytes, complex, type(None), type(Ellipsis), range)
"""The types of leaves that are part of the program; two are the same if they are equal."""

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

_next_serial = itertools.count().__next__


def is_function(x: Any) -> bool:
    """Whether an object is part of the program by its identity, whatever it contains."""
    return isinstance(x, _FUNCTIONS) or hasattr(x, "__wrapped__")


# ---- parts of cache keys ---------------------------------------------------------------------


class Field(NamedTuple):
    """The key of a part that has a name in its container."""

    name: Any
    key: CacheKey


class Identity:
    """An object as a key, equal only to itself; it is kept alive, so that its id stays its own."""

    __slots__ = ("object",)

    def __init__(self, object: Any) -> None:  # noqa: A002
        self.object = object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.object is other.object

    def __hash__(self) -> int:
        return id(self.object)

    def __repr__(self) -> str:
        text = repr(self.object)
        return text if len(text) < 60 else f"{text[:57]}..."


class Structure:
    """The key of an object in short: one for all objects with the same key, equal only to itself.

    Attributes:
        key: all that is in such an object except its Values.
    """

    __slots__ = ("key",)

    def __init__(self, key: CacheKey) -> None:
        self.key = key


# ---- one object ------------------------------------------------------------------------------


class ObjectGuard:
    """What an object holds, and copies that tell whether it has changed since.

    Args:
        thing: the object. The guard keeps it alive no longer than others do.

    Attributes:
        serial: a number of its own.
        key: all that is in the object except its Values.
        structure: the same in short; replaced by that of an earlier object with an equal key.
        values: the Values in the object, each once, in order.
        bindings: what each traced program reads of these Values; filled by `ParameterBinding`.
        reference: a weak reference to the object; empty until `ObjectGuards` sets it.
    """

    def __init__(self, thing: Any) -> None:
        self.serial = _next_serial()
        self.values: list[Value] = []
        self.bindings: dict[Any, Any] = {}
        self.reference: Callable[[], Any] = lambda: None
        self._current: list[Any] = []  # the object's own dictionaries, lists and sets
        self._copies: list[Any] = []  # copies of them
        self._is_checkable = True
        self._visited: dict[int, int] = {}
        self._positions: dict[Value, int] = {}
        self.key: CacheKey = self._key_of(thing)
        self.structure = Structure(self.key)

    def holds_for(self, thing: Any) -> bool:
        """Whether another inspection of this object would find the same."""
        if not self._is_checkable or self.reference() is not thing:
            return False
        try:
            return self._current == self._copies
        except Exception:  # an object may be of any class, and `==` of that class may raise
            return False

    def _key_of(self, x: Any) -> CacheKey:
        if isinstance(x, Value):
            position = self._positions.setdefault(x, len(self.values))
            if position == len(self.values):
                self.values.append(x)
            return ("a Value", position)
        if isinstance(x, (float, np.floating)):
            return (type(x), repr(x))  # not the number itself: nan is not equal to nan
        if isinstance(x, FIXED):
            return (type(x), x)
        if isinstance(x, types.MethodType):
            return ("a method", Identity(x.__func__), self._key_of(x.__self__))
        if is_function(x):
            return ("the function", Identity(x))
        if id(x) in self._visited:
            return ("again", self._visited[id(x)])
        self._visited[id(x)] = len(self._visited)
        return self._key_of_container(x)

    def _key_of_container(self, x: Any) -> CacheKey:
        kind = type(x)
        if isinstance(x, (np.ndarray, np.generic)):
            self._is_checkable = False  # the elements of an array can change in place
            items = x.ravel().tolist() if x.dtype.kind == "O" else []
            parts = [self._key_of(part) for part in items] or [x.tobytes()]
            return (kind, x.shape, x.dtype.str, *parts)
        if isinstance(x, dict):
            self._watch(x, dict(x))
            return (kind, len(x), *[Field(name, self._key_of(part)) for name, part in x.items()])
        if isinstance(x, (list, tuple)):
            if isinstance(x, list):
                self._watch(x, x.copy())
            return (kind, len(x), *[self._key_of(part) for part in x])
        if isinstance(x, (set, frozenset)):
            self._watch(x, frozenset(x))
            return (kind, frozenset(x))
        return self._key_of_attributes(x)

    def _key_of_attributes(self, x: Any) -> CacheKey:
        attributes = dict(getattr(x, "__dict__", {}))
        if attributes:
            self._watch(x.__dict__, attributes)
        for name in _slots(type(x)):
            self._is_checkable = False  # a slot has no dictionary that could be compared
            if hasattr(x, name):
                attributes = {**attributes, name: getattr(x, name)}
        if not attributes and not hasattr(x, "__dict__"):
            return ("the object", Identity(x))
        parts = [Field(name, self._key_of(part)) for name, part in attributes.items()]
        return (type(x), len(attributes), *parts)

    def _watch(self, container: Any, copy: Any) -> None:
        self._current.append(container)
        self._copies.append(copy)


def _slots(kind: type) -> list[str]:
    """The names of the attributes that objects of a class have outside of `__dict__`."""
    found: list[str] = []
    for cls in kind.__mro__:
        names = cls.__dict__.get("__slots__", ())
        found += [names] if isinstance(names, str) else names
    return [name for name in found if name not in ("__dict__", "__weakref__")]


# ---- the objects of earlier calls ------------------------------------------------------------


class ObjectGuards:
    """The guards of the objects that earlier calls were given.

    Only the last few are stored, and none of the objects is kept alive by that.
    """

    _MOST = 16

    def __init__(self) -> None:
        self._guards: dict[int, ObjectGuard] = {}
        # To hash all that is in a model takes long, so equal keys share one structure.
        self._structures: dict[CacheKey, Structure] = {}
        self._lock = threading.Lock()

    def known(self, thing: Any) -> ObjectGuard | None:
        """The guard of an object that was inspected and has not changed; None for any other."""
        guard = self._guards.get(id(thing))
        return guard if guard is not None and guard.holds_for(thing) else None

    def guard(self, thing: Any) -> ObjectGuard:
        """The guard of an object, which is inspected if it is a new one or has changed."""
        guard = self.known(thing)
        if guard is None:
            guard = ObjectGuard(thing)
            with self._lock:
                guard.structure = self._structures.setdefault(guard.key, guard.structure)
                while len(self._guards) >= self._MOST:
                    self._guards.pop(next(iter(self._guards)), None)
                with suppress(TypeError):  # an object without weak references is not stored
                    forget = functools.partial(self._forget, id(thing))
                    guard.reference = weakref.ref(thing, forget)
                    self._guards[id(thing)] = guard
        return guard

    def _forget(self, number: int, reference: Any) -> None:
        """Delete the guard of an object that was deleted; called by Python at any moment."""
        guard = self._guards.get(number)
        if guard is not None and guard.reference is reference:
            self._guards.pop(number, None)
