"""`talweg explain`: the loops that the lesson's scalar loss really is."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any

from talweg.cli import ending, lesson
from talweg.cli.options import layer_sizes
from talweg.data import lesson_data
from talweg.losses import squared_error
from talweg.nn import MLP

EXAMPLES = """Examples:
  talweg explain
  talweg explain --hidden 16,16"""


def explain(*, hidden: str = "4,4") -> int:
    """Show the loops that the lesson's scalar loss really is.

    The loss of the lesson's network on its four samples is computed once, number by
    number; the loops are found in the list of those operations. For a program of your own
    use tw.explain in Python.

    Args:
        hidden: the sizes of the hidden layers, separated by commas, or none. Unless given: 4,4.

    Returns:
        The exit code.
    """
    from talweg.compiler.explain import explain as explained  # brings NumPy

    data = lesson_data()
    model = lesson.network(random.Random(lesson.SEED), layer_sizes(hidden))
    text = explained(total_loss, model, data.inputs, data.targets)
    sys.stdout.write(f"{text}\n")  # program text: its lines are not to be wrapped
    return ending.FINE


def total_loss(model: MLP, xs: Sequence[Sequence[float]], ys: Sequence[float]) -> Any:
    """The lesson's loss: the sum of squared errors over the samples."""
    predictions = [model(x) for x in xs]
    return sum(squared_error(p, y) for p, y in zip(predictions, ys, strict=True))
