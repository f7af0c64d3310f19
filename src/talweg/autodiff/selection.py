"""Which nodes of a program may lie on a branch that `where` does not take.

The derivative by an operand that an operation does not select is not computed. In the eager engine
this is decided when a node is made: the operand is kept as its number. A traced program serves all
numbers, so there it is decided when the program runs. This file finds the operations for which that
makes a difference, from three properties of each:

* it is *unconditional* if a derivative reaches it for all numbers: along a path of operations that
  always pass it on;
* a derivative equation *keeps zero* if it is 0 for g = 0, whatever the operands are: `g`, `-g`,
  `where(x, g, 0.0)` do, `g * y` does not, as y may be infinite;
* an operation needs a *guard* if it is not unconditional, and it or one of its operands' operations
  has an equation that does not keep zero.

Start reading at `keeps_zero`; the users are `autodiff/higher_order.py` for Values and
`compiler/passes/guarded_adjoints.py` for tapes.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

from talweg.autodiff.operation import NO_DERIVATIVE, Op

_TRIED = (0.0, 1.0, -1.0, math.inf, -math.inf, math.nan)
"""The numbers that `keeps_zero` tries as operands."""


@cache
def keeps_zero(op: Op, operand: int) -> bool:
    """Whether the derivative by an operand is 0 if that by the result is, for all operands.

    >>> from talweg import ops
    >>> keeps_zero(ops.add, 0), keeps_zero(ops.relu, 0), keeps_zero(ops.mul, 0)
    (True, True, False)
    """
    return all(x == 0.0 for x in _of_zero(op, operand, 0.0))


@cache
def keeps_minus_zero(op: Op, operand: int) -> bool:
    """Whether the derivative by an operand is -0.0 if that by the result is.

    >>> from talweg import ops
    >>> keeps_minus_zero(ops.add, 0), keeps_minus_zero(ops.neg, 0)
    (True, False)
    """
    return all(repr(x) == "-0.0" for x in _of_zero(op, operand, -0.0))


def _of_zero(op: Op, operand: int, zero: float) -> list[float]:
    """The derivatives by an operand for g = 0 and all kinds of operands."""
    if op.equations[operand].startswith("derivatives["):  # a Python function of the user
        return [math.nan]
    rule = op.derivatives[operand]
    try:
        return [rule(zero, *numbers) for numbers in itertools.product(_TRIED, repeat=op.arity + 1)]
    except (ArithmeticError, ValueError):  # an operation of the user that raises for some number
        return [math.nan]


def passes(op: Op, operand: int) -> bool:
    """Whether a derivative ever passes to an operand."""
    return op.equations[operand] != NO_DERIVATIVE
