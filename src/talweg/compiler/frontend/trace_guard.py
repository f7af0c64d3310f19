"""Numbers that were frozen into a program: a program that reads `.data` is found out.

Tracing sees arithmetic on Values. A program that reads `.data` and goes on with the bare float
would compute with the number of the day on which it was traced, for ever and silently. So the
first call with other numbers is also run as plain Python, and compared with what the trace
says, operation by operation in the same order: the results must be equal to the last bit.

Start reading at `Check`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from talweg.autodiff.tracing import plainly
from talweg.compiler.frontend.object_guard import FIXED
from talweg.compiler.frontend.pytree import rebuilt
from talweg.compiler.frontend.signature import Flat
from talweg.compiler.frontend.trace import Trace
from talweg.compiler.ir.tape import run
from talweg.errors import TraceError
from talweg.value import Value


class Check:
    """Compares a program with its function, at the first calls that can tell them apart.

    These are the first call with other numbers, the first in which Values have changed that are
    given and not read, and the first with other objects: while a function is traced, a model
    that it is given and one that it takes from outside may be the same.

    Args:
        f: the function.
        traced: what it did when it was traced.
        flat: the call that was traced.
        w: the parameters then, as bytes.
        unread: the places of the Values that were given and not read.

    Attributes:
        is_open: whether there is anything left to compare.
    """

    def __init__(
        self, f: Callable[..., Any], traced: Trace, flat: Flat, w: bytes, unread: Sequence[int]
    ) -> None:
        self.f = f
        self.tape = traced.tape
        self.output = emptied(traced.output)
        self.unread = unread
        self._first: list[Any] = self._seen(w, flat)
        self._open = [True, bool(unread), bool(flat.looks)]
        self.is_open = True

    def _seen(self, w: bytes, flat: Flat) -> list[Any]:
        """What other calls are compared with, in three parts."""
        values = flat.values
        return [
            (w, b"".join(flat.chunks)),
            [values[k].data for k in self.unread],
            [look.serial for look in flat.looks],
        ]

    def __call__(self, w: bytes, flat: Flat, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Compare, if this call is one of the first in one of the three ways.

        Raises:
            TraceError: if the function gives something else than its program.
        """
        seen = self._seen(w, flat)
        news = [a != b for a, b in zip(seen, self._first, strict=True)]
        due = [new and is_open for new, is_open in zip(news, self._open, strict=True)]
        if any(due):
            self._compare(w, seen[0][1], args, kwargs)
            self._open = [a and not b for a, b in zip(self._open, due, strict=True)]
            self.is_open = any(self._open)

    def _compare(self, w: bytes, x: bytes, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        spaces = {"w": array("d", w).tolist(), "x": array("d", x).tolist()}
        numbers = iter(run(self.tape, spaces))
        compiled = rebuilt(self.output, float, lambda _: next(numbers))
        with plainly():
            # As in the trace, a float comes as a Value: f may call its methods.
            given = rebuilt([list(args), kwargs], Value, lambda value: value)
            result = self.f(*given[0], **given[1])
            found = rebuilt(result, float, lambda value: value.data)
        for a, b in _differences(found, compiled):
            raise TraceError(
                f"{getattr(self.f, '__name__', 'the function')} gives {a!r} when it is run, "
                f"but {b!r} compiled: it reads .data of a Value, or something else that "
                "changed, and goes on with the bare number, which was traced as a constant"
            )


def _differences(a: Any, b: Any) -> Iterator[tuple[Any, Any]]:
    """What is in one place of a nest and not in the same place of another."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.shape == b.shape:
        a, b = a.ravel().tolist(), b.ravel().tolist()
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        a, b = list(a.values()), list(b.values())
    if is_dataclass(a) and type(a) is type(b):
        a, b = [[getattr(x, f.name) for f in fields(a) if f.init] for x in (a, b)]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for parts in zip(a, b, strict=True):
            yield from _differences(*parts)
    elif not (a is b or a == b or (a != a and b != b)):  # noqa: PLR0124 - neither is a number
        yield a, b


_PLACE = Value(0.0)  # stands for every Value of a result


def emptied(output: Any) -> Any:
    """A result without its Values, which have the whole traced graph behind them.

    Raises:
        TraceError: if there is a thing in it in which Values may hide.
    """
    _refuse_others(output)
    return rebuilt(output, float, lambda _: _PLACE)


def _refuse_others(x: Any) -> None:
    if isinstance(x, (Value, float, np.generic, *FIXED)):
        return
    if isinstance(x, (list, tuple)):
        parts: list[Any] = list(x)
    elif isinstance(x, dict):
        parts = list(x.values())
    elif isinstance(x, np.ndarray):
        parts = x.ravel().tolist() if x.dtype.kind == "O" else []
    elif is_dataclass(x) and not isinstance(x, type) and not hasattr(x, "parameters"):
        parts = [getattr(x, f.name) for f in fields(x) if f.init]
    else:
        raise TraceError(
            f"the function returned {x!r}; a compiled function returns numbers, and lists, tuples, "
            "dictionaries, dataclasses and arrays of them"
        )
    for part in parts:
        _refuse_others(part)
