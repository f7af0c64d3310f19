"""Traced arrays: NumPy arrays of floats while a function is traced.

An array of floats among the arguments becomes an array of traced numbers, which are objects for
NumPy: it computes with them one by one. Arithmetic has the same results as with floats. The last
bits of a sum or a product of matrices differ, because NumPy adds floats in another order than
objects. So in exact mode these functions are given the floats themselves, which are pinned.

Start reading at `TracedArray`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from talweg.autodiff.tracing import recorder
from talweg.compiler.frontend.traced_numbers import TracedNumber, boxed, is_traced


class TracedArray(np.ndarray[Any, Any]):
    """An array of traced numbers, whose type is `object`.

    Arrays that are made of it are of this class too. Those of another type than `object` are
    ordinary arrays.
    """

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        """A function of NumPy: element by element, or a sum or product of several."""
        function = getattr(ufunc, method)
        if method == "__call__" and ufunc.signature is None:
            return _computed(function, inputs, settings)
        return _in_order_of_numpy(function, inputs, settings)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """A function of NumPy that is made of others."""
        try:
            result = super().__array_function__(function, types, args, kwargs)
        except TypeError:  # it takes no objects
            return function(*map(_pinned, args), **{k: _pinned(x) for k, x in kwargs.items()})
        if isinstance(result, (list, tuple)):
            return type(result)([_traced(part) for part in result])
        return _traced(result)

    def dot(self, other: Any, out: Any = None) -> Any:
        """The product of two arrays, see `numpy.dot`."""
        return _in_order_of_numpy(np.dot, (self, other), {} if out is None else {"out": out})


class FloatArray(np.ndarray[Any, Any]):
    """An array in a traced result that is an array of floats: it has no Values."""


def _computed(function: Callable[..., Any], inputs: Sequence[Any], settings: dict[str, Any]) -> Any:
    """What a function of NumPy computes of traced arrays, as a traced array."""
    if settings.get("out"):
        settings = {**settings, "out": tuple([_ordinary(x) for x in settings["out"]])}
    try:
        with np.errstate(invalid="ignore"):  # NumPy warns of comparisons of objects with nan
            result = function(
                *[boxed(x) if is_traced(x) else _ordinary(x) for x in inputs], **settings
            )
    except TypeError:  # it takes no objects
        return function(*map(_pinned, inputs), **settings)
    return _traced(result)


def _traced(result: Any) -> Any:
    """An array of objects as a traced array, and one without dimensions as its element."""
    if not isinstance(result, np.ndarray) or result.dtype != object:
        return result
    return result.view(TracedArray) if result.ndim else result[()]


def _in_order_of_numpy(
    function: Callable[..., Any], inputs: Sequence[Any], settings: dict[str, Any]
) -> Any:
    """A sum or product of floats, with the bits that NumPy computes where they count."""
    current: Any = recorder()
    is_of_floats = all(map(_is_of_floats, inputs))
    if current is None or not current.is_exact or current.is_ieee or not is_of_floats:
        return _computed(function, inputs, settings)
    return function(*map(_pinned, inputs), **settings)


def _ordinary(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, TracedArray) else x


def _is_of_floats(x: Any) -> bool:
    """Whether there is no Value in an array, so that NumPy computes with floats."""
    if not isinstance(x, np.ndarray) or x.dtype != object:
        return True
    return all(is_traced(part) or not hasattr(part, "_data") for part in x.ravel().tolist())


def _pinned(x: Any) -> Any:
    """The floats of a traced array; from now on the trace serves only these."""
    if isinstance(x, (list, tuple)):
        return type(x)([_pinned(part) for part in x])
    if isinstance(x, np.ndarray) and x.dtype == object and _is_of_floats(x):
        return np.array([_pinned(part) for part in x.ravel().tolist()]).reshape(x.shape)
    return x._pinned() if isinstance(x, TracedNumber) else x
