"""Whole training steps as one native function: gradient, update, and on to the next batch.

    run(table)      some steps of training
      pack          the samples of a batch, side by side in lanes
      block         forward and backward for one block of samples
      gather        the lanes of every derivative added up
      update        the optimiser's equation for every parameter

A large batch is cut into chunks, and each of them collects derivatives in an array of its own;
these are added up in the order of the chunks. `pack`, `chunk` and `finish` are then functions
by themselves, so that threads can share the chunks of a step. How many chunks there are depends
on the batch alone: any number of threads gives the same bits.

The samples of a batch lie in SIMD lanes: number k of sample s stands at
`x[block][k][vector][lane]`. The parameters are shared by all of them, so the derivatives by a
parameter are collected in a vector, one number a lane, and added up once a step. Lanes that a
batch does not fill repeat its last sample and carry no weight.

In exact mode there is one lane: samples go backward one by one from the last to the first and
every operation is done in the eager engine's order.

Start reading at `training_steps`, then `_Steps.run`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from talweg.compiler.codegen.builder import Emitter, Function, Module, Name, Symbol
from talweg.compiler.codegen.entry_points import (
    byte_offset,
    clear,
    counted,
    padded,
    pointer_at,
    with_arrays,
)
from talweg.compiler.codegen.lower import Body, Layout, Linear
from talweg.compiler.codegen.reductions import summed
from talweg.compiler.codegen.sample_lanes_plan import SIZES, TABLE, Plan
from talweg.errors import OperationError


@dataclass(frozen=True)
class Batch:
    """What native code knows about the batch of a step.

    Attributes:
        offset: where it begins in the order of samples.
        count: how many samples it has.
        blocks: how many blocks they fill.
        weight: what each sample's loss counts.
    """

    offset: Name
    count: Name
    blocks: Name
    weight: Name


def training_steps(plan: Plan) -> str:
    """The IR of a function `run` that takes steps of training.

    Args:
        plan: what for.

    Returns:
        The text of a module.
    """
    module = Module(plan.exact)
    # noalias: the table is never written to.
    steps = _Steps(plan, Function(module, "define void @run(ptr noalias %table)"))
    steps.run()
    if plan.chunks > 1:
        table = "ptr noalias %table, i64 %s"
        _Steps(plan, Function(module, f"define void @pack({table})")).only_pack()
        _Steps(plan, Function(module, f"define void @chunk({table}, i64 %k)")).only_chunk()
        _Steps(plan, Function(module, f"define i1 @finish({table})")).only_finish()
    _block(module, plan)
    return str(module)


def _block(module: Module, plan: Plan) -> None:
    """Forward and backward for a block of samples."""
    code, names = plan.code, ["w", "x", "c", "dw", "parts"]
    arrays = list(code.arrays) if plan.in_loops else []
    head = ", ".join(f"ptr noalias nocapture %{x}" for x in [*names, *arrays])
    f = Function(
        module,
        f"define internal void @block({head}, i64 %begin, i64 %count, double %weight)",
    )
    pointers = with_arrays(f, code, {x: f"%{x}" for x in [*names, *arrays]}, plan.samples)
    layout = Layout(
        pointers, plan.lanes, plan.blocks, frozenset(["w", "c"]), frozenset(["dw", "parts"])
    )
    body = Body(f, layout, not plan.exact, [*code.forward, *code.backward])
    e = body.emitter
    body.statements(code.forward, body.copies)
    clear(body, code)
    for copy in body.copies:
        loss = body.read(code.outputs[0], copy)
        weight = e.broadcast("%weight")
        if not plan.exact:
            filled = _filled(f, e, copy.block)
            loss = e.select(filled, loss, e.constant(0.0))
            weight = e.select(filled, weight, e.constant(0.0))
        part = body.offset("%parts", Linear(body.size * copy.block))
        body.store(loss if plan.exact else e.add(body.load(part), loss), part)
        if code.cotangents[0] is not None:
            body.add(code.cotangents[0], weight, copy)
    body.statements(code.backward, body.copies)
    f.put("ret void")


def _filled(f: Function, e: Emitter, block: int) -> Name:
    """The mask of the lanes that hold a sample of the batch."""
    return below(f, e, f.new(f"add i64 %begin, {block * e.lanes}"), "%count")


def below(f: Function, e: Emitter, first: Name, count: Name) -> Name:
    """The mask of the lanes in which the numbers first, first + 1, ... are below a count."""
    begin, end = _splat(f, e, first), _splat(f, e, count)
    if e.lanes == 1:
        return f.new(f"icmp slt i64 {begin}, {end}")
    numbers = ", ".join(f"i64 {k}" for k in range(e.lanes))
    lane = f.new(f"add {e.integer_type} {begin}, <{numbers}>")
    return f.new(f"icmp slt {e.integer_type} {lane}, {end}")


def _splat(f: Function, e: Emitter, i: Name) -> Name:
    """One whole number in every lane."""
    if e.lanes == 1:
        return i
    first = f.new(f"insertelement {e.integer_type} poison, i64 {i}, i64 0")
    return f.new(
        f"shufflevector {e.integer_type} {first}, {e.integer_type} poison, "
        f"<{e.lanes} x i32> zeroinitializer"
    )


class _Steps:
    """The function that takes training steps."""

    def __init__(self, plan: Plan, function: Function) -> None:
        self.plan = plan
        self.f = function
        self.flags = function.module.flags
        self.wide = Emitter(function, 1 if plan.exact else 8, self.flags)
        self.one = Emitter(function, 1, self.flags)
        self.to = {name: pointer_at(function, "%table", k) for k, name in enumerate(TABLE)}

    def run(self) -> None:
        """Steps until they are all taken, or until one diverges."""
        f, plan = self.f, self.plan
        steps = self.size("steps")
        f.put("br label %step")
        f.start("step")
        f.put("%s = phi i64 [ 0, %entry ], [ %following, %accepted ]")
        f.put(f"store i64 %s, ptr {self.size_at('done')}")
        more = f.new(f"icmp slt i64 %s, {steps}")
        f.put(f"br i1 {more}, label %take, label %end")
        f.start("take")
        if plan.chunks == 1:
            batch = self.batch()
            self.pack(batch)
            self.clear("0")
            self.blocks(batch, "0", batch.blocks, "0")
            bad = self.finish(batch)
        else:
            f.put("call void @pack(ptr %table, i64 %s)")
            for k in range(plan.chunks):
                f.put(f"call void @chunk(ptr %table, i64 %s, i64 {k})")
            bad = f.new("call i1 @finish(ptr %table, i64 %s)")
        f.put(f"br i1 {bad}, label %diverged, label %accepted")
        f.start("accepted")
        self.copy(self.to["p"], self.to["moved"], plan.room * (1 + plan.remembered))
        f.put("%following = add nuw nsw i64 %s, 1")
        f.put("br label %step")
        f.start("diverged")
        f.put(f"store i64 %s, ptr {self.size_at('done')}")
        f.put(f"store i64 1, ptr {self.size_at('diverged')}")
        f.put("br label %end")
        f.start("end")
        f.put("ret void")

    def only_pack(self) -> None:
        """The function that packs the batch of a step."""
        self.pack(self.batch())
        self.f.put("ret void")

    def only_chunk(self) -> None:
        """The function that goes forward and backward for one chunk of a step."""
        f, chunks, batch = self.f, self.plan.chunks, self.batch()
        following = f.new("add i64 %k, 1")
        first, end = (
            f.new(f"sdiv i64 {f.new(f'mul i64 {batch.blocks}, {k}')}, {chunks}")
            for k in ("%k", following)
        )
        self.clear("%k")
        self.blocks(batch, first, f.new(f"sub i64 {end}, {first}"), "%k")
        f.put("ret void")

    def only_finish(self) -> None:
        """The function that ends a step; whether it diverged."""
        self.f.put(f"ret i1 {self.finish(self.batch())}")

    def finish(self, batch: Batch) -> Name:
        """Add up what the blocks found, and move the parameters; whether the step diverged."""
        loss = self.loss(batch)
        self.put("losses", "%s", loss)
        self.gather()
        if self.plan.clip_norm is not None:
            self.clip(self.plan.clip_norm)
        return self.not_finite(loss, self.update())

    # ---- the batch ----------------------------------------------------------------------------

    def batch(self) -> Batch:
        """What is to be known about the batch of a step."""
        f, plan = self.f, self.plan
        offset = self.whole("offsets", "%s")
        if plan.count is None:
            count = self.whole("counts", "%s")
            blocks = f.new(f"add i64 {count}, {plan.samples - 1}")
            blocks = f.new(f"sdiv i64 {blocks}, {plan.samples}")
        else:
            count, blocks = str(plan.count), str(-(-plan.count // plan.samples))
        weight = self.one.constant(1.0)
        if plan.mean:
            weight = self.one.div(weight, f.new(f"sitofp i64 {count} to double"))
        return Batch(offset, count, blocks, weight)

    def pack(self, batch: Batch) -> None:
        """Put the samples of a batch side by side, unless they lie so already."""
        f, plan, count = self.f, self.plan, batch.count
        packed = f.new(f"icmp ne i64 {self.size('packed')}, 0")
        pack, ready = f.label("pack"), f.label("packed")
        f.put(f"br i1 {packed}, label %{ready}, label %{pack}")
        f.start(pack)
        last = f.new(f"sub i64 {count}, 1")
        total = f.new(f"mul i64 {batch.blocks}, {plan.samples}")

        def sample(lane: Name) -> None:
            beyond = f.new(f"icmp sgt i64 {lane}, {last}")
            place = f.new(f"select i1 {beyond}, i64 {last}, i64 {lane}")
            number = self.whole("order", f.new(f"add i64 {batch.offset}, {place}"))
            source = f.new(f"mul i64 {number}, {plan.inputs}")
            block = f.new(f"sdiv i64 {lane}, {plan.samples}")
            inside = f.new(f"srem i64 {lane}, {plan.samples}")
            begin = f.new(f"mul i64 {block}, {plan.inputs * plan.samples}")
            target = f.new(f"add i64 {begin}, {inside}")

            def number_of_sample(k: Name) -> None:
                x = self.get("data", f.new(f"add i64 {source}, {k}"))
                step = f.new(f"mul i64 {k}, {plan.samples}")
                self.put("x", f.new(f"add i64 {target}, {step}"), x)

            self.loop(str(plan.inputs), number_of_sample)

        self.loop(total, sample)
        f.put(f"br label %{ready}")
        f.start(ready)

    def clear(self, chunk: Name) -> None:
        """Set what collects derivatives and losses in a chunk to zero."""
        plan = self.plan
        self.zero(self.of_chunk("gathered", plan.gathered, chunk), plan.gathered)
        if not plan.exact:
            self.zero(self.of_chunk("parts", plan.samples, chunk), plan.samples)

    def of_chunk(self, name: str, size: int, chunk: Name) -> Name:
        """Where the part of an array is that belongs to a chunk."""
        return (
            self.to[name] if chunk == "0" else self.at(name, self.f.new(f"mul i64 {chunk}, {size}"))
        )

    def zero(self, pointer: Name, numbers: int) -> None:
        """Set numbers to zero."""
        name = "llvm.memset.p0.i64"
        self.f.module.declare(name, f"declare void @{name}(ptr, i8, i64, i1)")
        align = 8 * self.plan.lanes  # the losses of a chunk may begin within a cache line
        given = f"ptr align {align} {pointer}, i8 0, i64 {8 * numbers}, i1 false"
        self.f.put(f"call void @{name}({given})")

    def copy(self, to: Name, source: Name, numbers: int) -> None:
        """Copy numbers."""
        name = "llvm.memcpy.p0.p0.i64"
        self.f.module.declare(name, f"declare void @{name}(ptr, ptr, i64, i1)")
        self.f.put(
            f"call void @{name}(ptr align 64 {to}, ptr align 64 {source}, i64 {8 * numbers}, "
            "i1 false)"
        )

    def blocks(self, batch: Batch, begin: Name, blocks: Name, chunk: Name) -> None:
        """Forward and backward for the blocks of a chunk; in exact mode the last one first."""
        f, plan = self.f, self.plan
        gathered = self.of_chunk("gathered", plan.gathered, chunk)
        of_losses = self.of_chunk("parts", plan.samples, chunk)
        work = self.of_chunk("work", plan.work, chunk)
        arrays, offset = [], 0
        for size in plan.code.arrays.values() if plan.in_loops else []:
            arrays.append(byte_offset(f, work, 8 * offset))
            offset += padded(size) * plan.samples

        def block(i: Name) -> None:
            parts = of_losses
            if begin != "0":
                i = f.new(f"add i64 {begin}, {i}")
            if plan.exact:
                last = f.new(f"sub i64 {blocks}, 1")
                i = f.new(f"sub i64 {last}, {i}")
                parts = self.at("parts", i)
            x = self.at("x", f.new(f"mul i64 {i}, {plan.inputs * plan.samples}"))
            sample = f.new(f"mul i64 {i}, {plan.samples}")
            pointers = [self.to["p"], x, self.to["c"], gathered, parts, *arrays]
            listed = ", ".join(f"ptr {x}" for x in pointers)
            of_batch = f"i64 {batch.count}, double {batch.weight}"
            f.put(f"call void @block({listed}, i64 {sample}, {of_batch})")

        self.loop(blocks, block)

    def loss(self, batch: Batch) -> Name:
        """The loss of the batch."""
        f, plan = self.f, self.plan
        total = f.allocate("double")
        if plan.exact:  # as losses.add_up: from the first sample to the last
            f.put(f"store double {self.get('parts', '0')}, ptr {total}")
            rest = f.new(f"sub i64 {batch.count}, 1")

            def add(i: Name) -> None:
                sample = f.new(f"add i64 {i}, 1")
                so_far = f.new(f"load double, ptr {total}")
                f.put(
                    f"store double {self.one.add(so_far, self.get('parts', sample))}, ptr {total}"
                )

            self.loop(rest, add)
            return self.one.mul(f.new(f"load double, ptr {total}"), batch.weight)
        lanes = Emitter(f, plan.lanes, self.flags)
        parts = [self.vector(lanes, self.to["parts"], k) for k in range(plan.blocks * plan.chunks)]
        while len(parts) > 1:
            parts = [lanes.add(*pair) if len(pair) == 2 else pair[0] for pair in _pairs(parts)]
        return self.one.mul(self.across(lanes, parts[0]), batch.weight)

    # ---- derivatives and update -----------------------------------------------------------------

    def gather(self) -> None:
        """Add up the lanes of every derivative."""
        f, plan = self.f, self.plan
        if plan.lanes == 1:
            self.copy(self.to["g"], self.to["gathered"], plan.room)
            return
        lanes = Emitter(f, plan.lanes, self.flags)

        def some(i: Name) -> None:
            first = f.new(f"mul i64 {i}, 8")
            place = f.new(f"mul i64 {first}, {plan.lanes}")
            pointer = self.at("gathered", place)
            vectors = [self.vector(lanes, pointer, k) for k in range(8)]
            for _ in range(1, plan.chunks):
                pointer = byte_offset(f, pointer, 8 * plan.gathered)
                of_chunk = [self.vector(lanes, pointer, k) for k in range(8)]
                vectors = [lanes.add(*pair) for pair in zip(vectors, of_chunk, strict=True)]
            total = summed(lanes, vectors)
            f.put(f"store <8 x double> {total}, ptr {self.at('g', first)}, align 64")

        self.loop(str(plan.room // 8), some)

    def clip(self, longest: float) -> None:
        """Shorten the gradient; the largest entry is divided out so that squares are finite."""
        f, e = self.f, self.wide
        largest = self.over_parameters(
            lambda so_far, g: e.select(e.lt(so_far, e.abs(g)), e.abs(g), so_far), "max"
        )
        inverse = e.broadcast(self.one.div(self.one.constant(1.0), largest))

        def add_square(so_far: Name, g: Name) -> Name:
            part = e.mul(g, inverse)
            return e.add(so_far, e.mul(part, part))

        squares = self.over_parameters(add_square, "sum")
        length = self.one.mul(largest, self.one.sqrt(squares))
        limit = self.one.constant(longest)
        is_longer = self.one.lt(limit, length)
        factor = self.one.select(is_longer, self.one.div(limit, length), self.one.constant(1.0))
        scale = f.allocate("double")
        f.put(f"store double {factor}, ptr {scale}")
        self.scale = scale

    def over_parameters(self, step: Callable[[Name, Name], Name], how: str) -> Name:
        """Reduce all derivatives to one number."""
        f, e = self.f, self.wide
        so_far = f.allocate(e.number_type, 64)
        f.put(f"store {e.number_type} {e.constant(0.0)}, ptr {so_far}")

        def some(i: Name) -> None:
            g = f.new(
                f"load {e.number_type}, ptr {self.at('g', self.first(i))}, align {8 * e.lanes}"
            )
            before = f.new(f"load {e.number_type}, ptr {so_far}")
            f.put(f"store {e.number_type} {step(before, g)}, ptr {so_far}")

        self.loop(str(self.plan.room // e.lanes), some)
        total = f.new(f"load {e.number_type}, ptr {so_far}")
        if how == "sum":
            return self.across(e, total)
        name = f"llvm.vector.reduce.fmax.v{e.lanes}f64"
        f.module.declare(name, f"declare double @{name}({e.number_type})")
        return f.new(f"call double @{name}({e.number_type} {total})")

    def first(self, i: Name) -> Name:
        """The number of the first parameter of the i-th group."""
        return self.f.new(f"mul i64 {i}, {self.wide.lanes}")

    def update(self) -> Name:
        """Move every parameter; the old ones stay until the step is accepted.

        Returns:
            A vector that is zero if all derivatives and moved parameters are finite: x - x is
            not zero for those that are not.
        """
        f, e, plan = self.f, self.wide, self.plan
        plain = Emitter(f, e.lanes)
        bad = f.allocate(e.number_type, align := 8 * e.lanes)
        f.put(f"store {e.number_type} {e.constant(0.0)}, ptr {bad}")
        rate = Symbol(e, e.broadcast(self.get("rates", "%s")))
        number = f.new(f"add i64 {self.size('first')}, %s")
        step = Symbol(e, e.broadcast(f.new(f"sitofp i64 {number} to double")))

        def some(i: Name) -> None:
            first = self.first(i)
            trained = self.trained(first)

            def note(x: Name) -> None:
                x = e.select(trained, x, e.constant(0.0))
                so_far = f.new(f"load {e.number_type}, ptr {bad}")
                so_far = plain.add(so_far, plain.sub(x, x))
                f.put(f"store {e.number_type} {so_far}, ptr {bad}")

            def load(name: str, skip: int = 0) -> Symbol:
                place = self.at(name, f.new(f"add i64 {first}, {skip}") if skip else first)
                return Symbol(e, f.new(f"load {e.number_type}, ptr {place}, align {align}"))

            g = load("g")
            note(g.name)
            if plan.clip_norm is not None:
                factor = f.new(f"load double, ptr {self.scale}")
                g = Symbol(e, e.mul(g.name, e.broadcast(factor)))
            state = tuple([load("p", (k + 1) * plan.room) for k in range(plan.remembered)])
            before = load("p")
            p, state = plan.update(before, g, state, rate, step)
            if len(state) != plan.remembered:
                raise OperationError(
                    f"update returned {len(state)} numbers to remember; initial_state() "
                    f"has {plan.remembered}"
                )
            for k, x in enumerate((p, *state)):
                name = x.name if isinstance(x, Symbol) else e.constant(float(x))
                if k == 0:
                    note(name)
                    name = e.select(trained, name, before.name)
                place = self.at("moved", f.new(f"add i64 {first}, {k * plan.room}") if k else first)
                f.put(f"store {e.number_type} {name}, ptr {place}, align {align}")

        self.loop(str(plan.room // e.lanes), some)
        return f.new(f"load {e.number_type}, ptr {bad}")

    def not_finite(self, loss: Name, of_parameters: Name) -> Name:
        """Whether the loss, a derivative or a moved parameter is not finite; see `update`."""
        wide, one = Emitter(self.f, self.wide.lanes), Emitter(self.f, 1)
        wrong = wide.any(wide.ne(of_parameters, wide.constant(0.0)))
        of_loss = one.ne(one.sub(loss, loss), one.constant(0.0))
        return self.f.new(f"or i1 {wrong}, {of_loss}")

    def trained(self, first: Name) -> Name:
        """The mask of the parameters from `first` on that are trained."""
        return below(self.f, self.wide, first, str(self.plan.trained))

    # ---- small things ---------------------------------------------------------------------------

    def across(self, e: Emitter, x: Name) -> Name:
        """The sum of all lanes."""
        if e.lanes == 1:
            return x
        name = f"llvm.vector.reduce.fadd.v{e.lanes}f64"
        self.f.module.declare(name, f"declare double @{name}(double, {e.number_type})")
        zero = self.one.constant(0.0)
        # reassoc: in any order. One lane has returned above, so exact mode never comes here.
        return self.f.new(f"call reassoc double @{name}(double {zero}, {e.number_type} {x})")

    def vector(self, e: Emitter, pointer: Name, k: int) -> Name:
        """The k-th vector behind a pointer."""
        place = byte_offset(self.f, pointer, 8 * e.lanes * k)
        return self.f.new(f"load {e.number_type}, ptr {place}, align {8 * e.lanes}")

    def at(self, name: str, index: Name) -> Name:
        """The address of a number of an array."""
        return self.f.new(f"getelementptr inbounds double, ptr {self.to[name]}, i64 {index}")

    def get(self, name: str, index: Name) -> Name:
        """A number of an array."""
        return self.f.new(f"load double, ptr {self.at(name, index)}")

    def put(self, name: str, index: Name, number: Name) -> None:
        """Set a number of an array."""
        self.f.put(f"store double {number}, ptr {self.at(name, index)}")

    def whole(self, name: str, index: Name) -> Name:
        """A whole number of an array."""
        place = self.f.new(f"getelementptr inbounds i64, ptr {self.to[name]}, i64 {index}")
        return self.f.new(f"load i64, ptr {place}")

    def size_at(self, name: str) -> Name:
        """Where a whole number of `SIZES` is."""
        return byte_offset(self.f, self.to["sizes"], 8 * SIZES.index(name))

    def size(self, name: str) -> Name:
        """A whole number of `SIZES`."""
        return self.f.new(f"load i64, ptr {self.size_at(name)}")

    def loop(self, count: Name, body: Callable[[Name], None]) -> None:
        """`count` times the body, which is given the number of the iteration."""
        if count == "1":
            body("0")
        else:
            counted(self.f, count, body)


def _pairs(vectors: list[Name]) -> list[list[Name]]:
    return [vectors[k : k + 2] for k in range(0, len(vectors), 2)]
