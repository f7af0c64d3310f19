"""Training the runs of a sweep in this process, many at once in SIMD lanes or one by one.

A task is a range of runs. Native code trains those of them together that are one program
(`talweg.explore.sweep.lane_programs`). Runs that cannot be trained so are trained one by one
(`talweg.explore.sweep.single_runs`).

Start reading at `LaneBatch.__call__`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from talweg.compiler.ir.tape import Array
from talweg.errors import NativeError
from talweg.explore.sweep.lane_programs import LanePrograms
from talweg.explore.sweep.optimizer_table import OptimizerTable, optimizer_table
from talweg.explore.sweep.single_runs import train_one_by_one
from talweg.explore.sweep.specification import Specification
from talweg.explore.sweep.task_result import TaskResult, empty_arrays


@dataclass(frozen=True)
class SweepJob:
    """What is sent to workers; see `talweg.explore.tasks.Job`.

    Attributes:
        specification: of the sweep.
        in_lanes: whether native code trains many runs at once, or `train` each of them.
        token: identifies the job.
    """

    specification: Specification
    in_lanes: bool
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def prepare(self) -> LaneBatch:
        """What trains runs in this process."""
        optimizers = optimizer_table(self.specification) if self.in_lanes else None
        return LaneBatch(self.specification, optimizers)


class LaneBatch:
    """Trains runs of a sweep in this process; see `talweg.explore.tasks.Work`.

    Args:
        specification: of the sweep.
        optimizers: the optimisers of the sweep; None to train its runs one by one.

    Raises:
        NativeError: if the optimisers cannot be compiled.
    """

    def __init__(self, specification: Specification, optimizers: OptimizerTable | None) -> None:
        self.specification = specification
        self.programs = None if optimizers is None else LanePrograms(specification, optimizers)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let all calls return soon."""
        self._stopped.set()

    def prepare_first(self) -> None:
        """Compile the program of the first run, and compare the run's model with it.

        Raises:
            NativeError: if that is not possible.
        """
        if self.programs is not None:
            self.programs.prepare(0)

    def __call__(self, task: tuple[int, int]) -> TaskResult:
        """Train the runs from the first number to before the second."""
        if self.programs is None:
            return self._one_by_one(task, "")
        numbers = np.arange(*task)
        parts: list[tuple[Array, dict[str, Array]]] = []
        try:
            for alike in self.programs.groups(numbers):
                arrays = self.programs.train(alike, self._stopped.is_set)
                if arrays is None:
                    return TaskResult(self._joined(parts, len(numbers)), complete=False)
                parts.append((alike - numbers[0], arrays))
        except NativeError as reason:
            if self.specification.engine == "native":
                raise NativeError.not_possible(reason) from None
            return self._one_by_one(task, str(reason))
        return TaskResult(self._joined(parts, len(numbers)))

    def _one_by_one(self, task: tuple[int, int], fallback_reason: str) -> TaskResult:
        stopped = self._stopped.is_set
        return train_one_by_one(self.specification, range(*task), fallback_reason, stopped)

    def _joined(
        self, parts: Sequence[tuple[Array, dict[str, Array]]], runs: int
    ) -> dict[str, Array]:
        """The arrays of a task, from those of its groups of runs, each with its rows."""
        if len(parts) == 1 and len(parts[0][0]) == runs:
            return parts[0][1]
        arrays = empty_arrays(runs, self.specification.steps)
        for rows, of_rows in parts:
            for name, column in of_rows.items():
                arrays[name][rows] = column
        return arrays
