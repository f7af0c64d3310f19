"""Metrics: accuracy, coefficient of determination and confusion matrix of a model.

Each is a function `(model, data) -> number`; `train(metrics=...)` records one during a run. A model
with one output predicts a class by the sign of the output, a model with several outputs by the
largest of them. Start reading at `accuracy`.
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
    """The outputs of a prediction as a list of floats, of length 1 if there is one output.

    >>> from talweg import Value
    >>> numbers_of(Value(2.0)), numbers_of([Value(1.0), 3.0])
    ([2.0], [1.0, 3.0])
    """
    outputs = prediction if hasattr(prediction, "__len__") else [prediction]
    return [to_float(x) for x in outputs]


NO_CLASS = -1
"""What `predicted_class` returns where an output is nan."""


def predicted_class(prediction: Any) -> int:
    """The class of a prediction.

    Args:
        prediction: one output (class 1 if it is above 0, else class 0), or one output for
            each class (the class of the largest; of equal ones the first).

    Returns:
        The class; -1, which is the class of no sample, if an output is nan.

    >>> predicted_class(-0.2), predicted_class([0.1, 2.0, -1.0]), predicted_class(float("nan"))
    (0, 1, -1)
    """
    outputs = numbers_of(prediction)
    if any(map(math.isnan, outputs)):
        return NO_CLASS
    if len(outputs) == 1:
        return int(outputs[0] > 0.0)
    return outputs.index(max(outputs))


def true_class(target: Any) -> int:
    """The class of a target; -1 is class 0, as in the lesson.

    Args:
        target: an integer, at least -1.

    Raises:
        DataError: if it is anything else.

    >>> true_class(-1.0), true_class(2)
    (0, 2)
    """
    try:
        number = int(target)
        is_integer = number == target
    except (TypeError, ValueError, OverflowError):
        is_integer = False
    if not is_integer or number < -1:
        raise DataError(
            f"the class of a sample must be an integer of at least 0, or -1 or 1, got {target!r}"
        )
    return max(number, 0)


def accuracy(model: Model, data: Samples) -> float:
    """The fraction of samples whose class is predicted correctly, from 0 to 1.

    A prediction with nan is of no class, and so never correct.

    Args:
        model: a function from a list of numbers to one output, or one for each class.
        data: pairs (inputs, class); for one output classes 0 and 1, or targets -1 and 1.

    Returns:
        The accuracy.

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

    It is 1 if predictions p and targets t are equal, and 0 if every prediction is the mean of the
    targets. With several outputs the sums go over all of them, each with its own mean.

    Args:
        model: a function from a list of numbers to one or several outputs.
        data: pairs (inputs, target).

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
    residual = add_up((a - b) * (a - b) for p, t in rows for a, b in zip(p, t, strict=True))
    total = add_up((b - m) * (b - m) for _, t in rows for b, m in zip(t, means, strict=True))
    return 1.0 - residual / total if total else math.nan


def confusion_matrix(model: Model, data: Samples, classes: int) -> list[list[int]]:
    """The number of samples of each true class (row) by predicted class (column).

    A sample whose prediction has nan is in no column, so the sum of its row is smaller.

    Args:
        model: a function from a list of numbers to one output, or one for each class.
        data: pairs (inputs, class).
        classes: the number of classes.

    Returns:
        A list of rows.

    Raises:
        DataError: if a target is not a class, or a class is not below `classes`.

    >>> confusion_matrix(lambda x: x[0], [([1.0], 1), ([-1.0], 0), ([2.0], 0)], classes=2)
    [[1, 1], [0, 1]]
    """
    counts = [[0] * classes for _ in range(classes)]
    for x, y in data:
        true, found = true_class(y), predicted_class(model(x))
        if max(true, found) >= classes:
            raise DataError(
                f"class {max(true, found)} is not one of the {classes} classes 0 to {classes - 1}"
            )
        if found != NO_CLASS:
            counts[true][found] += 1
    return counts
