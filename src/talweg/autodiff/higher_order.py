"""Derivatives as Values, which can be differentiated again.

`pulled_back` walks the graph as `backward()` does, and evaluates the derivatives of the operations
on Values instead of floats. `pushed_forward` walks it in the other direction: it computes the
derivatives along a direction. Start reading at `gradients`.
"""

from __future__ import annotations

from collections.abc import Sequence

from talweg.autodiff.backward import inner_nodes, no_step
from talweg.autodiff.operation import LEAF, Number, Rule
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
    for node in _nodes_behind(outputs):
        g = by_node.get(node, 0.0)
        if _is_zero(g):
            continue  # not 0.0 * slope: the slope may be infinite
        for x, rule in zip(node._operands, _rules_of(node), strict=True):
            if isinstance(x, Value):
                add(x, rule(g, *node._operands, node))
    return [by_node.get(x, 0.0) for x in inputs]


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
    return node._record.derivatives


def _is_zero(x: Number) -> bool:
    """Whether a number is the constant 0.0, not a Value that happens to be 0.0."""
    return type(x) is float and x == 0.0


def _as_value(x: Number) -> Value:
    return x if isinstance(x, Value) else Value(x)
