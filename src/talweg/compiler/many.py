"""Many models at once: training runs of one program, with a model in each SIMD lane.

    run(table, groups)   some steps of training for some groups of models
      group              the steps of one group, until all its models have ended
        sample           forward and backward on one sample, for all models of the group
        update           the optimiser's equation, each lane with its own learning rate

The models of a group lie side by side: number k of all of them is one vector (or two), and
samples and constants are shared. No lane ever meets another, so each model gets the bits that
it would get alone. A lane whose loss, derivative or moved parameter is not finite has ended:
its parameters stay those before that step, and its neighbours go on.

The order of operations is that of `talweg.compiler.steps`, in which one model trains.

Start reading at `many_models`, then `_Group.run`.
"""

from __future__ import annotations

from dataclasses import dataclass

from talweg.compiler.code import Code, Picked, Repeat, Statement
from talweg.compiler.emitter import Emitter, Function, Module, Name, Symbol
from talweg.compiler.kernels import (
    byte_offset,
    clear,
    counted,
    padded,
    pointer_at,
    with_arrays,
)
from talweg.compiler.lower import Body, Layout, Linear
from talweg.compiler.steps import Update
from talweg.errors import OperationError

TABLE = (
    "p", "rates", "alive", "done", "last", "losses", "x", "c", "moved", "g", "parts", "work",
)  # fmt: skip
"""What the pointers in the table point to. Of each group: parameters (and behind them what the
optimiser remembers), learning rates, 1.0 for each lane that has not ended, how many losses each
lane has recorded, the derivatives of the step at which it ended, losses. Of all: samples and
constants. Of each thread, to work in: parameters after the step, derivatives, the losses of
samples, what a sample's forward pass keeps."""

_SMALL = 8192
"""Arrays of at most so many numbers in all lie on the stack."""

_NOT_FINITE = 3 | 4 | 512
"""What `llvm.is.fpclass` calls nan, minus infinity and infinity."""


@dataclass(frozen=True)
class Plan:
    """What a function that trains many models is made for.

    Attributes:
        code: forward and backward for one sample.
        update: the optimiser's equation.
        remembered: how many numbers the optimiser remembers for each parameter.
        parameters: how many parameters a model has; all of them are trained.
        samples: how many samples there are; each step takes all of them.
        inputs: how many numbers a sample has.
        mean: whether the loss is the mean of the samples' losses.
        scheduled: whether each step has its own learning rates.
        exact: whether every bit must be that of the eager engine.
        lanes: how many models lie in one vector.
        blocks: how many vectors of models are computed side by side.
    """

    code: Code
    update: Update
    remembered: int
    parameters: int
    samples: int
    inputs: int
    mean: bool
    scheduled: bool = False
    exact: bool = False
    lanes: int = 1
    blocks: int = 1

    @property
    def models(self) -> int:
        """How many models a group has."""
        return self.lanes * self.blocks

    @property
    def of_group(self) -> int:
        """How many numbers the parameters of a group are, with what is remembered of them."""
        return self.parameters * (1 + self.remembered) * self.models

    @property
    def work(self) -> int:
        """How many numbers a sample's memory to work in must hold; 0 if it is on the stack."""
        sizes = self.code.arrays.values()
        if sum(sizes) * self.models <= _SMALL:
            return 0
        return sum(padded(size) * self.models for size in sizes)


def picks(statements: list[Statement] | tuple[Statement, ...]) -> bool:
    """Whether a program picks rows of a table, whose numbers then must lie one vector each."""
    for s in statements:
        if isinstance(s, Repeat):
            if picks(tuple(s.body)):
                return True
        elif any(isinstance(x, Picked) for x in getattr(s, "operands", ())):
            return True
    return False


def many_models(plan: Plan) -> str:
    """The IR of a function `run` that trains groups of models.

    Args:
        plan: what for.

    Returns:
        The text of a module. `run(table, begin, end, first, steps, all, worker)` takes `steps`
        steps from number `first` (0 for the first of a run of `all` steps) for the groups from
        `begin` to before `end`, in the memory to work in of that worker.
    """
    module = Module(plan.exact)
    numbers = "i64 %first, i64 %steps, i64 %all, i64 %worker"
    run = Function(module, f"define void @run(ptr %table, i64 %begin, i64 %end, {numbers})")

    def group(i: Name) -> None:
        k = run.new(f"add i64 %begin, {i}")
        run.put(f"call void @group(ptr %table, i64 {k}, {numbers})")

    counted(run, run.new("sub i64 %end, %begin"), group)
    run.put("ret void")
    head = f"define internal void @group(ptr %table, i64 %group, {numbers}) noinline"
    _Group(plan, Function(module, head)).run()
    _sample(module, plan)
    return str(module)


def _sample(module: Module, plan: Plan) -> None:
    """Forward and backward on one sample, for all models of a group."""
    code, names = plan.code, ["w", "x", "c", "dw", "parts"]
    arrays = list(code.arrays) if plan.work else []
    head = ", ".join(f"ptr noalias nocapture %{x}" for x in [*names, *arrays])
    f = Function(module, f"define internal void @sample({head})")
    pointers = with_arrays(f, code, {x: f"%{x}" for x in [*names, *arrays]}, plan.models)
    gathered = frozenset(["w", "dw"] if plan.blocks == 1 else [])
    layout = Layout(pointers, plan.lanes, plan.blocks, frozenset(["x", "c"]), gathered)
    body = Body(f, layout, not plan.exact, [*code.forward, *code.backward])
    e = body.emitter
    body.statements(code.forward, body.copies)
    clear(body, code)
    for copy in body.copies:
        part = body.offset("%parts", Linear(body.size * copy.block))
        body.store(body.read(code.outputs[0], copy), part)
        if code.seeds[0] is not None:
            body.add(code.seeds[0], e.constant(1.0 / plan.samples if plan.mean else 1.0), copy)
    body.statements(code.backward, body.copies)
    f.put("ret void")


class _Group:
    """The function that trains one group of models."""

    def __init__(self, plan: Plan, function: Function) -> None:
        self.plan = plan
        self.f = f = function
        self.e = Emitter(f, plan.lanes, "" if plan.exact else "contract nsz ")
        self.size = 8 * plan.lanes
        self.blocks = range(plan.blocks)
        size, numbers = plan.models, plan.parameters * plan.models
        rates = f.new(f"mul i64 %all, {size}") if plan.scheduled else str(size)
        shares: dict[str, tuple[Name, Name]] = {
            "p": ("%group", str(plan.of_group)),
            "rates": ("%group", rates),
            "alive": ("%group", str(size)),
            "done": ("%group", str(size)),
            "last": ("%group", str(numbers)),
            "losses": ("%group", f.new(f"mul i64 %all, {size}")),
            "moved": ("%worker", str(plan.of_group)),
            "g": ("%worker", str(numbers)),
            "parts": ("%worker", str(plan.samples * size)),
            "work": ("%worker", str(plan.work)),
        }
        self.to: dict[str, Name] = {}
        for k, name in enumerate(TABLE):
            pointer = pointer_at(f, "%table", k)
            if name in shares:
                whose, share = shares[name]
                pointer = self.at(pointer, f.new(f"mul i64 {whose}, {share}"))
            self.to[name] = pointer
        self.now, self.then = f.allocate("ptr"), f.allocate("ptr")
        self.alive = [f.allocate(self.e.mask_type) for _ in self.blocks]

    def run(self) -> None:
        """Steps until they are all taken, or until all models have ended."""
        f, e = self.f, self.e
        f.put(f"store ptr {self.to['p']}, ptr {self.now}")
        f.put(f"store ptr {self.to['moved']}, ptr {self.then}")
        for b in self.blocks:
            lives = e.ne(self.load(self.to["alive"], b), e.constant(0.0))
            f.put(f"store {e.mask_type} {lives}, ptr {self.alive[b]}")
        begin = f.block
        f.put("br label %step")
        f.start("step")
        f.put(f"%s = phi i64 [ 0, %{begin} ], [ %following, %taken ]")
        more, lives = f.new("icmp slt i64 %s, %steps"), e.any(self.either())
        f.put(f"br i1 {f.new(f'and i1 {more}, {lives}')}, label %take, label %end")
        f.start("take")
        self.step()
        f.put("br label %taken")
        f.start("taken")
        f.put("%following = add nuw nsw i64 %s, 1")
        f.put("br label %step")
        f.start("end")
        self.keep_parameters()
        f.put("ret void")

    def step(self) -> None:
        """Gradient, update, and what has become of each lane."""
        f, e = self.f, self.e
        self.samples()
        at_step = f.new("add i64 %first, %s")
        losses = self.at(self.to["losses"], f.new(f"mul i64 {at_step}, {self.plan.models}"))
        loss = [self.loss(b) for b in self.blocks]
        for b in self.blocks:
            lives, done = self.lives(b), self.load(self.to["done"], b)
            self.store(e.select(lives, loss[b], e.constant(float("nan"))), losses, b)
            more = e.select(lives, e.constant(1.0), e.constant(0.0))
            self.store(e.add(done, more), self.to["done"], b)
        ended = self.update(at_step)
        ended = [e.either(ended[b], self.not_finite(loss[b])) for b in self.blocks]
        after = [e.both(self.lives(b), e.opposite(ended[b])) for b in self.blocks]
        some_ended = e.opposite(after[0])
        for mask in after[1:]:
            some_ended = e.either(some_ended, e.opposite(mask))
        keep, swap = f.label("keep"), f.label("swap")
        f.put(f"br i1 {e.any(some_ended)}, label %{keep}, label %{swap}")
        f.start(keep)
        self.keep_ended(after)
        f.put(f"br label %{swap}")
        f.start(swap)
        now, then = self.pointer(self.now), self.pointer(self.then)
        f.put(f"store ptr {then}, ptr {self.now}")
        f.put(f"store ptr {now}, ptr {self.then}")
        for b in self.blocks:
            f.put(f"store {e.mask_type} {after[b]}, ptr {self.alive[b]}")

    def samples(self) -> None:
        """Forward and backward for every sample, from the last to the first."""
        f, plan = self.f, self.plan
        g = self.to["g"]
        name = "llvm.memset.p0.i64"
        f.module.declare(name, f"declare void @{name}(ptr, i8, i64, i1)")
        count = 8 * plan.parameters * plan.models
        f.put(f"call void @{name}(ptr align {self.size} {g}, i8 0, i64 {count}, i1 false)")
        arrays, offset = [], 0
        for size in plan.code.arrays.values() if plan.work else []:
            arrays.append(byte_offset(f, self.to["work"], 8 * offset))
            offset += padded(size) * plan.models
        now = self.pointer(self.now)

        def sample(i: Name) -> None:
            i = f.new(f"sub i64 {plan.samples - 1}, {i}")
            x = self.at(self.to["x"], f.new(f"mul i64 {i}, {plan.inputs}"))
            part = self.at(self.to["parts"], f.new(f"mul i64 {i}, {plan.models}"))
            listed = ", ".join(f"ptr {x}" for x in [now, x, self.to["c"], g, part, *arrays])
            f.put(f"call void @sample({listed})")

        counted(f, str(plan.samples), sample)

    def loss(self, block: int) -> Name:
        """The losses of the models: those of the samples, from the first to the last."""
        f, e, plan = self.f, self.e, self.plan
        total = f.allocate(e.number_type, self.size)
        f.put(f"store {e.number_type} {self.load(self.to['parts'], block)}, ptr {total}")

        def add(i: Name) -> None:
            place = f.new(f"mul i64 {f.new(f'add i64 {i}, 1')}, {plan.models}")
            part = self.load(self.at(self.to["parts"], place), block)
            so_far = f.new(f"load {e.number_type}, ptr {total}")
            f.put(f"store {e.number_type} {e.add(so_far, part)}, ptr {total}")

        counted(f, str(plan.samples - 1), add)
        weight = e.constant(1.0 / plan.samples if plan.mean else 1.0)
        return e.mul(f.new(f"load {e.number_type}, ptr {total}"), weight)

    def update(self, at_step: Name) -> list[Name]:
        """Move every parameter; the old ones stay. The lanes that met what is not finite."""
        f, e, plan = self.f, self.e, self.plan
        number = f.new(f"add i64 {at_step}, 1")
        step = Symbol(e, e.broadcast(f.new(f"sitofp i64 {number} to double")))
        rates = self.to["rates"]
        if plan.scheduled:
            rates = self.at(rates, f.new(f"mul i64 {at_step}, {plan.models}"))
        rate = [Symbol(e, self.load(rates, b)) for b in self.blocks]
        bad = [f.allocate(e.mask_type) for _ in self.blocks]
        for place in bad:
            f.put(f"store {e.mask_type} zeroinitializer, ptr {place}")
        now, then = self.pointer(self.now), self.pointer(self.then)
        behind = plan.parameters * plan.models * 8

        def parameter(k: Name) -> None:
            index = f.new(f"mul i64 {k}, {plan.models}")
            old, new = self.at(now, index), self.at(then, index)
            for b in self.blocks:
                g = self.load(self.at(self.to["g"], index), b)
                numbers = [
                    Symbol(e, self.load(byte_offset(f, old, n * behind), b))
                    for n in range(1 + plan.remembered)
                ]
                p, state = plan.update(numbers[0], Symbol(e, g), (*numbers[1:],), rate[b], step)
                if len(state) != plan.remembered:
                    raise OperationError(
                        f"update returned {len(state)} numbers to remember; initial_state() "
                        f"has {plan.remembered}"
                    )
                names = [
                    x.name if isinstance(x, Symbol) else e.constant(float(x)) for x in (p, *state)
                ]
                for n, name in enumerate(names):
                    self.store(name, byte_offset(f, new, n * behind), b)
                wrong = e.either(self.not_finite(g), self.not_finite(names[0]))
                so_far = f.new(f"load {e.mask_type}, ptr {bad[b]}")
                f.put(f"store {e.mask_type} {e.either(so_far, wrong)}, ptr {bad[b]}")

        counted(f, str(plan.parameters), parameter)
        return [f.new(f"load {e.mask_type}, ptr {place}") for place in bad]

    def keep_ended(self, after: list[Name]) -> None:
        """Give lanes that have ended their old numbers back, and note the last derivatives."""
        f, e, plan = self.f, self.e, self.plan
        now, then = self.pointer(self.now), self.pointer(self.then)
        just = [e.both(self.lives(b), e.opposite(after[b])) for b in self.blocks]

        def number(k: Name) -> None:
            index = f.new(f"mul i64 {k}, {plan.models}")
            old, new = self.at(now, index), self.at(then, index)
            for b in self.blocks:
                kept = e.select(after[b], self.load(new, b), self.load(old, b))
                self.store(kept, new, b)

        def derivative(k: Name) -> None:
            index = f.new(f"mul i64 {k}, {plan.models}")
            g, last = self.at(self.to["g"], index), self.at(self.to["last"], index)
            for b in self.blocks:
                self.store(e.select(just[b], self.load(g, b), self.load(last, b)), last, b)

        counted(f, str(plan.parameters * (1 + plan.remembered)), number)
        counted(f, str(plan.parameters), derivative)

    def keep_parameters(self) -> None:
        """Put the parameters where they belong, and who is alive; the next call goes on there."""
        f, e, plan = self.f, self.e, self.plan
        for b in self.blocks:
            lives = e.select(self.lives(b), e.constant(1.0), e.constant(0.0))
            self.store(lives, self.to["alive"], b)
        name = "llvm.memmove.p0.p0.i64"  # memmove: they may be there already
        f.module.declare(name, f"declare void @{name}(ptr, ptr, i64, i1)")
        now = self.pointer(self.now)
        f.put(
            f"call void @{name}(ptr align {self.size} {self.to['p']}, ptr align {self.size} {now}, "
            f"i64 {8 * plan.of_group}, i1 false)"
        )

    # ---- small things ---------------------------------------------------------------------------

    def not_finite(self, x: Name) -> Name:
        """The mask of the lanes that are nan or infinite."""
        f, e = self.f, self.e
        name = f"llvm.is.fpclass.{'f64' if e.lanes == 1 else f'v{e.lanes}f64'}"
        f.module.declare(name, f"declare {e.mask_type} @{name}({e.number_type}, i32 immarg)")
        return f.new(f"call {e.mask_type} @{name}({e.number_type} {x}, i32 {_NOT_FINITE})")

    def either(self) -> Name:
        """The mask of the lanes that are alive in any block."""
        mask = self.lives(0)
        for b in self.blocks[1:]:
            mask = self.e.either(mask, self.lives(b))
        return mask

    def lives(self, block: int) -> Name:
        """The mask of the lanes that have not ended."""
        return self.f.new(f"load {self.e.mask_type}, ptr {self.alive[block]}")

    def pointer(self, place: Name) -> Name:
        """The pointer in a variable."""
        return self.f.new(f"load ptr, ptr {place}")

    def at(self, pointer: Name, index: Name) -> Name:
        """The address of a number of an array."""
        return self.f.new(f"getelementptr inbounds double, ptr {pointer}, i64 {index}")

    def load(self, pointer: Name, block: int) -> Name:
        """The vector of a block."""
        place = byte_offset(self.f, pointer, self.size * block)
        return self.f.new(f"load {self.e.number_type}, ptr {place}, align {self.size}")

    def store(self, number: Name, pointer: Name, block: int) -> None:
        """Set the vector of a block."""
        place = byte_offset(self.f, pointer, self.size * block)
        self.f.put(f"store {self.e.number_type} {number}, ptr {place}, align {self.size}")
