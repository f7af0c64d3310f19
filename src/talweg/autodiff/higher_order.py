"""Derivatives of a graph as Values (`tw.gradients`), which can be differentiated again.

`pulled_back` walks the graph as `backward()` does, and evaluates the derivatives of the operations
on Values instead of floats. `pushed_forward` walks it in the other direction: it computes the
derivatives along a direction.

Start reading at `gradients`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talweg import ops
from talweg.autodiff.backward import inner_nodes, no_step
from talweg.autodiff.operation import LEAF, Number, Rule
from talweg.autodiff.selection import keeps_minus_zero, passes
from talweg.autodiff.tracing import is_tracing
from talweg.errors import NumberError, OperationError
from talweg.value import Value, node_of


def gradients(output: Value, inputs: Sequence[Value]) -> list[Value]:
    """The derivatives of a Value with respect to others, as Values.

    Unlike `backward()` it changes no `grad`. The derivatives are results of operations on Values,
    so `gradients` of them are second derivatives.

    Args:
        output: the result to differentiate.
        inputs: the Values with respect to which it is differentiated.

    Returns:
        One Value for each input, 0.0 where the output does not depend on it.

    Raises:
        NumberError: if the output or an input is not a Value.
        OperationError: if a node of the graph has a `_backward` that you defined, which
            computes with floats; declare the operation with `tw.ops.register` instead.

    Example:
        >>> x = Value(2.0)
        >>> (slope,) = gradients(x**3, [x])
        >>> (curvature,) = gradients(slope, [x])
        >>> slope.data, curvature.data
        (12.0, 12.0)
    """
    if isinstance(inputs, Value):
        raise NumberError("gradients takes a list of inputs: gradients(y, [x])")
    for given in (output, *inputs):
        if not isinstance(given, Value):
            raise NumberError(f"gradients takes Values, got {type(given).__name__} {given!r}")
    return [_as_value(g) for g in pulled_back([output], [1.0], inputs)]


def pulled_back(
    outputs: Sequence[Value], cotangents: Sequence[Number], inputs: Sequence[Value]
) -> list[Number]:
    """The derivatives of the sum of cotangent times output, in reverse mode.

    Args:
        outputs: the results to differentiate.
        cotangents: one number for each of them, a Value or a float.
        inputs: the Values with respect to which they are differentiated.

    Returns:
        One number for each input, the float 0.0 where no output depends on it.

    >>> x = Value(2.0)
    >>> [g.data for g in pulled_back([x * x, x * 3.0], [1.0, 10.0], [x])]
    [34.0]
    """
    by_node: dict[Value, Number] = {}

    def add(x: Value, contribution: Number) -> None:
        by_node[x] = by_node[x] + contribution if x in by_node else contribution

    for output, cotangent in zip(outputs, cotangents, strict=True):
        add(output, cotangent)
    nodes = _nodes_behind(outputs)
    is_conditional = is_tracing() and any(node._record.selects for node in nodes)
    guards = _Guards(outputs, nodes, inputs) if is_conditional else None
    for node in nodes:
        g = by_node.get(node, 0.0)
        rules = _rules_of(node)
        if _is_zero(g):
            continue  # not 0.0 * slope: the slope may be infinite
        for j, (x, rule) in enumerate(zip(node._operands, rules, strict=True)):
            if not isinstance(x, Value) or not passes(node._record, j):
                continue
            contribution = rule(g, *node._operands, node)
            add(x, guards.guarded(contribution, node, j) if guards else contribution)
    found = [by_node.get(x, 0.0) for x in inputs]
    if guards:
        found = [guards.or_zero(g, x) for g, x in zip(found, inputs, strict=True)]
    return found


def pushed_forward(
    outputs: Sequence[Value], inputs: Sequence[Value], tangents: Sequence[Number]
) -> list[Number]:
    """The derivatives of the outputs along a direction, in forward mode.

    The derivative equation of an operand is linear in the number that it propagates. Given the
    tangent of the operand in place of the cotangent of the result, it is the operand's part of the
    tangent of the result.

    Args:
        outputs: the results to differentiate.
        inputs: the Values with respect to which they are differentiated.
        tangents: the direction, one number for each input, a Value or a float.

    Returns:
        For each output the sum of tangent times derivative by an input; the float 0.0 where it
        depends on no input.

    >>> x, y = Value(2.0), Value(5.0)
    >>> [float(t) for t in pushed_forward([x * y, x + y], [x, y], [1.0, 10.0])]
    [25.0, 11.0]
    """
    by_node: dict[Value, Number] = dict(zip(inputs, tangents, strict=True))
    for node in reversed(_nodes_behind(outputs)):
        if node in by_node:
            continue
        total: Number = 0.0
        for x, rule in zip(node._operands, _rules_of(node), strict=True):
            t = by_node.get(x, 0.0) if isinstance(x, Value) else 0.0
            if not _is_zero(t):
                part = rule(t, *node._operands, node)
                total = part if _is_zero(total) else total if _is_zero(part) else total + part
        if not _is_zero(total):
            by_node[node] = total
    return [by_node.get(x, 0.0) for x in outputs]


class _Guards:
    """The conditions under which a derivative reaches the nodes of a traced program.

    A contribution that does not pass is -0.0, the number that changes no sum: -0.0 + x is x for
    every x, while 0.0 + -0.0 is 0.0. So sums have the bits of the eager engine, where what does not
    pass is not added. See `autodiff/selection.py` for the nodes that need a condition.

    Args:
        outputs: the results that are differentiated.
        nodes: the nodes that they depend on, youngest first.
        inputs: the numbers by which it is differentiated.
    """

    def __init__(
        self, outputs: Sequence[Value], nodes: Sequence[Value], inputs: Sequence[Value]
    ) -> None:
        self._condition: dict[Value, Any] = {}
        unconditional = set(outputs)
        for node in nodes:
            if node in unconditional:
                unconditional.update(x for x, selector in _passed(node) if selector is None)
        self._guarded = {x for x in inputs if x not in unconditional}
        for node in reversed(nodes):
            record = node._record
            if node not in unconditional and any(
                x in self._guarded or not (record.selectors[j] or keeps_minus_zero(record, j))
                for j, x in enumerate(node._operands)
                if isinstance(x, Value) and passes(record, j)
            ):
                self._guarded.add(node)

    def guarded(self, contribution: Any, node: Value, operand: int) -> Any:
        """What a node adds to the derivative by an operand, -0.0 where nothing passes."""
        x: Any = node._operands[operand]
        selector = node._record.selectors[operand]
        selected = None if selector is None else selector(*node._operands)
        condition = self._condition.get(node)
        if selected is not None:
            contribution = ops.where(selected, contribution, -0.0)
        if condition is not None:
            contribution = ops.where(condition, contribution, -0.0)
        if x in self._guarded:
            both = selected if condition is None else condition
            if condition is not None and selected is not None:
                both = ops.where(selected, condition, 0.0)
            before = self._condition.get(x)
            self._condition[x] = both if before is None else ops.where(before, 1.0, both)
        return contribution

    def or_zero(self, derivative: Any, x: Value) -> Any:
        """The derivative by an input, 0.0 where none reaches it."""
        condition = self._condition.get(x)
        return derivative if condition is None else ops.where(condition, derivative, 0.0)


def _passed(node: Value) -> list[tuple[Value, Rule | None]]:
    """The operands to which a node passes a derivative, each with its selector."""
    record = node._record
    return [
        (x, record.selectors[j])
        for j, x in enumerate(node._operands)
        if isinstance(x, Value) and passes(record, j)
    ]


def _nodes_behind(outputs: Sequence[Value]) -> list[Value]:
    """The nodes with operands that the outputs depend on, youngest first."""
    if len(outputs) == 1:
        return inner_nodes(outputs[0])
    common = node_of(LEAF, no_step, tuple(outputs), 0.0)
    return inner_nodes(common)[1:]


def _rules_of(node: Value) -> Sequence[Rule]:
    """The derivative rules of the operation that made a node.

    Raises:
        OperationError: if it has none.
    """
    if node._record.name == "compiled":
        raise OperationError(
            f"{node._op} was compiled, and the result of a compiled function has no second "
            "derivative; call tw.hessian, tw.hvp or tw.gradients inside the function"
        )
    if not node._record.derivatives:
        raise OperationError(
            f"the operation {node._op!r} has a _backward of its own, which has no second "
            "derivative; declare it with tw.ops.register"
        )
    return node._record.higher


def _is_zero(x: Number) -> bool:
    """Whether a number is the constant 0.0, not a Value that happens to be 0.0."""
    return type(x) is float and x == 0.0


def _as_value(x: Number) -> Value:
    return x if isinstance(x, Value) else Value(x)
