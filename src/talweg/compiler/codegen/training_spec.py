"""What a native training function is compiled for, and the arrays that it is given.

A `TrainingSpec` describes the training of one program: the loss of a sample, the optimiser's
equation, the sizes of batches, and what the lanes of a vector hold. `training_layout` declares the
memory; `codegen/train_step.py` compiles the function, and `runtime/buffers.py` allocates the
arrays.

Start reading at `TrainingSpec`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from talweg.autodiff.operation import Number
from talweg.compiler.codegen.memory_layout import Field, MemoryLayout
from talweg.compiler.codegen.program_arrays import padded
from talweg.compiler.codegen.types import I64
from talweg.compiler.ir.scheduled_program import ScheduledProgram
from talweg.optimizer_step import Update

STACK_LIMIT = 8192
"""The arrays of a block of samples are on the stack if they have at most so many numbers in all."""

PARAMETERS_IN_ROW = 8
"""With sample lanes, so many parameters are updated at once: the doubles of a cache line."""


@dataclass(frozen=True)
class TrainingSpec:
    """What a training function is compiled for.

    Attributes:
        code: forward and backward for one sample.
        update: gives the optimiser's equation for the settings of a model, see `settings`.
        state_size: how many numbers the optimiser keeps for each parameter.
        parameters: how many parameters the program reads.
        range_ends: the end of each range of parameters with a learning rate of its own. The ranges
            follow each other; parameters behind the last range are not trained.
        inputs: how many numbers a sample has.
        batch: how many samples a step takes: so many, or at most so many (see `fixed_batch`).
        fixed_batch: whether each step takes the same `batch` samples.
        mean: whether the loss of a batch is the mean of its samples' losses, or their sum.
        clip_norm: the largest length of the gradient, or None.
        settings: how many numbers of the optimiser, besides the learning rate, each model has for
            itself. None of them is zero, so an equation may branch on them.
        scheduled: whether each step has a learning rate of its own.
        has_target: whether a run ends when its loss has reached a target.
        exact: whether every bit must be that of the eager engine.
        lanes_hold: "samples": one model, and the samples of a batch in the lanes of vectors;
            "models": each lane trains a model, on the same samples.
        lanes: how many lanes a vector has.
        blocks: how many vectors of samples (sample lanes) or samples (model lanes) are computed
            together. They share the loads of parameters.
        chunks: with sample lanes, into how many parts a batch is divided, each with derivatives of
            its own, so that threads can share the work.
    """

    code: ScheduledProgram
    update: Callable[[tuple[Number, ...]], Update]
    state_size: int
    parameters: int
    range_ends: tuple[int, ...]
    inputs: int
    batch: int
    fixed_batch: bool
    mean: bool
    clip_norm: float | None = None
    settings: int = 0
    scheduled: bool = True
    has_target: bool = False
    exact: bool = False
    lanes_hold: Literal["samples", "models"] = "models"
    lanes: int = 1
    blocks: int = 1
    chunks: int = 1

    @property
    def trained(self) -> int:
        """How many parameters are trained; they come first."""
        return self.range_ends[-1]

    @property
    def models(self) -> int:
        """How many models are trained at once."""
        return self.lanes if self.lanes_hold == "models" else 1

    @property
    def samples_in_block(self) -> int:
        """How many samples are computed together."""
        return self.blocks * (self.lanes if self.lanes_hold == "samples" else 1)

    @property
    def pads_batches(self) -> bool:
        """Whether a batch is filled up to whole blocks of samples.

        The lanes of a vector are always computed together. Model lanes compute the samples beyond
        the last whole block one by one.
        """
        return self.lanes_hold == "samples"

    @property
    def packed_samples(self) -> int:
        """For how many samples the packed batch has room."""
        block = self.samples_in_block
        return -(-self.batch // block) * block if self.pads_batches else self.batch

    @cached_property
    def parameter_rows(self) -> tuple[int, int]:
        """How parameters are stored: rows of so many numbers, each computed as one vector.

        With model lanes a row is one parameter of all models, else some neighbouring parameters.
        """
        if self.lanes_hold == "models":
            return self.parameters, self.lanes
        return -(-self.parameters // PARAMETERS_IN_ROW), PARAMETERS_IN_ROW

    @cached_property
    def layout(self) -> MemoryLayout:
        """The arrays of the training functions; see `training_layout`."""
        return training_layout(self)

    @cached_property
    def work(self) -> int:
        """How many numbers the arrays of a block need in memory; 0 if they are on the stack."""
        sizes, width = self.code.arrays.values(), self.lanes * self.blocks
        if sum(sizes) * width <= STACK_LIMIT:
            return 0
        return sum(padded(size) * width for size in sizes)


def training_layout(spec: TrainingSpec) -> MemoryLayout:
    """The arrays of a training function.

    Dimensions that are known at run time: `lane_batches` (models are trained in batches, which fill
    the lanes of a vector), `steps`, and where batches of samples vary, `samples` (all of them) and
    `order` (the samples of all steps).
    """
    models, rows, kept = spec.models, spec.parameter_rows, 1 + spec.state_size
    rated_steps = "steps" if spec.scheduled else 1
    of_lane_batch = (
        # The parameters, and behind them the optimiser's state: its first number of each, ...
        Field("parameters", ("lane_batches", kept, *rows)),
        Field("rates", ("lane_batches", rated_steps, len(spec.range_ends), models)),
        Field("settings", ("lane_batches", spec.settings, models)),
        Field("losses", ("lane_batches", "steps", models)),
        Field("recorded", ("lane_batches", models)),  # how many losses
        Field("alive", ("lane_batches", models)),  # 1.0 until the run has ended, then 0.0
    )
    target = (
        Field("target", (1,)),
        Field("reached", ("lane_batches", models)),  # 1.0 if the loss has reached the target
    )
    shared = (
        Field("constants", (len(spec.code.constants),)),
        Field("packed", (spec.packed_samples * spec.inputs, models)),  # see `packed_samples`
    )
    batches = (
        Field("data", ("samples", spec.inputs)),
        Field("order", ("order",), I64),  # the numbers of samples, batch after batch
        Field("offsets", ("steps",), I64),  # the first entry of each batch in `order`
        Field("counts", ("steps",), I64),  # how many samples it has
    )
    to_work_in = (
        Field("next_parameters", (kept, *rows)),
        Field("gradient", rows),
        Field("work", (spec.chunks, spec.work)),
    )
    of_lanes: tuple[Field, ...]
    if spec.lanes_hold == "samples":
        of_lanes = (
            Field("accumulators", (spec.chunks, *rows, spec.lanes)),  # derivatives, lane by lane
            Field("sample_losses", (spec.chunks, spec.blocks, spec.lanes)),  # sums of losses
        )
    else:
        of_lanes = (Field("sample_losses", (spec.batch, models)),)
    last_gradient = (Field("last_gradient", ("lane_batches", *rows)),)  # of the step that diverged
    optional = (
        (not spec.fixed_batch, batches),
        (spec.has_target, target),
        (models > 1, last_gradient),
    )
    chosen = [field for is_used, fields in optional if is_used for field in fields]
    return MemoryLayout((*of_lane_batch, *shared, *chosen, *to_work_in, *of_lanes))
