"""Metrics: how good a model is on a data set, in numbers that people know.

Each is a function `(model, data) -> number`; give one to `train(metrics=...)` to follow it
along a run. A model with one output decides between two classes by the output's sign, one
with several outputs by the largest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from talweg.errors import DataError

Model: TypeAlias = Callable[[Sequence[float]], Any]
Samples: TypeAlias = Iterable[tuple[Sequence[float], Any]]


def numbers_of(prediction: Any) -> list[float]:
    """The plain numbers of a prediction, a list even if there is only one.

    >>> from talweg import Value
    >>> numbers_of(Value(2.0)), numbers_of([Value(1.0), 3.0])
    ([2.0], [1.0, 3.0])
    """
    outputs = prediction if hasattr(prediction, "__len__") else [prediction]
    return [float(x) for x in outputs]


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


def accuracy(model: Model, data: Samples) -> float:
    """The share of samples whose class the model finds, from 0 to 1.

    Args:
        model: a function from a list of numbers to one output or one for each class.
        data: pairs of inputs and class; for one output, classes 0 and 1 or targets -1 and 1.

    Raises:
        DataError: if there are no samples.

    >>> accuracy(lambda x: x[0], [([1.0], 1), ([-1.0], -1), ([2.0], -1), ([3.0], 1)])
    0.75
    """
    hits = [predicted_class(model(x)) == max(int(y), 0) for x, y in data]
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

    >>> r_squared(lambda x: x[0], [([1.0], 1.0), ([2.0], 2.0), ([4.0], 3.0)])
    0.5
    """
    rows = [(numbers_of(model(x)), numbers_of(y)) for x, y in data]
    if not rows:
        raise DataError("r_squared needs at least one sample, got none")
    means = [math.fsum(column) / len(rows) for column in zip(*(t for _, t in rows), strict=True)]
    wrong = math.fsum((a - b) ** 2 for p, t in rows for a, b in zip(p, t, strict=True))
    spread = math.fsum((b - m) ** 2 for _, t in rows for b, m in zip(t, means, strict=True))
    return 1.0 - wrong / spread if spread else math.nan


def confusion_matrix(model: Model, data: Samples, classes: int) -> list[list[int]]:
    """How often each true class (row) was predicted as each class (column).

    Args:
        model: a function from a list of numbers to one output or one for each class.
        data: pairs of inputs and class.
        classes: how many classes there are.

    >>> confusion_matrix(lambda x: x[0], [([1.0], 1), ([-1.0], 0), ([2.0], 0)], classes=2)
    [[1, 1], [0, 1]]
    """
    counts = [[0] * classes for _ in range(classes)]
    for x, y in data:
        counts[max(int(y), 0)][predicted_class(model(x))] += 1
    return counts


METRICS: dict[str, Callable[[Model, Samples], float]] = {
    "accuracy": accuracy,
    "r_squared": r_squared,
}
"""The metrics by name."""
