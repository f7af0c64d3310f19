"""What a task of a sweep returns: the outcome of some runs as arrays.

The arrays have the names under which a store keeps them. Start reading at `TaskResult`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg.training.history import History, Status

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]

ENDS: tuple[Status, ...] = ("finished", "stopped early", "diverged", "interrupted")
"""How a run can have ended; `ends` holds indices of it."""

ENGINES = ("", "eager", "native", "native, exact")
"""What can have trained a run, as `History.engine` names it; `engine` holds indices of it. The
first stands for a run that was not trained."""


@dataclass(frozen=True)
class TaskResult:
    """The outcome of the runs of a task, in their order.

    Attributes:
        arrays: one row a run: `losses`, shape (runs, steps), nan after the end of a run; how many
            of them were `taken`; how the run ended (`ends`); of one that diverged the index of
            its largest gradient (`worst`) and that gradient (`size`); the `seconds` that native
            code took for it and the runs trained with it; and the `engine`.
        histories: records of runs that were trained one by one, by the number of the run.
        fallback_reason: why runs were trained one by one; empty if they were not.
        complete: whether all runs came to their end.
    """

    arrays: Mapping[str, Array]
    histories: dict[int, History] = field(default_factory=dict)
    fallback_reason: str = ""
    complete: bool = True


def empty_arrays(runs: int, steps: int) -> dict[str, Array]:
    """The arrays of runs none of which was trained."""
    import numpy as np

    return {
        "losses": np.full((runs, steps), np.nan),
        "taken": np.zeros(runs, dtype=np.int64),
        "ends": np.zeros(runs, dtype=np.int8),
        "worst": np.zeros(runs, dtype=np.int64),
        "size": np.zeros(runs),
        "seconds": np.zeros(runs),
        "engine": np.zeros(runs, dtype=np.int8),
    }
