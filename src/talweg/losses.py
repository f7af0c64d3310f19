"""Losses: the error of a prediction as one number.

Each is a function `(prediction, target) -> number` of a single sample, written as its
equation. `train` sums or averages it over samples.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from numbers import Real
from typing import Any, TypeAlias

from talweg import ops
from talweg.autodiff.gather import gather, is_index
from talweg.errors import ArgumentError, ShapeError

Number: TypeAlias = Any
Loss: TypeAlias = Callable[[Any, Any], Number]


def squared_error(
    prediction: Number | Sequence[Number], target: Number | Sequence[Number]
) -> Number:
    """The squared error (p - t)**2, summed over the outputs if there are several.

    Args:
        prediction: the output p of the model, a number or a list of numbers.
        target: the target t, a number or a list of the same length.

    Returns:
        One number, at least 0.

    Raises:
        ShapeError: if one is a list and the other is not, or if their lengths differ.

    >>> squared_error(3.0, 1.0), squared_error([1.0, 2.0], [0.0, 0.0])
    (4.0, 5.0)
    """
    return add_up(ops.pow(p - t, 2.0) for p, t in _pairs(prediction, target))


def hinge(prediction: Number | Sequence[Number], target: Number | Sequence[Number]) -> Number:
    """The hinge loss max(0, 1 - t p), summed over the outputs if there are several.

    It is zero if the prediction has the sign of the target and is at least 1 away from zero.

    Args:
        prediction: the output p of the model, a number or a list of numbers.
        target: the target t, -1 or 1, or a list of them.

    Returns:
        One number, at least 0.

    Raises:
        ArgumentError: if a target is neither -1 nor 1.
        ShapeError: if the lengths differ.

    Source: Cortes and Vapnik, Support-vector networks, 1995.

    >>> hinge(0.25, 1.0), hinge(0.25, -1.0), hinge(3.0, 1.0)
    (0.75, 1.25, 0.0)
    """
    pairs = _pairs(prediction, target)
    for _, t in pairs:
        if isinstance(t, Real) and abs(t) != 1:
            raise ArgumentError(f"hinge takes targets of -1 or 1, got {t!r}")
    return add_up(ops.relu(1.0 - t * p) for p, t in pairs)


def binary_cross_entropy(prediction: Number, target: Number) -> Number:
    """The cross-entropy of two classes: log(1 + e**z) - t z.

    The prediction z is a logit, any real number (an output layer with activation
    "linear"); the probability of class 1 is sigmoid(z). The formula equals
    -t log(sigmoid(z)) - (1 - t) log(1 - sigmoid(z)), but does not overflow.

    Args:
        prediction: the logit z, one number.
        target: the class, 0 or 1, or a probability between them.

    Returns:
        One number, at least 0, in nats.

    Raises:
        ArgumentError: if the target is not between 0 and 1.
        ShapeError: if the prediction is a list.

    >>> round(binary_cross_entropy(0.0, 1.0), 6), binary_cross_entropy(1000.0, 0.0)
    (0.693147, 1000.0)
    """
    ((z, t),) = _pairs(prediction, target, single="cross_entropy")
    if isinstance(t, Real) and not _is_probability(t):
        raise ArgumentError(f"binary_cross_entropy takes targets from 0 to 1, got {t!r}")
    return ops.softplus(z) - t * z


def _is_probability(t: Any) -> bool:
    return bool(0.0 <= t <= 1.0)


def cross_entropy(prediction: Sequence[Number], target: int) -> Number:
    """The cross-entropy of several classes: log(sum_j e**z_j) - z_target.

    The predictions z are logits, any real numbers (an output layer with activation
    "linear"); the probability of class k is e**z_k / sum_j e**z_j. The loss is computed as
    log(sum_j e**(z_j - z_target)), term by term with log(e**a + e**b) = a + softplus(b - a):
    it does not overflow, and rounding never makes it negative.

    Args:
        prediction: the logits, one for each class.
        target: the index of the true class, from 0.

    Returns:
        One number, at least 0, in nats.

    Raises:
        ArgumentError: if the target is not the index of a class.
        ShapeError: if the prediction is not a list, or is empty.

    >>> round(cross_entropy([0.0, 0.0, 0.0], 2), 6), cross_entropy([1000.0, 0.0], 1)
    (1.098612, 1000.0)
    """
    if not hasattr(prediction, "__len__") or not len(prediction):
        raise ShapeError(
            "cross_entropy takes one logit for each class, got "
            f"{'an empty list' if hasattr(prediction, '__len__') else 'a single number'}; "
            "for two classes and one output use binary_cross_entropy"
        )
    if not is_index(target, len(prediction)):
        raise ArgumentError(
            f"cross_entropy takes a class from 0 to {len(prediction) - 1} as target, got {target!r}"
        )
    right = gather(prediction, target)
    log_sum = prediction[0] - right
    for z in prediction[1:]:
        log_sum = log_sum + ops.softplus(z - right - log_sum)
    return log_sum


LOSSES: dict[str, Loss] = {
    "squared_error": squared_error,
    "hinge": hinge,
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy": cross_entropy,
}
"""The losses by name, for the command line and for saved models."""


def _pairs(prediction: Any, target: Any, single: str = "") -> list[tuple[Number, Number]]:
    """The (prediction, target) pairs of all outputs.

    Args:
        prediction: the output of a model.
        target: its target.
        single: for a loss of one output, the name of the loss that takes lists; else empty.
    """
    is_list = _is_list(prediction)
    if is_list and single:
        raise ShapeError(f"expected one number, got a list of {len(prediction)}; use {single}")
    if is_list != _is_list(target):
        kinds = ("a list", "one number") if is_list else ("one number", "a list")
        raise ShapeError(
            f"the prediction is {kinds[0]} but the target is {kinds[1]}; a model has as many "
            "outputs as its targets have numbers"
        )
    if not is_list:
        return [(prediction, target)]
    if len(prediction) != len(target) or not len(target):
        raise ShapeError(
            f"the prediction has {len(prediction)} numbers, the target {len(target)}; a model has "
            "as many outputs as its targets have numbers"
        )
    return list(zip(prediction, target, strict=True))


def _is_list(x: Any) -> bool:
    return hasattr(x, "__len__") and not isinstance(x, str)


def add_up(terms: Iterable[Number]) -> Number:
    """The sum of at least one term, from left to right.

    Python's `sum` is not used: since Python 3.12 it compensates rounding errors if all terms are
    floats, and then differs from the sum of the same numbers as Values.

    >>> add_up([0.5, 1.0, 2.0])
    3.5
    """
    return reduce(operator.add, terms)
