"""Attributes that a program has given to Values: of arguments, and their classes.

A Value takes attributes, as any Python object does, and a program may derive a class from it. While
a function is traced, a Value among its arguments is replaced by another one, which has the same
class and attributes. The trace serves only calls in which they are the same.

Start reading at `ValueAttributes`; `inspection.py` does this for Values outside of arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from talweg.compiler.frontend.places import MISSING, is_same
from talweg.errors import TraceError
from talweg.value import Value


class ValueAttributes:
    """The attributes of the Values of a call.

    Args:
        found: by position of a Value its attributes.
    """

    def __init__(self, found: Mapping[int, Mapping[str, Any]]) -> None:
        self._found = found

    @classmethod
    def of(cls, values: Sequence[Value]) -> ValueAttributes | None:
        """Those of these Values; None if no Value has any."""
        found = {k: dict(value.__dict__) for k, value in enumerate(values) if value.__dict__}
        return cls(found) if found else None

    def hold(self, values: Sequence[Value]) -> bool:
        """Whether the Values of another call have the same attributes."""
        return all(_are_same(expected, values[k].__dict__) for k, expected in self._found.items())


def _are_same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(is_same(a[name], b[name]) for name in a)


def stand_in_of(value: Value) -> Value:
    """A Value with the same number, class and attributes.

    >>> weight = Value(2.0)
    >>> weight.decay = 0.1
    >>> stand_in_of(weight).decay
    0.1
    """
    if type(value) is Value and not value.__dict__:
        return Value(value._data)
    new: Value = object.__new__(type(value))
    Value.__init__(new, value._data)
    new.__dict__.update(value.__dict__)
    return new


def refuse_new_attributes(f: Callable[..., Any], stand_ins: Mapping[Value, Value]) -> None:
    """Raise an error if a traced function has changed attributes of its arguments.

    Args:
        f: the function.
        stand_ins: what it was given, by the Values of the call.

    Raises:
        TraceError: with the name of the attribute and the repair.
    """
    for value, stand_in in stand_ins.items():
        before, after = value.__dict__, stand_in.__dict__
        for name in [*before, *after]:
            if not is_same(before.get(name, MISSING), after.get(name, MISSING)):
                raise TraceError(
                    f"{getattr(f, '__name__', 'the function')} changes the attribute {name!r} of a "
                    "Value that it is given, which compiled code would not repeat at every call; "
                    "return the new number, or keep it in an attribute of an object"
                )
