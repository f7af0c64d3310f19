"""Which sums of a program take a product that is not rounded by itself.

A processor computes x * y + z in one instruction that rounds once, which is faster and usually
more accurate. But programs rely on equal products being equal numbers: x * x - y * y is 0 at
x = y, unless one of the two products is not rounded; then its square root may be nan. So in
default mode a product is contracted with a sum only where many products are added to one total:

- a weighted sum: each iteration of a loop adds the product of a parameter and of a number that is
  no parameter, as in a layer of a network;
- the derivative by a factor of a product, to which many iterations, or the many samples of a
  batch, add one product each.

Many is `MANY` or more. All other operations are rounded as the eager engine rounds them:
differences, sums outside of loops, sums of squares, totals to which an iteration adds several
products, and the equations of optimisers.

Start reading at `contracted_sums`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from talweg import ops
from talweg.compiler.ir.scheduled_program import (
    AccumulateAdjoint,
    Compute,
    Element,
    ForLoop,
    Operand,
    Statement,
    StorageLocation,
    VirtualRegister,
)

MANY = 4
"""A total of at least so many products is contracted."""

Sum: TypeAlias = tuple[Compute | AccumulateAdjoint, int]
"""A statement, and the number of its target to which it adds."""


def contracted_sums(
    program: Sequence[Statement], of_samples: frozenset[str] = frozenset()
) -> frozenset[Sum]:
    """The sums that take a product which is not rounded by itself.

    Args:
        program: the statements, outside of all loops.
        of_samples: the arrays of derivatives to which many samples of a batch add.
    """
    return frozenset(_contracted(program, [], of_samples))


@dataclass
class _Surrounding:
    """A loop around a statement.

    Attributes:
        count: the trip count; 1 if it varies.
        written: how many statements of the body write each location.
        read: the registers, and the names of the arrays, whose derivatives the body propagates.
    """

    count: int
    written: Counter[StorageLocation] = field(default_factory=Counter)
    read: set[StorageLocation | str] = field(default_factory=set)

    @classmethod
    def of(cls, loop: ForLoop) -> _Surrounding:
        surrounding = cls(1 if any(loop.count.strides) else loop.count.base)
        for s in _flat(loop.body):
            if isinstance(s, Compute):
                surrounding.written.update(s.targets)
            elif isinstance(s, AccumulateAdjoint):
                surrounding.read.add(_storage(s.source))
        return surrounding


def _contracted(
    body: Sequence[Statement], loops: list[_Surrounding], of_samples: frozenset[str]
) -> Iterator[Sum]:
    """The sums in a body, given the loops around it from the outermost to the innermost."""
    weighted: set[StorageLocation] = set()  # where the last number is a product with a parameter
    added = Counter([t for s in body if isinstance(s, AccumulateAdjoint) for t in s.targets])
    for s in body:
        if isinstance(s, ForLoop):
            yield from _contracted(s.body, [*loops, _Surrounding.of(s)], of_samples)
        elif isinstance(s, Compute):
            if _is_weighted_sum(s, weighted) and _terms_of_sum(s.targets[0], loops) >= MANY:
                yield s, 0
            is_product = s.op is ops.mul and [*map(_is_parameter, s.operands)].count(True) == 1
            change = weighted.update if is_product else weighted.difference_update
            change(s.targets)
        elif isinstance(s, AccumulateAdjoint) and s.op is ops.mul:
            for k, target in enumerate(s.targets):
                if target is not None and added[target] == 1:
                    is_of_samples = _storage(target) in of_samples
                    if is_of_samples or _terms_of_derivative(target, loops) >= MANY:
                        yield s, k


def _is_weighted_sum(s: Compute, weighted: set[StorageLocation]) -> bool:
    """Whether a statement adds such a product to a register, and writes the sum to it alone."""
    if s.op is not ops.add or len(s.targets) != 1 or not isinstance(s.targets[0], VirtualRegister):
        return False
    x, y = s.operands
    return (x in s.targets and y in weighted) or (y in s.targets and x in weighted)


def _terms_of_sum(total: StorageLocation, loops: Sequence[_Surrounding]) -> int:
    """How many terms are added to a register before another statement writes it."""
    terms = 1
    for loop in reversed(loops):
        if loop.written[total] != 1:
            break
        terms *= loop.count
    return terms


def _terms_of_derivative(total: StorageLocation, loops: Sequence[_Surrounding]) -> int:
    """How many terms are added to a derivative before it is propagated."""
    terms = 1
    for depth, loop in reversed([*enumerate(loops)]):
        if _storage(total) in loop.read:
            break
        strides = () if isinstance(total, VirtualRegister) else total.index.strides
        if not any(strides[depth : depth + 1]):
            terms *= loop.count
    return terms


def _is_parameter(x: Operand) -> bool:
    return isinstance(x, Element) and x.array == "w"


def _storage(location: StorageLocation) -> StorageLocation | str:
    """A register, or the name of an array, whose elements are not told apart."""
    return location if isinstance(location, VirtualRegister) else location.array


def _flat(body: Sequence[Statement]) -> Iterator[Statement]:
    for s in body:
        if isinstance(s, ForLoop):
            yield from _flat(s.body)
        else:
            yield s
