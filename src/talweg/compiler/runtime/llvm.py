"""Machine code: LLVM IR is compiled, and the functions get addresses.

`compile` looks for the object code in the cache on disk (`runtime/object_cache.py`). If it is not
there, LLVM parses, verifies and optimises the IR and writes an object file, which is added to the
cache. A `Library` then loads the object file, from the cache or new, in the same way: on a cache
hit LLVM never parses the IR.

Code addresses its constants by their distance from it, which must stay below 2 GiB. LLVM's linker
JITLink therefore puts each library into one block of memory; a function that is defined nowhere is
an error. (MCJIT, the older linker, scatters the parts, and does not report undefined functions.)

This is the only file that imports llvmlite. Start reading at `compile`.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import llvmlite  # type: ignore[import-untyped]  # llvmlite has neither annotations nor stubs
import llvmlite.binding as llvm  # type: ignore[import-untyped]  # the same
from llvmlite.binding.newpassmanagers import (  # type: ignore[import-untyped]  # the same
    NewPassManager,
)

from talweg.compiler.runtime import object_cache
from talweg.errors import ArgumentError, CompilerError

# JITLink is for ELF and Mach-O. On Windows llvmlite's LLVM writes ELF for the older linker, and
# only in the large code model, where the distance between code and constants does not matter.
_JITLINK = os.name != "nt"
_MODEL = {"codemodel": "small", "reloc": "pic"} if _JITLINK else {"codemodel": "jitdefault"}

# `\n` and not `^`: a literal is found seven times as fast.
_FUNCTION = re.compile(r'\n(define|declare)\b([^@\n]*)@(?:"([^"\n]+)"|([-\w.$]+))')
_HIDDEN = re.compile(r"\b(internal|private|available_externally|hidden)\b")


class Target(NamedTuple):
    """The computer that code is compiled for, in LLVM's words."""

    triple: str
    cpu: str
    features: str
    layout: str


@dataclass(frozen=True, slots=True)
class Tuning:
    """What LLVM may do beyond simplifying. `VECTORS` is for IR that has single numbers only.

    A `quick` compilation only moves variables into registers. LLVM's time grows with the length
    of the text, and long text has few loops, so there is little to gain: for a scalar GPT it takes
    a third of the time, for code that is a quarter slower.
    """

    loop_vectors: bool = False
    slp_vectors: bool = False
    unroll: bool = True
    quick: bool = False


PLAIN = Tuning()
VECTORS = Tuning(loop_vectors=True)
QUICK = Tuning(quick=True)

_LONG_TEXT = 20_000
"""Lines of IR from which on a compilation is quick unless asked otherwise."""


class Library:
    """Machine code in memory. Its addresses are valid as long as this object lives.

    Attributes:
        functions: the names of the functions that have an address.
        from_cache: whether the code was read from the disk.
    """

    def __init__(self, code: bytes, functions: tuple[str, ...], *, from_cache: bool) -> None:
        self.functions = functions
        self.from_cache = from_cache
        # One linker for each library: its memory is freed together with the library.
        self._linker = llvm.create_lljit_compiler(
            _machine(target(), 2), use_jit_link=_JITLINK, suppress_errors=True
        )
        builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for name in functions:
            builder.export_symbol(name)
        self._code = builder.link(self._linker, "talweg")

    def address(self, name: str) -> int:
        """The address of a function, for ctypes or for other machine code.

        Raises:
            CompilerError: if the library has no such function.
        """
        if name not in self.functions:
            known = ", ".join(self.functions) or "no functions"
            raise CompilerError(f"no function {name!r} in the machine code, which has {known}")
        return int(self._code[name])


def compile(ir: str, level: int = 2, *, tuning: Tuning | None = None) -> Library:  # noqa: A001
    """Machine code for this computer, from the cache if it is there.

    Args:
        ir: LLVM IR as text; it need not name a target. Its functions may call each other and
            the functions of this process, such as those of libm.
        level: how much to optimise, from 0 to 3.
        tuning: what LLVM may do beyond simplifying; default: `PLAIN`. By default, and in place
            of `VECTORS`, long text is compiled as `QUICK` says.

    Returns:
        The library, which must live as long as its functions may be called.

    Raises:
        ArgumentError: if there is no such level.
        CompilerError: if LLVM refuses the IR, or if it calls a function that is defined nowhere.

    Example:
        >>> import ctypes
        >>> library = compile("define double @double(double %x) { "
        ...     "%y = fadd double %x, %x ret double %y }")
        >>> double = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
        >>> double(library.address("double"))(21.0)
        42.0
    """
    is_long = ir.count("\n") > _LONG_TEXT
    if tuning is None or (is_long and tuning == VECTORS):
        tuning = QUICK if is_long else PLAIN
    key = _key(ir, level, tuning)
    folder = object_cache.usable_folder()
    code = object_cache.read(folder, key) if folder else None
    if code is not None:
        return _load(ir, code, from_cache=True)
    machine = _machine(target(), level)
    with _optimise(ir, target(), machine, level, tuning) as module:
        code = bytes(machine.emit_object(module))
    library = _load(ir, code, from_cache=False)
    if folder:
        object_cache.write(folder, key, code)
    return library


def _key(ir: str, level: int, tuning: Tuning) -> str:
    """The name of the object code in the cache: all that changes the code changes the name."""
    # Not `import talweg`: the package is a layer above this file. It is always loaded before it.
    version = sys.modules["talweg"].__version__
    made_by = (version, llvmlite.__version__, llvm.llvm_version_info)
    return object_cache.key_of((made_by, target(), _MODEL, level, tuning), ir)


def optimised(ir: str, level: int = 2, *, tuning: Tuning = PLAIN) -> str:
    """The IR as LLVM leaves it after optimisation for this computer; see `compile`."""
    with _optimise(ir, target(), _machine(target(), level), level, tuning) as module:
        return str(module)


def assembly(
    ir: str,
    cpu: str | None = None,
    features: str | None = None,
    triple: str | None = None,
    level: int = 2,
    *,
    tuning: Tuning = PLAIN,
) -> str:
    """The machine code as text, for this computer or any other.

    Args:
        ir: as for `compile`.
        cpu: such as "x86-64-v3"; see `target` for the default.
        features: such as "+avx2,+fma".
        triple: such as "aarch64-linux-gnu".
        level: as for `compile`.
        tuning: as for `compile`.

    Raises:
        ArgumentError: if there is no such level, or no such target.
        CompilerError: if LLVM refuses the IR.
    """
    to = target(cpu, features, triple)
    machine = _machine(to, level)
    with _optimise(ir, to, machine, level, tuning) as module:
        return str(machine.emit_assembly(module))


def lanes(features: str | None = None) -> int:
    """How many float64 numbers fit into a vector register.

    Args:
        features: of a CPU, as in `target().features`; default: this computer's.

    Returns:
        8 with AVX-512, 4 with AVX, else 2, as in SSE2 and NEON.

    Example:
        >>> lanes("+avx,+avx2,-avx512f"), lanes("+neon")
        (4, 2)
    """
    present = (target().features if features is None else features).split(",")
    return 8 if "+avx512f" in present else 4 if {"+avx", "+avx2"} & {*present} else 2


@functools.cache
def target(
    cpu: str | None = None, features: str | None = None, triple: str | None = None
) -> Target:
    """The computer that code is compiled for.

    Args:
        cpu: default: this computer's if nothing else is given, else the generic one of the triple.
        features: default: this computer's if nothing else is given, else those of the CPU.
        triple: default: this computer's.

    Raises:
        ArgumentError: if LLVM has no code generator for the triple.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    if cpu is features is triple is None:
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    if triple is not None:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    plain = Target(triple or llvm.get_process_triple(), cpu or "", features or "", "")
    return plain._replace(layout=str(_machine(plain, 2).target_data))


def _machine(to: Target, level: int) -> Any:
    """LLVM's code generator."""
    if level not in (0, 1, 2, 3):
        raise ArgumentError(f"level={level!r}: expected 0, 1, 2 or 3")
    try:
        family = llvm.Target.from_triple(to.triple)
    except RuntimeError as error:
        raise ArgumentError(f"triple={to.triple!r}: {error}") from None
    return family.create_target_machine(
        cpu=to.cpu, features=to.features, opt=level, jit=True, **_MODEL
    )


@contextmanager
def _optimise(ir: str, to: Target, machine: Any, level: int, tuning: Tuning) -> Iterator[Any]:
    """The module after LLVM's passes."""
    # On the first line, so that the line numbers in LLVM's messages are those of the IR.
    header = f'target datalayout = "{to.layout}" target triple = "{to.triple}" '
    # Closed in this order: a module that outlives its context crashes the process, and after an
    # error the garbage collector would free both in any order.
    with llvm.create_context() as context:
        try:
            parsed = llvm.parse_assembly(header + ir, context)
        except RuntimeError as error:
            raise CompilerError(_refusal(str(error), ir)) from None
        with parsed as module:
            try:
                module.verify()
            except RuntimeError as error:
                raise CompilerError(_refusal(str(error), ir)) from None
            options = llvm.create_pipeline_tuning_options(level)
            options.loop_vectorization = options.loop_interleaving = tuning.loop_vectors
            options.slp_vectorization = tuning.slp_vectors
            options.loop_unrolling = tuning.unroll
            with llvm.create_pass_builder(machine, options) as builder:
                passes = _few_passes() if tuning.quick else builder.getModulePassManager()
                try:
                    passes.run(module, builder)
                finally:
                    _free(passes)
            yield module


def _free(passes: Any) -> None:
    """Free a pass manager, which after all passes of a small program holds 0.45 MB.

    In llvmlite 0.45 to 0.50 its `close` frees nothing: it is an `ObjectRef` first, whose `_dispose`
    is empty, and a `NewPassManager` second.
    """
    if type(passes)._dispose is llvm.ffi.ObjectRef._dispose:
        NewPassManager._dispose(passes)
        passes.detach()
    else:
        passes.close()


def _few_passes() -> Any:
    """The passes of a quick compilation: registers for variables, no unused instructions."""
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_aggressive_dce_pass()
    return passes


def _refusal(message: str, ir: str) -> str:
    """LLVM's message in one line, with the line of IR that it is about."""
    found = re.search(r"^[^\n]*?:(\d+):\d+: error: (.*)", message, re.MULTILINE)
    if found:
        number = int(found[1])
        line = [*ir.split("\n"), ""][number - 1].strip()
        return f"LLVM refuses line {number} of the IR: {found[2]}: {line or 'the end'}"
    # The verifier names no line: it writes what is wrong, then the instruction, then more.
    return f"LLVM refuses the IR: {': '.join([s.strip() for s in message.splitlines()[:2]])}"


def _load(ir: str, code: bytes, *, from_cache: bool) -> Library:
    """The library; the names of its functions are found in the text of the IR."""
    names = [(kind, rest, a or b) for kind, rest, a, b in _FUNCTION.findall("\n" + ir)]
    visible = [name for kind, rest, name in names if kind == "define" and not _HIDDEN.search(rest)]
    try:
        return Library(code, tuple(visible), from_cache=from_cache)
    except RuntimeError as error:
        called = [n for kind, _, n in names if kind == "declare" and not n.startswith("llvm.")]
        missing = [name for name in called if not llvm.address_of_symbol(name)]
        why = [f"no function {name} in this process" for name in missing] or str(error).split("\n")
        raise CompilerError(f"the machine code cannot be loaded: {'; '.join(why)}") from None
