"""One step of an optimiser for all parameters.

`apply_update` applies an optimiser's equation to each parameter. `finite_update` is the whole
update of a training step: clip the gradient, apply the equation, test that all numbers are finite.
Native code does the same in `talweg.compiler.codegen.train_step`. The equations are in
`talweg.optim`. Start reading at `finite_update`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, TypeAlias

Number: TypeAlias = Any
State: TypeAlias = tuple[Number, ...]

Update: TypeAlias = Callable[[Number, Number, State, Number, Number], tuple[Number, State]]
"""An optimiser's equation for one parameter: (p, g, state, lr, step) -> (p, state)."""


def apply_update(
    update: Update,
    parameters: Iterable[Number],
    gradient: Iterable[Number],
    states: Iterable[State],
    lr: Number | Sequence[Number],
    step: Number,
) -> Iterator[tuple[Number, State]]:
    """Apply an optimiser's equation to each parameter in turn.

    Args:
        update: the equation.
        parameters: the parameters.
        gradient: the derivative of the loss by each parameter.
        states: the optimiser's state of each parameter.
        lr: the learning rate of this step, one for all parameters or one for each of them.
        step: the number of this step, 1.0 for the first.

    Yields:
        The next value and the next state of each parameter. Each is computed when it is asked
        for.

    >>> from talweg.optim import SGD
    >>> list(apply_update(SGD(0.1).update, [1.0, 2.0], [2.0, 0.0], [(), ()], 0.1, 1.0))
    [(0.8, ()), (2.0, ())]
    >>> list(apply_update(SGD(0.1).update, [1.0, 2.0], [2.0, 2.0], [(), ()], [0.1, 0.5], 1.0))
    [(0.8, ()), (1.0, ())]
    """
    rates = lr if isinstance(lr, Sequence) else repeat(lr)
    numbers = zip(parameters, gradient, states, strict=True)
    for (p, g, state), rate in zip(numbers, rates, strict=False):
        yield update(p, g, state, rate, step)


def finite_update(
    update: Update,
    parameters: Sequence[float],
    gradient: Sequence[float],
    states: Sequence[State],
    lr: float | Sequence[float],
    step: float,
    *,
    loss: float,
    clip_norm: float | None = None,
) -> tuple[list[float], list[State]] | None:
    """The update of a training step: clip the gradient, apply the equation, test the result.

    Args:
        update: the optimiser's equation.
        parameters: the parameters.
        gradient: the derivative of the loss by each parameter.
        states: the optimiser's state of each parameter.
        lr: the learning rate of this step, one for all parameters or one for each of them.
        step: the number of this step, 1.0 for the first.
        loss: the loss at the parameters.
        clip_norm: the largest length of the gradient; a longer one is scaled to it.

    Returns:
        The next parameters and their states; None if the loss, a derivative or a next parameter
        is not finite: the step has diverged, and the parameters are to stay as they are.

    >>> from talweg.optim import SGD
    >>> finite_update(SGD(0.1).update, [1.0], [4.0], [()], 0.1, 1.0, loss=3.0, clip_norm=2.0)
    ([0.8], [()])
    >>> finite_update(SGD(0.1).update, [1.0], [4.0], [()], 0.1, 1.0, loss=math.inf) is None
    True
    """
    used = clip_gradient(gradient, clip_norm)
    updated = list(apply_update(update, parameters, used, states, lr, step))
    numbers = [p for p, _ in updated]
    if not all(map(math.isfinite, [loss, *gradient, *numbers])):
        return None
    return numbers, [state for _, state in updated]


def clip_gradient(gradient: Sequence[float], clip_norm: float | None) -> Sequence[float]:
    """The gradient, scaled to the length `clip_norm` if it is longer; None leaves it as it is.

    >>> clip_gradient([3.0, 4.0], 2.5)
    [1.5, 2.0]
    """
    if clip_norm is None:
        return gradient
    length = math.hypot(*gradient)
    if length <= clip_norm:
        return gradient
    return [g * (clip_norm / length) for g in gradient]
