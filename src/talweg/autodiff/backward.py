"""The backward pass through a graph of Values: its order, the chain rule, two common mistakes.

`talweg.value.Value` is built on this file, which knows of it only the attributes in `Node`. Start
reading at `backward`, then `step_for`, which makes the function of a single node.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

from talweg.autodiff.operation import EQUATION_NAMES, LEAF, OPERANDS, Op
from talweg.errors import GradientWarning


class Node(Protocol):
    """A node of a graph; `talweg.value.Value` describes the attributes."""

    grad: float
    _data: float
    _record: Op
    _operands: tuple[Any, ...]
    _step: Callable[[Any], None]
    _closure: Callable[[], None]
    _walk: object
    _after_backward: tuple[float, float]


AnyNode = TypeVar("AnyNode", bound=Node)

by_serial = operator.attrgetter("_serial")
"""The sorting key for the order of creation."""


def backward(root: Node) -> None:
    """Compute the derivative of `root` with respect to every Value that it depends on.

    `Value.backward` is this function.
    """
    nodes = inner_nodes(root)
    samples = _oldest_parameters(nodes)
    _warn_if_not_zeroed(samples)
    if not nodes:
        root.grad += 1.0
        return
    for node in nodes:
        node.grad = 0.0
    root.grad = 1.0
    for node in nodes:
        node._step(node)
    for x in samples:
        x._after_backward = (x._data, x.grad)


def inner_nodes(root: AnyNode) -> list[AnyNode]:
    """The nodes with operands that the root depends on and the root, youngest first."""
    if not root._operands:
        return []
    nodes: list[AnyNode] = []
    walk = object()  # a mark on the nodes that this walk has reached: cheaper than a set
    root._walk = walk
    stack = [root]
    while stack:
        node = stack.pop()
        nodes.append(node)
        for x in node._operands:
            if type(x) is not float and x._operands and x._walk is not walk:
                x._walk = walk
                stack.append(x)
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
            a, b = node._operands
            g = node.grad
            x = a._data
            y = b._data
            a.grad += g * y
            b.grad += g * x
    """
    lines = [f"{', '.join('abc'[: op.arity])}, = node._operands", "g = node.grad"]
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
    try:
        step = node._closure
    except AttributeError:
        warnings.warn(
            f"no gradient passes the operation {node._record.symbol!r}: it has operands but no "
            "derivative; set out._backward, or declare it with tw.ops.register",
            GradientWarning,
            stacklevel=4,
        )
    else:
        step()


def no_step(leaf: Node) -> None:
    """Do nothing: a leaf has no operands."""


# ---- misuse without an error of its own ---------------------------------------------------


def _oldest_parameters(nodes: Sequence[Node]) -> list[Node]:
    """The leaves that the two oldest nodes read, as samples of the parameters of a program."""
    operands = [x for node in nodes[-2:] for x in node._operands[:3] if not isinstance(x, float)]
    return [x for x in operands if x._record is LEAF]


def _warn_if_not_zeroed(samples: list[Node]) -> None:
    """Warn of an update without `zero_grad`, the commonest mistake in hand-written loops.

    The sign is a leaf whose data has changed since the last `backward()`, but whose gradient has
    not. Gradients summed over several samples before an update do not have it.
    """
    is_changed = False
    for x in samples:
        try:
            data, grad = x._after_backward
        except AttributeError:
            continue
        # One leaf with a new gradient is enough for silence: inputs may be Values too, which are
        # given new data and need not be zeroed.
        if not x.grad == grad != 0.0:
            return
        is_changed = is_changed or x._data != data
    if is_changed:
        warnings.warn(
            "a parameter was updated, but its gradient was not set to zero before this "
            "backward(), so it will be the sum of several steps; set p.grad = 0.0 for every "
            "parameter (or call model.zero_grad()) before backward()",
            GradientWarning,
            stacklevel=4,
        )
