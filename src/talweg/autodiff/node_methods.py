"""The operators of `Value`, made from source text.

Each operator does what `Value._apply` does, without calling it. Operators are the inner loop of
every eager program: one more call costs a tenth of a training step. The operators differ only in
the expression on floats, so this file has one template of their text. For `mul` it gives:

    def method(self, other):
        if type(other) is float:
            ...
        elif type(other) is Value or isinstance(other, Value):
            node = new(Value)
            y = other._data
            node._step = step
        elif ...                                   # other is another number
        else:
            return with_other(op, self, other, False)
        x = self._data
        node._data = x * y
        ...

Start reading at `Methods`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from talweg.autodiff.backward import next_serial, step_for
from talweg.autodiff.operation import Op

_EXPRESSIONS = {
    "add": "x + y",
    "sub": "x - y",
    "mul": "x * y",
    "div": "x / y",
    "pow": "math_pow(x, y)",
    "neg": "-x",
    "exp": "math_exp(x)",
    "log": "math_log(x)",
    "sqrt": "math_sqrt(x)",
    "relu": "0.0 if x <= 0.0 else x",
    "abs": "x if x > 0.0 else value(x)",
}
"""Expressions for `Op.value` that may raise where `value` does not; `value` is called then."""

_MAKE = """
    node.grad = 0.0
    node._walk = None
    node._record = op
    node._serial = next_serial()
    return node
"""

_DATA = """
    try:
        node._data = {expression}
    except (ArithmeticError, ValueError):
        node._data = value({arguments})
"""

_UNARY = """
def method(self):
    node = new(Value)
    x = self._data
    {data}
    node._step = step
    node._x = self
    node._y = None
    {make}
"""

_BINARY = """
def method(self, other):
    if type(other) is float:
        node = new(Value)
        y = other
        node._step = step_with_float
    elif type(other) is Value or isinstance(other, Value):
        node = new(Value)
        y = other._data
        node._step = step
    elif type(other) in number_types:
        try:
            y = other = float(other)
        except OverflowError:
            return with_other(op, self, other, False)
        node = new(Value)
        node._step = step_with_float
    else:
        return with_other(op, self, other, False)
    x = self._data
    {data}
    node._x = self
    node._y = other
    {make}
"""

_REFLECTED = """
def method(self, other):
    if type(other) is not float:
        if type(other) not in number_types:
            return with_other(op, self, other, True)
        try:
            other = float(other)
        except OverflowError:
            return with_other(op, self, other, True)
    {check}
    node = new(Value)
    x, y = other, self._data
    {data}
    node._step = step
    node._x = other
    node._y = self
    {make}
"""

_CHECK = """
    if Value.{forward} is not forward:  # the program has put another method into the class
        return self {symbol} other
"""


class Methods:
    """Makes the operators of a class of nodes.

    Args:
        with_other: does the operation on a node and an operand of any other type:
            (op, node, other, whether other is the first operand) -> the result.

    Attributes:
        names: the globals of the methods. The class itself must be put there as "Value".
        number_types: the types, beside float, of which `float` makes the operand.
    """

    def __init__(self, with_other: Callable[[Op, Any, Any, bool], Any]) -> None:
        self.number_types: set[type] = {bool, int}
        self.names: dict[str, Any] = {
            "number_types": self.number_types,
            "math_exp": math.exp,
            "math_log": math.log,
            "math_pow": math.pow,
            "math_sqrt": math.sqrt,
            "new": object.__new__,
            "next_serial": next_serial,
            "with_other": with_other,
        }

    def unary(self, op: Op) -> Any:
        """The method for `op(self)`."""
        return self._method(_UNARY, op, op.name, step=step_for(op, (False,)))

    def binary(self, op: Op) -> Any:
        """The method for `self op other`."""
        return self._method(
            _BINARY,
            op,
            op.name,
            step=step_for(op, (False, False)),
            step_with_float=step_for(op, (False, True)),
        )

    def reflected(self, op: Op, forward: Any = None) -> Any:
        """The method for `other op self`, where other is a bare number.

        Args:
            op: the operation.
            forward: for an operation that commutes, the method for `self op other`. If the
                program has replaced it in the class, it is called, as in the class of the lesson.
        """
        check = ""
        if forward is not None:
            name = f"__{op.name}__"
            check = _CHECK.format(forward=name, symbol=op.symbol)
        return self._method(
            _REFLECTED, op, f"r{op.name}", check, step=step_for(op, (True, False)), forward=forward
        )

    def _method(self, text: str, op: Op, name: str, check: str = "", **own: Any) -> Any:
        arguments = "x" if op.arity == 1 else "x, y"
        expression = _EXPRESSIONS.get(op.name)
        data = f"node._data = value({arguments})"
        if expression is not None:
            data = _DATA.format(expression=expression, arguments=arguments).strip()
        own |= {"op": op, "value": op.value}
        body = text.format(data=data, make=_MAKE.strip(), check=check.strip())
        indented = body.strip().replace("\n", "\n    ")
        source = f"def make({', '.join(own)}):\n    {indented}\n    return method\n"
        scope: dict[str, Any] = {}
        exec(compile(source, f"<the method {name} of Value>", "exec"), self.names, scope)
        method = scope["make"](**own)
        method.__name__ = name
        method.__qualname__ = f"Value.{name}"
        method.__doc__ = op.doc
        return method
