"""Training some runs of a sweep in this process, side by side in SIMD lanes or one by one.

A task is a range of runs. Those of them that are one program, and with batches also of one
seed, are trained at once by native code (`training/lane_executor.py`), which is compiled when the
program is first met. What that cannot train is trained one by one, by `talweg.train`.

Start reading at `LaneBatch.__call__`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from talweg.errors import NativeError
from talweg.explore.sweep.result import ENDS
from talweg.optim import Optimizer
from talweg.training.eager_executor import parameters_of
from talweg.training.history import History
from talweg.training.lane_executor import LaneExecutor
from talweg.training.train import train

if TYPE_CHECKING:
    from talweg.compiler.ir.tape import Array
    from talweg.explore.sweep.specification import Program, Specification

_REMEMBERED = 20_000_000
"""How many weights are remembered, so that a model is not made again for each rate."""

ENGINES = ("", "eager", "native", "native, exact")
"""What can have trained a run, as `History.engine` names it; nothing, if it was not trained."""


@dataclass(frozen=True)
class Trained:
    """What became of the runs of a task, in their order.

    Attributes:
        arrays: the losses (runs x steps), and for each run one number by each other name:
            how many losses were `taken`, how it ended (a place in `ENDS`), the `worst` gradient
            of one that diverged and its size, `seconds` of native code that it shared in, and
            which of `ENGINES` trained it.
        histories: whole records, of runs that were trained one by one.
        why: why runs were trained one by one; empty if they were not.
        whole: whether all runs came to their end.
    """

    arrays: dict[str, Array]
    histories: dict[int, History] = field(default_factory=dict)
    why: str = ""
    whole: bool = True


def empty(runs: int, steps: int) -> dict[str, Array]:
    """Room for what becomes of runs."""
    return {
        "losses": np.full((runs, steps), np.nan),
        "taken": np.zeros(runs, dtype=np.int64),
        "ends": np.zeros(runs, dtype=np.int8),
        "worst": np.zeros(runs, dtype=np.int64),
        "size": np.zeros(runs),
        "seconds": np.zeros(runs),
        "engine": np.zeros(runs, dtype=np.int8),
    }


class LaneBatch:
    """What trains runs of a sweep in this process; see `talweg.explore.tasks.Work`.

    Args:
        specification: of the sweep.
    """

    def __init__(self, specification: Specification) -> None:
        self.specification = specification
        routes = specification.routes
        self._of_weights = [n for n in specification.grid if routes[n] in ("model", "scale")]
        self._lanes: dict[Program, LaneExecutor] = {}
        self._weights: dict[Any, list[float]] = {}
        self._making = threading.Lock()  # models are made, and traced, by one thread at a time
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let all calls come back soon."""
        self._stopped.set()

    def __call__(self, task: tuple[int, int]) -> Trained:
        """Train the runs from the first number to before the second."""
        begin, end = task
        specification, done = self.specification, empty(end - begin, self.specification.steps)
        if not specification.in_lanes:
            return self._one_by_one(range(begin, end), begin, done, "")
        groups: dict[Any, list[_Run]] = {}
        for run in map(self._run, range(begin, end)):
            groups.setdefault((run.program, self._batch_seed(run)), []).append(run)
        for runs in groups.values():
            try:
                whole = self._at_once(runs, begin, done)
            except NativeError as reason:
                if specification.engine == "native":
                    raise NativeError.not_possible(reason) from None
                done = empty(end - begin, specification.steps)
                return self._one_by_one(range(begin, end), begin, done, str(reason))
            if not whole:
                return Trained(done, whole=False)
        return Trained(done)

    def prepare_first(self) -> None:
        """Compile the program of the first run.

        Raises:
            NativeError: if that is not possible.
        """
        run = self._run(0)
        self._weights_of(run, self._lanes_of(run))

    def _run(self, k: int) -> _Run:
        specification = self.specification
        optimizer, program = specification.made(k)
        return _Run(k, specification.settings_of(k), specification.places_of(k), optimizer, program)

    # ---- side by side -------------------------------------------------------------------------

    def _at_once(self, runs: Sequence[_Run], first: int, done: dict[str, Array]) -> bool:
        """Train runs of one program at once; whether they came to their end."""
        lanes = self._lanes_of(runs[0])
        weights = np.array([self._weights_of(run, lanes) for run in runs])
        begin = time.perf_counter()
        swept = lanes.train(
            weights,
            [run.optimizer for run in runs],
            self.specification.steps,
            seed=self._batch_seed(runs[0]),
            target=self.specification.stop_at,
            stopped=self._stopped.is_set,
        )
        seconds = time.perf_counter() - begin
        if not swept.whole:
            return False
        rows = np.array([run.number - first for run in runs])
        ends = np.where(swept.reached, ENDS.index("stopped early"), ENDS.index("finished"))
        done["losses"][rows] = swept.losses
        done["taken"][rows] = swept.steps
        done["ends"][rows] = np.where(swept.diverged, ENDS.index("diverged"), ends)
        done["seconds"][rows] = seconds
        done["engine"][rows] = ENGINES.index("native, exact" if lanes.exact else "native")
        if swept.diverged.any():
            sizes = np.abs(swept.gradients)
            sizes[np.isnan(sizes)] = np.inf
            done["worst"][rows] = worst = sizes.argmax(axis=1)
            done["size"][rows] = swept.gradients[np.arange(len(rows)), worst]
        return True

    def _lanes_of(self, run: _Run) -> LaneExecutor:
        """The native code of a run's program."""
        specification = self.specification
        with self._making:
            if run.program not in self._lanes:
                given, settings = specification.given_to_train(run.settings), dict(run.settings)
                if specification.routes.get("initial_scale") == "scale":
                    settings["initial_scale"] = 1.0
                self._lanes[run.program] = LaneExecutor(
                    specification.model_of(settings),
                    specification.families[run.program],
                    specification.samples,
                    specification.loss_of(run.settings),
                    mean=given.get("reduction", "sum") == "mean",
                    mode=specification.mode,
                    batch_size=given.get("batch_size"),
                )
            return self._lanes[run.program]

    def _weights_of(self, run: _Run, lanes: LaneExecutor) -> list[float]:
        """The first weights of a run."""
        specification = self.specification
        key = (run.program, run.places["seed"], *[run.places[name] for name in self._of_weights])
        with self._making:
            if key not in self._weights:
                if len(self._weights) * len(lanes.parameters) > _REMEMBERED:
                    self._weights.clear()
                self._weights[key] = lanes.weights_of(specification.model_of(run.settings))
            return self._weights[key]

    def _batch_seed(self, run: _Run) -> int | None:
        """Where the order of a run's samples is drawn; None if each step takes all of them."""
        if not self.specification.may_have_batches:
            return None
        given = self.specification.given_to_train(run.settings)
        return None if given.get("batch_size") is None else given["seed"]

    # ---- one by one ---------------------------------------------------------------------------

    def _one_by_one(self, numbers: range, first: int, done: dict[str, Array], why: str) -> Trained:
        """One run after the other, by `train`."""
        histories: dict[int, History] = {}
        for k in numbers:
            if self._stopped.is_set():
                return Trained(done, histories, why, whole=False)
            history = self._alone(k, k - first, done)
            histories[k] = history
            if history.status == "interrupted":
                return Trained(done, histories, why, whole=False)
        return Trained(done, histories, why)

    def _alone(self, k: int, row: int, done: dict[str, Array]) -> History:
        """The record of one run by itself; what there is to say of it goes into its row."""
        specification = self.specification
        settings = specification.settings_of(k)
        model, stop_at = specification.model_of(settings), specification.stop_at
        given = specification.given_to_train(settings)
        if stop_at is not None:
            given["callbacks"] = [*given.get("callbacks", ()), lambda step: step.loss <= stop_at]
        history = train(
            model,
            specification.samples,
            steps=specification.steps,
            optimizer=specification.optimizer_of(settings),
            engine=specification.engine,  # type: ignore[arg-type]
            mode=specification.mode,  # type: ignore[arg-type]
            threads=specification.threads,
            **given,
        )
        stopped = history.status == "stopped early"
        if stop_at is not None and stopped and history.losses[-1] <= stop_at:
            history.verdict = describe_reached(history, stop_at)
        taken = history.steps
        done["losses"][row, :taken] = history.losses
        done["taken"][row] = taken
        done["ends"][row] = ENDS.index(history.status)
        done["seconds"][row] = history.seconds[-1] if taken else 0.0
        done["engine"][row] = ENGINES.index(history.engine)
        if history.status == "diverged":
            gradient = [p.grad for p in parameters_of(model)]
            sizes = [math.inf if math.isnan(g) else abs(g) for g in gradient]
            done["worst"][row] = worst = sizes.index(max(sizes))
            done["size"][row] = gradient[worst]
        return history


@dataclass(frozen=True)
class _Run:
    """A run, and what it takes."""

    number: int
    settings: dict[str, Any]
    places: dict[str, int]
    optimizer: Optimizer
    program: Program


def describe_reached(history: History, stop_at: float) -> str:
    """The verdict on a run whose loss reached its target."""
    return (
        f"stopped at step {history.steps}: the loss {history.losses[-1]:.6g} is not above "
        f"stop_at, {stop_at:g}"
    )
