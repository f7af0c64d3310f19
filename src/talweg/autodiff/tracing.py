"""Whether a function is being traced, and errors for what a trace cannot represent.

A function is traced once, for all numbers. A branch on a traced number, or a plain float made of
one, would make this one number part of the program. Inside `tracing()`, comparisons of Values are
therefore operations, and `refuse` raises an error for a use that a tape cannot represent. Both
states of this file are context variables: each thread and each asyncio task has its own.

Start reading at `tracing`.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from talweg.errors import TraceError

_TRACING: ContextVar[bool] = ContextVar("talweg is tracing", default=False)

is_tracing = _TRACING.get
"""Whether a function is being traced in this thread or task."""


_UNCOMPILED: ContextVar[bool] = ContextVar("talweg runs jitted functions in Python", default=False)

is_uncompiled = _UNCOMPILED.get
"""Whether compiled functions are run as plain Python in this thread or task."""


@contextmanager
def uncompiled() -> Iterator[None]:
    """Inside the `with`, compiled functions are run as plain Python."""
    token = _UNCOMPILED.set(True)
    try:
        yield
    finally:
        _UNCOMPILED.reset(token)


@contextmanager
def tracing() -> Iterator[None]:
    """Inside the `with`, a function is traced."""
    token = _TRACING.set(True)
    try:
        yield
    finally:
        _TRACING.reset(token)


def refuse(what: str, repair: str) -> None:
    """Raise an error while tracing; do nothing otherwise.

    Args:
        what: what the user's line does to the number, such as "branches on".
        repair: what it should do instead.

    Raises:
        TraceError: while tracing, with the user's line.
    """
    if is_tracing():
        frame = sys._getframe(2)  # the user's line called a method of Value, which called this
        file, line = frame.f_code.co_filename, frame.f_lineno
        shown = linecache.getline(file, line).strip()
        raise TraceError(
            f"{Path(file).name}, line {line}{f' ({shown})' if shown else ''} {what} a traced "
            f"number, which may differ at the next call; {repair}"
        )
