"""The runs of a map by the eager engine, one point after the other.

Start reading at `run_losses`.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

from talweg._util.arrays import Array
from talweg.explore.trainability.measure import convergence_measure
from talweg.explore.trainability.specification import MapSpecification, parameters_of_axis
from talweg.training.batches import batches_of
from talweg.training.eager_executor import EagerExecutor
from talweg.training.history import RunRecord
from talweg.training.objective import Objective
from talweg.value import Value


def run_losses(specification: MapSpecification, x: float, y: float) -> list[float]:
    """The losses of the run at one point; fewer than its steps if it diverged.

    Args:
        specification: what all runs share.
        x: the setting of the x axis.
        y: the setting of the y axis.
    """
    model = specification.model()
    values = {specification.plane.x: x, specification.plane.y: y}
    own_rates: dict[Value, float] = {}
    # The setting of a single layer comes after that of all layers, which it replaces or scales.
    for axis, value in sorted(values.items(), key=lambda pair: pair[0].layer is not None):
        if axis.setting == "learning_rate":
            own_rates.update((p, value) for p in parameters_of_axis(model, axis))
        elif axis.setting == "initial_scale":
            for p in parameters_of_axis(model, axis):
                p.data = p.data * value
    samples = specification.samples
    objective = Objective(
        model,
        lambda sample: specification.loss_of(model, sample),
        samples,
        mean=specification.mean,
    )
    executor = EagerExecutor(objective, specification.optimizer_at(x, y), own_rates=own_rates)
    batches = batches_of(len(samples), specification.batch_size, random.Random(specification.seed))
    record = RunRecord()
    executor.take_steps(list(islice(batches, specification.steps)), record)
    return record.history.losses


def run_measures(specification: MapSpecification, xs: Array, ys: Array) -> Array:
    """The measure of the run at each point, see `convergence_measure`.

    Args:
        specification: what all runs share.
        xs: the setting of the x axis at each point.
        ys: the setting of the y axis at each point.
    """
    import numpy as np

    losses = np.full((len(xs), specification.steps), np.nan)
    for row, x, y in zip(losses, xs.tolist(), ys.tolist(), strict=True):
        found = run_losses(specification, x, y)
        row[: len(found)] = found
    return convergence_measure(losses)


def first_loss(specification: MapSpecification) -> float:
    """The loss of the first step at the first point of a map.

    Raises:
        ArgumentError: if the model does not have a layer that an axis names, or a setting is not
            valid for the optimiser at the last point.
    """
    x, y = specification.plane.x, specification.plane.y
    last = [axis.values(14, 2**14 - 1, 1).item() for axis in (x, y)]
    specification.optimizer_at(*last)
    return run_losses(replace(specification, steps=1), x.low, y.low)[0]
