"""What a sweep found: many runs as columns of numbers, and each one as a record on demand.

A million runs are cheap as long as nothing is made for each of them. So `SweepResult` holds
their settings as columns and their losses as one table, which may lie in memory or in a Zarr
array; a `Run` with its `History` is made when it is asked for. What is said of all runs (first,
last and lowest loss, verdict) is computed for many rows at once, in one pass over the table.

Start reading at `SweepResult`; its table, picture and closing words are made in
`talweg.explore.sweep_table`, `sweep_picture` and `closing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from talweg.explore import verdicts
from talweg.explore.verdicts import VERDICTS, Verdict
from talweg.history import History, Status

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    Array: TypeAlias = np.ndarray[Any, Any]

ENDS: tuple[Status, ...] = ("finished", "stopped early", "diverged", "interrupted")
"""How a run can have ended; `SweepResult.ends` holds places in it."""

_FINISHED, _STOPPED, _DIVERGED, _INTERRUPTED = range(4)

_BLOCK = 2**21
"""About how many losses are looked at together: 16 MB."""


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        settings: what it was made with: "learning_rate", "seed", and any other setting that was
            swept.
        history: its record.
        stop_at: the loss at which it was to stop, if there was one.

    Example:
        >>> run = Run({"learning_rate": 0.1, "seed": 42}, History([5.0, 0.2, 0.01]))
        >>> run.learning_rate, run.verdict
        (0.1, 'converged')
    """

    settings: dict[str, Any]
    history: History
    stop_at: float | None = None

    @property
    def learning_rate(self) -> Any:
        """The rate it was trained at."""
        return self.settings["learning_rate"]

    @property
    def seed(self) -> int:
        """The seed its weights were drawn from."""
        seed: int = self.settings["seed"]
        return seed

    @property
    def verdict(self) -> Verdict:
        """What became of it; the rules are in `talweg.explore.verdicts`.

        A run that `train` ended because a gradient was not finite has diverged too, though all
        losses before were.
        """
        if self.history.status == "diverged":
            return "diverged"
        return verdicts.verdict(self.history.losses, self.stop_at)

    @property
    def in_words(self) -> str:
        """The verdict with the numbers that led to it."""
        if self.history.status == "diverged":
            return f"diverged at step {self.history.steps}"
        if self.history.status == "interrupted":
            return f"interrupted after {self.history.steps} steps"
        return verdicts.in_words(self.history.losses, self.stop_at)

    @property
    def best_loss(self) -> float:
        """The lowest loss of any step; inf if none was finite."""
        return min(filter(math.isfinite, self.history.losses), default=math.inf)


@dataclass(frozen=True, eq=False)
class SweepResult:
    """The runs of a sweep, rates in the order given, and for each rate the seeds.

    Attributes:
        settings: for each setting one column with its value in each run; "learning_rate" and
            "seed" first.
        steps: how many steps each run was to make.
        curves: the losses, runs x steps, nan after the end of a run: a NumPy array, or what
            gives one when it is sliced, such as a Zarr array.
        lengths: how many losses each run has.
        ends: how each run ended, as a place in `ENDS`.
        history_of: makes the record of a run from its number.
        why_one_by_one: why they were not trained all at once by native code; empty if they were.
        interrupted: whether some runs are missing or cut short.
        stop_at: the loss at which a run was to stop, if there was one.
        limit_of: finds for a run, by its number, the largest stable learning rate at its first
            weights; None where that is unknown.
    """

    settings: Mapping[str, Array]
    steps: int
    curves: Any = field(repr=False)
    lengths: Array = field(repr=False)
    ends: Array = field(repr=False)
    history_of: Callable[[int], History] = field(repr=False)
    why_one_by_one: str = ""
    interrupted: bool = False
    stop_at: float | None = None
    limit_of: Callable[[int], float | None] | None = field(default=None, repr=False)

    @classmethod
    def of_runs(
        cls,
        runs: Sequence[Run],
        steps: int,
        *,
        why_one_by_one: str = "",
        interrupted: bool = False,
        limit_of: Callable[[int], float | None] | None = None,
    ) -> SweepResult:
        """The result of runs that are there already, all with the same settings.

        Args:
            runs: the runs, each with at least one loss.
            steps: how many steps each was to make.
            why_one_by_one: see `SweepResult`.
            interrupted: whether runs are missing; one that was cut short is noticed here.
            limit_of: see `SweepResult`.

        Example:
            >>> run = Run({"learning_rate": 0.1, "seed": 42}, History([5.0, 0.2]))
            >>> result = SweepResult.of_runs([run], steps=3)
            >>> result.losses.tolist(), result.verdicts
            ([[5.0, 0.2, nan]], ['descending'])
        """
        import numpy as np

        curves = np.full((len(runs), steps), np.nan)
        for row, run in zip(curves, runs, strict=True):
            row[: run.history.steps] = run.history.losses
        names = list(runs[0].settings) if runs else ["learning_rate", "seed"]
        ends = [0 if run.history.status == "running" else ENDS.index(run.history.status)
                for run in runs]  # fmt: skip
        return cls(
            {name: column([run.settings[name] for run in runs]) for name in names},
            steps,
            curves,
            np.array([run.history.steps for run in runs], dtype=np.int64),
            np.array(ends, dtype=np.int8),
            lambda k: runs[k].history,
            why_one_by_one,
            interrupted or _INTERRUPTED in ends,
            runs[0].stop_at if runs else None,
            limit_of,
        )

    # ---- one run at a time ------------------------------------------------------------------

    @cached_property
    def runs(self) -> Sequence[Run]:
        """The runs, each made when it is asked for."""
        return _RunsOnDemand(len(self), self._run)

    def _run(self, k: int) -> Run:
        settings = {name: values[k : k + 1].tolist()[0] for name, values in self.settings.items()}
        return Run(settings, self.history_of(k), self.stop_at)

    @property
    def best(self) -> Run | None:
        """The run with the lowest last loss that was neither diverged nor interrupted, if any."""
        import numpy as np

        whole = (self.codes != VERDICTS.index("diverged")) & (self.ends != _INTERRUPTED)
        if not whole.any():
            return None
        return self.runs[int(np.argmin(np.where(whole, self.final_losses, np.inf)))]

    # ---- all runs at once -------------------------------------------------------------------

    @property
    def losses(self) -> Array:
        """All losses as an array, runs x steps; nan after the end of a run that diverged."""
        import numpy as np

        return np.array(self.curves[:], dtype=np.float64)

    @property
    def verdicts(self) -> list[Verdict]:
        """One word a run: converged, descending, oscillating, stuck or diverged."""
        return [VERDICTS[code] for code in self.codes.tolist()]

    @property
    def codes(self) -> Array:
        """The verdicts as places in `talweg.explore.verdicts.VERDICTS`."""
        return self._facts[0]

    @property
    def first_losses(self) -> Array:
        """The first loss of each run."""
        return self._facts[1]

    @property
    def final_losses(self) -> Array:
        """The last loss of each run, not finite where that ended it."""
        return self._facts[2]

    @property
    def best_losses(self) -> Array:
        """The lowest loss of any step of each run; inf if none was finite."""
        return self._facts[3]

    @cached_property
    def _facts(self) -> tuple[Array, Array, Array, Array]:
        """Verdicts, first, last and lowest losses, in one pass over the table."""
        import numpy as np

        codes = np.empty(len(self), dtype=np.int8)
        first, last, lowest = np.empty((3, len(self)))
        for rows, block in self.blocks():
            lengths = self.lengths[rows]
            codes[rows] = verdicts.verdict_codes(block, lengths, self.stop_at)
            first[rows] = block[:, 0]
            last[rows] = block[np.arange(len(block)), lengths - 1]
            lowest[rows] = np.where(np.isfinite(block), block, np.inf).min(axis=1)
        codes[self.ends == _DIVERGED] = VERDICTS.index("diverged")
        return codes, first, last, lowest

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """The losses a few runs at a time: which runs, and their part of the table."""
        import numpy as np

        stored = getattr(self.curves, "chunks", None)  # what Zarr reads in one piece
        piece = stored[0] if stored else 1
        count = piece * max(1, _BLOCK // (piece * self.steps))
        for begin in range(0, len(self), count):
            rows = slice(begin, min(begin + count, len(self)))
            yield rows, np.asarray(self.curves[rows], dtype=np.float64)

    # ---- shown --------------------------------------------------------------------------

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the loss of every run over the steps.

        Args:
            ax: the matplotlib Axes to draw into; a new figure if None.

        Returns:
            The Axes.
        """
        from talweg.draw import curves

        several = len({run.seed for run in self.runs}) > 1
        labels = [
            f"{run.learning_rate:g}, seed {run.seed}" if several else f"{run.learning_rate:g}"
            for run in self.runs
        ]
        named = zip(labels, [run.history.losses for run in self.runs], strict=True)
        return curves.rates(list(named), title="Effect of the learning rate", ax=ax)

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        best = self.best
        found = "all diverged" if best is None else f"best rate {best.learning_rate:g}"
        return f"SweepResult({len(self)} runs of {self.steps} steps, {found})"


class _RunsOnDemand(Sequence[Run]):
    """Runs whose records are written when they are asked for, and forgotten with them.

    Args:
        count: how many runs.
        make: makes a run from its number.
    """

    def __init__(self, count: int, make: Callable[[int], Run]) -> None:
        self._numbers = range(count)
        self._make = make
        self._made: WeakValueDictionary[int, Run] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[k] for k in self._numbers[index]]
        k = self._numbers[index]
        run = self._made.get(k)
        if run is None:
            run = self._made[k] = self._make(k)
        return run


# ---- columns of settings ------------------------------------------------------------------------


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
