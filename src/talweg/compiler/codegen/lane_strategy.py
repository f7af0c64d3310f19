"""What the lanes of vectors hold in a training step: the interface, and the block of samples.

`train_step.py` compiles the steps of training for any `LaneStrategy`. `sample_lanes.py` puts the
samples of a batch into lanes and trains one model, `model_lanes.py` puts a model into each lane.

Start reading at `LaneStrategy`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from talweg.compiler.codegen.builder import FunctionBuilder, Index, Module
from talweg.compiler.codegen.contraction import MANY
from talweg.compiler.codegen.lower import LaneLayout, LoweringContext
from talweg.compiler.codegen.memory_layout import ArrayView
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.program_arrays import (
    allocate_arrays,
    array_parameters,
    padded,
    zero_adjoints,
)
from talweg.compiler.codegen.training_spec import TrainingSpec
from talweg.compiler.codegen.types import DOUBLE, I64, Parameter
from talweg.compiler.intrinsics.builder_protocol import Name

_BLOCK_ARRAYS = ("w", "x", "c", "dw", "losses")
_BLOCK_NUMBERS = (Parameter("sample", I64), Parameter("count", I64), Parameter("weight", DOUBLE))


@dataclass(frozen=True)
class Batch:
    """The samples of a step.

    Attributes:
        count: how many there are.
        weight: the factor of each sample's loss, a double.
    """

    count: Index
    weight: Name


class LaneStrategy(ABC):
    """Appends those parts of a training step that depend on what lanes hold.

    There are two kinds of vectors. A *model value* has one number for each model that is trained at
    once, such as the loss or the learning rate. A *row* has one row of parameters or derivatives,
    see `TrainingSpec.parameter_rows`.

    Args:
        spec: the specification.
        function: the function under construction.
        arrays: the memory, see `training_layout`.
        lane_batch: the models that the function trains.
        blocks: the functions that compute a block of samples.

    Attributes:
        values: the builder of model values.
        rows: the builder of rows.
    """

    shared: ClassVar[frozenset[str]]
    """The arrays of a block of which all lanes read the same number."""

    per_lane: ClassVar[frozenset[str]]
    """The arrays of a block with a number for each lane."""

    def __init__(
        self,
        spec: TrainingSpec,
        function: FunctionBuilder,
        arrays: Mapping[str, ArrayView],
        lane_batch: Index,
        blocks: Sequence[FunctionBuilder],
    ) -> None:
        self.spec = spec
        self.function = function
        self.arrays = arrays
        self.lane_batch = lane_batch
        self.blocks = blocks
        self.values = NumberBuilder(function, spec.models)
        self.rows = NumberBuilder(function, spec.parameter_rows[1])

    # ---- the forward and the backward pass ------------------------------------------------------

    @classmethod
    @abstractmethod
    def block_functions(cls, module: Module, spec: TrainingSpec) -> Sequence[FunctionBuilder]:
        """The functions that compute a block of samples, in the order of `blocks`."""

    @classmethod
    def block_function(
        cls, module: Module, spec: TrainingSpec, name: str, blocks: int
    ) -> FunctionBuilder:
        """A function that computes the losses of a block and adds its derivatives to `dw`.

        Args:
            module: the program.
            spec: the specification.
            name: the name of the function.
            blocks: how many vectors of samples, or samples, are computed together.
        """
        code = spec.code
        names = [*_BLOCK_ARRAYS, *(code.arrays if spec.work else ())]
        f = module.function(name, [*array_parameters(names), *_BLOCK_NUMBERS], internal=True)
        known = {array: f.parameters[array] for array in names}
        pointers = allocate_arrays(f, code, known, spec.lanes * blocks)
        layout = LaneLayout(pointers, spec.lanes, blocks, cls.shared, cls.per_lane)
        of_samples = frozenset(["dw"] if spec.batch >= MANY else [])
        statements = [*code.forward, *code.backward]
        context = LoweringContext(
            f, layout, not spec.exact, statements, of_samples, is_guarded=code.is_guarded
        )
        context.statements(code.forward, context.instances)
        zero_adjoints(context, code)
        for instance in context.instances:
            loss = context.read(code.outputs[0], instance)
            weight = cls.record_sample_loss(context, loss, instance.block)
            if code.cotangents[0] is not None:
                context.add(code.cotangents[0], weight, instance)
        context.statements(code.backward, context.instances)
        f.ret()
        return f

    @classmethod
    @abstractmethod
    def record_sample_loss(cls, context: LoweringContext, loss: Name, block: int) -> Name:
        """Write the losses of a vector to `losses`; their weights in the gradient."""

    def compute_block(
        self,
        function: FunctionBuilder,
        batch: Batch,
        sample: Index,
        derivatives: ArrayView,
        losses: ArrayView,
        chunk: Index = 0,
    ) -> None:
        """Call a block function for the samples from number `sample` of the batch on."""
        f, spec, arrays = self.function, self.spec, self.arrays
        work = [arrays["work"].at(chunk, offset) for offset in _offsets(spec)]
        views = [
            self.current().at(0),
            arrays["packed"].at(f.imul(sample, spec.inputs)),
            arrays["constants"],
            derivatives,
            losses,
            *work,
        ]
        pointers = [view.pointer for view in views]
        f.call(function, *pointers, sample, batch.count, batch.weight)

    @abstractmethod
    def accumulate(self, batch: Batch, chunk: Index = 0) -> None:
        """Compute the losses and derivatives of the samples of a batch, or of a chunk of it."""

    @abstractmethod
    def loss_sum(self, batch: Batch) -> Name:
        """The sum of the samples' losses, a model value."""

    @abstractmethod
    def reduce_gradient(self) -> None:
        """Add up what the samples contributed to each derivative, if that is still to be done."""

    # ---- rows and model values ------------------------------------------------------------------

    @abstractmethod
    def spread(self, x: Name) -> Name:
        """The row in which each number is that of its model."""

    @abstractmethod
    def row_sum(self, row: Name) -> Name:
        """The sum of each model's numbers in a row."""

    @abstractmethod
    def row_max(self, row: Name) -> Name:
        """The largest of each model's numbers in a row."""

    @abstractmethod
    def row_any(self, mask: Name) -> Name:
        """The mask of the models for which the mask of a row holds somewhere."""

    # ---- parameters before and after the step ---------------------------------------------------

    @abstractmethod
    def start(self) -> None:
        """Append what precedes the first step."""

    @abstractmethod
    def stop(self) -> None:
        """Append what follows the last step: the parameters are to be in their array."""

    @abstractmethod
    def current(self) -> ArrayView:
        """The parameters before the step, and behind them the optimiser's state."""

    @abstractmethod
    def following(self) -> ArrayView:
        """The same after the step."""

    @abstractmethod
    def trained_rows(self) -> Sequence[int]:
        """The end of each range of rows with a learning rate of its own."""

    @abstractmethod
    def trained_mask(self, row: Index) -> Name | None:
        """The mask of the trained parameters in a row; None if all of them are."""

    @abstractmethod
    def accept(self, moved: Name, diverged: Name) -> None:
        """Replace the parameters of some models by those after the step.

        Args:
            moved: the mask of these models; the others keep their parameters.
            diverged: the mask of the models that diverged at this step.
        """


def _offsets(spec: TrainingSpec) -> list[int]:
    """Where each array of a block starts in the memory to work in."""
    offsets, end = [], 0
    for size in spec.code.arrays.values() if spec.work else ():
        offsets.append(end)
        end += padded(size) * spec.lanes * spec.blocks
    return offsets
