"""The recorder of a trace: it notes the guards, the conditions on the numbers of a call.

A trace serves the calls in which the function branches the same way and uses the same plain
numbers. While the function is traced, `frontend/traced_numbers.py` tells the recorder of each
comparison that is used as a condition (`if x > 0`), and of each number that is used as a plain
number (`int(x)`). The recorder notes each of them once, as a `Guard`: a Value of the traced graph,
and the number that it must have, in every bit. `compiler/paths.py` evaluates the guards at a call.

Start reading at `Recorder`.
"""

from __future__ import annotations

import ast
import functools
import linecache
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from talweg import ops
from talweg.autodiff.tracing import recorder, tracing
from talweg.compiler.frontend.traced_numbers import TracedFloat, compared
from talweg.errors import TraceError, TraceWarning
from talweg.value import Value

_PACKAGE = str(Path(__file__).resolve().parents[2])

_PRINTING = ("print", "pprint", "write", "debug", "info", "warning", "error", "log", "exception",
             "set_postfix", "set_description")  # fmt: skip
"""The functions whose arguments are shown to a reader, and not used by the program."""


@dataclass(frozen=True)
class Guard:
    """A condition on the numbers of a call.

    Attributes:
        node: the Value that must have the same number as in the trace.
        is_truth: whether it is the truth of a comparison (0.0 or 1.0), or a pinned number.
        file: the file of the line that asked for it.
        line: the number of that line.
        refusal: the error if the function is differentiated by what the number depends on, because
            no derivative passes through a function of `math`.
    """

    node: Value
    is_truth: bool
    file: str
    line: int
    refusal: Exception | None = None

    @property
    def place(self) -> str:
        """The line in words."""
        return place(self.file, self.line)


class Recorder:
    """The guards of one trace.

    Args:
        is_exact: whether the compiled program must have the bits of the program.
        is_ieee: whether floats stand for Values: their arithmetic raises no exceptions, and they
            have the methods of Values.

    Attributes:
        guards: the conditions so far, in the order in which the program asked for them.
    """

    def __init__(self, *, is_exact: bool = False, is_ieee: bool = False) -> None:
        self.is_exact = is_exact
        self.is_ieee = is_ieee
        self.guards: list[Guard] = []
        self._guarded: set[int] = set()
        self._detached: dict[int, Value] = {}  # for Values whose data was read, by serial

    def require(self, truth: Value) -> None:
        """Note that the truth of a comparison must be the same."""
        self._note(truth, truth, is_truth=True)

    def pin(self, node: Value, refusal: Exception | None = None) -> None:
        """Note that a number must be the same, in every bit.

        Args:
            node: the Value with this number.
            refusal: the error if the function is differentiated by what the number depends on.
        """
        if node._serial not in self._guarded or refusal is not None:
            self._guarded.discard(node._serial)
            self._note(node, Value._apply(ops.detach, [node]), is_truth=False, refusal=refusal)

    def format(self, node: Value) -> None:
        """Note that a number was made text. It is pinned, unless the text is only printed."""
        if not _is_printed(_user_frames(sys._getframe(1))):
            self.pin(node)
            return
        warnings.warn(
            "the function prints a number; compiled code does not print: the line is run only "
            "when the function is traced",
            TraceWarning,
            stacklevel=2,
        )

    def compare(self, python: Callable[..., Any], x: Any, y: Any) -> Any:
        """The truth of a comparison of a Value with another number."""
        return compared(python, x, y)

    def plain_number(self, value: Value) -> float:
        """The number of a Value as a plain float: it must be the same."""
        self.pin(value)
        return value._data

    def number_of(self, value: Value) -> TracedFloat:
        """The number of a Value, as `.data` returns it: no derivative passes through it."""
        found = self._detached.get(value._serial)
        if found is None:
            found = self._detached[value._serial] = Value._apply(ops.detach, [value])
        return TracedFloat(found, float)

    def _note(
        self, asked: Value, node: Value, *, is_truth: bool, refusal: Exception | None = None
    ) -> None:
        if asked._serial in self._guarded:
            return
        self._guarded.add(asked._serial)
        frame = next(_user_frames(sys._getframe(1)), None)
        file, line = (frame.f_code.co_filename, frame.f_lineno) if frame else ("?", 0)
        self.guards.append(Guard(node, is_truth, file, line, refusal))


# ---- the attribute `data` while a function is traced -----------------------------------------

_DATA: property = Value.__dict__["data"]
_LOCK = threading.Lock()
_OPEN: list[Recorder] = []
"""The recorders of all traces, in all threads."""


def _data_of(value: Value) -> Any:
    current = recorder()
    return current.number_of(value) if isinstance(current, Recorder) else value._data


def _assign_data(value: Value, number: Any) -> None:
    if recorder() is not None:
        raise TraceError(
            f"{_place_of_user()} assigns .data of a Value while the function is traced; return "
            "the new number from the function, and assign it after the call"
        )
    _DATA.__set__(value, number)


_TRACED_DATA = property(_data_of, _assign_data, doc=_DATA.__doc__)


@contextmanager
def recording(current: Recorder) -> Iterator[None]:
    """Inside the `with`, a function is traced by this recorder, and `.data` gives traced numbers.

    The property `Value.data` is exchanged for this time, so that it is fast at all others. In other
    threads it returns plain numbers as before.
    """
    with _LOCK:
        _OPEN.append(current)
        setattr(Value, "data", _TRACED_DATA)  # noqa: B010 - type checkers know it as a property
    try:
        with tracing(current):
            yield
    finally:
        with _LOCK:
            _OPEN.remove(current)
            if not _OPEN:
                setattr(Value, "data", _DATA)  # noqa: B010


# ---- the lines of the user -------------------------------------------------------------------


def _user_frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames outside of this package, from the inner to the outer."""
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            yield frame
        frame = frame.f_back


def _place_of_user() -> str:
    frame = next(_user_frames(sys._getframe(1)), None)
    return place(frame.f_code.co_filename, frame.f_lineno) if frame else "a line"


def place(file: str, line: int) -> str:
    """A line in words, such as `model.py, line 3 (if x > 0.0:)`."""
    text = linecache.getline(file, line).strip()
    return f"{Path(file).name}, line {line}{f' ({text})' if text else ''}"


def _is_printed(frames: Iterator[FrameType]) -> bool:
    """Whether the innermost line of the user makes text that is only printed or logged."""
    frame = next(frames, None)
    if frame is None:
        return False
    if frame.f_globals.get("__name__", "").split(".")[0] == "logging":
        return True
    positions = _positions(frame)
    if positions is None:
        return False
    return any(
        first <= positions[0] and positions[1] <= last
        for first, last in _printing_calls(frame.f_code.co_filename)
    )


def _positions(frame: FrameType) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Where the instruction of a frame stands: its first and last (line, column)."""
    every: list[Any] = list(frame.f_code.co_positions())
    line, last_line, column, last_column = every[frame.f_lasti // 2]
    if None in (line, last_line, column, last_column):
        return None
    return (line, column), (last_line, last_column)


def _printing_calls(file: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where the calls of functions that print stand in a file, as (first, last) positions."""
    return _calls_in("".join(linecache.getlines(file)))


@functools.lru_cache(maxsize=16)
def _calls_in(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in _PRINTING:
                last = (node.end_lineno or node.lineno, node.end_col_offset or 0)
                found.append(((node.lineno, node.col_offset), last))
    return found
