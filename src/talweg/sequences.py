"""Functions of several numbers: logsumexp, softmax, log_softmax, dot, norm.

Each is composed of operations of `talweg.ops`, so it takes floats and Values, has derivatives of
any order, and is compiled as loops. Start reading at `logsumexp`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

from talweg import ops
from talweg.autodiff.operation import Number
from talweg.errors import ShapeError


def logsumexp(values: Sequence[Number]) -> Number:
    """The logarithm of a sum of exponentials, log(e**x_1 + ... + e**x_n).

    It is computed as m + log(sum of e**(x_i - m)) for the largest number m and does not overflow.
    Its derivative with respect to x_i is softmax(x)_i. m counts as a constant: the result does not
    depend on it.

    Args:
        values: at least one number.

    Returns:
        One number; inf if one of them is inf, -inf if all are -inf, nan if one is nan.

    Raises:
        ShapeError: if there are no numbers, or one number is given in place of a list.

    >>> round(logsumexp([1000.0, 1000.0]), 6)
    1000.693147
    """
    largest = _largest(_numbers(values, "logsumexp"))
    return ops.log(_sum([ops.exp(x - largest) for x in values])) + largest


def softmax(values: Sequence[Number]) -> list[Number]:
    """The probabilities e**x_i / (e**x_1 + ... + e**x_n).

    Args:
        values: at least one number.

    Returns:
        As many numbers between 0 and 1, of sum 1 but for rounding errors; nan if one number is inf
        or nan, or all are -inf.

    Raises:
        ShapeError: as for `logsumexp`.

    >>> softmax([0.0, 0.0]), softmax([1000.0, 0.0])
    ([0.5, 0.5], [1.0, 0.0])
    """
    largest = _largest(_numbers(values, "softmax"))
    powers = [ops.exp(x - largest) for x in values]
    total = _sum(powers)
    return [ops.div(power, total) for power in powers]


def log_softmax(values: Sequence[Number]) -> list[Number]:
    """The logarithms of `softmax`, x_i - logsumexp(x), which are finite where that is 0.

    Args:
        values: at least one number.

    Returns:
        As many numbers, at most 0.

    Raises:
        ShapeError: as for `logsumexp`.

    >>> log_softmax([1000.0, 0.0])
    [0.0, -1000.0]
    """
    largest = _largest(_numbers(values, "log_softmax"))
    shifted = [x - largest for x in values]
    total = ops.log(_sum([ops.exp(x) for x in shifted]))
    return [x - total for x in shifted]


def dot(left: Sequence[Number], right: Sequence[Number]) -> Number:
    """The inner product x_1 y_1 + ... + x_n y_n, added up from left to right.

    Args:
        left: at least one number.
        right: as many numbers.

    Returns:
        One number.

    Raises:
        ShapeError: if the lengths differ, there are no numbers, or one number is given in place of
            a list.

    >>> dot([1.0, 2.0], [3.0, 4.0])
    11.0
    """
    left, right = _numbers(left, "dot"), _numbers(right, "dot")
    if len(left) != len(right):
        raise ShapeError(
            f"dot takes two lists of one length, got {len(left)} and {len(right)} numbers"
        )
    return _sum([ops.mul(x, y) for x, y in zip(left, right, strict=True)])


def norm(values: Sequence[Number]) -> Number:
    """The Euclidean norm, sqrt(x_1**2 + ... + x_n**2), without overflow of the squares.

    It is hypot(... hypot(hypot(x_1, x_2), x_3) ..., x_n). Its derivative with respect to x_i is
    x_i / norm(x). Where all numbers are 0 it has no derivative; 0 is returned there, as for `abs`.

    Args:
        values: at least one number.

    Returns:
        One number, at least 0.

    Raises:
        ShapeError: as for `logsumexp`.

    >>> norm([2.0, 3.0, 6.0]), norm([3e300, 4e300])
    (7.0, 5e+300)
    """
    first, *others = _numbers(values, "norm")
    return reduce(ops.hypot, others, ops.abs(first))


def _largest(values: Sequence[Number]) -> Number:
    """The largest number as a constant; 0 if that is infinite, as inf - inf is nan."""
    largest = ops.detach(reduce(ops.max, values))
    return ops.where(ops.lt(ops.abs(largest), math.inf), largest, 0.0)


def _sum(terms: Sequence[Number]) -> Number:
    """The sum from left to right; since Python 3.12 `sum` compensates for rounding errors."""
    return reduce(operator.add, terms)


def _numbers(values: Any, name: str) -> Sequence[Number]:
    if not hasattr(values, "__len__") or isinstance(values, str):
        raise ShapeError(f"{name} takes a list of numbers, got {type(values).__name__} {values!r}")
    if not len(values):
        raise ShapeError(f"{name} takes at least one number, got an empty list")
    numbers: Sequence[Number] = values
    return numbers
