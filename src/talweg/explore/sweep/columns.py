"""The settings of many runs as columns: one array a setting, with its value in each run.

Start reading at `crossed`, which makes them for all combinations of some values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]


def column(values: Sequence[Any]) -> Array:
    """The values of one setting as an array: of numbers where all are, else of objects.

    >>> column([0.1, 1]).tolist(), column([None, (4, 4)]).tolist()
    ([0.1, 1.0], [None, (4, 4)])
    """
    import numpy as np

    if all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in values):
        return np.array(values)
    boxed = np.empty(len(values), dtype=object)
    for k, x in enumerate(values):  # at once, NumPy would look into tuples and lists
        boxed[k] = x
    return boxed


def crossed(choices: Mapping[str, Sequence[Any]]) -> dict[str, Array]:
    """The columns of all combinations: the first setting varies slowest, the last fastest.

    >>> columns = crossed({"learning_rate": [0.1, 1.0], "seed": [1, 2]})
    >>> columns["learning_rate"].tolist(), columns["seed"].tolist()
    ([0.1, 0.1, 1.0, 1.0], [1, 2, 1, 2])
    """
    import numpy as np

    columns = {}
    before, behind = 1, math.prod(len(values) for values in choices.values())
    for name, values in choices.items():
        behind //= len(values)
        columns[name] = np.tile(np.repeat(column(values), behind), before)
        before *= len(values)
    return columns


def among(values: Array, wanted: Any) -> Array:
    """Which of the values are the one that is wanted, or one of a list.

    >>> among(column([[4, 1], [1], 2]), [4, 1]).tolist(), among(column([0.1, 1]), [1, 2]).tolist()
    ([True, False, False], [False, True])
    """
    import numpy as np

    several = isinstance(wanted, (list, range, np.ndarray))
    choice = [_listed(x) for x in wanted] if several else [wanted]
    if values.dtype != object:
        numbers = [float(x) for x in choice if isinstance(x, (int, float, np.number))]
        return np.isin(values, numbers)
    if several:
        choice.append(list(choice))  # the values may be lists themselves
    return np.array(
        [any(x is y or x == y for y in choice) for x in map(_listed, values)], dtype=bool
    )


def _listed(value: Any) -> Any:
    """An array as a list; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def groups(
    columns: Mapping[str, Array], names: Sequence[str]
) -> tuple[Array, list[tuple[Any, ...]], list[int]]:
    """Which runs have the same settings of these names.

    Args:
        columns: all settings of the runs.
        names: some of their names.

    Returns:
        The number of each run's group; the settings of each group, in the order in which
        they first appear; and the first run of each group.

    >>> place, settings, first = groups(crossed({"seed": [5, 6], "width": [8, 16]}), ["width"])
    >>> place.tolist(), settings, first
    ([0, 1, 0, 1], [(8,), (16,)], [0, 1])
    """
    import numpy as np

    count = len(next(iter(columns.values())))
    cells = [columns[name].tolist() for name in names]
    rows = zip(*cells, strict=True) if cells else iter([()] * count)
    first: dict[Any, int] = {}
    numbers: dict[Any, int] = {}
    place = np.empty(count, dtype=np.int64)
    for k, row in enumerate(rows):
        key = row if _hashable(row) else repr(row)
        place[k] = numbers.setdefault(key, len(numbers))
        first.setdefault(key, k)
    begins = list(first.values())
    return place, [tuple(column[k] for column in cells) for k in begins], begins


def _hashable(key: object) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True
