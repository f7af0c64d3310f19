"""Lists in dictionaries in dataclasses: the same thing with other numbers in it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from talweg.value import Value


def rebuilt(
    thing: Any,
    on_float: Callable[[float], Any],
    on_value: Callable[[Value], Any],
    on_integer: Callable[[int], Any] | None = None,
) -> Any:
    """The same thing with other things in place of its floats and Values.

    Args:
        thing: an argument or a result.
        on_float: what to put in place of a float.
        on_value: what to put in place of a Value.
        on_integer: what to put in place of a whole number; None to leave it.

    Returns:
        Lists, tuples, dictionaries, dataclasses and arrays (as arrays of objects) anew;
        anything else, objects with `parameters()` too, as it is.
    """

    def again(x: Any) -> Any:
        if isinstance(x, Value):
            return on_value(x)
        if isinstance(x, (float, np.floating)):
            return on_float(float(x))
        if on_integer and isinstance(x, (int, np.integer)) and not isinstance(x, bool):
            return on_integer(int(x))
        if isinstance(x, np.ndarray):
            return again_array(x) if x.dtype.kind in ("fOiu" if on_integer else "fO") else x
        if isinstance(x, (list, tuple)):
            parts = [again(part) for part in x]
            return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
        if isinstance(x, dict):
            new = {} if type(x) is dict else copy.copy(x)
            new.update({name: again(part) for name, part in x.items()})
            return new
        if callable(getattr(x, "parameters", None)):
            return x
        if is_dataclass(x) and not isinstance(x, type):
            changed = {f.name: again(getattr(x, f.name)) for f in fields(x) if f.init}
            return replace(x, **changed)
        return x

    def again_array(x: Any) -> Any:
        new = np.empty(x.shape, dtype=object)
        new.reshape(-1)[:] = [again(part) for part in x.ravel().tolist()]
        return new

    return again(thing)
