"""The recorder of a trace: which conditions a call must satisfy to be served by the trace.

While a function is traced, a comparison whose truth is asked, and a number that is used as a plain
number, are conditions on the numbers of the call. The recorder notes each of them once, as a
`Guard`: a Value of the traced graph, and the number that it must have, in every bit.

Start reading at `Recorder`; `frontend/traced_numbers.py` calls it.
"""

from __future__ import annotations

import ast
import functools
import linecache
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from talweg import ops
from talweg.errors import TraceWarning
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
    """

    node: Value
    is_truth: bool
    file: str
    line: int

    @property
    def place(self) -> str:
        """The line in words, such as `model.py, line 3 (if x > 0.0:)`."""
        text = linecache.getline(self.file, self.line).strip()
        return f"{Path(self.file).name}, line {self.line}{f' ({text})' if text else ''}"


class Recorder:
    """The guards of one trace.

    Args:
        is_exact: whether the compiled program must have the bits of the program.
        is_ieee: whether floats stand for Values: their arithmetic raises no exceptions, and they
            have the methods of Values.

    Attributes:
        guards: the conditions so far, in the order in which the program asked for them.
        detached: for each Value whose `data` was read, by serial, the Value of its number.
    """

    def __init__(self, *, is_exact: bool = False, is_ieee: bool = False) -> None:
        self.is_exact = is_exact
        self.is_ieee = is_ieee
        self.guards: list[Guard] = []
        self.detached: dict[int, Value] = {}
        self._guarded: set[int] = set()

    def require(self, truth: Value) -> None:
        """Note that the truth of a comparison must be the same."""
        self._note(truth, truth, is_truth=True)

    def pin(self, node: Value) -> None:
        """Note that a number must be the same, in every bit."""
        if node._serial not in self._guarded:
            self._note(node, Value._apply(ops.detach, [node]), is_truth=False)

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

    def number_of(self, value: Value) -> Value:
        """The number of a Value as a Value through which no derivative passes."""
        found = self.detached.get(value._serial)
        if found is None:
            found = self.detached[value._serial] = Value._apply(ops.detach, [value])
        return found

    def _note(self, asked: Value, node: Value, *, is_truth: bool) -> None:
        if asked._serial in self._guarded:
            return
        self._guarded.add(asked._serial)
        frame = next(_user_frames(sys._getframe(1)), None)
        file, line = (frame.f_code.co_filename, frame.f_lineno) if frame else ("?", 0)
        self.guards.append(Guard(node, is_truth, file, line))


# ---- the lines of the user -------------------------------------------------------------------


def _user_frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames outside of this package, from the inner to the outer."""
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            yield frame
        frame = frame.f_back


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
        first <= positions[:2] and positions[2:] <= last
        for first, last in _printing_calls(frame.f_code.co_filename)
    )


def _positions(frame: FrameType) -> tuple[int, int, int, int] | None:
    """Where the instruction of a frame stands: (line, column, last line, last column)."""
    every: list[Any] = list(frame.f_code.co_positions())
    line, last_line, column, last_column = every[frame.f_lasti // 2]
    if None in (line, last_line, column, last_column):
        return None
    return line, column, last_line, last_column


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
