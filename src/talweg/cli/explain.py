"""`talweg explain`: the loops that the compiler recovers from the trace of the lesson's loss."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any

from talweg.cli import exit_codes, lesson
from talweg.cli.command import Command
from talweg.cli.defaults import LESSON
from talweg.cli.option_values import layer_sizes
from talweg.data import lesson_data
from talweg.losses import squared_error
from talweg.nn import MLP


def explain(*, hidden: str = "4,4") -> int:
    """Show the loops that the compiler recovers from the lesson's scalar loss.

    The loss of the lesson's network on its four samples is traced operation by operation, and
    the loops are recovered from this list. For a program of your own use tw.explain in Python.

    Args:
        hidden: the sizes of the hidden layers, separated by commas, or none. Unless given: 4,4.

    Returns:
        The exit code.
    """
    from talweg.compiler.explain import explain as explained  # loads NumPy

    data = lesson_data()
    model = lesson.network(random.Random(LESSON.seed), layer_sizes(hidden))
    text = explained(total_loss, model, data.inputs, data.targets)
    sys.stdout.write(f"{text}\n")  # program text, whose lines must not be wrapped
    return exit_codes.FINE


def total_loss(model: MLP, xs: Sequence[Sequence[float]], ys: Sequence[float]) -> Any:
    """The lesson's loss: the sum of squared errors over the samples."""
    predictions = [model(x) for x in xs]
    return sum(squared_error(p, y) for p, y in zip(predictions, ys, strict=True))


COMMAND = Command(
    run=explain,
    usage="[OPTIONS]",
    examples=("talweg explain", "talweg explain --hidden 16,16"),
)
