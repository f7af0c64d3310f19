"""Walking a graph of Values backward: the order, the chain rule, and two common mistakes.

Works on anything that has the attributes of a `talweg.value.Value`, which is built on
this file. Start reading at `backward`.
"""

from __future__ import annotations

import operator
import warnings
from typing import TYPE_CHECKING

from talweg.errors import GradientWarning, NumberError
from talweg.ops import CONSTANT, LEAF

if TYPE_CHECKING:
    from talweg.value import Value

by_serial = operator.attrgetter("_serial")
"""The sorting key that puts nodes in order of creation."""


def backward(root: Value) -> None:
    """Add the derivative of `root` to the `grad` of everything it was computed from.

    See `Value.backward`, which is this function.
    """
    nodes = inner_nodes(root)
    refuse_nested(root, *_first_parameters(nodes))
    _warn_if_not_zeroed(nodes)
    if not nodes:
        root.grad += 1.0
        return
    for node in nodes:
        node.grad = 0.0
    root.grad = 1.0
    # `push_to_operands` written out for two operands: this loop is half of a training step.
    for node in nodes:
        rules = node._record.derivatives
        if len(rules) == 2:
            x, y = node._operands
            dx, dy = rules
            if x._record is not CONSTANT:
                x.grad += dx(node.grad, x.data, y.data, node.data)
            if y._record is not CONSTANT:
                y.grad += dy(node.grad, x.data, y.data, node.data)
        else:
            push_to_operands(node)
    _remember_gradients(nodes)


def inner_nodes(root: Value) -> list[Value]:
    """The nodes with operands that the root depends on, itself included, youngest first."""
    if not root._operands:
        return []
    nodes = []
    seen = {root}  # only asked, never iterated: its order would be that of addresses
    stack = [root]
    while stack:
        node = stack.pop()
        nodes.append(node)
        for x in node._operands:
            if x._operands and x not in seen:
                seen.add(x)
                stack.append(x)
    # The stack takes the last operand first, so most programs arrive here sorted already.
    nodes.sort(key=by_serial, reverse=True)
    return nodes


def push_to_operands(node: Value) -> None:
    """Add this node's share to the `grad` of each operand."""
    operands = node._operands
    rules = node._record.derivatives
    if rules:
        numbers = [x.data for x in operands]
        for x, rule in zip(operands, rules, strict=True):
            if x._record is not CONSTANT:
                x.grad += rule(node.grad, *numbers, node.data)
    elif operands:
        _run_closure(node)


def _run_closure(node: Value) -> None:
    """Go backward through a user's own operation, which did it in `out._backward`."""
    try:
        step = node._closure
    except AttributeError:
        warnings.warn(
            f"nothing flows back through the operation {node._op!r}: it has operands but no "
            "derivative; set out._backward, or declare it with tw.ops.register",
            GradientWarning,
            stacklevel=5,
        )
    else:
        step()


# ---- misuse that would otherwise be silent ------------------------------------------------


def refuse_nested(*nodes: Value) -> None:
    """`p.data -= lr * p` (for `p.grad`) makes a Value whose data is a Value."""
    for node in nodes:
        if hasattr(type(node.data), "_apply"):
            raise NumberError(
                "the data of this Value is itself a Value: `.data` was assigned a Value, as in "
                "`p.data -= lr * p`; assign a number, as in `p.data -= lr * p.grad`"
            )


def _first_parameters(nodes: list[Value]) -> list[Value]:
    """The leaves that the oldest nodes read: witnesses for all parameters of a program."""
    return [x for node in nodes[-2:] for x in node._operands if x._record is LEAF]


def _remember_gradients(nodes: list[Value]) -> None:
    for x in _first_parameters(nodes):
        x._after_backward = (x.data, x.grad)


def _warn_if_not_zeroed(nodes: list[Value]) -> None:
    """The commonest bug of hand-written loops: update, then backward() on old gradients.

    It shows in a leaf whose data has changed since the last `backward()` while its
    gradient has not. Summing gradients over several samples before an update does not.
    """
    for x in _first_parameters(nodes):
        data, grad = getattr(x, "_after_backward", (x.data, 0.0))
        if x.grad == grad != 0.0 and x.data != data:
            warnings.warn(
                "a parameter was updated, but its gradient was not set to zero before this "
                "backward(), so it will be the sum of several steps; set p.grad = 0.0 for every "
                "parameter (or call model.zero_grad()) before backward()",
                GradientWarning,
                stacklevel=4,
            )
            return
