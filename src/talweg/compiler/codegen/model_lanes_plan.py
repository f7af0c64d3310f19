"""What a function that trains many models is made for, and the memory that it is given.

`codegen/model_lanes_entry.py` writes the function from a `Plan`; `runtime/lane_trainer.py` lays
out the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from talweg.autodiff.operation import Number
from talweg.compiler.codegen.entry_points import padded
from talweg.compiler.codegen.sample_lanes_plan import SMALL
from talweg.compiler.ir.scheduled_program import ScheduledProgram
from talweg.optim import Update

TABLE = (
    "p", "rates", "settings", "alive", "reached", "done", "last", "losses",
    "x", "data", "order", "offsets", "counts", "c", "target", "moved", "g", "parts", "work",
)  # fmt: skip
"""What the pointers in the table point to. Of each group: parameters (and behind them what the
optimiser remembers), learning rates, other settings of the optimiser, 1.0 for each lane that has
not ended, 1.0 for each that has reached the target, how many losses each lane has recorded, the
derivatives of the step at which it diverged, losses. Of all: the samples of a step in lanes; all
samples, the order in which batches take them, where each batch begins in it and how many it has;
constants; the target. To work in: parameters after the step, derivatives, the losses of samples,
what a sample's forward pass keeps."""


@dataclass(frozen=True)
class Plan:
    """What a function that trains many models is made for.

    Attributes:
        code: forward and backward for one sample.
        update: gives the optimiser's equation, when it is given the settings of the lanes.
        remembered: how many numbers the optimiser remembers for each parameter.
        ends: where each range of parameters ends that has a learning rate of its own; the last
            one is how many parameters a model has, and all of them are trained.
        samples: how many samples a step takes, at most.
        inputs: how many numbers a sample has.
        mean: whether the loss is the mean of the samples' losses.
        batched: whether each step takes samples of its own, instead of all of them.
        settings: how many numbers of the optimiser, beside its rate, are each lane's own.
        scheduled: whether each step has its own learning rates.
        exact: whether every bit must be that of the eager engine.
        lanes: how many models a group has, one in each lane.
        together: how many samples are computed side by side, which share the reading of each
            parameter and the writing of its derivative; samples that are left over at the end
            come one by one.
    """

    code: ScheduledProgram
    update: Callable[[tuple[Number, ...]], Update]
    remembered: int
    ends: tuple[int, ...]
    samples: int
    inputs: int
    mean: bool
    batched: bool = False
    settings: int = 0
    scheduled: bool = False
    exact: bool = False
    lanes: int = 1
    together: int = 1

    @property
    def parameters(self) -> int:
        """How many parameters a model has."""
        return self.ends[-1]

    @property
    def of_group(self) -> int:
        """How many numbers the parameters of a group are, with what is remembered of them."""
        return self.parameters * (1 + self.remembered) * self.lanes

    @property
    def side_by_side(self) -> int:
        """How many of the samples are computed side by side with others, if all are taken."""
        return self.samples // self.together * self.together

    @property
    def has_singles(self) -> bool:
        """Whether samples may be left over, which come one by one."""
        return self.together > 1 and (self.batched or self.side_by_side < self.samples)

    @property
    def work(self) -> int:
        """How many numbers a sample's memory to work in must hold; 0 if it is on the stack."""
        sizes, width = self.code.arrays.values(), self.lanes * self.together
        if sum(sizes) * width <= SMALL:
            return 0
        return sum(padded(size) * width for size in sizes)
