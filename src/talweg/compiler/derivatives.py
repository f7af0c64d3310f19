"""Derivatives of functions of numbers: grad, value_and_grad, jacobian, hessian, hvp.

Each of them returns a function of the same arguments. A call of that function traces and compiles
f, or finds the program that an earlier call of the same signature compiled
(`compiler/differentiation.py`). Arguments and results are floats, lists and arrays of floats.

Inside a function that is being traced, or if there are Values among the arguments, the derivatives
are Values: they become part of that trace, or of that graph, and can be differentiated again.

Start reading at `value_and_grad`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from talweg.autodiff.higher_order import pulled_back
from talweg.autodiff.tracing import is_tracing, is_uncompiled
from talweg.compiler.composed_derivative import as_values
from talweg.compiler.derivative_matrix import hessian_of, jacobian_of, product_of
from talweg.compiler.derivative_shapes import as_block, shape_of
from talweg.compiler.differentiated import Selection, with_aux
from talweg.compiler.differentiation import (
    FLOAT64,
    DerivativePrograms,
    Differentiator,
)
from talweg.compiler.frontend.pytree import tree_leaves, tree_values
from talweg.compiler.frontend.traced_numbers import operand
from talweg.compiler.ir.tape import Array
from talweg.compiler.pipeline import Mode
from talweg.errors import ArgumentError, ShapeError
from talweg.value import Value

Argnums: TypeAlias = int | Sequence[int]
"""Which arguments to differentiate by: one, or several."""


def grad(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    mode: Mode = "default",
    argnum: int | None = None,
) -> Callable[..., Any]:
    """The function that computes the derivatives of f by some of its arguments.

    Args:
        f: a function of numbers that returns one number; see `jit` for what it may do.
        argnums: which argument, 0 for the first, or a tuple of several: a float, a list, tuple,
            dictionary or array of floats, a Value, or a model.
        has_aux: whether f returns a pair: the number, and other results, which are returned as
            they are.
        mode: "default" or "exact", see `jit`.
        argnum: another name of `argnums`, that of earlier releases.

    Returns:
        A function of the same arguments. It returns the derivatives in the shape of the
        argument: a float for a float, a list for a list, an array for an array, and for a model
        the list of derivatives by its parameters; a tuple of these if `argnums` is a tuple. With
        `has_aux` it returns a pair: these, and the other results.

    Raises:
        ArgumentError: if `argnums` is no integer and no tuple of some; at a call, if there is no
            such argument.
        TraceError: at a call, if f does not return one number, or the argument has none.

    Example:
        >>> def area(sides):
        ...     return sides[0] * sides[1]
        >>> grad(area)([2.0, 3.0])
        [3.0, 2.0]
        >>> grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0)
        (3.0, 2.0)
        >>> grad(lambda x: (x * x, {"half": 0.5 * x}), has_aux=True)(3.0)
        (6.0, {'half': 1.5})
    """
    both = value_and_grad(f, _chosen(argnums, argnum), has_aux, mode=mode)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        result, derivatives = both(*args, **kwargs)
        return (derivatives, result[1]) if has_aux else derivatives

    return gradient


def value_and_grad(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    mode: Mode = "default",
    argnum: int | None = None,
) -> Callable[..., tuple[Any, Any]]:
    """The function that computes the result of f and its derivatives by some of its arguments.

    For an array the numbers are never Python objects: the call takes some microseconds and the
    time of the native code. `scipy.optimize.minimize(value_and_grad(f), x, jac=True)` uses it so.

    Args:
        f: as for `grad`.
        argnums: as for `grad`.
        has_aux: as for `grad`.
        mode: "default" or "exact", see `jit`.
        argnum: another name of `argnums`, that of earlier releases.

    Returns:
        A function of the same arguments, which returns (number, derivatives); with `has_aux`
        ((number, other results), derivatives).

    Raises:
        ArgumentError: as for `grad`.
        TraceError: at a call, if f does not return one number, or the argument has none.

    Example:
        >>> value_and_grad(lambda x: x * x)(3.0)
        (9.0, 6.0)
    """
    differentiator = Differentiator(f, _chosen(argnums, argnum), mode, has_aux=has_aux)
    selection, find = differentiator.selection, differentiator.programs
    array_gradient, ndarray = differentiator.array_gradients.get, np.ndarray

    @functools.wraps(f)
    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if len(args) == 1 and not kwargs:  # the usual call of an optimiser, in a microsecond
            x = args[0]
            if type(x) is ndarray and x.dtype is FLOAT64 and not (is_tracing() or is_uncompiled()):
                known = array_gradient(x.shape)
                if known is not None and known[1].holds():
                    return known[0](x)
        found = find(args, kwargs)
        if found is None:
            composed = differentiator.composed(args, kwargs)
            gradient = composed.shaped(composed.first(composed.result))
            return with_aux(has_aux, composed.result, composed.aux), gradient
        programs, call = found
        value, numbers = programs.first.value_and_gradient(call.signature)
        gradient = programs.variables.shaped(selection, numbers)
        if has_aux:
            return (value, programs.aux(call.signature)), gradient
        return value, gradient

    return both


def jacobian(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    sparse: bool = False,
    mode: Mode = "default",
) -> Callable[..., Any]:
    """The function that computes the derivatives of all results of f by one of its arguments.

    Entry (i, j) is the derivative of number i of the result by number j of the argument. The
    columns that have no row in common are computed together, in forward mode, or the rows in
    reverse mode, whichever are fewer; which entries are zero follows from the traced program.

    Args:
        f: a function of numbers that returns numbers: one, a list, an array, or any pytree.
        argnums: as for `grad`.
        has_aux: whether f returns a pair: the numbers, and other results, which are returned as
            they are.
        sparse: return a `scipy.sparse.csr_array` of shape (m, n) of the entries that are not zero
            for all arguments; `argnums` is then one integer.
        mode: "default" or "exact", see `jit`. In exact mode it is computed row by row.

    Returns:
        A function of the same arguments. If the argument or the result is an array, it returns an
        array of the shape of the result followed by that of the argument. Else it returns the
        result with the derivatives, in the shape of the argument, in place of each number. As for
        `grad`, `argnums` and `has_aux` may make tuples of these.

    Raises:
        ArgumentError: as for `grad`, or if `sparse` is used with several arguments.
        TraceError: at a call, if f returns no number that depends on a Value, or the argument
            has none.

    Source: Curtis, Powell and Reid, On the estimation of sparse Jacobian matrices, 1974.

    Example:
        >>> import numpy as np
        >>> jacobian(lambda v: [v[0] * v[1], v[0] ** 2])(np.array([2.0, 3.0]))
        array([[3., 2.],
               [4., 0.]])
        >>> jacobian(lambda v: [v[0] * v[1], v[1]])([2.0, 3.0])
        [[3.0, 2.0], [0.0, 1.0]]
    """
    differentiator = Differentiator(f, argnums, mode, has_aux=has_aux, several=True)
    selection = differentiator.selection
    _require_one(sparse, selection)
    matrices: dict[DerivativePrograms, Any] = {}

    @functools.wraps(f)
    def all_first(*args: Any, **kwargs: Any) -> Any:
        found = differentiator.programs(args, kwargs)
        if found is None:
            _refuse_sparse(sparse)
            composed = differentiator.composed(args, kwargs)
            rows = [composed.first(output) for output in tree_values(composed.result)]
            return with_aux(has_aux, composed.jacobian(rows), composed.aux)
        programs, call = found
        matrix = programs.once(matrices, jacobian_of, call)
        signature, variables = call.signature, programs.variables
        if sparse:
            result = matrix.sparse(call)
        else:
            dense = variables.expanded_columns(matrix.dense(call))
            result = selection.result(
                [
                    programs.result.jacobian(dense[:, a:b], shape)
                    for (a, b), shape in zip(variables.bounds, variables.shapes, strict=True)
                ]
            )
        return with_aux(has_aux, result, programs.aux(signature) if has_aux else None)

    return all_first


def hessian(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    sparse: bool = False,
    mode: Mode = "default",
    argnum: int | None = None,
) -> Callable[..., Any]:
    """The function that computes all second derivatives of f by some of its arguments.

    Entry (i, j) is the derivative by number i and number j of the argument, d2f/dx_i dx_j. Native
    code computes it in one call, as products with as many directions as the matrix needs: which
    entries are zero follows from the traced program, and columns that do not meet in a row that
    tells them apart are computed together. Entries (i, j) and (j, i) are the same number.

    Args:
        f: as for `grad`.
        argnums: as for `grad`.
        has_aux: as for `grad`.
        sparse: return a `scipy.sparse.csr_array` of the entries that are not zero for all
            arguments; `argnums` is then one integer.
        mode: "default" or "exact", see `jit`. In exact mode it is computed row by row.
        argnum: another name of `argnums`, that of earlier releases.

    Returns:
        A function of the same arguments. It returns a float if the argument is a float, an array
        of shape (*shape, *shape) if it is an array, else a list of lists: one row for each number
        of the argument, in order. If `argnums` is a tuple, it returns a tuple of tuples of blocks:
        block [i][j] has a row for each number of argument i and a column for each of argument j.

    Raises:
        ArgumentError: as for `grad`, or if `sparse` is used with several arguments.
        TraceError: at a call, if f does not return one number, or the argument has none.

    Source: Gebremedhin, Manne and Pothen, What color is your Jacobian?, 2005.

    Example:
        >>> hessian(lambda v: v[0] * v[0] * v[1])([3.0, 5.0])
        [[10.0, 6.0], [6.0, 0.0]]
    """
    differentiator = Differentiator(f, _chosen(argnums, argnum), mode, has_aux=has_aux)
    selection = differentiator.selection
    _require_one(sparse, selection)
    matrices: dict[DerivativePrograms, Any] = {}

    @functools.wraps(f)
    def all_second(*args: Any, **kwargs: Any) -> Any:
        found = differentiator.programs(args, kwargs)
        if found is None:
            _refuse_sparse(sparse)
            composed = differentiator.composed(args, kwargs)
            rows = [composed.first(g) for g in composed.first(composed.result)]
            return with_aux(has_aux, composed.matrix(rows), composed.aux)
        programs, call = found
        matrix = programs.once(matrices, hessian_of, call)
        signature, variables = call.signature, programs.variables
        if sparse:
            result = matrix.sparse(call)
        elif len(variables.shapes) == 1:
            (shape,) = variables.shapes
            dense = variables.expanded_square(matrix.dense(call))
            result = selection.result([as_block(dense, shape, shape)])
            result = (result,) if isinstance(selection.argnums, tuple) else result
        else:
            result = _blocks(programs, variables.expanded_square(matrix.dense(call)))
        return with_aux(has_aux, result, programs.aux(signature) if has_aux else None)

    return all_second


def hvp(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    mode: Mode = "default",
    argnum: int | None = None,
) -> Callable[..., Any]:
    """The function that computes the Hessian of f times a vector, without the Hessian itself.

    Entry i of the product is sum_j v_j d2f/dx_i dx_j, the derivative of the gradient along the
    vector. It costs a few evaluations of f, for any number of variables.

    The vector follows the argument to differentiate by, as in `hessp(x, p, *args)` of SciPy:
    `hvp(f)(x, p, a, b)` for a function `f(x, a, b)`. It may also be the last argument, as in
    earlier releases: that is understood if what follows `x` has not as many numbers as `x`, and
    the last argument has.

    Args:
        f: as for `grad`.
        argnums: as for `grad`. With a tuple the vector is a tuple of one vector for each of these
            arguments, and follows the last of them.
        has_aux: as for `grad`.
        mode: "default" or "exact", see `jit`.
        argnum: another name of `argnums`, that of earlier releases.

    Returns:
        A function of the arguments of f and the vector: as many numbers as the argument has, in
        the same shape or as a flat list or array. It returns the product in the argument's shape.

    Raises:
        ArgumentError: as for `grad`.
        ShapeError: at a call, if the vector has another length.
        TraceError: at a call, if f does not return one number, or the argument has none.

    Source: Pearlmutter, Fast exact multiplication by the Hessian, 1994.

    Example:
        >>> hvp(lambda v: v[0] * v[0] * v[1])([3.0, 5.0], [1.0, 0.0])
        [10.0, 6.0]
        >>> hvp(lambda x, a: a * x**3)(2.0, 1.0, 10.0)
        120.0
    """
    differentiator = Differentiator(f, _chosen(argnums, argnum), mode, has_aux=has_aux)
    selection = differentiator.selection
    programs_of: dict[DerivativePrograms, Any] = {}

    @functools.wraps(f)
    def product(*args: Any, **kwargs: Any) -> Any:
        own, vector = _vector_of(selection, args)
        found = differentiator.programs(own, kwargs)
        if found is None:
            composed = differentiator.composed(own, kwargs)
            factors = [operand(x) for x in tree_leaves(vector)]
            _require_length(len(factors), selection, len(composed.by))
            first = pulled_back([composed.result], [1.0], composed.by)
            seconds = pulled_back(as_values(first), factors, composed.by)
            return with_aux(has_aux, composed.shaped(as_values(seconds)), composed.aux)
        programs, call = found
        numbers = _numbers(vector)
        variables = programs.variables
        _require_length(numbers.size, selection, variables.count)
        times = programs.once(programs_of, product_of, call)
        seconds = times(call.signature, variables.united(numbers).tobytes())
        result = variables.shaped(selection, seconds)
        return with_aux(has_aux, result, programs.aux(call.signature) if has_aux else None)

    return product


# ---- arguments -----------------------------------------------------------------------------------


def _chosen(argnums: Argnums, argnum: int | None) -> Argnums:
    """`argnums`, which may also be given as `argnum`."""
    return argnums if argnum is None else argnum


def _require_one(sparse: bool, selection: Selection) -> None:
    if sparse and isinstance(selection.argnums, tuple):
        raise ArgumentError(
            f"sparse=True takes one argument, got argnums={selection.argnums}; give an integer"
        )


def _refuse_sparse(sparse: bool) -> None:
    if sparse:
        raise ArgumentError(
            "sparse=True gives floats, but here derivatives are Values, because there are Values "
            "among the arguments or a function is being traced; leave sparse out, or give floats"
        )


def _blocks(programs: DerivativePrograms, matrix: Array) -> Any:
    """The blocks of a Hessian by several arguments."""
    variables = programs.variables
    pairs = list(zip(variables.bounds, variables.shapes, strict=True))
    return tuple(
        [
            tuple([as_block(matrix[a:b, c:d].copy(), row, column) for (c, d), column in pairs])
            for (a, b), row in pairs
        ]
    )


# ---- the vector of hvp ---------------------------------------------------------------------------


def _vector_of(selection: Selection, args: Sequence[Any]) -> tuple[list[Any], Any]:
    """The arguments of f, and the vector."""
    if len(args) < 2:
        raise ArgumentError(
            "hvp(f) takes the arguments of f and a vector, which follows the argument to "
            "differentiate by: hvp(f)(x, vector, *args)"
        )
    positions = selection.positions(len(args) - 1)
    behind = max(positions) + 1
    counts = [shape_of(args[k]).count for k in positions]
    if behind < len(args) - 1 and _count(args[behind]) != sum(counts) == _count(args[-1]):
        return list(args[:-1]), args[-1]
    return [*args[:behind], *args[behind + 1 :]], args[behind]


def _count(vector: Any) -> int:
    """How many numbers there are in what may be a vector."""
    return vector.size if isinstance(vector, np.ndarray) else len(tree_leaves(vector))


def _numbers(vector: Any) -> Array:
    """The numbers of a vector in one array."""
    if isinstance(vector, np.ndarray) and vector.dtype.kind in "fiu":
        return vector.astype(float, copy=False).reshape(-1)
    leaves = tree_leaves(vector)
    return np.array([v.data if isinstance(v, Value) else v for v in leaves], dtype=float)


def _require_length(length: int, selection: Selection, count: int) -> None:
    if length != count:
        several = isinstance(selection.argnums, tuple)
        raise ShapeError(
            f"the vector has {length} numbers, argument{'s' if several else ''} "
            f"{selection.argnums} {count}; it follows the argument: hvp(f)(x, vector, *args)"
        )
