"""Custom nodes: nodes whose operands, derivatives or operators a program defines itself.

Programs for other classes of Values use them: `Value(data, operands, local_grads)`, assignments to
`v._prev`, and subclasses that redefine an operator by which other operators are computed.

Start reading at `define`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from talweg import ops
from talweg.autodiff import ieee
from talweg.autodiff.backward import custom_step, no_step, slopes_step, step_for
from talweg.autodiff.node_copies import copied
from talweg.autodiff.operation import LEAF, custom_record, to_float
from talweg.autodiff.tracing import plain_number, recorder
from talweg.errors import NumberError, ShapeError

Node = Any


def define(
    node: Node, operands: tuple[Any, ...], op: str | Sequence[Any], slopes: Sequence[Any]
) -> None:
    """Make a new leaf the result of an operation that the user defines.

    Args:
        node: the leaf.
        operands: the operands, in order.
        op: the symbol of the operation; or the derivatives, if they stand in its place.
        slopes: the derivative by each operand; none if there will be a `_backward`.

    Raises:
        ShapeError: if there is not one derivative for each operand.
        NumberError: if one of them is not a number.
    """
    symbol, slopes = (op, slopes) if isinstance(op, str) else ("local_grads", op)
    node._operands = operands
    node._record = custom_record(symbol)
    node._step = custom_step
    if len(slopes):
        if len(slopes) != len(operands):
            raise ShapeError(
                f"Value({node._data!r}) is given {len(operands)} operands and {len(slopes)} local "
                "gradients; expected the derivative by each operand"
            )
        node._slopes = tuple([_slope(x) for x in slopes])
        node._step = slopes_step


def _slope(x: Any) -> float:
    if hasattr(x, "_record"):
        raise NumberError(f"a local gradient is a number, got {x!r}; give its bare number: v.data")
    return to_float(x)


def set_children(node: Node, children: tuple[Any, ...]) -> None:
    """Assign `_prev`: cut the links to operands that are left out, or name the operands.

    Args:
        node: the node.
        children: the operands from then on, in order.
    """
    node._shown = None
    if not children:
        _forget(node)
        return
    own = node._operands
    kept = tuple([x if x in children or type(x) is float else plain_number(x) for x in own])
    derivatives = node._record.derivatives
    if derivatives and {x for x in kept if type(x) is not float} == {*children}:
        node._operands = kept
        node._step = step_for(node._record, tuple([type(x) is float for x in kept]))
        node._shown = tuple([x for x in kept if type(x) is not float])
    elif node._step is slopes_step and {*children} <= {*own}:
        pairs = [(x, slope) for x, slope in zip(own, node._slopes, strict=True) if x in children]
        node._operands = tuple([x for x, _ in pairs])
        node._slopes = tuple([slope for _, slope in pairs])
    else:
        node._operands, node._record = children, custom_record(node._record.symbol)
        node._step = custom_step


def _forget(node: Node) -> None:
    """Make a node a leaf with its number; in a trace, which computes the number, a detached one."""
    if recorder() is None or node._x is None:
        node._operands, node._record, node._step = (), LEAF, no_step
    else:
        computed = copied(node)
        computed._serial = node._serial - 0.5  # it comes before
        node._operands, node._record = (computed,), ops.detach
        node._step = step_for(ops.detach, (False,))
    node._closure = None


# ---- subclasses -------------------------------------------------------------------------------


def _divided(self: Any, other: Any) -> Any:
    inverse = other**-1 if hasattr(other, "_apply") else ieee.div(1.0, to_float(other))
    return self * inverse


_DERIVED: dict[str, tuple[set[str], Callable[..., Any]]] = {
    "__radd__": ({"__add__"}, lambda self, other: self + other),
    "__rmul__": ({"__mul__"}, lambda self, other: self * other),
    "__neg__": ({"__mul__"}, lambda self: self * -1.0),
    "__sub__": ({"__add__"}, lambda self, other: self + (-other)),
    "__rsub__": ({"__add__", "__sub__"}, lambda self, other: (-self) + other),
    "__truediv__": ({"__mul__", "__pow__"}, _divided),
    "__rtruediv__": ({"__mul__", "__pow__"}, lambda self, other: self**-1 * other),
}
"""Operators that other classes compute by others: which those are, and how.

A subclass that redefines `__mul__` redefines with it what those classes compute by `__mul__`."""


def derive_operators(cls: type[Any], base: type[Any]) -> None:
    """Give a subclass of `base` the operators that follow from those that it defines."""
    own = {name for c in cls.__mro__ if c is not base for name in vars(c)}
    own -= set(vars(object))
    for name, (sources, method) in _DERIVED.items():
        if name not in own and sources & own:
            setattr(cls, name, method)
