"""Many training runs by native code: parameters and learning rates in, losses out.

A `Sweeper` owns the memory in which `talweg.compiler.many` works, and shares groups of models
among threads. It knows nothing of models; `talweg.sweep` does.

Start reading at `Sweeper.run`.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from talweg.compiler import native
from talweg.compiler.loops import program_within
from talweg.compiler.many import TABLE, Plan, many_models
from talweg.compiler.memory import Memory
from talweg.compiler.plan import LONGEST_TEXT, Update
from talweg.compiler.schedule import schedule
from talweg.compiler.tape import Array, Tape
from talweg.errors import NativeError

_SLICE = 0.05
"""Seconds that native code may take before Python looks up: for Ctrl-C and the progress bar."""

_TRIAL = 4
"""Steps by which the time that a step takes is measured first."""


_TOGETHER = 4
"""How many samples are computed side by side, at most."""


@dataclass(frozen=True)
class Swept:
    """What `Sweeper.run` did, for the models that were finished.

    Attributes:
        losses: the loss of each step before its update, shape (models, steps); nan after the
            end of a run that diverged.
        steps: how many losses each run recorded, shape (models,).
        diverged: which runs met a number that is not finite, shape (models,).
        in_lanes: parameters and derivatives as native code left them, by name.
        interrupted: whether Ctrl-C ended it before all models were finished.
    """

    losses: Array
    steps: Array
    diverged: Array
    in_lanes: dict[str, Array]
    interrupted: bool = False

    @cached_property
    def weights(self) -> Array:
        """The parameters after the last update, shape (models, parameters)."""
        return _by_model(self.in_lanes["p"], len(self.steps))

    @cached_property
    def gradients(self) -> Array:
        """The derivatives of the last step of runs that diverged, else zeros; as `weights`."""
        return _by_model(self.in_lanes["last"], len(self.steps))


class Sweeper:
    """Native training of many models with one program on one set of samples.

    Args:
        tape: the loss of one sample: parameters `w`, the sample's numbers `x`.
        samples: the numbers of all samples, shape (n, inputs); every step takes all of them.
        update: the optimiser's equation.
        start: what the optimiser remembers about a parameter before the first step.
        mean: whether the loss is the mean of the samples' losses, or their sum.
        exact: whether every bit must be that of the eager engine.
        scheduled: whether each step has its own learning rates.
        threads: how many threads share the models; it does not change a bit of the result.
        together: how many samples are computed side by side, in default mode.

    Raises:
        NativeError: if the program has no loops that could be compiled.
    """

    def __init__(
        self,
        tape: Tape,
        samples: Array,
        *,
        update: Update,
        start: Sequence[float] = (),
        mean: bool = False,
        exact: bool = False,
        scheduled: bool = False,
        threads: int = 1,
        together: int = _TOGETHER,
    ) -> None:
        loops = program_within(tape, LONGEST_TEXT)
        if loops is None:
            raise NativeError("the loss of an example has no loops worth the name")
        code = schedule(loops)
        self.plan = Plan(
            code=code,
            update=update,
            remembered=len(start),
            parameters=tape.sizes["w"],
            samples=len(samples),
            inputs=samples.shape[1],
            mean=mean,
            scheduled=scheduled,
            exact=exact,
            lanes=native.lanes(),
            together=1 if exact else max(1, min(together, len(samples))),
        )
        self.start = start
        self.threads = threads
        self.samples = samples
        self.constants = tape.constants
        self.library = native.compile(many_models(self.plan))
        kinds = [ctypes.c_void_p, *[ctypes.c_int64] * 6]
        self._native = ctypes.CFUNCTYPE(None, *kinds)(self.library.address("run"))

    def run(
        self,
        weights: Array,
        rates: Array,
        steps: int,
        show: Callable[[int, float], None] = lambda finished, loss: None,
    ) -> Swept:
        """Train models, each from its own weights at its own learning rate.

        Args:
            weights: the first parameters, shape (models, parameters).
            rates: the learning rates, shape (models,), or (steps, models) if they are scheduled.
            steps: how many steps each model takes, unless it diverges.
            show: is told how many models are finished and the last loss of the last of them.

        Returns:
            What became of the models; after Ctrl-C, of those that were finished.

        Example:
            >>> from talweg.compiler.trace import trace
            >>> from talweg import Value, SGD
            >>> w = Value(0.0)
            >>> traced = trace(lambda x: (w * x[0] - x[1]) * (w * x[0] - x[1]), [1.0, 2.0])
            >>> sweeper = Sweeper(traced.tape, np.array([[1.0, 2.0]]), update=SGD(0.1).update)
            >>> sweeper.run(np.zeros((2, 1)), np.array([0.25, 0.5]), 3).losses.tolist()
            [[4.0, 1.0, 0.25], [4.0, 0.0, 0.0]]
        """
        memory = self._memory(weights, rates, steps)
        with ThreadPoolExecutor(self.threads) as pool:
            finished = self._groups(memory, len(weights), steps, show, pool)
        return self._swept(memory, len(weights), finished, steps)

    def _groups(
        self,
        memory: Memory,
        models: int,
        steps: int,
        show: Callable[[int, float], None],
        pool: ThreadPoolExecutor,
    ) -> int:
        """Train the groups in order, some at a time; how many models were finished."""
        groups, finished = -(-models // self.plan.lanes), 0
        work = _Work(memory, steps, self._native)
        try:
            taken = work.trial()
            while finished < groups:
                some = min(work.groups_at_once(), -(-(groups - finished) // self.threads))
                begins = range(finished, min(groups, finished + some * self.threads), some)
                pieces = [(b, min(b + some, groups), w) for w, b in enumerate(begins)]
                skips = [taken if begin == 0 else 0 for begin, _, _ in pieces]
                if len(pieces) == 1:
                    work.piece(pieces[0], skips[0])
                else:
                    for _ in pool.map(work.piece, pieces, skips):
                        pass  # until all of them are done; an error would show here
                finished = pieces[-1][1]
                done = min(finished * self.plan.lanes, models)
                show(done, self._last_loss(memory, done - 1, steps))
        except KeyboardInterrupt:
            work.stopped = True
        return min(finished * self.plan.lanes, models)

    def _last_loss(self, memory: Memory, model: int, steps: int) -> float:
        """The last loss that a model recorded."""
        group, lane = divmod(model, self.plan.lanes)
        step = int(memory.floats("done")[model]) - 1
        return float(memory.floats("losses")[(group * steps + step) * self.plan.lanes + lane])

    def _memory(self, weights: Array, rates: Array, steps: int) -> Memory:
        """The numbers of all groups; lanes beyond the last model are not alive."""
        plan = self.plan
        models, width = len(weights), plan.lanes
        groups = -(-models // width)
        memory = Memory(
            {
                "p": groups * plan.of_group,
                "rates": groups * width * (steps if plan.scheduled else 1),
                "alive": groups * width,
                "done": groups * width,
                "last": groups * plan.parameters * width,
                "losses": groups * width * steps,
                "x": self.samples.size * width,
                "c": len(plan.code.constants),
                "moved": self.threads * plan.of_group,
                "g": self.threads * plan.parameters * width,
                "parts": self.threads * plan.samples * width,
                "work": self.threads * plan.work,
            },
            TABLE,
        )
        memory.floats("x")[:] = self._samples_in_lanes()
        memory.floats("c")[:] = self.constants
        memory.floats("alive")[:models] = 1.0
        memory.floats("losses")[:] = np.nan
        p = memory.floats("p").reshape(groups, 1 + plan.remembered, plan.parameters, width)
        p[:, 0] = _in_lanes(weights.T, groups, width)
        p[:, 1:] = np.reshape(self.start, (-1, 1, 1))
        by_step = rates if plan.scheduled else rates.reshape(1, -1)
        memory.floats("rates")[:] = _in_lanes(by_step, groups, width).reshape(-1)
        return memory

    def _samples_in_lanes(self) -> Array:
        """The samples, each number once for each lane; those computed together lie together."""
        plan, inputs = self.plan, self.plan.inputs
        blocks = self.samples[: plan.side_by_side].reshape(-1, plan.together, inputs)
        rest = self.samples[plan.side_by_side :]
        flat = np.concatenate([blocks.transpose(0, 2, 1).reshape(-1), rest.reshape(-1)])
        return np.repeat(flat, plan.lanes)

    def _swept(self, memory: Memory, models: int, finished: int, steps: int) -> Swept:
        """What the memory says of the models that were finished."""
        plan = self.plan

        p = memory.floats("p").reshape(-1, plan.parameters * (1 + plan.remembered), plan.lanes)
        last = memory.floats("last").reshape(-1, plan.parameters, plan.lanes)
        losses = memory.floats("losses").reshape(-1, steps, plan.lanes)
        return Swept(
            losses=_by_model(losses, finished),
            steps=memory.floats("done")[:finished].astype(int),
            diverged=memory.floats("alive")[:finished] == 0.0,
            in_lanes={"p": p[:, : plan.parameters], "last": last},
            interrupted=finished < models,
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


class _Work:
    """Calls of the native function that are short enough.

    Args:
        memory: what it works in.
        steps: how many steps each model takes.
        function: it.
    """

    def __init__(self, memory: Memory, steps: int, function: Callable[..., None]) -> None:
        self.address, self.steps, self.function = memory.address, steps, function
        self.memory = memory
        self.step_seconds = 0.0
        self.stopped = False

    def trial(self) -> int:
        """The first steps of the first group, which show how long a step takes."""
        steps = min(_TRIAL, self.steps)
        begin = time.perf_counter()
        self.function(self.address, 0, 1, 0, steps, self.steps, 0)
        self.step_seconds = max((time.perf_counter() - begin) / steps, 1e-9)
        return steps

    def groups_at_once(self) -> int:
        """How many groups, with all their steps, fit into a slice of time."""
        return max(1, int(_SLICE / (self.step_seconds * self.steps)))

    def piece(self, piece: tuple[int, int, int], skip: int) -> None:
        """All steps of some groups; the first group has taken `skip` of them already."""
        begin, end, worker = piece
        if skip:
            self._slices(begin, begin + 1, worker, skip)
            begin += 1
        if begin < end:
            self._slices(begin, end, worker, 0)

    def _slices(self, begin: int, end: int, worker: int, done: int) -> None:
        fitting = max(1, int(_SLICE / (self.step_seconds * (end - begin))))
        while done < self.steps and not self.stopped:
            count = min(fitting, self.steps - done)
            self.function(self.address, begin, end, done, count, self.steps, worker)
            done += count
