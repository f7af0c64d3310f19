"""The backward pass through a graph of Values: its order and the chain rule.

`talweg.value.Value` uses this file. Of a Value, this file uses only the attributes in `Node`.

Start reading at `backward`, then `step_for`, which makes the function of a single node.
"""

from __future__ import annotations

import ast
import operator
import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count
from typing import Any, Final, Protocol, TypeVar

from talweg import ops
from talweg.autodiff import zero_grad_check
from talweg.autodiff.operation import EQUATION_NAMES, OPERANDS, Op
from talweg.autodiff.tracing import is_tracing
from talweg.errors import GradientWarning, NumberError, TraceError


class Node(Protocol):
    """A node of a graph; `talweg.value.Value` describes the attributes."""

    grad: float
    _data: float
    _record: Op
    _x: Any
    _y: Any
    _step: Callable[[Any], None]
    _closure: Callable[[], None] | None
    _slopes: tuple[float, ...]
    _walk: object

    @property
    def _operands(self) -> tuple[Any, ...]: ...


AnyNode = TypeVar("AnyNode", bound=Node)

next_serial = count().__next__
"""The next number in the order of creation."""

by_serial = operator.attrgetter("_serial")
"""The sorting key for the order of creation."""

hooked_leaves: weakref.WeakSet[Any] = weakref.WeakSet()
"""Leaves with a `_backward` of the user's own. It is called, and they accumulate all the same."""

ALL_IN_X: Final = object()
"""The `_y` of a node with more than two operands: `_x` is the tuple of all of them."""


def backward(root: Node) -> None:
    """Compute the derivative of `root` with respect to every Value that it depends on.

    `Value.backward` is this function.

    Raises:
        TraceError: while a function is traced, because gradients are no part of a trace.
    """
    if is_tracing():
        raise TraceError(
            "a function that is compiled calls backward(); compute gradients by tw.grad(f) inside, "
            "or call backward() on the result, outside"
        )
    nodes = inner_nodes(root)
    if not nodes:
        root.grad += 1.0
        return
    watched = zero_grad_check.before(nodes)
    accumulated = []
    if hooked_leaves:
        accumulated = [(node, node.grad) for node in nodes if node in hooked_leaves]
    for node in nodes:
        node.grad = 0.0
    for node, grad in accumulated:
        node.grad = grad
    root.grad = 1.0
    try:
        _propagate(nodes)
    except NumberError:
        raise
    except TypeError:
        _refuse_other_gradients(nodes)
        raise
    zero_grad_check.after(nodes, watched)


def _propagate(nodes: Sequence[Node]) -> None:
    """Let each node add its contributions to the gradients of its operands."""
    for node in nodes:
        # What the steps of `add` and `mul` do, without a call: most nodes are one of these.
        step = node._step
        if step is _add_step:
            g = node.grad
            node._x.grad += g
            node._y.grad += g
        elif step is _mul_step:
            a, b, g = node._x, node._y, node.grad
            x, y = a._data, b._data
            a.grad += g * y
            b.grad += g * x
        else:
            step(node)


def _refuse_other_gradients(nodes: Sequence[Node]) -> None:
    """Raise an error if a gradient is not a number."""
    for node in nodes:
        for x in node._operands:
            if type(x) is not float and not hasattr(x.grad, "__float__"):
                raise NumberError(
                    f"the gradient of a Value with data {x._data!r} is {x.grad!r}, and backward() "
                    "cannot add to it; set it to 0.0 before backward()"
                ) from None


def inner_nodes(root: AnyNode) -> list[AnyNode]:
    """The nodes with operands that the root depends on and the root, youngest first."""
    if root._x is None:
        return []
    nodes: list[AnyNode] = []
    walk = object()  # a mark on the nodes that this walk has reached: cheaper than a set
    root._walk = walk
    stack = [root]
    push, pop, reach = stack.append, stack.pop, nodes.append
    while stack:
        node = pop()
        reach(node)
        y = node._y
        if y is ALL_IN_X:
            for x in node._x:
                if type(x) is not float and x._walk is not walk and x._x is not None:
                    x._walk = walk
                    push(x)
            continue
        x = node._x
        if type(x) is not float and x._walk is not walk and x._x is not None:
            x._walk = walk
            push(x)
        if y is not None and type(y) is not float and y._walk is not walk and y._x is not None:
            y._walk = walk
            push(y)
    # The last operand is visited first, so the nodes of most programs are sorted already.
    nodes.sort(key=by_serial, reverse=True)
    return nodes


# ---- a single node ------------------------------------------------------------------------


@cache
def step_for(op: Op, bare: tuple[bool, ...]) -> Callable[[Node], None]:
    """The function that adds the contribution of a node to the `grad` of each operand.

    Args:
        op: the operation that made the node.
        bare: for each operand, whether it is a bare float, which has no `grad`.

    All equations of the operation are compiled into one Python function, because a call for each
    operand makes the backward pass a sixth slower. For `mul` on two Values:

        def step(node):
            a, b = node._x, node._y
            g = node.grad
            x = a._data
            y = b._data
            a.grad += g * y
            b.grad += g * x
    """
    operands = {1: "a = node._x", 2: "a, b = node._x, node._y", 3: "a, b, c = node._x"}
    lines = [operands[op.arity], "g = node.grad"]
    additions = [
        f"{operand}.grad += {equation}"
        for operand, equation, is_bare in zip("abc", op.equations, bare, strict=False)
        if not is_bare
    ]
    used = {n.id for n in ast.walk(ast.parse("\n".join(additions))) if isinstance(n, ast.Name)}
    for operand, name, is_bare in zip("abc", OPERANDS, bare, strict=False):
        if name in used:
            lines.append(f"{name} = {operand}" if is_bare else f"{name} = {operand}._data")
    if "out" in used:
        lines.append("out = node._data")
    source = "def step(node):\n    " + "\n    ".join(lines + additions)
    names: dict[str, Any] = {**EQUATION_NAMES, "derivatives": op.derivatives}
    exec(compile(source, f"<backward step of {op.name}>", "exec"), names)
    step: Callable[[Node], None] = names["step"]
    return step


def custom_step(node: Node) -> None:
    """Propagate through an operation defined by the user, by its `out._backward`."""
    step = node._closure
    if step is not None:
        step()
    else:
        warnings.warn(
            f"no gradient passes the operation {node._record.symbol!r}: it has operands but no "
            "derivative; set out._backward, or declare it with tw.ops.register",
            GradientWarning,
            stacklevel=5,
        )


def slopes_step(node: Node) -> None:
    """Propagate through a node that was made with its derivative by each operand."""
    g = node.grad
    for x, slope in zip(node._operands, node._slopes, strict=True):
        if type(x) is not float:
            x.grad += slope * g


def no_step(leaf: Node) -> None:
    """Do nothing: a leaf has no operands."""


_add_step = step_for(ops.add, (False, False))
_mul_step = step_for(ops.mul, (False, False))
