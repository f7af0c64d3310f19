"""Training steps by native code: samples and parameters in, losses and parameters out.

A `Trainer` owns the memory in which `codegen/sample_lanes.py` works: the samples, the parameters
and what the optimiser remembers about them. It knows nothing of models; `talweg.train` does.

Start reading at `Trainer.take`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from talweg.compiler.codegen.lower import operations
from talweg.compiler.codegen.sample_lanes import training_steps
from talweg.compiler.codegen.sample_lanes_plan import LONGEST_TEXT, SIZES, TABLE, Plan
from talweg.compiler.ir.tape import Array, Tape
from talweg.compiler.passes.find_loops import find_loops_within
from talweg.compiler.passes.scheduling import schedule
from talweg.compiler.runtime import llvm
from talweg.compiler.runtime.buffers import Memory
from talweg.errors import NativeError
from talweg.optim import Update

_MOST_BLOCKS = 8
"""How many vectors of samples are computed side by side, at most."""

_NEAR = 100_000
"""Bytes that are near enough: more than the first cache holds, less than the second."""


_CHUNK, _MOST_CHUNKS = 1024, 16
"""A chunk has at least so many samples; there are at most so many chunks."""

_WORTH_SHARING = 10_000_000
"""Steps of fewer operations take less than a millisecond or so, and waiting for threads costs a
tenth of one."""

_DONE, _DIVERGED = SIZES.index("done"), SIZES.index("diverged")

_PARTS = (("pack", None, 1), ("chunk", None, 2), ("finish", ctypes.c_bool, 1))
"""The parts of a step as functions: what they return, and how many numbers they take."""


@dataclass(frozen=True)
class Taken:
    """What a call of `Trainer.take` did.

    Attributes:
        losses: the loss of each step, before its update.
        diverged: whether the last of them met a number that is not finite; its update was
            not made.
    """

    losses: list[float]
    diverged: bool


class Trainer:
    """Native training of one program on one set of samples.

    Args:
        tape: the loss of one sample: parameters `w`, the sample's numbers `x`.
        samples: the numbers of all samples, shape (n, inputs).
        update: the optimiser's equation.
        remembered: how many numbers it remembers for each parameter.
        trained: how many of the parameters are trained; they come first.
        batch: how many samples a batch has, which decides how they are laid out; None for
            all of them.
        mean: whether a batch's loss is the mean of its samples' losses, or their sum.
        clip_norm: the length to which gradients are cut, or None.
        exact: whether every bit must be that of the eager engine.
        threads: how many threads may share the samples of a large batch; it does not change
            a bit of the result.

    Attributes:
        most_steps: how many steps one call takes at most.

    Raises:
        NativeError: if the program has no loops that could be compiled.
    """

    def __init__(
        self,
        tape: Tape,
        samples: Array,
        *,
        update: Update,
        remembered: int,
        trained: int,
        batch: int | None = None,
        mean: bool,
        clip_norm: float | None = None,
        exact: bool = False,
        threads: int = 1,
    ) -> None:
        count = len(samples) if batch is None else None
        batch = batch or len(samples)
        self.most_steps = max(1, min(4096, 1_000_000 // batch))
        loops = find_loops_within(tape, LONGEST_TEXT)
        if loops is None:
            raise NativeError("the loss of an example has no loops worth the name")
        code = schedule(loops)
        numbers = samples.shape[1] + sum(code.arrays.values())
        lanes, blocks = (1, 1) if exact else lanes_and_blocks(batch, numbers)
        self.plan = Plan(
            code=code,
            update=update,
            remembered=remembered,
            trained=trained,
            parameters=tape.sizes["w"],
            inputs=samples.shape[1],
            mean=mean,
            clip_norm=clip_norm,
            exact=exact,
            lanes=lanes,
            blocks=blocks,
            chunks=1 if exact else max(1, min(_MOST_CHUNKS, batch // _CHUNK)),
            count=count,
        )
        work = batch * operations([*code.forward, *code.backward])
        self.threads = min(threads, self.plan.chunks) if work >= _WORTH_SHARING else 1
        self.library = llvm.compile(training_steps(self.plan))
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.library.address("run"))
        self._part = {
            name: ctypes.CFUNCTYPE(result, ctypes.c_void_p, *[ctypes.c_int64] * numbers)(
                self.library.address(name)
            )
            for name, result, numbers in _PARTS
            if self.plan.chunks > 1
        }
        self.memory = Memory(self._sizes(samples, batch), TABLE)
        self.memory.floats("data")[:] = samples.reshape(-1)
        self.memory.floats("c")[:] = tape.constants
        self._everything = np.arange(len(samples))
        self._packed = False

    def _sizes(self, samples: Array, batch: int) -> dict[str, int]:
        plan = self.plan
        blocks = -(-batch // plan.samples)
        return {
            "p": plan.room * (1 + plan.remembered),
            "moved": plan.room * (1 + plan.remembered),
            "g": plan.room,
            "gathered": plan.gathered * plan.chunks,
            "c": len(plan.code.constants),
            "data": samples.size,
            "order": max(len(samples), self.most_steps * batch),
            "offsets": self.most_steps,
            "counts": self.most_steps,
            "x": blocks * plan.samples * plan.inputs,
            "parts": max(batch, plan.samples * plan.chunks),
            "rates": self.most_steps,
            "losses": self.most_steps,
            "sizes": len(SIZES),
            "work": plan.work * plan.chunks,
        }

    @property
    def parameters(self) -> Array:
        """The parameters, trained ones first; what is written into this array is used."""
        return self.memory.floats("p")[: self.plan.parameters]

    @cached_property
    def remembered(self) -> Array:
        """What the optimiser remembers, which another trainer may go on from."""
        return self.memory.floats("p")[self.plan.room :]

    @property
    def gradient(self) -> Array:
        """The derivatives of the last step by the trained parameters."""
        return self.memory.floats("g")[: self.plan.trained]

    def take(
        self, batches: Sequence[Sequence[int] | None], rates: Sequence[float] | float, first: int
    ) -> Taken:
        """Take steps of training.

        Args:
            batches: the samples of each step, by number; None for all of them.
            rates: the learning rate of each step, or of all of them.
            first: the number of the first step, 1 for the first of a run.

        Returns:
            The losses, and whether the run diverged.
        """
        memory, steps = self.memory, len(batches)
        whole = batches[0] is None
        chosen = [
            self._everything if batch is None else batch
            for batch in batches[: 1 if whole else None]
        ]
        counts = np.array([len(batch) for batch in chosen])
        memory.integers("counts")[:steps] = counts
        memory.integers("offsets")[:steps] = 0 if whole else np.cumsum(counts) - counts
        memory.integers("order")[: counts.sum()] = np.concatenate(chosen)
        memory.floats("rates")[:steps] = rates
        sizes = memory.integers("sizes")
        sizes[:] = [steps, first, int(whole and self._packed), 0, 0]
        if self.threads > 1:
            self._run_in_threads(steps)
        else:
            self._run(memory.address)
        done, diverged = int(sizes[_DONE]), bool(sizes[_DIVERGED])
        self._packed = whole
        losses = memory.floats("losses")[: done + diverged].tolist()
        return Taken(losses, diverged)

    def _run_in_threads(self, steps: int) -> None:
        """What the native function `run` does, with the chunks of a step shared by threads."""
        address, sizes, plan = self.memory.address, self.memory.integers("sizes"), self.plan
        moved = slice(0, plan.room * (1 + plan.remembered))
        bounds = [plan.chunks * k // self.threads for k in range(self.threads + 1)]
        mine, *others = [range(*pair) for pair in pairwise(bounds)]

        def share(step: int, chunks: range) -> None:
            for k in chunks:
                self._part["chunk"](address, step, k)

        with ThreadPoolExecutor(len(others)) as pool:
            for step in range(steps):
                self._part["pack"](address, step)
                shared = [pool.submit(share, step, chunks) for chunks in others]
                share(step, mine)
                for one in shared:
                    one.result()
                sizes[_DONE] = step
                if self._part["finish"](address, step):
                    sizes[_DIVERGED] = 1
                    return
                self.memory.floats("p")[moved] = self.memory.floats("moved")[moved]
                sizes[_DONE] = step + 1


def lanes_and_blocks(batch: int, numbers: int) -> tuple[int, int]:
    """How many samples to put into a vector, and how many vectors to compute side by side.

    Several vectors share the reading of each parameter, but the last block of a batch may be
    partly empty, and what they work on should stay near. The figures are from C written by
    hand for a 64-64-64-10 network.

    Args:
        batch: how many samples a batch has.
        numbers: how many numbers a sample has, and works on.
    """
    lanes = llvm.lanes()
    while lanes > 2 and lanes >= 2 * batch:
        lanes //= 2
    vectors = -(-batch // lanes)
    most = max(1, min(_MOST_BLOCKS, _NEAR // (8 * lanes * numbers)))

    def cost(blocks: int) -> int:
        return -(-vectors // blocks) * (1000 + 700 * blocks)

    return lanes, min(range(1, most + 1), key=cost)
