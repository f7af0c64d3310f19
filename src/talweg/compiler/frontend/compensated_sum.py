"""Python's sum of floats while a function is traced.

Since Python 3.12 the built-in `sum` of floats compensates rounding errors (Neumaier's version of
Kahan's sum). Python does so for objects whose type is float, and the type of a traced float is
another. So this file adds traced floats in the same way: it computes the total and the sum of the
rounding errors, and adds the second to the first at the end.

Start reading at `next_sum`; `CompensatedSum` in `frontend/traced_numbers.py` calls it.

Source: A. Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, 1974;
`sum` in the documentation of Python 3.12.
"""

from __future__ import annotations

import dis
import sys
from types import FrameType
from typing import Any

from talweg import ops

IS_COMPENSATED = sys.version_info >= (3, 12)
"""Whether this Python compensates the sum of floats."""


def is_sum(frame: FrameType) -> bool:
    """Whether the instruction of a frame is a call of `sum`: then `sum` has called an operator."""
    name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
    return name.startswith("CALL") and "sum" in frame.f_code.co_names


def next_sum(total: Any, compensation: Any, x: Any) -> tuple[Any, Any]:
    """The total and the compensation with one number more.

    t = total + x; the rounding error of t is (total - t) + x if |total| >= |x|, else
    (x - t) + total.

    >>> total, compensation = 0.0, 0.0
    >>> for x in (1e16, 1.0, -1e16):
    ...     total, compensation = next_sum(total, compensation, x)
    >>> total, compensation
    (0.0, 1.0)
    """
    t = ops.add(total, x)
    is_larger = ops.le(ops.abs(x), ops.abs(total))
    error = ops.where(is_larger, ops.add(ops.sub(total, t), x), ops.add(ops.sub(x, t), total))
    return t, ops.add(compensation, error)


def finished(total: Any, compensation: Any) -> Any:
    """The sum: the compensation is added if it is finite, and not 0.

    >>> finished(0.0, 1.0)
    1.0
    """
    is_finite = ops.lt(ops.abs(compensation), float("inf"))
    counts = ops.where(compensation, is_finite, 0.0)
    return ops.where(counts, ops.add(total, compensation), total)
