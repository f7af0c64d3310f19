"""The signature of a call: its numbers, and a key for everything else.

A call of a compiled function is split into its numbers (floats and Values, in the order in which
they are found) and its *cache key*: types, lengths, names, integers, and which places hold the
same Value. Two calls with equal keys run the same program.

* Floats, alone or in lists, tuples, dictionaries, dataclasses and NumPy arrays, are inputs.
* Values, there or anywhere inside another object, such as a model, are parameters.
* Everything else is part of the program. An object is inspected once; afterwards it is only
  compared with what was found (`frontend/object_guard.py`).
* What the function reads from outside is treated as one more object among the arguments: its Values
  are parameters, everything else is part of the program. For `tw.jit`, floats there that change
  often become inputs.

This happens at every call, so it must not take longer than the native code. Arguments of earlier
calls are stored in a `SignatureCache`: nested lists of floats are recognised by their bytes
(`frontend/marshalled_tree.py`), lists of Values by their identity (`frontend/value_tree.py`),
objects by their guards.

Start reading at `signature_of`.
"""

from __future__ import annotations

import functools
import inspect
import marshal
import struct
from array import array
from collections import deque
from collections.abc import Sequence
from types import MethodType
from typing import Any

import numpy as np

from talweg.compiler.frontend.cache_key import (
    FIXED,
    NUMBER,
    CacheKey,
    Field,
    is_function,
    key_of_leaf,
    name_of_key,
)
from talweg.compiler.frontend.marshalled_tree import CONTAINERS, MarshalledTree, marshalled
from talweg.compiler.frontend.object_guard import ObjectGuard, ObjectGuards
from talweg.compiler.frontend.pytree import attributes_of, is_tree_object
from talweg.compiler.frontend.reachable import Reach
from talweg.compiler.frontend.value_tree import ValueTree, value_tree
from talweg.errors import TraceError
from talweg.value import Value

INTEGER = ("an integer",)
"""The key of an integer where integers are inputs too."""


class CallSignature:
    """The numbers of a call, and its key.

    Attributes:
        key: all that is not a number: (a part for each argument, one for each named argument, what
            the function reads from outside).
        chunks: the floats of each argument, as bytes; those of the named ones and of the guards
            last.
        values: the Values, each once, in order; not to be changed by others.
        guards: the guards of the objects among the arguments; that of the function last.
        sole_guard: the guard or tree whose Values are all the Values of the call, if there is one.
        sources: the guards and trees whose Values, one after the other, are those of the call; None
            if there are others.
        has_direct_values: whether there are Values that are not inside an object.
        has_changing_floats: whether floats in objects or outside are inputs.
    """

    __slots__ = (
        "_positions", "chunks", "guards", "has_changing_floats", "has_direct_values", "key",
        "sole_guard", "sources", "values",
    )  # fmt: skip

    def __init__(self) -> None:
        self.key: CacheKey = ()
        self.chunks: list[bytes] = []
        self.values: list[Value] = []
        self.guards: list[ObjectGuard] = []
        self.sole_guard: ObjectGuard | ValueTree | None = None
        self.sources: list[ObjectGuard | ValueTree] | None = []
        self.has_direct_values = False
        self.has_changing_floats = False
        self._positions: dict[Value, int] | None = None

    @property
    def inputs(self) -> bytes:
        """The floats, in order, as bytes."""
        return b"".join(self.chunks)

    @property
    def floats(self) -> list[float]:
        """The floats, in order."""
        return array("d", self.inputs).tolist()

    @property
    def positions(self) -> dict[Value, int]:
        """The position of each Value among the Values of the call."""
        if self._positions is None:
            if isinstance(self.sole_guard, ValueTree):
                return self.sole_guard.positions
            self._positions = {value: k for k, value in enumerate(self.values)}
        return self._positions

    def float_range(self, k: int) -> tuple[int, int]:
        """The number of the first float of argument k, and of the first float after it."""
        first = sum(map(len, self.chunks[:k])) // 8
        return first, first + len(self.chunks[k]) // 8

    def add_value(self, value: Value) -> int:
        """The position of a Value, which is added if it is a new one."""
        positions = self.positions
        self.sources = None
        if value not in positions:
            if self.sole_guard is not None:  # the list belongs to the guard
                positions = self._positions = positions.copy()
                self.values, self.sole_guard = self.values.copy(), None
            positions[value] = len(self.values)
            self.values.append(value)
        return positions[value]

    def add_object(self, guard: ObjectGuard) -> CacheKey:
        """Add the Values of an object; returns the key of the object."""
        self.guards.append(guard)
        if guard.changing:
            self.has_changing_floats = True
        return self._add_values(guard, guard.structure)

    def add_tree(self, tree: ValueTree) -> CacheKey:
        """Add the Values of containers of Values; returns the key of the containers."""
        self.has_direct_values = True
        return self._add_values(tree, tree.key)

    def _add_values(self, source: ObjectGuard | ValueTree, key: CacheKey) -> CacheKey:
        if not source.values:
            return key
        if not self.values:  # nearly always: then positions are those in the source
            self.values, self.sole_guard, self._positions = source.values, source, None
            self.sources = [source]
            return key
        if self._is_apart(source):
            self.values = self.values + source.values
            self.sole_guard, self._positions = None, None
            if self.sources is not None:
                self.sources.append(source)
            return (key, "apart")
        return (key, *[self.add_value(value) for value in source.values])

    def _is_apart(self, guard: ObjectGuard | ValueTree) -> bool:
        """Whether an object has no Value in common with what was added before."""
        if self.sole_guard is None:
            return guard.value_set.isdisjoint(self.values)
        known = guard.apart.get(self.sole_guard.serial)
        if known is None:
            known = guard.value_set.isdisjoint(self.values)
            guard.apart.clear()  # of one pair at a time
            guard.apart[self.sole_guard.serial] = known
        return known


class SignatureCache:
    """The arguments of earlier calls, which are recognised faster than they are inspected.

    Args:
        f: the function that is called; None if what it reads from outside is not to be known.
        changing: whether floats outside that change often become inputs.
    """

    def __init__(self, f: Any = None, *, changing: bool = False) -> None:
        self.guards = ObjectGuards(None if f is None else Reach(), changing=changing)
        self.trees: dict[int | str, MarshalledTree] = {}
        self._values: dict[int | str, ValueTree] = {}
        self._f = f
        self._outside: ObjectGuard | None = None

    def keep_constant(self, signature: CallSignature) -> bool:
        """The floats outside that are inputs of a call are part of the program from now on.

        Returns:
            Whether there were any.
        """
        self._outside = None
        return self.guards.keep_constant(signature.guards)

    def values_of(self, where: int | str, x: Any) -> ValueTree | None:
        """The tree of an argument; None if there is anything in it but Values."""
        tree = self._values.get(where)
        if tree is None or not tree.holds_for(x):
            tree = value_tree(x)
            if tree is not None and tree.is_stored:
                self._values[where] = tree
        return tree

    def outside(self) -> ObjectGuard | None:
        """The guard of what the function reads from outside; None if there is no function."""
        guard = self._outside
        if guard is not None and guard.holds():
            return guard
        if self._f is not None:
            guard = self._outside = self.guards.inspected(self._f, "", guard)
        return guard


def signature_of(
    args: Sequence[Any],
    kwargs: dict[str, Any],
    cache: SignatureCache,
    *,
    integers: bool = False,
) -> CallSignature:
    """The signature of a call.

    Args:
        args: the positional arguments.
        kwargs: the named arguments.
        cache: the arguments of earlier calls; these are added.
        integers: whether integers are inputs too, as floats.

    Raises:
        TraceError: if an argument is an iterator, which can be iterated only once.
    """
    signature = CallSignature()
    while True:
        guard = cache.outside()
        parts = tuple([_argument(k, x, signature, cache, integers) for k, x in enumerate(args)])
        named: CacheKey = ()
        if kwargs:
            named = tuple(
                [(k, _argument(k, x, signature, cache, integers)) for k, x in kwargs.items()]
            )
        if guard is None:
            signature.key = (parts, named)
            return signature
        if guard.is_current:  # no code was found among the arguments that names further attributes
            if guard.values or guard.changing:
                signature.key = (parts, named, signature.add_object(guard))
            else:
                signature.guards.append(guard)
                signature.key = (parts, named, guard.structure)
            if signature.has_changing_floats:
                signature.chunks += [guard.floats() for guard in signature.guards]
            return signature
        signature = CallSignature()


def in_order(f: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The named arguments of a call, sorted by name if the function cannot notice their order.

    Only a function that collects arguments by `**` can.

    >>> in_order(lambda *, a, b: a - b, {"b": 1.0, "a": 2.0})
    {'a': 2.0, 'b': 1.0}
    """
    while isinstance(f, (functools.partial, MethodType)):
        f = f.func if isinstance(f, functools.partial) else f.__func__
    code = getattr(f, "__code__", None)
    if len(kwargs) < 2 or code is None or code.co_flags & inspect.CO_VARKEYWORDS:
        return kwargs
    return dict(sorted(kwargs.items()))


def _argument(
    where: int | str, x: Any, signature: CallSignature, cache: SignatureCache, integers: bool
) -> CacheKey:
    """The key of an argument; its numbers are added to those of the call."""
    kind = type(x)
    if kind is float:
        signature.chunks.append(_double(x))
        return NUMBER
    if kind in CONTAINERS and not integers:
        tree = marshalled(x, cache.trees.get(where))
        if tree is not None:
            cache.trees[where] = tree
            signature.chunks.append(tree.numbers)
            return tree.key
        values = cache.values_of(where, x)
        if values is not None:
            signature.chunks.append(b"")
            return signature.add_tree(values)
    if kind is np.ndarray and x.dtype.kind == "f":
        signature.chunks.append(x.astype(np.float64, copy=False).tobytes())
        return ("an array", x.shape)
    guard = cache.guards.known(x)
    if guard is not None:
        signature.chunks.append(b"")
        return signature.add_object(guard)
    inspector = _Inspector(signature, cache.guards, where, integers)
    key = inspector.key_of(x)
    signature.chunks.append(inspector.floats.tobytes())
    return key


_double = struct.Struct("=d").pack


class _Inspector:
    """Visits the parts of one argument.

    Attributes:
        floats: the floats that were found, in order.
    """

    def __init__(
        self,
        signature: CallSignature,
        guards: ObjectGuards,
        where: int | str,
        integers: bool = False,
    ) -> None:
        self.signature = signature
        self.guards = guards
        self.where = where
        self.integers = integers
        self.floats = array("d")

    def key_of(self, x: Any) -> CacheKey:
        """The key of a part; its numbers are added."""
        kind = type(x)
        if isinstance(x, (float, np.floating)):
            self.floats.append(float(x))
            return NUMBER
        if isinstance(x, Value):
            self.signature.has_direct_values = True
            position = self.signature.add_value(x)
            return ("a Value", position) if kind is Value else ("a Value", position, kind)
        if self.integers and isinstance(x, (int, np.integer)) and kind is not bool:
            self.floats.append(float(x))
            return INTEGER
        if isinstance(x, (np.generic, *FIXED)):
            return key_of_leaf(x)
        if isinstance(x, np.ndarray):
            return self._key_of_array(x)
        if isinstance(x, (list, tuple)):
            return self._key_of_sequence(x)
        if isinstance(x, dict):
            parts = [Field(name_of_key(name), self.key_of(part)) for name, part in x.items()]
            return (kind, len(parts), *parts)
        if isinstance(x, deque):
            return (kind, len(x), x.maxlen, *[self.key_of(part) for part in x])
        if isinstance(x, (set, frozenset)):
            return (kind, len(x), *[self._key_of_member(part) for part in x])
        return self._key_of_object(x)

    def _key_of_sequence(self, x: Sequence[Any]) -> CacheKey:
        kinds, signature = set(map(type, x)), self.signature
        if kinds == {float}:
            self.floats.extend(x)
            return (type(x), len(x), NUMBER)
        if kinds == {Value} and not signature.values and len(set(x)) == len(x):
            signature.has_direct_values = True
            signature.values, signature.sources = list(x), None
            return (type(x), len(x), "Values")
        return (type(x), len(x), *[self.key_of(part) for part in x])

    def _key_of_member(self, x: Any) -> CacheKey:
        """The key of a member of a set; its numbers are part of the program."""
        if isinstance(x, Value):
            return ("a Value", self.signature.add_value(x))
        return self.signature.add_object(self.guards.inspected(x, argument_name(self.where)))

    def _key_of_array(self, x: Any) -> CacheKey:
        if x.dtype.kind == "f":
            self.floats.extend(x.astype(np.float64).ravel().tolist())
            return ("an array", x.shape)
        if x.dtype.kind == "O" or (self.integers and x.dtype.kind in "iu"):
            return ("an array", x.shape, *[self.key_of(part) for part in x.ravel().tolist()])
        return (f"an array of {x.dtype}", x.shape, x.tobytes())

    def _key_of_object(self, x: Any) -> CacheKey:
        if isinstance(x, MethodType):
            return ("a method", self.key_of(x.__func__), self.key_of(x.__self__))
        if is_function(x):
            return self.signature.add_object(self.guards.guard(x))
        if is_tree_object(x):
            parts = [Field(name, self.key_of(part)) for name, part in attributes_of(x).items()]
            of_class = self.signature.add_object(self.guards.guard(type(x)))
            return (type(x), len(parts), *parts, of_class)
        if hasattr(x, "__next__"):
            raise TraceError(
                f"{argument_name(self.where)} holds a {type(x).__name__}, which can be iterated "
                "only once; give a list: list(...)"
            )
        return self.signature.add_object(self.guards.guard(x))


def argument_name(where: int | str) -> str:
    """An argument in words, by its position or its name."""
    return f"argument {where + 1}" if isinstance(where, int) else f"argument {where!r}"


def key_of_bytes(key: bytes) -> CacheKey:
    """The key that a `MarshalledTree` has as bytes, as nested tuples."""
    return _Inspector(CallSignature(), ObjectGuards(), 0).key_of(marshal.loads(key))
