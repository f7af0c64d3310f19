"""The native functions of a traced program: `value` and `gradient`.

Both take one pointer, to a table of pointers: to the numbers of each space, to the outputs,
to the derivatives, and to memory to work in (`TABLE`). They keep nothing between calls.

Start reading at `kernels`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from talweg.compiler.codegen.builder import Function, Module, Name
from talweg.compiler.codegen.lower import Body, Layout
from talweg.compiler.ir.loop_program import Affine
from talweg.compiler.ir.scheduled_program import Element, ScheduledProgram

TABLE = ("w", "x", "c", "out", "cotangents", "dw", "dx", "work")
"""What the pointers in the table point to."""

_SMALL = 4096
"""Arrays of at most so many numbers in all lie on the stack, where LLVM can make registers
of them."""


def kernels(code: ScheduledProgram, exact: bool) -> str:
    """The IR of `value` and `gradient`.

    Args:
        code: the scheduled program.
        exact: whether every bit must be that of the eager engine.

    Returns:
        The text of a module with the two functions. `value` computes the outputs;
        `gradient` does too, and adds to the derivatives in `dw` and `dx`.
    """
    module = Module(exact)
    _kernel(module, "value", code, backward=False)
    _kernel(module, "gradient", code, backward=True)
    return str(module)


def work_size(code: ScheduledProgram) -> int:
    """How many numbers the memory to work in must hold."""
    return 0 if _on_stack(code) else sum(map(padded, code.arrays.values()))


def _on_stack(code: ScheduledProgram) -> bool:
    return sum(code.arrays.values()) <= _SMALL


def padded(size: int) -> int:
    """Sizes are rounded up to whole cache lines."""
    return -(-size // 8) * 8


def _kernel(module: Module, name: str, code: ScheduledProgram, backward: bool) -> None:
    """A function that fetches the pointers, and one that gets them, known to be apart."""
    arrays = {} if _on_stack(code) else dict(code.arrays)
    shell = Function(module, f"define void @{name}(ptr %table)")
    given = [pointer_at(shell, "%table", k) for k in range(len(TABLE))]
    offset = 0
    for size in arrays.values():
        given.append(byte_offset(shell, given[TABLE.index("work")], 8 * offset))
        offset += padded(size)
    shell.put(f"call void @{name}.body({', '.join('ptr ' + x for x in given)})")
    shell.put("ret void")
    names = [*TABLE, *arrays]
    # noalias: the arrays of a `Memory` are apart. nocapture: no pointer is stored or returned.
    head = ", ".join(f"ptr noalias nocapture %{x}" for x in names)
    body = Function(module, f"define internal void @{name}.body({head})")
    pointers = {x: f"%{x}" for x in names}
    whole = [*code.forward, *(code.backward if backward else ())]
    layout = Layout(with_arrays(body, code, pointers))
    _write(Body(body, layout, not module.exact, whole), code, backward)
    body.put("ret void")


def with_arrays(
    function: Function, code: ScheduledProgram, pointers: Mapping[str, Name], samples: int = 1
) -> dict[str, Name]:
    """The pointers to all arrays; those that have none yet are put on the stack."""
    stacked = {
        name: function.allocate(f"[{size * samples} x double]", 64)
        for name, size in code.arrays.items()
        if name not in pointers
    }
    return {**pointers, **stacked}


def pointer_at(function: Function, table: Name, k: int) -> Name:
    """The k-th pointer of a table."""
    return function.new(f"load ptr, ptr {byte_offset(function, table, 8 * k)}")


def byte_offset(function: Function, pointer: Name, by: int) -> Name:
    """A pointer so many bytes further."""
    # inbounds: the arrays of a `Memory` are one piece, and no offset leads out of it.
    return function.new(f"getelementptr inbounds i8, ptr {pointer}, i64 {by}") if by else pointer


def counted(f: Function, count: Name, body: Callable[[Name], None]) -> None:
    """A loop: `count` times the body, which is given the number of the iteration."""
    before, head = f.block, f.label("loop")
    inside, latch, after = f.label("body"), f.label("next"), f.label("after")
    f.put(f"br label %{head}")
    f.start(head)
    f.put(f"%i.{head} = phi i64 [ 0, %{before} ], [ %n.{head}, %{latch} ]")
    more = f.new(f"icmp slt i64 %i.{head}, {count}")
    f.put(f"br i1 {more}, label %{inside}, label %{after}")
    f.start(inside)
    body(f"%i.{head}")
    f.put(f"br label %{latch}")
    f.start(latch)
    # nuw, nsw: i is at least 0 and below the count.
    f.put(f"%n.{head} = add nuw nsw i64 %i.{head}, 1")
    f.put(f"br label %{head}")
    f.start(after)


def _write(body: Body, code: ScheduledProgram, backward: bool) -> None:
    copy = body.copies[0]
    body.statements(code.forward, body.copies)
    for k, place in enumerate(code.outputs):
        body.write(Element("out", Affine(k)), body.read(place, copy), copy)
    if not backward:
        return
    clear(body, code)
    for k, target in enumerate(code.cotangents):
        if target is not None:
            body.add(target, body.read(Element("cotangents", Affine(k)), copy), copy)
    body.statements(code.backward, body.copies)


def clear(body: Body, code: ScheduledProgram) -> None:
    """Set the arrays that collect derivatives of results to zero."""
    function, layout = body.function, body.layout
    name = "llvm.memset.p0.i64"
    function.module.declare(name, f"declare void @{name}(ptr, i8, i64, i1)")
    for array, size in code.arrays.items():
        if array.startswith("d"):
            count = size * layout.blocks * body.size
            pointer = layout.pointers[array]
            function.put(f"call void @{name}(ptr align 64 {pointer}, i8 0, i64 {count}, i1 false)")
