"""Machine code: it runs, it uses the registers of the computer, and errors are one line."""

import ast
import ctypes
import gc
import math
import os
import random
import re
import sys
import threading
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from small_programs import DOUBLE, scalar, times

import talweg
from talweg.compiler.runtime import llvm
from talweg.errors import ArgumentError, CompilerError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
X86 = pytest.mark.skipif(
    not llvm.target().triple.startswith("x86_64"), reason="instructions of x86-64"
)

FMA = """
declare <8 x double> @llvm.fma.v8f64(<8 x double>, <8 x double>, <8 x double>)
define void @f(ptr %p, ptr %q) {
  %a = load <8 x double>, ptr %p, align 8
  %b = load <8 x double>, ptr %q, align 8
  %c = call <8 x double> @llvm.fma.v8f64(<8 x double> %a, <8 x double> %b, <8 x double> %a)
  store <8 x double> %c, ptr %q, align 8
  ret void
}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Each test has a cache of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TALWEG_CACHE_DIR", str(folder))
    return folder


def entries(folder):
    return sorted(os.listdir(folder))  # noqa: PTH208 - names with a leading dot as well


# ---- code that runs ------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_compiled_functions_run(level):
    library = llvm.compile(
        "define internal fastcc double @square(double %x) noinline {\n"
        "  %y = fmul double %x, %x\n"
        "  ret double %y\n}\n"
        "@table = private constant [2 x double] [double 0.5, double 8.0]\n"
        "@count = internal global i64 0\n"
        'define dso_local double @"with table"(double %x) nounwind {\n'
        "  %p = getelementptr double, ptr @table, i64 1\n"
        "  %t = load double, ptr %p\n"
        "  %s = call fastcc double @square(double %x)\n"
        "  %y = fadd double %s, %t\n"
        "  ret double %y\n}\n"
        "define i64 @next() {\n"
        "  %n = load i64, ptr @count\n"
        "  %m = add i64 %n, 1\n"
        "  store i64 %m, ptr @count\n"
        "  ret i64 %m\n}\n",
        level,
    )
    assert library.functions == ("with table", "next")  # not the internal one
    assert scalar(library, "with table")(3.0) == 17.0
    count = ctypes.CFUNCTYPE(ctypes.c_int64)(library.address("next"))
    assert [count() for _ in range(3)] == [1, 2, 3]


def test_vectors_wider_than_the_registers_run():
    library = llvm.compile(FMA)
    a = np.arange(8.0)
    b = a[::-1] + 0.5
    expected = a * b + a  # exact: all are small multiples of a half
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(library.address("f"))
    run(a.ctypes.data, b.ctypes.data)
    assert b.tolist() == expected.tolist()


# The interval of arguments for each function of libm; with the intrinsic that may stand for it.
LIBM = {
    "tanh": (-5, 5),
    "exp": (-700, 700),
    "expm1": (-2, 2),
    "log": (1e-300, 1e3),
    "log1p": (-0.999, 10),
    "log2": (1e-300, 1e3),
    "sin": (-1e3, 1e3),
    "cos": (-1e3, 1e3),
    "tan": (-10, 10),
    "atan": (-10, 10),
    "sqrt": (0, 1e300),
    "erf": (-3, 3),
}
INTRINSICS = ["exp", "log", "log2", "sin", "cos", "sqrt"]


@pytest.mark.parametrize(
    ("name", "symbol"),
    [(name, name) for name in LIBM] + [(name, f"llvm.{name}.f64") for name in INTRINSICS],
)
def test_functions_of_libm_have_the_bits_of_python(name, symbol):
    library = llvm.compile(
        f"declare double @{symbol}(double)\n"
        f"define double @f(double %x) {{ %y = call double @{symbol}(double %x) ret double %y }}"
    )
    function, oracle = scalar(library), getattr(math, name)
    rng = random.Random(name)
    xs = [rng.uniform(*LIBM[name]) for _ in range(1000)]
    assert [function(x).hex() for x in xs] == [oracle(x).hex() for x in xs]


@pytest.mark.parametrize("name", LIBM)
def test_constants_that_llvm_folds_have_the_same_bits(name):
    rng = random.Random(name)
    xs = [rng.uniform(*LIBM[name]) for _ in range(20)]
    library = llvm.compile(
        f"declare double @{name}(double)\n"
        + "".join(
            f"define double @f{i}() {{ %y = call double @{name}(double "
            f"0x{np.float64(x).view(np.uint64):016X}) ret double %y }}\n"
            for i, x in enumerate(xs)
        )
    )
    found = [scalar(library, f"f{i}", 0)() for i in range(len(xs))]
    assert [y.hex() for y in found] == [getattr(math, name)(x).hex() for x in xs]


def test_powers_have_the_bits_of_python():
    library = llvm.compile(
        "declare double @pow(double, double)\n"
        "define double @f(double %x, double %y) "
        "{ %z = call double @pow(double %x, double %y) ret double %z }"
    )
    power, rng = scalar(library, arity=2), random.Random(1)
    pairs = [(rng.uniform(0, 20), rng.uniform(-9, 9)) for _ in range(1000)]
    assert [power(*p).hex() for p in pairs] == [math.pow(*p).hex() for p in pairs]


@pytest.mark.parametrize("symbol", ["fma", "llvm.fma.f64"])
def test_multiply_add_rounds_once(symbol):
    library = llvm.compile(
        f"declare double @{symbol}(double, double, double)\n"
        "define double @f(double %x, double %y, double %z) "
        f"{{ %r = call double @{symbol}(double %x, double %y, double %z) ret double %r }}"
    )
    fma, rng = scalar(library, arity=3), random.Random(2)
    for _ in range(1000):
        x, y = rng.uniform(-9, 9), rng.uniform(-9, 9)
        z = -x * y + rng.choice([0.0, 1e-9, 3.0])  # the error of the product is what remains
        assert fma(x, y, z) == float(Fraction(x) * Fraction(y) + Fraction(z))


def test_the_linker_for_windows_runs_the_same_code(monkeypatch):
    monkeypatch.setattr(llvm, "_JITLINK", False)
    monkeypatch.setattr(llvm, "_MODEL", {"codemodel": "jitdefault"})
    library = llvm.compile(
        "declare double @tanh(double)\n"
        "define double @f(double %x) "
        "{ %y = call double @tanh(double %x) %z = fadd double %y, 0.1 ret double %z }"
    )
    assert scalar(library)(0.5) == math.tanh(0.5) + 0.1


def test_threads_compile_at_the_same_time():
    results = {}

    def work(thread):
        for k in range(6):
            library = llvm.compile(times(10 * (thread % 2) + k))
            results[thread, k] = scalar(library)(3.0)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {(t, k): 3.0 * (10 * (t % 2) + k) for t in range(4) for k in range(6)}


@LINUX
def test_the_memory_of_a_deleted_library_is_freed():
    def executable_pages():
        text = Path("/proc/self/maps").read_text(encoding="utf-8")
        found = re.findall(r"^(\w+)-(\w+) r-xp", text, re.MULTILINE)
        return sum([int(end, 16) - int(start, 16) for start, end in found]) // os.sysconf(
            "SC_PAGE_SIZE"
        )

    llvm.compile(DOUBLE)
    gc.collect()
    before = executable_pages()
    libraries = [llvm.compile(DOUBLE) for _ in range(20)]
    assert executable_pages() == before + 20
    assert all(scalar(library)(k) == 2 * k for k, library in enumerate(libraries))
    del libraries
    gc.collect()
    assert executable_pages() == before


# ---- the code itself -----------------------------------------------------------------------


def test_lanes():
    assert llvm.lanes("+avx2,+avx512f,+sse2") == 8
    assert llvm.lanes("+avx,+avx2,-avx512f") == 4
    assert llvm.lanes("+avx") == 4
    assert llvm.lanes("+sse2,-avx,-avx2,-avx512f") == 2
    assert llvm.lanes("+neon,+fp-armv8") == 2
    assert llvm.lanes("") == 2


@LINUX
@X86
def test_lanes_of_this_computer():
    flags = re.search(r"^flags.*$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[0].split()
    assert llvm.lanes() == (8 if "avx512f" in flags else 4 if "avx" in flags else 2)


def registers(text):
    return Counter(re.findall(r"%([xyz]mm)\d", text))


@X86
@pytest.mark.parametrize(
    ("cpu", "register", "count"),
    [
        ("x86-64-v3", "ymm", 2),
        ("x86-64-v4", "zmm", 1),
        ("skylake-avx512", "zmm", 1),  # LLVM prefers 256 bits for it, where it may choose
        ("sapphirerapids", "zmm", 1),
        ("znver4", "zmm", 1),
    ],
)
def test_vectors_fill_the_registers(cpu, register, count):
    text = llvm.assembly(FMA, cpu=cpu)
    assert set(registers(text)) == {register}
    assert len(re.findall(rf"vfmadd\d+pd.*%{register}", text)) == count


@X86
def test_vectors_without_avx():
    text = llvm.assembly(FMA.replace("llvm.fma", "llvm.fmuladd"), cpu="x86-64")
    assert set(registers(text)) == {"xmm"}
    assert text.count("mulpd") == 4
    assert text.count("addpd") == 4


def test_vectors_for_another_computer():
    arm = llvm.assembly(FMA, triple="aarch64-linux-gnu")
    assert len(re.findall(r"fmla\tv\d+\.2d, v\d+\.2d, v\d+\.2d", arm)) == 4
    intel = llvm.assembly(FMA, triple="x86_64-linux-gnu", features="+avx2,+fma")
    assert set(registers(intel)) == {"ymm"}
    assert llvm.target(triple="aarch64-linux-gnu") != llvm.target()
    with pytest.raises(ArgumentError, match=r"triple='abacus'.*abacus") as caught:
        llvm.assembly(FMA, triple="abacus")
    assert "\n" not in str(caught.value)


@X86
def test_code_for_this_computer_uses_its_widest_registers():
    names = {8: "zmm", 4: "ymm", 2: "xmm"}
    assert set(registers(llvm.assembly(FMA))) == {names[llvm.lanes()]}


def test_the_target_is_this_computer():
    host = llvm.target()
    assert host.triple
    assert host.cpu
    assert re.match(r"[eEm-]", host.layout)
    assert llvm.target() is host
    assert llvm.target(cpu="x86-64-v3").features == ""


SCALAR_LOOP = """
define void @f(ptr noalias %p, ptr noalias %q) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %a = getelementptr double, ptr %p, i64 %i
  %b = getelementptr double, ptr %q, i64 %i
  %x = load double, ptr %a, align 8
  %y = fadd double %x, 1.0
  store double %y, ptr %b, align 8
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, COUNT
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


def test_llvm_vectorizes_only_on_request():
    long = SCALAR_LOOP.replace("COUNT", "1024")
    assert " x double>" not in llvm.optimised(long)
    assert " x double>" in llvm.optimised(long, tuning=llvm.Tuning(loop_vectors=True))
    short = SCALAR_LOOP.replace("COUNT", "4")
    assert " x double>" not in llvm.optimised(short, 3)
    assert " x double>" in llvm.optimised(short, 3, tuning=llvm.Tuning(slp_vectors=True))


def test_short_loops_are_unrolled_unless_the_tuning_forbids_it():
    short = SCALAR_LOOP.replace("COUNT", "4")
    assert llvm.optimised(short).count("fadd") == 4
    assert llvm.optimised(short, tuning=llvm.Tuning(unroll=False)).count("fadd") == 1
    assert "%more" in llvm.optimised(short, 0)


# ---- errors -----------------------------------------------------------------------

REFUSED = {
    "define double @f(double %x) {\n  %y = fadd double %x, %z\n  ret double %y\n}": (
        "LLVM refuses line 2 of the IR: use of undefined value '%z': %y = fadd double %x, %z"
    ),
    "define double @f(double %x) {": (
        "LLVM refuses line 1 of the IR: found end of file when expecting more instructions: "
        "define double @f(double %x) {"
    ),
    "define double @f(double %x) {\n": (
        "LLVM refuses line 2 of the IR: found end of file when expecting more instructions: the end"
    ),
    "define void @f() {\nb:\n  br label %b\n}": (
        "LLVM refuses the IR: Entry block to function must not have predecessors!: label %b"
    ),
    "hello": "LLVM refuses line 1 of the IR: expected top-level entity: hello",
}


def test_a_stored_error_refers_to_no_module_of_llvm():
    """A module that the collector frees after its context would crash the process."""
    kept = []
    for ir in [*REFUSED] * 5:
        try:
            llvm.compile(ir)
        except CompilerError as error:
            kept.append([error, kept])  # a cycle, as an interactive session makes
    del kept
    gc.collect()
    assert scalar(library := llvm.compile(DOUBLE))(21.0) == 42.0
    assert library.functions == ("f",)


@pytest.mark.parametrize("ir", REFUSED)
def test_ir_that_llvm_rejects(ir, cache):
    for act in (llvm.compile, llvm.optimised, llvm.assembly):
        with pytest.raises(CompilerError) as caught:
            act(ir)
        assert str(caught.value) == REFUSED[ir]
    assert entries(cache) == []


def test_a_function_that_is_defined_nowhere(cache):
    with pytest.raises(CompilerError) as caught:
        llvm.compile(
            "declare double @nowhere(double)\n"
            "declare double @tanh(double)\n"
            "declare double @neither(double)\n"
            "define double @f(double %x) {\n"
            "  %y = call double @nowhere(double %x)\n"
            "  %z = call double @neither(double %y)\n"
            "  %t = call double @tanh(double %z)\n"
            "  ret double %t\n}"
        )
    assert str(caught.value) == (
        "the machine code cannot be loaded: no function nowhere in this process; "
        "no function neither in this process"
    )
    assert entries(cache) == []


def test_a_name_that_the_library_does_not_have():
    library = llvm.compile(DOUBLE)
    with pytest.raises(CompilerError, match="no function 'g' in the machine code, which has f"):
        library.address("g")
    with pytest.raises(CompilerError, match="which has no functions"):
        llvm.compile("@g = global double 3.0").address("g")


@pytest.mark.parametrize("level", [-1, 4])
def test_a_level_that_does_not_exist(level):
    for act in (lambda: llvm.compile(DOUBLE, level), lambda: llvm.optimised(DOUBLE, level)):
        with pytest.raises(ArgumentError, match=f"level={level}: expected 0, 1, 2 or 3"):
            act()


def test_only_this_file_imports_llvmlite():
    users = set()
    root = Path(talweg.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "llvmlite" for name in names):
                users.add(path.relative_to(root).as_posix())
    assert users == {"compiler/runtime/llvm.py"}
