"""Inspection: everything in an object or a function that a compiled program may depend on.

An inspection visits an object and what it refers to:

* of an object: attributes, lists, dictionaries and arrays;
* of a function: the closure, the globals that its code names, the default arguments, and the
  functions that it can call;
* of a class of the user: the attributes that may be read.

It collects

* the Values, which are parameters of the program,
* the key: everything else, as nested tuples that can be compared and hashed,
* the places where all of it is stored (`places.py`).

Modules of the standard library and of installed packages are taken as constant and not visited, and
so are objects of the standard library that are not containers.

Start reading at `Inspection.key_of`.
"""

from __future__ import annotations

import argparse
import array
import collections
import contextvars
import enum
import functools
import io
import operator
import random
import struct
import sys
import types
import weakref
from collections.abc import Iterable, Set
from typing import Any

import numpy as np

from talweg.compiler.frontend.cache_key import (
    NUMBER,
    CacheKey,
    Field,
    Identity,
    is_function,
    is_leaf,
    key_of_leaf,
    name_of_key,
)
from talweg.compiler.frontend.contents import (
    bytes_of_array,
    bytes_of_buffer,
    bytes_of_tensor,
    has_buffer,
    is_model,
    names_of_getter,
    position_of,
    restore_array,
    restore_buffer,
    set_variable,
    slots,
)
from talweg.compiler.frontend.places import (
    AttributePlace,
    ClassPlace,
    ContentPlace,
    DictPlace,
    FunctionPlace,
    ListPlace,
    ObjectArrayPlace,
    Place,
    SetPlace,
)
from talweg.compiler.frontend.reachable import (
    Reach,
    is_user_class,
    is_user_function,
    is_user_module,
)
from talweg.compiler.frontend.traced_numbers import is_traced
from talweg.errors import TraceError
from talweg.value import Value

_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
"""The types of objects that draw random numbers; `effects.py` compares their state."""

_OPENED = (
    types.SimpleNamespace, argparse.Namespace, collections.UserDict, collections.UserList,
    functools.partial,
)  # fmt: skip
"""Classes of the standard library whose objects are visited."""


# ---- the inspection ----------------------------------------------------------------------------


class Inspection:
    """One visit of an object.

    Args:
        reach: the attributes that may be read.
        changing: the names of floats that are inputs of the program.

    Attributes:
        values: the Values that were found, each once, in order.
        places: where everything is stored.
        generators: the generators of random numbers that were found.
        caches: the functions with a cache (`functools.lru_cache`) that were found.
        is_checkable: whether the places tell of every change.
    """

    def __init__(self, reach: Reach, changing: Set[str] = frozenset()) -> None:
        self.reach = reach
        self.changing = changing
        self.values: list[Value] = []
        self.places: list[Place] = []
        self.generators: list[Any] = []
        self.caches: list[Any] = []
        self.is_checkable = True
        self._positions: dict[Value, int] = {}
        self._visited: dict[int, int] = {}
        self._alive: list[Any] = []  # what was visited; an id is that of one object while it lives
        self._globals: dict[int, dict[str, Any]] = {}

    def key_of(self, x: Any, where: str = "") -> CacheKey:
        """The key of an object and of everything in it.

        Args:
            x: the object.
            where: its name in the program, for messages.

        Raises:
            TraceError: if there is something in it that cannot be looked into.
        """
        if isinstance(x, Value):
            position = self._positions.setdefault(x, len(self.values))
            if position == len(self.values):
                self.values.append(x)
                if x.__dict__ or type(x) is not Value:
                    return ("a Value", position, *self._attributes_of_value(x, where))
            return ("a Value", position)
        if isinstance(x, enum.Enum):
            return (type(x), x.name)
        if is_traced(x):  # left behind by an earlier run of the same trace
            return ("a traced number", Identity(x))
        if is_leaf(x):
            is_input = self.changing and type(x) is float and where in self.changing
            return NUMBER if is_input else key_of_leaf(x)
        if isinstance(x, types.MethodType):
            return ("a method", self.key_of(x.__func__, where), self.key_of(x.__self__, where))
        if id(x) in self._visited:
            return ("again", self._visited[id(x)])
        self._visited[id(x)] = len(self._visited)
        self._alive.append(x)
        if is_function(x):
            return self._key_of_function(x, where)
        return self._key_of_container(x, where)

    # ---- containers ------------------------------------------------------------------------------

    def _key_of_container(self, x: Any, where: str) -> CacheKey:
        kind = type(x)
        if isinstance(x, np.ndarray):
            return self._key_of_array(x, where)
        if isinstance(x, dict):
            self.places.append(DictPlace(x, where))
            parts = [
                Field(name_of_key(name), self.key_of(part, f"{where}[{name!r}]"))
                for name, part in x.items()
            ]
            return (kind, len(x), *parts, *self._own_attributes(x, where))
        if isinstance(x, (list, tuple, collections.deque)):
            if not isinstance(x, tuple):
                self.places.append(ListPlace(x, where))
            return (kind, len(x), *self._items(x, where), *self._own_attributes(x, where))
        if isinstance(x, (set, frozenset)):
            if isinstance(x, set):
                self.places.append(SetPlace(x, where))
            return (kind, len(x), *[self.key_of(part, where) for part in x])
        if isinstance(x, _GENERATORS):
            self.generators.append(x)
            return ("the generator", Identity(x))
        if isinstance(x, contextvars.ContextVar):
            self.places.append(ContentPlace(x, where, lambda v: [v.get(None)], set_variable))
            return ("a context variable", Identity(x), self.key_of(x.get(None), where))
        if isinstance(x, weakref.ref):
            return ("a weak reference", self.key_of(x(), where))
        return self._key_of_object(x, where)

    def _items(self, x: Iterable[Any], where: str) -> list[CacheKey]:
        if set(map(type, x)) == {float} and not self.changing:
            numbers = list(x)
            return [("floats", struct.pack(f"={len(numbers)}d", *numbers))]
        return [self.key_of(part, f"{where}[{k}]") for k, part in enumerate(x)]

    def _own_attributes(self, x: Any, where: str) -> list[CacheKey]:
        """What an object of a subclass of list, tuple or dict has besides."""
        if type(x).__module__ == "builtins" or not is_user_class(type(x)):
            return []
        return [self._key_of_attributes(x, where)]

    def _key_of_array(self, x: Any, where: str) -> CacheKey:
        if x.dtype.kind == "O":
            self.places.append(ObjectArrayPlace(x, where))
            return (type(x), x.shape, *[self.key_of(part, where) for part in x.ravel().tolist()])
        self.places.append(ContentPlace(x, where, bytes_of_array, restore_array))
        return (type(x), *bytes_of_array(x))

    # ---- objects ---------------------------------------------------------------------------------

    def _key_of_object(self, x: Any, where: str) -> CacheKey:
        if isinstance(x, (array.array, bytearray)):
            self.places.append(ContentPlace(x, where, bytes_of_buffer, restore_buffer))
            return (type(x), *bytes_of_buffer(x))
        if hasattr(type(x), "__array__") and not hasattr(type(x), "_apply"):
            return self._key_of_tensor(x, where)
        if isinstance(x, memoryview) or has_buffer(x):
            self.places.append(ContentPlace(x, where, bytes_of_buffer))
            return (type(x), *bytes_of_buffer(x))
        if hasattr(type(x), "__next__"):
            self.places.append(ContentPlace(x, where, position_of))
            return ("the iterator", Identity(x))
        if not _is_visited(type(x)):
            return ("the object", Identity(x))
        return self._key_of_attributes(x, where)

    def _key_of_tensor(self, x: Any, where: str) -> CacheKey:
        """The key of an array of another library."""
        try:
            content = bytes_of_tensor(x)
        except Exception as error:
            raise TraceError(
                f"`{where}` is {type(x).__module__}.{type(x).__qualname__}, whose numbers cannot "
                f"be read ({type(error).__name__}: {error}); give a list or a NumPy array"
            ) from None
        self.places.append(ContentPlace(x, where, bytes_of_tensor))
        return (type(x), *content)

    def _key_of_attributes(self, x: Any, where: str) -> CacheKey:
        own = getattr(x, "__dict__", None)
        names = None if own is None or self._all_count(x) else [*filter(self.reach.contains, own)]
        attributes: dict[str, Any] = {}
        if isinstance(own, dict):
            self.places.append(DictPlace(own, where, names, of_object=True))
            attributes = {name: own[name] for name in (own if names is None else names)}
        named = [name for name in slots(type(x)) if self._all_count(x) or self.reach.contains(name)]
        if named:
            if len(self._visited) == 1:  # the place would keep the object itself alive
                self.is_checkable = False
            place = AttributePlace(x, where, named)
            self.places.append(place)
            attributes.update(place.saved)
        if own is None and not slots(type(x)) and not isinstance(x, (list, tuple, dict)):
            return ("the object", Identity(x))
        parts = []
        for name, part in attributes.items():
            path = f"{where}.{name}" if where else name
            if not self.reach.is_open and self.reach.contains(name):
                _refuse_iterator(part, path)
            parts.append(Field(name, self.key_of(part, path)))
        return (type(x), len(parts), *parts, *self._key_of_type(type(x)))

    def _attributes_of_value(self, x: Value, where: str) -> list[CacheKey]:
        """The attributes that a program has given to a Value, and the class of its own."""
        names = [*filter(self.reach.contains, x.__dict__)]
        if names:
            self.places.append(DictPlace(x.__dict__, where, names))
        parts = [Field(name, self.key_of(x.__dict__[name], f"{where}.{name}")) for name in names]
        return [type(x), len(parts), *parts, *self._key_of_type(type(x))]

    def _all_count(self, x: Any) -> bool:
        """Whether all attributes of an object count, and not only those that the code names.

        Methods that are not inspected may read any. A model has them all, for the sake of its
        parameters.
        """
        if self.reach.is_open or is_model(x):
            return True
        return not all(cls is object or is_user_class(cls) for cls in type(x).__mro__)

    # ---- functions, classes and modules ----------------------------------------------------------

    def _key_of_type(self, cls: type) -> list[CacheKey]:
        """What methods of an object's class read, and the attributes of the class itself."""
        return [self._key_of_class(cls, is_called=False)] if is_user_class(cls) else []

    def _key_of_class(self, cls: type, *, is_called: bool) -> CacheKey:
        mark = id(cls) if is_called else ~id(cls)
        if mark in self._visited and not is_called:
            return ("again", self._visited[mark])
        self._visited[mark] = len(self._visited)
        names: dict[type, list[str]] = {}
        parts: list[CacheKey] = []
        for base, name, item in self.reach.members_of(cls, is_called=is_called):
            names.setdefault(base, []).append(name)
            parts.append(Field(name, self._key_of_member(item, f"{base.__name__}.{name}")))
        for base in cls.__mro__:
            if is_user_class(base):
                self.places.append(ClassPlace(base, base.__name__, names.get(base, ())))
        return ("the class", Identity(cls), *parts)

    def _key_of_member(self, item: Any, where: str) -> CacheKey:
        if isinstance(item, property):
            functions = [f for f in (item.fget, item.fset) if f is not None]
            return ("a property", *[self.key_of(f, where) for f in functions])
        if isinstance(item, (staticmethod, classmethod)):
            return (type(item), self.key_of(item.__func__, where))
        if isinstance(item, functools.cached_property):
            return ("a cached property", self.key_of(item.func, where))
        if isinstance(item, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            return ("a slot",)
        return self.key_of(item, where)

    def _key_of_function(self, x: Any, where: str) -> CacheKey:
        if is_user_function(x):
            return self._key_of_code(x, where)
        if isinstance(x, type):
            return self._key_of_class(x, is_called=True) if is_user_class(x) else _constant(x)
        if isinstance(x, functools.partial):
            parts = [self.key_of(part, where) for part in (x.func, x.args, x.keywords)]
            return (type(x), *parts)
        if isinstance(x, types.ModuleType):
            return self._key_of_module(x, where) if is_user_module(x) else _constant(x)
        if isinstance(x, types.BuiltinFunctionType):
            owner = x.__self__
            if owner is not None and not isinstance(owner, (types.ModuleType, type)):
                return ("a method", x.__name__, self.key_of(owner, where))
            return _constant(x)
        if isinstance(x, (operator.attrgetter, operator.methodcaller)):
            self.reach.add_names(names_of_getter(x))
            return _constant(x)
        if hasattr(x, "cache_clear"):
            self.caches.append(x)
        wrapped = getattr(x, "__wrapped__", None)
        if wrapped is not None and wrapped is not x:
            return (*_constant(x), self.key_of(wrapped, where))
        return _constant(x)

    def _key_of_code(self, f: types.FunctionType, where: str) -> CacheKey:
        """What a function of the user reads."""
        code = f.__code__
        names = self.reach.add(code)
        parts: list[CacheKey] = []
        for name, cell in zip(code.co_freevars, f.__closure__ or (), strict=True):
            place = AttributePlace(cell, name, ["cell_contents"])
            self.places.append(place)
            parts += [
                Field(f"`{name}`", self._key_of_outside(item, name))
                for item in place.saved.values()
            ]
        parts += self._key_of_globals(f.__globals__, sorted(names.globals))
        parts += self._key_of_globals(sys.modules, sorted(names.imports))
        if f.__defaults__ or f.__kwdefaults__:
            count = code.co_argcount
            first = count - len(f.__defaults__ or ())
            defaults = [*zip(code.co_varnames[first:count], f.__defaults__ or (), strict=True)]
            for name, item in [*defaults, *(f.__kwdefaults__ or {}).items()]:
                parts.append(Field(f"`{name}`", self.key_of(item, name)))
        if len(self._visited) > 1:
            self.places.append(FunctionPlace(f, where))
        if f.__dict__:
            self.places.append(DictPlace(f.__dict__, f.__name__, of_object=True))
            own = f.__dict__.items()
            parts += [Field(name, self.key_of(x, f"{f.__name__}.{name}")) for name, x in own]
        return ("the function", Identity(code), *parts)

    def _key_of_globals(self, module: dict[str, Any], names: list[str]) -> list[CacheKey]:
        """The globals of these names that no other function has named before."""
        known = self._globals.setdefault(id(module), {})
        new = [name for name in names if name not in known]
        known.update(dict.fromkeys(new))
        if not new:
            return []
        self.places.append(DictPlace(module, "", new))
        return [
            Field(f"`{name}`", self._key_of_outside(module[name], name))
            for name in new
            if name in module
        ]

    def _key_of_outside(self, x: Any, name: str) -> CacheKey:
        """The key of what a function takes from outside under a name."""
        _refuse_iterator(x, name)
        return self.key_of(x, name)

    def _key_of_module(self, module: types.ModuleType, where: str) -> CacheKey:
        """The attributes of a module of the user that may be read."""
        names = sorted(name for name in vars(module) if self.reach.contains(name))
        if self.reach.is_open:
            names = [name for name in names if not name.startswith("__")]
        self.places.append(DictPlace(vars(module), where, names, of_object=True))
        parts = [
            Field(f"`{where}.{name}`", self.key_of(vars(module)[name], f"{where}.{name}"))
            for name in names
        ]
        return ("the module", Identity(module), *parts)


def _refuse_iterator(x: Any, name: str) -> None:
    """Refuse a generator and the like: how far it has got cannot be compared."""
    if hasattr(type(x), "__next__") and not isinstance(x, io.IOBase) and position_of(x) is None:
        raise TraceError(
            f"the function takes `{name}` from outside, a {type(x).__name__}, which can be "
            "iterated only once; use a list: list(...)"
        )


def _constant(x: Any) -> CacheKey:
    return ("the function", Identity(x))


def _is_visited(cls: type) -> bool:
    """Whether objects of a class are looked into: not those of the standard library."""
    if issubclass(cls, _OPENED) or is_user_class(cls):
        return True
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    is_installed = file is not None and any(
        part in file for part in ("site-packages", "dist-packages")
    )
    return is_installed or cls.__module__.partition(".")[0] == "talweg"
