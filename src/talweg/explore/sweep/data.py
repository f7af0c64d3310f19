"""The data of a sweep's result: settings, losses and outcomes of many runs as columns.

Nothing is made for each run, so a million runs are some arrays. The losses are one array, in
memory or on disk (Zarr). What follows from them (first, last and lowest loss, verdict) is computed
for blocks of rows, in one pass.

`talweg.explore.sweep.table`, `picture` and `conclusion` are functions of `SweepData`. Users have a
`SweepResult` (`talweg.explore.sweep.result`), which is the data with these functions as methods.

Start reading at `SweepData`, then `Facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from talweg.explore import verdicts
from talweg.explore.sweep.columns import groups
from talweg.explore.sweep.task_result import ENDS
from talweg.explore.verdicts import VERDICTS, Verdict
from talweg.training.history import History, Status

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]

_DIVERGED, _INTERRUPTED = ENDS.index("diverged"), ENDS.index("interrupted")

_BLOCK = 2**17
"""About how many losses a block has: 1 MB, which the caches of a processor hold."""


@dataclass(frozen=True)
class Facts:
    """What follows from the losses of each run.

    Attributes:
        codes: the verdict, as an index of `talweg.explore.verdicts.VERDICTS`.
        first: the first loss.
        last: the last loss, not finite where that ended the run.
        lowest: the lowest loss of any step; inf if none was finite.
    """

    codes: Array
    first: Array
    last: Array
    lowest: Array


@dataclass(frozen=True, eq=False, repr=False)
class SweepData:
    """The runs of a sweep, one entry of each array a run.

    Attributes:
        settings: for each setting one column with its value in each run; "learning_rate" and
            "seed" first.
        steps: how many steps each run was to make.
        curves: the losses, runs x steps, nan after the end of a run: a NumPy array, or what
            gives one when it is sliced, such as a Zarr array.
        lengths: how many losses each run has.
        ends: how each run ended, as an index of `ENDS`.
        history_of: makes the record of a run from its number.
        fallback_reason: why they were not trained all at once by native code; empty if they were.
        interrupted: whether some runs are missing or cut short.
        stop_at: the loss at which a run was to stop, if there was one.
        limit_of: finds for a run, by its number, the largest stable learning rate at its first
            weights; None where that is unknown.
    """

    settings: Mapping[str, Array]
    steps: int
    curves: Any
    lengths: Array
    ends: Array
    history_of: Callable[[int], History]
    fallback_reason: str = ""
    interrupted: bool = False
    stop_at: float | None = None
    limit_of: Callable[[int], float | None] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    # ---- losses -----------------------------------------------------------------------------

    @property
    def losses(self) -> Array:
        """All losses as an array, runs x steps; nan after the end of a run that diverged."""
        import numpy as np

        return np.array(self.curves[:], dtype=np.float64)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """The losses of some runs at a time: which runs, and their rows of the losses."""
        import numpy as np

        chunks = getattr(self.curves, "chunks", None)  # what Zarr reads in one piece
        chunk = chunks[0] if chunks else 1
        count = chunk * max(1, _BLOCK // (chunk * self.steps))
        for start in range(0, len(self), count):
            rows = slice(start, min(start + count, len(self)))
            yield rows, np.asarray(self.curves[rows], dtype=np.float64)

    @cached_property
    def facts(self) -> Facts:
        """Verdicts, first, last and lowest losses."""
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
        return Facts(codes, first, last, lowest)

    @property
    def codes(self) -> Array:
        """The verdicts as indices of `talweg.explore.verdicts.VERDICTS`."""
        return self.facts.codes

    @property
    def verdicts(self) -> list[Verdict]:
        """One word a run: converged, descending, oscillating, stuck or diverged."""
        return [VERDICTS[code] for code in self.codes.tolist()]

    @property
    def first_losses(self) -> Array:
        """The first loss of each run."""
        return self.facts.first

    @property
    def final_losses(self) -> Array:
        """The last loss of each run, not finite where that ended it."""
        return self.facts.last

    @property
    def best_losses(self) -> Array:
        """The lowest loss of any step of each run; inf if none was finite."""
        return self.facts.lowest

    # ---- ends -------------------------------------------------------------------------------

    @property
    def how_ended(self) -> list[Status]:
        """The status of each run: finished, stopped early, diverged or interrupted."""
        return [ENDS[end] for end in self.ends.tolist()]

    @property
    def whole(self) -> Array:
        """Which runs were not cut short by Ctrl-C."""
        whole: Array = self.ends != _INTERRUPTED
        return whole

    # ---- the largest stable learning rate ---------------------------------------------------

    @cached_property
    def max_stable_lrs(self) -> Array:
        """The largest stable learning rate at the first weights of each run; nan where unknown.

        It is that of `talweg.sharpness` for the run's optimiser, and is found once for all runs
        that differ in their rate alone.
        """
        import numpy as np

        if self.limit_of is None:
            return np.full(len(self), np.nan)
        others = [name for name in self.settings if name != "learning_rate"]
        number, _, first = groups(self.settings, others)
        found = [self.limit_of(k) for k in first]
        known = np.array([np.nan if limit is None else limit for limit in found], dtype=np.float64)
        return known[number]

    @property
    def lr_over_limit(self) -> Array:
        """The learning rate of each run, divided by its `max_stable_lrs`; nan where unknown."""
        import numpy as np

        rates: Array = np.asarray(self.settings["learning_rate"], dtype=np.float64)
        return rates / self.max_stable_lrs


Data = TypeVar("Data", bound=SweepData)


def select(data: Data, rows: Array) -> Data:
    """Some runs of a result; losses that are not in memory yet are read for these.

    Args:
        data: the result.
        rows: the numbers of the runs, in ascending order.
    """
    import numpy as np

    curves = [
        block[rows[(rows >= part.start) & (rows < part.stop)] - part.start]
        for part, block in data.blocks()
    ]
    number, history_of, limit_of = rows.tolist(), data.history_of, data.limit_of
    return replace(
        data,
        settings={name: values[rows] for name, values in data.settings.items()},
        curves=np.concatenate(curves),
        lengths=data.lengths[rows],
        ends=data.ends[rows],
        history_of=lambda k: history_of(number[k]),
        limit_of=None if limit_of is None else lambda k: limit_of(number[k]),
    )
