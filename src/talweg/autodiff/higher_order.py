"""Derivatives as Values, which can be differentiated again.

`gradients` walks the graph as `backward()` does, and evaluates the derivatives of the operations
on Values instead of floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talweg.autodiff.backward import inner_nodes
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
    by_node: dict[Value, Any] = {output: 1.0}
    for node in inner_nodes(output):
        rules = node._record.derivatives
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
        g = by_node.get(node, 0.0)
        for x, rule in zip(node._operands, rules, strict=True):
            if isinstance(x, Value):
                contribution = rule(g, *node._operands, node)
                by_node[x] = by_node[x] + contribution if x in by_node else contribution
    return [_as_value(by_node.get(x, 0.0)) for x in inputs]


def _as_value(x: Value | float) -> Value:
    return x if isinstance(x, Value) else Value(x)
