"""Derivatives as Values, which can be differentiated again.

`gradients` walks the graph as `backward()` does, and evaluates the derivatives of the operations
on Values instead of floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talweg import ops
from talweg.autodiff.backward import inner_nodes
from talweg.autodiff.operation import Rule
from talweg.autodiff.selection import keeps_minus_zero, passes
from talweg.autodiff.tracing import is_tracing
from talweg.errors import NumberError, OperationError
from talweg.value import Value


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
    nodes = inner_nodes(output)
    is_conditional = is_tracing() and any(node._record.selects for node in nodes)
    guards = _Guards(output, nodes, inputs) if is_conditional else None
    by_node: dict[Value, Any] = {output: 1.0}
    for node in nodes:
        rules = _rules_of(node)
        if node not in by_node:
            continue  # a derivative passes neither through a comparison nor through `detach`
        g = by_node[node]
        for j, (x, rule) in enumerate(zip(node._operands, rules, strict=True)):
            if not isinstance(x, Value) or not passes(node._record, j):
                continue
            contribution = rule(g, *node._operands, node)
            if guards:
                contribution = guards.guarded(contribution, node, j)
            by_node[x] = by_node[x] + contribution if x in by_node else contribution
    found = [by_node.get(x, 0.0) for x in inputs]
    if guards:
        found = [guards.or_zero(g, x) for g, x in zip(found, inputs, strict=True)]
    return [_as_value(g) for g in found]


def _rules_of(node: Value) -> tuple[Rule, ...]:
    """The derivatives of an operation, which can be differentiated again."""
    rules = node._record.higher
    if node._record.name == "compiled":
        raise OperationError(
            f"{node._op} was compiled, and the result of a compiled function has no second "
            "derivative; call tw.hessian, tw.hvp or tw.gradients inside the function"
        )
    if not rules:
        raise OperationError(
            f"the operation {node._op!r} has a _backward of its own, which has no second "
            "derivative; declare it with tw.ops.register"
        )
    return rules


class _Guards:
    """The conditions under which a derivative reaches the nodes of a traced program.

    A contribution that does not pass is -0.0, the number that changes no sum: -0.0 + x is x for
    every x, while 0.0 + -0.0 is 0.0. So sums have the bits of the eager engine, where what does not
    pass is not added. See `autodiff/selection.py` for the nodes that need a condition.

    Args:
        output: the result that is differentiated.
        nodes: the nodes that it depends on, youngest first.
        inputs: the numbers by which it is differentiated.
    """

    def __init__(self, output: Value, nodes: Sequence[Value], inputs: Sequence[Value]) -> None:
        self._condition: dict[Value, Any] = {}
        unconditional = {output}
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


def _as_value(x: Value | float) -> Value:
    return x if isinstance(x, Value) else Value(x)
