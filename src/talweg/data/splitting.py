"""The random division of rows into a training and a validation part; a seed repeats it.

Start reading at `split_rows`.
"""

import random
from collections.abc import Sequence

from talweg.errors import ArgumentError, DataError


def split_rows(
    rows: int, fraction: float, seed: int, classes: Sequence[int] | None = None
) -> tuple[list[int], list[int]]:
    """Divide row numbers between a training and a validation part.

    Args:
        rows: the number of rows.
        fraction: the fraction of the validation part, between 0 and 1.
        seed: the same seed gives the same parts.
        classes: the class of each row, to divide each class in about that fraction;
            None to ignore classes.

    Returns:
        The row numbers of the training part and of the validation part, both shuffled.

    Raises:
        ArgumentError: if the fraction is not between 0 and 1.
        DataError: if there are too few rows to divide.

    Example:
        >>> split_rows(5, fraction=0.4, seed=0)
        ([0, 4, 3], [2, 1])
    """
    if not 0.0 < fraction < 1.0:
        raise ArgumentError(argument="fraction", expected="a number between 0 and 1", got=fraction)
    order = list(range(rows))
    random.Random(seed).shuffle(order)
    groups: dict[int, list[int]] = {}
    if classes is None:
        groups[0] = order
    else:
        for row in order:
            groups.setdefault(classes[row], []).append(row)
    held = _held_back(list(groups.values()), fraction)
    if not held:
        where = "in the data set" if classes is None else "in any class"
        raise DataError(f"cannot split: there is only one row {where}", repair="two are needed")
    return [row for row in order if row not in held], [row for row in order if row in held]


def _held_back(groups: Sequence[Sequence[int]], fraction: float) -> set[int]:
    """The rows for validation: the fraction of each group within one row, never a whole group.

    Groups are visited from the smallest to the largest. Each gives rows until the total is the
    fraction of all rows visited, so a larger group makes up for what a small one cannot give.
    """
    rows = sum(map(len, groups))
    total = min(max(int(fraction * rows + 0.5), 1), rows - 1)
    held: set[int] = set()
    seen = 0
    for group in sorted(groups, key=len):
        seen += len(group)
        missing = int(total * seen / rows + 0.5) - len(held)
        held.update(group[: min(missing, len(group) - 1)])
    return held
