"""Many training runs by native code: parameters and learning rates in, losses out.

A `LaneTrainer` is the compiled program. Each call of `run` has a memory of its own, in which
`codegen/model_lanes_entry.py` works: several threads may call it at the same time. It knows
nothing of models; `talweg.training.lane_executor` does.

Start reading at `LaneTrainer.run`.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from talweg.autodiff.operation import Number
from talweg.compiler.codegen.model_lanes_entry import many_models
from talweg.compiler.codegen.model_lanes_plan import TABLE, Plan
from talweg.compiler.codegen.sample_lanes_plan import LONGEST_TEXT
from talweg.compiler.ir.tape import Array, Tape
from talweg.compiler.passes.find_loops import find_loops_within
from talweg.compiler.passes.scheduling import schedule
from talweg.compiler.runtime import llvm
from talweg.compiler.runtime.buffers import Memory
from talweg.errors import NativeError
from talweg.optim import Update

_SLICE = 0.05
"""Seconds that native code may take before Python looks up: for Ctrl-C, and to be stopped."""

_TRIAL = 4
"""Steps by which the time that a step takes is measured first."""

_TOGETHER = 4
"""How many samples are computed side by side, at most."""


@dataclass(frozen=True)
class Batches:
    """Which samples each step takes.

    Attributes:
        order: the numbers of samples, batch after batch.
        counts: how many of them each step takes, shape (steps,).
    """

    order: Array
    counts: Array


@dataclass(frozen=True)
class Swept:
    """What `LaneTrainer.run` did.

    Attributes:
        losses: the loss of each step before its update, shape (models, steps); nan after the
            end of a run.
        steps: how many losses each run recorded, shape (models,).
        diverged: which runs met a number that is not finite, shape (models,).
        reached: which runs ended because their loss had reached the target, shape (models,).
        in_lanes: parameters and derivatives as native code left them, by name.
        whole: whether all runs came to their end; not if they were stopped from outside.
    """

    losses: Array
    steps: Array
    diverged: Array
    reached: Array
    in_lanes: dict[str, Array]
    whole: bool = True

    @cached_property
    def weights(self) -> Array:
        """The parameters after the last update, shape (models, parameters)."""
        return _by_model(self.in_lanes["p"], len(self.steps))

    @cached_property
    def gradients(self) -> Array:
        """The derivatives of the last step of runs that diverged, else zeros; as `weights`."""
        return _by_model(self.in_lanes["last"], len(self.steps))


class LaneTrainer:
    """Native training of many models with one program on one set of samples.

    Args:
        tape: the loss of one sample: parameters `w`, the sample's numbers `x`.
        samples: the numbers of all samples, shape (n, inputs).
        update: gives the optimiser's equation, when it is given the numbers that are each
            model's own: for `settings` = 1, `lambda numbers: SGD(1.0, momentum=numbers[0]).update`.
        start: what the optimiser remembers about a parameter before the first step.
        mean: whether the loss is the mean of the samples' losses, or their sum.
        batch: how many samples a step takes at most; None for all of them.
        settings: how many numbers of the optimiser, beside its rate, are each model's own.
        ends: where each range of parameters ends that has a learning rate of its own; one
            range unless given.
        exact: whether every bit must be that of the eager engine.
        scheduled: whether each step has its own learning rates.
        together: how many samples are computed side by side, in default mode.

    Raises:
        NativeError: if the program has no loops that could be compiled.
    """

    def __init__(
        self,
        tape: Tape,
        samples: Array,
        *,
        update: Callable[[tuple[Number, ...]], Update],
        start: Sequence[float] = (),
        mean: bool = False,
        batch: int | None = None,
        settings: int = 0,
        ends: Sequence[int] = (),
        exact: bool = False,
        scheduled: bool = False,
        together: int = _TOGETHER,
    ) -> None:
        loops = find_loops_within(tape, LONGEST_TEXT)
        if loops is None:
            raise NativeError("the loss of an example has no loops worth the name")
        code = schedule(loops)
        taken = len(samples) if batch is None else min(batch, len(samples))
        self.plan = Plan(
            code=code,
            update=update,
            remembered=len(start),
            ends=tuple(ends) or (tape.sizes["w"],),
            samples=taken,
            inputs=samples.shape[1],
            mean=mean,
            batched=batch is not None,
            settings=settings,
            scheduled=scheduled,
            exact=exact,
            lanes=llvm.lanes(),
            together=1 if exact else max(1, min(together, taken)),
        )
        self.start = start
        self.samples = samples
        self.constants = tape.constants
        self.library = llvm.compile(many_models(self.plan))
        kinds = [ctypes.c_void_p, *[ctypes.c_int64] * 5]
        self._native = ctypes.CFUNCTYPE(None, *kinds)(self.library.address("run"))

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
    ) -> Swept:
        """Train models, each from its own weights at its own learning rates.

        Args:
            weights: the first parameters, shape (models, parameters).
            rates: the learning rates, shape (models,); (ranges, models) if ranges of parameters
                have their own; and with all steps before that, (steps, ranges, models), if they
                are scheduled.
            steps: how many steps each model takes, unless it ends before.
            settings: the other numbers that are each model's own, shape (settings, models);
                none of them is zero.
            batches: which samples the steps take, if they do not take all.
            target: a loss at which, or below, a model has reached its aim and ends.
            stopped: is asked from time to time whether to come back before the end.

        Returns:
            What became of the models.

        Example:
            >>> from talweg.compiler.frontend.trace import trace
            >>> from talweg import Value, SGD
            >>> w = Value(0.0)
            >>> traced = trace(lambda x: (w * x[0] - x[1]) * (w * x[0] - x[1]), [1.0, 2.0])
            >>> sgd = lambda settings: SGD(0.1).update
            >>> sweeper = LaneTrainer(traced.tape, np.array([[1.0, 2.0]]), update=sgd)
            >>> sweeper.run(np.zeros((2, 1)), np.array([0.25, 0.5]), 3).losses.tolist()
            [[4.0, 1.0, 0.25], [4.0, 0.0, 0.0]]
        """
        memory = self._memory(weights, rates, steps, settings, batches, target)
        groups = -(-len(weights) // self.plan.lanes)
        whole = _run(self._native, memory.address, groups, steps, stopped)
        return self._swept(memory, len(weights), steps, whole)

    def _memory(
        self,
        weights: Array,
        rates: Array,
        steps: int,
        settings: Array | None,
        batches: Batches | None,
        target: float,
    ) -> Memory:
        """The numbers of all groups; lanes beyond the last model are not alive."""
        plan = self.plan
        models, width = len(weights), plan.lanes
        groups = -(-models // width)
        by_step = (steps if plan.scheduled else 1) * len(plan.ends)
        memory = Memory(
            {
                "p": groups * plan.of_group,
                "rates": groups * width * by_step,
                "settings": groups * width * plan.settings,
                "alive": groups * width,
                "reached": groups * width,
                "done": groups * width,
                "last": groups * plan.parameters * width,
                "losses": groups * width * steps,
                "x": plan.samples * plan.inputs * width,
                "data": self.samples.size if batches else 0,
                "order": len(batches.order) if batches else 0,
                "offsets": steps if batches else 0,
                "counts": steps if batches else 0,
                "c": len(plan.code.constants),
                "target": 1,
                "moved": plan.of_group,
                "g": plan.parameters * width,
                "parts": plan.samples * width,
                "work": plan.work,
            },
            TABLE,
        )
        if batches:
            memory.floats("data")[:] = self.samples.reshape(-1)
            memory.integers("order")[:] = batches.order
            memory.integers("counts")[:] = batches.counts
            memory.integers("offsets")[:] = np.cumsum(batches.counts) - batches.counts
        else:
            memory.floats("x")[:] = self._samples_in_lanes()
        memory.floats("c")[:] = self.constants
        memory.floats("target")[:] = target
        memory.floats("alive")[:models] = 1.0
        memory.floats("losses")[:] = np.nan
        p = memory.floats("p").reshape(groups, 1 + plan.remembered, plan.parameters, width)
        p[:, 0] = _in_lanes(weights.T, groups, width)
        p[:, 1:] = np.reshape(self.start, (-1, 1, 1))
        flat = rates.reshape(by_step, models)
        memory.floats("rates")[:] = _in_lanes(flat, groups, width).reshape(-1)
        if settings is not None:
            memory.floats("settings")[:] = _in_lanes(settings, groups, width).reshape(-1)
        return memory

    def _samples_in_lanes(self) -> Array:
        """The samples, each number once for each lane; those computed together lie together."""
        plan, inputs = self.plan, self.plan.inputs
        blocks = self.samples[: plan.side_by_side].reshape(-1, plan.together, inputs)
        rest = self.samples[plan.side_by_side :]
        flat = np.concatenate([blocks.transpose(0, 2, 1).reshape(-1), rest.reshape(-1)])
        return np.repeat(flat, plan.lanes)

    def _swept(self, memory: Memory, models: int, steps: int, whole: bool) -> Swept:
        """What the memory says of the models."""
        plan = self.plan
        p = memory.floats("p").reshape(-1, plan.parameters * (1 + plan.remembered), plan.lanes)
        last = memory.floats("last").reshape(-1, plan.parameters, plan.lanes)
        losses = memory.floats("losses").reshape(-1, steps, plan.lanes)
        reached = memory.floats("reached")[:models] > 0.0
        return Swept(
            losses=_by_model(losses, models),
            steps=memory.floats("done")[:models].astype(int),
            diverged=(memory.floats("alive")[:models] == 0.0) & ~reached,
            reached=reached,
            in_lanes={"p": p[:, : plan.parameters], "last": last},
            whole=whole,
        )


def _by_model(in_lanes: Array, models: int) -> Array:
    """Numbers in lanes, shape (groups, rows, width), as (models, rows)."""
    table: Array = in_lanes.transpose(0, 2, 1).reshape(-1, in_lanes.shape[1])[:models]
    return table


def _in_lanes(rows: Array, groups: int, width: int) -> Array:
    """Numbers by model, shape (rows, models), as (groups, rows, width); the last one repeats."""
    beyond = groups * width - rows.shape[1]
    if beyond:
        rows = np.pad(rows, ((0, 0), (0, beyond)), mode="edge")
    in_lanes: Array = rows.reshape(len(rows), groups, width).transpose(1, 0, 2)
    return in_lanes


def _run(
    function: Callable[..., None], table: int, groups: int, steps: int, stopped: Callable[[], bool]
) -> bool:
    """All steps of all groups, in calls that are short enough; whether it came to the end."""
    done = min(_TRIAL, steps)
    begin = time.perf_counter()
    function(table, 0, 1, 0, done, steps)
    of_step = max((time.perf_counter() - begin) / done, 1e-9)
    at_once = max(1, int(_SLICE / (of_step * steps)))
    finished = 0
    while finished < groups:
        end = finished + 1 if done else min(groups, finished + at_once)
        fitting = max(1, int(_SLICE / (of_step * (end - finished))))
        while done < steps:
            if stopped():
                return False
            count = min(fitting, steps - done)
            function(table, finished, end, done, count, steps)
            done += count
        finished, done = end, 0
    return True
