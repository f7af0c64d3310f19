"""Reading options that are lists, and refusing what cannot work before the work begins."""

from __future__ import annotations

import csv
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

from cyclopts import Parameter, Token

from talweg import optim
from talweg.errors import ArgumentError
from talweg.explore.range_test import geometric
from talweg.plotting.figure import checked_suffix

Kind: TypeAlias = Literal["auto", "regression", "classification"]
OptimizerName: TypeAlias = Literal["sgd", "adam", "adamw", "rmsprop"]
ActivationName: TypeAlias = Literal["tanh", "relu", "sigmoid", "softplus", "sin", "linear"]
LossName: TypeAlias = Literal["squared_error", "hinge", "binary_cross_entropy", "cross_entropy"]


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """cyclopts takes 1.5 for a whole number, and cuts it off."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"expected a whole number, got {tokens[0].value!r}") from None


Whole: TypeAlias = Annotated[int, Parameter(converter=_whole)]
"""A whole number on the command line."""

OPTIMIZERS: dict[str, Callable[[float], optim.Optimizer]] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
}

FIGURES = (".png", ".svg", ".pdf")

T = TypeVar("T", int, float)


def numbers(option: str, text: str, kind: type[T]) -> list[T]:
    """The numbers in a list such as `0.01,0.1`.

    Args:
        option: its name, for the message.
        text: what was given.
        kind: `int` or `float`.

    Raises:
        ArgumentError: naming the first entry that is no such number.

    >>> numbers("--lr", "0.01, 0.1", float)
    [0.01, 0.1]
    """
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ArgumentError(f"{option} takes {what} separated by commas, got {text!r}") from None


def rates(option: str, text: str) -> list[float]:
    """The learning rates in a list such as `0.01,0.1`, or in a range such as `0.001..1:50`.

    A range has so many rates from the first to the last, each the same multiple of the one
    before.

    Args:
        option: its name, for the message.
        text: what was given.

    Raises:
        ArgumentError: if it is neither.

    >>> rates("--lr", "0.01..1:3"), rates("--lr", "0.5")
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
    """The names in a list such as `id,date`; a name with a comma stands in double quotes.

    >>> names('id,"price, net"')
    ['id', 'price, net']
    """
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def layer_sizes(text: str) -> list[int]:
    """The hidden layers in a list such as `16,16`, or in `none`.

    Raises:
        ArgumentError: if a size is not a whole number of at least 1.

    >>> layer_sizes("16,8"), layer_sizes("none")
    ([16, 8], [])
    """
    sizes = [] if text.strip() == "none" else numbers("--hidden", text, int)
    if any(size < 1 for size in sizes):
        raise ArgumentError(f"--hidden takes sizes of at least 1, or none, got {text!r}")
    return sizes


def at_least_1(option: str, number: int) -> int:
    """The number, if it is at least 1.

    Raises:
        ArgumentError: if it is not.
    """
    if number < 1:
        raise ArgumentError(f"{option} must be at least 1, got {number}")
    return number


def destination(
    option: str, given: Path | None, otherwise: str | None, without: bool, suffixes: Sequence[str]
) -> Path | None:
    """Where to write a file, refused now if that cannot work, not after the training.

    Args:
        option: the name of the option, such as `--plot`.
        given: what it was given, if anything.
        otherwise: where to write if nothing was given; None for nowhere.
        without: whether the option's opposite, such as `--no-plot`, was given.
        suffixes: those that the file may have.

    Returns:
        The path, or None if nothing is to be written.

    Raises:
        ArgumentError: if option and opposite were given, the suffix is another, or the
            folder is not there or cannot be written to.
    """
    if without:
        if given is not None:
            opposite = option.replace("--", "--no-")
            raise ArgumentError(f"{option} and {opposite} contradict each other; give one of them")
        return None
    if given is None and otherwise is None:
        return None
    path = Path(otherwise or "") if given is None else given
    checked_suffix(path, suffixes, f"the file of {option}")
    folder = path.parent
    if not folder.is_dir():
        raise ArgumentError(f"{option} {path}: there is no folder {str(folder)!r}; make it first")
    if path.is_dir() or not _can_be_written_to(folder):
        what = "is a folder" if path.is_dir() else "cannot be written there"
        raise ArgumentError(f"{option} {path}: this {what}; name a file in a folder of yours")
    return path


def _can_be_written_to(folder: Path) -> bool:
    """Found out by trying: root may write by its rights where the system does not let it."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
