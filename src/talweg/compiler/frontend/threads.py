"""Threads that a traced function starts: they are traced too.

The state of a trace is a context variable, which a new thread does not inherit. So while a function
is traced, `Thread.start` and `ThreadPoolExecutor.submit` run the thread in the context of their
caller. Work that is given to other processes, or to a `multiprocessing` pool, is an error.

Start reading at `followed_threads`.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from talweg.autodiff.tracing import is_tracing
from talweg.errors import TraceError


class _Started:
    """The threads that the traced functions have started, and their first exception."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.error: BaseException | None = None

    def finish(self) -> None:
        """Raise the exception of a thread, or an error if one is still running."""
        if self.error is not None:
            raise self.error
        running = [thread.name for thread in self.threads if thread.is_alive()]
        if running:
            raise TraceError(
                f"the thread {running[0]!r} that the function has started still runs when the "
                "function returns; join it in the function"
            )


_STARTED: contextvars.ContextVar[_Started | None] = contextvars.ContextVar("started", default=None)

_LOCK = threading.Lock()
_open_traces: list[object] = []
_originals: list[tuple[Any, str, Any]] = []


@contextmanager
def followed_threads() -> Iterator[None]:
    """Inside the `with`, threads that are started by a traced function are traced too.

    Raises:
        TraceError: at the end, if such a thread still runs.
    """
    started = _Started()
    token = _STARTED.set(started)
    _install()
    try:
        yield
    finally:
        _STARTED.reset(token)
        _uninstall()
    started.finish()


def _install() -> None:
    """Exchange the methods that start threads; other threads may be tracing at the same time."""
    with _LOCK:
        _open_traces.append(None)
        if len(_open_traces) > 1:
            return
        _exchange(threading.Thread, "start", _start)
        _exchange(ThreadPoolExecutor, "submit", _submit)
        _exchange(ProcessPoolExecutor, "submit", _refuse)
        pools = sys.modules.get("multiprocessing.pool")
        if pools is not None:
            _exchange(pools.Pool, "_check_running", _refuse)


def _uninstall() -> None:
    with _LOCK:
        _open_traces.pop()
        while _originals and not _open_traces:
            owner, name, original = _originals.pop()
            setattr(owner, name, original)


def _exchange(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    original = vars(owner)[name]
    _originals.append((owner, name, original))
    setattr(owner, name, make(original))


def _start(original: Callable[..., Any]) -> Callable[..., Any]:
    def start(thread: threading.Thread) -> None:
        started = _STARTED.get()
        if started is not None and is_tracing():
            started.threads.append(thread)
            context, run = contextvars.copy_context(), thread.run

            def traced_run() -> None:
                try:
                    context.run(run)
                except BaseException as error:  # raised where the function returns
                    started.error = started.error or error

            thread.run = traced_run  # type: ignore[method-assign]
        original(thread)

    return start


def _submit(original: Callable[..., Any]) -> Callable[..., Any]:
    def submit(pool: Any, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if not is_tracing():
            return original(pool, f, *args, **kwargs)
        own = contextvars.copy_context()
        # The pool may start a thread here, which serves others later: it must not be traced.
        return contextvars.Context().run(original, pool, own.run, f, *args, **kwargs)

    return submit


def _refuse(original: Callable[..., Any]) -> Callable[..., Any]:
    def refused(*args: Any, **kwargs: Any) -> Any:
        if is_tracing():
            raise TraceError(
                "a function that is compiled gives work to other processes or to a pool of "
                "multiprocessing; compute in the function itself, or by a ThreadPoolExecutor"
            )
        return original(*args, **kwargs)

    return refused
