"""gather: the i-th of several numbers, for an index that may change in compiled functions.

`values[i]` makes i a part of the compiled program; with `gather(values, i)` it is an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talweg import ops
from talweg.autodiff.operation import Number
from talweg.autodiff.tracing import is_tracing
from talweg.errors import ArgumentError
from talweg.value import Value


def gather(values: Sequence[Number], i: Any) -> Number:
    """The number at index i: values[i], as a new number.

    The derivative with respect to that number is 1, with respect to the others 0. In a compiled
    function i may differ from call to call, without a new trace.

    Args:
        values: the numbers.
        i: the index, counted from 0: an integer, or a Value whose data is one.

    Returns:
        A Value, or a float if the numbers are floats.

    Raises:
        ArgumentError: if i is not an index of `values`.

    >>> gather([1.5, 2.5, 3.5], 1)
    2.5
    >>> logits = [Value(0.0), Value(1.0)]
    >>> gather(logits, 1).backward()
    >>> [z.grad for z in logits]
    [0.0, 1.0]
    """
    if not is_index(i, len(values)):
        raise ArgumentError(f"gather takes an index from 0 to {len(values) - 1}, got {i!r}")
    if isinstance(i, Value) or hasattr(i, "_traced_node"):
        # The index may change: compare it with every k, and select the last k that is <= i.
        gathered = values[0]
        for k in range(1, len(values)):
            gathered = ops.where(ops.le(float(k), i), values[k], gathered)
        return gathered
    # Not values[i] itself: compiled code would then sum derivatives in another order.
    return ops.where(1.0, values[int(i)], 0.0)


def is_index(i: Any, count: int) -> bool:
    """Whether i is the index of one of several numbers, counted from 0.

    A number that may differ at the next call of a compiled function is compared with the bounds
    alone: it is an index at the other calls too.

    >>> is_index(2, 3), is_index(3, 3), is_index(True, 3)
    (True, False, False)
    """
    if isinstance(i, Value) or hasattr(i, "_traced_node"):
        node: Value = getattr(i, "_traced_node", i)
        # The comparisons of a Value: those of a symbolic integer make it part of the program.
        is_inside = bool(Value.__ge__(node, 0.0)) and bool(Value.__le__(node, count - 1.0))
        return is_inside and (is_tracing() or node._data.is_integer())
    return i in range(count) and not isinstance(i, bool)
