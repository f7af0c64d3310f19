"""The instruction builder: functions, control flow, memory and integers of a native program.

    module = Module()
    function = module.function("sum", [Parameter("x", PTR), Parameter("n", I64)])

A `Module` is a set of functions. A `FunctionBuilder` appends instructions to one function: `gep`
computes addresses, `load` and `store` access memory, `iadd` and its neighbours compute with 64-bit
integers, `for_range` and `cond_br` control what runs, `call` and `ret` connect functions.
`number_builder.py` adds the instructions on floating-point numbers, several lanes at a time, and
`types.py` has the types.

Values (`Name`), basic blocks (`Block`) and types (`Type`) are opaque: no caller creates or inspects
their text. The two builders alone contain instructions of LLVM IR; another target, such as
WebAssembly, provides the same methods.

Start reading at `FunctionBuilder`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, NewType, TypeAlias

from talweg.compiler.codegen.inlining import inlined_functions
from talweg.compiler.codegen.types import DOUBLE, VOID, Parameter, Type
from talweg.compiler.intrinsics.builder_protocol import Name

Block = NewType("Block", str)
"""A basic block: instructions that run one after the other, ended by a branch or a return."""

Index: TypeAlias = Name | int
"""A 64-bit integer: a value of the program, or a constant known while the program is built."""

Comparison = Literal["lt", "le", "gt", "ge", "eq", "ne"]
"""A comparison of signed integers."""

_CONDITIONS = {"lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge", "eq": "eq", "ne": "ne"}


class Module:
    """The functions of a native program.

    Attributes:
        exact: whether every operation gives the bits of the eager engine.
        functions: in the order of their creation.
        constants: the numeric constants that occur, by their value in the program.
        outlined: functions that operations were compiled to, by operation and operands; None for
            an operation that is too short for a function. Kept by `operations.py`.
        variants: how many of them contain constants, by operation and lanes.
    """

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact
        self.functions: list[FunctionBuilder] = []
        self.constants: dict[Name, float] = {}
        self.outlined: dict[Hashable, FunctionBuilder | None] = {}
        self.variants: Counter[Hashable] = Counter()
        self._declarations: dict[str, str] = {}

    def function(
        self,
        name: str,
        parameters: Sequence[Parameter],
        returns: Type = VOID,
        *,
        internal: bool = False,
        inline: bool | None = None,
    ) -> FunctionBuilder:
        """Define a function.

        Args:
            name: its name, by which the process finds it unless it is internal.
            parameters: its parameters, in order.
            returns: the type of its result.
            internal: whether only functions of this module call it.
            inline: whether calls are replaced by its body: unless the program becomes too long
                by it (see `inlining.py`), never, or (None) where the optimiser expects a gain.
        """
        function = FunctionBuilder(self, name, parameters, returns, internal, inline)
        self.functions.append(function)
        return function

    def discard(self, function: FunctionBuilder) -> None:
        """Remove a function that is not called."""
        self.functions.remove(function)

    def declare(self, name: str, text: str) -> None:
        """Declare what is defined elsewhere, once. For the builders only: `text` is LLVM's."""
        self._declarations[name] = text

    def __str__(self) -> str:
        inlined = inlined_functions(self.functions)
        functions = [f.text(f in inlined if f.inline else f.inline) for f in self.functions]
        parts = ["\n".join(self._declarations.values()), *functions]
        return "\n\n".join(part for part in parts if part) + "\n"


class FunctionBuilder:
    """Appends instructions to the current block of a function.

    Attributes:
        module: the program that the function belongs to.
        name: the function's name.
        parameters: the values of its parameters, by their names.
        types: the types of its parameters.
        returns: the type of its result.
        inline: whether calls of it are replaced by its body, see `Module.function`.
        calls: how many calls of each function of the module it has.
        block: the current block.
    """

    def __init__(
        self,
        module: Module,
        name: str,
        parameters: Sequence[Parameter],
        returns: Type = VOID,
        internal: bool = False,
        inline: bool | None = None,
    ) -> None:
        self.module = module
        self.name = name
        self.returns = returns
        self.parameters = {p.name: Name(f"%{p.name}") for p in parameters}
        self.block = Block("entry")
        self.types = [p.type for p in parameters]
        self.inline = inline
        self.calls: Counter[FunctionBuilder] = Counter()
        self._head = _definition(name, parameters, returns, internal)
        self._at_entry: list[str] = []
        self._lines: list[str] = []
        self._values = 0
        self._blocks = 0

    def __str__(self) -> str:
        return self.text(self.inline)

    def text(self, inline: bool | None) -> str:
        """The function, whose calls are replaced by its body always, never or (None) perhaps."""
        how = "" if inline is None else " alwaysinline" if inline else " noinline"
        body = "\n".join(["entry:", *self._at_entry, *self._lines])
        return f"{self._head}{how} {{\n{body}\n}}"

    def __len__(self) -> int:
        """How many instructions the function has."""
        return len(self._lines)

    # ---- text: for the builders only ------------------------------------------------------------

    def value(self, instruction: str) -> Name:
        """Append an instruction with a result."""
        self._values += 1
        name = Name(f"%.{self._values}")
        self._lines.append(f"  {name} = {instruction}")
        return name

    def effect(self, instruction: str) -> None:
        """Append an instruction without result."""
        self._lines.append(f"  {instruction}")

    # ---- memory ---------------------------------------------------------------------------------

    def alloca(
        self, of: Type, count: int = 1, *, align: int = 8, initial: Name | None = None
    ) -> Name:
        """The address of memory on the stack, valid until the function returns.

        Args:
            of: the type of an element.
            count: how many elements.
            align: the least alignment of the address, in bytes.
            initial: what the first element holds when the function starts.
        """
        self._values += 1
        name = Name(f"%.{self._values}")
        room = f"[{count} x {of}]" if count > 1 else str(of)
        self._at_entry.append(f"  {name} = alloca {room}, align {max(align, of.size)}")
        if initial is not None:
            self._at_entry.append(f"  {_store(initial, name, of)}")
        return name

    def gep(self, pointer: Name, index: Index, of: Type = DOUBLE) -> Name:
        """The address of element `index` of an array.

        The optimiser assumes that the address lies within the array that `pointer` points into, or
        just behind its end (`inbounds`). An index with a negative part therefore enters as one sum:
        an address in between, such as that of element -8 * i, may lie before the array.
        """
        if str(index) == "0":
            return pointer
        return self.value(f"getelementptr inbounds {of}, ptr {pointer}, i64 {index}")

    def byte_offset(self, pointer: Name, offset: Index) -> Name:
        """The address `offset` bytes behind a pointer, within the same array as for `gep`."""
        if str(offset) == "0":
            return pointer
        return self.value(f"getelementptr inbounds i8, ptr {pointer}, i64 {offset}")

    def load(self, pointer: Name, of: Type = DOUBLE, *, align: int | None = None) -> Name:
        """The value at an address, which is a multiple of `align`: without, of the type's size."""
        return self.value(f"load {of}, ptr {pointer}{_aligned(of, align)}")

    def store(self, x: Name, pointer: Name, of: Type = DOUBLE, *, align: int | None = None) -> None:
        """Write a value to an address, which is aligned as for `load`."""
        self.effect(_store(x, pointer, of, align))

    def memset(self, pointer: Name, size: Index, *, align: int = 8) -> None:
        """Set `size` bytes to zero.

        Args:
            pointer: the address of the first byte.
            size: how many bytes.
            align: a power of two of which the address is known to be a multiple.
        """
        name = "llvm.memset.p0.i64"
        self.module.declare(name, f"declare void @{name}(ptr, i8, i64, i1)")
        self.effect(f"call void @{name}(ptr align {align} {pointer}, i8 0, i64 {size}, i1 false)")

    def memmove(self, to: Name, source: Name, size: Index, *, align: int = 8) -> None:
        """Copy `size` bytes between addresses that are aligned to `align`.

        Source and destination may overlap, or be the same.
        """
        name = "llvm.memmove.p0.p0.i64"
        self.module.declare(name, f"declare void @{name}(ptr, ptr, i64, i1)")
        given = f"ptr align {align} {to}, ptr align {align} {source}, i64 {size}, i1 false"
        self.effect(f"call void @{name}({given})")

    # ---- 64-bit integers ------------------------------------------------------------------------

    def i64(self, k: int) -> Name:
        """The integer k as a value."""
        return Name(str(k))

    def iadd(self, i: Index, j: Index) -> Name:
        """I + j, modulo 2**64."""
        return self.value(f"add i64 {i}, {j}")

    def isub(self, i: Index, j: Index) -> Name:
        """I - j, modulo 2**64."""
        return self.value(f"sub i64 {i}, {j}")

    def imul(self, i: Index, j: Index) -> Name:
        """I * j, modulo 2**64."""
        return self.value(f"mul i64 {i}, {j}")

    def isdiv(self, i: Index, j: Index) -> Name:
        """I / j of signed integers, rounded towards zero."""
        return self.value(f"sdiv i64 {i}, {j}")

    def irem(self, i: Index, j: Index) -> Name:
        """The remainder of `isdiv`: i - j * (i / j)."""
        return self.value(f"srem i64 {i}, {j}")

    def icmp(self, how: Comparison, i: Index, j: Index) -> Name:
        """Whether signed integers compare so, as an `I1`."""
        return self.value(f"icmp {_CONDITIONS[how]} i64 {i}, {j}")

    def iselect(self, condition: Name, i: Index, j: Index) -> Name:
        """I where the condition holds, else j."""
        return self.value(f"select i1 {condition}, i64 {i}, i64 {j}")

    def i64_from_i32(self, i: Name) -> Name:
        """A signed 32-bit integer as one of 64 bits."""
        return self.value(f"sext i32 {i} to i64")

    def i64_from_double(self, x: Name) -> Name:
        """A double without its fraction; it must fit into 64 bits, else the result is undefined."""
        return self.value(f"fptosi double {x} to i64")

    def double_from_i64(self, i: Index) -> Name:
        """The double nearest to a signed integer."""
        return self.value(f"sitofp i64 {i} to double")

    # ---- control flow ---------------------------------------------------------------------------

    def new_block(self, what: str) -> Block:
        """A new block, which is empty until `start`; `what` makes the text readable."""
        self._blocks += 1
        return Block(f"{what}{self._blocks}")

    def start(self, block: Block) -> None:
        """Append to a block from here on. The current one must end with a branch or a return."""
        self._lines.append(f"{block}:")
        self.block = block

    def br(self, block: Block) -> None:
        """Continue with a block."""
        self.effect(f"br label %{block}")

    def cond_br(self, condition: Name, yes: Block, no: Block, *, unlikely: bool = False) -> None:
        """Continue with one of two blocks.

        Args:
            condition: an `I1`.
            yes: the block where it holds.
            no: the block where it does not.
            unlikely: whether the condition hardly ever holds.
        """
        weights = ", !prof !0" if unlikely else ""
        if unlikely:
            self.module.declare("!0", '!0 = !{!"branch_weights", i32 1, i32 2000}')
        self.effect(f"br i1 {condition}, label %{yes}, label %{no}{weights}")

    def switch(self, which: Name, blocks: Sequence[Block], otherwise: Block) -> None:
        """Continue with block number `which`, an `I32`."""
        cases = " ".join(f"i32 {k}, label %{block}" for k, block in enumerate(blocks))
        self.effect(f"switch i32 {which}, label %{otherwise} [ {cases} ]")

    def phi(self, of: Type, incoming: Sequence[tuple[Name, Block]]) -> Name:
        """The value that belongs to the block from which the current one was entered.

        It must be among the first instructions of its block.
        """
        pairs = ", ".join(f"[ {x}, %{block} ]" for x, block in incoming)
        return self.value(f"phi {of} {pairs}")

    def for_range(
        self,
        count: Index,
        body: Callable[[Name], None],
        *,
        condition: Callable[[Name], Name] | None = None,
    ) -> None:
        """A counted loop: the body with i = 0, 1, ..., count - 1.

        The body may create blocks, and branch out of the loop; where it returns, the loop goes on.
        A loop that is known to run once is the body alone, with i = 0.

        Args:
            count: how often; not negative.
            body: appends the instructions of iteration i.
            condition: appends instructions that decide, as an `I1`, whether iteration i takes
                place; where it does not, the loop stops.
        """
        if count == 1 and condition is None:
            body(self.i64(0))
            return
        before, head = self.block, self.new_block("loop")
        inside, latch = self.new_block("body"), self.new_block("next")
        after = self.new_block("after")
        i, following = Name(f"%i.{head}"), Name(f"%n.{head}")
        self.br(head)
        self.start(head)
        self.effect(f"{i} = phi i64 [ 0, %{before} ], [ {following}, %{latch} ]")
        more = self.icmp("lt", i, count)
        if condition is not None:
            more = self.value(f"and i1 {more}, {condition(i)}")
        self.cond_br(more, inside, after)
        self.start(inside)
        body(i)
        self.br(latch)
        self.start(latch)
        # nuw, nsw: i is at least 0 and below the count, which has 63 bits.
        self.effect(f"{following} = add nuw nsw i64 {i}, 1")
        self.br(head)
        self.start(after)

    # ---- functions ------------------------------------------------------------------------------

    def call(self, function: FunctionBuilder, *arguments: Index) -> Name:
        """Call a function of the module; the result is no value if that returns nothing."""
        self.calls[function] += 1
        given = ", ".join(f"{t} {x}" for t, x in zip(function.types, arguments, strict=True))
        text = f"call {function.returns} @{function.name}({given})"
        if function.returns is not VOID:
            return self.value(text)
        self.effect(text)
        return Name("")

    def ret(self, x: Name | None = None) -> None:
        """Return, with a value unless the function returns nothing."""
        self.effect("ret void" if x is None else f"ret {self.returns} {x}")


def _definition(name: str, parameters: Sequence[Parameter], returns: Type, internal: bool) -> str:
    """The first line of a function, without its attributes."""
    listed = []
    for p in parameters:
        flags = " noalias" * p.noalias + " nocapture" * p.nocapture
        listed.append(f"{p.type}{flags} %{p.name}")
    linkage = "internal " if internal else ""
    return f"define {linkage}{returns} @{name}({', '.join(listed)})"


def _store(x: Name, pointer: Name, of: Type, align: int | None = None) -> str:
    return f"store {of} {x}, ptr {pointer}{_aligned(of, align)}"


def _aligned(of: Type, align: int | None) -> str:
    align = align or of.size
    return f", align {align}" if align else ""
