"""Matrices of derivatives, sparse where the program is: Jacobians and Hessians.

A matrix of derivatives is computed from its products with a few directions, one for each colour of
its columns (`passes/colouring.py`). The program of the products is traced once:

    Jacobian, forward mode     direction -> pushed_forward(outputs)
    Jacobian, reverse mode     direction -> pulled_back(outputs): the rows are coloured
    Hessian                    direction -> pushed_forward(pulled_back(output))

Its tape shows which entries are zero for all numbers (`passes/sparsity.py`). Native code computes
all products in one call, as many at a time as a vector has lanes (`codegen/directions.py`). There
are no finite differences.

Start reading at `hessian_of` and `jacobian_of`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from talweg.autodiff.higher_order import pulled_back, pushed_forward
from talweg.autodiff.tracing import uncompiled
from talweg.compiler import pipeline
from talweg.compiler.composed_derivative import ComposedDerivative
from talweg.compiler.derivative_call import DIRECTION, Call, Packing
from talweg.compiler.differentiation import DerivativePrograms, NativeGradient
from talweg.compiler.frontend.pytree import tree_values
from talweg.compiler.frontend.signature import CallSignature
from talweg.compiler.ir.tape import Array
from talweg.value import Value

_REVERSE_COST = 2
"""About how many times as long as a direction forward a direction in reverse takes."""


class EagerRows:
    """Rows of a matrix of derivatives by the eager engine, for points at which others fail.

    A product with a direction adds all entries of a row, and those of other columns are multiplied
    by 0. Where a slope is infinite that gives nan: 0 * inf. The eager engine computes each row on
    its own, from the operations that it depends on.

    Args:
        programs: the programs of the function.
        is_second: whether rows are those of the Hessian, else those of the Jacobian.
    """

    def __init__(self, programs: DerivativePrograms, is_second: bool) -> None:
        self.f = programs.f
        self.is_second = is_second
        take = programs.variables.take
        self._first = None if take is None else np.unique(take, return_index=True)[1]

    def of(self, call: Call, rows: Sequence[int]) -> Array:
        """These rows, at the numbers of a call."""
        with uncompiled():
            composed = ComposedDerivative(self.f, call.args, call.kwargs)
            outputs = tree_values(composed.result)
            if self.is_second:
                first = composed.first(outputs[0])
                outputs = first if self._first is None else [first[k] for k in self._first]
            found = [[x.data for x in composed.first(outputs[i])] for i in rows]
        matrix = np.array(found).reshape(len(rows), -1)
        return matrix if self._first is None else matrix[:, self._first]


def has_nan(numbers: Array) -> bool:
    """Whether there is a nan among some numbers; infinite ones give none when they are squared."""
    total = numbers.dot(numbers)
    return bool(total != total)  # noqa: PLR0124 - it is not equal to itself if it is nan


class DerivativeMatrix:
    """A matrix of derivatives, computed from its products with some directions.

    Args:
        eager: its rows by the eager engine.
        packing: the program of a product.
        rows: for each row the columns in which it has entries.
        columns: the number of columns.
        colours: for each number of the direction the product that it takes part in.
        outputs: for each entry, row by row, the output of the program that shows it.
        products: for each entry the product in which it is shown.

    Attributes:
        shape: the number of rows and of columns.
        products: how many products are computed.
    """

    def __init__(
        self,
        eager: EagerRows,
        packing: Packing,
        rows: Sequence[Array],
        columns: int,
        colours: Sequence[int],
        outputs: Array,
        products: Array,
    ) -> None:
        self.shape = (len(rows), columns)
        self.products = max(colours, default=-1) + 1
        self.packing = packing
        self._eager = eager
        lengths = [len(row) for row in rows]
        self._starts = np.cumsum([0, *lengths])
        self._columns = np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)
        numbers = np.repeat(np.arange(len(rows)), lengths)
        self._rows = numbers
        self._flat = numbers * columns + self._columns
        self._is_dense = len(self._flat) == len(rows) * columns
        self._map: Any = None
        self._template: Any = None
        if len(self._flat):
            directions = np.zeros((max(colours) + 1, len(colours)))
            directions[colours, np.arange(len(colours))] = 1.0
            self._map = pipeline.direction_map(packing.tape, directions)
            self._places = self._map.places(outputs, products)

    def entries(self, call: Call) -> Array:
        """The entries that are not zero for all numbers, row by row."""
        if self._map is None:
            return np.zeros(0)
        found: Array = self._map.entries(*self.packing(call.signature), self._places)
        if has_nan(found):
            rows = np.unique(self._rows[np.isnan(found)])
            computed = self._eager.of(call, rows.tolist())
            for i, row in zip(rows, computed, strict=True):
                found[self._rows == i] = row[self._columns[self._rows == i]]
        return found

    def native_call(self) -> Callable[[], None]:
        """The native function alone, on the memory of the last call; for measurements."""
        found: Callable[[], None] = self._map.native_call()
        return found

    def dense(self, call: Call) -> Array:
        """The matrix as an array."""
        entries = self.entries(call)
        if self._is_dense:
            return entries.reshape(self.shape)
        matrix = np.zeros(self.shape[0] * self.shape[1])
        matrix[self._flat] = entries
        return matrix.reshape(self.shape)

    def sparse(self, call: Call) -> Any:
        """The matrix as a `scipy.sparse.csr_array`."""
        if self._template is None:
            from scipy.sparse import csr_array  # type: ignore[import-untyped]

            places = (self._columns.astype(np.int32), self._starts.astype(np.int32))
            self._template = csr_array((self._columns.astype(float), *places), shape=self.shape)
        # The constructor checks the places, which takes longer than all else; these are checked.
        matrix = copy.copy(self._template)
        matrix.data = self.entries(call)
        matrix.indices = matrix.indices.copy()
        matrix.indptr = matrix.indptr.copy()
        return matrix


class RowByRow:
    """A matrix of derivatives in exact mode: each row as the eager engine computes it.

    Args:
        eager: its rows by the eager engine.
        packing: the program whose outputs have the rows as derivatives.
        rows: how many outputs these are.
    """

    def __init__(self, eager: EagerRows, packing: Packing, rows: int) -> None:
        self._eager = eager
        self._gradient = NativeGradient(packing, True, rows)

    def dense(self, call: Call) -> Array:
        """The matrix as an array."""
        matrix = self._gradient.rows(call.signature)
        rows = np.flatnonzero(np.isnan(matrix).any(axis=1))
        if len(rows):
            matrix[rows] = self._eager.of(call, rows.tolist())
        return matrix

    def sparse(self, call: Call) -> Any:
        """The matrix as a `scipy.sparse.csr_array`, without the entries that are 0.0."""
        from scipy.sparse import csr_array

        return csr_array(self.dense(call))


def hessian_of(programs: DerivativePrograms, call: Call) -> DerivativeMatrix | RowByRow:
    """The second derivatives of the only number of a function's result."""
    n, eager = programs.size, EagerRows(programs, is_second=True)
    if programs.exact:
        return RowByRow(eager, programs.traced_again(call, _first), n)
    packing = programs.traced_again(call, _hessian_product, n)
    packing.tape = pipeline.folded(packing.tape)
    found = pipeline.dependence(packing.tape, [(DIRECTION, j) for j in range(n)])
    rows = _symmetric(found)
    colours = min(pipeline.star_colours(rows), pipeline.column_colours(rows, n), key=max)
    i = np.repeat(np.arange(n), [len(row) for row in rows])
    j = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    # Both entries (i, j) and (j, i) are read in the row whose colour is the higher one.
    of = np.array(colours)
    is_higher = (of[i] > of[j]) | ((of[i] == of[j]) & (i >= j))
    outputs, products = np.where(is_higher, i, j), np.where(is_higher, of[j], of[i])
    return DerivativeMatrix(eager, packing, rows, n, colours, outputs, products)


def jacobian_of(programs: DerivativePrograms, call: Call) -> DerivativeMatrix | RowByRow:
    """The first derivatives of all numbers of a function's result."""
    m, n = programs.result.count, programs.size
    eager = EagerRows(programs, is_second=False)
    if programs.exact:
        return RowByRow(eager, programs.packing, m)
    tape = programs.packing.tape
    rows = pipeline.dependence(tape, [("w", j) for j in range(n)])[:m]
    columns = _transposed(rows, n)
    by_column, by_row = pipeline.column_colours(rows, n), pipeline.column_colours(columns, m)
    i = np.repeat(np.arange(m), [len(row) for row in rows])
    j = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    if _REVERSE_COST * (max(by_row) + 1) < max(by_column) + 1:
        packing = programs.traced_again(call, _pulled_back, m)
        return DerivativeMatrix(eager, packing, rows, n, by_row, j, np.array(by_row)[i])
    packing = programs.traced_again(call, _pushed_forward, n)
    return DerivativeMatrix(eager, packing, rows, n, by_column, i, np.array(by_column)[j])


class HessianProduct:
    """The product of a Hessian and a vector that changes from call to call.

    Args:
        packing: the program of the product.
    """

    def __init__(self, packing: Packing) -> None:
        self.packing = packing
        tape = pipeline.folded(pipeline.with_direction_in_x(packing.tape))
        self._executable = pipeline.executable(tape, wrt=())

    def __call__(self, signature: CallSignature, vector: bytes) -> Array:
        """The product; the vector as the bytes of its numbers."""
        w, x = self.packing(signature)
        return self._executable.values(w, x + vector)

    def native_call(self, signature: CallSignature, vector: bytes) -> Callable[[], None]:
        """The native function alone, on memory that is filled already; for measurements."""
        w, x = self.packing(signature)
        return self._executable.native_value(w, x + vector)


def product_of(programs: DerivativePrograms, call: Call) -> Callable[[CallSignature, bytes], Array]:
    """The program of the Hessian times a vector.

    In exact mode it is the native derivative of the sum of vector times gradient.
    """
    if programs.exact:
        packing = programs.traced_again(call, _first)
        return NativeGradient(packing, True, programs.size).pulled_back
    return HessianProduct(programs.traced_again(call, _hessian_product, programs.size))


# ---- the programs of a product -------------------------------------------------------------------


def _first(outputs: Sequence[Value], by: Sequence[Value], _: Any) -> Sequence[Any]:
    return pulled_back(outputs, [1.0], by)


def _pushed_forward(outputs: Sequence[Value], by: Sequence[Value], direction: Any) -> Sequence[Any]:
    return pushed_forward(outputs, by, direction)


def _pulled_back(outputs: Sequence[Value], by: Sequence[Value], direction: Any) -> Sequence[Any]:
    return pulled_back(outputs, direction, by)


def _hessian_product(
    outputs: Sequence[Value], by: Sequence[Value], direction: Any
) -> Sequence[Any]:
    first = pulled_back(outputs, [1.0], by)
    traced = [g for g in first if isinstance(g, Value)]
    tangents = iter(pushed_forward(traced, by, direction))
    return [next(tangents) if isinstance(g, Value) else 0.0 for g in first]


# ---- patterns ------------------------------------------------------------------------------------


def _transposed(rows: Sequence[Array], columns: int) -> list[Array]:
    """For each column the rows in which it has entries."""
    found: list[list[int]] = [[] for _ in range(columns)]
    for i, row in enumerate(rows):
        for j in row.tolist():
            found[j].append(i)
    return [np.array(x, dtype=np.int64) for x in found]


def _symmetric(rows: Sequence[Array]) -> list[Array]:
    """The pattern and its transpose: the entries of a symmetric matrix."""
    return [np.union1d(a, b) for a, b in zip(rows, _transposed(rows, len(rows)), strict=True)]
