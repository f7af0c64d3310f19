"""Object guards: the Values in a model, and whether anything else in it has changed.

An object among the arguments, such as a model, is inspected once (`inspection.py`): its attributes,
and the objects, lists and dictionaries in them. Its Values are parameters. All else (types,
lengths, names, plain floats too) is part of the program, and so of the cache key. At the next call
the object is only compared with copies of its dictionaries and lists (`check.py`).

A function has a guard of the same kind: for what it reads from outside.

Start reading at `ObjectGuards.guard`.
"""

from __future__ import annotations

import functools
import itertools
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from talweg.compiler.frontend.cache_key import CacheKey
from talweg.compiler.frontend.check import Check
from talweg.compiler.frontend.inspection import Inspection
from talweg.compiler.frontend.reachable import Reach
from talweg.value import Value

_next_serial = itertools.count().__next__


class Structure:
    """The key of an object in short: one for all objects with the same key, equal only to itself.

    Attributes:
        key: all that is in such an object except its Values.
    """

    __slots__ = ("key",)

    def __init__(self, key: CacheKey) -> None:
        self.key = key


def _never() -> bool:
    """The check of an object whose changes cannot be noticed: it is inspected at every call."""
    return False


# ---- one object ------------------------------------------------------------------------------


class ObjectGuard:
    """What an object holds, and copies that tell whether it has changed since.

    Args:
        thing: the object. The guard keeps it alive no longer than others do.
        where: its name in the program, for messages.
        reach: the attributes that may be read.

    Attributes:
        serial: a number of its own.
        key: all that is in the object except its Values.
        structure: the same in short; replaced by that of an earlier object with an equal key.
        values: the Values in the object, each once, in order.
        places: where they and all else are stored.
        generators: the generators of random numbers in the object.
        apart: whether it has no Value in common with the guard of this serial number.
        bindings: what each traced program reads of these Values; filled by `ParameterBinding`.
        reference: returns the object; a weak reference if `ObjectGuards` stores the guard.
    """

    def __init__(self, thing: Any, where: str, reach: Reach) -> None:
        self.serial = _next_serial()
        self.apart: dict[int, bool] = {}
        self.bindings: dict[Any, Any] = {}
        self.reference: Callable[[], Any] = lambda: None
        self._reach = reach
        self._where = where
        while True:
            self._version = reach.version
            inspection = Inspection(reach)
            self.key: CacheKey = inspection.key_of(thing, where)
            if reach.version == self._version:  # no code was found that names further attributes
                break
        self.values: list[Value] = inspection.values
        self.places = inspection.places
        self.generators = inspection.generators
        self._check = Check(inspection.places) if inspection.is_checkable else _never
        self.structure = Structure(self.key)

    @functools.cached_property
    def value_set(self) -> frozenset[Value]:
        """The Values, for comparisons with those of other objects."""
        return frozenset(self.values)

    @property
    def is_current(self) -> bool:
        """Whether another inspection would visit the same attributes."""
        return self._version == self._reach.version

    def holds(self) -> bool:
        """Whether another inspection would find the same."""
        return self._version == self._reach.version and self._check()

    def renewed(self) -> ObjectGuard:
        """Another guard of the same object, as it is now."""
        thing = self.reference()
        return ObjectGuard(thing, self._where, self._reach)

    def holds_for(self, thing: Any) -> bool:
        """Whether another inspection of this object would find the same."""
        return self.reference() is thing and self._version == self._reach.version and self._check()


# ---- the objects of earlier calls ------------------------------------------------------------


class ObjectGuards:
    """The guards of the objects that earlier calls were given.

    Only the last few are stored, and none of the objects is kept alive by that.

    Args:
        reach: the attributes that may be read; all of them by default.

    Attributes:
        reach: the same.
    """

    _MOST = 16

    def __init__(self, reach: Reach | None = None) -> None:
        self.reach = reach or Reach(everything=True)
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
            guard = self.inspected(thing, type(thing).__name__)
            with self._lock:
                while len(self._guards) >= self._MOST:
                    self._guards.pop(next(iter(self._guards)), None)
                with suppress(TypeError):  # an object without weak references is not stored
                    forget = functools.partial(self._forget, id(thing))
                    guard.reference = weakref.ref(thing, forget)
                    self._guards[id(thing)] = guard
        return guard

    def inspected(self, thing: Any, where: str) -> ObjectGuard:
        """A new guard of an object, which is not stored."""
        guard = ObjectGuard(thing, where, self.reach)
        guard.reference = lambda: thing
        with self._lock:
            guard.structure = self._structures.setdefault(guard.key, guard.structure)
        return guard

    def _forget(self, number: int, reference: Any) -> None:
        """Delete the guard of an object that was deleted; called by Python at any moment."""
        guard = self._guards.get(number)
        if guard is not None and guard.reference is reference:
            self._guards.pop(number, None)
