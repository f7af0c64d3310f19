"""The instruction builder: the text of small functions, and what they compute when compiled."""

import numpy as np
import pytest
from native_functions import NativeFunction

from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.types import DOUBLE, I1, I32, I64, PTR, VOID, Parameter, vector
from talweg.compiler.runtime import llvm
from talweg.errors import CompilerError

ONE = "0x3FF0000000000000"
"""1.0 as LLVM's text shows a double: its bits."""


def function_of(parameters, returns=VOID):
    """A function `f` of a new module; parameters as "x: double, n: i64"."""
    types = {str(t): t for t in (DOUBLE, I64, I1, PTR)}
    pairs = [part.split(": ") for part in parameters.split(", ")] if parameters else []
    return Module().function("f", [Parameter(name, types[t]) for name, t in pairs], returns)


def lines_of(function):
    return str(function).split("\n")


# ---- text ---------------------------------------------------------------------------------------


def test_the_sum_of_an_array():
    f = function_of("x: ptr, n: i64", DOUBLE)
    b = NumberBuilder(f, strict=True)
    total = f.alloca(DOUBLE, initial=b.constant(0.0))

    def add(i):
        x = f.load(f.gep(f.parameters["x"], i))
        f.store(b.add(f.load(total), x), total)

    f.for_range(f.parameters["n"], add)
    f.ret(f.load(total))
    assert str(f) == (
        "define double @f(ptr %x, i64 %n) {\n"
        "entry:\n"
        "  %.1 = alloca double, align 8\n"
        "  store double 0x0000000000000000, ptr %.1, align 8\n"
        "  br label %loop1\n"
        "loop1:\n"
        "  %i.loop1 = phi i64 [ 0, %entry ], [ %n.loop1, %next3 ]\n"
        "  %.2 = icmp slt i64 %i.loop1, %n\n"
        "  br i1 %.2, label %body2, label %after4\n"
        "body2:\n"
        "  %.3 = getelementptr inbounds double, ptr %x, i64 %i.loop1\n"
        "  %.4 = load double, ptr %.3, align 8\n"
        "  %.5 = load double, ptr %.1, align 8\n"
        "  %.6 = fadd double %.5, %.4\n"
        "  store double %.6, ptr %.1, align 8\n"
        "  br label %next3\n"
        "next3:\n"
        "  %n.loop1 = add nuw nsw i64 %i.loop1, 1\n"
        "  br label %loop1\n"
        "after4:\n"
        "  %.7 = load double, ptr %.1, align 8\n"
        "  ret double %.7\n"
        "}"
    )
    native, x = NativeFunction(f), np.array([0.5, 1.5, -4.0])
    assert [native(x, n) for n in (0, 1, 3)] == [0.0, 0.5, -2.0]


def test_the_larger_of_two_integers():
    f = function_of("i: i64, j: i64", I64)
    i, j = f.parameters.values()
    other, after = f.new_block("other"), f.new_block("after")
    f.cond_br(f.icmp("lt", i, j), other, after, unlikely=True)
    f.start(other)
    one_more = f.iadd(j, 1)
    f.br(after)
    f.start(after)
    f.ret(f.phi(I64, [(i, "entry"), (one_more, other)]))
    assert str(f.module) == (
        '!0 = !{!"branch_weights", i32 1, i32 2000}\n'
        "\n"
        "define i64 @f(i64 %i, i64 %j) {\n"
        "entry:\n"
        "  %.1 = icmp slt i64 %i, %j\n"
        "  br i1 %.1, label %other1, label %after2, !prof !0\n"
        "other1:\n"
        "  %.2 = add i64 %j, 1\n"
        "  br label %after2\n"
        "after2:\n"
        "  %.3 = phi i64 [ %i, %entry ], [ %.2, %other1 ]\n"
        "  ret i64 %.3\n"
        "}\n"
    )
    native = NativeFunction(f)
    assert [native(5, 3), native(3, 5), native(-9, -9)] == [5, 6, -9]


def test_the_first_line_of_a_function():
    module = Module()
    pointers = [
        Parameter("a", PTR, noalias=True, nocapture=True),
        Parameter("b", PTR, noalias=True),
        Parameter("n", I64),
    ]
    heads = [
        module.function("one", pointers),
        module.function("two", [], I1, internal=True),
        module.function("three", [], vector(DOUBLE, 4), internal=True, inline=True),
        module.function("four", [], internal=True, inline=False),
    ]
    assert [lines_of(f)[0] for f in heads] == [
        "define void @one(ptr noalias nocapture %a, ptr noalias %b, i64 %n) {",
        "define internal i1 @two() {",
        "define internal <4 x double> @three() alwaysinline {",
        "define internal void @four() noinline {",
    ]


def test_types():
    assert [
        str(t) for t in (VOID, DOUBLE, I64, I32, I1, PTR)
    ] == "void double i64 i32 i1 ptr".split()
    assert str(vector(DOUBLE, 8)) == "<8 x double>"
    assert vector(DOUBLE, 8).size == 64
    assert vector(I64, 1) is I64
    assert vector(I1, 4) is vector(I1, 4)


def test_accesses_are_aligned_to_the_size_of_the_type_unless_told_otherwise():
    f = function_of("p: ptr")
    p = f.parameters["p"]
    four = f.load(p, vector(DOUBLE, 4))
    f.store(four, p, vector(DOUBLE, 4))
    f.load(p, vector(DOUBLE, 4), align=8)
    f.store(four, p, vector(DOUBLE, 4), align=8)
    f.load(p, I32)
    f.load(p, PTR)
    f.load(p, vector(I1, 4))
    assert [line.split(", ")[-1] for line in lines_of(f)[2:-1]] == [
        "align 32", "align 32", "align 8", "align 8", "align 4", "align 8", "ptr %p",
    ]  # fmt: skip


def test_memory_on_the_stack_is_allocated_and_filled_at_the_start():
    f = function_of("x: double")
    f.load(f.alloca(DOUBLE))
    f.alloca(DOUBLE, 10, align=64)
    f.alloca(vector(DOUBLE, 2), initial=NumberBuilder(f, 2).constant(1.0))
    assert lines_of(f)[1:-1] == [
        "entry:",
        "  %.1 = alloca double, align 8",
        "  %.3 = alloca [10 x double], align 64",
        "  %.4 = alloca <2 x double>, align 16",
        f"  store <2 x double> <double {ONE}, double {ONE}>, ptr %.4, align 16",
        "  %.2 = load double, ptr %.1, align 8",
    ]


def test_the_address_of_the_first_element_is_the_pointer_itself():
    f = function_of("p: ptr")
    p = f.parameters["p"]
    assert f.gep(p, 0) == f.byte_offset(p, 0) == f.gep(p, f.i64(0), I64) == p
    assert len(f) == 0


def test_a_declaration_is_written_once():
    f = function_of("p: ptr")
    for _ in range(3):
        f.memset(f.parameters["p"], 8)
    assert str(f.module).count("declare") == 1


# ---- memory -------------------------------------------------------------------------------------


def test_memset_and_memmove():
    f = function_of("x: ptr, y: ptr, n: i64")
    x, y, n = f.parameters.values()
    f.memmove(y, x, f.imul(n, 8))
    f.memset(x, 24)
    f.memmove(f.gep(y, 1), y, f.imul(f.isub(n, 1), 8))
    f.ret()
    x, y = np.arange(1.0, 6.0), np.zeros(5)
    NativeFunction(f)(x, y, 5)
    assert x.tolist() == [0.0, 0.0, 0.0, 4.0, 5.0]
    assert y.tolist() == [1.0, 1.0, 2.0, 3.0, 4.0]


def test_addresses_of_elements_and_of_bytes():
    f = function_of("p: ptr, k: i64", I64)
    p, k = f.parameters.values()
    of_i32 = f.i64_from_i32(f.load(f.gep(p, k, I32), I32))
    of_i64 = f.load(f.byte_offset(p, 16), I64)
    f.ret(f.iadd(f.imul(of_i64, 1000), of_i32))
    numbers = np.array([7, -8, 9, 10, 11, 0], np.int32)
    assert NativeFunction(f)(numbers, 1) == 11 * 1000 - 8


def test_pointers_are_stored_and_loaded():
    f = function_of("table: ptr, k: i64", DOUBLE)
    table, k = f.parameters.values()
    now = f.alloca(PTR)
    f.store(f.load(f.gep(table, k, PTR), PTR), now, PTR)
    f.ret(f.load(f.load(now, PTR)))
    arrays = [np.array([1.5]), np.array([2.5])]
    table = np.array([a.ctypes.data for a in arrays], np.int64)
    assert [NativeFunction(f)(table, k) for k in (0, 1)] == [1.5, 2.5]


# ---- integers -----------------------------------------------------------------------------------

INTEGERS = {
    "iadd": lambda i, j: i + j,
    "isub": lambda i, j: i - j,
    "imul": lambda i, j: i * j,
    "isdiv": lambda i, j: int(i / j),
    "irem": lambda i, j: i - j * int(i / j),
}
PAIRS = [(7, 2), (-7, 2), (7, -2), (-7, -2), (0, 5), (5, 5)]


@pytest.mark.parametrize("name", INTEGERS)
def test_arithmetic_of_integers(name):
    f = function_of("i: i64, j: i64", I64)
    f.ret(getattr(f, name)(*f.parameters.values()))
    native = NativeFunction(f)
    assert [native(*pair) for pair in PAIRS] == [INTEGERS[name](*pair) for pair in PAIRS]


COMPARISONS = {
    "lt": int.__lt__, "le": int.__le__, "gt": int.__gt__,
    "ge": int.__ge__, "eq": int.__eq__, "ne": int.__ne__,
}  # fmt: skip


@pytest.mark.parametrize("how", COMPARISONS)
def test_comparisons_of_integers(how):
    f = function_of("i: i64, j: i64", I64)
    i, j = f.parameters.values()
    f.ret(f.iselect(f.icmp(how, i, j), f.iadd(i, 100), -1))
    native = NativeFunction(f)
    expected = [i + 100 if COMPARISONS[how](i, j) else -1 for i, j in PAIRS]
    assert [native(*pair) for pair in PAIRS] == expected


def test_conversions_between_integers_and_doubles():
    f = function_of("x: double", DOUBLE)
    integer = f.i64_from_double(f.parameters["x"])
    f.ret(f.double_from_i64(f.imul(integer, 2)))
    assert [NativeFunction(f)(x) for x in (2.75, -2.75, 0.5)] == [4.0, -4.0, 0.0]


# ---- control flow -------------------------------------------------------------------------------


def counting(count, condition=None):
    """A function of n that counts the iterations of a loop; `count` is given the function."""
    f = function_of("n: i64", I64)
    done = f.alloca(I64, initial=f.i64(0))
    f.for_range(
        count(f),
        lambda i: f.store(f.iadd(f.load(done, I64), 1), done, I64),
        condition=condition and (lambda i: condition(f, i)),
    )
    f.ret(f.load(done, I64))
    return f


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_a_loop_of_a_known_number_of_iterations(count):
    f = counting(lambda f: count)
    assert NativeFunction(f)(99) == count
    assert ("phi" in str(f)) == (count != 1)


def test_a_loop_of_a_number_of_iterations_that_is_computed():
    f = counting(lambda f: f.imul(f.parameters["n"], 3))
    assert [NativeFunction(f)(n) for n in (0, 1, 5)] == [0, 3, 15]


def test_a_loop_that_stops_where_a_condition_fails():
    f = counting(lambda f: 10, lambda f, i: f.icmp("lt", f.imul(i, i), f.parameters["n"]))
    assert [NativeFunction(f)(n) for n in (0, 1, 10, 81, 1000)] == [0, 1, 4, 9, 10]


def test_loops_in_a_loop_and_blocks_in_its_body():
    f = function_of("n: i64", I64)
    n = f.parameters["n"]
    total = f.alloca(I64, initial=f.i64(0))

    def outer(i):
        odd, after = f.new_block("odd"), f.new_block("after")
        f.cond_br(f.icmp("ne", f.irem(i, 2), 0), odd, after)
        f.start(odd)
        f.for_range(i, lambda j: f.store(f.iadd(f.load(total, I64), j), total, I64))
        f.br(after)
        f.start(after)

    f.for_range(n, outer)
    f.ret(f.load(total, I64))
    expected = [sum(j for i in range(n) for j in range(i) if i % 2) for n in range(9)]
    assert [NativeFunction(f)(n) for n in range(9)] == expected


def test_a_branch_out_of_a_loop():
    f = function_of("x: ptr, n: i64", I64)
    x, n = f.parameters.values()
    found = f.new_block("found")

    def compare(i):
        further = f.new_block("further")
        f.cond_br(f.icmp("eq", f.load(f.gep(x, i, I64), I64), 0), found, further)
        f.start(further)
        f.store(i, f.gep(x, i, I64), I64)

    f.for_range(n, compare)
    f.ret(f.i64(-1))
    f.start(found)
    f.ret(f.i64(-2))
    numbers = np.array([5, 6, 0, 7])
    native = NativeFunction(f)
    assert [native(numbers, 2), native(numbers[1:], 2)] == [-1, -2]
    assert numbers.tolist() == [0, 0, 0, 7]


def test_a_switch():
    f = function_of("p: ptr", I64)
    blocks = [f.new_block(name) for name in "abc"]
    otherwise = f.new_block("otherwise")
    f.switch(f.load(f.parameters["p"], I32), blocks, otherwise)
    for k, block in enumerate([*blocks, otherwise]):
        f.start(block)
        f.ret(f.i64(10 * k))
    native = NativeFunction(f)
    assert [native(np.array([k], np.int32)) for k in (0, 1, 2, 3, -1)] == [0, 10, 20, 30, 30]


# ---- functions ----------------------------------------------------------------------------------


def test_functions_that_call_each_other():
    module = Module()
    f = module.function("f", [Parameter("n", I64)], I64)
    square = module.function("square", [Parameter("i", I64)], I64, internal=True)
    note = module.function("note", [Parameter("p", PTR), Parameter("i", I64)], internal=True)
    place = f.alloca(I64)
    f.call(note, place, f.call(square, f.parameters["n"]))
    f.ret(f.iadd(f.load(place, I64), f.call(square, 3)))
    square.ret(square.imul(square.parameters["i"], square.parameters["i"]))
    note.store(note.parameters["i"], note.parameters["p"], I64)
    note.ret()
    assert "  call void @note(ptr %.1, i64 %.2)" in lines_of(f)
    native = NativeFunction(f)
    assert native(5) == 34
    assert native.library.functions == ("f",)  # the others are internal


def test_a_call_with_too_few_arguments_is_refused():
    module = Module()
    f = module.function("f", [Parameter("n", I64)])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        f.call(f)


def test_a_function_that_is_discarded_is_not_in_the_module():
    module = Module()
    f = module.function("f", [])
    f.ret()
    module.discard(module.function("g", []))
    assert "@g" not in str(module)
    assert llvm.compile(str(module)).functions == ("f",)


def test_a_function_without_end_is_refused_by_llvm():
    f = function_of("n: i64", I64)
    f.iadd(f.parameters["n"], 1)
    with pytest.raises(CompilerError):
        llvm.compile(str(f.module))
