"""The pytree that a traced function returns, with references to the tape in place of its Values.

A `ResultTemplate` is filled at each call with the numbers of that call. It refers to no Value,
because a Value of the trace would keep the whole traced graph in memory.

Start reading at `ResultTemplate.filled`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from talweg.compiler.frontend.cache_key import FIXED
from talweg.compiler.frontend.pytree import attributes_of, is_tree_object, tree_map
from talweg.compiler.frontend.trace import Trace
from talweg.compiler.frontend.traced_array import FloatArray
from talweg.compiler.ir.tape import RESULT
from talweg.errors import TraceError
from talweg.value import Value

_PLACEHOLDER = Value(0.0)
"""Marks the places of the Values."""


class ResultTemplate:
    """The result of a traced function without its numbers.

    Args:
        traced: the trace.

    Attributes:
        outputs: for each place of a Value the name of the tape's space and the index in it.
        computed: the outputs in the space of results as the tape has them, each once.
        is_single: whether the result is one Value that the program computes.
        has_float_arrays: whether there are arrays of floats in the result.

    Raises:
        TraceError: if there is an object in the result that may hold Values of its own.
    """

    def __init__(self, traced: Trace) -> None:
        tape = traced.tape
        self.outputs = [(tape.spaces[space], k) for space, k in tape.outputs]
        self.computed = list(dict.fromkeys(o for o in tape.outputs if tape.spaces[o[0]] == RESULT))
        self.is_single = (
            traced.kinds == [Value] and isinstance(traced.output, Value) and len(self.computed) == 1
        )
        self._tree = tree_map(traced.output, on_value=lambda _: _PLACEHOLDER)
        self.has_float_arrays = any(isinstance(x, FloatArray) for x in _parts(self._tree))

    def filled(self, leaves: Iterable[Any]) -> Any:
        """The result with these leaves, one for each of `outputs`, in the places of its Values."""
        rest = iter(leaves)
        return tree_map(self._tree, on_value=lambda _: next(rest))


def _parts(x: Any) -> Iterator[Any]:
    """A pytree, and all containers and leaves in it.

    Raises:
        TraceError: at an object that is no pytree.
    """
    yield x
    if isinstance(x, (Value, float, np.generic, *FIXED)):
        return
    if isinstance(x, (list, tuple, deque)):
        parts: list[Any] = list(x)
    elif isinstance(x, dict):
        parts = list(x.values())
    elif isinstance(x, np.ndarray):
        parts = x.ravel().tolist() if x.dtype.kind == "O" else []
    elif is_tree_object(x):
        parts = list(attributes_of(x).values())
    else:
        raise TraceError(
            f"the function returned {x!r}; a compiled function returns numbers, and lists, tuples, "
            "dictionaries, dataclasses and arrays of them"
        )
    for part in parts:
        yield from _parts(part)
