"""Writing files so that a crash never leaves half of one.

The content goes to a temporary file beside the target, which then takes the target's place in
one step: a reader sees the old file or the new one, and nothing else. `write_whole` replaces a
file, `write_new` never does.
"""

import errno
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file that is either the old one or the whole new one.

    An old file keeps its permissions, a link goes on pointing where it did, and a device
    such as /dev/null is written to, not replaced.

    Args:
        path: where to write; its folder must exist.
        content: bytes, or text to be written as UTF-8.

    Returns:
        The path written.

    Raises:
        OSError: if the folder is missing or cannot be written to; the old file is intact.
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
            # The user knows the name of the target, not that of the temporary file.
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
    return Path(path)


def write_new(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file that appears whole, and only if there is none at the path.

    Of several processes that call it at once, one writes the file and the others get an error.
    On a file system without hard links that is so only if they call it one after the other.

    Args:
        path: where to write; its folder must exist.
        content: bytes, or text to be written as UTF-8.

    Returns:
        The path written.

    Raises:
        FileExistsError: if there is a file.
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
    """Write a new file to the disk itself, with the permissions of `like` if that exists."""
    with path.open("xb") as file:
        if like.exists():
            shutil.copymode(like, path)
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
