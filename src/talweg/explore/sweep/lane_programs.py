"""Native code for the runs of a sweep: which runs it trains together, and what it is given.

Runs are one *program*, and are trained together, if they have the same values of the settings that
go to the model or to `train`, optimisers of one kind (`talweg.explore.sweep.optimizer_table`) and,
where steps take batches, one seed. A program is compiled when it first occurs. All other settings
are arrays from the specification to native code: learning rates, numbers of the optimiser, and
weights, for which each model is made once.

Start reading at `LanePrograms.train`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from talweg.compiler.ir.tape import Array
from talweg.compiler.runtime.lane_trainer import LaneRuns
from talweg.explore.sweep.optimizer_table import OptimizerTable
from talweg.explore.sweep.specification import Specification
from talweg.explore.sweep.task_result import ENDS, ENGINES
from talweg.training.lane_executor import LaneExecutor
from talweg.training.model_program import ModelProgram

_MOST_KEPT = 20_000_000
"""How many weights are kept for a program. If its models have more, each task makes its models."""


class LanePrograms:
    """The programs of a sweep. Several threads may use them at the same time.

    Args:
        specification: of the sweep.
        optimizers: its optimisers.

    Raises:
        NativeError: if optimisers of a kind are not one program.
    """

    def __init__(self, specification: Specification, optimizers: OptimizerTable) -> None:
        self.specification = specification
        self.optimizers = optimizers
        self.families = optimizers.families
        self._of_program = specification.names_of("model", "train")
        self._programs: dict[int, _Program] = {}
        self._making = threading.Lock()  # models are made, and traced, by one thread at a time

    # ---- which runs are trained together ------------------------------------------------------

    def groups(self, numbers: Array) -> Iterator[Array]:
        """Some runs, divided into those that are trained together."""
        specification = self.specification
        places = specification.places_of(numbers)
        program = specification.combination(places, self._of_program)
        key = program * len(self.families) + self.optimizers.kind[self._entries(places)]
        if specification.may_have_batches and "seed" not in specification.settings:
            seeds = len(specification.choices["seed"])
            seed = np.where(self._takes_all_samples(places), 0, 1 + places["seed"])
            key = key * (1 + seeds) + seed
        _, first = np.unique(key, return_index=True)
        for k in np.sort(first).tolist():
            yield numbers[key == key[k]]

    def _entries(self, places: Mapping[str, Any]) -> Any:
        """The entries of runs in the table of optimisers."""
        return self.specification.combination(places, self.specification.optimizer_names)

    def _takes_all_samples(self, places: Mapping[str, Any]) -> Any:
        """Whether each step of a run takes all samples."""
        sizes = self.specification.choices.get("batch_size")
        if sizes is None:
            return self.specification.settings["batch_size"] is None
        return np.array([size is None for size in sizes])[places["batch_size"]]

    # ---- training them ------------------------------------------------------------------------

    def prepare(self, number: int) -> None:
        """Compile the program of a run, and compare the run's model with it.

        Raises:
            NativeError: if that is not possible.
        """
        self._executor_and_weights(np.array([number]))

    def train(self, numbers: Array, stopped: Callable[[], bool]) -> dict[str, Array] | None:
        """Train runs of one program at once.

        Args:
            numbers: the numbers of the runs.
            stopped: whether to return before the end; asked from time to time.

        Returns:
            The arrays of a `TaskResult`, a row a run; None if it was stopped.

        Raises:
            NativeError: if the program cannot be compiled, or a model is another program.
        """
        specification, optimizers = self.specification, self.optimizers
        executor, weights = self._executor_and_weights(numbers)
        entries = self._entries(specification.places_of(numbers))
        varied = [optimizers.numbers(name, entries) for name in executor.family.varied]
        start = time.perf_counter()
        swept = executor.train(
            weights,
            optimizers.rates(entries, executor.family, specification.steps),
            specification.steps,
            settings=np.array(varied) if varied else None,
            seed=specification.given_to_train(specification.settings_of(numbers[0]))["seed"],
            target=specification.stop_at,
            stopped=stopped,
        )
        seconds = time.perf_counter() - start
        return _arrays(swept, seconds, exact=executor.exact) if swept.whole else None

    def _executor_and_weights(self, numbers: Array) -> tuple[LaneExecutor, Array]:
        """The native code of runs of one program, and their first weights."""
        specification, first = self.specification, int(numbers[0])
        places = specification.places_of(first)
        number = specification.combination(places, self._of_program)
        kind = int(self.optimizers.kind[self._entries(places)])
        with self._making:
            if number not in self._programs:
                self._programs[number] = _Program(specification, first)
            program = self._programs[number]
            if kind not in program.executors:
                program.executors[kind] = LaneExecutor(
                    program.models, self.families[kind], mode=specification.mode
                )
            return program.executors[kind], program.weights(numbers)


class _Program:
    """The models of one program: what they have in common, and the weights of each.

    Models are made from a seed and a scale; each is made once.

    Args:
        specification: of the sweep.
        first: the number of the first run with such a model.

    Attributes:
        models: what they have in common.
        executors: native code for each kind of optimiser.
    """

    def __init__(self, specification: Specification, first: int) -> None:
        self.specification = specification
        settings = specification.settings_of(first)
        given = specification.given_to_train(settings)
        scale = dict.fromkeys(specification.names_of("scale"), 1.0)
        self.models = ModelProgram(
            specification.model_of({**settings, **scale}),
            specification.samples,
            specification.loss_of(settings),
            mean=given.get("reduction", "sum") == "mean",
            batch_size=given.get("batch_size"),
        )
        self.executors: dict[int, LaneExecutor] = {}
        self._names = ["seed", *specification.names_of("scale")]
        count, parameters = specification.combinations(self._names), self.models.parameter_count
        self._kept: Array | None = None
        if count * parameters <= _MOST_KEPT:
            self._kept = np.empty((count, parameters))
            self._is_known = np.zeros(count, dtype=bool)

    def weights(self, numbers: Array) -> Array:
        """The first weights of runs, shape (runs, parameters).

        Args:
            numbers: the numbers of the runs.

        Raises:
            NativeError: if a model is another program.
        """
        places = self.specification.places_of(numbers)
        models = self.specification.combination(places, self._names)
        if self._kept is None:
            _, first, row = np.unique(models, return_index=True, return_inverse=True)
            drawn: Array = np.array([self._draw(k) for k in numbers[first]])
            return drawn[row]
        for k in np.flatnonzero(~self._is_known[models]):
            if not self._is_known[models[k]]:
                self._kept[models[k]] = self._draw(numbers[k])
                self._is_known[models[k]] = True
        if len(self._kept) == 1:
            return np.broadcast_to(self._kept, (len(models), self._kept.shape[1]))
        weights: Array = self._kept[models]
        return weights

    def _draw(self, number: int) -> list[float]:
        """The weights of the model of a run."""
        model = self.specification.model_of(self.specification.settings_of(number))
        return self.models.weights_of(model)


def _arrays(swept: LaneRuns, seconds: float, *, exact: bool) -> dict[str, Array]:
    """The arrays of a `TaskResult`, of runs that native code trained together."""
    runs = len(swept.steps)
    ends = np.full(runs, ENDS.index("finished"), dtype=np.int8)
    ends[swept.reached] = ENDS.index("stopped early")
    ends[swept.diverged] = ENDS.index("diverged")
    worst, size = np.zeros(runs, dtype=np.int64), np.zeros(runs)
    rows = np.flatnonzero(swept.diverged)
    if len(rows):
        gradients = swept.gradients[rows]
        sizes = np.abs(gradients)
        sizes[np.isnan(sizes)] = np.inf
        worst[rows] = largest = sizes.argmax(axis=1)
        size[rows] = gradients[np.arange(len(rows)), largest]
    engine = ENGINES.index("native, exact" if exact else "native")
    return {
        "losses": swept.losses,
        "taken": swept.steps,
        "ends": ends,
        "worst": worst,
        "size": size,
        "seconds": np.full(runs, seconds),
        "engine": np.full(runs, engine, dtype=np.int8),
    }
