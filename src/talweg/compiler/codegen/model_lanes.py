"""The steps of one group of models, one in each lane: the function `group` of `many`.

Start reading at `Group.run`, then `Group.step`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from talweg.compiler.codegen.builder import Emitter, Function, Name, Symbol
from talweg.compiler.codegen.entry_points import byte_offset, counted, padded, pointer_at
from talweg.compiler.codegen.model_lanes_plan import TABLE, Plan
from talweg.errors import OperationError

_NOT_FINITE = 3 | 4 | 512
"""What `llvm.is.fpclass` calls nan, minus infinity and infinity."""


def weight_of(plan: Plan, e: Emitter, given: Name) -> Name:
    """What each sample's loss counts: a constant of the code where it is known beforehand."""
    if plan.mean and plan.batched:
        return e.broadcast(given)
    return e.constant(1.0 / plan.samples if plan.mean else 1.0)


class _Setting(Symbol):
    """A setting of the optimiser, which differs from lane to lane, and is zero in none.

    So `if self.momentum:` in an optimiser's equation is true.
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True)
class _Batch:
    """The samples of a step: how many, and what the loss of each counts."""

    count: Name
    weight: Name


class Group:
    """The function that trains one group of models."""

    def __init__(self, plan: Plan, function: Function) -> None:
        self.plan = plan
        self.f = f = function
        self.e = Emitter(f, plan.lanes, f.module.flags)
        self.size = 8 * plan.lanes
        size = plan.lanes
        by_step, rates = f.new(f"mul i64 %all, {size}"), size * len(plan.ends)
        shares: dict[str, Name] = {
            "p": str(plan.of_group),
            "rates": f.new(f"mul i64 %all, {rates}") if plan.scheduled else str(rates),
            "settings": str(size * plan.settings),
            "alive": str(size),
            "reached": str(size),
            "done": str(size),
            "last": str(plan.parameters * size),
            "losses": by_step,
        }
        self.to: dict[str, Name] = {}
        for k, name in enumerate(TABLE):
            pointer = pointer_at(f, "%table", k)
            if name in shares:
                pointer = self.at(pointer, f.new(f"mul i64 %group, {shares[name]}"))
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
        at_step = f.new("add i64 %first, %s")
        batch = self.batch(at_step)
        self.samples(batch)
        place = self.at(self.to["losses"], f.new(f"mul i64 {at_step}, {e.lanes}"))
        loss, lives = self.loss(batch), self.lives()
        self.store(e.select(lives, loss, e.constant(float("nan"))), place)
        self.count("done", lives)
        failed = e.either(self.update(at_step), self.not_finite(loss))
        moved = e.both(lives, e.opposite(failed))
        target = e.broadcast(f.new(f"load double, ptr {self.to['target']}"))
        reached = e.both(moved, e.opposite(e.lt(target, loss)))
        self.count("reached", reached)
        keep, swap = f.label("keep"), f.label("swap")
        f.put(f"br i1 {e.any(e.opposite(moved))}, label %{keep}, label %{swap}")
        f.start(keep)
        self.keep_ended(moved, e.both(lives, failed))
        f.put(f"br label %{swap}")
        f.start(swap)
        now, then = self.pointer(self.now), self.pointer(self.then)
        f.put(f"store ptr {then}, ptr {self.now}")
        f.put(f"store ptr {now}, ptr {self.then}")
        after = e.both(moved, e.opposite(reached))
        f.put(f"store {e.mask_type} {after}, ptr {self.alive}")

    def count(self, name: str, mask: Name) -> None:
        """Add one for the lanes of a mask."""
        e = self.e
        one = e.select(mask, e.constant(1.0), e.constant(0.0))
        self.store(e.add(self.load(self.to[name]), one), self.to[name])

    def batch(self, at_step: Name) -> _Batch:
        """The samples of a step, which are put into lanes unless they are there already."""
        f, plan = self.f, self.plan
        if not plan.batched:
            return _Batch(str(plan.samples), "1.0")
        count = self.whole("counts", at_step)
        self.pack(self.whole("offsets", at_step), count)
        number = f.new(f"sitofp i64 {count} to double")
        one = Emitter(f, 1)
        return _Batch(count, one.div(one.constant(1.0), number) if plan.mean else "1.0")

    def pack(self, offset: Name, count: Name) -> None:
        """Write the numbers of a batch into every lane; samples that go together lie together."""
        f, e, plan = self.f, self.e, self.plan
        some = f.new(f"sdiv i64 {count}, {plan.together}")
        beside = f.new(f"mul i64 {some}, {plan.together}")

        def sample(i: Name) -> None:
            number = self.whole("order", f.new(f"add i64 {offset}, {i}"))
            source = f.new(f"mul i64 {number}, {plan.inputs}")
            is_beside = f.new(f"icmp slt i64 {i}, {beside}")
            stride = f.new(f"select i1 {is_beside}, i64 {plan.together}, i64 1")
            within = f.new(f"srem i64 {i}, {plan.together}")
            begin = f.new(f"mul i64 {f.new(f'sub i64 {i}, {within}')}, {plan.inputs}")
            begin = f.new(f"add i64 {begin}, {within}")
            alone = f.new(f"mul i64 {i}, {plan.inputs}")
            begin = f.new(f"select i1 {is_beside}, i64 {begin}, i64 {alone}")

            def number_of_sample(k: Name) -> None:
                place = self.at(self.to["data"], f.new(f"add i64 {source}, {k}"))
                x = e.broadcast(f.new(f"load double, ptr {place}"))
                index = f.new(f"add i64 {begin}, {f.new(f'mul i64 {k}, {stride}')}")
                self.store(x, self.at(self.to["x"], f.new(f"mul i64 {index}, {plan.lanes}")))

            counted(f, str(plan.inputs), number_of_sample)

        counted(f, count, sample)

    def samples(self, batch: _Batch) -> None:
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
            f.put(f"call void @{name}({listed}, double {batch.weight})")

        blocks = f.new(f"sdiv i64 {batch.count}, {plan.together}")
        last = f.new(f"sub i64 {blocks}, 1")
        beside = f.new(f"mul i64 {blocks}, {plan.together}")

        def some(i: Name) -> None:
            call("together", f.new(f"mul i64 {f.new(f'sub i64 {last}, {i}')}, {plan.together}"))

        counted(f, blocks, some)
        if plan.has_singles:
            rest = f.new(f"sub i64 {batch.count}, {beside}")
            counted(f, rest, lambda i: call("single", f.new(f"add i64 {beside}, {i}")))

    def loss(self, batch: _Batch) -> Name:
        """The losses of the models: those of the samples, from the first to the last."""
        f, e, plan = self.f, self.e, self.plan
        total = f.allocate(e.number_type, self.size)
        f.put(f"store {e.number_type} {self.load(self.to['parts'])}, ptr {total}")

        def add(i: Name) -> None:
            place = f.new(f"mul i64 {f.new(f'add i64 {i}, 1')}, {plan.lanes}")
            part = self.load(self.at(self.to["parts"], place))
            so_far = f.new(f"load {e.number_type}, ptr {total}")
            f.put(f"store {e.number_type} {e.add(so_far, part)}, ptr {total}")

        counted(f, f.new(f"sub i64 {batch.count}, 1"), add)
        of_sample = weight_of(plan, e, batch.weight)
        return e.mul(f.new(f"load {e.number_type}, ptr {total}"), of_sample)

    def update(self, at_step: Name) -> Name:
        """Move every parameter; the old ones stay. The lanes that met what is not finite."""
        f, e, plan = self.f, self.e, self.plan
        number = f.new(f"add i64 {at_step}, 1")
        step = Symbol(e, e.broadcast(f.new(f"sitofp i64 {number} to double")))
        rates, of_step = self.to["rates"], len(plan.ends) * plan.lanes
        if plan.scheduled:
            rates = self.at(rates, f.new(f"mul i64 {at_step}, {of_step}"))
        places = [byte_offset(f, self.to["settings"], k * self.size) for k in range(plan.settings)]
        equation = plan.update(tuple([_Setting(e, self.load(place)) for place in places]))
        bad = f.allocate(e.mask_type)
        f.put(f"store {e.mask_type} zeroinitializer, ptr {bad}")
        now, then = self.pointer(self.now), self.pointer(self.then)
        behind = self.size * plan.parameters

        def parameter(k: Name, rate: Symbol) -> None:
            index = f.new(f"mul i64 {k}, {plan.lanes}")
            old, new = self.at(now, index), self.at(then, index)
            g = self.load(self.at(self.to["g"], index))
            places = [n * behind for n in range(1 + plan.remembered)]
            p, *state = [Symbol(e, self.load(byte_offset(f, old, by))) for by in places]
            p, moved = equation(p, Symbol(e, g), (*state,), rate, step)
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

        begin = 0
        for k, end in enumerate(plan.ends):
            rate = Symbol(e, self.load(byte_offset(f, rates, k * self.size)))
            self.parameters(begin, end, partial(parameter, rate=rate))
            begin = end
        return f.new(f"load {e.mask_type}, ptr {bad}")

    def parameters(self, begin: int, end: int, body: Callable[[Name], None]) -> None:
        """The body for each parameter of a range."""
        f = self.f
        counted(f, str(end - begin), lambda k: body(f.new(f"add i64 {begin}, {k}")))

    def keep_ended(self, moved: Name, just: Name) -> None:
        """Give lanes that do not move their old numbers back; of some, note the derivatives."""
        f, e, plan = self.f, self.e, self.plan
        now, then = self.pointer(self.now), self.pointer(self.then)

        def choose(mask: Name, source: Name, to: Name, otherwise: Name, k: Name) -> None:
            index = f.new(f"mul i64 {k}, {plan.lanes}")
            yes, no = self.load(self.at(source, index)), self.load(self.at(otherwise, index))
            self.store(e.select(mask, yes, no), self.at(to, index))

        g, last = self.to["g"], self.to["last"]
        numbers = plan.parameters * (1 + plan.remembered)
        counted(f, str(numbers), lambda k: choose(moved, then, then, now, k))
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

    def whole(self, name: str, index: Name) -> Name:
        """A whole number of an array."""
        place = self.f.new(f"getelementptr inbounds i64, ptr {self.to[name]}, i64 {index}")
        return self.f.new(f"load i64, ptr {place}")

    def load(self, pointer: Name) -> Name:
        """The vector at an address."""
        return self.f.new(f"load {self.e.number_type}, ptr {pointer}, align {self.size}")

    def store(self, number: Name, pointer: Name) -> None:
        """Set the vector at an address."""
        self.f.put(f"store {self.e.number_type} {number}, ptr {pointer}, align {self.size}")
