"""Cache keys: what two calls must have in common to run the same program.

A key consists of nested tuples (kind, detail, *parts). Here are its smallest parts: leaves, names
and identities; `signature.py` and `inspection.py` make keys of them.

Start reading at `key_of_leaf`.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import operator
import pathlib
import types
from typing import Any, NamedTuple, TypeAlias

import numpy as np

CacheKey: TypeAlias = Any
"""What two calls must have in common to run the same program: nested tuples (kind, detail,
*parts) that can be hashed."""

FIXED = (int, bool, str, bytes, complex, type(None), type(Ellipsis), range)
"""The types of leaves that are part of the program; two are the same if they are equal."""

_BY_TEXT = (
    complex, range, decimal.Decimal, fractions.Fraction, datetime.date, datetime.time,
    datetime.timedelta, pathlib.PurePath,
)  # fmt: skip
"""Types of which two objects are the same if they are written the same."""

_FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ModuleType,
    functools.partial,
    operator.attrgetter,
    operator.methodcaller,
    np.ufunc,
    type,
)


def is_function(x: Any) -> bool:
    """Whether an object is called, or is a module: it has no numbers of its own."""
    return isinstance(x, _FUNCTIONS) or "__wrapped__" in (getattr(x, "__dict__", None) or ())


NUMBER = ("a number",)
"""The key of a float that is an input."""


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


def key_of_leaf(x: Any) -> CacheKey:
    """The key of a leaf that is part of the program: equal only for the same number or text."""
    if isinstance(x, (float, np.floating, np.complexfloating, *_BY_TEXT)):
        return (type(x), repr(x))  # -0.0 is not 0.0, and nan is nan
    return (type(x), x.item() if isinstance(x, np.generic) else x)


def name_of_key(name: Any) -> Any:
    """A dictionary's key as a part of a cache key: 1, 1.0 and True are different names."""
    return name if type(name) is str else key_of_leaf(name) if is_leaf(name) else (type(name), name)


def is_leaf(x: Any) -> bool:
    """Whether x is a number, text or the like, which has no parts."""
    return isinstance(x, (float, np.generic, *FIXED, *_BY_TEXT))
