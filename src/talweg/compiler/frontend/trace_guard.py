"""Trace guards: whether a function still computes what was traced.

A trace records arithmetic on Values. A function that reads `.data` and continues with the bare
float would always compute with the number of the day on which it was traced, without an error. So
the first call with other numbers also runs the function as plain Python. Its result must be equal,
in every bit, to that of the tape's reference interpreter, which computes the same operations in
the same order.

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
from talweg.value import Value


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
    ) -> None:
        self.f = f
        self.tape = tape
        self.template = template
        self.unread = unread
        self.writes = writes
        self._traced = self._observed(parameters, signature)
        self._open = [True, bool(unread), bool(signature.guards)]
        self.is_open = True

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
            # As in the trace, a float is given as a Value: f may call its methods.
            given_args, given_kwargs = tree_map([list(args), kwargs], on_float=Value)
            result = observer.run(self.f, given_args, given_kwargs)
            by_function = tree_map(result, on_value=lambda value: value._data)
            name = getattr(self.f, "__name__", "the function")
            if observer.changes or observer.writes != list(self.writes):
                observer.refuse_changes(self.f)
                raise TraceError(
                    f"{name} stores numbers in other places than when it was traced: "
                    f"{_listed(observer.writes)}, but {_listed(self.writes)} compiled"
                )
        for a, b in tree_differences(by_function, by_tape):
            raise TraceError(
                f"{name} returns {a!r} when it is run, "
                f"but {b!r} compiled: it reads .data of a Value, or something else that "
                "changed, and continues with the bare number, which the trace took for a "
                "constant; compute with the Value itself"
            )


def _listed(writes: Sequence[StateWrite]) -> str:
    return ", ".join([write.name for write in writes]) or "nowhere"
