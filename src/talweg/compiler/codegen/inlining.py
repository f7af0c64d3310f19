"""Which operations are computed in place, and which by calls of one function.

A long operation, such as a tanh of 45 instructions, is a function of the module
(`codegen/operations.py`). LLVM replaces a call by the body of the function, which saves the call
and lets several operations be computed at once. But the time that LLVM takes grows faster than the
text: a program of 250 powers in place takes more than a minute. So the bodies in place have
together at most `LONGEST_EXPANSION` instructions. In a program with more of them the operations
with most instructions remain calls.

Start reading at `inlined_functions`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

LONGEST_EXPANSION = 4_000
"""The instructions that bodies in place have together, in all functions of a module. LLVM takes up
to 0.3 s for them. Programs that are mostly loops have less: a call in a loop is one call."""


class Callable(Protocol):
    """A function of a module.

    Attributes:
        inline: whether calls may be replaced by its body.
        calls: how many calls of other functions its text has.
    """

    inline: bool | None

    @property
    def calls(self: F) -> Mapping[F, int]: ...  # noqa: D102

    def __len__(self) -> int: ...
    def __hash__(self) -> int: ...


F = TypeVar("F", bound=Callable)


def inlined_functions(functions: Iterable[F]) -> frozenset[F]:
    """The functions that are inlined, of those that may be.

    Args:
        functions: all functions of a module.

    Returns:
        Those whose calls LLVM should replace by their bodies.
    """
    everything = list(functions)
    inlined = {f for f in everything if f.inline}
    while True:
        parts = _instructions_in_place(everything, inlined)
        if parts.total() <= LONGEST_EXPANSION:
            return frozenset(inlined)
        inlined.remove(max(parts, key=parts.__getitem__))


def _instructions_in_place(functions: list[F], inlined: set[F]) -> Counter[F]:
    """For each inlined function the instructions of all its copies, if there are any."""
    copies: Counter[F] = Counter()

    def add(f: F, times: int) -> None:
        for called, count in f.calls.items():
            if called in inlined:
                copies[called] += times * count
                add(called, times * count)

    for f in functions:
        if f not in inlined:
            add(f, 1)
    return Counter({f: count * len(f) for f, count in copies.items()})
