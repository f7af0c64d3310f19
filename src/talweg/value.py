"""Value: a number together with the operation that computed it.

A Value holds a float (`data`), the derivative of a final result with respect to it (`grad`),
the record of the operation that made it, the operands of that operation in order, and a
serial number, which counts the Values made so far. Arithmetic on Values builds a graph;
`backward()` computes derivatives by walking it.

* There are no closures: the derivative of an operation is in its record in `talweg.ops`.
* Nothing recurses, so a chain of a million additions works.
* Nodes are visited in reverse order of creation. An operand is always older than its
  result, so this is a topological order. It is the same in every process: gradients are
  summed in one order and are equal to the last bit.
* At each `backward()` the gradients of inner nodes start from zero; leaves accumulate.

Start reading at `Value`, then `_binary`, which makes its operators; the walk is in
`talweg.autodiff.backward`. The attributes that programs written for the class of the lesson
expect (`_prev`, `_op`, `_backward`) are at the end of the class.
"""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from typing import Any, SupportsFloat, TypeAlias, cast

from talweg import ops
from talweg.autodiff.backward import (
    backward,
    by_serial,
    custom_step,
    inner_nodes,
    no_step,
    step_for,
)
from talweg.autodiff.operation import CONSTANT, LEAF, Op, to_float
from talweg.autodiff.tracing import is_tracing, refuse
from talweg.errors import NumberError

Operand: TypeAlias = SupportsFloat
"""The other operand of a Value in arithmetic: a Value, or a Python or NumPy number."""

_next_serial = count().__next__

_LARGEST_DRAWING = 200
"""A notebook shows the graph of a Value of at most this many nodes, else its repr."""


# ---- making the operators -----------------------------------------------------------------


def _binary(op: Op) -> Callable[[Value, Operand], Value]:
    """The method for `self op other`.

    It does what `Value._apply` does, for two operands and without its function calls: this is
    the inner loop of every eager program, where one more call costs a tenth of a training step.
    """
    value = op.value
    step = step_for(op, (False, False))
    step_with_float = step_for(op, (False, True))

    def method(self: Value, other: Operand) -> Value:
        out = _new(Value)
        if type(other) is Value or isinstance(other, Value):
            out.data = value(self.data, other.data)
            out._step = step
        else:
            if type(other) is not float:
                other = to_float(other)
            out.data = value(self.data, other)
            out._step = step_with_float
        out.grad = 0.0
        out._walk = None
        out._record = op
        out._operands = (self, other)
        out._serial = _next_serial()
        return out

    return _named(method, op)


def _reflected(op: Op) -> Callable[[Value, Operand], Value]:
    """The method for `other op self`, where other is a bare number."""
    value = op.value
    step = step_for(op, (True, False))

    def method(self: Value, other: Operand) -> Value:
        number = to_float(other)
        return node_of(op, step, (number, self), value(number, self.data))

    return _named(method, op)


def _unary(op: Op) -> Callable[[Value], Value]:
    value = op.value
    step = step_for(op, (False,))

    def method(self: Value) -> Value:
        return node_of(op, step, (self,), value(self.data))

    return _named(method, op)


def _method(op: Op) -> Callable[..., Value]:
    """The method that calls the record, whose other operands may have defaults."""

    def method(self: Value, *others: Operand) -> Value:
        return cast(Value, op(self, *others))

    return _named(method, op)


def _itself(self: Value) -> Value:
    return self


def _comparison(
    holds: Callable[[float, float], bool], traced: Callable[[Any, Any], Any]
) -> Callable[[Value, Operand], bool]:
    """The method that compares data. Its result is a bool, or a node while tracing."""

    def method(self: Value, other: Operand) -> bool:
        if is_tracing():
            return cast(bool, traced(self, other))
        return holds(self.data, other.data if isinstance(other, Value) else to_float(other))

    return method


def _named(method: Callable[..., Value], op: Op) -> Callable[..., Value]:
    method.__name__ = op.name
    method.__qualname__ = f"Value.{op.name}"
    method.__doc__ = op.doc
    return method


class Value:
    """A number together with the operation that computed it.

    Args:
        data: a Python or NumPy number.
        _children: the operands, if the node is made by an operation defined by the user.
        _op: the symbol of that operation.
        label: a name to show in `repr` and in pictures.

    Attributes:
        data: the number, a float.
        grad: the derivative of the result on which `backward()` was last called, with respect
            to this number. Leaves accumulate: set it to 0.0 before the next `backward()`.
        label: the name, or "".

    Raises:
        NumberError: if `data` is not one real number.

    Example:
        >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
        >>> c = (a * b + 1.0).tanh()
        >>> c.backward()
        >>> round(c.data, 6), round(a.grad, 6)
        (-0.999909, -0.000545)

    Comparisons (`<`, `<=`, `>`, `>=`) compare data. `==` and `hash` compare identity, because
    programs that walk the graph store nodes in sets and dictionaries.
    """

    __slots__ = (
        "__weakref__",
        "_after_backward",
        "_closure",
        "_label",
        "_operands",
        "_record",
        "_serial",
        "_shown",
        "_step",
        "_walk",
        "data",
        "grad",
    )
    # NumPy's operators return NotImplemented then: np.float64(2.0) * v is a Value.
    __array_ufunc__ = None

    data: float
    grad: float
    _record: Op  # the operation that made it
    _operands: tuple[Value | float, ...]  # a bare number stays a float
    _step: Callable[[Value], None]  # adds this node's contributions to `grad` of its operands
    _serial: int  # the order of creation
    _walk: object  # the last walk through the graph that reached it
    _label: str  # this and the next three are unset in most nodes
    _closure: Callable[[], None]  # the `_backward` of an operation defined by the user
    _shown: tuple[Value, ...]  # the result of `_prev`, once it was computed
    _after_backward: tuple[float, float]  # data and grad after it, to detect a missing zero_grad

    def __init__(
        self,
        data: Operand,
        _children: Iterable[Value] = (),
        _op: str = "",
        label: str = "",
    ) -> None:
        if isinstance(data, Value):
            raise NumberError(
                f"Value({data!r}): the argument is a Value already; expected a number; use v.data"
            )
        self.data = to_float(data)
        self.grad = 0.0
        self._serial = _next_serial()
        self._record = LEAF
        self._step = no_step
        self._walk = None
        self._operands = ()
        if _children or _op:
            self._operands = _in_order(_children)
            self._record = _custom(_op)
            self._step = custom_step
        if label:
            self._label = label

    # ---- arithmetic ---------------------------------------------------------------------

    __add__ = _binary(ops.add)
    __radd__ = _reflected(ops.add)
    __sub__ = _binary(ops.sub)
    __rsub__ = _reflected(ops.sub)
    __mul__ = _binary(ops.mul)
    __rmul__ = _reflected(ops.mul)
    __truediv__ = _binary(ops.div)
    __rtruediv__ = _reflected(ops.div)
    __pow__ = _binary(ops.pow)
    __rpow__ = _reflected(ops.pow)
    __neg__ = _unary(ops.neg)
    __pos__ = _itself
    __abs__ = _unary(ops.abs)

    exp = _unary(ops.exp)
    log = _unary(ops.log)
    sqrt = _unary(ops.sqrt)
    sin = _unary(ops.sin)
    cos = _unary(ops.cos)
    tanh = _unary(ops.tanh)
    sigmoid = _unary(ops.sigmoid)
    relu = _unary(ops.relu)
    softplus = _unary(ops.softplus)
    tan = _unary(ops.tan)
    asin = _unary(ops.asin)
    acos = _unary(ops.acos)
    atan = _unary(ops.atan)
    sinh = _unary(ops.sinh)
    cosh = _unary(ops.cosh)
    expm1 = _unary(ops.expm1)
    log1p = _unary(ops.log1p)
    log2 = _unary(ops.log2)
    log10 = _unary(ops.log10)
    erf = _unary(ops.erf)
    gelu = _unary(ops.gelu)
    silu = _unary(ops.silu)
    sign = _method(ops.sign)
    floor = _method(ops.floor)
    detach = _method(ops.detach)
    leaky_relu = _method(ops.leaky_relu)
    elu = _method(ops.elu)
    clip = _method(ops.clip)

    __lt__ = _comparison(operator.lt, ops.lt)
    __le__ = _comparison(operator.le, ops.le)
    __gt__ = _comparison(operator.gt, lambda x, y: ops.lt(y, x))
    __ge__ = _comparison(operator.ge, lambda x, y: ops.le(y, x))

    # ---- derivatives --------------------------------------------------------------------

    def backward(self) -> None:
        """Compute the derivative of this Value with respect to every Value it depends on.

        The derivatives are in `grad`. Those of inner nodes start from zero; leaves add to the
        `grad` that they have. The derivative of this Value with respect to itself is 1.

        Warns:
            GradientWarning: if a parameter was updated since the last `backward()` and its
                gradient was not set to zero, or if an operation that you defined has no
                `_backward`.

        >>> x = Value(3.0)
        >>> (x * x).backward()
        >>> x.grad
        6.0
        """
        backward(self)

    # ---- conversions --------------------------------------------------------------------

    @property
    def label(self) -> str:
        """The name of this Value, or an empty string."""
        try:
            return self._label
        except AttributeError:
            return ""

    @label.setter
    def label(self, text: str) -> None:
        self._label = text

    def __float__(self) -> float:
        refuse("makes a float of", "use talweg's operations, such as tw.exp for math.exp")
        return float(self.data)  # a program may have assigned an int

    def __bool__(self) -> bool:
        refuse("branches on", "choose with tw.where(condition, a, b), tw.max or tw.min")
        return self.data != 0.0

    def __repr__(self) -> str:
        parts = [f"data={self.data}"]
        if self.grad != 0.0:
            parts.append(f"grad={self.grad}")
        if self._op:
            parts.append(f"op={self._op!r}")
        if self.label:
            parts.append(f"label={self.label!r}")
        return f"Value({', '.join(parts)})"

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else repr(self)

    def __reduce__(self) -> tuple[Callable[..., Value], tuple[Any, ...]]:
        if not self._operands:
            return _restore_leaf, (self.data, self.grad, self.label)
        return _restore_graph, _flatten(self)

    def _repr_svg_(self) -> str | None:
        from talweg.plotting import graph  # drawing is loaded only when something is drawn

        return graph.svg(self) if len(graph.walk(self)) <= _LARGEST_DRAWING else None

    # ---- applying operations ------------------------------------------------------------

    @staticmethod
    def _apply(op: Op, operands: Sequence[Operand]) -> Value:
        """The Value `op(*operands)`; at least one operand is a Value, the rest are numbers."""
        own = tuple([x if isinstance(x, Value) else to_float(x) for x in operands])
        numbers = [x.data if isinstance(x, Value) else x for x in own]
        if op.is_selective and not is_tracing():
            # An operand that no derivative reaches is only its number: nothing walks on to it.
            own = tuple([x if op.reaches(i, numbers) else numbers[i] for i, x in enumerate(own)])
        return node_of(op, _step_of(op, own), own, op.value(*numbers))

    # ---- the names of the lesson's class -----------------------------------------------------

    @property
    def _prev(self) -> tuple[Value, ...]:
        """The operands as nodes. The node of a bare number is made at the first access."""
        try:
            return self._shown
        except AttributeError:
            self._shown = tuple(
                [x if isinstance(x, Value) else _constant(x) for x in self._operands]
            )
            return self._shown

    @property
    def _op(self) -> str:
        return self._record.symbol

    @property
    def _backward(self) -> Callable[[], None]:
        """The function that propagates from this node to its operands.

        Assigning another one makes the node an operation defined by the user.
        """
        return partial(self._step, self)

    @_backward.setter
    def _backward(self, step: Callable[[], None]) -> None:
        self._closure = step
        self._step = custom_step
        self._record = _custom(self._record.symbol)


# ---- making nodes -------------------------------------------------------------------------

_new = Value.__new__


def node_of(
    op: Op,
    step: Callable[[Value], None],
    operands: tuple[Value | float, ...],
    data: float,
) -> Value:
    """A new node.

    Args:
        op: the operation.
        step: adds the node's contributions to `grad` of its operands.
        operands: the operands.
        data: the result.
    """
    out = _new(Value)
    out.data = data
    out.grad = 0.0
    out._walk = None
    out._record = op
    out._step = step
    out._operands = operands
    out._serial = _next_serial()
    return out


def _step_of(op: Op, operands: tuple[Value | float, ...]) -> Callable[[Value], None]:
    return step_for(op, tuple([not isinstance(x, Value) for x in operands]))


def _constant(number: float) -> Value:
    """The node of a bare number, for programs that walk the graph."""
    return node_of(CONSTANT, no_step, (), number)


def _custom(symbol: str) -> Op:
    """The record of a node that has its own `_backward`, and therefore no derivatives."""
    return Op("custom", symbol, to_float, (), (), "A node with a `_backward` of its own.")


def _in_order(children: Iterable[Value]) -> tuple[Value, ...]:
    """Children as a tuple; sets are sorted, because their order follows memory addresses."""
    if isinstance(children, (set, frozenset)):
        children = sorted(children, key=by_serial)
    return tuple(children)


# ---- pickling -----------------------------------------------------------------------------


def _flatten(root: Value) -> tuple[list[Value], list[tuple[Any, ...]]]:
    """The graph as two flat lists, so that pickling a deep graph does not recurse.

    Leaves stay Values. Pickle stores each of them once, for example when a model is pickled
    together with its loss.
    """
    nodes = inner_nodes(root)[::-1]
    leaves = [x for node in nodes for x in node._operands if isinstance(x, Value)]
    leaves = list(dict.fromkeys(x for x in leaves if not x._operands))
    index = {x: i for i, x in enumerate(leaves + nodes)}
    rows = []
    for node in nodes:
        if not node._record.derivatives:
            raise pickle.PicklingError(
                f"the operation {node._op!r} has a _backward of its own, which cannot be "
                "pickled; declare the operation with tw.ops.register"
            )
        operands = tuple([index[x] if isinstance(x, Value) else x for x in node._operands])
        rows.append((node._record, operands, node.data, node.grad, node.label))
    return leaves, rows


def _restore_graph(leaves: list[Value], rows: list[tuple[Any, ...]]) -> Value:
    values = list(leaves)
    for record, indices, data, grad, label in rows:
        operands = tuple([values[i] if isinstance(i, int) else i for i in indices])
        node = node_of(record, _step_of(record, operands), operands, data)
        node.grad = grad
        if label:
            node.label = label
        values.append(node)
    return values[-1]


def _restore_leaf(data: float, grad: float, label: str) -> Value:
    leaf = Value(data, label=label)
    leaf.grad = grad
    return leaf
