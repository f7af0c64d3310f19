"""One store and several processes: which process creates it, and which may write to it.

A store of runs and a store of a map are both a folder with a Zarr group. The file of the group,
`zarr.json`, describes what the store holds. `create_group` creates it. `FileLock` is the lock
for that and for everything that is written later.

To create a store, a process locks the file `.zarr.json.lock` in the folder, tests again whether
there is a group, and creates the group's file, which appears complete or not at all. Then it
removes the lock's file, because Zarr warns of files that it does not know. The group's file is
never replaced after that, so it is the file to lock for writing. A caller reads the description
after `create_group`, because another process may have created the store.

A lock of the operating system ends with its process, also if the process is killed. A process that
is killed while it creates a store leaves an empty store, or none: `create_group` ignores the
files that it leaves, and the next process creates the store. On a file system without locks only
one process creates the group's file too, but two processes may then write to the store.

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

GROUP_FILE = "zarr.json"
"""The name of the file that describes a group, and of the one that describes an array."""

CREATION_LOCK = f".{GROUP_FILE}.lock"
"""The name of the file that is locked while a store is created."""

LOCK_TIMEOUT = 30.0
"""How many seconds to wait for a lock that other processes hold for milliseconds."""

_PAUSE = 0.002
"""How many seconds to wait between two attempts to lock a file."""


# ---- creating a store ----------------------------------------------------------------------


def create_group(folder: Path, attributes: dict[str, Any]) -> bool:
    """Create the file of a group in a folder that is absent or empty.

    A folder with other files is not changed.

    Args:
        folder: the folder; created if it is absent.
        attributes: the attributes of the group, as plain JSON data.

    Returns:
        Whether the folder has a group's file now. It does not if it has other files. The file may
        be that of another process, with other attributes.

    Raises:
        ArgumentError: if another process has been creating a store there for `LOCK_TIMEOUT`
            seconds.
        OSError: if the file cannot be written.
    """
    if not _is_empty(folder):
        return (folder / GROUP_FILE).exists()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / CREATION_LOCK, timeout=LOCK_TIMEOUT, temporary=True):
        if not _is_empty(folder):
            return (folder / GROUP_FILE).exists()
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        with suppress(FileExistsError):  # possible if the file system has no locks
            write_new(folder / GROUP_FILE, json.dumps(group, indent=1))
    return True


def _is_empty(folder: Path) -> bool:
    """Whether a folder has no files but those of a process that is creating a store there.

    The group's file of a store is created before its other files. So if another file of a store
    is found here, its group's file exists when the caller tests for it.
    """
    if not folder.exists():
        return True
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries)
        return all(n.startswith(f".{GROUP_FILE}.") or n.endswith(".partial") for n in names)


# ---- locks ---------------------------------------------------------------------------------


class FileLock:
    """A lock of the operating system on a file, held by one process or one part of it.

    It is released by `release`, at the end of a `with` block, or at the end of the process. A
    forked child does not hold it.

    Args:
        file: the file, which exists unless it is temporary.
        timeout: how many seconds to wait while another process holds the lock.
        temporary: whether the file is created for the lock, and removed with it.

    Raises:
        ArgumentError: if another process still holds the lock.
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

    def __init__(self, file: Path, *, timeout: float = 0.0, temporary: bool = False) -> None:
        self.file = file
        flags = os.O_RDWR | (os.O_CREAT if temporary else 0)
        self._descriptor = _open_locked(file, timeout, flags)
        self._release = weakref.finalize(
            self, _release, self._descriptor, file if temporary else None, os.getpid()
        )
        _LOCKS.add(self)

    @property
    def held(self) -> bool:
        """Whether the lock has not been released."""
        return self._release.alive

    @property
    def in_place(self) -> bool:
        """Whether the lock is held and its file has not been removed or replaced."""
        return self.held and _is_at(self.file, self._descriptor)

    def release(self) -> None:
        """Release the lock; a second call has no effect."""
        self._release()

    def close_in_child(self) -> None:
        """Close the file in a forked child, without releasing the lock of the parent."""
        if self._release.detach() is not None:
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


_LOCKS: weakref.WeakSet[FileLock] = weakref.WeakSet()
"""The locks of this process."""


def _close_all_in_child() -> None:
    """Close a forked child's copies of its parent's locked files.

    An open copy would keep the lock after the parent was killed, for as long as the child lives;
    the children of a process pool may outlive their parent.
    """
    for lock in list(_LOCKS):
        lock.close_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all_in_child)


def _open_locked(file: Path, timeout: float, flags: int) -> int:
    """The descriptor of an open file that no other process can lock until it is closed.

    Raises:
        ArgumentError: if another process still holds the lock.
    """
    end = time.monotonic() + timeout
    while True:
        descriptor = os.open(file, flags, 0o666)
        try:
            locked = _try_to_lock(descriptor)
            if locked and _is_at(file, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if locked:  # the file was removed or replaced before it was locked
            continue
        if time.monotonic() >= end:
            raise ArgumentError(
                f"{file.parent} is in use: another process, or an open store of this process, is "
                "writing to it; wait for its end, close that store, or choose another folder"
            )
        time.sleep(_PAUSE)


def _is_at(file: Path, descriptor: int) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _try_to_lock(descriptor: int) -> bool:
    """Try to lock a file. Return whether it is locked, or the file system has no locks."""
    try:
        _lock(descriptor)
    except OSError as error:
        # Other errors are those of a file system without locks, see the top of this file.
        held = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
        return error.errno not in held
    return True


def _release(descriptor: int, temporary: Path | None, owner: int) -> None:
    """Remove a temporary file and unlock; a forked child only closes its copy of the file."""
    is_owner = os.getpid() == owner
    if is_owner and temporary is not None and sys.platform != "win32":
        # Before the file is unlocked: a process that has opened it then notices its removal.
        with suppress(OSError):
            temporary.unlink()
    if is_owner:
        with suppress(OSError):
            _unlock(descriptor)
    os.close(descriptor)
    if is_owner and temporary is not None and sys.platform == "win32":
        with suppress(OSError):  # Windows removes no file that any process has open
            temporary.unlink()


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        """Lock a byte far behind the end of the file: no other process can read a locked byte."""
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        """Release the lock."""
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def _lock(descriptor: int) -> None:
        """Lock the file until it is closed."""
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        """Release the lock, also if forked children have the file open."""
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)
