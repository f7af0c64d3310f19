"""Random Python programs that do with numbers what programs in the style of micrograd do.

A program is text: a module with two cells (objects with parameters and state), captured numbers,
flags, lists and dictionaries, and a function `f(w, x, y, k, **options)`. The function computes with
Values and with plain numbers: it reads `.data`, branches on numbers, sorts, uses numbers as keys,
keeps state, wraps numbers in `Value(...)`, calls NumPy. Between calls the module is changed: flags,
captured numbers, attributes, parameters. The same seed gives the same program on every machine.

Start reading at `Program` and `Writer.program`; `python_runs.py` runs programs and compares.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

HEADER = """\
import math
from collections import deque
import numpy as np
import talweg as tw
from talweg import Value

SCALE = 0.5
FLAG = True
POWER = 2
TABLE = {"a": 0.5, "b": -1.5, 0: 0.25, 1: 2.0}
OFFSETS = [0.25, -0.5, 1.0]
STATE = {"h": Value(0.1), "mean": 0.0}
GATES = np.array([0.5, -1.0, 2.0])


class Base:
    gain = 1.5

    def shifted(self, v):
        return v * self.gain + self.bias


class Cell(Base):
    def __init__(self, numbers):
        self.w = [Value(x) for x in numbers]
        self.bias = Value(0.0)
        self.h = Value(0.0)
        self.mean = 0.0
        self.scale = 0.5
        self.training = True
        self.memory = [0.0, 0.5]
        for k, p in enumerate(self.w):
            p.decay = 0.1 * k

    def parameters(self):
        return [*self.w, self.bias]

    @property
    def rate(self):
        return self.scale if self.training else 0.25 * self.scale

    def __call__(self, v, a):
        turns = 0
"""

AFTER = """

one, two = Cell([0.5, -0.75, 1.25]), Cell([1.0, -0.5, 0.125])


def f(w, x, y, k=0.5, **options):
    v0, v1, v2 = w[0], w[1] * x[0], w[2] + y
    a0, a1, a2 = x[1], w[0].data, 0.5
    made, turns = [v0, a0], 0
"""

CELL_END = "return v"
ENDS = (
    "return v0 + v1 * v2",
    "return [v0, a0, v1]",
    "return (v0 * v1, a1, a2, len(made))",
    "return {'loss': v0 * v0 + v2, 'a': a0, 'pair': (v1, a1)}",
    "return sum(made) + v1",
    "return np.array([v0, v1, v2])",
    "return v2",
    "return [a0, a1, a2]",
    "return (v0 > a0, v2, a1 > 0.5)",
)

NUMBERS = (0.0, 1.0, -1.0, 0.5, 2.0, 0.25, -0.0, 1.5)

MOVES = (
    "SCALE = {n}", "FLAG = not FLAG", "POWER = 3", "POWER = 2.0", "TABLE['a'] = {n}",
    "TABLE[1] = {n}", "OFFSETS[1] = {n}", "GATES[0] = {n}", "one.scale = {n}", "two.scale = {n}",
    "one.training = not one.training", "two.training = False", "one.w[0].data += 0.125",
    "one.w[1] = Value({n})", "two.w[2] = one.w[2]", "Cell.gain = {n}", "Base.gain = {n}",
    "one.h = Value({n})", "one.h = {n}", "one.mean = {n}", "one.w[0].decay = {n}",
    "one, two = two, one", "STATE['h'] = Value({n})", "STATE['mean'] = {n}",
    "one.memory = [{n}, {n}]", "two.memory[0] = {n}", "one.bias.data = {n}", "two = one",
    "two.training = 1", "one.extra = {n}", "SCALE = 2", "SCALE = -0.0",
)  # fmt: skip
"""What is changed between calls."""


@dataclass(frozen=True)
class Block:
    """A statement: a line, or a line that opens a block with the statements in it."""

    line: str
    body: tuple[Block, ...] = ()

    def lines(self, indent):
        """The statement as lines of text."""
        yield " " * indent + self.line
        for part in self.body:
            yield from part.lines(indent + 4)


@dataclass(frozen=True)
class Program:
    """A random program.

    Attributes:
        cell: the statements of `Cell.__call__`.
        body: the statements of `f`.
        end: the last statement of `f`.
        calls: for each call what is changed before it, and its arguments (w, x, y, k, options);
            an argument is None to leave it out.
        is_array: whether x is a NumPy array.
    """

    cell: tuple[Block, ...]
    body: tuple[Block, ...]
    end: str
    calls: tuple[tuple[tuple[str, ...], tuple], ...]
    is_array: bool

    def source(self):
        """The module as text."""
        of_cell = [line for part in self.cell for line in part.lines(8)]
        of_f = [line for part in self.body for line in part.lines(4)]
        lines = [*of_cell, f"        {CELL_END}"]
        return HEADER + "\n".join(lines) + AFTER + "\n".join([*of_f, f"    {self.end}", ""])

    def smaller(self):
        """Programs with one part less."""
        for name in ("cell", "body"):
            for part in _smaller(getattr(self, name)):
                yield replace(self, **{name: part})
        for k in range(len(self.calls)):
            moves, args = self.calls[k]
            if len(self.calls) > 1:
                yield replace(self, calls=self.calls[:k] + self.calls[k + 1 :])
            for j in range(len(moves)):
                fewer = (moves[:j] + moves[j + 1 :], args)
                yield replace(self, calls=(*self.calls[:k], fewer, *self.calls[k + 1 :]))
        for end in ("return v0", "return v1", "return v2", "return a0", "return a1"):
            if self.end not in ("return v0", "return v1", "return v2", "return a0", "return a1"):
                yield replace(self, end=end)
        if self.is_array:
            yield replace(self, is_array=False)


def _smaller(body):
    """Sequences of statements with one part less."""
    for k, part in enumerate(body):
        yield body[:k] + body[k + 1 :]
        if part.body:
            if not part.line.startswith(("else", "except", "case", "match")):
                yield body[:k] + part.body + body[k + 1 :]
            for inner in _smaller(part.body):
                if inner:
                    yield (*body[:k], replace(part, body=inner), *body[k + 1 :])


class Writer:
    """Draws random programs.

    Args:
        seed: the seed of the generator.
    """

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.in_cell = False

    # ---- expressions -------------------------------------------------------------------------

    def pick(self, *texts):
        return self.rng.choice(texts)

    def constant(self):
        return repr(self.rng.choice(NUMBERS))

    def value(self, size):
        """An expression that is a Value."""
        names = ("v", "v", "self.w[0]", "self.w[1]", "self.w[2]", "self.bias")
        if not self.in_cell:
            names = ("v0", "v1", "v2", "v0", "v1", "v2", "w[1]", "w[2]", "one.w[0]", "two.w[1]")
        if size <= 0:
            return self.pick(*names)
        v, u, n = self.value(size - 1), self.value(size - 2), self.number(size - 2)
        a, b = self.plain(size - 2), self.truth(size - 2)
        made = [
            f"({v} + {n})", f"({v} - {n})", f"({n} * {v})", f"({v} * {u})", f"({n} - {v})",
            f"{v} / (1.5 + {u} * {u})", f"({v}).tanh()", f"tw.sin({v})", f"({v}).relu()",
            f"({v}) ** 2", f"tw.max({v}, {n})", f"tw.where({b}, {v}, {n}) + {u}", f"abs({v})",
            f"(-{v})", f"Value({a}) * {v}", f"sum([{v}, {u}, {n}])", f"max({v}, {u})",
            f"sorted([{v}, {u}], key=lambda q: q.data)[0]", f"min([{v}, {u}])",
            f"({v} if {b} else {u})", f"({v} if {b} else 0.01 * {u})", f"tw.sigmoid({v})",
            f"np.dot(np.array([{v}, {u}]), np.array([{a}, 0.5]))",
            f"(np.array([1.0, {a}]) * {v})[1]",
            f"tw.detach({v}) + {u}", f"np.tanh({v})", f"({v}) ** POWER", f"Value(({v}).data) - {u}",
            f"({v} - tw.detach({v}) + {a})", f"np.sum(np.array([{v}, {n}, {u}]))",
            f"({v} * ({v}.data > {a}))", f"tw.min({n}, {v})", f"({a} + GATES * {v})[2]",
        ]  # fmt: skip
        if not self.in_cell:
            made += [
                f"one({v}, {a})", f"two({v}, {a})", f"one({v}, {a}) + one({u}, {a})",
                f"[v0, v1, v2][{self.integer(size - 1)} % 3]", f"one.shifted({v})",
                f"w[max(range(3), key=lambda i: w[i].data)] * {n}", f"STATE['h'] * {v}",
            ]  # fmt: skip
        else:
            made += [f"self.shifted({v})", f"(self.h * self.w[0] + {v}).tanh()",
                     f"({v} + self.memory[1])", f"({v} * self.rate)"]  # fmt: skip
        return f"({self.rng.choice(made)})"

    def number(self, size):
        """An expression that is a Value or a plain number."""
        return self.value(size) if self.rng.random() < 0.4 else self.plain(size)

    def plain(self, size):
        """An expression that is a plain number."""
        names = ("a", "a", "a", "self.scale", "self.mean", "self.memory[0]", "self.rate", "SCALE",
                 "self.gain", "self.w[1].decay")  # fmt: skip
        if not self.in_cell:
            names = ("a0", "a1", "a2", "a0", "a1", "a2", "x[0]", "x[1]", "x[2]", "y", "k", "SCALE",
                     "one.scale", "one.mean", "one.rate", "OFFSETS[1]", "TABLE['a']", "one.gain",
                     "one.w[2].decay", "options.get('c', 0.25)", "STATE['mean']")  # fmt: skip
        if size <= 0 or self.rng.random() < 0.2:
            return self.constant() if self.rng.random() < 0.15 else self.pick(*names)
        a, c, v = self.plain(size - 1), self.plain(size - 2), self.value(size - 2)
        b, i = self.truth(size - 2), self.integer(size - 2)
        made = self.pick(
            f"({v}).data", f"({v}).data", f"({a} + {c})", f"({a} * {c})", f"({a} - {c})",
            f"{a} / (1.5 + {c} * {c})", f"abs({a})", f"(-{a})", f"max({a}, {c})", f"min({a}, {c})",
            f"float({a})", f"float({v})", f"math.tanh({a})", f"round({a}, 1)", f"{i} * 0.5",
            f"({a}) ** 2", f"float({b})", f"({b}) * {a}", f"({a} if {b} else {c})",
            f"float(np.tanh({a}))", f"len({{{a}, {c}}})", f"TABLE[{i} % 2]", f"OFFSETS[{i} % 3]",
            f"sorted([{a}, {c}, 0.5])[1]", f"{{0.0: 0.5, 1.0: -0.5}}.get({a}, {c})",
            f"sum([{a}, {c}])", f"int({a})", f"({a} > {c})", f"({a} or {c})", f"(0.0 or {a})",
            f"TABLE.get(format({a}, '.0f'), 0.75)", f"math.sqrt(abs({a}))", f"({a} and {c})",
            f"max({a}, {c}, key=abs)", f"np.maximum({a}, {c})", f"np.mean([{a}, {c}])",
            f"np.float64({a}) * {c}", f"(np.array([{a}, {c}]) * 2.0)[0]", f"math.floor({a})",
            f"tw.tanh({a})", f"[{a}, {c}][{b}]", f"float({a}).is_integer()",
            f"np.where({b}, {a}, {c}) * 1.0", f"{a} % 1.5", f"{a} // 0.5", f"np.exp(-abs({a}))",
        )  # fmt: skip
        return f"({made})"

    def truth(self, size):
        a, c = self.plain(size - 1), self.plain(size - 2)
        v, u = self.value(size - 2), self.value(size - 2)
        texts = [
            f"{a} > {c}", f"{a} <= {c}", f"{a} == {c}", f"{a} != 1.0", f"{v} > {a}", f"{v} < {u}",
            f"{a} in (0.0, 1.0, {c})", "FLAG", f"isinstance({a}, float)", f"bool({a})",
            f"{a} == 1.0", f"0.0 < {a} < 1.0", f"({v}).data > {a}", f"{v} == {u}",
            f"isinstance({a}, int)",
            f"not {a}", f"math.isnan({a})", f"{a} >= 0 and {c} < 1", f"bool({v})",
        ]  # fmt: skip
        texts += ["self.training"] if self.in_cell else ["one.training", "two.training", "y == 1.0"]
        return f"({self.rng.choice(texts)})"

    def integer(self, size):
        a, c = self.plain(size - 1), self.plain(size - 2)
        b = self.truth(size - 1)
        made = self.pick(
            f"int({a})", f"round({a})", f"int({b})", f"(1 if {b} else 2)",
            f"max(range(2), key=lambda i: [{a}, {c}][i])", f"[{a}, {c}].index(max({a}, {c}))",
            f"int(np.argmax([{a}, {c}]))", f"len([q for q in ({a}, {c}, 0.0) if q > 0])",
        )  # fmt: skip
        return f"({made})"

    # ---- statements ----------------------------------------------------------------------------

    def targets(self):
        if self.in_cell:
            return ("v",), ("a",)
        return ("v0", "v1", "v2"), ("a0", "a1", "a2")

    def statement(self, depth):
        rng = self.rng
        values, plains = self.targets()
        v, a = rng.choice(values), rng.choice(plains)
        kind = rng.random()
        if depth and kind < 0.16:
            return self.block(f"if {self.truth(2)}:", depth) + (
                self.block("else:", depth) if rng.random() < 0.5 else ()
            )
        if depth and kind < 0.22:
            head = self.pick("for i in range(3):", f"for {a} in [0.5, {a}, 1.0]:",
                             f"for i, {a} in enumerate(({a}, SCALE)):")  # fmt: skip
            return self.block(head, depth)
        if depth and kind < 0.24:
            end = self.pick(f"{a} = {a} - 0.75", f"{a} = {a} * 0.25 - 0.125")
            (loop,) = self.block(f"while {a} > 0 and turns < 5:", depth)
            return (replace(loop, body=(Block("turns += 1"), *loop.body, Block(end))),)
        if depth and kind < 0.26:
            risky = self.pick(f"{a} = {self.plain(1)} / {self.plain(1)}",
                              f"{a} = math.log({self.plain(1)})",
                              f"{a} = {self.plain(1)} ** -1")  # fmt: skip
            other = Block("except (ZeroDivisionError, ValueError):", (Block(f"{a} = 0.5"),))
            return (Block("try:", (Block(risky),)), other)
        if depth and kind < 0.28:
            (first,), (second,) = self.block("case 0.0:", depth), self.block("case _:", depth)
            return (Block(f"match {self.plain(1)}:", (first, second)),)
        if kind < 0.40:
            return (Block(self.state()),)
        if kind < 0.44 and not self.in_cell:
            return (Block(f"made.append({self.number(2)})"),)
        if kind < 0.455:
            return (Block(self.rare(a)),)
        if kind < 0.70:
            return (Block(f"{a} = {self.plain(rng.randrange(1, 4))}"),)
        return (Block(f"{v} = {self.value(rng.randrange(1, 4))}"),)

    def block(self, head, depth):
        body = [self.statement(depth - 1) for _ in range(self.rng.choice([1, 1, 2]))]
        return (Block(head, tuple(part for parts in body for part in parts)),)

    def state(self):
        """A statement that keeps a number."""
        v, a, n = self.value(2), self.plain(2), self.number(2)
        if self.in_cell:
            return self.pick(
                f"self.h = {v}", f"self.h = Value(({v}).data)", f"self.mean = {a}",
                f"self.mean = 0.75 * self.mean + 0.25 * {a}", f"self.memory[0] = {a}",
                f"self.memory[1] = {n}", "self.memory = [self.memory[1], v]", f"self.mean += {a}",
            )  # fmt: skip
        return self.pick(
            f"STATE['h'] = {v}", f"STATE['mean'] = {a}", f"one.mean = 0.5 * one.mean + {a}",
            f"two.h = {v}", f"OFFSETS[1] = {a}", f"one.memory[0] = {a}", f"one.scale = abs({a})",
            f"STATE['mean'] += {a}",
        )  # fmt: skip

    def rare(self, a):
        """A statement that compiled code may have to refuse."""
        owner = "self" if self.in_cell else "one"
        return self.pick(
            f"{owner}.memory.append({a})", f"{owner}.training = {a} > 0", f"{owner}.last = {a}",
            f"TABLE[{a}] = 1.0", f"{owner}.w[0].decay = {a}", f"OFFSETS.append({a})",
            f"{owner}.bias = Value({a})", f"GATES[1] = {a}", f"{owner}.w[1].data = {a}",
        )  # fmt: skip

    # ---- the program ---------------------------------------------------------------------------

    def numbers(self, count):
        rng = self.rng
        return [
            rng.choice(NUMBERS) if rng.random() < 0.35 else round(rng.uniform(-2.0, 2.0), 3)
            for _ in range(count)
        ]

    def arguments(self):
        rng = self.rng
        options = {} if rng.random() < 0.6 else {"c": rng.choice(NUMBERS)}
        k = None if rng.random() < 0.6 else rng.choice(NUMBERS)
        return (self.numbers(3), self.numbers(3), rng.choice([0.0, 1.0, -1.0, 0.3]), k, options)

    def moves(self):
        rng = self.rng
        count = rng.choice([0, 0, 1, 1, 2])
        return tuple(rng.choice(MOVES).replace("{n}", self.constant()) for _ in range(count))

    def program(self):
        rng = self.rng
        self.in_cell = True
        cell = [part for _ in range(rng.randrange(3)) for part in self.statement(1)]
        self.in_cell = False
        body = [part for _ in range(rng.randrange(1, 5)) for part in self.statement(2)]
        calls = [((), self.arguments())]
        for _ in range(rng.choice([2, 3, 4])):
            args = calls[-1][1] if rng.random() < 0.25 else self.arguments()
            calls.append((self.moves(), args))
        return Program(
            tuple(cell), tuple(body), rng.choice(ENDS), tuple(calls), rng.random() < 0.15
        )
