"""Which rows to train on and which to validate on, by chance but the same for the same seed."""

import random
from collections.abc import Sequence

from talweg.errors import ArgumentError, DataError


def split_rows(
    rows: int, fraction: float, seed: int, classes: Sequence[int] | None = None
) -> tuple[list[int], list[int]]:
    """Shares out row numbers between a training and a validation part.

    Args:
        rows: how many rows there are.
        fraction: the share of the validation part, between 0 and 1.
        seed: the same seed gives the same parts.
        classes: the class of each row, to share out each class in about that fraction;
            None to take the rows as they come.

    Returns:
        The row numbers of the training part and of the validation part, both shuffled.

    Raises:
        ArgumentError: if the fraction is not between 0 and 1.
        DataError: if no row can be held back.

    Example:
        >>> split_rows(5, fraction=0.4, seed=0)
        ([0, 4, 3], [2, 1])
    """
    if not 0.0 < fraction < 1.0:
        raise ArgumentError(f"fraction is {fraction}; expected a number between 0 and 1")
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
        raise DataError(f"cannot split: there is only one row {where}; two are needed")
    return [row for row in order if row not in held], [row for row in order if row in held]


def _held_back(groups: Sequence[Sequence[int]], fraction: float) -> set[int]:
    """The rows for validation: the fraction of each group to within a row, never all of one.

    Groups are taken from the smallest to the largest, each up to its share of the running
    total, so that what a small group cannot give comes from a larger one.
    """
    rows = sum(map(len, groups))
    total = min(max(int(fraction * rows + 0.5), 1), rows - 1)
    held: set[int] = set()
    seen = 0
    for group in sorted(groups, key=len):
        seen += len(group)
        wanted = int(total * seen / rows + 0.5) - len(held)
        held.update(group[: min(wanted, len(group) - 1)])
    return held
