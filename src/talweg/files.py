"""Writing files so that a crash never leaves half of one.

The content goes to a temporary file beside the target, which then replaces the target in
one step: a reader sees the old file or the new one, and nothing else.
"""

import os
import tempfile
from pathlib import Path


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file that is either the old one or the whole new one.

    Args:
        path: where to write; its folder must exist.
        content: bytes, or text to be written as UTF-8.

    Returns:
        The path written.

    Raises:
        OSError: if the folder is missing or cannot be written to; the old file is intact.
    """
    target = Path(path)
    raw = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def _umask() -> int:
    """The process's file-mode mask, which can be read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
