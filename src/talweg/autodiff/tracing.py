"""Whether a function is being traced, and by which recorder.

A function is traced with the numbers of one call, and the trace serves other numbers. So the
*recorder* of the trace notes where the function compares a number, or converts it to a float or to
text. The recorder is in a higher layer (`compiler/frontend/recorder.py`). This file declares the
methods of it that Values call. Both states of this file are context variables: each thread and each
asyncio task has its own.

Start reading at `tracing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol


class TraceRecorder(Protocol):
    """What a trace notes of the uses of its numbers; see `compiler/frontend/recorder.py`."""

    def compare(self, python: Callable[..., Any], x: Any, y: Any) -> Any:
        """The truth of a comparison of a Value with another number."""

    def plain_number(self, value: Any) -> float:
        """The number of a Value as a plain float."""

    def format(self, value: Any) -> None:
        """The number of a Value becomes text."""


_RECORDER: ContextVar[TraceRecorder | None] = ContextVar("the recorder of a trace", default=None)

recorder = _RECORDER.get
"""The recorder of the trace in this thread or task; None if no function is traced."""


def plain_number(value: Any) -> float:
    """The number of a Value as a plain float, which a trace notes as a condition.

    Args:
        value: a Value. `value._data` is for uses that no result of a trace depends on.
    """
    trace = recorder()
    number: float = value._data if trace is None else trace.plain_number(value)
    return number


def is_tracing() -> bool:
    """Whether a function is being traced in this thread or task."""
    return recorder() is not None


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
def tracing(current: TraceRecorder) -> Iterator[None]:
    """Inside the `with`, a function is traced by this recorder."""
    token = _RECORDER.set(current)
    try:
        yield
    finally:
        _RECORDER.reset(token)
