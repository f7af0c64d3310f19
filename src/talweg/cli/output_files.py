"""Paths of files to write, checked before the work starts and not after the training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from talweg.errors import ArgumentError
from talweg.plotting.figure import checked_suffix

FIGURES = (".png", ".svg", ".pdf")


def output_file(
    option: str,
    given: Path | None,
    suffixes: Sequence[str],
    *,
    default: str | None = None,
    disabled: bool = False,
) -> Path | None:
    """Where to write a file.

    Args:
        option: the name of the option, such as `--plot`.
        given: its value, if it was given.
        suffixes: those that the file may have.
        default: where to write if the option was not given; None for nowhere.
        disabled: whether the opposite of the option, such as `--no-plot`, was given.

    Returns:
        The path, or None if nothing is to be written.

    Raises:
        ArgumentError: if the option and its opposite were given, the suffix is another, or the
            folder does not exist or cannot be written to.
    """
    if disabled:
        if given is not None:
            opposite = option.replace("--", "--no-")
            raise ArgumentError(f"{option} and {opposite} contradict each other; give one of them")
        return None
    if given is None and default is None:
        return None
    path = Path(default or "") if given is None else given
    checked_suffix(path, suffixes, f"the file of {option}")
    folder = path.parent
    if not folder.is_dir():
        raise ArgumentError(f"{option} {path}: there is no folder {str(folder)!r}; make it first")
    if path.is_dir() or not _is_writable(folder):
        what = "is a folder" if path.is_dir() else "cannot be written there"
        raise ArgumentError(f"{option} {path}: this {what}; name a file in a folder of yours")
    return path


def _is_writable(folder: Path) -> bool:
    """Whether a file can be made there; a trial, because permissions do not decide for root."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
