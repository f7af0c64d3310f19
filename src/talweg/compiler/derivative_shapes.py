"""The shapes of derivatives: numbers from native code, in the containers of an argument.

Native code returns the derivatives by the numbers of an argument as one array. An `ArgumentShape`
puts them into the shape of that argument: a float for a float, a list for a list, an array for an
array, a list for a model. It is made once for each call signature, not at each call.

Start reading at `shape_of`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from talweg.compiler.frontend.pytree import (
    attributes_of,
    is_tree_object,
    tree_leaves,
    tree_map,
    tree_unflatten,
)
from talweg.compiler.frontend.traced_array import FloatArray
from talweg.compiler.ir.tape import Array
from talweg.errors import TraceError
from talweg.value import Value


@dataclass(frozen=True, eq=False)
class ArgumentShape:
    """How the derivatives by an argument are returned.

    Attributes:
        count: how many numbers the argument has.
        dimensions: those of the argument in a matrix of derivatives: none for one number, the shape
            of an array, one dimension for anything else.
        is_array: whether it is an array.
        is_model: whether it is differentiated by its parameters.
        is_flat: whether it is one number, an array, or a list of numbers.
        shaped: makes the derivatives from an array of `count` numbers, shape (count,), which
            belongs to the result from then on.
    """

    count: int
    dimensions: tuple[int, ...]
    is_array: bool
    is_model: bool
    is_flat: bool
    shaped: Callable[[Array], Any]


def is_model(argument: Any) -> bool:
    """Whether an argument is differentiated by its parameters."""
    return not isinstance(argument, Value) and callable(getattr(argument, "parameters", None))


def shape_of(argument: Any) -> ArgumentShape:
    """The shape of the derivatives by an argument, which is not kept if it is a model."""
    if is_model(argument):
        count = len(list(argument.parameters()))
        return ArgumentShape(count, (count,), False, True, False, _as_list)
    if isinstance(argument, np.ndarray):
        count, shape = argument.size, argument.shape
        as_it_is = len(shape) == 1
        return ArgumentShape(
            count, shape, True, False, True, _itself if as_it_is else lambda a: a.reshape(shape)
        )
    if isinstance(argument, (float, Value)):
        return ArgumentShape(1, (), False, False, True, _one_float)
    count = len(tree_leaves(argument))
    if type(argument) is list and all(isinstance(x, (float, Value)) for x in argument):
        return ArgumentShape(count, (count,), False, False, True, _as_list)
    template = tree_map(argument, lambda _: 0.0, lambda _: 0.0)
    return ArgumentShape(
        count, (count,), False, False, False, lambda a: filled(template, a.tolist())
    )


def _itself(numbers: Array) -> Array:
    return numbers


def _as_list(numbers: Array) -> Any:
    return numbers.tolist()


def _one_float(numbers: Array) -> Any:
    return numbers.item()


def filled(tree: Any, leaves: Sequence[float]) -> Any:
    """The containers of a pytree with these floats; arrays of floats stay arrays of floats."""
    return with_float_arrays(tree_unflatten(tree, leaves))


def with_float_arrays(x: Any) -> Any:
    """The same containers; arrays of objects that are all floats become arrays of floats."""
    if isinstance(x, FloatArray):
        return x.astype(float).view(np.ndarray)
    if isinstance(x, np.ndarray) and x.dtype.kind == "O":
        return x.astype(float) if all(isinstance(part, float) for part in x.flat) else x
    if isinstance(x, (list, tuple)):
        parts = [with_float_arrays(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        for name, part in x.items():
            x[name] = with_float_arrays(part)
        return x
    if isinstance(x, deque):
        return type(x)([with_float_arrays(part) for part in x], x.maxlen)
    if is_tree_object(x):  # a copy that `tree_map` made
        for name, part in attributes_of(x).items():
            object.__setattr__(x, name, with_float_arrays(part))
    return x


# ---- arguments that have no derivatives ----------------------------------------------------------


def require_real(argument: Any, position: int) -> None:
    """Refuse complex numbers.

    Raises:
        TraceError: if there are any in the argument.
    """
    if isinstance(argument, complex) or getattr(argument, "dtype", np.dtype(float)).kind == "c":
        kind = f"an array of {argument.dtype}" if isinstance(argument, np.ndarray) else "complex"
        raise TraceError(
            f"argument {position} is {kind}; derivatives with respect to complex numbers are "
            "not computed: give the real and the imaginary parts, such as x.real and x.imag, as "
            "two arguments"
        )
    if isinstance(argument, (list, tuple)):
        for part in argument:
            require_real(part, position)
    elif isinstance(argument, dict):
        for part in argument.values():
            require_real(part, position)


def with_floats(argument: Any) -> Any:
    """The argument with floats in place of integers, by which it is differentiated too."""
    if isinstance(argument, np.ndarray) and argument.dtype.kind in "fiu":
        return argument.astype(float, copy=False)
    integers: list[int] = []
    tree_map(argument, on_integer=integers.append)
    return tree_map(argument, on_integer=float) if integers else argument


def number_of(argument: Any) -> Any:
    """The number in an array of no dimensions; anything else as it is."""
    return argument.item() if isinstance(argument, np.ndarray) and not argument.ndim else argument


# ---- matrices of derivatives ---------------------------------------------------------------------


def as_block(matrix: Array, row: ArgumentShape, column: ArgumentShape) -> Any:
    """Second derivatives by the numbers of two arguments: an array if one of them is an array.

    Args:
        matrix: one row for each number of the first argument, one column for each of the second.
        row: the shape of the first argument.
        column: the shape of the second one.

    Returns:
        An array, or else nested lists, or a float if both arguments are one number.
    """
    block = matrix.reshape((*row.dimensions, *column.dimensions))
    return block if row.is_array or column.is_array else block.tolist()


@dataclass(frozen=True, eq=False)
class ResultShape:
    """The numbers of a result that is differentiated.

    Attributes:
        template: the result, a pytree, with any floats in place of its numbers.
        count: how many numbers it has.
        dimensions: of the array that it is equal to; None if it is no array, number or nested
            list with parts of one length.
        is_array: whether it is or contains an array.
    """

    template: Any
    count: int
    dimensions: tuple[int, ...] | None
    is_array: bool

    def jacobian(self, matrix: Array, argument: ArgumentShape) -> Any:
        """First derivatives, one row of the matrix for each number of the result.

        Returns:
            One array, if the argument or the result is an array and the other one is an array, a
            number or a list of numbers. Else the result, with the derivatives by the argument, in
            the shape of the argument, in place of each number.
        """
        has_array = argument.is_array or self.is_array
        if has_array and self.dimensions is not None and argument.is_flat:
            return matrix.reshape((*self.dimensions, *argument.dimensions))
        return filled_once(self.template, [argument.shaped(row.copy()) for row in matrix])


def filled_once(tree: Any, leaves: Sequence[Any]) -> Any:
    """The containers of a pytree with these leaves, of any type, in place of its floats."""
    rest = iter(leaves)
    return tree_map(tree, lambda _: next(rest))


def result_shape(result: Any) -> ResultShape:
    """The shape of a result, a pytree of floats and Values."""
    template = tree_map(result, lambda _: 0.0, lambda _: 0.0)
    dimensions = _dimensions(result)
    count = len(tree_leaves(result))
    if dimensions is not None and math.prod(dimensions) != count:
        dimensions = None
    return ResultShape(template, count, dimensions, isinstance(result, np.ndarray))


def _dimensions(x: Any) -> tuple[int, ...] | None:
    if isinstance(x, (float, Value)):
        return ()
    if isinstance(x, np.ndarray):
        return tuple(x.shape)
    if not isinstance(x, (list, tuple)):
        return None
    parts = {_dimensions(part) for part in x}
    if not parts:
        return (0,)
    (inner, *others) = parts
    return None if others or inner is None else (len(x), *inner)
