"""While a function is traced, it must not look at the numbers.

A traced program is run once and stands for all numbers, so a branch on one of them, or a
plain float made of one, would freeze this one into it. `tracing` is on while the compiler
runs a function; comparisons of Values are nodes then, and `refuse` stops what would freeze.
It is a context variable: it belongs to one thread or task and ends with the `with`.
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


_PLAIN: ContextVar[bool] = ContextVar("talweg runs compiled functions as they are", default=False)

is_plain = _PLAIN.get
"""Whether functions that were compiled are run as plain Python in this thread or task."""


@contextmanager
def plainly() -> Iterator[None]:
    """Run what is inside the `with` as if nothing were compiled."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


@contextmanager
def tracing() -> Iterator[None]:
    """Trace what runs inside the `with`."""
    token = _TRACING.set(True)
    try:
        yield
    finally:
        _TRACING.reset(token)


def refuse(what: str, repair: str) -> None:
    """Stop a program that depends on a traced number; does nothing otherwise.

    Args:
        what: what the line does to the number, such as "branches on".
        repair: what it should do instead.

    Raises:
        TraceError: while tracing, with the line of the program that did it.
    """
    if is_tracing():
        frame = sys._getframe(2)  # the caller of the method of Value that called this
        file, line = frame.f_code.co_filename, frame.f_lineno
        shown = linecache.getline(file, line).strip()
        raise TraceError(
            f"{Path(file).name}, line {line}{f' ({shown})' if shown else ''} {what} a traced "
            f"number, which will be another at the next call; {repair}"
        )
