"""One store and several processes: one creates it, and one at a time writes to it.

A store of runs and a store of a map are both a folder with a Zarr group. The group's file
describes what the store holds. `create_group` creates it; `FileLock` is the lock for its creation
and for writing to the store.

To create a store, a process locks the file `.zarr.json.lock` in the folder, checks again whether
there is a group, and creates the group's file, which appears whole or not at all. Then it removes
the lock's file, because Zarr warns of files that it does not know. From then on the group's file
is never replaced, so it is the file to lock for writing. A caller reads the description after
`create_group`, because another process may have created the store.

The operating system releases a lock when its process ends, in whatever way. A process that is
killed while it creates a store leaves an empty store, or none: `create_group` ignores the files
that it leaves, and the next process creates the store. Where a file system has no locks, the
group's file is still created by one process only; two processes may then write to the store.

Start reading at `create_group`, then `FileLock`.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from talweg._util.atomic_files import write_new
from talweg.errors import ArgumentError

GROUP = "zarr.json"
"""The file that describes a group, and in its own folder an array."""

CREATION_LOCK = f".{GROUP}.lock"
"""The file that is locked while a store is created."""

WAIT = 30.0
"""How many seconds to wait for a lock that others hold for milliseconds."""

_PAUSE = 0.002
"""How many seconds to wait between two attempts to lock a file."""


# ---- creating a store ----------------------------------------------------------------------


def create_group(folder: Path, attributes: dict[str, Any]) -> bool:
    """Create the file of a group in a folder that is absent or empty; leave any other as it is.

    Args:
        folder: the folder; made if it is absent.
        attributes: the attributes of the group, as plain JSON data.

    Returns:
        Whether the folder has a group's file now. It has none if there are other files. It may
        be that of another process, with other attributes.

    Raises:
        ArgumentError: if another process holds the lock of the creation for `WAIT` seconds.
        OSError: if the file cannot be written.
    """
    if not _is_empty(folder):
        return (folder / GROUP).exists()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / CREATION_LOCK, wait=WAIT, temporary=True):
        if not _is_empty(folder):
            return (folder / GROUP).exists()
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        with suppress(FileExistsError):  # possible where the file system has no locks
            write_new(folder / GROUP, json.dumps(group, indent=1))
    return True


def _is_empty(folder: Path) -> bool:
    """Whether a folder has no files but those of a process that is creating a store there.

    The group's file is created before any other. So a process that finds another file, and looks
    for the group's file afterwards, finds that too.
    """
    if not folder.exists():
        return True
    with os.scandir(folder) as entries:
        return all(e.name.startswith(f".{GROUP}.") or e.name.endswith(".partial") for e in entries)


# ---- locks ---------------------------------------------------------------------------------


class FileLock:
    """A lock of the operating system on a file, held by one process or one part of it.

    It is released by `release`, at the end of a `with` block, or with the process. A forked
    child does not hold it.

    Args:
        file: the file, which exists unless it is temporary.
        wait: how many seconds to wait for the process that holds the lock.
        temporary: whether the file is created for the lock, and removed with it.

    Raises:
        ArgumentError: if another holds the lock.
        OSError: if the file cannot be opened for writing.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name) / "lock"
        >>> with FileLock(file, temporary=True) as lock:
        ...     lock.held, file.exists()
        (True, True)
        >>> lock.held, file.exists()
        (False, False)
        >>> folder.cleanup()
    """

    def __init__(self, file: Path, *, wait: float = 0.0, temporary: bool = False) -> None:
        self.file = file
        self._number = _locked(file, wait, os.O_RDWR | (os.O_CREAT if temporary else 0))
        self._release = weakref.finalize(
            self, _release, self._number, file if temporary else None, os.getpid()
        )
        _HELD.add(self)

    @property
    def held(self) -> bool:
        """Whether the lock has not been released."""
        return self._release.alive

    @property
    def in_place(self) -> bool:
        """Whether the locked file is still the one at its path; False after it was replaced."""
        return self.held and _is_at(self.file, self._number)

    def release(self) -> None:
        """Let others lock the file."""
        self._release()

    def drop(self) -> None:
        """Close the file in a forked child; the parent goes on holding the lock."""
        if self._release.detach() is not None:
            os.close(self._number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


_HELD: weakref.WeakSet[FileLock] = weakref.WeakSet()
"""The locks of this process."""


def _drop_all() -> None:
    """Close the copies of its parent's locks that a forked child has.

    An open copy of the file would keep the lock after the parent was killed, for as long as the
    child lives; a process pool's children may outlive their parent.
    """
    for lock in list(_HELD):
        lock.drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_all)


def _locked(file: Path, wait: float, flags: int) -> int:
    """An open file that no other process can lock until it is closed.

    Raises:
        ArgumentError: if another has locked it.
    """
    end = time.monotonic() + wait
    while True:
        number = os.open(file, flags, 0o666)
        try:
            locked = _try_to_lock(number)
            if locked and _is_at(file, number):
                return number
        except BaseException:
            os.close(number)
            raise
        os.close(number)
        if locked:  # the file was removed or replaced meanwhile
            continue
        if time.monotonic() >= end:
            raise ArgumentError(
                f"{file.parent} is being written to already; wait for that to end, close the "
                "store that is open, or choose another folder"
            )
        time.sleep(_PAUSE)


def _is_at(file: Path, number: int) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(number), file.stat())
    except FileNotFoundError:
        return False


def _try_to_lock(number: int) -> bool:
    """Whether the file is locked now; also true where the file system has no locks."""
    try:
        _lock(number)
    except OSError as error:
        # Other errors are those of a file system without locks; see the head of this file.
        held = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
        return error.errno not in held
    return True


def _release(number: int, temporary: Path | None, owner: int) -> None:
    """Remove a temporary file, and unlock it; a forked child only closes the file."""
    is_owner = os.getpid() == owner
    if is_owner and temporary is not None and sys.platform != "win32":
        # Before the file is unlocked: a process that has opened it finds that it was removed.
        with suppress(OSError):
            temporary.unlink()
    if is_owner:
        with suppress(OSError):
            _free(number)
    os.close(number)
    if is_owner and temporary is not None and sys.platform == "win32":
        with suppress(OSError):  # Windows removes no file that is open, here or elsewhere
            temporary.unlink()


if sys.platform == "win32":

    def _lock(number: int) -> None:
        """Lock a byte far behind the end of the file, because no other can read what is locked."""
        import msvcrt

        os.lseek(number, 1 << 30, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)

    def _free(number: int) -> None:
        """Let others lock the file."""
        import msvcrt

        os.lseek(number, 1 << 30, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_UNLCK, 1)

else:

    def _lock(number: int) -> None:
        """Lock the file, for as long as it is open."""
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _free(number: int) -> None:
        """Let others lock the file, though forked children still have it open."""
        import fcntl

        fcntl.flock(number, fcntl.LOCK_UN)
