"""Traced numbers: the floats, integers and truths of a function while it is traced.

A function that is traced computes with the numbers of one call, and its trace serves other numbers.
So every float that may differ at the next call is a `TracedFloat`: a float argument, and what
`.data` of a Value returns. It is a number (`isinstance(x, float)` holds), its arithmetic gives
traced numbers, and the operations are recorded as those of Values are. A comparison gives a
`TracedBool`.

A program may also depend on a number in a way that arithmetic does not record. Then the recorder
of the trace notes a *guard*, and the trace serves only those calls that satisfy it:

* A comparison is used as a condition (`if`, `while`, `and`, `in`, `max`, `sorted`). The guard holds
  if its outcome is the same.
* A number becomes a plain float, an integer, text or a key (`float(x)`, `int(x)`, `str(x)`,
  `hash(x)`, `math.exp(x)`). The guard holds if it is the same number, in every bit: the number is
  *pinned*.

Arithmetic is first computed with Python's own numbers, so it has their result, type and exceptions.
If Python would raise an exception for other numbers, such as `1.0 / x` at 0, a guard excludes these
numbers. If the operation has another result than Python, as for `numpy.float32`, the numbers are
pinned.

In a function that is differentiated, the numbers stand for Values: they have the methods of Values,
and arithmetic follows IEEE-754, without exceptions.

Start reading at `TracedFloat`, then `_computed`; the recorder is in `frontend/recorder.py`.
"""

from __future__ import annotations

import dis
import math
import operator
import struct
import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any

import numpy as np

from talweg import ops
from talweg.autodiff.math_calls import refuse_math_function
from talweg.autodiff.operation import Op, to_float
from talweg.autodiff.tracing import recorder
from talweg.compiler.frontend.compensated_sum import IS_COMPENSATED, finished, is_sum, next_sum
from talweg.errors import NumberError, TraceError
from talweg.value import Value

_EXACT = (float, int, np.integer, np.bool_)
"""The types whose sums, differences, products and quotients are those of doubles."""

_LARGEST_EXACT_INTEGER = 2**53


class TracedNumber:
    """What traced floats and truths have in common.

    Args:
        node: the Value in the graph of the trace that has this number; or a number, for programs
            that call `type(x)` as `float` is called.
        kind: the type that the number has where the function is not traced.
    """

    __slots__ = ("_kind", "_traced_node")

    def __init__(self, node: Any = 0.0, kind: type = float) -> None:
        number = operand(node)
        self._traced_node = number if isinstance(number, Value) else Value(number)
        self._kind = kind

    # A read-only property: `isinstance(x, float)` holds, as it does where nothing is traced.
    __class__ = property(lambda self: self._kind)

    def _number(self) -> Any:
        """The number in this trace. What depends on it must be recorded or guarded."""
        return self._kind(self._traced_node._data)

    def _pinned(self) -> Any:
        """The number; from now on the trace serves only calls in which it is the same."""
        _recorder().pin(self._traced_node)
        return self._number()

    def __reduce__(self) -> tuple[Any, ...]:
        return self._kind, (self._pinned(),)

    def __copy__(self) -> TracedNumber:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> TracedNumber:
        return self

    def __hash__(self) -> int:
        return hash(self._pinned())

    # ---- arithmetic of one number

    def __neg__(self) -> Any:
        return _computed(operator.neg, ops.neg, self)

    def __abs__(self) -> Any:
        return _computed(operator.abs, ops.abs, self)

    def __complex__(self) -> complex:
        return complex(self._pinned())

    def __trunc__(self) -> int:
        return int(self._pinned())

    def __round__(self, digits: int | None = None) -> Any:
        return round(self._pinned(), digits)

    # ---- as text: what is only printed is no part of the program

    def __repr__(self) -> str:
        if recorder() is None:  # stored somewhere: keys and messages of effects.py show it
            return repr(self._number())
        return repr(self._formatted())

    def __str__(self) -> str:
        return str(self._formatted())

    def __format__(self, spec: str) -> str:
        return format(self._formatted(), spec)

    def _formatted(self) -> Any:
        _recorder().format(self._traced_node)
        return self._number()

    # ---- in operations of talweg and NumPy

    @staticmethod
    def _apply(op: Op, operands: Sequence[Any]) -> Any:
        """`op(*operands)`, where the first operand with a method `_apply` is a traced number."""
        own = [operand(x) for x in operands]
        if any(isinstance(x, Value) for x in operands):
            return Value._apply(op, own)
        return TracedFloat(Value._apply(op, own), float)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        """A NumPy function: arithmetic is recorded, all others take the pinned number."""
        if _recorder().is_ieee:  # the numbers stand for Values, whose derivative NumPy follows
            nodes = [x._traced_node if is_traced(x) else x for x in inputs]
            result = getattr(ufunc, method)(*nodes, **settings)
            return TracedFloat(result, float) if isinstance(result, Value) else result
        function = _OF_UFUNC.get(ufunc)
        if function is None or method != "__call__":
            return getattr(ufunc, method)(*map(_plain_pinned, inputs), **settings)
        if any(np.ndim(x) for x in inputs if not is_traced(x)):
            return ufunc(*[boxed(x) if is_traced(x) else x for x in inputs], **settings)
        return function(*inputs)


def is_traced(x: object) -> bool:
    """Whether x is a traced float or truth."""
    return type(x) in (TracedFloat, TracedBool, CompensatedSum)


def operand(x: Any) -> Any:
    """A number as the operand of an operation: a Value or a float."""
    if is_traced(x):
        return x._traced_node
    return x if isinstance(x, Value) else to_float(x)


def _plain(x: Any) -> Any:
    return x._number() if is_traced(x) else x


def _plain_pinned(x: Any) -> Any:
    return x._pinned() if is_traced(x) else x


def _recorder() -> Any:
    current = recorder()
    if current is None:
        raise TraceError(
            "a number of a function that was traced is used after the trace; return it from the "
            "function instead of storing it"
        )
    return current


def boxed(x: Any) -> Any:
    """A number as an array without dimensions, which NumPy takes element by element."""
    box = np.empty((), dtype=object)
    box[()] = x
    return box


# ---- arithmetic ------------------------------------------------------------------------------


def _computed(python: Callable[..., Any], op: Op, *operands: Any) -> Any:
    """The result of a Python operation with at least one traced operand, recorded as `op`."""
    nodes = [operand(x) for x in operands]
    if _recorder().is_ieee:
        return TracedFloat(Value._apply(op, nodes), float)
    kinds = [x._kind if is_traced(x) else type(x) for x in operands]
    with np.errstate(all="ignore"):
        result = python(*map(_plain, operands))  # raises what the program raises
    if isinstance(result, (float, int)) and all(issubclass(kind, _EXACT) for kind in kinds):
        recorded = Value._apply(op, nodes)
        if _is_same(recorded._data, result) and _excludes_exceptions(op, operands, kinds, result):
            return TracedFloat(recorded, type(result))
    for x in operands:
        _plain_pinned(x)
    return result


def _is_same(recorded: float, result: float) -> bool:
    """Whether a recorded number is Python's result, in every bit."""
    if isinstance(result, int) and abs(result) > _LARGEST_EXACT_INTEGER:
        return False
    return struct.pack("=d", recorded) == struct.pack("=d", result)


def _excludes_exceptions(
    op: Op, operands: Sequence[Any], kinds: Sequence[type], result: Any
) -> bool:
    """Exclude operands for which Python raises an exception, or has a result of another type.

    Returns:
        Whether guards on comparisons can exclude them; if not, the operands must be pinned.
    """
    if op is ops.div:
        return isinstance(result, np.floating) or bool(operands[1] != 0)
    if op is not ops.pow:
        return True
    base, exponent = operands
    if not is_traced(exponent) and float(exponent).is_integer():
        return bool(exponent >= 0) or bool(base != 0)
    return all(issubclass(kind, float) for kind in kinds) and bool(base > 0)


def _of_two(python: Callable[..., Any], op: Op, *, is_reflected: bool) -> Callable[..., Any]:
    """The method for `self op other`, or for `other op self`."""

    def method(self: TracedNumber, other: Any) -> Any:
        if IS_COMPENSATED and op is ops.add and is_sum(sys._getframe(1)):
            total = _sum_of_python(self, other)
            if total is not None:
                return total
        if isinstance(other, np.ndarray) and other.ndim:
            return python(other, boxed(self)) if is_reflected else python(boxed(self), other)
        if isinstance(other, Value):
            return NotImplemented  # its own operators take a traced number
        if not _is_number(other):
            return NotImplemented if is_reflected else python(self._pinned(), other)
        return _computed(python, op, *((other, self) if is_reflected else (self, other)))

    return method


def _is_number(x: Any) -> bool:
    return is_traced(x) or isinstance(x, (float, int, np.number, np.bool_))


def _pinning(function: Callable[..., Any], *, is_reflected: bool = False) -> Callable[..., Any]:
    """The method for a function of the number and at most one operand, which pins both."""

    def method(self: TracedNumber, *others: Any) -> Any:
        operands = [self._pinned(), *map(_plain_pinned, others)]
        return function(*(reversed(operands) if is_reflected else operands))

    return method


# ---- comparisons -----------------------------------------------------------------------------


def comparison_node(python: Callable[..., Any], x: Any, y: Any) -> Value:
    """The Value that is 1.0 where a comparison of two operands holds, and 0.0 elsewhere."""
    if python in (operator.gt, operator.ge):
        x, y = y, x
    if python in (operator.eq, operator.ne):
        both = [Value._apply(ops.le, [x, y]), Value._apply(ops.le, [y, x])]
        equal = Value._apply(ops.mul, both)
        return equal if python is operator.eq else Value._apply(ops.sub, [1.0, equal])
    return Value._apply(ops.lt if python in (operator.lt, operator.gt) else ops.le, [x, y])


def compared(python: Callable[..., Any], x: Any, y: Any) -> Any:
    """The truth of a comparison of two numbers, one of which is traced or a Value."""
    for number in (x, y):
        is_integer = isinstance(number, int) and not is_traced(number)
        if is_integer and abs(number) > _LARGEST_EXACT_INTEGER:
            return python(_plain_pinned(x), _plain_pinned(y))
    kinds = [x._kind if is_traced(x) else type(x) for x in (x, y)]
    has_numpy = any(issubclass(kind, np.generic) for kind in kinds) and Value not in kinds
    node = comparison_node(python, operand(x), operand(y))
    return TracedBool(node, np.bool_ if has_numpy else bool)


def _comparison(python: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def method(self: TracedNumber, other: Any) -> Any:
        if isinstance(other, np.ndarray) and other.ndim:
            return python(boxed(self), other)
        return compared(python, self, other) if _is_number(other) else NotImplemented

    return method


# ---- the classes -----------------------------------------------------------------------------


class TracedFloat(TracedNumber):
    """A float, or an integer, that may differ at the next call.

    Its kind is `float`, `int`, or a type of NumPy's numbers.
    """

    __slots__ = ()

    __hash__ = TracedNumber.__hash__

    def __bool__(self) -> bool:
        return bool(compared(operator.ne, self, 0.0))

    def __float__(self) -> float:
        current = _recorder()
        refusal = _refusal(sys._getframe(1)) if current.is_ieee else None
        current.pin(self._traced_node, refusal)
        return float(self._number())

    def __int__(self) -> int:
        return int(self._pinned())

    def __index__(self) -> int:
        if not issubclass(self._kind, (int, np.integer)):
            raise TypeError(f"{self._kind.__name__!r} object cannot be interpreted as an integer")
        return operator.index(self._pinned())

    def __pos__(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        """Attributes of the number's kind; methods of Values where it stands for one."""
        if name == "data" and _recorder().is_ieee:
            return _recorder().number_of(self._traced_node)
        op = ops.REGISTRY.get(name)
        if op is not None and hasattr(Value, name):
            if _recorder().is_ieee:
                return lambda *others: self._apply(op, (self, *others))
            if hasattr(np, name) and not _is_written_by_user(sys._getframe(1)):
                # NumPy calls the method for the elements of an array.
                return lambda: getattr(np, name)(np.float64(self._pinned()))
        if name.startswith("__") or not hasattr(self._kind, name):
            raise AttributeError(f"{self._kind.__name__!r} object has no attribute {name!r}")
        return getattr(self._pinned(), name)


class CompensatedSum(TracedFloat):
    """A sum that the built-in `sum` is computing, see `frontend/compensated_sum.py`.

    Args:
        total: the sum so far.
        compensation: the sum of its rounding errors.
    """

    __slots__ = ("compensation", "total")

    def __init__(self, total: Any, compensation: Any) -> None:
        super().__init__(finished(total, compensation), float)
        self.total = total
        self.compensation = compensation


def _sum_of_python(total: TracedNumber, x: Any) -> CompensatedSum | None:
    """What `sum` computes of its total and a number; None if it does not compensate.

    At the first number the arguments come in the other order, and the total is the start.
    """
    if _recorder().is_ieee:
        return None
    if isinstance(total, CompensatedSum):
        if type(x) is float or (is_traced(x) and x._kind is float):
            return CompensatedSum(*next_sum(total.total, total.compensation, operand(x)))
        if isinstance(x, (int, TracedNumber)):
            return CompensatedSum(ops.add(total.total, operand(x)), total.compensation)
        return None
    if type(x) not in (int, float) or total._kind is not float:
        return None
    if type(x) is int:
        return CompensatedSum(ops.add(float(x), total._traced_node), 0.0)
    return CompensatedSum(*next_sum(x, 0.0, total._traced_node))


def _refusal(frame: FrameType) -> NumberError | None:
    """The error of a function of `math`, for a number that is differentiated by."""
    try:
        refuse_math_function(frame)
    except NumberError as error:
        return error
    return None


def _is_written_by_user(frame: FrameType) -> bool:
    """Whether the instruction of a frame is itself the access of an attribute."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] in ("LOAD_ATTR", "LOAD_METHOD")


class TracedBool(TracedNumber):
    """The truth of a comparison, which may differ at the next call."""

    __slots__ = ()

    __hash__ = TracedNumber.__hash__

    def _pinned(self) -> Any:
        _recorder().require(self._traced_node)
        return self._number()

    def __bool__(self) -> bool:
        return bool(self._pinned())

    def __int__(self) -> int:
        return int(self._pinned())

    def __index__(self) -> int:
        return operator.index(self._pinned())

    def __pos__(self) -> Any:
        return +self._pinned()

    def __getattr__(self, name: str) -> Any:
        """Attributes of truths, such as `real`."""
        if name.startswith("__") or not hasattr(self._kind, name):
            raise AttributeError(f"{self._kind.__name__!r} object has no attribute {name!r}")
        return getattr(self._pinned(), name)

    def __float__(self) -> float:
        return float(self._pinned())


_ARITHMETIC = (
    ("add", ops.add, np.add), ("sub", ops.sub, np.subtract), ("mul", ops.mul, np.multiply),
    ("truediv", ops.div, np.true_divide), ("pow", ops.pow, np.power),
)  # fmt: skip

_PINNING_TWO: dict[str, Callable[..., Any]] = {
    "floordiv": operator.floordiv, "mod": operator.mod, "divmod": divmod, "and": operator.and_,
    "or": operator.or_, "xor": operator.xor, "lshift": operator.lshift, "rshift": operator.rshift,
}  # fmt: skip
_PINNING_ONE: dict[str, Callable[..., Any]] = {
    "invert": operator.invert, "floor": math.floor, "ceil": math.ceil,
}  # fmt: skip
"""Operations that are no arithmetic which a trace records."""

_OF_UFUNC: dict[Any, Callable[..., Any]] = {
    np.negative: partial(_computed, operator.neg, ops.neg),
    np.absolute: partial(_computed, operator.abs, ops.abs),
    np.less: partial(compared, operator.lt),
    np.less_equal: partial(compared, operator.le),
    np.greater: partial(compared, operator.gt),
    np.greater_equal: partial(compared, operator.ge),
    np.equal: partial(compared, operator.eq),
    np.not_equal: partial(compared, operator.ne),
}
"""What NumPy's functions do with two numbers, at least one of which is traced."""


def _define_operators() -> None:
    for name, op, ufunc in _ARITHMETIC:
        python = getattr(operator, name)
        _OF_UFUNC[ufunc] = partial(_computed, python, op)
        for kind in (TracedFloat, TracedBool):
            setattr(kind, f"__{name}__", _of_two(python, op, is_reflected=False))
            setattr(kind, f"__r{name}__", _of_two(python, op, is_reflected=True))
    for kind in (TracedFloat, TracedBool):
        for name in ("lt", "le", "gt", "ge", "eq", "ne"):
            setattr(kind, f"__{name}__", _comparison(getattr(operator, name)))
        for name, of_two in _PINNING_TWO.items():
            setattr(kind, f"__{name}__", _pinning(of_two))
            setattr(kind, f"__r{name}__", _pinning(of_two, is_reflected=True))
        for name, of_one in _PINNING_ONE.items():
            setattr(kind, f"__{name}__", _pinning(of_one))


_define_operators()
