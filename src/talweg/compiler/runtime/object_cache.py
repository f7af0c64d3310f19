"""Object code on disk, so that a program is compiled once on a computer and not once a process.

An entry is a file named after its key. It starts with a header: the format, the key, and the
SHA-256 of the code that follows. The cache holds code that will be run, so it is used only where
no other user can write: its folder and its entries must belong to this user and must not be
writable by others. An entry whose header does not match is ignored, and the program is compiled
again; no fault of the cache is an error.

When the cache grows beyond `CACHE_LIMIT`, the entries that were not used for the longest time are
deleted. Several processes may read and write it at once: entries are written to a temporary file
first and then renamed.

Start reading at `read` and `write`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shlex
import sys
import warnings
from contextlib import suppress
from pathlib import Path

from talweg._util.atomic_files import write_whole
from talweg.errors import TalwegWarning

CACHE_LIMIT = 256 * 2**20
"""Bytes that all entries together may have."""

# Raise the number whenever the same IR must be compiled to other code than before.
FORMAT = b"talweg object 1\n"

_ENTRY = re.compile(r"\.?[0-9a-f]{64}\.object(\.[0-9a-f]{8})?")  # also left-over temporary files


# ---- the folder ------------------------------------------------------------------------------


def cache_directory() -> Path | None:
    """The folder of the cache: $TALWEG_CACHE_DIR, or the platform's folder for caches.

    Returns:
        The folder, which may not exist yet; None if the variable is empty, or if there is no home
        directory.
    """
    named = os.environ.get("TALWEG_CACHE_DIR")
    platforms = {"win32": ("LOCALAPPDATA", "AppData/Local"), "darwin": ("", "Library/Caches")}
    variable, usual = platforms.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    given = Path(os.environ.get(variable, ""))
    try:
        if named is not None:
            return Path(named).expanduser().absolute() if named else None
        return (given if given.is_absolute() else Path.home() / usual) / "talweg"
    except RuntimeError:  # no home directory
        return None


def usable_folder() -> Path | None:
    """The folder of the cache, created if it does not exist.

    Returns:
        The folder; None if there is none, if it cannot be created, or if another user could write
        to it.

    Warns:
        TalwegWarning: in the last case, once for each folder.
    """
    folder = cache_directory()
    if folder is None:
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = folder.stat()
    except OSError:
        return None
    if not _is_private(info):
        _warn(str(folder), is_own=info.st_uid == os.geteuid())
        return None
    return folder


def _is_private(info: os.stat_result) -> bool:
    """Whether a file or folder belongs to this user and only this user may write to it."""
    return os.name != "posix" or (info.st_uid == os.geteuid() and not info.st_mode & 0o022)


@functools.cache  # one warning for each folder
def _warn(folder: str, *, is_own: bool) -> None:
    why, repair = "it belongs to another user", "set TALWEG_CACHE_DIR to a folder of your own"
    if is_own:
        why, repair = "others may write to it", f"run: chmod go-w {shlex.quote(folder)}"
    message = f"compiled programs are not kept in {folder}, because {why}; {repair}"
    warnings.warn(TalwegWarning(message), stacklevel=4)  # at the caller of llvm.compile


# ---- its entries -----------------------------------------------------------------------------


def key_of(facts: object, ir: str) -> str:
    """The name of an entry.

    Args:
        facts: all that determines the object code besides the IR; its `repr` is used.
        ir: the text that is compiled.
    """
    return hashlib.sha256(f"{(FORMAT, facts)!r}\0{ir}".encode()).hexdigest()


def read(folder: Path, key: str) -> bytes | None:
    """The object code of an entry; None if there is none, or none that can be trusted."""
    path = folder / f"{key}.object"
    try:
        with path.open("rb") as file:
            raw = file.read() if _is_private(os.fstat(file.fileno())) else b""
    except OSError:
        return None
    size = len(_header(key, b""))
    if raw[:size] != _header(key, raw[size:]):
        return None
    with suppress(OSError):
        os.utime(path)  # the time of its last use
    return raw[size:]


def write(folder: Path, key: str, code: bytes) -> None:
    """Add an entry; if that fails, the program is compiled again another time."""
    path = folder / f"{key}.object"
    with suppress(OSError):
        if not path.exists():
            path.touch(mode=0o600)  # write_whole keeps the permissions of an existing file
        write_whole(path, _header(key, code) + code)
        path.chmod(0o600)  # the existing file may have had others
        _delete_unused(folder)


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


def _header(key: str, code: bytes) -> bytes:
    return FORMAT + bytes.fromhex(key) + hashlib.sha256(code).digest()


def _entries(folder: Path) -> list[tuple[int, int, Path]]:
    """The time of last use, the size and the path of each entry; longest unused first."""
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            if _ENTRY.fullmatch(path.name):
                with suppress(OSError):  # another process deleted it
                    info = path.stat()
                    found.append((info.st_mtime_ns, info.st_size, path))
    return sorted(found)


def _delete_unused(folder: Path) -> None:
    """Delete the longest unused entries that exceed the limit together with the newer ones."""
    total = 0
    for _, size, path in reversed(_entries(folder)):
        total += size
        if total > CACHE_LIMIT:
            path.unlink(missing_ok=True)
