"""Training steps as a native function.

    run(table, first_batch, stop_batch, ...)  steps of some lane batches, one after the other
      train(table, lane_batch, ...)           steps of one of them, until the runs have ended
        pack                                  copy the samples of a batch to where blocks read them
        accumulate                            forward and backward for the blocks of the batch
        loss                                  the sum or the mean of the samples' losses
        clip                                  shorten the gradient
        update                                the optimiser's equation for every parameter
        accept                                keep the new parameters, unless the step diverged

A step is the same whether lanes hold the samples of one model or one model each. What differs is in
a `LaneStrategy`: `sample_lanes.py` or `model_lanes.py`. A lane batch is as many models as a vector
has lanes; where one model is trained, `train` is the outermost function.

Where a batch is divided into chunks, `pack`, `chunk` and `finish` are functions too, so that
threads can share the chunks of a step.

Start reading at `training_functions`, then `TrainStep.step`.
"""

from __future__ import annotations

from collections.abc import Sequence

from talweg.compiler.codegen.builder import FunctionBuilder, Index, Module
from talweg.compiler.codegen.lane_strategy import Batch, LaneStrategy
from talweg.compiler.codegen.memory_layout import open_arrays
from talweg.compiler.codegen.model_lanes import ModelLanes
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.parameter_update import ParameterUpdate
from talweg.compiler.codegen.run_records import RunRecords
from talweg.compiler.codegen.sample_lanes import SampleLanes
from talweg.compiler.codegen.training_spec import TrainingSpec
from talweg.compiler.codegen.types import I64, PTR, Parameter
from talweg.compiler.intrinsics.builder_protocol import Name

_TABLE = Parameter("table", PTR, noalias=True)  # noalias: the table is never written to
_STEP, _FIRST = Parameter("step", I64), Parameter("first", I64)
_RANGE = (Parameter("start", I64), Parameter("stop", I64), _FIRST)


def training_functions(spec: TrainingSpec) -> str:
    """The IR of the native functions that train.

    Args:
        spec: the specification.

    Returns:
        The text of a module. `train(table, start, stop, first)` takes the steps from `start` to
        before `stop` of one model; the optimiser counts them from `first`, which is step 0.
        `run(table, first_batch, stop_batch, start, stop, first, steps)` does so for the lane
        batches from `first_batch` to before `stop_batch`; `steps` is a dimension of the layout.
        If batches have chunks: `pack(table, s)`, `chunk(table, s, k)` for each chunk k and
        `finish(table, s, first)` take step s.
    """
    module = Module(spec.exact)
    strategy = SampleLanes if spec.lanes_hold == "samples" else ModelLanes
    blocks = strategy.block_functions(module, spec)

    def step(name: str, *parameters: Parameter, internal: bool = False) -> TrainStep:
        inline = False if internal else None
        f = module.function(name, [_TABLE, *parameters], internal=internal, inline=inline)
        return TrainStep(spec, f, strategy, blocks)

    phases = []
    if spec.chunks > 1:
        pack, chunk = step("pack", _STEP), step("chunk", _STEP, Parameter("chunk", I64))
        finish = step("finish", _STEP, _FIRST)
        pack.append_pack()
        chunk.append_chunk()
        finish.append_finish()
        phases = [x.function for x in (pack, chunk, finish)]
    if spec.models == 1:
        step("train", *_RANGE).append_loop(phases)
    else:
        of_batch = (Parameter("lane_batch", I64), *_RANGE, Parameter("steps", I64))
        train = step("train", *of_batch, internal=True)
        train.append_loop(phases)
        _append_run(module, train.function)
    return str(module)


def _append_run(module: Module, train: FunctionBuilder) -> None:
    """The function that trains some lane batches."""
    batches = (Parameter("first_batch", I64), Parameter("stop_batch", I64))
    run = module.function("run", [_TABLE, *batches, *_RANGE, Parameter("steps", I64)])
    table, first_batch, stop_batch, *steps = run.parameters.values()

    def lane_batch(i: Name) -> None:
        run.call(train, table, run.iadd(first_batch, i), *steps)

    run.for_range(run.isub(stop_batch, first_batch), lane_batch)
    run.ret()


class TrainStep:
    """Appends training steps, or a part of one, to a function.

    Args:
        spec: the specification.
        function: the function, with the parameter `table`.
        strategy: what lanes hold.
        blocks: the functions that compute blocks of samples.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        function: FunctionBuilder,
        strategy: type[LaneStrategy],
        blocks: Sequence[FunctionBuilder],
    ) -> None:
        given = function.parameters
        known = {"steps": given["steps"]} if "steps" in given else {}
        self.spec = spec
        self.function = function
        self.arrays = open_arrays(function, spec.layout, given["table"], known)
        lane_batch = given.get("lane_batch", 0)
        self.lanes = strategy(spec, function, self.arrays, lane_batch, blocks)
        self.values = self.lanes.values
        self.records = RunRecords(self.lanes)

    # ---- the functions --------------------------------------------------------------------------

    def append_loop(self, phases: Sequence[FunctionBuilder]) -> None:
        """Steps from `start` to before `stop`, until the run of each model has ended.

        Args:
            phases: the functions `pack`, `chunk` and `finish` if batches have chunks; else none.
        """
        f = self.function
        start, stop, first = (f.parameters[x] for x in ("start", "stop", "first"))

        def take(i: Name) -> None:
            s = f.iadd(start, i)
            if phases:
                self._call_phases(phases, s, first)
            else:
                self.step(s, first)

        def goes_on(_: Name) -> Name:
            return self.values.any(self.records.alive())

        self.lanes.start()
        if not phases:
            self.records.load()
        f.for_range(f.isub(stop, start), take, condition=goes_on)
        self.records.store()
        self.lanes.stop()
        f.ret()

    def _call_phases(self, phases: Sequence[FunctionBuilder], s: Name, first: Name) -> None:
        """A step, by functions of its phases."""
        f, table = self.function, self.function.parameters["table"]
        pack, chunk, finish = phases
        f.call(pack, table, s)
        for k in range(self.spec.chunks):
            f.call(chunk, table, s, k)
        f.call(finish, table, s, first)

    def append_pack(self) -> None:
        """The phase that packs the batch of a step."""
        s = self.function.parameters["step"]
        self.pack(s, self.batch(s))
        self.function.ret()

    def append_chunk(self) -> None:
        """The phase that computes one chunk of a batch."""
        s, chunk = self.function.parameters["step"], self.function.parameters["chunk"]
        self.lanes.accumulate(self.batch(s), chunk)
        self.function.ret()

    def append_finish(self) -> None:
        """The phase from the loss to the new parameters."""
        s, first = self.function.parameters["step"], self.function.parameters["first"]
        self.finish(s, self.batch(s), first)
        self.function.ret()

    # ---- one step -------------------------------------------------------------------------------

    def step(self, s: Name, first: Name) -> None:
        """A step of training.

        Args:
            s: its number, by which arrays are indexed.
            first: the optimiser's number of step 0.
        """
        batch = self.batch(s)
        self.pack(s, batch)
        self.lanes.accumulate(batch)
        self.finish(s, batch, first)

    def finish(self, s: Name, batch: Batch, first: Name) -> None:
        """Loss, update, and for each model whether its parameters move and its run goes on."""
        b = self.values
        loss = b.mul(self.lanes.loss_sum(batch), b.broadcast(batch.weight))
        self.records.add_loss(s, loss)
        self.lanes.reduce_gradient()
        failed = b.mask_or(ParameterUpdate(self.lanes, s, first).append(), b.not_finite(loss))
        alive = self.records.alive()
        moved = b.mask_and(alive, b.mask_not(failed))
        self.lanes.accept(moved, diverged=b.mask_and(alive, failed))
        self.records.finish(moved, loss)

    def batch(self, s: Name) -> Batch:
        """The number of samples of a step, and their weights."""
        f, spec, b = self.function, self.spec, NumberBuilder(self.function)
        if spec.fixed_batch:
            return Batch(spec.batch, b.constant(1.0 / spec.batch if spec.mean else 1.0))
        count = self.arrays["counts"].at(s).load()
        one = b.constant(1.0)
        return Batch(count, b.div(one, f.double_from_i64(count)) if spec.mean else one)

    def pack(self, s: Name, batch: Batch) -> None:
        """Copy the samples of a batch to `packed`, unless all steps take the same.

        See `buffers.packed_samples` for their order.
        """
        f, spec = self.function, self.spec
        if spec.fixed_batch:
            return
        offset = self.arrays["offsets"].at(s).load()
        size, last = spec.samples_in_block, f.isub(batch.count, 1)
        count: Index = batch.count
        if spec.pads_batches:
            count = f.imul(f.isdiv(f.iadd(count, size - 1), size), size)

        def sample(i: Name) -> None:
            k = f.iselect(f.icmp("gt", i, last), last, i) if spec.pads_batches else i
            number = self.arrays["order"].at(f.iadd(offset, k)).load()
            source = self.arrays["data"].at(number)
            first, stride = self.position(i, batch.count)

            def copy(k: Name) -> None:
                x = self.values.broadcast(source.at(k).load())
                to = self.arrays["packed"].at(f.iadd(first, f.imul(k, stride)))
                self.values.store(x, to.pointer)

            f.for_range(spec.inputs, copy)

        f.for_range(count, sample)

    def position(self, i: Name, count: Index) -> tuple[Index, Index]:
        """Where the packed batch has sample i: its first number, and the stride to the next ones.

        Number k of the samples of a block are neighbours. Samples behind the last whole block are
        stored one by one, unless batches are padded.
        """
        f, spec = self.function, self.spec
        size, alone = spec.samples_in_block, f.imul(i, spec.inputs)
        if size == 1:
            return alone, 1
        within = f.irem(i, size)
        first = f.iadd(f.imul(f.isub(i, within), spec.inputs), within)
        if spec.pads_batches:
            return first, size
        in_block = f.icmp("lt", i, f.imul(f.isdiv(count, size), size))
        return f.iselect(in_block, first, alone), f.iselect(in_block, size, 1)
