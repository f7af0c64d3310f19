"""What has come back from the tasks of a sweep, in memory or on disk, and the result of it.

Start reading at `Collector`.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from talweg import losses
from talweg.explore.limits import limit_at_start
from talweg.explore.sweep.columns import crossed
from talweg.explore.sweep.lane_batch import ENGINES, Trained, describe_reached, empty
from talweg.explore.sweep.result import ENDS, SweepResult
from talweg.training.history import History, Status
from talweg.training.lane_executor import first_rates
from talweg.training.outcome import (
    describe_divergence,
    describe_loss_change,
    parameter_name,
)

if TYPE_CHECKING:
    from talweg.compiler.ir.tape import Array
    from talweg.explore.sweep.specification import Specification


class Collector:
    """The finished runs of a sweep. It is a context, which closes the store.

    Args:
        asked: the sweep.
        chunk: how many runs a task has, unless the store was begun with another number.
        store: the folder to keep them in; None for memory.
        why: why runs are trained one by one, if that is known already.

    Attributes:
        interrupted: whether Ctrl-C ended the sweep.
        finished: how many runs there are.
        last_loss: the last loss of the run that came last.
    """

    def __init__(
        self, asked: Specification, chunk: int, store: str | os.PathLike[str] | None, why: str
    ) -> None:
        self.asked = asked
        self.chunk = chunk
        self.why = why
        self.interrupted = False
        self.finished = 0
        self.last_loss = np.nan
        self.histories: dict[int, History] = {}
        if store is None:
            self.stored = None
            self.columns = empty(asked.count, asked.steps)
            self._missing = list(range(-(-asked.count // chunk)))
        else:
            from talweg.explore.sweep.store import RunStore

            self.stored = RunStore(
                store, asked.description(), runs=asked.count, steps=asked.steps, chunk=chunk
            )
            self.chunk = chunk = self.stored.chunk
            self._missing = self.stored.missing()
            done = -(-asked.count // chunk) - len(self._missing)
            self.finished = min(asked.count, done * chunk)

    def __enter__(self) -> Collector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.stored is not None:
            self.stored.close()

    def missing(self) -> list[int]:
        """The numbers of the tasks that are still to be done."""
        return self._missing

    def runs_of(self, number: int) -> tuple[int, int]:
        """The first run of a task, and the one behind its last."""
        begin = number * self.chunk
        return begin, min(begin + self.chunk, self.asked.count)

    def put(self, number: int, trained: Trained) -> None:
        """Keep what has become of the runs of a task; half a task only where it is not stored."""
        self.why = self.why or trained.why
        self.interrupted = self.interrupted or not trained.whole
        begin, end = self.runs_of(number)
        if self.stored is not None:
            if not trained.whole:
                return
            self.stored.put(number, trained.arrays)
        else:
            for name, column in self.columns.items():
                column[begin:end] = trained.arrays[name]
            self.histories.update(trained.histories)
        taken = trained.arrays["taken"]
        self.finished += int((taken > 0).sum())
        if taken[-1]:
            self.last_loss = float(trained.arrays["losses"][-1, taken[-1] - 1])

    # ---- the result ---------------------------------------------------------------------------

    def result(self) -> SweepResult:
        """What was found, of the runs that are there."""
        asked = self.asked
        columns: dict[str, Any]
        if self.stored is None:
            columns = self.columns
        elif not self.finished:  # it gets its arrays with the first task
            columns = empty(0, asked.steps)
        else:
            columns = {name: self.stored.array(name) for name in self.stored.names}
        small = {name: np.asarray(x[:]) for name, x in columns.items() if name != "losses"}
        there = np.flatnonzero(small["taken"] > 0)
        curves = columns["losses"]
        if len(there) < asked.count:
            small = {name: column[there] for name, column in small.items()}
            curves = curves[there] if isinstance(curves, np.ndarray) else Rows(curves, there)
        settings = crossed(asked.choices)
        names = ("learning_rate", "seed", *asked.grid)
        records = _Records(asked, small, curves, there, self.histories)
        return SweepResult(
            {name: settings[name][there] for name in names},
            asked.steps,
            curves,
            small["taken"],
            small["ends"],
            records.history,
            self.why,
            self.interrupted or len(there) < asked.count,
            asked.stop_at,
            records.limit,
        )


class Rows:
    """Some rows of a stored array, read when they are asked for.

    Args:
        array: the stored array.
        rows: which of its rows.
    """

    def __init__(self, array: Any, rows: Array) -> None:
        self._array, self._rows = array, rows
        self.chunks = array.chunks

    def __getitem__(self, which: slice) -> Array:
        some: Array = self._array.oindex[self._rows[which]]
        return some


class _Records:
    """Records of single runs, made from the columns when they are asked for."""

    def __init__(
        self,
        asked: Specification,
        columns: dict[str, Array],
        curves: Any,
        numbers: Array,
        histories: dict[int, History],
    ) -> None:
        self.asked, self.columns, self.curves = asked, columns, curves
        self.numbers, self.histories = numbers, histories

    def history(self, row: int) -> History:
        """The record of a run, as `train` would have written it.

        `seconds` is the time in which the runs beside it were made too, divided evenly among
        its steps.
        """
        k = int(self.numbers[row])
        if k in self.histories:
            return self.histories[k]
        asked = self.asked
        settings, of_run = asked.settings_of(k), {n: x[row] for n, x in self.columns.items()}
        taken, status = int(of_run["taken"]), ENDS[int(of_run["ends"])]
        curve = np.asarray(self.curves[row : row + 1])[0, :taken].tolist()
        history = History(
            losses=curve,
            learning_rates=first_rates(asked.optimizer_of(settings), taken),
            seconds=[float(of_run["seconds"]) / taken * (step + 1) for step in range(taken)],
            engine=ENGINES[int(of_run["engine"])],
        )
        history.status = status
        history.verdict = self._verdict(history, status, settings, of_run)
        return history

    def _verdict(
        self, history: History, status: Status, settings: dict[str, Any], of_run: dict[str, Any]
    ) -> str:
        asked, taken = self.asked, history.steps
        if status == "diverged":
            return self._why_diverged(history, settings, of_run)
        if status == "stopped early" and asked.stop_at is not None:
            return describe_reached(history, asked.stop_at)
        batches = asked.given_to_train(settings).get("batch_size") is not None
        return f"{status} {taken} steps; {describe_loss_change(history, batches=batches)}"

    def _why_diverged(
        self, history: History, settings: dict[str, Any], of_run: dict[str, Any]
    ) -> str:
        model = self.asked.model_of(settings)
        name = parameter_name(model, int(of_run["worst"]))
        return describe_divergence(history.losses, float(of_run["size"]), name)

    def limit(self, row: int) -> float | None:
        """The largest stable learning rate at a run's first weights; None if it is unknown."""
        asked = self.asked
        settings = asked.settings_of(int(self.numbers[row]))
        given = asked.given_to_train(settings)
        return limit_at_start(
            lambda: asked.model_of(settings),
            asked.samples,
            loss=given.get("loss", losses.squared_error),
            reduction=given.get("reduction", "sum"),
            optimizer=asked.optimizer_of(settings),
            among=asked.count // len(asked.choices["learning_rate"]),
        )
