"""The result of a sweep: its data, with the table, the picture and the conclusion as methods.

`SweepResult` is `SweepData` (`talweg.explore.sweep.data`) as users have it. A `Run` with its
`History` is made when it is asked for.

Start reading at `SweepResult`; table, picture and conclusion are functions of
`talweg.explore.sweep.table`, `picture` and `conclusion`.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg._util.atomic_files import write_whole
from talweg._util.deprecation import RenamedAttribute
from talweg.errors import ArgumentError
from talweg.explore.sharpness import compare_with_limit
from talweg.explore.sweep import conclusion, picture, table
from talweg.explore.sweep.columns import column, matching
from talweg.explore.sweep.data import SweepData, select
from talweg.explore.sweep.run import Run, RunsOnDemand
from talweg.explore.sweep.task_result import ENDS
from talweg.explore.verdicts import VERDICTS

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from talweg.plotting.figure import Axes

    Array: TypeAlias = np.ndarray[Any, Any]


class SweepResult(SweepData):
    """The result of `talweg.sweep`: runs in the order of the rates, and for each rate the seeds.

    Its columns are arrays with one entry a run: `settings` by name, `losses`, `verdicts`,
    `final_losses` and others; see `SweepData`. `runs` are single runs with their histories.

    Example:
        >>> import talweg as tw
        >>> network = lambda rng: tw.MLP(3, [4, 4, 1], rng=rng)
        >>> result = tw.sweep(network, tw.lesson_data(), [0.001, 0.01, 0.1, 1.0])
        >>> result.summary
        'best rate 0.1; stable up to 0.1; at 1 it gets stuck, not unstable'
        >>> result.where(learning_rate=[0.01, 0.1]).final_losses.round(4).tolist()
        [0.4017, 0.0119]
    """

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
        """The result of runs that exist already, all with the same settings.

        Args:
            runs: the runs, each with at least one loss, all with the same `stop_at`.
            steps: how many steps each was to make.
            fallback_reason: see `SweepData`.
            interrupted: whether runs are missing; one that was cut short is noticed here.
            limit_of: see `SweepData`.

        Example:
            >>> from talweg import History
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
        status = [run.history.status for run in runs]
        return cls(
            {name: column([run.settings[name] for run in runs]) for name in names},
            steps,
            curves,
            np.array([run.history.steps for run in runs], dtype=np.int64),
            np.array([0 if x == "running" else ENDS.index(x) for x in status], dtype=np.int8),
            lambda k: runs[k].history,
            fallback_reason,
            interrupted or "interrupted" in status,
            runs[0].stop_at if runs else None,
            limit_of,
        )

    # ---- single runs ------------------------------------------------------------------------

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
        return compare_with_limit(float(self.settings["learning_rate"][k]), limit, "at the start")

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
            >>> from talweg import History
            >>> runs = [Run({"learning_rate": 0.1, "seed": k}, History([5.0, 1.0])) for k in (1, 2)]
            >>> SweepResult.of_runs(runs, steps=2).where(seed=2).runs[0].seed
            2
        """
        import numpy as np

        chosen = np.ones(len(self), dtype=bool)
        for name, choice in settings.items():
            if name not in self.settings:
                raise ArgumentError(
                    f"the sweep has no setting {name!r}; it has {', '.join(self.settings)}"
                )
            chosen &= matching(self.settings[name], choice)
        if not chosen.any():
            named = ", ".join(f"{name}={choice!r}" for name, choice in settings.items())
            raise ArgumentError(f"the sweep has no run with {named}; see result.table")
        return select(self, np.flatnonzero(chosen))

    # ---- table, picture and conclusion ------------------------------------------------------

    @property
    def summary(self) -> str:
        """The conclusion from all runs; the rules are in `talweg.explore.sweep.conclusion`.

        For example "best rate 0.1; stable up to 0.1; at 1 it gets stuck, not unstable".
        """
        return conclusion.summary(self)

    @cached_property
    def table(self) -> pl.DataFrame:
        """A polars DataFrame with one row a run.

        Its columns are the settings, steps, first_loss, final_loss, best_loss, verdict, status
        and, where it is known, max_stable_lr (the largest stable rate at the start) and
        lr_over_limit (the rate as a multiple of it).
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

    def __repr__(self) -> str:
        best = self.best
        if best is not None:
            found = f"best rate {best.learning_rate:g}"
        else:
            found = "all diverged" if self.whole.any() else "none finished"
        return f"SweepResult({len(self)} runs of {self.steps} steps, {found})"
