"""Contents of objects: the bytes of arrays and buffers, the positions of iterators, slots.

Start reading at `bytes_of_array`.
"""

from __future__ import annotations

import array
import itertools
import operator
from typing import Any

import numpy as np


def bytes_of_array(x: Any) -> tuple[Any, ...]:
    """The shape, type and bytes of a NumPy array."""
    return x.shape, x.dtype.str, x.tobytes()


def restore_array(x: Any, content: tuple[Any, ...]) -> None:
    """Put the contents of an array back."""
    shape, kind, raw = content
    x[...] = np.frombuffer(raw, kind).reshape(shape)


def bytes_of_buffer(x: Any) -> tuple[Any, ...]:
    """The shape, format and bytes of an object with the buffer protocol."""
    view = memoryview(x)
    return view.shape, view.format, view.tobytes()


def restore_buffer(x: Any, content: tuple[Any, ...]) -> None:
    """Put the contents of a bytearray or an array.array back."""
    *_, raw = content
    if isinstance(x, bytearray):
        x[:] = raw
    else:
        x[:] = array.array(x.typecode, raw)


def bytes_of_tensor(x: Any) -> tuple[Any, ...]:
    """The shape, type and bytes of an array of another library."""
    return bytes_of_array(np.asarray(x))


def has_buffer(x: Any) -> bool:
    """Whether an object has the buffer protocol."""
    try:
        memoryview(x)
    except TypeError:
        return False
    return True


def set_variable(x: Any, content: list[Any]) -> None:
    """Put the value of a context variable back."""
    x.set(content[0])


_ITERATORS: tuple[Any, ...] = (type(iter([])), type(iter(())), type(iter(range(0))), type(iter("")))


def position_of(x: Any) -> Any:
    """How far an iterator has got; None if that cannot be told.

    >>> position_of(iter([1.0, 2.0])), position_of(x for x in [1.0])
    (2, None)
    """
    if isinstance(x, (itertools.count, itertools.repeat)):
        return repr(x)
    return operator.length_hint(x) if isinstance(x, _ITERATORS) else None


def names_of_getter(x: Any) -> set[str]:
    """The attributes that an `operator.attrgetter` or `methodcaller` reads."""
    _, texts, *_ = x.__reduce__()
    return {part for text in texts if isinstance(text, str) for part in text.split(".")}


def is_model(x: Any) -> bool:
    """Whether an object has `parameters()`."""
    try:
        return callable(getattr(x, "parameters", None))
    except Exception:  # a `__getattr__` of the user may raise anything
        return False


def slots(kind: type) -> list[str]:
    """The names of the attributes that objects of a class have outside of `__dict__`."""
    found: list[str] = []
    for cls in kind.__mro__:
        names = cls.__dict__.get("__slots__", ())
        found += [names] if isinstance(names, str) else names
    return [name for name in found if name not in ("__dict__", "__weakref__")]
