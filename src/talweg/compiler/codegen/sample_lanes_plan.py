"""What a training function is made for, and the memory that it is given.

`codegen/sample_lanes.py` writes the function from a `Plan`; `runtime/trainer.py` lays out
the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from talweg.compiler.codegen.entry_points import padded
from talweg.compiler.ir.scheduled_program import ScheduledProgram
from talweg.optim import Update

TABLE = (
    "p", "moved", "g", "gathered", "c", "data", "order", "offsets", "counts",
    "x", "parts", "rates", "losses", "sizes", "work",
)  # fmt: skip
"""What the pointers in the table point to: parameters (and behind them what the optimiser
remembers), both after the step, derivatives, derivatives lane by lane, constants, samples, their
order, where each batch begins in it and how many it has, the batch in lanes, the loss of each
sample (exact) or lane, learning rates, losses, whole numbers (`SIZES`), memory to work in."""

SIZES = ("steps", "first", "packed", "done", "diverged")
"""Whole numbers: how many steps to take, the number of the first, whether `x` is filled
already; and on return how many steps were taken, and whether the last one diverged."""


@dataclass(frozen=True)
class Plan:
    """What a training function is made for.

    Attributes:
        code: forward and backward for one sample.
        update: the optimiser's equation.
        remembered: how many numbers the optimiser remembers for each parameter.
        trained: how many numbers are trained; they come first among the parameters.
        parameters: how many parameters the program reads, trained or not.
        inputs: how many numbers a sample has.
        mean: whether a batch's loss is the mean of its samples' losses.
        clip_norm: the length to which the gradient is cut, or None.
        exact: whether every bit must be that of the eager engine.
        lanes: how many samples lie in one vector.
        blocks: how many vectors are computed side by side.
        chunks: into how many parts a batch is cut.
        count: how many samples every batch has, if that is known beforehand; a small batch then
            is code without a loop, and its derivatives need no memory.
    """

    code: ScheduledProgram
    update: Update
    remembered: int
    trained: int
    parameters: int
    inputs: int
    mean: bool
    clip_norm: float | None = None
    exact: bool = False
    lanes: int = 1
    blocks: int = 1
    chunks: int = 1
    count: int | None = None

    @property
    def samples(self) -> int:
        """How many samples a block has."""
        return self.lanes * self.blocks

    @property
    def room(self) -> int:
        """For how many parameters there is room: whole vectors."""
        return -(-self.parameters // 8) * 8

    @property
    def gathered(self) -> int:
        """How many numbers collect the derivatives of a chunk."""
        return self.room * self.lanes

    @property
    def in_loops(self) -> bool:
        """Whether a block's arrays are too large for the stack."""
        return sum(self.code.arrays.values()) * self.samples > SMALL

    @property
    def work(self) -> int:
        """How many numbers a block's memory to work in must hold."""
        return (
            sum(padded(s) * self.samples for s in self.code.arrays.values()) if self.in_loops else 0
        )


SMALL = 8192
"""Arrays of at most so many numbers in all lie on the stack."""

LONGEST_TEXT = 2_000
"""Programs with more instructions than this, after rolling, would take LLVM too long."""
