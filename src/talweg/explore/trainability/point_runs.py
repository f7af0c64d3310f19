"""What is trained at a point of a map, and the eager engine's way to train it.

Start reading at `Plan.losses`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from talweg.errors import ArgumentError
from talweg.explore.trainability.axes import LAYERED, Axis
from talweg.losses import Loss
from talweg.optim import Optimizer
from talweg.training.batches import batches_of
from talweg.training.eager_executor import EagerExecutor
from talweg.training.history import RunRecord
from talweg.training.objective import Model, Objective, Sample
from talweg.value import Value

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Plan:
    """What is the same at all points of a map; `trainability_map` says what each means."""

    make_model: Callable[[random.Random], Model]
    samples: Sequence[Sample]
    x: Axis
    y: Axis
    loss: Loss
    reduction: str
    optimizer: Optimizer
    steps: int
    batch_size: int | None
    seed: int

    def model(self) -> Any:
        """A model with the weights that all runs draw."""
        return self.make_model(random.Random(self.seed))

    def check(self) -> float:
        """The loss of the first step at the settings of the first point.

        Raises:
            ArgumentError: if the model has no layer of a number that an axis names, or the
                optimiser refuses settings on the way to the ends of the axes.
        """
        last = [axis.values(14, 2**14 - 1, 1).item() for axis in (self.x, self.y)]
        self.optimizer_at(*last)
        return replace(self, steps=1).losses(self.x.low, self.y.low)[0]

    def optimizer_at(self, x: float, y: float) -> Optimizer:
        """The optimiser of a run, without the rates of `learning_rate` axes.

        Raises:
            ArgumentError: if it refuses a setting, such as a momentum of 1.
        """
        given = {self.x: x, self.y: y}
        own = {axis.setting: value for axis, value in given.items() if axis.setting not in LAYERED}
        made: Optimizer = replace(self.optimizer, **own)  # type: ignore[arg-type]
        return made

    def losses(self, x: float, y: float) -> list[float]:
        """The losses of one run, by the eager engine; shorter than `steps` if it diverged.

        Args:
            x: the setting of the x axis.
            y: the setting of the y axis.
        """
        model = self.model()
        given = {self.x: x, self.y: y}
        own_rates: dict[Value, float] = {}
        # A setting of one layer comes after that of all layers, which it replaces or multiplies.
        for axis, value in sorted(given.items(), key=lambda pair: pair[0].layer is not None):
            chosen = parameters_of_axis(model, axis)
            if axis.setting == "learning_rate":
                own_rates.update((p, value) for p in chosen)
            elif axis.setting == "initial_scale":
                for p in chosen:
                    p.data = p.data * value
        objective = Objective(
            model,
            lambda sample: self.loss(model(sample[0]), sample[1]),
            self.samples,
            mean=self.reduction == "mean",
        )
        executor = EagerExecutor(objective, self.optimizer_at(x, y), own_rates=own_rates)
        order = batches_of(len(self.samples), self.batch_size, random.Random(self.seed))
        record = RunRecord()
        executor.take_steps(list(islice(order, self.steps)), record)
        return record.history.losses

    def measures(self, xs: np.ndarray[Any, Any], ys: np.ndarray[Any, Any]) -> Any:
        """The measure at each point, one run after the other."""
        import numpy as np

        from talweg.explore.trainability.measure import convergence_measure

        table = np.full((len(xs), self.steps), np.nan)
        for row, x, y in zip(table, xs.tolist(), ys.tolist(), strict=True):
            found = self.losses(x, y)
            row[: len(found)] = found
        return convergence_measure(table)


def parameters_of_axis(model: Any, axis: Axis) -> list[Value]:
    """The parameters that a setting concerns: those of one layer, or all.

    Raises:
        ArgumentError: if the model has no such layer.
    """
    if axis.layer is None:
        return list(model.parameters())
    layers = getattr(model, "layers", None)
    if not isinstance(layers, (list, tuple)):
        raise ArgumentError(
            f"{axis.name} needs a model with layers, a list, but {type(model).__name__} has none; "
            f"take {axis.setting}, or give the model that attribute"
        )
    if axis.layer >= len(layers):
        raise ArgumentError(
            f"{axis.name} is asked for, but the model has {len(layers)} layers, "
            f"0 to {len(layers) - 1}"
        )
    return list(layers[axis.layer].parameters())
