"""Many training runs by native code: parameters and learning rates in, losses out.

A `LaneTrainer` is the compiled program, whose vectors have a model in each lane
(`codegen/model_lanes.py`). Each call of `run` has a memory of its own, so several threads may call
it at the same time. It knows nothing of models; `talweg.training.lane_executor` does.

Start reading at `LaneTrainer.run`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from talweg.autodiff.operation import Number
from talweg.compiler.codegen.lower import fitting_blocks
from talweg.compiler.codegen.training_spec import TrainingSpec
from talweg.compiler.ir.scheduled_program import ScheduledProgram
from talweg.compiler.ir.tape import Array
from talweg.compiler.runtime import llvm
from talweg.compiler.runtime.buffers import (
    Batches,
    Memory,
    native_function,
    training_memory,
    write_batches,
)
from talweg.optimizer_step import Update

_SLICE = 0.05
"""Seconds that a call of native code should take at most. Between calls Python handles Ctrl-C, and
a run can be stopped."""

_TRIAL = 4
"""The first call takes so many steps; the time that it takes decides how long the others are."""

_BLOCKS = 4
"""At most so many samples are computed together."""


@dataclass(frozen=True)
class LaneRuns:
    """The result of `LaneTrainer.run`.

    Attributes:
        losses: the loss of each step before its update, shape (models, steps); nan after the
            end of a run.
        steps: how many losses each run has, shape (models,).
        diverged: which runs met a number that is not finite, shape (models,).
        reached: which runs ended because their loss had reached the target, shape (models,).
        parameters_in_lanes: the last parameters, shape (lane batches, parameters, lanes).
        gradient_in_lanes: the derivatives of the steps that diverged, likewise.
        whole: whether all runs came to their end; False if they were stopped before.
    """

    losses: Array
    steps: Array
    diverged: Array
    reached: Array
    parameters_in_lanes: Array
    gradient_in_lanes: Array
    whole: bool = True

    @cached_property
    def weights(self) -> Array:
        """The parameters after the last update, shape (models, parameters)."""
        return _by_model(self.parameters_in_lanes, len(self.steps))

    @cached_property
    def gradients(self) -> Array:
        """The derivatives of the last step of runs that diverged, 0 for others; as `weights`."""
        return _by_model(self.gradient_in_lanes, len(self.steps))


def spec_for(
    code: ScheduledProgram,
    samples: Array,
    *,
    parameters: int,
    update: Callable[[tuple[Number, ...]], Update],
    state_size: int = 0,
    mean: bool = False,
    batch: int | None = None,
    settings: int = 0,
    range_ends: Sequence[int] = (),
    exact: bool = False,
    scheduled: bool = False,
    blocks: int = _BLOCKS,
) -> TrainingSpec:
    """The specification of the function that trains many models on one set of samples.

    Args:
        code: the loss of one sample: parameters `w`, the sample's numbers `x`.
        samples: the numbers of all samples, shape (n, inputs).
        parameters: how many parameters a model has.
        update: returns the optimiser's equation for the settings of a model. For `settings` = 1,
            `lambda numbers: SGD(1.0, momentum=numbers[0]).update`.
        state_size: how many numbers the optimiser keeps for each parameter.
        mean: whether the loss is the mean of the samples' losses, or their sum.
        batch: how many samples a step takes at most; None for all of them.
        settings: how many numbers of the optimiser, besides its rate, differ from model to model.
        range_ends: the end of each range of parameters with a learning rate of its own; one range
            unless given.
        exact: whether every bit must be that of the eager engine.
        scheduled: whether each step has its own learning rates.
        blocks: how many samples are computed together at most, in default mode.
    """
    most = len(samples) if batch is None else min(batch, len(samples))
    return TrainingSpec(
        code=code,
        update=update,
        state_size=state_size,
        parameters=parameters,
        range_ends=tuple(range_ends) or (parameters,),
        inputs=samples.shape[1],
        batch=most,
        fixed_batch=batch is None,
        mean=mean,
        settings=settings,
        scheduled=scheduled,
        has_target=True,
        exact=exact,
        lanes_hold="models",
        lanes=llvm.lanes(),
        blocks=1 if exact else max(1, min(blocks, most, fitting_blocks(code))),
    )


class LaneTrainer:
    """Native training of many models with one program on one set of samples.

    Args:
        spec: the specification of the training function.
        library: its machine code.
        samples: the numbers of all samples, shape (n, inputs).
        start: the optimiser's state of a parameter before the first step.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        library: llvm.Library,
        samples: Array,
        *,
        start: Sequence[float] = (),
    ) -> None:
        self.spec = spec
        self.library = library
        self.samples = samples
        self.start = start
        self._native = native_function(library, "run", 6)

    def run(
        self,
        weights: Array,
        rates: Array,
        steps: int,
        *,
        settings: Array | None = None,
        batches: Batches | None = None,
        target: float = -np.inf,
        stopped: Callable[[], bool] = lambda: False,
    ) -> LaneRuns:
        """Train models, each from its own weights at its own learning rates.

        Args:
            weights: the first parameters, shape (models, parameters).
            rates: the learning rates, shape (models,); (ranges, models) if ranges of parameters
                have their own; and with all steps before that, (steps, ranges, models), if they
                are scheduled.
            steps: how many steps each run has at most.
            settings: the other numbers of the optimiser that differ from model to model, shape
                (settings, models); none of them is zero.
            batches: which samples the steps take, if they do not take all.
            target: a run ends when its loss is at most this.
            stopped: called from time to time; if it returns True, `run` returns early.

        Returns:
            The results of all runs.

        Example:
            >>> from talweg.compiler import pipeline
            >>> from talweg.compiler.frontend.trace import trace
            >>> from talweg import Value, SGD
            >>> w = Value(0.0)
            >>> traced = trace(lambda x: (w * x[0] - x[1]) * (w * x[0] - x[1]), [1.0, 2.0])
            >>> sgd = lambda settings: SGD(0.1).update
            >>> samples = np.array([[1.0, 2.0]])
            >>> trainer = pipeline.lane_trainer(traced.tape, samples, update=sgd)
            >>> trainer.run(np.zeros((2, 1)), np.array([0.25, 0.5]), 3).losses.tolist()
            [[4.0, 1.0, 0.25], [4.0, 0.0, 0.0]]
        """
        memory = self._memory(weights, rates, steps, settings, batches, target)
        lane_batches = len(memory["alive"])
        whole = _run(self._native, memory.address, lane_batches, steps, stopped)
        return self._results(memory, len(weights), whole)

    def _memory(
        self,
        weights: Array,
        rates: Array,
        steps: int,
        settings: Array | None,
        batches: Batches | None,
        target: float,
    ) -> Memory:
        """The numbers of all models; lanes behind the last model are not alive."""
        spec, models = self.spec, len(weights)
        lane_batches = -(-models // spec.lanes)
        order = len(batches.order) if batches else 0
        memory = training_memory(
            spec, self.samples, lane_batches=lane_batches, steps=steps, order=order
        )
        if batches:
            write_batches(memory, batches)
        memory["target"][:] = target
        memory["alive"].reshape(-1)[:models] = 1.0
        memory["losses"][:] = np.nan
        memory["parameters"][:, 0] = _in_lanes(weights.T, spec.lanes)
        memory["parameters"][:, 1:] = np.reshape(self.start, (-1, 1, 1))
        in_lanes = _in_lanes(rates.reshape(-1, models), spec.lanes)
        memory["rates"][:] = in_lanes.reshape(memory["rates"].shape)
        if settings is not None:
            memory["settings"][:] = _in_lanes(settings, spec.lanes)
        return memory

    def _results(self, memory: Memory, models: int, whole: bool) -> LaneRuns:
        """The results, by model."""
        reached = memory["reached"].reshape(-1)[:models] > 0.0
        ended = memory["alive"].reshape(-1)[:models] == 0.0
        return LaneRuns(
            losses=_by_model(memory["losses"], models),
            steps=memory["recorded"].reshape(-1)[:models].astype(int),
            diverged=ended & ~reached,
            reached=reached,
            parameters_in_lanes=memory["parameters"][:, 0],
            gradient_in_lanes=memory["last_gradient"],
            whole=whole,
        )


def _by_model(in_lanes: Array, models: int) -> Array:
    """Numbers in lanes, shape (lane batches, rows, lanes), as (models, rows)."""
    table: Array = in_lanes.transpose(0, 2, 1).reshape(-1, in_lanes.shape[1])[:models]
    return table


def _in_lanes(rows: Array, lanes: int) -> Array:
    """Numbers by model, shape (rows, models), as (lane batches, rows, lanes).

    The lanes behind the last model repeat it.
    """
    beyond = -rows.shape[1] % lanes
    if beyond:
        rows = np.pad(rows, ((0, 0), (0, beyond)), mode="edge")
    in_lanes: Array = rows.reshape(len(rows), -1, lanes).transpose(1, 0, 2)
    return in_lanes


def _run(
    function: Callable[..., None],
    table: int,
    lane_batches: int,
    steps: int,
    stopped: Callable[[], bool],
) -> bool:
    """All steps of all lane batches, in short calls; False if it was stopped before the end."""

    def call(first: int, end: int, step: int, count: int) -> None:
        function(table, first, end, step, step + count, 1, steps)

    done = min(_TRIAL, steps)
    start = time.perf_counter()
    call(0, 1, 0, done)
    of_step = max((time.perf_counter() - start) / done, 1e-9)
    at_once = max(1, int(_SLICE / (of_step * steps)))
    finished = 0
    while finished < lane_batches:
        end = finished + 1 if done else min(lane_batches, finished + at_once)
        fitting = max(1, int(_SLICE / (of_step * (end - finished))))
        while done < steps:
            if stopped():
                return False
            count = min(fitting, steps - done)
            call(finished, end, done, count)
            done += count
        finished, done = end, 0
    return True
