"""Model lanes: each lane of a vector trains a model; all models see the same samples.

Number k of the models of a lane batch is one vector, and a sample's numbers are the same in all
lanes. Lanes are never combined, so each model gets the bits that it would get alone.

A model whose loss, derivative or next parameter is not finite has diverged: it keeps the parameters
before that step, and its lane repeats the step without effect while the others are trained.

Parameters after a step are written to a second array, and the arrays change places. Only when a
lane has ended are its numbers copied back, so a step at which all models move copies nothing.

Start reading at `ModelLanes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talweg.compiler.codegen.builder import FunctionBuilder, Index, Module
from talweg.compiler.codegen.lane_strategy import Batch, LaneStrategy
from talweg.compiler.codegen.lower import LoweringContext
from talweg.compiler.codegen.memory_layout import ArrayView
from talweg.compiler.codegen.training_spec import TrainingSpec
from talweg.compiler.codegen.types import PTR
from talweg.compiler.intrinsics.builder_protocol import Name


class ModelLanes(LaneStrategy):
    """As many models as a vector has lanes. A vector of one lane trains one model."""

    shared = frozenset(["c"])
    per_lane = frozenset(["w", "dw"])

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._align = self.values.number_type.size
        self._current = self.function.alloca(PTR)
        self._following = self.function.alloca(PTR)

    @classmethod
    def block_functions(cls, module: Module, spec: TrainingSpec) -> Sequence[FunctionBuilder]:
        """A function for a block of samples, and one for a single sample if some are left over."""
        functions = [cls.block_function(module, spec, "block", spec.blocks)]
        if spec.blocks > 1 and not (spec.fixed_batch and spec.batch % spec.blocks == 0):
            functions.append(cls.block_function(module, spec, "single", 1))
        return functions

    @classmethod
    def record_sample_loss(cls, context: LoweringContext, loss: Name, block: int) -> Name:
        """Write the loss of a sample for all models."""
        f, b = context.function, context.builder
        b.store(loss, f.gep(f.parameters["losses"], block, b.number_type))
        return b.broadcast(f.parameters["weight"])

    def accumulate(self, batch: Batch, chunk: Index = 0) -> None:
        """The blocks from the last to the first, then the samples that are left over.

        The eager engine goes backward from the last sample to the first, and exact mode has blocks
        of one sample.
        """
        f, size = self.function, self.spec.samples_in_block
        gradient, losses = self.arrays["gradient"], self.arrays["sample_losses"]
        gradient.zero(align=self._align)
        blocks = batch.count // size if isinstance(batch.count, int) else f.isdiv(batch.count, size)
        last = f.isub(blocks, 1)

        def compute(function: FunctionBuilder, sample: Index) -> None:
            self.compute_block(function, batch, sample, gradient, losses.at(sample))

        f.for_range(blocks, lambda i: compute(self.blocks[0], f.imul(f.isub(last, i), size)))
        if len(self.blocks) > 1:
            first = f.imul(blocks, size)
            rest = f.isub(batch.count, first)
            f.for_range(rest, lambda i: compute(self.blocks[1], f.iadd(first, i)))

    def loss_sum(self, batch: Batch) -> Name:
        """From the first sample to the last, as `losses.add_up` adds."""
        f, b, losses = self.function, self.values, self.arrays["sample_losses"]
        total = f.alloca(b.number_type)
        b.store(b.load(losses.at(0).pointer), total)

        def add(i: Name) -> None:
            loss = b.load(losses.at(f.iadd(i, 1)).pointer)
            b.store(b.add(b.load(total), loss), total)

        f.for_range(f.isub(batch.count, 1), add)
        return b.load(total)

    def reduce_gradient(self) -> None:
        """Nothing: the samples of a model are added to one number."""

    # ---- rows and model values: a row has one number of each model ------------------------------

    def spread(self, x: Name) -> Name:
        """The same."""
        return x

    def row_sum(self, row: Name) -> Name:
        """The same."""
        return row

    def row_max(self, row: Name) -> Name:
        """The same."""
        return row

    def row_any(self, mask: Name) -> Name:
        """The same."""
        return mask

    # ---- parameters before and after the step ---------------------------------------------------

    def start(self) -> None:
        """Start in the array of the lane batch; numbers that no step changes are in both arrays."""
        f, spec = self.function, self.spec
        home, other = self._home(), self.arrays["next_parameters"]
        f.store(home.pointer, self._current, PTR)
        f.store(other.pointer, self._following, PTR)
        if spec.trained < spec.parameters:
            other.copy_from(home, align=self._align)

    def stop(self) -> None:
        """Copy the parameters to the array of the lane batch, where they may be already."""
        self._home().copy_from(self.current(), align=self._align)

    def _home(self) -> ArrayView:
        return self.arrays["parameters"].at(self.lane_batch)

    def current(self) -> ArrayView:
        """One of two arrays."""
        return self._behind(self._current)

    def following(self) -> ArrayView:
        """The other array."""
        return self._behind(self._following)

    def _behind(self, variable: Name) -> ArrayView:
        pointer = self.function.load(variable, PTR)
        return ArrayView(self.function, pointer, self.arrays["next_parameters"].shape)

    def trained_rows(self) -> Sequence[int]:
        """The ranges of parameters."""
        return self.spec.range_ends

    def trained_mask(self, row: Index) -> Name | None:
        """None: only trained rows are updated."""
        return None

    def accept(self, moved: Name, diverged: Name) -> None:
        """Exchange the arrays, after models that do not move got their old numbers back."""
        f = self.function
        swap, done = f.new_block("swap"), f.new_block("accepted")
        if self.spec.models == 1:
            f.cond_br(moved, swap, done)
        else:
            restore = f.new_block("restore")
            f.cond_br(self.values.any(self.values.mask_not(moved)), restore, swap)
            f.start(restore)
            self._restore(moved, diverged)
            f.br(swap)
        f.start(swap)
        current, following = self.current(), self.following()
        f.store(following.pointer, self._current, PTR)
        f.store(current.pointer, self._following, PTR)
        f.br(done)
        f.start(done)

    def _restore(self, moved: Name, diverged: Name) -> None:
        """Copy the old numbers of models that do not move; note the gradient of the diverged."""
        following, last = self.following(), self.arrays["last_gradient"].at(self.lane_batch)
        self._choose(moved, following, self.current(), following)
        self._choose(diverged, self.arrays["gradient"], last, last)

    def _choose(self, mask: Name, yes: ArrayView, no: ArrayView, target: ArrayView) -> None:
        """Set vectors to those of `yes` in the lanes of a mask, to those of `no` in the others."""
        b = self.values
        sources, others, targets = yes.vectors(), no.vectors(), target.vectors()

        def vector(k: Name) -> None:
            x, y = b.load(sources.at(k).pointer), b.load(others.at(k).pointer)
            b.store(b.select(mask, x, y), targets.at(k).pointer)

        self.function.for_range(yes.vector_count(), vector)
