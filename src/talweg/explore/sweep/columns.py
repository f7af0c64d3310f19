"""The settings of many runs as columns: one array for each setting, with its value in each run.

Runs are all combinations of some values, numbered in mixed radix: the first setting varies slowest,
the last fastest. Start reading at `crossed`, which makes the columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]


def column(values: Sequence[Any] | Array) -> Array:
    """The values of one setting as an array: of numbers where all are numbers, else of objects.

    >>> column([0.1, 1]).tolist(), column([None, (4, 4)]).tolist()
    ([0.1, 1.0], [None, (4, 4)])
    """
    import numpy as np

    if isinstance(values, np.ndarray) and values.dtype.kind in "if":
        return values
    kinds = set(map(type, values))
    if all(issubclass(kind, (int, float)) and kind is not bool for kind in kinds):
        return np.array(values)
    boxed = np.empty(len(values), dtype=object)
    for k, x in enumerate(values):  # one assignment would make tuples and lists into rows
        boxed[k] = x
    return boxed


def crossed(choices: Mapping[str, Sequence[Any]] | Mapping[str, Array]) -> dict[str, Array]:
    """The columns of all combinations: the first setting varies slowest, the last fastest.

    >>> columns = crossed({"learning_rate": [0.1, 1.0], "seed": [1, 2]})
    >>> columns["learning_rate"].tolist(), columns["seed"].tolist()
    ([0.1, 0.1, 1.0, 1.0], [1, 2, 1, 2])
    """
    import numpy as np

    columns = {}
    repeats, period = 1, math.prod(len(values) for values in choices.values())
    for name, values in choices.items():
        period //= len(values)
        columns[name] = np.tile(np.repeat(column(values), period), repeats)
        repeats *= len(values)
    return columns


def matching(values: Array, choice: Any) -> Array:
    """Which of the values are equal to `choice`, or to an entry of it if it is a list.

    >>> matching(column([[4, 1], [1], 2]), [4, 1]).tolist()
    [True, False, False]
    >>> matching(column([0.1, 1]), [1, 2]).tolist()
    [False, True]
    """
    import numpy as np

    several = isinstance(choice, (list, range, np.ndarray))
    choices = [_as_list(x) for x in choice] if several else [choice]
    if values.dtype != object:
        numbers = [float(x) for x in choices if isinstance(x, (int, float, np.number))]
        return np.isin(values, numbers)
    if several:
        choices.append(list(choices))  # the values may be lists themselves
    return np.array(
        [any(x is y or x == y for y in choices) for x in map(_as_list, values)], dtype=bool
    )


def _as_list(value: Any) -> Any:
    """An array as a list; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def groups(
    columns: Mapping[str, Array], names: Sequence[str]
) -> tuple[Array, list[tuple[Any, ...]], list[int]]:
    """Which runs have the same values of some settings.

    Args:
        columns: all settings of the runs.
        names: some of their names.

    Returns:
        The number of each run's group; the values of each group, in the order in which they
        first appear; and the first run of each group.

    >>> number, values, first = groups(crossed({"seed": [5, 6], "width": [8, 16]}), ["width"])
    >>> number.tolist(), values, first
    ([0, 1, 0, 1], [(8,), (16,)], [0, 1])
    """
    import numpy as np

    number = np.zeros(len(next(iter(columns.values()))), dtype=np.int64)
    for name in names:
        of_column, distinct = _numbered(columns[name])
        number, _ = _numbered(number * distinct + of_column)  # small again, so none overflows
    _, first, number = np.unique(number, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    firsts = first[order].tolist()
    return rank[number], [tuple(_entry(columns[name], k) for name in names) for k in firsts], firsts


def _numbered(values: Array) -> tuple[Array, int]:
    """A number for each value, the same for equal values; and how many numbers there are."""
    import numpy as np

    if values.dtype != object:
        distinct, number = np.unique(values, return_inverse=True)
        return number, len(distinct)
    numbers: dict[Any, int] = {}
    keys = [x if _hashable(x) else repr(x) for x in values.tolist()]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], int), len(numbers)


def _entry(values: Array, k: int) -> Any:
    """An entry of a column, as a number of Python."""
    return values[k : k + 1].tolist()[0]


def _hashable(key: object) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True
