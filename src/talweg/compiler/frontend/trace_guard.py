"""Trace guards: whether a function still computes what was traced.

A trace records the arithmetic of a function, and guards tell what else it depends on. What neither
of them has seen, such as a clock, would always be as it was when the function was traced, without
an error. So the first call with other numbers also runs the function as plain Python, with the
arguments as they are given. Its result must be equal, in every bit, to that of the tape's reference
interpreter, which computes the same operations in the same order.

Start reading at `TraceGuard.__call__`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from talweg.autodiff.tracing import uncompiled
from talweg.compiler.frontend.effects import Observer, StateWrite
from talweg.compiler.frontend.pytree import tree_differences, tree_map
from talweg.compiler.frontend.result_template import ResultTemplate
from talweg.compiler.frontend.signature import CallSignature
from talweg.compiler.ir.tape import Tape, run
from talweg.errors import TraceError


class TraceGuard:
    """Compares a function with its tape, at the first calls that can show a difference.

    These are the first call with other numbers; the first call in which Values that are given but
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

    def is_due(self, signature: CallSignature) -> bool:
        """Whether there may be something to compare at a call, found in half a microsecond.

        After the first comparison only other objects are a reason, and these are seldom others.
        """
        numbers, unread, objects = self._open
        if numbers or unread:
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

        Raises:
            TraceError: if the function returns something else than its tape.
        """
        observed = self._observed(parameters, signature)
        differs = [now != then for now, then in zip(observed, self._traced, strict=True)]
        due = [new and is_open for new, is_open in zip(differs, self._open, strict=True)]
        if any(due):
            self._compare(parameters, signature, args, kwargs)
            self._open = [a and not b for a, b in zip(self._open, due, strict=True)]
            self.is_open = any(self._open)

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
        by_tape = self.template.filled(run(self.tape, spaces))
        guards = [guard.renewed() for guard in signature.guards]
        with uncompiled(), Observer(guards) as observer:
            result = observer.run(self.oracle, args, kwargs)
            name = getattr(self.f, "__name__", "the function")
            if observer.changes or not set(observer.writes) <= set(self.writes):
                observer.refuse_changes(self.f)
                raise TraceError(
                    f"{name} stores numbers in other places than when it was traced: "
                    f"{_listed(observer.writes)}, but {_listed(self.writes)} compiled"
                )
            result = self._with_states(result, observer, guards)
            by_function = tree_map(result, on_value=lambda value: value._data)
        for a, b in tree_differences(by_function, by_tape):
            raise TraceError(
                f"{name} returns {a!r} when it is run, "
                f"but {b!r} compiled: it depends on something that has changed since it was "
                "traced, and that is neither a number nor an object that it reads; give it as an "
                "argument"
            )


    def _with_states(self, result: Any, observer: Observer, guards: Sequence[ObjectGuard]) -> Any:
        """What the function returned, with an item for each place where its tape stores one.

        Where the function has stored the number that was there, it has changed nothing.
        """
        if not self.writes:
            return result
        output, items = result if observer.writes else (result, [])
        stored = dict(zip(observer.writes, items, strict=True))
        return output, [
            stored[w] if w in stored else guards[w.guard].places[w.place].saved[w.key]
            for w in self.writes
        ]


def _listed(writes: Sequence[StateWrite]) -> str:
    return ", ".join([write.name for write in writes]) or "nowhere"
