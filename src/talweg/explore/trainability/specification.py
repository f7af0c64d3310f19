"""What a map is made of: the model, the data, and the settings that all its runs share.

Start reading at `MapSpecification`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from talweg.errors import ArgumentError
from talweg.explore.trainability.axes import LAYER_SETTINGS, Axis, Plane
from talweg.losses import Loss
from talweg.optim import Optimizer
from talweg.training.objective import Model, Sample
from talweg.value import Value


@dataclass(frozen=True)
class MapSpecification:
    """What is the same at all points of a map, and the two settings that differ.

    The attributes are the arguments of `talweg.trainability_map` that have the same names.

    Attributes:
        plane: the axes; they replace the settings of the optimiser and the initial weights.
    """

    make_model: Callable[[random.Random], Model]
    samples: Sequence[Sample]
    plane: Plane
    loss: Loss
    reduction: str
    optimizer: Optimizer
    steps: int
    batch_size: int | None
    seed: int

    @property
    def mean(self) -> bool:
        """Whether the loss of a step is the mean over its samples, and not the sum."""
        return self.reduction == "mean"

    def model(self) -> Any:
        """A new model with the weights that all runs start from."""
        return self.make_model(random.Random(self.seed))

    def loss_of(self, model: Any, sample: Sample) -> Any:
        """The loss of a model on one sample."""
        return self.loss(model(sample[0]), sample[1])

    def optimizer_at(self, x: float, y: float) -> Optimizer:
        """The optimiser of the run at a point, without the rates of learning-rate axes.

        Raises:
            ArgumentError: if a setting is not valid for the optimiser, such as a momentum of 1.
        """
        values = {self.plane.x: x, self.plane.y: y}
        settings: dict[str, Any] = {
            axis.setting: value
            for axis, value in values.items()
            if axis.setting not in LAYER_SETTINGS
        }
        changed: Optimizer = replace(self.optimizer, **settings)
        return changed

    def description(self, first_loss: float) -> dict[str, Any]:
        """What the map is, as plain JSON data: maps with the same description are equal.

        The content of functions cannot be compared. The loss of the first step represents the
        model and the loss function, because it depends on all their equations.

        Args:
            first_loss: the loss of the first step at the first point.
        """
        return {
            "steps": self.steps,
            "reduction": self.reduction,
            "loss": getattr(self.loss, "__qualname__", type(self.loss).__name__),
            "optimizer": repr(self.optimizer),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "samples": len(self.samples),
            "data": _digest([(list(inputs), target) for inputs, target in self.samples]),
            "weights": _digest([p.data for p in self.model().parameters()]),
            "first_loss": first_loss.hex(),
        }


def _digest(data: Any) -> str:
    return hashlib.sha256(repr(data).encode()).hexdigest()[:16]


def parameters_of_axis(model: Any, axis: Axis) -> list[Value]:
    """The parameters that the setting of an axis applies to: those of one layer, or all.

    Raises:
        ArgumentError: if the model does not have the layer.
    """
    if axis.layer is None:
        return list(model.parameters())
    layers = getattr(model, "layers", None)
    if not isinstance(layers, (list, tuple)):
        raise ArgumentError(
            f"{axis.name} needs a model with an attribute `layers`, a list, but "
            f"{type(model).__name__} has none; give the model one, or map {axis.setting}"
        )
    if axis.layer >= len(layers):
        raise ArgumentError(
            f"{axis.name} names layer {axis.layer}, but the model has {len(layers)} layers, "
            f"0 to {len(layers) - 1}"
        )
    return list(layers[axis.layer].parameters())
