"""Many models at once: training runs of one program, with a model in each SIMD lane.

    run(table, groups)   some steps of training for some groups of models
      group              the steps of one group, until all its models have ended
        together         forward and backward on some samples, for all models of the group
        update           the optimiser's equation, each lane with its own learning rate

The models of a group lie side by side: number k of all of them is one vector. Samples are the
same for all, written into every lane beforehand. No lane ever meets another, so each model gets
the bits that it would get alone. A lane whose loss, derivative or moved parameter is not finite
has ended: its parameters stay those before that step, and its neighbours go on.

The order of operations is that of `talweg.compiler.steps`, in which one model trains.

Start reading at `many_models`, then `_Group.run`.
"""

from __future__ import annotations

from dataclasses import dataclass

from talweg.compiler.code import Code
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
from talweg.compiler.plan import SMALL, Update
from talweg.errors import OperationError

TABLE = (
    "p", "rates", "alive", "done", "last", "losses", "x", "c", "moved", "g", "parts", "work",
)  # fmt: skip
"""What the pointers in the table point to. Of each group: parameters (and behind them what the
optimiser remembers), learning rates, 1.0 for each lane that has not ended, how many losses each
lane has recorded, the derivatives of the step at which it ended, losses. Of all: samples and
constants. Of each thread, to work in: parameters after the step, derivatives, the losses of
samples, what a sample's forward pass keeps."""

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
        lanes: how many models a group has, one in each lane.
        together: how many samples are computed side by side, which share the reading of each
            parameter and the writing of its derivative; samples that are left over at the end
            come one by one.
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
    together: int = 1

    @property
    def of_group(self) -> int:
        """How many numbers the parameters of a group are, with what is remembered of them."""
        return self.parameters * (1 + self.remembered) * self.lanes

    @property
    def side_by_side(self) -> int:
        """How many of the samples are computed side by side with others."""
        return self.samples // self.together * self.together

    @property
    def work(self) -> int:
        """How many numbers a sample's memory to work in must hold; 0 if it is on the stack."""
        sizes, width = self.code.arrays.values(), self.lanes * self.together
        if sum(sizes) * width <= SMALL:
            return 0
        return sum(padded(size) * width for size in sizes)


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
    _samples(module, plan, "together", plan.together)
    if plan.side_by_side < plan.samples:
        _samples(module, plan, "single", 1)
    return str(module)


def _samples(module: Module, plan: Plan, name: str, count: int) -> None:
    """Forward and backward on some samples side by side, for all models of a group."""
    code, names = plan.code, ["w", "x", "c", "dw", "parts"]
    arrays = list(code.arrays) if plan.work else []
    head = ", ".join(f"ptr noalias nocapture %{x}" for x in [*names, *arrays])
    f = Function(module, f"define internal void @{name}({head})")
    pointers = with_arrays(f, code, {x: f"%{x}" for x in [*names, *arrays]}, plan.lanes * count)
    layout = Layout(pointers, plan.lanes, count, frozenset(["c"]), frozenset(["w", "dw"]))
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
        size, numbers = plan.lanes, plan.parameters * plan.lanes
        by_step = f.new(f"mul i64 %all, {size}")
        shares: dict[str, tuple[Name, Name]] = {
            "p": ("%group", str(plan.of_group)),
            "rates": ("%group", by_step if plan.scheduled else str(size)),
            "alive": ("%group", str(size)),
            "done": ("%group", str(size)),
            "last": ("%group", str(numbers)),
            "losses": ("%group", by_step),
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
        self.alive = f.allocate(self.e.mask_type)

    def run(self) -> None:
        """Steps until they are all taken, or until all models have ended."""
        f, e = self.f, self.e
        f.put(f"store ptr {self.to['p']}, ptr {self.now}")
        f.put(f"store ptr {self.to['moved']}, ptr {self.then}")
        lives = e.ne(self.load(self.to["alive"]), e.constant(0.0))
        f.put(f"store {e.mask_type} {lives}, ptr {self.alive}")
        begin = f.block
        f.put("br label %step")
        f.start("step")
        f.put(f"%s = phi i64 [ 0, %{begin} ], [ %following, %taken ]")
        more, some = f.new("icmp slt i64 %s, %steps"), e.any(self.lives())
        f.put(f"br i1 {f.new(f'and i1 {more}, {some}')}, label %take, label %end")
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
        place = self.at(self.to["losses"], f.new(f"mul i64 {at_step}, {e.lanes}"))
        loss, lives = self.loss(), self.lives()
        self.store(e.select(lives, loss, e.constant(float("nan"))), place)
        more = e.select(lives, e.constant(1.0), e.constant(0.0))
        self.store(e.add(self.load(self.to["done"]), more), self.to["done"])
        ended = e.either(self.update(at_step), self.not_finite(loss))
        after = e.both(lives, e.opposite(ended))
        keep, swap = f.label("keep"), f.label("swap")
        f.put(f"br i1 {e.any(e.opposite(after))}, label %{keep}, label %{swap}")
        f.start(keep)
        self.keep_ended(after, e.both(lives, ended))
        f.put(f"br label %{swap}")
        f.start(swap)
        now, then = self.pointer(self.now), self.pointer(self.then)
        f.put(f"store ptr {then}, ptr {self.now}")
        f.put(f"store ptr {now}, ptr {self.then}")
        f.put(f"store {e.mask_type} {after}, ptr {self.alive}")

    def samples(self) -> None:
        """Forward and backward for every sample; in exact mode from the last to the first."""
        f, plan, g = self.f, self.plan, self.to["g"]
        name = "llvm.memset.p0.i64"
        f.module.declare(name, f"declare void @{name}(ptr, i8, i64, i1)")
        count = self.size * plan.parameters
        f.put(f"call void @{name}(ptr align {self.size} {g}, i8 0, i64 {count}, i1 false)")
        now = self.pointer(self.now)
        arrays, offset = [], 0
        for size in plan.code.arrays.values() if plan.work else []:
            arrays.append(byte_offset(f, self.to["work"], 8 * offset))
            offset += padded(size) * plan.lanes * plan.together

        def call(name: str, sample: Name) -> None:
            x = self.at(self.to["x"], f.new(f"mul i64 {sample}, {plan.inputs * plan.lanes}"))
            part = self.at(self.to["parts"], f.new(f"mul i64 {sample}, {plan.lanes}"))
            listed = ", ".join(f"ptr {x}" for x in [now, x, self.to["c"], g, part, *arrays])
            f.put(f"call void @{name}({listed})")

        def some(i: Name) -> None:
            i = f.new(f"sub i64 {plan.samples // plan.together - 1}, {i}")
            call("together", f.new(f"mul i64 {i}, {plan.together}"))

        def single(i: Name) -> None:
            call("single", f.new(f"add i64 {plan.side_by_side}, {i}"))

        counted(f, str(plan.samples // plan.together), some)
        if plan.side_by_side < plan.samples:
            counted(f, str(plan.samples - plan.side_by_side), single)

    def loss(self) -> Name:
        """The losses of the models: those of the samples, from the first to the last."""
        f, e, plan = self.f, self.e, self.plan
        total = f.allocate(e.number_type, self.size)
        f.put(f"store {e.number_type} {self.load(self.to['parts'])}, ptr {total}")

        def add(i: Name) -> None:
            place = f.new(f"mul i64 {f.new(f'add i64 {i}, 1')}, {plan.lanes}")
            part = self.load(self.at(self.to["parts"], place))
            so_far = f.new(f"load {e.number_type}, ptr {total}")
            f.put(f"store {e.number_type} {e.add(so_far, part)}, ptr {total}")

        counted(f, str(plan.samples - 1), add)
        weight = e.constant(1.0 / plan.samples if plan.mean else 1.0)
        return e.mul(f.new(f"load {e.number_type}, ptr {total}"), weight)

    def update(self, at_step: Name) -> Name:
        """Move every parameter; the old ones stay. The lanes that met what is not finite."""
        f, e, plan = self.f, self.e, self.plan
        number = f.new(f"add i64 {at_step}, 1")
        step = Symbol(e, e.broadcast(f.new(f"sitofp i64 {number} to double")))
        rates = self.to["rates"]
        if plan.scheduled:
            rates = self.at(rates, f.new(f"mul i64 {at_step}, {plan.lanes}"))
        rate = Symbol(e, self.load(rates))
        bad = f.allocate(e.mask_type)
        f.put(f"store {e.mask_type} zeroinitializer, ptr {bad}")
        now, then = self.pointer(self.now), self.pointer(self.then)
        behind = self.size * plan.parameters

        def parameter(k: Name) -> None:
            index = f.new(f"mul i64 {k}, {plan.lanes}")
            old, new = self.at(now, index), self.at(then, index)
            g = self.load(self.at(self.to["g"], index))
            places = [n * behind for n in range(1 + plan.remembered)]
            p, *state = [Symbol(e, self.load(byte_offset(f, old, by))) for by in places]
            p, moved = plan.update(p, Symbol(e, g), (*state,), rate, step)
            if len(moved) != plan.remembered:
                raise OperationError(
                    f"update returned {len(moved)} numbers to remember; initial_state() "
                    f"has {plan.remembered}"
                )
            names = [x.name if isinstance(x, Symbol) else e.constant(float(x)) for x in (p, *moved)]
            for name, by in zip(names, places, strict=True):
                self.store(name, byte_offset(f, new, by))
            wrong = e.either(self.not_finite(g), self.not_finite(names[0]))
            so_far = f.new(f"load {e.mask_type}, ptr {bad}")
            f.put(f"store {e.mask_type} {e.either(so_far, wrong)}, ptr {bad}")

        counted(f, str(plan.parameters), parameter)
        return f.new(f"load {e.mask_type}, ptr {bad}")

    def keep_ended(self, after: Name, just: Name) -> None:
        """Give lanes that have ended their old numbers back; of some, note the derivatives."""
        f, e, plan = self.f, self.e, self.plan
        now, then = self.pointer(self.now), self.pointer(self.then)

        def choose(mask: Name, source: Name, to: Name, otherwise: Name, k: Name) -> None:
            index = f.new(f"mul i64 {k}, {plan.lanes}")
            yes, no = self.load(self.at(source, index)), self.load(self.at(otherwise, index))
            self.store(e.select(mask, yes, no), self.at(to, index))

        g, last = self.to["g"], self.to["last"]
        numbers = plan.parameters * (1 + plan.remembered)
        counted(f, str(numbers), lambda k: choose(after, then, then, now, k))
        counted(f, str(plan.parameters), lambda k: choose(just, g, last, last, k))

    def keep_parameters(self) -> None:
        """Put the parameters where they belong, and who is alive; the next call goes on there."""
        f, e, plan = self.f, self.e, self.plan
        lives = e.select(self.lives(), e.constant(1.0), e.constant(0.0))
        self.store(lives, self.to["alive"])
        name = "llvm.memmove.p0.p0.i64"  # memmove: they may be there already
        f.module.declare(name, f"declare void @{name}(ptr, ptr, i64, i1)")
        home, now = self.to["p"], self.pointer(self.now)
        given = f"ptr align {self.size} {home}, ptr align {self.size} {now}"
        f.put(f"call void @{name}({given}, i64 {8 * plan.of_group}, i1 false)")

    # ---- small things ---------------------------------------------------------------------------

    def not_finite(self, x: Name) -> Name:
        """The mask of the lanes that are nan or infinite."""
        f, e = self.f, self.e
        name = f"llvm.is.fpclass.{'f64' if e.lanes == 1 else f'v{e.lanes}f64'}"
        f.module.declare(name, f"declare {e.mask_type} @{name}({e.number_type}, i32 immarg)")
        return f.new(f"call {e.mask_type} @{name}({e.number_type} {x}, i32 {_NOT_FINITE})")

    def lives(self) -> Name:
        """The mask of the lanes that have not ended."""
        return self.f.new(f"load {self.e.mask_type}, ptr {self.alive}")

    def pointer(self, place: Name) -> Name:
        """The pointer in a variable."""
        return self.f.new(f"load ptr, ptr {place}")

    def at(self, pointer: Name, index: Name) -> Name:
        """The address of a number of an array."""
        return self.f.new(f"getelementptr inbounds double, ptr {pointer}, i64 {index}")

    def load(self, pointer: Name) -> Name:
        """The vector at an address."""
        return self.f.new(f"load {self.e.number_type}, ptr {pointer}, align {self.size}")

    def store(self, number: Name, pointer: Name) -> None:
        """Set the vector at an address."""
        self.f.put(f"store {self.e.number_type} {number}, ptr {pointer}, align {self.size}")
