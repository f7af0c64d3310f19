"""The operations of the registry as instructions, and numbers on which equations compute.

`apply` appends the instructions of an operation, or a call of a function that has them. Derivative
rules and optimisers' updates are equations on numbers: run on `TracedNumber` operands, they append
the instructions that compute them.

Start reading at `apply`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from talweg import ops
from talweg.autodiff.operation import Number, Op
from talweg.compiler.codegen.builder import FunctionBuilder
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.types import Parameter
from talweg.compiler.intrinsics.builder_protocol import Name
from talweg.errors import OperationError

_INLINE_LIMIT = 6
"""An operation of at most so many instructions is appended in place, a longer one as a function:
LLVM then simplifies it once, before it is inlined everywhere."""

_MOST_VARIANTS = 8
"""An operation has at most so many functions that contain the constants among their operands. From
then on constants are arguments: 500 powers with as many exponents are not 500 functions."""


def apply(b: NumberBuilder, op: Op, *operands: Name) -> Name:
    """The result of an operation, computed in place if it is short, else by a function.

    An operation on constants is computed now.
    """
    numbers = [b.known(x) for x in operands]
    if None not in numbers:
        return b.constant(op.value(*numbers))
    constants = tuple(
        [None if number is None else x for x, number in zip(operands, numbers, strict=True)]
    )
    module = b.function.module
    outlined, key = module.outlined, (op, b.lanes, constants)
    if key not in outlined and module.variants[op, b.lanes] >= _MOST_VARIANTS:
        constants = (None,) * len(operands)
        key = (op, b.lanes, constants)
    if key not in outlined:
        outlined[key] = _outline(b, op, constants)
        if outlined[key] is not None and any(constants):
            module.variants[op, b.lanes] += 1
    function = outlined[key]
    if function is None:
        return intrinsic_for(op)(b, *operands)
    return b.function.call(
        function, *[x for x, c in zip(operands, constants, strict=True) if c is None]
    )


def _outline(b: NumberBuilder, op: Op, constants: Sequence[Name | None]) -> FunctionBuilder | None:
    """A function that computes an operation; None if it is too short for that.

    Args:
        b: a builder of as many lanes.
        op: the operation.
        constants: the operands that are constants, which the function contains; else None.
    """
    module = b.function.module
    name = f"{op.name}.{b.lanes}.{len(module.outlined)}"
    known = dict(zip("xyz", constants, strict=False))
    parameters = [Parameter(x, b.number_type) for x, constant in known.items() if constant is None]
    body = module.function(name, parameters, b.number_type, internal=True, inline=True)
    operands = [constant or body.parameters[x] for x, constant in known.items()]
    # Strict: each rounding of an intrinsic is part of its error analysis.
    result = intrinsic_for(op)(NumberBuilder(body, b.lanes, strict=True), *operands)
    if len(body) <= _INLINE_LIMIT:
        module.discard(body)
        return None
    body.ret(result)
    return body


def intrinsic_for(op: Op) -> Callable[..., Name]:
    """The function that appends an operation: its `emit`, or its value on traced numbers.

    Raises:
        OperationError: if it has no `emit`, and its value is not made of arithmetic alone.
    """
    if op.emit is not None:
        return op.emit

    def by_value(b: NumberBuilder, *operands: Name) -> Name:
        try:
            result: Number = op.value(*[TracedNumber(b, x) for x in operands])
        except (TypeError, AttributeError, ValueError) as error:
            raise OperationError(
                f"{op.name}: its value cannot be compiled ({error}); write it with +, -, * and "
                "the operations of tw.ops, or declare it with emit="
            ) from None
        return name_of(b, result)

    return by_value


def name_of(b: NumberBuilder, x: Number) -> Name:
    """The value of a number that an equation returned: a traced number, or a constant."""
    return x.name if isinstance(x, TracedNumber) else b.constant(float(x))


class TracedNumber:
    """A number of the native program; arithmetic on it appends instructions.

    Args:
        builder: where they are appended.
        name: the value.
    """

    __slots__ = ("builder", "name")

    def __init__(self, builder: NumberBuilder, name: Name) -> None:
        self.builder = builder
        self.name = name

    @staticmethod
    def _apply(op: Op, operands: Sequence[Number]) -> TracedNumber:
        b = next(x.builder for x in operands if isinstance(x, TracedNumber))
        return TracedNumber(b, apply(b, op, *[name_of(b, x) for x in operands]))

    def __add__(self, other: Number) -> TracedNumber:
        return self._apply(ops.add, (self, other))

    def __radd__(self, other: Number) -> TracedNumber:
        return self._apply(ops.add, (other, self))

    def __sub__(self, other: Number) -> TracedNumber:
        return self._apply(ops.sub, (self, other))

    def __rsub__(self, other: Number) -> TracedNumber:
        return self._apply(ops.sub, (other, self))

    def __mul__(self, other: Number) -> TracedNumber:
        return self._apply(ops.mul, (self, other))

    def __rmul__(self, other: Number) -> TracedNumber:
        return self._apply(ops.mul, (other, self))

    def __neg__(self) -> TracedNumber:
        return self._apply(ops.neg, (self,))

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        # Not by identity: `if step == 1.0` would silently be false for every step.
        raise OperationError("it compares a number that is unknown while the program is compiled")

    def __bool__(self) -> bool:
        raise OperationError(
            "it branches on a number that is unknown while the program is compiled"
        )
