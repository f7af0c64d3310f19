"""Object guards: the Values in a model, and whether anything else in it has changed.

An object among the arguments, such as a model, is inspected once (`inspection.py`): its attributes,
and the objects, lists and dictionaries in them. Its Values are parameters. Everything else (types,
lengths, names, and plain floats) is part of the program, and so of the cache key. At the next call
the object is only compared with copies of its dictionaries and lists (`check.py`).

A function has an object guard too, of what it reads from outside: closures, globals and defaults. A
float there that has changed twice becomes an input of the program (`ChangingFloats`).

Start reading at `ObjectGuards.guard`.
"""

from __future__ import annotations

import collections
import functools
import itertools
import struct
import threading
import types
import weakref
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from typing import Any

from talweg.compiler.frontend.cache_key import CacheKey
from talweg.compiler.frontend.check import Check
from talweg.compiler.frontend.inspection import Inspection
from talweg.compiler.frontend.places import Place, is_same
from talweg.compiler.frontend.reachable import Reach, is_user_function
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


def _floats_of(place: Place, names: Set[str]) -> Set[Any]:
    """The keys of the floats of a place that have one of these names."""
    return {k for k, x in place.saved.items() if type(x) is float and place.name_of(k) in names}


class ChangingFloats:
    """Floats that are part of the program until they have changed twice; then they are inputs.

    Attributes:
        names: the names of those that are inputs.
    """

    _MOST_CHANGES = 2

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self._changes: collections.Counter[str] = collections.Counter()

    def notice(self, old: Sequence[Place], new: Sequence[Place]) -> bool:
        """Count the floats that differ; returns whether some become inputs now."""
        found = set()
        for before, after in zip(old, new, strict=False):
            if before.owner is not after.owner:
                continue
            for key, x in after.saved.items():
                y = before.saved.get(key)
                if type(x) is float and type(y) is float and not is_same(x, y):
                    found.add(after.name_of(key))
        self._changes.update(found)
        often = {name for name in found if self._changes[name] == self._MOST_CHANGES}
        self.names |= often
        return bool(often)

    def keep_constant(self, names: Set[str]) -> None:
        """These are never inputs from now on."""
        self.names -= names
        self._changes.update(dict.fromkeys(names, self._MOST_CHANGES))


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
        changing: the names of floats that are inputs of the program.

    Attributes:
        serial: a number of its own.
        key: all that is in the object except its Values.
        structure: the same in short; replaced by that of an earlier object with an equal key.
        values: the Values in the object, each once, in order.
        places: where they and all else are stored.
        generators: the generators of random numbers in the object.
        caches: the functions with a cache in it.
        changing: the places and keys of floats that are inputs.
        apart: whether it has no Value in common with the guard of this serial number.
        bindings: what each traced program reads of these Values; filled by `ParameterBinding`.
        reference: returns the object; a weak reference if `ObjectGuards` stores the guard.
    """

    def __init__(
        self, thing: Any, where: str, reach: Reach, changing: Set[str] = frozenset()
    ) -> None:
        self.serial = _next_serial()
        self.apart: dict[int, bool] = {}
        self.bindings: dict[Any, Any] = {}
        self.reference: Callable[[], Any] = lambda: None
        self._reach = reach
        self._changing = changing
        self._where = where
        while True:
            self._version = reach.version
            inspection = Inspection(reach, changing)
            self.key: CacheKey = inspection.key_of(thing, where)
            if reach.version == self._version:  # no code was found that names further attributes
                break
        self.values: list[Value] = inspection.values
        self.places = inspection.places
        self.changing: list[tuple[Place, Any]] = []
        if changing:
            for place in self.places:
                place.changing = _floats_of(place, changing)
                self.changing += [(place, key) for key in place.saved if key in place.changing]
        self.generators = inspection.generators
        self.caches = inspection.caches
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
        return (
            self._version == self._reach.version
            and self._check()
            and (not self.changing or self._has_floats())
        )

    def _has_floats(self) -> bool:
        """Whether what should be floats are floats."""
        return all(type(x) is float for x in self.numbers())

    def numbers(self) -> list[Any]:
        """The floats that are inputs, as they are now."""
        return [place.now().get(key) for place, key in self.changing]

    def floats(self) -> bytes:
        """The same as bytes."""
        return struct.pack(f"={len(self.changing)}d", *self.numbers())

    def renewed(self) -> ObjectGuard:
        """Another guard of the same object, as it is now."""
        thing = self.reference()
        return ObjectGuard(thing, self._where, self._reach, self._changing)

    def holds_for(self, thing: Any) -> bool:
        """Whether another inspection of this object would find the same."""
        return self.reference() is thing and self.holds()


# ---- the objects of earlier calls ------------------------------------------------------------


class ObjectGuards:
    """The guards of the objects that earlier calls were given.

    Only the last few are stored, and none of the objects is kept alive by that.

    Args:
        reach: the attributes that may be read; all of them by default.
        changing: whether floats that change often become inputs of the program.

    Attributes:
        reach: the same.
    """

    _MOST = 16

    def __init__(self, reach: Reach | None = None, *, changing: bool = False) -> None:
        self.reach = reach or Reach(everything=True)
        self._floats = ChangingFloats() if changing else None
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
            old = self._guards.get(id(thing))
            old = old if old is not None and old.reference() is thing else None
            guard = self.inspected(thing, type(thing).__name__, old)
            with self._lock:
                while len(self._guards) >= self._MOST:
                    self._guards.pop(next(iter(self._guards)), None)
                with suppress(TypeError):  # an object without weak references is not stored
                    forget = functools.partial(self._forget, id(thing))
                    guard.reference = weakref.ref(thing, forget)
                    self._guards[id(thing)] = guard
        return guard

    def inspected(self, thing: Any, where: str, old: ObjectGuard | None = None) -> ObjectGuard:
        """A new guard of an object, which is not stored.

        Args:
            thing: the object.
            where: its name in the program.
            old: an earlier guard of the same object.
        """
        names = self._floats.names if self._floats else frozenset()
        guard = ObjectGuard(thing, where, self.reach, names)
        if self._floats and old is not None and self._floats.notice(old.places, guard.places):
            guard = ObjectGuard(thing, where, self.reach, self._floats.names)
        guard.reference = lambda: thing
        with self._lock:
            guard.structure = self._structures.setdefault(guard.key, guard.structure)
        return guard

    def of_loss(self, f: Any) -> list[ObjectGuard]:
        """The guards of a loss of training.

        Of a function of talweg itself, these are the guards of what it has in its closure, such as
        the model; of any other function, the guard of the function.
        """
        things = {"": f}
        if isinstance(f, types.FunctionType) and not is_user_function(f):
            named = zip(f.__code__.co_freevars, f.__closure__ or (), strict=True)
            things = {name: cell.cell_contents for name, cell in named}
        while True:
            guards = [self.inspected(thing, name) for name, thing in things.items()]
            if all(guard.is_current for guard in guards):
                return guards

    def keep_constant(self, guards: Sequence[ObjectGuard]) -> bool:
        """From now on the floats that are inputs are part of the program again.

        Returns:
            Whether there were any.
        """
        names = {place.name_of(key) for guard in guards for place, key in guard.changing}
        if self._floats and names:
            self._floats.keep_constant(names)
            self._guards.clear()
        return bool(names)

    def _forget(self, number: int, reference: Any) -> None:
        """Delete the guard of an object that was deleted; called by Python at any moment."""
        guard = self._guards.get(number)
        if guard is not None and guard.reference is reference:
            self._guards.pop(number, None)
