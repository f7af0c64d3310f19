"""Which nodes of a program may lie on a branch that `where` does not take.

The derivative by an operand that an operation does not select is not computed. The eager engine
decides this when a node is made: it stores the number of the operand in place of the operand. A
traced program serves all numbers, so it decides when it runs. This file finds the operations for
which the decision matters. It defines three properties:

* an operation is *unconditional* if a derivative reaches it for all numbers, along a path of
  operations that always pass it on;
* a derivative equation *keeps zero* if it is 0 for g = 0 and all operands: `g`, `-g` and
  `where(x, g, 0.0)` keep zero. `g * y` does not, because y may be infinite;
* an operation needs a *guard* if it is not unconditional, and its equations, or those of the
  operation of one of its operands, do not keep zero.

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
