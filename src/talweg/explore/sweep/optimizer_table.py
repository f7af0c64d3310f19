"""The optimisers of a sweep as columns: learning rates and other numbers as arrays.

There is one entry for each combination of the settings that `optimizer` takes, the learning rate
varying fastest (`Specification.optimizer_names`). Entries whose zeros are in the same settings are
of one *kind*: equations leave out what is zero, so optimisers of a kind are one program for native
code, which reads the numbers that differ from arrays.

For the optimisers of talweg no object is made for each entry. A constructor there accepts an
interval of numbers for each setting, whatever the others are as long as the same ones are zero.
So the entries with the smallest and the largest number of a setting stand for all of a kind
(`ByClass`). Any other function is called for each entry (`ByFunction`).

Start reading at `optimizer_table`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from itertools import chain, product
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from talweg._util.gc_pause import collection_paused
from talweg.errors import ArgumentError
from talweg.explore.sweep.columns import crossed
from talweg.explore.sweep.specification import Specification
from talweg.optim import Optimizer
from talweg.training.optimizer_family import Family, family_of, first_rates

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]


class OptimizerTable(Protocol):
    """The optimisers of a sweep, by the number of their combination of settings.

    Attributes:
        kind: the kind of each combination, from 0.
        families: of each kind what its optimisers have in common.
    """

    kind: Array

    @property
    def families(self) -> list[Family]:
        """See above.

        Raises:
            NativeError: if the optimisers of a kind are not one program.
        """

    def rates(self, entries: Array, family: Family, steps: int) -> Array:
        """The learning rates of some optimisers of a kind.

        Args:
            entries: the numbers of their combinations.
            family: of the kind.
            steps: how many steps are made.

        Returns:
            The rates, shape (entries,); shape (steps, entries) if some follow a schedule.
        """

    def numbers(self, name: str, entries: Array) -> Array:
        """One of the settings in which the optimisers of a kind differ, shape (entries,)."""


def optimizer_table(specification: Specification) -> OptimizerTable:
    """The optimisers of a sweep.

    Raises:
        ArgumentError: if a setting is invalid, or `optimizer` makes something else.

    Example:
        >>> from talweg import MLP, SGD, lesson_data
        >>> specification = Specification(
        ...     lambda rng: MLP(3, [1], rng=rng), SGD, list(lesson_data()),
        ...     {"momentum": [0.0, 0.5, 0.9], "learning_rate": [0.1, 1.0], "seed": [1]},
        ...     5, {}, "native", "default", None, None, {"momentum": "optimizer"},
        ... )
        >>> table = optimizer_table(specification)
        >>> table.kind.tolist(), [family.varied for family in table.families]
        ([0, 0, 1, 1, 1, 1], [(), ('momentum',)])
    """
    if _is_known(specification):
        # If a number is refused, `ByFunction` finds the first such entry.
        with suppress(ArgumentError, OverflowError):
            return ByClass(specification)
    return ByFunction(specification)


# ---- optimisers of talweg ----------------------------------------------------------------------


def _is_known(specification: Specification) -> bool:
    """Whether the optimiser is one of talweg's classes, and all its settings are numbers."""
    make = specification.optimizer
    if not (isinstance(make, type) and make.__module__ == Optimizer.__module__):
        return False
    values = [specification.choices[name] for name in specification.optimizer_names]
    return set(map(type, chain.from_iterable(values))) <= {float, int, bool}


class ByClass:
    """The table of one of talweg's optimisers; see `OptimizerTable`."""

    def __init__(self, specification: Specification) -> None:
        import numpy as np

        names, choices = specification.optimizer_names, specification.choices
        self.columns = crossed({name: np.array(choices[name], dtype=float) for name in names})
        is_not_zero = np.zeros(specification.combinations(names), dtype=np.int64)
        for bit, name in enumerate(names[:-1]):
            is_not_zero += (self.columns[name] != 0.0).astype(np.int64) << bit
        patterns, first = np.unique(is_not_zero, return_index=True)
        patterns = patterns[np.argsort(first)]
        rank = np.empty(1 << len(names[:-1]), dtype=np.int64)
        rank[patterns] = np.arange(len(patterns))
        self.kind = rank[is_not_zero]
        self._extremes = [
            [
                self._made(specification, entry)
                for entry in self._extreme_entries(np.flatnonzero(self.kind == k))
            ]
            for k in range(len(patterns))
        ]

    def _extreme_entries(self, entries: Array) -> list[int]:
        """The first of some entries, and those with the smallest and largest number of a setting.

        Where numbers are not finite, the first that is not is among them.
        """
        found = {int(entries[0])}
        for column in self.columns.values():
            of_entries = column[entries]
            found |= {int(entries[of_entries.argmin()]), int(entries[of_entries.argmax()])}
        return sorted(found)

    def _made(self, specification: Specification, entry: int) -> Optimizer:
        settings = {}
        for name in reversed(specification.optimizer_names):
            values = specification.choices[name]
            settings[name], entry = values[entry % len(values)], entry // len(values)
        return specification.optimizer_of(settings)

    @cached_property
    def families(self) -> list[Family]:
        """What the optimisers of each kind have in common."""
        return [family_of(optimizers) for optimizers in self._extremes]

    def rates(self, entries: Array, family: Family, steps: int) -> Array:
        """The learning rates; none of them follows a schedule."""
        return self.columns["learning_rate"][entries]

    def numbers(self, name: str, entries: Array) -> Array:
        """A setting in which the optimisers differ."""
        return self.columns[name][entries]


# ---- any other function ------------------------------------------------------------------------


class ByFunction:
    """The table of optimisers that a function makes; see `OptimizerTable`."""

    def __init__(self, specification: Specification) -> None:
        import numpy as np

        choices, names = specification.choices, specification.optimizer_names
        with collection_paused():
            self.optimizers = [
                specification.optimizer_of(dict(zip(names, values, strict=True)))
                for values in product(*(choices[name] for name in names))
            ]
        numbers: dict[tuple[str, ...], int] = {}
        kinds = [numbers.setdefault(_not_zero(x), len(numbers)) for x in self.optimizers]
        self.kind = np.array(kinds)

    @cached_property
    def families(self) -> list[Family]:
        """What the optimisers of each kind have in common."""
        alike: list[list[Optimizer]] = [[] for _ in range(int(self.kind.max()) + 1)]
        for optimizer, k in zip(self.optimizers, self.kind.tolist(), strict=True):
            alike[k].append(optimizer)
        return [family_of(optimizers) for optimizers in alike]

    def rates(self, entries: Array, family: Family, steps: int) -> Array:
        """The learning rates; by steps where some follow a schedule."""
        import numpy as np

        if not family.scheduled:
            return np.array([self.optimizers[k].lr for k in entries.tolist()], dtype=float)
        distinct, number = np.unique(entries, return_inverse=True)
        rates = [first_rates(self.optimizers[k], steps) for k in distinct.tolist()]
        return np.array(rates)[number].T

    def numbers(self, name: str, entries: Array) -> Array:
        """A setting in which the optimisers differ."""
        import numpy as np

        return np.array([vars(self.optimizers[k])[name] for k in entries.tolist()], dtype=float)


def _not_zero(optimizer: Optimizer) -> tuple[str, ...]:
    """The names of the numbers of an optimiser that are not zero, without the learning rate."""
    numbers = vars(optimizer).items()
    return tuple([n for n, x in numbers if isinstance(x, (int, float)) and x and n != "lr"])
