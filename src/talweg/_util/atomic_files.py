"""Writing files atomically: a crash never leaves an incomplete file.

The content is written to a temporary file in the same folder, which is then renamed: a reader
finds the old file or the new one. `write_whole` replaces a file, `write_new` never does. Start
reading at `write_whole`.
"""

import errno
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write or replace a file; if that fails, an existing file is unchanged.

    Permissions of an existing file are preserved. The target of a symbolic link is replaced, not
    the link. A device such as /dev/null is written to, not replaced.

    Args:
        path: the file; its folder must exist.
        content: bytes, or text to be written as UTF-8.

    Returns:
        The path.

    Raises:
        OSError: if the folder is missing or cannot be written to.
    """
    raw = content.encode() if isinstance(content, str) else content
    if Path(path).exists() and not Path(path).is_file():
        Path(path).write_bytes(raw)
        return Path(path)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        _write_through(temporary, raw, target)
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None:
            # The message has the name of the target: that of the temporary file is unknown to
            # the user.
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
    return Path(path)


def write_new(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a new file; it never replaces an existing one.

    If several processes call it at the same time, one writes the file and the others get an error.
    On a file system without hard links this holds only for calls one after the other.

    Args:
        path: the file; its folder must exist.
        content: bytes, or text to be written as UTF-8.

    Returns:
        The path.

    Raises:
        FileExistsError: if the file exists.
        OSError: if the folder is missing or cannot be written to.
    """
    raw = content.encode() if isinstance(content, str) else content
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        _write_through(temporary, raw, target)
        try:
            target.hardlink_to(temporary)
        except FileExistsError:
            raise
        except OSError:  # no hard links here
            if target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _write_through(path: Path, raw: bytes, like: Path) -> None:
    """Write a new file and flush it to disk, with the permissions of `like` if that exists."""
    with path.open("xb") as file:
        if like.exists():
            shutil.copymode(like, path)
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
