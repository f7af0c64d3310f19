"""`tw.grad` and the others inside a trace or on Values: derivatives that are Values.

A derivative is computed by operations on Values inside a function that is traced, or if Values are
arguments, or if f reads Values from outside. It becomes a part of the trace or of the graph, and
can be differentiated again. All other calls use native code (`compiler/differentiation.py`).

Start reading at `ComposedDerivative`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from talweg.autodiff.higher_order import pulled_back
from talweg.compiler.derivative_shapes import (
    ArgumentShape,
    filled_once,
    is_model,
    number_of,
    require_real,
    result_shape,
    shape_of,
    with_floats,
)
from talweg.compiler.differentiated import Differentiated, require_numbers
from talweg.compiler.frontend.pytree import tree_map, tree_unflatten, tree_values
from talweg.compiler.frontend.traced_numbers import is_traced, operand
from talweg.compiler.ir.tape import Array
from talweg.value import Value


class ComposedDerivative:
    """A derivative inside a function that is traced, or of Values: it is made of Values.

    Args:
        f: the function to differentiate.
        args: the positional arguments.
        kwargs: the named arguments.

    Attributes:
        arguments: the arguments to differentiate by.
        by: their numbers, as Values of their own.
        result: what is differentiated.
        aux: the other results.
    """

    def __init__(self, f: Differentiated, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        positions = f.selection.positions(len(args))
        given = list(args)
        self.selection = f.selection
        self.arguments: list[Any] = []
        self.by: list[Value] = []
        self._counts: list[int] = []
        for k in positions:
            require_real(args[k], k)
            argument = with_floats(number_of(args[k]))
            if is_model(argument):
                own = list(argument.parameters())
            else:
                # A Value may be in other arguments too, and f is differentiated by this one only.
                given[k] = tree_map(argument, _own_value, lambda x: x * 1.0)
                own = tree_values(given[k])
            self.arguments.append(argument)
            self.by += own
            self._counts.append(len(own))
        require_numbers(positions, self.arguments, self._counts)
        self.result, self.aux = f(*given, **kwargs)

    def first(self, output: Value) -> list[Value]:
        """The derivatives of one number of the result."""
        return as_values(pulled_back([output], [1.0], self.by))

    def split(self, numbers: Sequence[Any]) -> list[list[Any]]:
        """The numbers of each argument."""
        rest = iter(numbers)
        return [[next(rest) for _ in range(count)] for count in self._counts]

    def shaped(self, numbers: Sequence[Any]) -> Any:
        """Derivatives in the shape of the arguments."""
        pairs = zip(self.arguments, self.split(numbers), strict=True)
        return self.selection.result([_composed_shape(x, own) for x, own in pairs])

    def matrix(self, rows: Sequence[Sequence[Any]]) -> Any:
        """Second derivatives in the shape of the arguments, one row for each number."""
        shapes = [shape_of(x) for x in self.arguments]
        blocks = []
        for of_argument, row in zip(self.split(rows), shapes, strict=True):
            parts = [self.split(one) for one in of_argument]
            blocks.append(
                self.selection.result(
                    [_composed_block([p[k] for p in parts], row, c) for k, c in enumerate(shapes)]
                )
            )
        return self.selection.result(blocks)

    def jacobian(self, rows: Sequence[Sequence[Any]]) -> Any:
        """First derivatives of each number of the result, in its shape."""
        own = result_shape(self.result)
        parts = [self.split(row) for row in rows]
        found = []
        for k, argument in enumerate(self.arguments):
            shape, block = shape_of(argument), [p[k] for p in parts]
            has_array = shape.is_array or own.is_array
            if has_array and own.dimensions is not None and shape.is_flat:
                found.append(_object_array(block, (*own.dimensions, *shape.dimensions)))
            else:
                parts_in_shape = [_composed_shape(argument, row) for row in block]
                found.append(filled_once(own.template, parts_in_shape))
        return self.selection.result(found)


def _own_value(x: Any) -> Value:
    """A Value of its own for a number, which may be a traced one."""
    value: Value = operand(x) * 1.0 if is_traced(x) else Value(x)
    return value


def _composed_shape(argument: Any, numbers: Sequence[Any]) -> Any:
    return list(numbers) if is_model(argument) else tree_unflatten(argument, numbers)


def _composed_block(rows: list[list[Any]], row: ArgumentShape, column: ArgumentShape) -> Any:
    block = _object_array(rows, (*row.dimensions, *column.dimensions))
    return block if row.is_array or column.is_array else block.tolist()


def _object_array(rows: Sequence[Sequence[Any]], shape: tuple[int, ...]) -> Array:
    flat = [x for row in rows for x in row]
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(shape)


def as_values(numbers: Sequence[Any]) -> list[Value]:
    """Numbers as Values."""
    return [x if isinstance(x, Value) else Value(x) for x in numbers]
