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

Start reading at `Value`. Its operators are made in `talweg.autodiff.node_methods`, the walk is in
`talweg.autodiff.backward`, copies are made in `talweg.autodiff.node_copies`. The attributes that
programs written for other classes expect (`_prev`, `_op`, `_backward`, `_children`) are at the end
of the class; docs/compatibility.md lists them.
"""

from __future__ import annotations

import gc
import numbers
import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeAlias, cast

from talweg import ops
from talweg._util.gc_growth import CollectorPacing
from talweg.autodiff import arrays, node_copies
from talweg.autodiff.backward import (
    ALL_IN_X,
    backward,
    by_serial,
    custom_step,
    hooked_leaves,
    next_serial,
    no_step,
    slopes_step,
    step_for,
)
from talweg.autodiff.custom_nodes import define, derive_operators, set_children
from talweg.autodiff.math_calls import refuse_math_function
from talweg.autodiff.node_methods import Methods
from talweg.autodiff.node_set import NodeSet
from talweg.autodiff.operation import CONSTANT, IDENTITY, LEAF, Op, custom_record, to_float
from talweg.autodiff.tracing import plain_number, recorder
from talweg.errors import NumberError

Operand: TypeAlias = SupportsFloat
"""The other operand of a Value in arithmetic: a Value, or a Python or NumPy number."""

_LARGEST_DRAWING = 200
"""A notebook shows the graph of a Value of at most this many nodes, else its repr."""


# ---- making the operators -----------------------------------------------------------------


def _with_other(op: Op, value: Value, other: Any, is_first: bool) -> Any:
    """The operation on a Value and an operand that is neither a Value, nor a Python number.

    Args:
        op: the operation.
        value: the Value, whose method was called.
        other: the other operand.
        is_first: whether the other operand is the first one.
    """
    if not isinstance(other, float) and arrays.is_array(other):
        return arrays.each(op, *((other, value) if is_first else (value, other)))
    operand = _operand(other)
    if type(other).__module__ == "numpy" and isinstance(other, numbers.Real):
        _methods.number_types.add(type(other))  # the method does the same without this call
    return Value._apply(op, (operand, value) if is_first else (value, operand))


def _operand(x: Any) -> Value | float:
    """A Value as it is, and a number as a float or, if it is traced, as its node."""
    if type(x) is float or isinstance(x, Value):
        return x
    node: Value | None = getattr(x, "_traced_node", None)
    return to_float(x) if node is None else node


def _method(op: Op) -> Callable[..., Value]:
    """The method that calls the record, whose other operands may have defaults."""

    def method(self: Value, *others: Operand) -> Value:
        return cast(Value, op(self, *others))

    method.__name__ = op.name
    method.__qualname__ = f"Value.{op.name}"
    method.__doc__ = op.doc
    return method


def _itself(self: Value) -> Value:
    """The Value itself."""
    return self


def _comparison(holds: Callable[[float, float], bool]) -> Callable[[Value, Operand], bool]:
    """The method that compares data."""

    def method(self: Value, other: Operand) -> bool:
        if type(other) is not float and arrays.is_array(other):
            return cast(bool, arrays.elementwise(holds, (self, other)))
        trace = recorder()
        if trace is not None:
            return cast(bool, trace.compare(holds, self, other))
        return holds(self._data, other._data if isinstance(other, Value) else to_float(other))

    return method


def _set_data(self: Value, number: Operand) -> None:
    """Assign the number: a float as it is, any other number as the nearest float."""
    if type(number) is not float:
        if isinstance(number, Value):
            raise NumberError(
                "`.data` was assigned a Value, as in `p.data -= lr * p`; assign a number, as in "
                "`p.data -= lr * p.grad`"
            )
        number = to_float(number)
    self._data = number


_methods = Methods(_with_other)
_unary, _binary, _reflected = _methods.unary, _methods.binary, _methods.reflected


class Value:
    """A number together with the operation that computed it.

    Args:
        data: a Python or NumPy number.
        _children: the operands, if the node is made by an operation defined by the user.
        _op: the symbol of that operation; or, as in microgpt, its derivative by each operand.
        label: a name to show in `repr` and in pictures.
        children: another name of `_children`, as is `_prev`.
        local_grads: the derivative by each operand, numbers. `backward()` multiplies them by
            `grad` then, and the node needs no `_backward`.

    Attributes:
        data: the number, a float. Any other number that is assigned is converted to one.
        grad: the derivative of the result on which `backward()` was last called, with respect
            to this number. Leaves accumulate: set it to 0.0 before the next `backward()`.
        label: the name, or "".

    Raises:
        NumberError: if `data` is not one real number.
        ShapeError: if there is not one local gradient for each operand.

    Example:
        >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
        >>> c = (a * b + 1.0).tanh()
        >>> c.backward()
        >>> round(c.data, 6), round(a.grad, 6)
        (-0.999909, -0.000545)

    Comparisons (`<`, `<=`, `>`, `>=`) compare data. `==` and `hash` compare identity, because
    programs that walk the graph store nodes in sets and dictionaries. A Value is true, as any
    object is: `if bias:` asks whether there is a bias, and not whether it is 0. It takes attributes
    of your own, such as the state of an optimiser. `float(v)` is its bare number; `math.exp(v)` is
    an error, because the result would have no derivative.
    """

    # Few and no operands in a tuple, because Python's collector visits each object and tuple.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_data",
        "_record",
        "_serial",
        "_step",
        "_walk",
        "_x",
        "_y",
        "grad",
    )

    if TYPE_CHECKING:

        @property
        def data(self) -> float:
            """The number, a float."""

        @data.setter
        def data(self, number: Operand) -> None: ...
    else:
        data = property(operator.attrgetter("_data"), _set_data, doc="The number, a float.")

    grad: float
    _data: float  # always exactly a float
    _record: Op  # the operation that made it
    _step: Callable[[Value], None]  # adds this node's contributions to `grad` of its operands
    _serial: int  # the order of creation
    _walk: object  # the last walk through the graph that reached it
    _x: Any  # the first operand, None in a leaf, or a tuple of all operands
    _y: Any  # the second operand, None if there is none, or ALL_IN_X

    # Most nodes have the values of these in the class.
    label = ""
    _symbol: str | None = None  # an assigned `_op`
    _closure: Callable[[], None] | None = None  # the `_backward` of an operation of the user
    _slopes: tuple[float, ...] = ()  # its derivatives, if it was made with them
    _shown: Any = None  # the operands as nodes, once they were asked for

    def __init__(
        self,
        data: Operand,
        _children: Iterable[Any] = (),
        _op: str | Sequence[Operand] = "",
        label: str = "",
        *,
        children: Iterable[Any] = (),
        local_grads: Sequence[Operand] = (),
        _prev: Iterable[Any] = (),
    ) -> None:
        self.grad = 0.0
        self._serial = next_serial()
        self._record = LEAF
        self._step = no_step
        self._walk = self._x = self._y = None
        if type(data) is float:
            self._data = data
        elif isinstance(data, Value):
            raise NumberError(
                f"Value({data!r}): the argument is a Value already; expected a number; use v.data"
            )
        elif hasattr(data, "_traced_node"):
            # The leaf of a number that is traced: the same number of the program.
            self._x, self._record = data._traced_node, IDENTITY
            self._data = data._traced_node._data
        else:
            self._data = to_float(data)
        operands = _children or children or _prev
        if operands or _op or local_grads:
            define(self, _in_order(operands), _op, local_grads)
        if label:
            self.label = label

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        derive_operators(cls, Value)

    # ---- arithmetic ---------------------------------------------------------------------

    __add__ = _binary(ops.add)
    __radd__ = _reflected(ops.add, __add__)
    __sub__ = _binary(ops.sub)
    __rsub__ = _reflected(ops.sub)
    __mul__ = _binary(ops.mul)
    __rmul__ = _reflected(ops.mul, __mul__)
    __truediv__ = _binary(ops.div)
    __rtruediv__ = _reflected(ops.div)
    __pow__ = _binary(ops.pow)
    __rpow__ = _reflected(ops.pow)
    __neg__ = _unary(ops.neg)
    __pos__ = _itself
    __abs__ = _unary(ops.abs)
    conjugate = _itself  # np.var and np.std ask for it

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

    __lt__ = _comparison(operator.lt)
    __le__ = _comparison(operator.le)
    __gt__ = _comparison(operator.gt)
    __ge__ = _comparison(operator.ge)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        """NumPy's functions of Values and of arrays with a Value: element by element."""
        return arrays.apply_ufunc(ufunc, method, inputs, settings)

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

    def __float__(self) -> float:
        refuse_math_function(sys._getframe(1))
        return plain_number(self)

    def __int__(self) -> int:
        return int(plain_number(self))

    def __round__(self, digits: int | None = None) -> float:
        return round(plain_number(self), digits)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        trace = recorder()
        if trace is not None:
            trace.format(self)
        parts = [f"data={self._data}"]
        if self.grad != 0.0:
            parts.append(f"grad={self.grad}")
        if self._op:
            parts.append(f"op={self._op!r}")
        if self.label:
            parts.append(f"label={self.label!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def __format__(self, spec: str) -> str:
        text = repr(self)  # a trace notes that the number is made text
        return format(self._data, spec) if spec else text

    def __copy__(self) -> Value:
        twin: Value = node_copies.copied(self)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        twin: Value = node_copies.deep_copied(self, memo)
        return twin

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return node_copies.pickled(self)

    def _repr_svg_(self) -> str | None:
        from talweg.plotting import graph  # drawing is loaded only when something is drawn

        return graph.svg(self) if len(graph.walk(self)) <= _LARGEST_DRAWING else None

    # ---- applying operations ------------------------------------------------------------

    @staticmethod
    def _apply(op: Op, operands: Sequence[Operand]) -> Value:
        """The Value `op(*operands)`; at least one operand is a Value, the rest are numbers."""
        own = tuple([_operand(x) for x in operands])
        data = [x._data if isinstance(x, Value) else x for x in own]
        if op.is_selective and recorder() is None:
            # An operand that no derivative reaches is only its number: nothing walks on to it.
            own = tuple([x if op.reaches(i, data) else data[i] for i, x in enumerate(own)])
        bare = tuple([type(x) is float for x in own])
        return node_of(op, step_for(op, bare), own, op.value(*data))

    @property
    def _operands(self) -> tuple[Any, ...]:
        """The operands: Values, and floats for bare numbers."""
        y = self._y
        if y is None:
            return () if self._x is None else (self._x,)
        return self._x if y is ALL_IN_X else (self._x, y)

    @_operands.setter
    def _operands(self, operands: tuple[Any, ...]) -> None:
        count = len(operands)
        if count > 2:
            self._x, self._y = operands, ALL_IN_X
        else:
            self._x = operands[0] if count else None
            self._y = operands[1] if count == 2 else None

    # ---- the names of other classes ----------------------------------------------------------

    @property
    def _children(self) -> tuple[Value, ...]:
        """The operands as nodes. The node of a bare number is made at the first access."""
        if self._shown is None:
            operands = self._operands
            self._shown = tuple([x if isinstance(x, Value) else _constant(x) for x in operands])
        shown: tuple[Value, ...] = self._shown
        return shown

    @_children.setter
    def _children(self, children: Iterable[Any]) -> None:
        set_children(self, _in_order(children))

    @property
    def _prev(self) -> NodeSet:
        """The operands as nodes, each once.

        Assigning others changes what the walk backward reaches: an operand that is not among them
        is a bare number from then on, and `v._prev = set()` makes v a leaf.
        """
        return NodeSet(self._children)

    @_prev.setter
    def _prev(self, children: Iterable[Any]) -> None:
        set_children(self, _in_order(children))

    @property
    def _local_grads(self) -> tuple[float, ...]:
        """The derivative of this number by each of its operands."""
        if self._step is slopes_step:
            return self._slopes
        operands = self._operands
        data = [x if type(x) is float else plain_number(x) for x in operands]
        rules = self._record.derivatives
        return tuple([float(rule(1.0, *data, plain_number(self))) for rule in rules])

    @property
    def _op(self) -> str:
        """The symbol of the operation. Another one may be assigned; it is only shown."""
        return self._record.symbol if self._symbol is None else self._symbol

    @_op.setter
    def _op(self, symbol: str) -> None:
        self._symbol = symbol

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
        self._record = custom_record(self._record.symbol)
        if self._x is None:  # a leaf, which a walk must now visit
            self._x, self._y = (), ALL_IN_X
            hooked_leaves.add(self)


_methods.names["Value"] = Value
# A subclass may then have `__slots__ = (*Value.__slots__, "own")`.
Value.__slots__ = ()  # type: ignore[assignment]
gc.callbacks.append(CollectorPacing(next_serial))


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
    out._data = data
    out.grad = 0.0
    out._walk = None
    out._record = op
    out._step = step
    out._serial = next_serial()
    count = len(operands)
    if count == 2:
        out._x, out._y = operands
    elif count == 1:
        (out._x,), out._y = operands, None
    else:
        out._operands = operands
    return out


def _constant(number: float) -> Value:
    """The node of a bare number, for programs that walk the graph."""
    return node_of(CONSTANT, no_step, (), number)


def _in_order(children: Iterable[Any]) -> tuple[Any, ...]:
    """Children as a tuple; sets are sorted, because their order follows memory addresses."""
    if isinstance(children, (set, frozenset)) and not isinstance(children, NodeSet):
        children = sorted(children, key=by_serial)
    return tuple([_operand(x) for x in children])
