"""Trace guards: a traced function is run as plain Python too, and the results are compared.

A trace records the arithmetic of a function. The guards of the recorder and the object guards find
changes of what else it depends on. Some dependences are in none of these, such as a clock: compiled
code would always use the value at the time of the trace. So the first call with other numbers also
runs the function as plain Python, with the arguments as they are given. Its result must be equal,
in every bit, to that of the tape's reference interpreter, which computes the same operations in the
same order.

With the environment variable TALWEG_CHECK=1, which is meant for tests, the comparison is repeated
at calls 2, 4, 8, and so on to 1,024 of each traced program, whatever their numbers. In exact mode
the native code is compared too. Without it, no call after the first comparison takes longer.

Start reading at `TraceGuard.__call__`.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from talweg.autodiff.tracing import uncompiled
from talweg.compiler.frontend.effects import Observer, StateWrite
from talweg.compiler.frontend.pytree import tree_differences, tree_map
from talweg.compiler.frontend.reachable import names_in
from talweg.compiler.frontend.result_template import ResultTemplate
from talweg.compiler.frontend.signature import CallSignature
from talweg.compiler.ir.tape import Tape, run
from talweg.errors import CompilerError, TraceError

_LAST_CALL = 1024
"""The last call at which TALWEG_CHECK=1 compares."""


class TraceGuard:
    """Compares a function with its tape, at the first calls that can show a difference.

    These are the first call, if f calls `type`, which tells a traced number from a float; the first
    call with other numbers; the first call in which Values that are given but
    not read have other numbers; and the first call with other objects, because a model among the
    arguments and one that the function takes from outside may have been the same in the trace.

    Args:
        f: the function.
        tape: its trace.
        template: the result of the trace.
        signature: the call that was traced.
        parameters: the numbers of the parameters then, as bytes.
        unread: the positions of the Values of the call that were not read.
        writes: where f stores numbers outside of itself.
        oracle: what is run in place of f; None for f itself.
        native: returns the computed numbers by machine code, if they must have the bits of f;
            None if not.

    Attributes:
        is_open: whether there is a comparison left to make.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        tape: Tape,
        template: ResultTemplate,
        signature: CallSignature,
        parameters: bytes,
        unread: Sequence[int] = (),
        writes: Sequence[StateWrite] = (),
        oracle: Callable[..., Any] | None = None,
        native: Callable[[bytes, bytes], Sequence[float]] | None = None,
    ) -> None:
        self.f = f
        self.oracle = oracle or f
        self.tape = tape
        self.template = template
        self.unread = unread
        self.writes = writes
        self._traced = self._observed(parameters, signature)
        self._open = [True, bool(unread), bool(signature.guards)]
        self.is_open = True
        self._asks_for_type = _asks_for_type(f)
        self._native = native
        self._repeats = os.environ.get("TALWEG_CHECK") == "1"
        self._calls = 0

    def is_due(self, signature: CallSignature) -> bool:
        """Whether there may be something to compare at a call, found in half a microsecond.

        After the first comparison only other objects are a reason, and these are seldom others.
        """
        numbers, unread, objects = self._open
        if numbers or unread or self._repeats or self._asks_for_type:
            return True
        return objects and [guard.serial for guard in signature.guards] != self._traced[2]

    def _observed(self, parameters: bytes, signature: CallSignature) -> list[Any]:
        """The three things of a call that are compared with those of the trace."""
        values = signature.values
        return [
            (parameters, signature.inputs),
            [values[k]._data for k in self.unread],
            [guard.serial for guard in signature.guards],
        ]

    def __call__(
        self,
        parameters: bytes,
        signature: CallSignature,
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        """Compare, if this call is the first one that differs in one of the three ways.

        With TALWEG_CHECK=1 also compare if this is call 2, 4, 8, ..., 1,024.

        Raises:
            TraceError: if the function returns something else than its tape.
        """
        observed = self._observed(parameters, signature)
        differs = [now != then for now, then in zip(observed, self._traced, strict=True)]
        due = [new and is_open for new, is_open in zip(differs, self._open, strict=True)]
        self._calls += 1
        repeats = self._repeats and _is_power_of_two(self._calls)
        if any(due) or repeats or self._asks_for_type:
            self._compare(parameters, signature, args, kwargs)
            self._asks_for_type = False
            self._open = [a and not b for a, b in zip(self._open, due, strict=True)]
            self._repeats = self._repeats and self._calls < _LAST_CALL
            self.is_open = any(self._open) or self._repeats

    def _compare(
        self,
        parameters: bytes,
        signature: CallSignature,
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        spaces = {
            "w": array("d", parameters).tolist(),
            "x": array("d", signature.inputs).tolist(),
        }
        numbers = run(self.tape, spaces)
        by_tape = self.template.filled(numbers)
        guards = [guard.renewed() for guard in signature.guards]
        with uncompiled(), Observer(guards, self.writes) as observer:
            result = observer.run(self.oracle, args, kwargs)
            by_function = tree_map(result, on_value=lambda value: value._data)
            name = getattr(self.f, "__name__", "the function")
            observer.refuse_changes(self.f)
        for a, b in tree_differences(by_function, by_tape):
            raise TraceError(
                f"{name} returns {a!r} when it is run, "
                f"but {b!r} compiled: it depends on something that has changed since it was "
                "traced and is not compared at each call, such as a clock or a file; give it as "
                "an argument"
            )

        if self._native is not None and self._repeats:
            self._compare_native(numbers, self._native(parameters, signature.inputs))

    def _compare_native(self, numbers: Sequence[float], native: Sequence[float]) -> None:
        """Compare the results of the machine code with those of the reference interpreter."""
        by_output = dict(zip(self.tape.outputs, numbers, strict=True))
        expected = [by_output[output] for output in self.template.computed]
        if _bits(expected) != _bits(native):
            raise CompilerError(
                f"{getattr(self.f, '__name__', 'the function')}: the machine code returns "
                f"{list(native)!r}, but the reference interpreter {expected!r}; please report this"
            )


def _bits(numbers: Sequence[float]) -> bytes:
    """Numbers as bytes; every nan is the same."""
    return array("d", [math.nan if math.isnan(x) else x for x in numbers]).tobytes()


def _is_power_of_two(n: int) -> bool:
    return n > 1 and n & (n - 1) == 0


def _asks_for_type(f: Callable[..., Any]) -> bool:
    """Whether the code of a function names `type`."""
    code = getattr(f, "__code__", None)
    return code is not None and "type" in names_in(code).globals
