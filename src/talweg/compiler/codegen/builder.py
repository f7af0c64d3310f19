"""Writing LLVM IR as text: the emitter against which operations write their machine code.

`Emitter` has one method for each thing a machine can do with numbers: `add`, `fma`, `select`,
`bits`. It stands for one lane or for several side by side; whoever writes `e.add(x, y)` need
not know. Numbers, masks (the results of comparisons) and integers of 64 bits are names of IR
values, plain strings. Instructions go into a `Function` under construction, functions into a
`Module`.

`Symbol` lets the equations of the table run on IR values: `g * (1.0 - out * out)` on Symbols
writes the instructions that compute it.

Start reading at `Emitter`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias

from talweg import ops
from talweg.autodiff.operation import Number, Op
from talweg.errors import OperationError

Name: TypeAlias = str
"""An IR value: a register such as `%.7`, or a constant."""

_SHORT = 6
"""Machine code of at most so many instructions is written in place, longer into a function."""


class Module:
    """The functions and declarations of a piece of native code.

    Attributes:
        exact: every operation gives the bits that the eager engine gives.
        flags: what LLVM may do with additions and products. In the default mode `contract`: a
            product and the sum that it goes into are rounded once, not twice. Nothing in exact
            mode.
        outlined: the functions that long operations have been written into; None for short ones.
        constants: the constants that occur, by their text.
    """

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact
        self.flags = "" if exact else "contract "
        self.functions: list[Function] = []
        self.declarations: dict[str, str] = {}
        self.outlined: dict[tuple[Op, int, tuple[str | None, ...]], str | None] = {}
        self.constants: dict[Name, float] = {}

    def declare(self, name: str, line: str) -> None:
        """Declare a function that is elsewhere; once is enough."""
        self.declarations[name] = line

    def __str__(self) -> str:
        parts = ["\n".join(self.declarations.values()), *map(str, self.functions)]
        return "\n\n".join(part for part in parts if part) + "\n"


class Function:
    """A function under construction: a head and lines of IR."""

    def __init__(self, module: Module, head: str) -> None:
        self.module = module
        self.head = head
        self.lines: list[str] = []
        self.at_entry: list[str] = []
        self.block = "entry"
        self._registers = 0
        self._labels = 0
        module.functions.append(self)

    def __str__(self) -> str:
        body = "\n".join(["entry:", *self.at_entry, *self.lines])
        return f"{self.head} {{\n{body}\n}}"

    def new(self, instruction: str) -> Name:
        """Write an instruction that has a result."""
        self._registers += 1
        self.lines.append(f"  %.{self._registers} = {instruction}")
        return f"%.{self._registers}"

    def put(self, instruction: str) -> None:
        """Write an instruction without result."""
        self.lines.append(f"  {instruction}")

    def allocate(self, kind: str, align: int = 8) -> Name:
        """Room on the stack, made where the function begins."""
        self._registers += 1
        self.at_entry.append(f"  %.{self._registers} = alloca {kind}, align {align}")
        return f"%.{self._registers}"

    def label(self, what: str) -> str:
        """A new label."""
        self._labels += 1
        return f"{what}{self._labels}"

    def start(self, label: str) -> None:
        """Begin the block of that label."""
        self.lines.append(f"{label}:")
        self.block = label


class Emitter:
    """What a machine can do with numbers, `lanes` of them at a time.

    Args:
        function: where instructions go.
        lanes: how many numbers an IR value holds.
        flags: what LLVM may do with additions and products: `Module.flags`, or nothing where
            every rounding is thought out.
    """

    def __init__(self, function: Function, lanes: int = 1, flags: str = "") -> None:
        self.function = function
        self.lanes = lanes
        self.flags = flags
        self.exact = function.module.exact
        self.number_type = _type("double", lanes)
        self.integer_type = _type("i64", lanes)
        self.mask_type = _type("i1", lanes)
        self._suffix = "f64" if lanes == 1 else f"v{lanes}f64"

    # ---- numbers ------------------------------------------------------------------------

    def constant(self, x: float) -> Name:
        """The number x in every lane."""
        name = self._splat("double", hexadecimal(x))
        self.function.module.constants[name] = x
        return name

    def known(self, x: Name) -> float | None:
        """The number that a constant is; None for what is known only when the program runs."""
        return self.function.module.constants.get(x)

    def add(self, x: Name, y: Name) -> Name:
        """X + y."""
        return self._binary(f"fadd {self.flags}", x, y)

    def sub(self, x: Name, y: Name) -> Name:
        """X - y."""
        return self._binary(f"fsub {self.flags}", x, y)

    def mul(self, x: Name, y: Name) -> Name:
        """X * y."""
        return self._binary(f"fmul {self.flags}", x, y)

    def div(self, x: Name, y: Name) -> Name:
        """X / y."""
        return self._binary("fdiv ", x, y)

    def neg(self, x: Name) -> Name:
        """-x."""
        return self.function.new(f"fneg {self.number_type} {x}")

    def abs(self, x: Name) -> Name:
        """|x|."""
        return self._intrinsic("fabs", x)

    def sqrt(self, x: Name) -> Name:
        """The square root, correctly rounded; nan below zero."""
        return self._intrinsic("sqrt", x)

    def nearest(self, x: Name) -> Name:
        """The nearest whole number, the even one at a tie."""
        return self._intrinsic("roundeven", x)

    def fma(self, x: Name, y: Name, z: Name) -> Name:
        """X * y + z, rounded once, on every machine (slow where the machine has no such thing)."""
        return self._intrinsic("fma", x, y, z)

    def muladd(self, x: Name, y: Name, z: Name) -> Name:
        """X * y + z, rounded once or twice, whichever is faster."""
        return self._intrinsic("fmuladd", x, y, z)

    # ---- comparisons and choices ----------------------------------------------------------

    def lt(self, x: Name, y: Name) -> Name:
        """The mask x < y; false for nan."""
        return self._compare("olt", x, y)

    def le(self, x: Name, y: Name) -> Name:
        """The mask x <= y; false for nan."""
        return self._compare("ole", x, y)

    def eq(self, x: Name, y: Name) -> Name:
        """The mask x == y; false for nan."""
        return self._compare("oeq", x, y)

    def ne(self, x: Name, y: Name) -> Name:
        """The mask x != y; true for nan."""
        return self._compare("une", x, y)

    def both(self, m: Name, n: Name) -> Name:
        """The mask m and n."""
        return self.function.new(f"and {self.mask_type} {m}, {n}")

    def either(self, m: Name, n: Name) -> Name:
        """The mask m or n."""
        return self.function.new(f"or {self.mask_type} {m}, {n}")

    def opposite(self, m: Name) -> Name:
        """The mask not m."""
        return self.function.new(f"xor {self.mask_type} {m}, {self._splat('i1', 'true')}")

    def select(self, m: Name, x: Name, y: Name) -> Name:
        """The number x where the mask holds, else y."""
        if x == y:
            return x
        return self.function.new(
            f"select {self.mask_type} {m}, {self.number_type} {x}, {self.number_type} {y}"
        )

    # ---- bits -----------------------------------------------------------------------------

    def bits(self, x: Name) -> Name:
        """The 64 bits of a number as an integer."""
        return self.function.new(f"bitcast {self.number_type} {x} to {self.integer_type}")

    def number(self, i: Name) -> Name:
        """The number with these bits."""
        return self.function.new(f"bitcast {self.integer_type} {i} to {self.number_type}")

    def integer(self, k: int) -> Name:
        """The integer k in every lane."""
        return self._splat("i64", str(k))

    def integer_add(self, i: Name, j: Name) -> Name:
        """I + j, modulo 2**64."""
        return self._integer("add", i, j)

    def integer_sub(self, i: Name, j: Name) -> Name:
        """I - j, modulo 2**64."""
        return self._integer("sub", i, j)

    def integer_and(self, i: Name, j: Name) -> Name:
        """The bits that are set in both."""
        return self._integer("and", i, j)

    def integer_or(self, i: Name, j: Name) -> Name:
        """The bits that are set in either."""
        return self._integer("or", i, j)

    def integer_xor(self, i: Name, j: Name) -> Name:
        """The bits that are set in one of them."""
        return self._integer("xor", i, j)

    def shift_left(self, i: Name, count: int) -> Name:
        """The bits moved up."""
        return self._integer("shl", i, self.integer(count))

    def shift_right(self, i: Name, count: int) -> Name:
        """The bits moved down, zeros moved in."""
        return self._integer("lshr", i, self.integer(count))

    def odd(self, i: Name) -> Name:
        """The mask of the integers that are odd."""
        return self.function.new(f"trunc {self.integer_type} {i} to {self.mask_type}")

    # ---- the C library ----------------------------------------------------------------------

    def call(self, name: str, *operands: Name) -> Name:
        """The C library's function of doubles of that name, lane by lane."""
        doubles = ", ".join(["double"] * len(operands))
        # memory(none), nounwind, willreturn: these functions are of their operands alone and
        # return. They may set errno, which no generated code reads.
        # nobuiltin: LLVM must not fold pow(x, 2.0) into x * x, whose last bit can be another.
        how = "memory(none) nounwind willreturn nobuiltin"
        declaration = f"declare double @{name}({doubles}) {how}"
        self.function.module.declare(name, declaration)
        return self.lane_by_lane(lambda e, *xs: e.plain_call(name, *xs), *operands)

    def plain_call(self, name: str, *operands: Name) -> Name:
        """Call a declared function that takes and returns one double."""
        given = ", ".join(f"double {x}" for x in operands)
        return self.function.new(f"call double @{name}({given})")

    def lane_by_lane(self, scalar: Callable[..., Name], *operands: Name) -> Name:
        """Apply a function of (emitter of one lane, *numbers) to each lane."""
        if self.lanes == 1:
            return scalar(self, *operands)
        one = Emitter(self.function, 1, self.flags)
        result = "poison"
        for k in range(self.lanes):
            lanes = [self.lane(x, k) for x in operands]
            x = scalar(one, *lanes)
            result = self.function.new(
                f"insertelement {self.number_type} {result}, double {x}, i64 {k}"
            )
        return result

    def call_where(self, mask: Name, name: str, operands: Sequence[Name], otherwise: Name) -> Name:
        """The C library's function where the mask holds, `otherwise` elsewhere.

        It is a branch: where no lane's mask holds, nothing is called.
        """
        function = self.function
        before, rare, after = function.block, function.label("rare"), function.label("after")
        some = self.any(mask)
        function.put(f"br i1 {some}, label %{rare}, label %{after}, !prof !0")
        function.module.declare("!0", '!0 = !{!"branch_weights", i32 1, i32 2000}')
        function.start(rare)
        chosen = self.select(mask, self.call(name, *operands), otherwise)
        end = function.block
        function.put(f"br label %{after}")
        function.start(after)
        return function.new(
            f"phi {self.number_type} [ {otherwise}, %{before} ], [ {chosen}, %{end} ]"
        )

    def any(self, mask: Name) -> Name:
        """Whether the mask holds in some lane, as an i1."""
        if self.lanes == 1:
            return mask
        name = f"llvm.vector.reduce.or.v{self.lanes}i1"
        self.function.module.declare(name, f"declare i1 @{name}({self.mask_type})")
        return self.function.new(f"call i1 @{name}({self.mask_type} {mask})")

    # ---- lanes --------------------------------------------------------------------------------

    def lane(self, x: Name, k: int) -> Name:
        """The number in lane k."""
        if self.lanes == 1:
            return x
        return self.function.new(f"extractelement {self.number_type} {x}, i64 {k}")

    def broadcast(self, x: Name) -> Name:
        """One double in every lane."""
        if self.lanes == 1:
            return x
        first = self.function.new(f"insertelement {self.number_type} poison, double {x}, i64 0")
        return self.function.new(
            f"shufflevector {self.number_type} {first}, {self.number_type} poison, "
            f"<{self.lanes} x i32> zeroinitializer"
        )

    # ---- operations of the table ------------------------------------------------------------

    def apply(self, op: Op, *operands: Name) -> Name:
        """The machine code of an operation: in place if it is short, else a call to it."""
        module = self.function.module
        numbers = [self.known(x) for x in operands]
        if None not in numbers:
            return self.constant(op.value(*numbers))
        constants = tuple(
            [x if k is not None else None for x, k in zip(operands, numbers, strict=True)]
        )
        key = (op, self.lanes, constants)
        if key not in module.outlined:
            module.outlined[key] = self._outline(op, constants)
        name = module.outlined[key]
        if name is None:
            return machine_code(op)(self, *operands)
        given = ", ".join(
            f"{self.number_type} {x}"
            for x, constant in zip(operands, constants, strict=True)
            if constant is None
        )
        return self.function.new(f"call {self.number_type} @{name}({given})")

    def _outline(self, op: Op, constants: Sequence[Name | None]) -> str | None:
        """Write an operation as a function of its own; None if it is too short for that.

        Args:
            op: the operation.
            constants: the operands that are constants, which are written into it.
        """
        module = self.function.module
        name = f"{op.name}.{self._suffix}.{len(module.outlined)}"
        registers = [f"%{k}" for k in "xyz"[: op.arity]]
        operands = [r if c is None else c for r, c in zip(registers, constants, strict=True)]
        given = ", ".join(f"{self.number_type} {x}" for x in operands if x in registers)
        head = f"define internal {self.number_type} @{name}({given}) alwaysinline"
        body = Function(module, head)
        # Without flags: what is written here has its roundings thought out.
        result = machine_code(op)(Emitter(body, self.lanes), *operands)
        if len(body.lines) <= _SHORT:
            module.functions.remove(body)
            return None
        body.put(f"ret {self.number_type} {result}")
        return name

    # ---- helpers ------------------------------------------------------------------------------

    def _splat(self, kind: str, text: str) -> Name:
        if self.lanes == 1:
            return text
        return f"<{', '.join([f'{kind} {text}'] * self.lanes)}>"

    def _binary(self, instruction: str, x: Name, y: Name) -> Name:
        return self.function.new(f"{instruction}{self.number_type} {x}, {y}")

    def _integer(self, instruction: str, i: Name, j: Name) -> Name:
        return self.function.new(f"{instruction} {self.integer_type} {i}, {j}")

    def _compare(self, how: str, x: Name, y: Name) -> Name:
        return self.function.new(f"fcmp {how} {self.number_type} {x}, {y}")

    def _intrinsic(self, what: str, *operands: Name) -> Name:
        name = f"llvm.{what}.{self._suffix}"
        types = ", ".join([self.number_type] * len(operands))
        self.function.module.declare(name, f"declare {self.number_type} @{name}({types})")
        given = ", ".join(f"{self.number_type} {x}" for x in operands)
        return self.function.new(f"call {self.number_type} @{name}({given})")


def hexadecimal(x: float) -> str:
    """A double as IR writes it: its bits.

    >>> hexadecimal(1.0)
    '0x3FF0000000000000'
    """
    return f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"


def _type(of: str, lanes: int) -> str:
    return of if lanes == 1 else f"<{lanes} x {of}>"


# ---- equations on IR values -----------------------------------------------------------------


class Symbol:
    """A number of the program while its machine code is written.

    Args:
        emitter: where arithmetic on it is written.
        name: the IR value.
    """

    __slots__ = ("emitter", "name")

    def __init__(self, emitter: Emitter, name: Name) -> None:
        self.emitter = emitter
        self.name = name

    @staticmethod
    def _apply(op: Op, operands: Sequence[Number]) -> Symbol:
        e = next(x.emitter for x in operands if isinstance(x, Symbol))
        names = [x.name if isinstance(x, Symbol) else e.constant(float(x)) for x in operands]
        return Symbol(e, e.apply(op, *names))

    def __add__(self, other: Number) -> Symbol:
        return self._apply(ops.add, (self, other))

    def __radd__(self, other: Number) -> Symbol:
        return self._apply(ops.add, (other, self))

    def __sub__(self, other: Number) -> Symbol:
        return self._apply(ops.sub, (self, other))

    def __rsub__(self, other: Number) -> Symbol:
        return self._apply(ops.sub, (other, self))

    def __mul__(self, other: Number) -> Symbol:
        return self._apply(ops.mul, (self, other))

    def __rmul__(self, other: Number) -> Symbol:
        return self._apply(ops.mul, (other, self))

    def __neg__(self) -> Symbol:
        return self._apply(ops.neg, (self,))

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        # Not by identity: `if step == 1.0` would silently be false for every step.
        raise OperationError("it compares a number that is not known while code is written")

    def __bool__(self) -> bool:
        raise OperationError("it branches on a number that is not known while code is written")


def machine_code(op: Op) -> Callable[..., Name]:
    """What writes the machine code of an operation: its `emit`, or its value run on Symbols.

    Raises:
        OperationError: if it has no `emit`, and its value is not made of arithmetic alone.
    """
    if op.emit is not None:
        return op.emit

    def by_value(e: Emitter, *operands: Name) -> Name:
        try:
            result: Number = op.value(*[Symbol(e, x) for x in operands])
        except (TypeError, AttributeError, ValueError) as error:
            raise OperationError(
                f"{op.name}: its value cannot be compiled ({error}); write it with +, -, * and "
                "the operations of tw.ops, or declare it with emit="
            ) from None
        return result.name if isinstance(result, Symbol) else e.constant(float(result))

    return by_value
