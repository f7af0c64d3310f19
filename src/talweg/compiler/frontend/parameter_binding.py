"""Which Values a traced program reads at a call.

A trace numbers its parameters. A parameter is one of two kinds. A Value among the arguments may be
another Value at the next call; it is found by its position. A Value that the function reads from
outside stays the same.

Start reading at `ParameterBinding.bound`.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from talweg.compiler.frontend.signature import CallSignature
from talweg.errors import NumberError
from talweg.value import Value

Bound: TypeAlias = tuple[tuple[Value, ...], tuple[Value, ...]]
"""The Values that a program reads, and those of them that its results have as operands."""

_data = operator.attrgetter("_data")
_grad = operator.attrgetter("grad")


class ParameterBinding:
    """The parameters of a traced program, as Values of a call or from outside.

    Args:
        parameters: the Values that the trace read, in order.
        positions: the position of each Value that was given among the Values of the call.

    Attributes:
        sources: for each parameter its position among the Values of a call, or the Value that
            the function took from outside.
        captured: the Values from outside.
    """

    def __init__(self, parameters: Sequence[Value], positions: Mapping[Value, int]) -> None:
        self.sources: list[int | Value] = [positions.get(p, p) for p in parameters]
        self.captured = tuple([p for p in self.sources if isinstance(p, Value)])
        self._pack = struct.Struct(f"={len(self.sources)}d").pack
        all_captured = len(self.captured) == len(self.sources)
        self._constant = _with_operands(self.captured) if all_captured else None

    def unread(self, count: int) -> list[int]:
        """The positions, of `count` Values of a call, that no parameter has."""
        return sorted({*range(count)}.difference(p for p in self.sources if isinstance(p, int)))

    def bound(self, signature: CallSignature) -> Bound:
        """The Values that the program reads at a call.

        They are found anew only if they may have changed: the result is stored in the guard of
        the object, or the tree of the argument, that all of them come from; if they come from
        several, in the last of these.
        """
        if self._constant is not None:
            return self._constant
        sources = signature.sources
        if not sources:
            return self._found(signature.values)
        last, serials = sources[-1], [source.serial for source in sources]
        known = last.bindings.get(self)
        if known is None or known[0] != serials:
            known = last.bindings[self] = serials, self._found(signature.values)
        bound: Bound = known[1]
        return bound

    def _found(self, values: Sequence[Value]) -> Bound:
        return _with_operands(
            tuple([p if isinstance(p, Value) else values[p] for p in self.sources])
        )

    def data(self, values: Sequence[Value]) -> bytes:
        """The numbers of the Values that are read, as bytes."""
        return self._pack(*map(_data, values))

    def gradient(self, values: Sequence[Value]) -> bytes:
        """The derivatives of the Values that are read, as bytes.

        Raises:
            NumberError: if the `grad` of one of them is not a number.
        """
        try:
            return self._pack(*map(_grad, values))
        except struct.error:
            raise _error(values) from None


def _with_operands(read: tuple[Value, ...]) -> Bound:
    """The Values that are read, and those that must be operands of the result.

    The walk backward continues from the Values that have operands themselves, so all of them are
    operands. It visits leaves only to warn if one was updated and its gradient was not set to
    zero; three of them are enough for that.
    """
    leaves = [v for v in read if not v._operands]
    witnesses = dict.fromkeys([leaves[0], leaves[len(leaves) // 2], leaves[-1]]) if leaves else {}
    return read, (*witnesses, *[v for v in read if v._operands])


def _error(values: Sequence[Value]) -> NumberError:
    wrong = next(x for x in map(_grad, values) if not hasattr(x, "__float__"))
    return NumberError(
        f"a Value holds {type(wrong).__name__} {wrong!r}, which is not a number; assign a float"
    )
