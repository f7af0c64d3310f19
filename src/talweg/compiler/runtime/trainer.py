"""Training steps by native code: samples and parameters in, losses and parameters out.

A `Trainer` owns the memory in which the functions of `codegen/train_step.py` work: the samples, the
parameters and the optimiser's state. It knows nothing of models; `talweg.train` does.

In default mode the lanes of a vector hold samples, and threads share the samples of a large batch.
In exact mode vectors have one lane, which computes in the order of the eager engine.

Start reading at `Trainer.take`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from talweg.compiler.codegen.lower import fitting_blocks, operation_count
from talweg.compiler.codegen.training_spec import TrainingSpec
from talweg.compiler.ir.scheduled_program import ScheduledProgram
from talweg.compiler.ir.tape import Array
from talweg.compiler.runtime import llvm
from talweg.compiler.runtime.buffers import (
    Batches,
    native_function,
    training_memory,
    write_batches,
)
from talweg.optimizer_step import Update

_MOST_BLOCKS = 8
"""At most so many vectors of samples are computed together."""

_NEAR = 100_000
"""Bytes to work in that are near enough: more than the first cache holds, less than the second."""

_CHUNK, _MOST_CHUNKS = 1024, 16
"""A chunk has at least so many samples; there are at most so many chunks."""

_WORTH_SHARING = 10_000_000
"""Steps of fewer operations take less than about a millisecond, and waiting for threads takes a
tenth of one."""

_MOST_STEPS, _MOST_ORDERED = 4096, 1_000_000
"""One call takes at most so many steps, with at most so many samples if that is more than one."""


@dataclass(frozen=True)
class TrainedSteps:
    """The result of a call of `Trainer.take`.

    Attributes:
        losses: the loss of each step, before its update.
        diverged: whether the last of them met a number that is not finite; its update was
            not made.
    """

    losses: list[float]
    diverged: bool


def spec_for(
    code: ScheduledProgram,
    samples: Array,
    *,
    parameters: int,
    update: Update,
    state_size: int,
    trained: int,
    batch: int | None = None,
    mean: bool,
    clip_norm: float | None = None,
    exact: bool = False,
) -> TrainingSpec:
    """The specification of the training functions for one program and one set of samples.

    Args:
        code: the loss of one sample: parameters `w`, the sample's numbers `x`.
        samples: the numbers of all samples, shape (n, inputs).
        parameters: how many parameters the program reads, trained or not.
        update: the optimiser's equation.
        state_size: how many numbers it keeps for each parameter.
        trained: how many of the parameters are trained; they come first.
        batch: how many samples a batch has, which decides how they are stored; None for all of
            them.
        mean: whether a batch's loss is the mean of its samples' losses, or their sum.
        clip_norm: the largest length of the gradient, or None.
        exact: whether every bit must be that of the eager engine.
    """
    fixed_batch, batch = batch is None, batch or len(samples)
    numbers = samples.shape[1] + sum(code.arrays.values())
    lanes, blocks = (1, 1) if exact else lanes_and_blocks(batch, numbers, fitting_blocks(code))
    return TrainingSpec(
        code=code,
        update=lambda _: update,
        state_size=state_size,
        parameters=parameters,
        range_ends=(trained,),
        inputs=samples.shape[1],
        batch=batch,
        fixed_batch=fixed_batch,
        mean=mean,
        clip_norm=clip_norm,
        exact=exact,
        lanes_hold="models" if exact else "samples",
        lanes=lanes,
        blocks=blocks,
        chunks=1 if exact else max(1, min(_MOST_CHUNKS, batch // _CHUNK)),
    )


class Trainer:
    """Native training of one model with one program on one set of samples.

    Args:
        spec: the specification of the training functions.
        library: their machine code.
        samples: the numbers of all samples, shape (n, inputs).
        threads: how many threads may share the samples of a large batch; it does not change
            a bit of the result.

    Attributes:
        most_steps: how many steps one call takes at most.
    """

    def __init__(
        self, spec: TrainingSpec, library: llvm.Library, samples: Array, *, threads: int = 1
    ) -> None:
        self.spec = spec
        self.library = library
        self.most_steps = max(1, min(_MOST_STEPS, _MOST_ORDERED // spec.batch))
        work = spec.batch * operation_count([*spec.code.forward, *spec.code.backward])
        self.threads = min(threads, spec.chunks) if work >= _WORTH_SHARING else 1
        self.memory = training_memory(
            spec,
            samples,
            lane_batches=1,
            steps=self.most_steps,
            order=self.most_steps * spec.batch,
        )
        self._train = native_function(library, "train", 3)

    @property
    def parameters(self) -> Array:
        """The parameters, trained ones first; what is written into this array is used."""
        return self._kept[0, : self.spec.parameters]

    @cached_property
    def state(self) -> Array:
        """The optimiser's state, shape (state size, trained parameters); it may be written to."""
        return self._kept[1:, : self.spec.trained]

    @property
    def _kept(self) -> Array:
        """The parameters, and each number of the optimiser's state, one a row."""
        return self.memory["parameters"].reshape(1 + self.spec.state_size, -1)

    @property
    def gradient(self) -> Array:
        """The derivatives of the last step by the trained parameters."""
        return self.memory["gradient"].reshape(-1)[: self.spec.trained]

    def share_parameters(self, owner: Trainer) -> None:
        """Train the parameters, with the state, that another trainer has.

        Raises:
            CompilerError: if the other trainer has another number of parameters.
        """
        self.memory.share("parameters", owner.memory)
        self.__dict__.pop("state", None)

    def take(
        self, batches: Sequence[Sequence[int] | None], rates: Sequence[float] | float, first: int
    ) -> TrainedSteps:
        """Take steps of training.

        Args:
            batches: the samples of each step, by number; None for all of them.
            rates: the learning rate of each step, or of all of them.
            first: the number of the first step, 1 for the first of a run.

        Returns:
            The losses, and whether the run diverged.
        """
        self.load(batches, rates)
        goes_on = self.run(0, len(batches), first)
        return TrainedSteps(self.losses(), diverged=not goes_on)

    def load(self, batches: Sequence[Sequence[int] | None], rates: Sequence[float] | float) -> None:
        """Prepare steps, which `run` takes; see `take`."""
        memory, steps = self.memory, len(batches)
        if not self.spec.fixed_batch:
            numbers = [batch for batch in batches if batch is not None]
            counts = np.array([len(batch) for batch in numbers])
            write_batches(memory, Batches(np.concatenate(numbers), counts))
        memory["rates"][0, :steps, 0, 0] = rates
        memory["recorded"][:] = 0.0
        memory["alive"][:] = 1.0

    def run(self, start: int, stop: int, first: int) -> bool:
        """Take some of the prepared steps.

        Args:
            start: the first of them, by its index in what was prepared.
            stop: the index behind the last.
            first: the optimiser's number of step `start`, 1 for the first of a run.

        Returns:
            Whether the run goes on: False if it has diverged.
        """
        if self.threads > 1:
            self._run_in_threads(start, stop, first)
        else:
            self._train(self.memory.address, start, stop, first - start)
        return bool(self.memory["alive"][0, 0])

    def losses(self) -> list[float]:
        """The losses of the prepared steps that were taken, each before its update."""
        recorded = int(self.memory["recorded"][0, 0])
        found: list[float] = self.memory["losses"][0, :recorded, 0].tolist()
        return found

    def _run_in_threads(self, start: int, stop: int, first: int) -> None:
        """What the native function `train` does, with the chunks of a step shared by threads."""
        address, spec, alive = self.memory.address, self.spec, self.memory["alive"]
        pack, compute, finish = (
            native_function(self.library, name, numbers)
            for name, numbers in (("pack", 1), ("chunk", 2), ("finish", 2))
        )
        bounds = [spec.chunks * k // self.threads for k in range(self.threads + 1)]
        own, *others = [range(*pair) for pair in pairwise(bounds)]

        def compute_chunks(step: int, chunks: range) -> None:
            for k in chunks:
                compute(address, step, k)

        with ThreadPoolExecutor(len(others)) as pool:
            for step in range(start, stop):
                pack(address, step)
                submitted = [pool.submit(compute_chunks, step, chunks) for chunks in others]
                compute_chunks(step, own)
                for one in submitted:
                    one.result()
                finish(address, step, first - start)
                if not alive[0, 0]:
                    return


def lanes_and_blocks(batch: int, numbers: int, fitting: int = _MOST_BLOCKS) -> tuple[int, int]:
    """How many samples to put into a vector, and how many vectors to compute together.

    Several vectors share the loads of each parameter, but the last block of a batch may be
    partly empty, and what they work on should stay near. The figures are from C written by
    hand for a 64-64-64-10 network.

    Args:
        batch: how many samples a batch has.
        numbers: how many numbers a sample has, and works on.
        fitting: how many blocks the length of the program allows, see `fitting_blocks`.
    """
    lanes = llvm.lanes()
    while lanes > 2 and lanes >= 2 * batch:
        lanes //= 2
    vectors = -(-batch // lanes)
    most = max(1, min(_MOST_BLOCKS, fitting, _NEAR // (8 * lanes * numbers)))

    def cost(blocks: int) -> int:
        return -(-vectors // blocks) * (1000 + 700 * blocks)

    return lanes, min(range(1, most + 1), key=cost)
