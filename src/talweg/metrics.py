"""Metrics: how good a model is on a data set, in numbers that people know.

Each is a function `(model, data) -> number`; give one to `train(metrics=...)` to follow it
along a run. A model with one output decides between two classes by the output's sign, one
with several outputs by the largest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from talweg.errors import DataError, ShapeError
from talweg.losses import add_up
from talweg.ops import to_float

Model: TypeAlias = Callable[[Sequence[float]], Any]
Samples: TypeAlias = Iterable[tuple[Sequence[float], Any]]


def numbers_of(prediction: Any) -> list[float]:
    """The plain numbers of a prediction, a list even if there is only one.

    >>> from talweg import Value
    >>> numbers_of(Value(2.0)), numbers_of([Value(1.0), 3.0])
    ([2.0], [1.0, 3.0])
    """
    outputs = prediction if hasattr(prediction, "__len__") else [prediction]
    return [to_float(x) for x in outputs]


def predicted_class(prediction: Any) -> int:
    """The class that a prediction stands for.

    Args:
        prediction: one output (class 1 if it is above 0, else class 0), or one output for
            each class (the class of the largest, the first at a tie).

    >>> predicted_class(-0.2), predicted_class([0.1, 2.0, -1.0])
    (0, 1)
    """
    outputs = numbers_of(prediction)
    if len(outputs) == 1:
        return int(outputs[0] > 0.0)
    return outputs.index(max(outputs))


def true_class(target: Any) -> int:
    """The class that a target stands for; -1 stands for class 0, as in the lesson.

    Args:
        target: a whole number, at least -1.

    Raises:
        DataError: if it is something else.

    >>> true_class(-1.0), true_class(2)
    (0, 2)
    """
    try:
        number = int(target)
        whole = number == target
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole or number < -1:
        raise DataError(
            f"the class of a sample must be a whole number from 0 (or -1 and 1), got {target!r}"
        )
    return max(number, 0)


def accuracy(model: Model, data: Samples) -> float:
    """The share of samples whose class the model finds, from 0 to 1.

    Args:
        model: a function from a list of numbers to one output or one for each class.
        data: pairs of inputs and class; for one output, classes 0 and 1 or targets -1 and 1.

    Raises:
        DataError: if there are no samples, or a target is not a class.

    >>> accuracy(lambda x: x[0], [([1.0], 1), ([-1.0], -1), ([2.0], -1), ([3.0], 1)])
    0.75
    """
    hits = [predicted_class(model(x)) == true_class(y) for x, y in data]
    if not hits:
        raise DataError("accuracy needs at least one sample, got none")
    return sum(hits) / len(hits)


def r_squared(model: Model, data: Samples) -> float:
    """The coefficient of determination R2 = 1 - sum (t - p)**2 / sum (t - mean t)**2.

    It is 1 for perfect predictions, 0 for always predicting the mean, and below 0 for worse.
    With several outputs the sums go over all of them, each with its own mean.

    Args:
        model: a function from a list of numbers to one or several outputs.
        data: pairs of inputs and target.

    Returns:
        R2; nan if all targets are equal.

    Raises:
        DataError: if there are no samples.
        ShapeError: if a prediction has another length than its target.

    >>> r_squared(lambda x: x[0], [([1.0], 1.0), ([2.0], 2.0), ([4.0], 3.0)])
    0.5
    """
    rows = [(numbers_of(model(x)), numbers_of(y)) for x, y in data]
    if not rows:
        raise DataError("r_squared needs at least one sample, got none")
    for p, t in rows:
        if not t or len(p) != len(t) or len(t) != len(rows[0][1]):
            raise ShapeError(f"a prediction has {len(p)} numbers, its target {len(t)}")
    columns = zip(*(t for _, t in rows), strict=True)
    means = [add_up(column) / len(rows) for column in columns]
    wrong = add_up((a - b) * (a - b) for p, t in rows for a, b in zip(p, t, strict=True))
    spread = add_up((b - m) * (b - m) for _, t in rows for b, m in zip(t, means, strict=True))
    return 1.0 - wrong / spread if spread else math.nan


def confusion_matrix(model: Model, data: Samples, classes: int) -> list[list[int]]:
    """How often each true class (row) was predicted as each class (column).

    Args:
        model: a function from a list of numbers to one output or one for each class.
        data: pairs of inputs and class.
        classes: how many classes there are.

    Raises:
        DataError: if a target is not a class, or a class is not one of so many.

    >>> confusion_matrix(lambda x: x[0], [([1.0], 1), ([-1.0], 0), ([2.0], 0)], classes=2)
    [[1, 1], [0, 1]]
    """
    counts = [[0] * classes for _ in range(classes)]
    for x, y in data:
        true, found = true_class(y), predicted_class(model(x))
        if max(true, found) >= classes:
            raise DataError(f"class {max(true, found)} is not one of {classes} classes from 0")
        counts[true][found] += 1
    return counts
