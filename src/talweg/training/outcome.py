"""The sentences of `History.verdict`: how a run diverged, and how its loss changed.

They are functions of recorded data; a sweep writes the verdicts of its runs with them too. Start
reading at `describe_divergence`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from talweg.training.history import ADVICE, History
from talweg.training.objective import Objective


def describe_divergence(losses: Sequence[float], gradient: float, name: str) -> str:
    """The verdict on a run that diverged in its last step.

    Args:
        losses: the training loss of each step, that of the last step included.
        gradient: the largest derivative of the last step, by `largest_gradient`.
        name: the name of the parameter that it belongs to.

    Example:
        >>> describe_divergence([2.0, 0.5, math.inf], math.nan, "w")
        'diverged at step 3: the loss is inf after 0.5, the largest gradient nan (w); try a smaller learning rate or clip_norm'
    """  # noqa: E501
    before = f" after {losses[-2]:.6g}" if len(losses) > 1 else ""
    overflows = math.isfinite(losses[-1]) and math.isfinite(gradient)
    return (
        f"diverged at step {len(losses)}: the loss is {losses[-1]:.6g}{before}, the largest "
        f"gradient {gradient:.6g} ({name})"
        f"{', and the update is not finite' if overflows else ''}; {ADVICE}"
    )


def explain_divergence(objective: Objective, losses: Sequence[float]) -> str:
    """The verdict on a run that diverged in its last step, whose gradient the parameters hold.

    Args:
        objective: what was trained.
        losses: the training loss of each step, that of the last step included.
    """
    gradient = [p.grad for p in objective.parameters]
    worst = largest_gradient(gradient)
    return describe_divergence(losses, gradient[worst], parameter_name(objective.model, worst))


def largest_gradient(gradient: Sequence[float]) -> int:
    """The index of the largest derivative by absolute value; nan counts as infinite.

    Of equal ones it is the first.

    >>> largest_gradient([1.0, -3.0, 3.0]), largest_gradient([1.0, math.nan, math.inf])
    (1, 1)
    """
    sizes = [math.inf if math.isnan(g) else abs(g) for g in gradient]
    return sizes.index(max(sizes))


def parameter_name(model: Any, index: int) -> str:
    """The name of a parameter, or its index in a model without `named_parameters()`."""
    named = getattr(model, "named_parameters", None)
    return list(named())[index][0] if named else f"parameter {index}"


def describe_loss_change(history: History, *, batches: bool) -> str:
    """The first and the last loss of a run in words.

    Args:
        history: the record of the run.
        batches: whether steps take batches. Training losses are then those of different examples,
            and the validation loss is reported, if there is one.

    Example:
        >>> describe_loss_change(History(losses=[4.0, 1.0]), batches=False)
        'the loss went from 4 to 1'
    """
    if not history.losses:
        return "no step was made"
    which, curve = "the loss", history.losses
    if batches and history.validation_losses:
        which, curve = "the validation loss", [loss for _, loss in history.validation_losses]
    elif batches:
        return f"the loss was {curve[0]:.6g} on the first batch and {curve[-1]:.6g} on the last"
    return f"{which} went from {curve[0]:.6g} to {curve[-1]:.6g}"
