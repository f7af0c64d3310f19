"""Sample lanes: one model is trained, and the lanes of a vector hold samples of the batch.

All samples of a vector read the same parameters, so a parameter is one load for all lanes. Each
lane adds to derivatives of its own; `SampleLanes.reduce_gradient` adds up the lanes once a step.
The last samples of a batch may not fill a block. The other lanes then repeat the last sample with
weight 0.

A large batch is divided into chunks, so that threads can share its samples. Each chunk has its own
accumulators, which are added up in the order of the chunks. The number of chunks depends on the
batch alone: the number of threads changes no bit.

The lanes add in an order of their own, so this is the strategy of default mode. In exact mode one
model is trained by model lanes, in vectors of one lane.

Start reading at `SampleLanes`.
"""

from __future__ import annotations

from collections.abc import Sequence

from talweg.compiler.codegen.builder import FunctionBuilder, Index, Module
from talweg.compiler.codegen.lane_strategy import Batch, LaneStrategy
from talweg.compiler.codegen.lower import LoweringContext
from talweg.compiler.codegen.memory_layout import ArrayView
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.reductions import horizontal_sums
from talweg.compiler.codegen.training_spec import TrainingSpec
from talweg.compiler.codegen.types import CACHE_LINE
from talweg.compiler.intrinsics.builder_protocol import Name


class SampleLanes(LaneStrategy):
    """One model; each lane of a vector computes a sample."""

    shared = frozenset(["w", "c"])
    per_lane = frozenset(["dw"])

    @classmethod
    def block_functions(cls, module: Module, spec: TrainingSpec) -> Sequence[FunctionBuilder]:
        """One function: batches are filled up to whole blocks."""
        return [cls.block_function(module, spec, "block", spec.blocks)]

    @classmethod
    def record_sample_loss(cls, context: LoweringContext, loss: Name, block: int) -> Name:
        """Add the losses of a vector to those of the vectors before; lanes without sample add 0."""
        f, b = context.function, context.builder
        first = f.iadd(f.parameters["sample"], block * b.lanes)
        filled = b.lanes_below(first, f.parameters["count"])
        zero = b.constant(0.0)
        total = f.gep(f.parameters["losses"], block, b.number_type)
        b.store(b.add(b.load(total), b.select(filled, loss, zero)), total)
        return b.select(filled, b.broadcast(f.parameters["weight"]), zero)

    def accumulate(self, batch: Batch, chunk: Index = 0) -> None:
        """The blocks of a chunk, from the first to the last."""
        f, size = self.function, self.spec.samples_in_block
        accumulators = self.arrays["accumulators"].at(chunk)
        losses = self.arrays["sample_losses"].at(chunk)
        accumulators.zero(align=CACHE_LINE)
        losses.zero(align=8 * self.spec.lanes)
        first, count = self._blocks_of_chunk(batch, chunk)

        def block(i: Name) -> None:
            sample = f.imul(f.iadd(first, i), size)
            self.compute_block(self.blocks[0], batch, sample, accumulators, losses, chunk)

        f.for_range(count, block)

    def _blocks_of_chunk(self, batch: Batch, chunk: Index) -> tuple[Index, Index]:
        """The first block of a chunk, and how many it has."""
        f, size, chunks = self.function, self.spec.samples_in_block, self.spec.chunks
        if isinstance(batch.count, int):
            blocks: Index = -(-batch.count // size)
        else:
            blocks = f.isdiv(f.iadd(batch.count, size - 1), size)
        if chunks == 1:
            return 0, blocks
        first, end = (f.isdiv(f.imul(blocks, k), chunks) for k in (chunk, f.iadd(chunk, 1)))
        return first, f.isub(end, first)

    def loss_sum(self, batch: Batch) -> Name:
        """The sum over all lanes, in pairs of vectors."""
        b, losses = NumberBuilder(self.function, self.spec.lanes), self.arrays["sample_losses"]
        sums = [
            b.load(losses.at(chunk, block).pointer)
            for chunk in range(self.spec.chunks)
            for block in range(self.spec.blocks)
        ]
        while len(sums) > 1:
            pairs = [sums[k : k + 2] for k in range(0, len(sums), 2)]
            sums = [b.add(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        return b.horizontal_sum(sums[0])

    def reduce_gradient(self) -> None:
        """Add up the chunks and the lanes of each derivative."""
        f, spec, gradient = self.function, self.spec, self.arrays["gradient"]
        accumulators, b = self.arrays["accumulators"], NumberBuilder(f, spec.lanes)
        rows, width = spec.parameter_rows

        def row(i: Name) -> None:
            sums = [b.load(accumulators.at(0, i, k).pointer) for k in range(width)]
            for chunk in range(1, spec.chunks):
                own = [b.load(accumulators.at(chunk, i, k).pointer) for k in range(width)]
                sums = [b.add(x, y) for x, y in zip(sums, own, strict=True)]
            self.rows.store(horizontal_sums(f, sums, spec.lanes), gradient.at(i).pointer)

        f.for_range(rows, row)

    # ---- rows and model values ------------------------------------------------------------------

    def spread(self, x: Name) -> Name:
        """The number of the model in each lane."""
        return self.rows.broadcast(x)

    def row_sum(self, row: Name) -> Name:
        """The sum of the lanes."""
        return self.rows.horizontal_sum(row)

    def row_max(self, row: Name) -> Name:
        """The largest lane."""
        return self.rows.horizontal_max(row)

    def row_any(self, mask: Name) -> Name:
        """Whether the mask holds in a lane."""
        return self.rows.any(mask)

    # ---- parameters before and after the step ---------------------------------------------------

    def start(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""

    def current(self) -> ArrayView:
        """The parameters of the model."""
        return self.arrays["parameters"].at(self.lane_batch)

    def following(self) -> ArrayView:
        """An array of its own, until the step is accepted."""
        return self.arrays["next_parameters"]

    def trained_rows(self) -> Sequence[int]:
        """All rows; the last one may be filled in part."""
        return [self.spec.parameter_rows[0]]

    def trained_mask(self, row: Index) -> Name | None:
        """The lanes of trained parameters."""
        return self.rows.lanes_below(self.function.imul(row, self.rows.lanes), self.spec.trained)

    def accept(self, moved: Name, diverged: Name) -> None:
        """Copy the parameters, if the step has not diverged."""
        f = self.function
        copy, done = f.new_block("accept"), f.new_block("accepted")
        f.cond_br(moved, copy, done)
        f.start(copy)
        self.current().copy_from(self.following(), align=CACHE_LINE)
        f.br(done)
        f.start(done)
