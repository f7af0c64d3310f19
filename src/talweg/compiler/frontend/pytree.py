"""Pytrees: the containers of numbers that compiled functions take and return.

A pytree is a float, an integer or a Value, or a list, tuple, deque, dictionary, dataclass or NumPy
array of pytrees. Any other object, such as a model with `parameters()`, is passed on as it is; its
numbers are not leaves of the tree.

Start reading at `tree_map`.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from talweg.compiler.frontend.traced_array import FloatArray, TracedArray
from talweg.compiler.frontend.traced_numbers import is_traced
from talweg.value import Value


def is_tree_object(x: Any) -> bool:
    """Whether an object is a container of a pytree: a dataclass that is no model."""
    return (
        is_dataclass(x) and not isinstance(x, type) and not callable(getattr(x, "parameters", None))
    )


def attributes_of(x: Any) -> dict[str, Any]:
    """All attributes of a dataclass object: its fields, and what was assigned besides.

    >>> import dataclasses
    >>> @dataclasses.dataclass
    ... class Point:
    ...     x: float
    >>> attributes_of(Point(2.0))
    {'x': 2.0}
    """
    own = dict(getattr(x, "__dict__", {}))
    for cls in type(x).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(x, name):
                own[name] = getattr(x, name)
    return own


def _with_attributes(x: Any, attributes: dict[str, Any]) -> Any:
    """A copy of a dataclass object with other attributes; its constructor is not called."""
    new = object.__new__(type(x))
    for name, item in attributes.items():
        object.__setattr__(new, name, item)  # a frozen class has no other way
    return new


def _unchanged(leaf: Any) -> Any:
    return leaf


def tree_map(
    tree: Any,
    on_float: Callable[[float], Any] = _unchanged,
    on_value: Callable[[Value], Any] = _unchanged,
    on_integer: Callable[[int], Any] | None = None,
    array_class: type[np.ndarray[Any, Any]] = np.ndarray,
) -> Any:
    """The same containers with other leaves.

    Args:
        tree: a pytree.
        on_float: what replaces a float.
        on_value: what replaces a Value.
        on_integer: what replaces an integer; None to leave integers, and arrays of them, as
            they are.
        array_class: the class of the new arrays in place of arrays of floats.

    Returns:
        New lists, tuples, deques, dictionaries and dataclasses; arrays of objects, and of floats
        that are replaced, become new arrays of objects. The leaves are visited in order.

    Example:
        >>> tree_map({"a": [1.0, 2], "b": "text"}, on_float=lambda x: 10.0 * x)
        {'a': [10.0, 2], 'b': 'text'}
    """

    def mapped(x: Any) -> Any:
        if isinstance(x, Value):
            return on_value(x)
        if is_traced(x) or isinstance(x, (float, np.floating)):
            return on_float(x)
        if on_integer and isinstance(x, (int, np.integer)) and not isinstance(x, bool):
            return on_integer(int(x))
        if isinstance(x, np.ndarray):
            return mapped_array(x) if x.dtype.kind in ("fOiu" if on_integer else "fO") else x
        if isinstance(x, (list, tuple)):
            parts = [mapped(part) for part in x]
            return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
        if isinstance(x, dict):
            new = {} if type(x) is dict else copy.copy(x)
            new.update({name: mapped(part) for name, part in x.items()})
            return new
        if isinstance(x, deque):
            return type(x)([mapped(part) for part in x], x.maxlen)
        if is_tree_object(x):
            return _with_attributes(x, {k: mapped(part) for k, part in attributes_of(x).items()})
        return x

    def mapped_array(x: Any) -> Any:
        if x.dtype.kind == "f" and on_float is _unchanged:
            return x.copy()
        new = np.empty(x.shape, dtype=object)
        new.reshape(-1)[:] = [mapped(part) for part in x.ravel()]
        if x.dtype.kind == "f":
            return new.view(array_class)
        is_of_floats = isinstance(x, FloatArray) or (
            isinstance(x, TracedArray) and not any(isinstance(part, Value) for part in x.flat)
        )
        return new.view(FloatArray) if is_of_floats else new

    return mapped(tree)


def tree_leaves(tree: Any) -> list[Any]:
    """The floats and Values of a pytree, in order.

    >>> tree_leaves([1.0, (2.0, "text"), {"a": 3.0}])
    [1.0, 2.0, 3.0]
    """
    leaves: list[Any] = []

    def add_float(x: Any) -> None:
        leaves.append(x if is_traced(x) else float(x))

    tree_map(tree, add_float, leaves.append)
    return leaves


def tree_values(tree: Any) -> list[Value]:
    """The Values of a pytree, in order; a Value that occurs twice is there twice."""
    values: list[Value] = []
    tree_map(tree, on_value=values.append)
    return values


def tree_unflatten(tree: Any, leaves: Iterable[Any]) -> Any:
    """The same containers with these leaves in place of the floats and Values.

    >>> tree_unflatten([1.0, (2.0, "text")], [5.0, 6.0])
    [5.0, (6.0, 'text')]
    """
    rest = iter(leaves)
    return tree_map(tree, lambda _: next(rest), lambda _: next(rest))


def tree_differences(a: Any, b: Any) -> Iterator[tuple[Any, Any]]:
    """The pairs of parts that stand in the same place of two pytrees and are not equal.

    Numbers that are not a number (nan) are equal to each other.

    >>> list(tree_differences([1.0, {"a": 2.0}], [1.0, {"a": 3.0}]))
    [(2.0, 3.0)]
    """
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.shape == b.shape:
        a, b = a.ravel().tolist(), b.ravel().tolist()
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        a, b = list(a.values()), list(b.values())
    if isinstance(a, deque) and isinstance(b, deque):
        a, b = list(a), list(b)
    if is_tree_object(a) and type(a) is type(b):
        a, b = attributes_of(a), attributes_of(b)
        a, b = [a.get(name) for name in {**a, **b}], [b.get(name) for name in {**a, **b}]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for parts in zip(a, b, strict=True):
            yield from tree_differences(*parts)
    elif not (a is b or a == b or (a != a and b != b)):  # noqa: PLR0124 - neither is a number
        yield a, b
