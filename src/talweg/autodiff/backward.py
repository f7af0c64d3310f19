"""Walking a graph of Values backward: the order, the chain rule, and two common mistakes.

Works on anything that has the attributes of a `talweg.value.Value`, which is built on
this file. Start reading at `backward`, then `step_for`, which makes the function that
goes backward through one node.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from talweg.autodiff.operation import EQUATION_NAMES, LEAF, OPERANDS, Op
from talweg.errors import GradientWarning, NumberError

if TYPE_CHECKING:
    from talweg.value import Value

by_serial = operator.attrgetter("_serial")
"""The sorting key that puts nodes in order of creation."""


def backward(root: Value) -> None:
    """Add the derivative of `root` to the `grad` of everything it was computed from.

    See `Value.backward`, which is this function.
    """
    nodes = inner_nodes(root)
    witnesses = _oldest_parameters(nodes)
    _refuse_nested(root, *witnesses)
    _warn_if_not_zeroed(witnesses)
    if not nodes:
        root.grad += 1.0
        return
    for node in nodes:
        node.grad = 0.0
    root.grad = 1.0
    for node in nodes:
        node._step(node)
    for x in witnesses:
        x._after_backward = (x.data, x.grad)


def inner_nodes(root: Value) -> list[Value]:
    """The nodes with operands that the root depends on, itself included, youngest first."""
    if not root._operands:
        return []
    nodes: list[Value] = []
    walk = object()  # a mark on the nodes that this walk has reached: cheaper than a set
    root._walk = walk
    stack = [root]
    while stack:
        node = stack.pop()
        nodes.append(node)
        operands: tuple[Any, ...] = node._operands  # mypy does not see what `type(x) is` excludes
        for x in operands:
            if type(x) is not float and x._operands and x._walk is not walk:
                x._walk = walk
                stack.append(x)
    # The stack takes the last operand first, so most programs arrive here sorted already.
    nodes.sort(key=by_serial, reverse=True)
    return nodes


# ---- one node -----------------------------------------------------------------------------


@cache
def step_for(op: Op, bare: tuple[bool, ...]) -> Callable[[Value], None]:
    """The function that adds a node's share to the `grad` of each of its operands.

    Args:
        op: the operation that made the node.
        bare: for each operand, whether it is a bare float, which has no `grad`.

    It is the operation's equations written out as one Python function, because a call for
    each operand makes the backward pass a sixth slower. For `mul` on two Values:

        def step(node):
            a, b = node._operands
            g = node.grad
            x = a.data
            y = b.data
            a.grad += g * y
            b.grad += g * x
    """
    lines = [f"{', '.join('abc'[: op.arity])}, = node._operands", "g = node.grad"]
    shares = [
        f"{operand}.grad += {equation}"
        for operand, equation, is_bare in zip("abc", op.equations, bare, strict=False)
        if not is_bare
    ]
    used = {n.id for n in ast.walk(ast.parse("\n".join(shares))) if isinstance(n, ast.Name)}
    for operand, name, is_bare in zip("abc", OPERANDS, bare, strict=False):
        if name in used:
            lines.append(f"{name} = {operand}" if is_bare else f"{name} = {operand}.data")
    if "out" in used:
        lines.append("out = node.data")
    source = "def step(node):\n    " + "\n    ".join(lines + shares)
    names: dict[str, Any] = {**EQUATION_NAMES, "derivatives": op.derivatives}
    exec(compile(source, f"<backward step of {op.name}>", "exec"), names)
    step: Callable[[Value], None] = names["step"]
    return step


def custom_step(node: Value) -> None:
    """Go backward through a user's own operation, which did it in `out._backward`."""
    try:
        step = node._closure
    except AttributeError:
        warnings.warn(
            f"nothing flows back through the operation {node._op!r}: it has operands but no "
            "derivative; set out._backward, or declare it with tw.ops.register",
            GradientWarning,
            stacklevel=4,
        )
    else:
        step()


def no_step(leaf: Value) -> None:
    """Nothing lies behind a leaf."""


# ---- misuse that would otherwise be silent ------------------------------------------------


def _oldest_parameters(nodes: list[Value]) -> list[Value]:
    """The leaves that the two oldest nodes read: witnesses for all parameters of a program."""
    operands = [x for node in nodes[-2:] for x in node._operands[:3] if not isinstance(x, float)]
    return [x for x in operands if x._record is LEAF]


def _refuse_nested(*nodes: Value) -> None:
    """`p.data -= lr * p` (for `p.grad`) makes a Value whose data is a Value."""
    for node in nodes:
        if type(node.data) is not float and hasattr(type(node.data), "_apply"):
            raise NumberError(
                "the data of this Value is itself a Value: `.data` was assigned a Value, as in "
                "`p.data -= lr * p`; assign a number, as in `p.data -= lr * p.grad`"
            )


def _warn_if_not_zeroed(witnesses: list[Value]) -> None:
    """The commonest bug of hand-written loops: update, then backward() on old gradients.

    It shows in a leaf whose data has changed since the last `backward()` while its
    gradient has not. Summing gradients over several samples before an update does not.
    """
    is_changed = False
    for x in witnesses:
        try:
            data, grad = x._after_backward
        except AttributeError:
            continue
        # One is enough: an input kept in a Value is given new data and need never be zeroed.
        if not x.grad == grad != 0.0:
            return
        is_changed = is_changed or x.data != data
    if is_changed:
        warnings.warn(
            "a parameter was updated, but its gradient was not set to zero before this "
            "backward(), so it will be the sum of several steps; set p.grad = 0.0 for every "
            "parameter (or call model.zero_grad()) before backward()",
            GradientWarning,
            stacklevel=4,
        )
