"""Options whose text is a list: numbers, learning rates, names, sizes of layers."""

from __future__ import annotations

import csv
import math
from typing import TypeVar

from talweg.errors import ArgumentError
from talweg.explore.range_test import geometric

T = TypeVar("T", int, float)


def numbers(option: str, text: str, kind: type[T]) -> list[T]:
    """The numbers in a list such as `0.01,0.1`.

    Args:
        option: its name, for the message.
        text: the value of the option.
        kind: `int` or `float`.

    Raises:
        ArgumentError: if an entry is not such a number.

    >>> numbers("--lr", "0.01, 0.1", float)
    [0.01, 0.1]
    """
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError:
        what = "integers" if kind is int else "numbers"
        raise ArgumentError(f"{option} takes {what} separated by commas, got {text!r}") from None


def learning_rates(option: str, text: str) -> list[float]:
    """The learning rates in a list such as `0.01,0.1`, or in a range such as `0.001..1:50`.

    The range LOW..HIGH:COUNT has COUNT rates from LOW to HIGH with one ratio between neighbours.

    Args:
        option: its name, for the message.
        text: the value of the option.

    Raises:
        ArgumentError: if it is neither.

    >>> learning_rates("--lr", "0.01..1:3"), learning_rates("--lr", "0.5")
    ([0.01, 0.1, 1.0], [0.5])
    """
    low, dots, rest = text.partition("..")
    if not dots:
        return numbers(option, text, float)
    high, _, count = rest.partition(":")
    try:
        first, last, many = float(low), float(high), int(count)
    except ValueError:
        raise ArgumentError(
            f"{option} takes a range as LOW..HIGH:COUNT, such as 0.001..1:50, got {text!r}"
        ) from None
    if not (0.0 < first < last < math.inf and many >= 2):
        raise ArgumentError(
            f"{option} takes a range from above 0 to a larger rate, of at least 2 rates, "
            f"got {text!r}"
        )
    return geometric(first, last, many)


def names(text: str) -> list[str]:
    """The names in a list such as `id,date`; a name with a comma is in double quotes.

    >>> names('id,"price, net"')
    ['id', 'price, net']
    """
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def layer_sizes(text: str) -> list[int]:
    """The sizes of the hidden layers in a list such as `16,16`; `none` has no layers.

    Raises:
        ArgumentError: if a size is not an integer of at least 1.

    >>> layer_sizes("16,8"), layer_sizes("none")
    ([16, 8], [])
    """
    sizes = [] if text.strip() == "none" else numbers("--hidden", text, int)
    if any(size < 1 for size in sizes):
        raise ArgumentError(f"--hidden takes sizes of at least 1, or none, got {text!r}")
    return sizes
