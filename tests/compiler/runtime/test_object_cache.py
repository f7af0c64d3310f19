"""The cache of object code: it is used only where it can be trusted, by any number of processes."""

import os
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import llvmlite
import pytest
from small_programs import DOUBLE, scalar, times

import talweg
from talweg.compiler.runtime import llvm, object_cache
from talweg.errors import TalwegWarning

POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Each test has a cache of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TALWEG_CACHE_DIR", str(folder))
    return folder


def entries(folder):
    return sorted(os.listdir(folder))  # noqa: PTH208 - names with a leading dot as well


# ---- entries without LLVM ----------------------------------------------------------------------


def test_what_is_written_is_read(cache):
    folder = object_cache.usable_folder()
    assert folder == cache
    key = object_cache.key_of(("a CPU", 2), "the program")
    assert object_cache.read(folder, key) is None
    object_cache.write(folder, key, b"code")
    assert object_cache.read(folder, key) == b"code"
    assert object_cache.read(folder, object_cache.key_of(("a CPU", 3), "the program")) is None
    assert object_cache.read(folder, object_cache.key_of(("a CPU", 2), "another")) is None


# ---- entries of compiled programs --------------------------------------------------------------


def test_llvm_does_not_parse_a_program_in_the_cache(cache, monkeypatch):
    first = llvm.compile(DOUBLE)
    assert not first.from_cache
    assert len(entries(cache)) == 1

    def never(*_):
        raise AssertionError("LLVM parses the IR")

    monkeypatch.setattr(llvm.llvm, "parse_assembly", never)
    again = llvm.compile(DOUBLE)
    assert again.from_cache
    assert again.functions == first.functions == ("f",)
    assert scalar(again)(21.0) == scalar(first)(21.0) == 42.0


def test_everything_that_changes_the_code_changes_the_key(cache, monkeypatch):
    changes = [
        lambda: llvm.compile(DOUBLE + " "),
        lambda: llvm.compile(DOUBLE, 3),
        lambda: llvm.compile(DOUBLE, tuning=llvm.Tuning(unroll=False)),
    ]
    llvm.compile(DOUBLE)
    assert [change().from_cache for change in changes] == [False] * 3
    host = llvm.target()
    others = [
        (llvm, "target", lambda: host._replace(cpu="generic")),
        (llvm, "target", lambda: host._replace(features="")),
        (object_cache, "FORMAT", b"talweg object 2\n"),
        (llvm, "_MODEL", {**llvm._MODEL, "codemodel": "large"}),
        (llvmlite, "__version__", "0.0"),
        (llvm.llvm, "llvm_version_info", (1, 2, 3)),
        (talweg, "__version__", "0.0"),
    ]
    for owner, name, value in others:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            assert not llvm.compile(DOUBLE).from_cache, name
    assert llvm.compile(DOUBLE).from_cache
    assert len(entries(cache)) == 1 + 3 + len(others)


@POSIX
def test_only_the_owner_may_read_and_write_the_cache(cache):
    mask = os.umask(0)
    try:
        llvm.compile(DOUBLE)
    finally:
        os.umask(mask)
    [entry] = cache.iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600


def flip(position):
    """Change one bit."""

    def damage(raw, _):
        raw = bytearray(raw)
        raw[position] ^= 4
        return bytes(raw)

    return damage


HEADER = 16 + 32 + 32  # magic and format, key, SHA-256

DAMAGE = {
    "empty": lambda raw, _: b"",
    "cut within the header": lambda raw, _: raw[: HEADER // 2],
    "only the header": lambda raw, _: raw[:HEADER],
    "half": lambda raw, _: raw[: len(raw) // 2],
    "last byte missing": lambda raw, _: raw[:-1],
    "one byte more": lambda raw, _: raw + b"\0",
    "another format": flip(14),
    "a bit of the key": flip(16),
    "a bit of the hash": flip(HEADER - 1),
    "a bit of the code": flip(HEADER + 100),
    "the last bit": flip(-1),
    "another program": lambda _, other: other,
    "another file": lambda *_: b"\x7fELF and so on" * 100,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_rebuilt(cache, damage):
    llvm.compile(times(7))
    [other] = cache.iterdir()
    llvm.compile(DOUBLE)
    [entry] = set(cache.iterdir()) - {other}
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole, other.read_bytes()))
    library = llvm.compile(DOUBLE)
    assert not library.from_cache
    assert scalar(library)(21.0) == 42.0
    assert entry.read_bytes() == whole
    assert llvm.compile(DOUBLE).from_cache


@POSIX
def test_an_entry_that_others_may_write_to_is_not_trusted(cache):
    llvm.compile(DOUBLE)
    [entry] = cache.iterdir()
    for mode in (0o620, 0o602):
        entry.chmod(mode)
        assert not llvm.compile(DOUBLE).from_cache
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert llvm.compile(DOUBLE).from_cache


@POSIX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_an_entry_of_another_user_is_not_trusted(cache):
    llvm.compile(DOUBLE)
    [entry] = cache.iterdir()
    os.chown(entry, 12345, 12345)
    assert not llvm.compile(DOUBLE).from_cache
    assert entry.stat().st_uid == 0
    assert llvm.compile(DOUBLE).from_cache


@POSIX
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write_to_is_not_used(cache, mode):
    cache.mkdir()
    cache.chmod(mode)
    with pytest.warns(TalwegWarning) as caught:
        assert not llvm.compile(DOUBLE).from_cache
    assert str(caught[0].message) == (
        f"compiled programs are not kept in {cache}, because others may write to it; "
        f"run: chmod go-w {cache}"
    )
    assert caught[0].filename == __file__
    with warnings.catch_warnings():  # there is one warning for each folder
        warnings.simplefilter("error")
        library = llvm.compile(DOUBLE)
    assert not library.from_cache
    assert scalar(library)(21.0) == 42.0
    assert entries(cache) == []
    cache.chmod(0o755)  # as the warning advises
    llvm.compile(DOUBLE)
    assert llvm.compile(DOUBLE).from_cache


@POSIX
def test_a_folder_of_another_user_is_not_used(cache, monkeypatch):
    llvm.compile(DOUBLE)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.warns(TalwegWarning, match="belongs to another user; set TALWEG_CACHE_DIR to"):
        assert not llvm.compile(DOUBLE).from_cache


def test_a_folder_that_cannot_be_created_or_written_to_is_no_error(cache, monkeypatch):
    cache.write_text("a file is in the way")
    assert scalar(library := llvm.compile(DOUBLE))(21.0) == 42.0
    assert not library.from_cache
    cache.unlink()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(object_cache, "write_whole", full)
        assert not llvm.compile(DOUBLE).from_cache
    assert not llvm.compile(DOUBLE).from_cache  # the unfinished entry is ignored
    assert llvm.compile(DOUBLE).from_cache


@POSIX
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_no_error(cache):
    cache.mkdir(mode=0o500)
    assert not llvm.compile(DOUBLE).from_cache
    assert not llvm.compile(DOUBLE).from_cache
    assert entries(cache) == []


def test_with_an_empty_variable_nothing_is_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("TALWEG_CACHE_DIR", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert object_cache.cache_directory() is None
    assert not llvm.compile(DOUBLE).from_cache
    assert not llvm.compile(DOUBLE).from_cache
    assert object_cache.clear_cache() == 0
    assert entries(tmp_path) == []


@POSIX
def test_the_folder_of_each_platform(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TALWEG_CACHE_DIR", "~/objects")
    assert object_cache.cache_directory() == tmp_path / "objects"
    monkeypatch.setenv("TALWEG_CACHE_DIR", "objects")
    assert object_cache.cache_directory() == Path.cwd() / "objects"
    monkeypatch.delenv("TALWEG_CACHE_DIR")
    expected = {
        "linux": [("XDG_CACHE_HOME", "given"), (None, ".cache")],
        "freebsd14": [("XDG_CACHE_HOME", "given"), (None, ".cache")],
        "darwin": [("XDG_CACHE_HOME", "Library/Caches"), (None, "Library/Caches")],
        "win32": [("LOCALAPPDATA", "given"), (None, "AppData/Local")],
    }
    for platform, cases in expected.items():
        monkeypatch.setattr(sys, "platform", platform)
        for variable, folder in cases:
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
            monkeypatch.delenv("LOCALAPPDATA", raising=False)
            if variable:
                monkeypatch.setenv(variable, str(tmp_path / "given"))
            assert object_cache.cache_directory() == tmp_path / folder / "talweg", (
                platform,
                variable,
            )
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # its standard says to ignore it
    assert object_cache.cache_directory() == tmp_path / ".cache" / "talweg"

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert object_cache.cache_directory() is None
    assert not llvm.compile(DOUBLE).from_cache


def test_clearing_deletes_the_entries_and_nothing_else(cache):
    assert object_cache.clear_cache() == 0  # no folder yet
    llvm.compile(times(2))
    llvm.compile(times(3))
    left_over = cache / f".{next(cache.iterdir()).name}.0123abcd"  # of a process that was killed
    left_over.write_bytes(b"half")
    mine = ["notes.object", "a.txt", ".hidden"]
    for name in mine:
        (cache / name).write_text("mine")
    assert object_cache.clear_cache() == 3
    assert entries(cache) == sorted(mine)
    assert object_cache.clear_cache() == 0
    assert not llvm.compile(times(2)).from_cache


def test_the_longest_unused_entries_are_deleted_first(cache, monkeypatch):
    made = []
    for k in (3, 5, 6, 7):
        llvm.compile(times(k))
        [new] = set(cache.iterdir()) - set(made)
        made.append(new)
        os.utime(new, (k, k))  # long ago, one after the other
    (cache / "notes.txt").write_bytes(b"x" * 10**6)  # does not count
    assert llvm.compile(times(3)).from_cache  # used just now
    size = made[0].stat().st_size
    assert {path.stat().st_size for path in made} == {size}
    monkeypatch.setattr(object_cache, "CACHE_LIMIT", 3 * size)
    assert len(entries(cache)) == 5  # nothing was written since the limit
    llvm.compile(times(9))
    assert [path.exists() for path in made] == [True, False, False, True]
    assert len(entries(cache)) == 4
    assert llvm.compile(times(9)).from_cache
    monkeypatch.setattr(object_cache, "CACHE_LIMIT", size - 1)
    assert scalar(library := llvm.compile(times(10)))(2.0) == 20.0
    assert not library.from_cache
    assert entries(cache) == ["notes.txt"]


CHILD = """
import ctypes, sys
from talweg.compiler.runtime import llvm
llvm.target()
print("ready", flush=True)
sys.stdin.readline()
for k in range(12):
    library = llvm.compile(
        f"define double @f(double %x) {{ %y = fmul double %x, {k}.0 ret double %y }}"
    )
    f = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.address("f"))
    assert f(3.0) == 3.0 * k, (k, f(3.0))
print("done", flush=True)
"""


def test_several_processes_use_one_cache(cache):
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, complaints = process.communicate(timeout=120)
        assert (process.returncode, output, complaints) == (0, "done\n", "")
    assert len(entries(cache)) == 12
    assert all(name.endswith(".object") for name in entries(cache))
    assert all(llvm.compile(times(k)).from_cache for k in range(12))


def test_a_cache_may_be_copied_or_deleted(cache, tmp_path):
    llvm.compile(DOUBLE)
    shutil.copytree(cache, tmp_path / "copy")
    shutil.rmtree(cache)
    library = llvm.compile(DOUBLE)
    assert not library.from_cache
    shutil.rmtree(cache)
    assert scalar(library)(21.0) == 42.0  # loaded code needs no file
    (tmp_path / "copy").rename(cache)
    assert llvm.compile(DOUBLE).from_cache
