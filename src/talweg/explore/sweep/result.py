"""What a sweep found: many runs as columns of numbers, and each one as a record on demand.

A million runs are cheap as long as nothing is made for each of them. So `SweepResult` holds
their settings as columns and their losses as one table, which may lie in memory or in a Zarr
array; a `Run` with its `History` is made when it is asked for. What is said of all runs (first,
last and lowest loss, verdict) is computed for many rows at once, in one pass over the table.

Start reading at `SweepResult`; its table, picture and closing words are made in
`talweg.explore.sweep.table`, `picture` and `closing`.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg._util.atomic_files import write_whole
from talweg._util.deprecation import RenamedAttribute
from talweg.errors import ArgumentError
from talweg.explore import verdicts
from talweg.explore.sharpness import beside_limit
from talweg.explore.sweep import conclusion, picture, table
from talweg.explore.sweep.columns import among, column, groups
from talweg.explore.sweep.run import Run, RunsOnDemand
from talweg.explore.verdicts import VERDICTS, Verdict
from talweg.training.history import History, Status

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from matplotlib.axes import Axes

    Array: TypeAlias = np.ndarray[Any, Any]

ENDS: tuple[Status, ...] = ("finished", "stopped early", "diverged", "interrupted")
"""How a run can have ended; `SweepResult.ends` holds places in it."""

_DIVERGED, _INTERRUPTED = ENDS.index("diverged"), ENDS.index("interrupted")

_BLOCK = 2**21
"""About how many losses are looked at together: 16 MB."""


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
        fallback_reason: why they were not trained all at once by native code; empty if they were.
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
    fallback_reason: str = ""
    interrupted: bool = False
    stop_at: float | None = None
    limit_of: Callable[[int], float | None] | None = field(default=None, repr=False)

    in_words = RenamedAttribute("summary")
    why_one_by_one = RenamedAttribute("fallback_reason")
    limits = RenamedAttribute("max_stable_lrs")
    of_limit = RenamedAttribute("lr_over_limit")

    @classmethod
    def of_runs(
        cls,
        runs: Sequence[Run],
        steps: int,
        *,
        fallback_reason: str = "",
        interrupted: bool = False,
        limit_of: Callable[[int], float | None] | None = None,
    ) -> SweepResult:
        """The result of runs that are there already, all with the same settings.

        Args:
            runs: the runs, each with at least one loss, all with the same `stop_at`.
            steps: how many steps each was to make.
            fallback_reason: see `SweepResult`.
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
            fallback_reason,
            interrupted or _INTERRUPTED in ends,
            runs[0].stop_at if runs else None,
            limit_of,
        )

    # ---- one run at a time ------------------------------------------------------------------

    @cached_property
    def runs(self) -> Sequence[Run]:
        """The runs, each made when it is asked for."""
        return RunsOnDemand(len(self), self._run)

    def _run(self, k: int) -> Run:
        settings = {name: values[k : k + 1].tolist()[0] for name, values in self.settings.items()}
        return Run(settings, self.history_of(k), self.stop_at)

    @property
    def best(self) -> Run | None:
        """The run with the lowest last loss that was neither diverged nor interrupted, if any."""
        import numpy as np

        whole = (self.codes != VERDICTS.index("diverged")) & self.whole
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

    @property
    def how_ended(self) -> list[Status]:
        """The status of each run: finished, stopped early, diverged or interrupted."""
        return [ENDS[end] for end in self.ends.tolist()]

    @property
    def whole(self) -> Array:
        """Which runs were not cut short by Ctrl-C."""
        whole: Array = self.ends != _INTERRUPTED
        return whole

    # ---- the limit at the start -------------------------------------------------------------

    @cached_property
    def max_stable_lrs(self) -> Array:
        """The largest stable learning rate at the first weights of each run; nan where unknown.

        It is that of `talweg.sharpness` for the run's optimiser, and is found once for all runs
        that differ in their rate alone.
        """
        import numpy as np

        if self.limit_of is None:
            return np.full(len(self), np.nan)
        place, _, first = groups(
            self.settings, [name for name in self.settings if name != "learning_rate"]
        )
        found = [self.limit_of(k) for k in first]
        known = np.array([np.nan if limit is None else limit for limit in found], dtype=np.float64)
        return known[place]

    @property
    def lr_over_limit(self) -> Array:
        """The learning rate of each run, as a multiple of its limit; nan where that is unknown."""
        import numpy as np

        rates: Array = np.asarray(self.settings["learning_rate"], dtype=np.float64)
        return rates / self.max_stable_lrs

    def describe_limit(self, k: int) -> str:
        """What to expect of a run's learning rate at its first weights.

        Args:
            k: the number of the run.

        Returns:
            One sentence such as "0.18 is 1.8 times the limit at the start, 0.1: expect a spike
            first"; empty where the limit is unknown.
        """
        limit = float(self.max_stable_lrs[k])
        if math.isnan(limit):
            return ""
        return beside_limit(float(self.settings["learning_rate"][k]), limit, "at the start")

    # ---- selecting --------------------------------------------------------------------------

    def where(self, **settings: Any) -> SweepResult:
        """The runs with these settings.

        Losses that are not in memory yet are read for these runs.

        Args:
            **settings: for each setting by its name a value, or a list of values that it may
                have.

        Returns:
            A `SweepResult` of the matching runs, in the same order.

        Raises:
            ArgumentError: if there is no such setting, or no such run.

        Example:
            >>> runs = [Run({"learning_rate": 0.1, "seed": k}, History([5.0, 1.0])) for k in (1, 2)]
            >>> SweepResult.of_runs(runs, steps=2).where(seed=2).runs[0].seed
            2
        """
        import numpy as np

        chosen = np.ones(len(self), dtype=bool)
        for name, wanted in settings.items():
            if name not in self.settings:
                raise ArgumentError(
                    f"the sweep has no setting {name!r}; it has {', '.join(self.settings)}"
                )
            chosen &= among(self.settings[name], wanted)
        if not chosen.any():
            asked = ", ".join(f"{name}={wanted!r}" for name, wanted in settings.items())
            raise ArgumentError(f"the sweep has no run with {asked}; see result.table")
        return self._selected(np.flatnonzero(chosen))

    def _selected(self, rows: Array) -> SweepResult:
        import numpy as np

        curves = [block[rows[(rows >= r.start) & (rows < r.stop)] - r.start]
                  for r, block in self.blocks()]  # fmt: skip
        number, limit_of = rows.tolist(), self.limit_of
        return SweepResult(
            {name: values[rows] for name, values in self.settings.items()},
            self.steps,
            np.concatenate(curves),
            self.lengths[rows],
            self.ends[rows],
            lambda k: self.history_of(number[k]),
            self.fallback_reason,
            self.interrupted,
            self.stop_at,
            None if limit_of is None else lambda k: limit_of(number[k]),
        )

    # ---- shown --------------------------------------------------------------------------

    @property
    def summary(self) -> str:
        """The verdict of the whole sweep; the rules are in `talweg.explore.sweep.conclusion`.

        For example "best rate 0.1; stable up to 0.1; at 1 it gets stuck, not unstable".
        """
        return conclusion.closing_words(self)

    @cached_property
    def table(self) -> pl.DataFrame:
        """A polars DataFrame with one row a run.

        Its columns are the settings, steps, first_loss, final_loss, best_loss, verdict, status
        and, where a limit is known, limit (the largest stable rate at the start) and lr_over_limit
        (the rate as a multiple of it).
        """
        return table.table(self)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as CSV.

        Args:
            path: the file to write; it is replaced in one piece.

        Returns:
            The path written.

        Raises:
            OSError: if the folder does not exist or cannot be written to.
        """
        return write_whole(path, self.table.write_csv())

    def to_parquet(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as Parquet.

        Args:
            path: the file to write; it is replaced in one piece.

        Returns:
            The path written.

        Raises:
            OSError: if the folder does not exist or cannot be written to.
        """
        content = io.BytesIO()
        self.table.write_parquet(content)
        return write_whole(path, content.getvalue())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table for other libraries, such as `polars.DataFrame(result)`."""
        return self.table.__arrow_c_stream__(requested_schema)

    def plot(self, ax: Axes | None = None, kind: picture.Kind = "auto") -> Axes:
        """Draw the sweep.

        Args:
            ax: the matplotlib Axes to draw into; a new figure if None.
            kind: "curves" for the loss of every run over the steps; "rates" for the final loss
                over the learning rate, with the verdicts and the spread over seeds; "auto" for
                curves of up to 8 runs of one seed, else rates.

        Returns:
            The Axes.

        Raises:
            ArgumentError: if there are no runs, or more than the picture can show: `where`
                selects some.
        """
        return picture.plot(self, kind, ax)

    def png(self) -> bytes:
        """The picture of `plot` as the content of a PNG file."""
        return picture.png(self)

    def _repr_html_(self) -> str:
        return table.as_html(self)

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        best = self.best
        if best is not None:
            found = f"best rate {best.learning_rate:g}"
        else:
            found = "all diverged" if self.whole.any() else "none finished"
        return f"SweepResult({len(self)} runs of {self.steps} steps, {found})"
