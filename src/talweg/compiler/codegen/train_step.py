"""Training steps as a native function.

    run(table, first_batch, end_batch, ...)   steps of some lane batches, one after the other
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

import math
from collections.abc import Callable, Sequence

from talweg.compiler.codegen.builder import I64, PTR, FunctionBuilder, Index, Module, Parameter
from talweg.compiler.codegen.lane_strategy import Batch, LaneStrategy
from talweg.compiler.codegen.memory_layout import ArrayView, open_arrays
from talweg.compiler.codegen.model_lanes import ModelLanes
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.operations import TracedNumber, name_of
from talweg.compiler.codegen.sample_lanes import SampleLanes
from talweg.compiler.codegen.training_spec import TrainingSpec
from talweg.compiler.intrinsics.builder_protocol import Name
from talweg.errors import OperationError
from talweg.optim import Update

_TABLE = Parameter("table", PTR, noalias=True)  # noalias: the table is never written to
_STEP, _FIRST = Parameter("step", I64), Parameter("first", I64)
_RANGE = (Parameter("begin", I64), Parameter("end", I64), _FIRST)


def training_functions(spec: TrainingSpec) -> str:
    """The IR of the native functions that train.

    Args:
        spec: the specification.

    Returns:
        The text of a module. `train(table, begin, end, first)` takes the steps from `begin` to
        before `end` of one model; the optimiser counts them from `first`, which is step 0.
        `run(table, first_batch, end_batch, begin, end, first, steps)` does so for the lane batches
        from `first_batch` to before `end_batch`, where `steps` is a dimension of the layout.
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
    batches = (Parameter("first_batch", I64), Parameter("end_batch", I64))
    run = module.function("run", [_TABLE, *batches, *_RANGE, Parameter("steps", I64)])
    table, first_batch, end_batch, *steps = run.parameters.values()

    def lane_batch(i: Name) -> None:
        run.call(train, table, run.iadd(first_batch, i), *steps)

    run.for_range(run.isub(end_batch, first_batch), lane_batch)
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
        self.lane_batch: Index = given.get("lane_batch", 0)
        self.lanes = strategy(spec, function, self.arrays, self.lane_batch, blocks)
        self.values = self.lanes.values
        self.rows = self.lanes.rows
        self._records: dict[str, Name] = {}

    # ---- the functions --------------------------------------------------------------------------

    def append_loop(self, phases: Sequence[FunctionBuilder]) -> None:
        """Steps from `begin` to before `end`, until the run of each model has ended.

        Args:
            phases: the functions `pack`, `chunk` and `finish` if batches have chunks; else none.
        """
        f = self.function
        begin, end, first = (f.parameters[x] for x in ("begin", "end", "first"))

        def take(i: Name) -> None:
            s = f.iadd(begin, i)
            if phases:
                self._call_phases(phases, s, first)
            else:
                self.step(s, first)

        def goes_on(_: Name) -> Name:
            return self.values.any(self.alive())

        self.lanes.start()
        if not phases:
            self._load_records()
        f.for_range(f.isub(end, begin), take, condition=goes_on)
        self._store_records()
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
        alive = self.alive()
        self.record(s, loss, alive)
        self.lanes.reduce_gradient()
        failed = b.mask_or(self.update(s, first, self.clip_factor()), b.not_finite(loss))
        moved = b.mask_and(alive, b.mask_not(failed))
        self.lanes.accept(moved, b.mask_and(alive, failed))
        goes_on = self.above_target(moved, loss) if self.spec.has_target else moved
        self.store("alive", b.select(goes_on, b.constant(1.0), b.constant(0.0)))

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

    # ---- clipping and the update ----------------------------------------------------------------

    def clip_factor(self) -> Name | None:
        """The factor that scales the gradient to `clip_norm`; 1.0 if it is not longer.

        The derivatives are divided by the largest of them, so that their squares are finite.
        """
        lanes, b, rows = self.lanes, self.values, self.rows
        if self.spec.clip_norm is None:
            return None
        limit, one = b.constant(self.spec.clip_norm), b.constant(1.0)
        largest = lanes.row_max(
            self.fold_gradient(
                lambda so_far, g: rows.select(rows.lt(so_far, rows.abs(g)), rows.abs(g), so_far)
            )
        )
        inverse = lanes.spread(b.div(one, largest))

        def add_square(so_far: Name, g: Name) -> Name:
            part = rows.mul(g, inverse)
            return rows.add(so_far, rows.mul(part, part))

        squares = lanes.row_sum(self.fold_gradient(add_square))
        length = b.mul(largest, b.sqrt(squares))
        return b.select(b.lt(limit, length), b.div(limit, length), one)

    def fold_gradient(self, combine: Callable[[Name, Name], Name]) -> Name:
        """A row that combines all trained rows of the gradient, from a row of zeros."""
        f, b, gradient = self.function, self.rows, self.arrays["gradient"]
        total = f.alloca(b.number_type)
        b.store(b.constant(0.0), total)

        def row(k: Name) -> None:
            g, trained = b.load(gradient.at(k).pointer), None
            if self.spec.trained < self.spec.parameters:
                trained = self.lanes.trained_mask(k)
            if trained is not None:
                g = b.select(trained, g, b.constant(0.0))
            b.store(combine(b.load(total), g), total)

        f.for_range(self.lanes.trained_rows()[-1], row)
        return b.load(total)

    def update(self, s: Name, first: Name, factor: Name | None) -> Name:
        """Apply the optimiser's equation to every trained parameter.

        Args:
            s: the number of the step.
            first: the optimiser's number of step 0.
            factor: the factor of the gradient, a model value; None for 1.

        Returns:
            The mask of the models of which a derivative or a next parameter is not finite.
        """
        f, rows, lanes = self.function, self.rows, self.lanes
        number = self._traced(rows.broadcast(f.double_from_i64(f.iadd(first, s))))
        equation = self.spec.update(tuple(map(self._setting, range(self.spec.settings))))
        scale = None if factor is None else lanes.spread(factor)
        rates = self.arrays["rates"].at(self.lane_batch, s if self.spec.scheduled else 0)
        failed = f.alloca(rows.mask_type)
        f.store(rows.mask_constant(False), failed, rows.mask_type)
        current, following = lanes.current(), lanes.following()
        start = 0
        for k, end in enumerate(lanes.trained_rows()):
            rate = self._traced(lanes.spread(self.values.load(rates.at(k).pointer)))

            def row(i: Name, start: int = start, rate: TracedNumber = rate) -> None:
                at = f.iadd(i, start)
                wrong = self.update_row(at, current, following, equation, rate, number, scale)
                so_far = f.load(failed, rows.mask_type)
                f.store(rows.mask_or(so_far, wrong), failed, rows.mask_type)

            f.for_range(end - start, row)
            start = end
        return lanes.row_any(f.load(failed, rows.mask_type))

    def update_row(
        self,
        row: Index,
        current: ArrayView,
        following: ArrayView,
        equation: Update,
        rate: TracedNumber,
        number: TracedNumber,
        scale: Name | None,
    ) -> Name:
        """The next parameters and states of a row.

        Returns:
            The mask of the parameters of which the derivative or the next value is not finite.
        """
        b, kept = self.rows, 1 + self.spec.state_size
        g = b.load(self.arrays["gradient"].at(row).pointer)
        used = g if scale is None else b.mul(g, scale)
        state = [self._traced(b.load(current.at(n, row).pointer)) for n in range(1, kept)]
        before = b.load(current.at(0, row).pointer)
        moved, states = equation(
            self._traced(before), self._traced(used), tuple(state), rate, number
        )
        if 1 + len(states) != kept:
            raise OperationError(
                f"update returned {len(states)} numbers to remember; initial_state() "
                f"has {self.spec.state_size}"
            )
        after = [name_of(b, x) for x in (moved, *states)]
        wrong = b.mask_or(b.not_finite(g), b.not_finite(after[0]))
        trained = self.lanes.trained_mask(row)
        if trained is not None:
            wrong = b.mask_and(wrong, trained)
            after[0] = b.select(trained, after[0], before)
        for n, x in enumerate(after):
            b.store(x, following.at(n, row).pointer)
        return wrong

    def _traced(self, row: Name) -> TracedNumber:
        return TracedNumber(self.rows, row)

    def _setting(self, k: int) -> Setting:
        setting = self.arrays["settings"].at(self.lane_batch, k)
        return Setting(self.rows, self.lanes.spread(self.values.load(setting.pointer)))

    # ---- what is recorded of each model ---------------------------------------------------------

    def _load_records(self) -> None:
        """Copy model values to the stack, where they become registers for as long as steps last."""
        b = self.values
        for name in ("alive", "recorded", *(["reached"] if self.spec.has_target else [])):
            variable = self.function.alloca(b.number_type)
            b.store(b.load(self.of_models(name)), variable)
            self._records[name] = variable

    def _store_records(self) -> None:
        """Copy them back to memory."""
        b = self.values
        for name, variable in self._records.items():
            b.store(b.load(variable), self.arrays[name].at(self.lane_batch).pointer)

    def alive(self) -> Name:
        """The mask of the models whose run has not ended."""
        b = self.values
        return b.ne(b.load(self.of_models("alive")), b.constant(0.0))

    def record(self, s: Name, loss: Name, alive: Name) -> None:
        """Write the losses of a step; nan for runs that have ended."""
        b = self.values
        place = self.arrays["losses"].at(self.lane_batch, s)
        b.store(b.select(alive, loss, b.constant(math.nan)), place.pointer)
        self.count("recorded", alive)

    def above_target(self, moved: Name, loss: Name) -> Name:
        """Record which of the models that moved have reached the target; the mask of the others."""
        b = self.values
        above = b.lt(b.broadcast(self.arrays["target"].load()), loss)
        self.count("reached", b.mask_and(moved, b.mask_not(above)))
        return b.mask_and(moved, above)

    def count(self, name: str, mask: Name) -> None:
        """Add 1 for the models of a mask."""
        b = self.values
        one = b.select(mask, b.constant(1.0), b.constant(0.0))
        self.store(name, b.add(b.load(self.of_models(name)), one))

    def store(self, name: str, x: Name) -> None:
        """Set a model value."""
        self.values.store(x, self.of_models(name))

    def of_models(self, name: str) -> Name:
        """The address of a model value."""
        return self._records.get(name) or self.arrays[name].at(self.lane_batch).pointer


class Setting(TracedNumber):
    """A setting of the optimiser that differs from model to model, and is zero for none of them.

    So `if self.momentum:` in an optimiser's equation is true.
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        return True
