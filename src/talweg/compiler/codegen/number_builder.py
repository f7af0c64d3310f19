"""Instructions on floating-point numbers, several lanes at a time.

A `NumberBuilder` appends to a `FunctionBuilder`. Its values are vectors of `lanes` doubles, masks
(the results of comparisons, one truth value a lane) and 64-bit integers, one a lane; with one lane
they are scalars. What is written against it, such as the functions of `intrinsics/`, therefore
serves any number of lanes.

In the default mode of the compiler a product and the sum that it goes into may be rounded once
instead of twice, where the sum is a `contracted_add`. In exact mode, and in builders that are
`strict`, each is rounded by itself.

Start reading at `NumberBuilder`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from talweg._util.deprecation import RenamedAttribute
from talweg.compiler.codegen.builder import FunctionBuilder, Index
from talweg.compiler.codegen.types import DOUBLE, I1, I64, vector
from talweg.compiler.intrinsics.builder_protocol import Name

_NOT_FINITE = 3 | 4 | 512
"""The classes of `llvm.is.fpclass` that are not finite: nan (1, 2), -inf (4) and inf (512)."""


class NumberBuilder:
    """Appends instructions on `lanes` numbers at a time.

    Args:
        function: where instructions go.
        lanes: how many numbers a value has.
        strict: whether products are rounded before sums in every mode.

    Attributes:
        exact: whether every bit must be that of the eager engine.
        number_type: the type of a value's numbers.
        integer_type: the type of as many integers.
        mask_type: the type of as many truth values.
    """

    # `tw.ops.register(emit=)` is given a builder: its methods' former names.
    nearest = RenamedAttribute("round_even")
    both = RenamedAttribute("mask_and")
    either = RenamedAttribute("mask_or")
    opposite = RenamedAttribute("mask_not")
    bits = RenamedAttribute("to_bits")
    number = RenamedAttribute("from_bits")
    integer = RenamedAttribute("integer_constant")
    odd = RenamedAttribute("is_odd")
    call = RenamedAttribute("libm")
    call_where = RenamedAttribute("libm_where")

    def __init__(self, function: FunctionBuilder, lanes: int = 1, *, strict: bool = False) -> None:
        self.function = function
        self.lanes = lanes
        self.exact = function.module.exact
        self.number_type = vector(DOUBLE, lanes)
        self.integer_type = vector(I64, lanes)
        self.mask_type = vector(I1, lanes)
        self._numbers = str(self.number_type)
        self._integers = str(self.integer_type)
        self._masks = str(self.mask_type)
        self._suffix = "f64" if lanes == 1 else f"v{lanes}f64"
        # contract: x * y + z may be one fused operation, where product and sum both have the flag.
        # All products have it, and `contracted_add` alone of the sums. Not nsz: zeros keep their
        # sign.
        self._contract = "" if strict or self.exact else "contract "

    # ---- numbers ------------------------------------------------------------------------------

    def constant(self, x: float) -> Name:
        """The number x in every lane."""
        name = self._splat("double", _hexadecimal(x))
        self.function.module.constants[name] = x
        return name

    def known(self, x: Name) -> float | None:
        """The number that a constant is; None for what is known only when the program runs."""
        return self.function.module.constants.get(x)

    def add(self, x: Name, y: Name) -> Name:
        """X + y."""
        return self._binary("fadd ", x, y)

    def contracted_add(self, x: Name, y: Name) -> Name:
        """X + y; in default mode products among the two need not be rounded before the sum is."""
        return self._binary(f"fadd {self._contract}", x, y)

    def accumulate(self, total: Name, x: Name, *, contract: bool = False) -> Name:
        """A running sum plus x; in default mode its terms may be added in any order."""
        if not self._contract:
            return self.add(total, x)
        # reassoc: on these additions alone. Elsewhere (t - s) - y must not become 0.
        return self._binary(f"fadd reassoc {self._contract if contract else ''}", total, x)

    def sub(self, x: Name, y: Name) -> Name:
        """X - y."""
        return self._binary("fsub ", x, y)

    def mul(self, x: Name, y: Name) -> Name:
        """X * y."""
        return self._binary(f"fmul {self._contract}", x, y)

    def div(self, x: Name, y: Name) -> Name:
        """X / y."""
        return self._binary("fdiv ", x, y)

    def neg(self, x: Name) -> Name:
        """-x."""
        return self.function.value(f"fneg {self._numbers} {x}")

    def abs(self, x: Name) -> Name:
        """|x|."""
        return self._intrinsic("fabs", x)

    def sqrt(self, x: Name) -> Name:
        """The square root, correctly rounded; nan below zero."""
        return self._intrinsic("sqrt", x)

    def round_even(self, x: Name) -> Name:
        """The nearest integer, the even one at a tie."""
        return self._intrinsic("roundeven", x)

    def floor(self, x: Name) -> Name:
        """The largest integer that is not above x."""
        return self._intrinsic("floor", x)

    def fma(self, x: Name, y: Name, z: Name) -> Name:
        """X * y + z, rounded once, on every machine (slow where the machine has no such thing)."""
        return self._intrinsic("fma", x, y, z)

    def muladd(self, x: Name, y: Name, z: Name) -> Name:
        """X * y + z, rounded once or twice, whichever is faster."""
        return self._intrinsic("fmuladd", x, y, z)

    # ---- comparisons and masks ----------------------------------------------------------------

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

    def not_finite(self, x: Name) -> Name:
        """The mask of the lanes that are nan or infinite."""
        name = f"llvm.is.fpclass.{self._suffix}"
        declaration = f"declare {self._masks} @{name}({self._numbers}, i32 immarg)"
        self.function.module.declare(name, declaration)
        return self.function.value(
            f"call {self._masks} @{name}({self._numbers} {x}, i32 {_NOT_FINITE})"
        )

    def has_bits(self, x: Name) -> Name:
        """The mask of the lanes whose number is not 0.0; it holds for -0.0."""
        bits = self.to_bits(x)
        return self.function.value(f"icmp ne {self._integers} {bits}, {self.integer_constant(0)}")

    def mask_constant(self, truth: bool) -> Name:
        """The mask that holds in every lane, or in none."""
        return self._splat("i1", "true" if truth else "false")

    def mask_and(self, m: Name, n: Name) -> Name:
        """The mask m and n."""
        return self.function.value(f"and {self._masks} {m}, {n}")

    def mask_or(self, m: Name, n: Name) -> Name:
        """The mask m or n."""
        return self.function.value(f"or {self._masks} {m}, {n}")

    def mask_not(self, m: Name) -> Name:
        """The mask not m."""
        return self.function.value(f"xor {self._masks} {m}, {self.mask_constant(True)}")

    def select(self, m: Name, x: Name, y: Name) -> Name:
        """The number x where the mask holds, else y."""
        if x == y:
            return x
        return self.function.value(
            f"select {self._masks} {m}, {self._numbers} {x}, {self._numbers} {y}"
        )

    def any(self, mask: Name) -> Name:
        """Whether the mask holds in some lane, as an `I1`."""
        if self.lanes == 1:
            return mask
        name = f"llvm.vector.reduce.or.v{self.lanes}i1"
        self.function.module.declare(name, f"declare i1 @{name}({self._masks})")
        return self.function.value(f"call i1 @{name}({self._masks} {mask})")

    # ---- integers, one a lane -----------------------------------------------------------------

    def to_bits(self, x: Name) -> Name:
        """The 64 bits of a number as an integer."""
        return self.function.value(f"bitcast {self._numbers} {x} to {self._integers}")

    def from_bits(self, i: Name) -> Name:
        """The number with these bits."""
        return self.function.value(f"bitcast {self._integers} {i} to {self._numbers}")

    def integer_constant(self, k: int) -> Name:
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
        return self._integer("shl", i, self.integer_constant(count))

    def shift_right(self, i: Name, count: int) -> Name:
        """The bits moved down, zeros moved in."""
        return self._integer("lshr", i, self.integer_constant(count))

    def is_odd(self, i: Name) -> Name:
        """The mask of the integers that are odd."""
        return self.function.value(f"trunc {self._integers} {i} to {self._masks}")

    def lanes_below(self, first: Index, count: Index) -> Name:
        """The mask of the lanes k for which first + k < count, of signed integers."""
        if self.lanes == 1:
            return self.function.icmp("lt", first, count)
        start = self._broadcast("i64", self._integers, first)
        end = self._broadcast("i64", self._integers, count)
        numbers = ", ".join(f"i64 {k}" for k in range(self.lanes))
        lane = self.function.value(f"add {self._integers} {start}, <{numbers}>")
        return self.function.value(f"icmp slt {self._integers} {lane}, {end}")

    # ---- lanes --------------------------------------------------------------------------------

    def lane(self, x: Name, k: int) -> Name:
        """The number in lane k."""
        if self.lanes == 1:
            return x
        return self.function.value(f"extractelement {self._numbers} {x}, i64 {k}")

    def join(self, numbers: Sequence[Name]) -> Name:
        """The vector of these numbers, one a lane."""
        if self.lanes == 1:
            return numbers[0]
        result = Name("poison")
        for k, x in enumerate(numbers):
            result = self.function.value(
                f"insertelement {self._numbers} {result}, double {x}, i64 {k}"
            )
        return result

    def broadcast(self, x: Name) -> Name:
        """One double in every lane."""
        return x if self.lanes == 1 else self._broadcast("double", self._numbers, x)

    def shuffle(self, x: Name, y: Name, lanes: Sequence[int]) -> Name:
        """The vector of chosen lanes of x (0, 1, ...) and y (from `self.lanes` on)."""
        chosen = ", ".join(f"i32 {k}" for k in lanes)
        pair = f"{self._numbers} {x}, {self._numbers} {y}"
        return self.function.value(f"shufflevector {pair}, <{len(lanes)} x i32> <{chosen}>")

    def horizontal_sum(self, x: Name) -> Name:
        """The sum of all lanes, added in any order."""
        if self.lanes == 1:
            return x
        name = f"llvm.vector.reduce.fadd.{self._suffix}"
        self.function.module.declare(name, f"declare double @{name}(double, {self._numbers})")
        # reassoc: the order of the sum is free. With one lane, as in exact mode, there is no sum.
        start = f"double {_hexadecimal(0.0)}"
        return self.function.value(f"call reassoc double @{name}({start}, {self._numbers} {x})")

    def horizontal_max(self, x: Name) -> Name:
        """The largest lane."""
        if self.lanes == 1:
            return x
        name = f"llvm.vector.reduce.fmax.{self._suffix}"
        self.function.module.declare(name, f"declare double @{name}({self._numbers})")
        return self.function.value(f"call double @{name}({self._numbers} {x})")

    # ---- memory -------------------------------------------------------------------------------

    def load(self, pointer: Name, *, align: int | None = None) -> Name:
        """The numbers at an address, which is a multiple of `align`: without, of their size."""
        return self.function.load(pointer, self.number_type, align=align)

    def store(self, x: Name, pointer: Name, *, align: int | None = None) -> None:
        """Write numbers to an address, which is aligned as for `load`."""
        self.function.store(x, pointer, self.number_type, align=align)

    # ---- the C library ------------------------------------------------------------------------

    def libm(self, name: str, *operands: Name) -> Name:
        """The C library's function of doubles of that name, lane by lane."""
        doubles = ", ".join(["double"] * len(operands))
        # memory(none), nounwind, willreturn: the result depends on the operands alone. The function
        # may set errno, which no generated code reads.
        # nobuiltin: LLVM must not fold pow(x, 2.0) into x * x, whose last bit can differ.
        attributes = "memory(none) nounwind willreturn nobuiltin"
        self.function.module.declare(name, f"declare double @{name}({doubles}) {attributes}")

        def scalar(*xs: Name) -> Name:
            given = ", ".join(f"double {x}" for x in xs)
            return self.function.value(f"call double @{name}({given})")

        return self.lane_by_lane(scalar, *operands)

    def libm_where(self, mask: Name, name: str, operands: Sequence[Name], otherwise: Name) -> Name:
        """The C library's function where the mask holds, `otherwise` elsewhere.

        It is a branch: where no lane's mask holds, nothing is called.
        """
        f = self.function
        before, rare, after = f.block, f.new_block("rare"), f.new_block("after")
        f.cond_br(self.any(mask), rare, after, unlikely=True)
        f.start(rare)
        chosen = self.select(mask, self.libm(name, *operands), otherwise)
        end = f.block
        f.br(after)
        f.start(after)
        return f.phi(self.number_type, [(otherwise, before), (chosen, end)])

    def lane_by_lane(self, scalar: Callable[..., Name], *operands: Name) -> Name:
        """Apply a function of doubles to the numbers of each lane."""
        if self.lanes == 1:
            return scalar(*operands)
        return self.join([scalar(*[self.lane(x, k) for x in operands]) for k in range(self.lanes)])

    # ---- text ---------------------------------------------------------------------------------

    def _splat(self, kind: str, text: str) -> Name:
        """A constant in every lane."""
        if self.lanes == 1:
            return Name(text)
        return Name(f"<{', '.join([f'{kind} {text}'] * self.lanes)}>")

    def _broadcast(self, kind: str, kinds: str, x: Index) -> Name:
        """A value in every lane."""
        first = self.function.value(f"insertelement {kinds} poison, {kind} {x}, i64 0")
        return self.function.value(
            f"shufflevector {kinds} {first}, {kinds} poison, <{self.lanes} x i32> zeroinitializer"
        )

    def _binary(self, instruction: str, x: Name, y: Name) -> Name:
        return self.function.value(f"{instruction}{self._numbers} {x}, {y}")

    def _integer(self, instruction: str, i: Name, j: Name) -> Name:
        return self.function.value(f"{instruction} {self._integers} {i}, {j}")

    def _compare(self, how: str, x: Name, y: Name) -> Name:
        return self.function.value(f"fcmp {how} {self._numbers} {x}, {y}")

    def _intrinsic(self, what: str, *operands: Name) -> Name:
        name = f"llvm.{what}.{self._suffix}"
        types = ", ".join([self._numbers] * len(operands))
        self.function.module.declare(name, f"declare {self._numbers} @{name}({types})")
        given = ", ".join(f"{self._numbers} {x}" for x in operands)
        return self.function.value(f"call {self._numbers} @{name}({given})")


def _hexadecimal(x: float) -> str:
    """A double as IR writes it: its bits.

    >>> _hexadecimal(1.0)
    '0x3FF0000000000000'
    """
    return f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"
