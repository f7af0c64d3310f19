"""Machine code: LLVM IR in, addresses of functions out.

`compile` is where to start reading. It looks for the object code in the cache on disk; if
it is not there, LLVM parses, verifies and optimises the IR and writes an object file, which
goes into the cache. A `Library` then loads the object file, new or old, in the same way: on
a hit LLVM never sees the IR.

Code reaches its constants by their distance from it, which must stay below 2 GiB. LLVM's
linker for this is JITLink: it puts each library into one piece of memory of its own, and a
function that is nowhere is an error there. (MCJIT, the older one, puts the pieces where there
is room, and does not say what it did not find.)

The cache holds code that will be run. So it lies in a folder that only its owner may write
to, and an entry counts only if its header names the key that was looked for and the SHA-256
of what follows. Anything else is no error: the program is compiled again.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite  # type: ignore[import-untyped]  # llvmlite has neither annotations nor stubs
import llvmlite.binding as llvm  # type: ignore[import-untyped]  # the same

from talweg._util.atomic_files import write_whole
from talweg.errors import ArgumentError, CompilerError, TalwegWarning

CACHE_LIMIT = 256 * 2**20
"""Bytes: when a new entry takes the cache beyond this, the entries longest unused go."""

# Raise the number whenever the same IR must be compiled to other code than before.
_MAGIC = b"talweg object 1\n"

# JITLink is for ELF and Mach-O. On Windows llvmlite's LLVM writes ELF for the older linker, and
# only in the large code model, where the distance between code and constants does not matter.
_JITLINK = os.name != "nt"
_MODEL = {"codemodel": "small", "reloc": "pic"} if _JITLINK else {"codemodel": "jitdefault"}

# `\n` and not `^`: a literal is searched for seven times as fast.
_FUNCTION = re.compile(r'\n(define|declare)\b([^@\n]*)@(?:"([^"\n]+)"|([-\w.$]+))')
_HIDDEN = re.compile(r"\b(internal|private|available_externally|hidden)\b")
_ENTRY = re.compile(r"\.?[0-9a-f]{64}\.object(\.[0-9a-f]{8})?")  # also left-over temporaries


class Target(NamedTuple):
    """What code is made for: the four texts that LLVM wants to know."""

    triple: str
    cpu: str
    features: str
    layout: str


@dataclass(frozen=True, slots=True)
class Tuning:
    """What LLVM may do beyond simplifying. No vectors, because the IR has them already.

    A `quick` compilation only brings variables into registers. LLVM's time grows with the text,
    and long text has few loops, so there is little else to gain: for a scalar GPT it takes
    a third of the time, for code that is a quarter slower.
    """

    loop_vectors: bool = False
    slp_vectors: bool = False
    unroll: bool = True
    quick: bool = False


PLAIN = Tuning()
QUICK = Tuning(quick=True)

_LONG_TEXT = 20_000
"""Lines of IR from which on a compilation is quick unless asked otherwise."""


class Library:
    """Machine code in memory. Its addresses are valid as long as it is kept.

    Attributes:
        functions: the names of the functions that have an address.
        from_cache: whether the code was read from the disk.
    """

    def __init__(self, code: bytes, functions: tuple[str, ...], *, from_cache: bool) -> None:
        self.functions = functions
        self.from_cache = from_cache
        # One linker for each library: when it goes, all that it made goes.
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
        ir: LLVM IR in text; it need not name a target. Its functions may call each other and
            whatever this process has, such as libm.
        level: how much to optimise, from 0 to 3.
        tuning: what LLVM may do beyond simplifying; without, `PLAIN`, or `QUICK` for long text.

    Returns:
        The library. Keep it as long as its functions may be called.

    Raises:
        ArgumentError: if there is no such level.
        CompilerError: if LLVM refuses the IR, or if a function that it calls is nowhere.

    Example:
        >>> import ctypes
        >>> library = compile("define double @double(double %x) { "
        ...     "%y = fadd double %x, %x ret double %y }")
        >>> double = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
        >>> double(library.address("double"))(21.0)
        42.0
    """
    tuning = tuning or (QUICK if ir.count("\n") > _LONG_TEXT else PLAIN)
    key = _key(ir, level, tuning)
    folder = _usable_folder()
    code = _read(folder, key) if folder else None
    from_cache = code is not None
    if code is None:
        machine = _machine(target(), level)
        with _optimise(ir, target(), machine, level, tuning) as module:
            code = bytes(machine.emit_object(module))
    library = _load(ir, code, from_cache)
    if folder and not from_cache:
        _write(folder, key, code)
    return library


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
        cpu: such as "x86-64-v3"; see `target` for what happens without.
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
        features: of a CPU, as in `target().features`; without, of this one.

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
    """What code is made for.

    Args:
        cpu: without, this computer's if nothing else is given, else the plainest of its kind.
        features: without, this computer's if nothing else is given, else what the CPU has.
        triple: without, this computer's.

    Raises:
        ArgumentError: if LLVM cannot make code for the triple.
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
    """LLVM's module after its passes."""
    # On the first line, so that the others keep their numbers in LLVM's messages.
    header = f'target datalayout = "{to.layout}" target triple = "{to.triple}" '
    # Closed in this order: a module that outlives its context takes the process with it, and
    # the garbage collector, which sees both when an error was raised, knows no order.
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
            builder = llvm.create_pass_builder(machine, options)
            passes = _few_passes() if tuning.quick else builder.getModulePassManager()
            passes.run(module, builder)
            yield module


def _few_passes() -> Any:
    """What a quick compilation does: variables become registers, what is not used goes."""
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_aggressive_dce_pass()
    return passes


def _refusal(message: str, ir: str) -> str:
    """LLVM's complaint in one line, with the line of IR that it is about."""
    found = re.search(r"^[^\n]*?:(\d+):\d+: error: (.*)", message, re.MULTILINE)
    if found:
        number = int(found[1])
        line = [*ir.split("\n"), ""][number - 1].strip()
        return f"LLVM refuses line {number} of the IR: {found[2]}: {line or 'the end'}"
    # The verifier names no line: what is wrong, then the instruction, then whatever else.
    return f"LLVM refuses the IR: {': '.join([s.strip() for s in message.splitlines()[:2]])}"


def _load(ir: str, code: bytes, from_cache: bool) -> Library:
    """The library; the names of its functions are read off the text of the IR."""
    names = [(kind, rest, a or b) for kind, rest, a, b in _FUNCTION.findall("\n" + ir)]
    visible = [name for kind, rest, name in names if kind == "define" and not _HIDDEN.search(rest)]
    try:
        return Library(code, tuple(visible), from_cache=from_cache)
    except RuntimeError as error:
        called = [n for kind, _, n in names if kind == "declare" and not n.startswith("llvm.")]
        missing = [name for name in called if not llvm.address_of_symbol(name)]
        why = [f"no function {name} in this process" for name in missing] or str(error).split("\n")
        raise CompilerError(f"the machine code cannot be loaded: {'; '.join(why)}") from None


# ---- the cache on disk -----------------------------------------------------------------------


def cache_directory() -> Path | None:
    """Where object code is kept: $TALWEG_CACHE_DIR, or a folder of the platform's.

    Returns:
        The folder, which may not exist yet; None if the variable is empty, or there is no home.
    """
    named = os.environ.get("TALWEG_CACHE_DIR")
    platforms = {"win32": ("LOCALAPPDATA", "AppData/Local"), "darwin": ("", "Library/Caches")}
    variable, usual = platforms.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    given = Path(os.environ.get(variable, ""))
    try:
        if named is not None:
            return Path(named).expanduser().absolute() if named else None
        return (given if given.is_absolute() else Path.home() / usual) / "talweg"
    except RuntimeError:  # no home
        return None


def clear_cache() -> int:
    """Delete the entries of the cache, and nothing else in its folder.

    Returns:
        How many entries there were.
    """
    folder = cache_directory()
    entries = _entries(folder) if folder else []
    for _, _, path in entries:
        with suppress(OSError):
            path.unlink()
    return len(entries)


def _key(ir: str, level: int, tuning: Tuning) -> str:
    """A name for the object code: whatever changes the code changes the name."""
    # Not `import talweg`: the package lies above this file. It is always loaded before it.
    version = sys.modules["talweg"].__version__
    made_by = (_MAGIC, version, llvmlite.__version__, llvm.llvm_version_info)
    facts = (made_by, target(), _MODEL, level, tuning)
    return hashlib.sha256(f"{facts!r}\0{ir}".encode()).hexdigest()


def _usable_folder() -> Path | None:
    """The folder of the cache, if it can be trusted; made if it is not there."""
    folder = cache_directory()
    if folder is None:
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = folder.stat()
    except OSError:
        return None
    if not _private(info):
        _warn(str(folder), mine=info.st_uid == os.geteuid())
        return None
    return folder


@functools.cache  # once for each folder
def _warn(folder: str, *, mine: bool) -> None:
    why, repair = "it belongs to another user", "set TALWEG_CACHE_DIR to a folder of your own"
    if mine:
        why, repair = "others may write to it", f"run: chmod go-w {shlex.quote(folder)}"
    message = f"compiled programs are not kept in {folder}, because {why}; {repair}"
    warnings.warn(TalwegWarning(message), stacklevel=4)


def _private(info: os.stat_result) -> bool:
    """Whether a file or folder is ours and only we may write to it."""
    return os.name != "posix" or (info.st_uid == os.geteuid() and not info.st_mode & 0o022)


def _read(folder: Path, key: str) -> bytes | None:
    """The object code of an entry; None if there is none, or none that is whole and ours."""
    path = folder / f"{key}.object"
    try:
        with path.open("rb") as file:
            raw = file.read() if _private(os.fstat(file.fileno())) else b""
    except OSError:
        return None
    size = len(_header(key, b""))
    if raw[:size] != _header(key, raw[size:]):
        return None
    with suppress(OSError):
        os.utime(path)  # used just now
    return raw[size:]


def _write(folder: Path, key: str, code: bytes) -> None:
    """Add an entry; if that fails, the program is compiled again another time."""
    path = folder / f"{key}.object"
    with suppress(OSError):
        if not path.exists():
            path.touch(mode=0o600)  # write_whole keeps the permissions of what was there
        write_whole(path, _header(key, code) + code)
        path.chmod(0o600)  # what was there may have had others
        _shrink(folder)


def _header(key: str, code: bytes) -> bytes:
    return _MAGIC + bytes.fromhex(key) + hashlib.sha256(code).digest()


def _entries(folder: Path) -> list[tuple[int, int, Path]]:
    """When each was last used, its size and its path; the longest unused first."""
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            if _ENTRY.fullmatch(path.name):
                with suppress(OSError):  # another process was faster
                    info = path.stat()
                    found.append((info.st_mtime_ns, info.st_size, path))
    return sorted(found)


def _shrink(folder: Path) -> None:
    """Delete the entries longest unused that do not fit into the limit with the younger ones."""
    total = 0
    for _, size, path in reversed(_entries(folder)):
        total += size
        if total > CACHE_LIMIT:
            path.unlink(missing_ok=True)
