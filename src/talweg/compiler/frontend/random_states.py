"""Random numbers that a function draws: the states of generators, before and after it runs.

Start reading at `RandomStates`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np


class Change(NamedTuple):
    """Something that a run has changed, and that is no number of the program.

    Attributes:
        name: what is changed, such as "`thing.calls`".
        what: the change in words, such as "changes `thing.calls` from 0 to 1".
        repair: what to do instead.
    """

    name: str
    what: str
    repair: str


class RandomStates:
    """The states of all generators of random numbers that a call may draw from.

    These are `random`, `numpy.random`, PyTorch's if it is loaded, and those among the arguments and
    outside of the function.

    Args:
        generators: the latter.
    """

    def __init__(self, generators: Sequence[Any]) -> None:
        torch = sys.modules.get("torch")
        self._sources: list[tuple[str, Callable[[], Any], Callable[[Any], None]]] = [
            ("random", random.getstate, random.setstate),
            ("numpy.random", np.random.get_state, np.random.set_state),
        ]
        if torch is not None:
            self._sources.append(("torch", torch.get_rng_state, torch.set_rng_state))
        self._sources += [_source(x) for x in generators]
        self._before = [read() for _, read, _ in self._sources]

    def changes(self) -> Iterator[Change]:
        """The generators that were drawn from."""
        for (name, read, _), before in zip(self._sources, self._before, strict=True):
            if _comparable(read()) != _comparable(before):
                yield Change(
                    name,
                    f"draws random numbers from {name}",
                    "draw them outside and give them as an argument, such as a mask; or give a "
                    "seed, an integer, and make the generator inside: random.Random(seed)",
                )

    def restore(self) -> None:
        """Put the states back."""
        for (_, read, write), before in zip(self._sources, self._before, strict=True):
            if _comparable(read()) != _comparable(before):
                write(before)


def _source(x: Any) -> tuple[str, Callable[[], Any], Callable[[Any], None]]:
    name = f"a {type(x).__module__.partition('.')[0]}.{type(x).__name__}"
    if isinstance(x, random.Random):
        return name, x.getstate, x.setstate
    if isinstance(x, np.random.RandomState):
        return name, x.get_state, x.set_state
    bits = x if isinstance(x, np.random.BitGenerator) else x.bit_generator
    return name, lambda: bits.state, lambda state: setattr(bits, "state", state)


def _comparable(state: Any) -> Any:
    """A state of a generator as something that `==` compares."""
    if isinstance(state, dict):
        return {name: _comparable(part) for name, part in state.items()}
    if isinstance(state, tuple):
        return tuple([_comparable(part) for part in state])
    return np.asarray(state).tobytes() if hasattr(state, "__array__") else state
