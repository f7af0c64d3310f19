"""Values and NumPy arrays: operators and NumPy's functions, element by element.

An array with Values is an array of objects: NumPy calls the operator or the method of each element.
These functions do the same for a single Value, as an operand beside an array or as the argument of
a function of NumPy. So `W * v` and `np.dot(X, w) + b` are arrays of Values, and `np.exp(v)` is a
Value. NumPy is imported when it is first used.

Start reading at `apply_ufunc`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from talweg.autodiff.operation import REGISTRY, Op, to_float
from talweg.errors import NumberError

_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": operator.pow,
}
"""Python's operators for operations: they respect what a subclass of Value redefines."""

_UFUNCS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "true_divide": operator.truediv,
    "power": operator.pow,
    "float_power": operator.pow,
    "negative": operator.neg,
    "positive": operator.pos,
    "absolute": abs,
    "fabs": abs,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1.0 / x,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "isnan": math.isnan,
    "isinf": math.isinf,
    "isfinite": math.isfinite,
}
"""What NumPy's functions are for Python numbers and Values."""

_OTHER_NAMES = {
    "arctan": "atan",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan2": "atan2",
    "maximum": "max",
    "minimum": "min",
}
"""Functions of NumPy that are operations of talweg under another name."""


def is_array(x: object) -> bool:
    """Whether an operand has several elements in the manner of NumPy."""
    return bool(getattr(x, "ndim", 0)) and hasattr(x, "__array__")


def each(op: Op, *operands: Any) -> Any:
    """The operation on each element, as an array of Values."""
    return elementwise(_OPERATORS.get(op.name, op), operands)


def apply_ufunc(ufunc: Any, method: str, inputs: Sequence[Any], settings: Mapping[str, Any]) -> Any:
    """The result of a NumPy function of which at least one argument is a Value.

    Args:
        ufunc: the function.
        method: "__call__", or a method of the function such as "reduce".
        inputs: the arguments.
        settings: the named arguments.

    Returns:
        A Value if no argument is an array, else an array of objects.

    Raises:
        NumberError: if the function is not an operation of talweg, or is to write its result into
            an array of numbers.
    """
    name = _OTHER_NAMES.get(ufunc.__name__, ufunc.__name__)
    function = _UFUNCS.get(name) or REGISTRY.get(name)
    if function is None:
        raise NumberError(
            f"np.{ufunc.__name__} is not an operation of talweg, so its result would have no "
            f"derivative; for the bare number use np.{ufunc.__name__}(v.data)"
        )
    (out,) = settings.get("out", (None,))
    if out is not None and out.dtype != object:
        raise NumberError(
            f"the result of np.{ufunc.__name__} has Values, which do not fit into an array of "
            "numbers; write it to a new array, without in-place operators"
        )
    if method != "__call__" or set(settings) - {"out"}:  # NumPy asks each element of an object
        return getattr(ufunc, method)(*map(_boxed, inputs), **settings)
    if any(map(is_array, inputs)):
        result = elementwise(function, inputs)
    else:
        result = function(*[x if hasattr(x, "_apply") else to_float(x) for x in inputs])
    if out is None:
        return result
    out[...] = result
    return out


def elementwise(function: Callable[..., Any], operands: Sequence[Any]) -> Any:
    """A function of each element of some operands, of which at least one is an array."""
    import numpy as np  # it takes longer to load than all of talweg's eager engine

    return np.frompyfunc(function, len(operands), 1)(*map(_boxed, operands))


def _boxed(x: Any) -> Any:
    """An array as it is, and anything else as an array of one object."""
    import numpy as np

    if is_array(x):
        return x
    box = np.empty((), dtype=object)
    box[()] = x
    return box
