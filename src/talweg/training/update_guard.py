"""Checks whether the update of an optimiser can be compiled once, for all steps.

Compiled code evaluates the equation of the update that tracing found. That is the optimiser's own
only if `update` is a function of its arguments. Start reading at `refuse_hidden_state`.
"""

from __future__ import annotations

from copy import copy

from talweg.errors import NativeError
from talweg.optim import Optimizer


def refuse_hidden_state(optimizer: Optimizer) -> None:
    """Refuse an optimiser that counts steps or draws numbers: compiled code repeats its first step.

    A copy of it is called twice with the same numbers.

    Raises:
        NativeError: if the results differ, or `update` fails.
    """
    optimizer = copy(optimizer)
    first, second = _probe(optimizer), _probe(optimizer)
    if first != second:
        raise NativeError(
            f"the optimiser {type(optimizer).__name__} gives another result when update() is "
            "called again with the same numbers; numbers that change between steps must be in the "
            "state"
        )


def refuse_own_rate(optimizer: Optimizer) -> None:
    """Refuse an optimiser whose `update` reads its own `lr` in place of the rate it is given.

    Talweg's own optimisers do not.

    Raises:
        NativeError: if it does, or `update` fails.
    """
    if type(optimizer).__module__ == Optimizer.__module__:
        return
    other = copy(optimizer)
    other.lr = 0.1171875
    if _probe(optimizer) != _probe(other):
        raise NativeError(
            "update() of the optimiser reads self.lr; it must use the lr that it is given"
        )


def _probe(optimizer: Optimizer) -> str:
    """The result of an update of arbitrary numbers, as text, in which nan equals nan."""
    state = optimizer.initial_state()
    try:
        return repr(optimizer.update(0.5, 0.25, state, 0.125, 3.0))
    except Exception as error:
        raise NativeError(
            f"update() of the optimiser failed: {type(error).__name__}: {error}"
        ) from None
