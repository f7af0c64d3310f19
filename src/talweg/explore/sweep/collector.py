"""The results of the tasks of a sweep, in memory or on disk, and the result of the sweep.

Start reading at `Collector`.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import numpy as np

from talweg.compiler.ir.tape import Array
from talweg.explore.sweep.columns import crossed
from talweg.explore.sweep.records import RunRecords
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.specification import Specification
from talweg.explore.sweep.task_result import TaskResult, empty_arrays
from talweg.training.history import History


class Collector:
    """The finished runs of a sweep. It is a context, which closes the store.

    Args:
        specification: of the sweep.
        chunk: how many runs a task has, unless the store was created with another number.
        store: the folder to keep them in; None for memory.
        fallback_reason: why runs are trained one by one, if that is known already.

    Attributes:
        interrupted: whether Ctrl-C ended the sweep.
        finished: how many runs there are.
        last_loss: the last loss of the run that came last.
    """

    def __init__(
        self,
        specification: Specification,
        chunk: int,
        store: str | os.PathLike[str] | None,
        fallback_reason: str,
    ) -> None:
        self.specification = specification
        self.chunk = chunk
        self.fallback_reason = fallback_reason
        self.interrupted = False
        self.finished = 0
        self.last_loss = np.nan
        self.histories: dict[int, History] = {}
        count, steps = specification.count, specification.steps
        if store is None:
            self.stored = None
            self.columns = empty_arrays(count, 1)
            # Not filled with nan: only the rows of tasks that have returned are read.
            self.columns["losses"] = np.empty((count, steps))
            self._missing = list(range(-(-count // chunk)))
        else:
            from talweg.explore.sweep.store import RunStore

            description = specification.description()
            self.stored = RunStore(store, description, runs=count, steps=steps, chunk=chunk)
            self.chunk = chunk = self.stored.chunk
            self._missing = self.stored.missing()
            done = -(-count // chunk) - len(self._missing)
            self.finished = min(count, done * chunk)

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
        start = number * self.chunk
        return start, min(start + self.chunk, self.specification.count)

    def put(self, number: int, result: TaskResult) -> None:
        """Keep the result of a task; that of half a task only in memory."""
        self.fallback_reason = self.fallback_reason or result.fallback_reason
        self.interrupted = self.interrupted or not result.complete
        if self.stored is None:
            rows = slice(*self.runs_of(number))
            for name, column in self.columns.items():
                column[rows] = result.arrays[name]
            self.histories.update(result.histories)
        elif result.complete:
            self.stored.put(number, result.arrays)
        else:
            return
        taken = result.arrays["taken"]
        self.finished += int((taken > 0).sum())
        if taken[-1]:
            self.last_loss = float(result.arrays["losses"][-1, taken[-1] - 1])

    def result(self) -> SweepResult:
        """The result of the runs that are finished."""
        specification, columns = self.specification, self._columns()
        small = {name: np.asarray(x[:]) for name, x in columns.items() if name != "losses"}
        numbers = np.flatnonzero(small["taken"] > 0)
        curves = columns["losses"]
        settings = crossed(specification.choices)
        if len(numbers) < specification.count:
            small = {name: column[numbers] for name, column in small.items()}
            settings = {name: column[numbers] for name, column in settings.items()}
            in_memory = isinstance(curves, np.ndarray)
            curves = curves[numbers] if in_memory else StoredRows(curves, numbers)
        records = RunRecords(specification, numbers, small, curves, self.histories)
        return SweepResult(
            {name: settings[name] for name in ("learning_rate", "seed", *specification.grid)},
            specification.steps,
            curves,
            small["taken"],
            small["ends"],
            records.history,
            self.fallback_reason,
            self.interrupted or len(numbers) < specification.count,
            specification.stop_at,
            records.max_stable_lr,
        )

    def _columns(self) -> dict[str, Any]:
        if self.stored is None:
            return dict(self.columns)
        if not self.finished:  # a store gets its arrays with the first task
            return dict(empty_arrays(0, self.specification.steps))
        return {name: self.stored.array(name) for name in self.stored.names}


class StoredRows:
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
