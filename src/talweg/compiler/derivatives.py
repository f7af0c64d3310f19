"""Derivatives of functions of numbers: grad, value_and_grad, hessian, hvp.

Each of them returns a function of the same arguments. A call of that function traces and compiles
f, or finds the program that an earlier call of the same signature compiled
(`compiler/differentiation.py`). Inside a function that is being traced, the derivative becomes
part of that trace.

Start reading at `value_and_grad`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from talweg.autodiff.higher_order import gradients
from talweg.autodiff.tracing import is_tracing, is_uncompiled
from talweg.compiler.differentiation import Differentiator, TracedDerivative
from talweg.compiler.frontend.pytree import tree_leaves
from talweg.compiler.pipeline import Mode
from talweg.errors import ArgumentError, ShapeError
from talweg.value import Value


def grad(f: Callable[..., Any], *, argnum: int = 0, mode: Mode = "default") -> Callable[..., Any]:
    """The function that computes the derivatives of f by one of its arguments.

    Args:
        f: a function of numbers that returns one number; see `jit` for what it may do.
        argnum: which argument, 0 for the first: a float, a list, tuple, dictionary or array of
            floats, a Value, or a model.
        mode: "default" or "exact", see `jit`.

    Returns:
        A function of the same arguments. It returns the derivatives in the shape of the
        argument: a float for a float or a Value, a list for a list, an array for an array,
        and for a model the list of derivatives by its parameters.

    Raises:
        TraceError: at a call, if f does not return one number, or the argument has none.

    Example:
        >>> def area(sides):
        ...     return sides[0] * sides[1]
        >>> grad(area)([2.0, 3.0])
        [3.0, 2.0]
    """
    both = value_and_grad(f, argnum=argnum, mode=mode)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def value_and_grad(
    f: Callable[..., Any], *, argnum: int = 0, mode: Mode = "default"
) -> Callable[..., tuple[Any, Any]]:
    """The function that computes the result of f and its derivatives by one of its arguments.

    Args:
        f: as for `grad`.
        argnum: as for `grad`.
        mode: "default" or "exact", see `jit`.

    Returns:
        A function of the same arguments, which returns (number, derivatives).

    Raises:
        TraceError: at a call, if f does not return one number, or the argument has none.

    Example:
        >>> value_and_grad(lambda x: x * x)(3.0)
        (9.0, 6.0)
    """
    differentiator = Differentiator(f, argnum, mode)

    @functools.wraps(f)
    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if is_tracing() or is_uncompiled():  # part of a larger program
            traced = TracedDerivative(f, argnum, args, kwargs)
            return traced.result, traced.shaped(traced.first())
        call, programs = differentiator.call(args, kwargs)
        (value,), gradient = programs.first(call.signature, [1.0])
        return value, call.shaped(gradient)

    return both


def hessian(
    f: Callable[..., Any], *, argnum: int = 0, mode: Mode = "default"
) -> Callable[..., Any]:
    """The function that computes all second derivatives of f by one of its arguments.

    Entry (i, j) is the derivative by number i and number j of the argument, d2f/dx_i dx_j.

    Args:
        f: as for `grad`.
        argnum: as for `grad`.
        mode: "default" or "exact", see `jit`.

    Returns:
        A function of the same arguments. It returns a float if the argument is a float or a
        Value, an array of shape (*shape, *shape) if it is an array, else a list of lists: one
        row for each number of the argument, in order.

    Raises:
        TraceError: at a call, if f does not return one number, or the argument has none.

    Example:
        >>> hessian(lambda v: v[0] * v[0] * v[1])([3.0, 5.0])
        [[10.0, 6.0], [6.0, 0.0]]
    """
    differentiator = Differentiator(f, argnum, mode)

    @functools.wraps(f)
    def all_second(*args: Any, **kwargs: Any) -> Any:
        if is_tracing() or is_uncompiled():
            traced = TracedDerivative(f, argnum, args, kwargs)
            rows = [gradients(g, traced.by) for g in traced.first()]
            return _as_matrix(traced.argument, rows)
        call, programs = differentiator.call(args, kwargs)
        second = programs.second(call)
        unit_vectors = np.eye(call.count).tolist()
        numbers = [call.selected(second(call.signature, unit)[1]) for unit in unit_vectors]
        return _as_matrix(call.argument, numbers)

    return all_second


def hvp(f: Callable[..., Any], *, argnum: int = 0, mode: Mode = "default") -> Callable[..., Any]:
    """The function that computes the Hessian of f times a vector, without the Hessian itself.

    Entry i of the product is the derivative of sum_j v_j df/dx_j by x_i, so it costs a few
    evaluations of f, for any number of variables.

    Args:
        f: as for `grad`.
        argnum: as for `grad`.
        mode: "default" or "exact", see `jit`.

    Returns:
        A function of the arguments of f and then the vector: as many numbers as the argument
        has, in the same shape or as a flat list. It returns the product in the argument's
        shape.

    Raises:
        ShapeError: at a call, if the vector has another length.
        TraceError: at a call, if f does not return one number, or the argument has none.

    Source: Pearlmutter, Fast exact multiplication by the Hessian, 1994.

    Example:
        >>> hvp(lambda v: v[0] * v[0] * v[1])([3.0, 5.0], [1.0, 0.0])
        [10.0, 6.0]
    """
    differentiator = Differentiator(f, argnum, mode)

    @functools.wraps(f)
    def product(*args: Any, **kwargs: Any) -> Any:
        if not args:
            raise ArgumentError("hvp(f) takes the arguments of f and then the vector")
        *own, vector = args
        factors = tree_leaves(vector)
        if is_tracing() or is_uncompiled():
            traced = TracedDerivative(f, argnum, own, kwargs)
            _require_length(factors, argnum, len(traced.by))
            along = sum([g * v for g, v in zip(traced.first(), factors, strict=True)], Value(0.0))
            return traced.shaped(gradients(along, traced.by))
        call, programs = differentiator.call(own, kwargs)
        _require_length(factors, argnum, call.count)
        cotangents = [v._data if isinstance(v, Value) else v for v in factors]
        return call.shaped(programs.second(call)(call.signature, cotangents)[1])

    return product


def _require_length(vector: Sequence[Any], argnum: int, count: int) -> None:
    if len(vector) != count:
        raise ShapeError(f"the vector has {len(vector)} numbers, argument {argnum} {count}")


def _as_matrix(argument: Any, rows: list[list[Any]]) -> Any:
    """Second derivatives in the form that fits the argument."""
    if isinstance(argument, np.ndarray):
        return np.array(rows).reshape(argument.shape * 2)
    return rows[0][0] if isinstance(argument, (float, Value)) else rows
