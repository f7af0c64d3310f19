"""The runs of a map by native code, with a run in each SIMD lane.

All runs have one model, whose initial weights may be scaled, and parameters are divided into
ranges that share a learning rate. A setting of the optimiser that is zero is left out of its
equation, so there is one program for each choice of which settings on the axes are zero.

Start reading at `PointLanes.__call__`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np

from talweg._util.arrays import Array
from talweg.errors import NativeError
from talweg.explore.trainability.axes import LAYER_SETTINGS, Axis
from talweg.explore.trainability.measure import convergence_measure
from talweg.explore.trainability.specification import MapSpecification, parameters_of_axis
from talweg.training.lane_executor import LaneExecutor
from talweg.training.model_program import ModelProgram
from talweg.training.optimizer_family import Family, family_of, first_rates

Points: TypeAlias = tuple[Array, Array]
"""The settings of the x axis and of the y axis at some points."""

_LOSSES_AT_ONCE = 2**21
"""About how many losses each thread has in memory: 16 MB."""


@dataclass(frozen=True)
class PointJob:
    """What is sent to workers; see `talweg.explore.tasks.Job`.

    Attributes:
        specification: what all runs share.
        mode: "default" or "exact".
        token: a name that no other job has.
    """

    specification: MapSpecification
    mode: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def prepare(self) -> PointLanes:
        """Compile the program in this process."""
        return PointLanes(self.specification, self.mode)


class PointLanes:
    """Computes the measures of points by native code; see `talweg.explore.tasks.Work`.

    Args:
        specification: what all runs share.
        mode: "default" or "exact".

    Raises:
        NativeError: if the model, the loss, the data or the optimiser cannot be compiled.
    """

    def __init__(self, specification: MapSpecification, mode: str) -> None:
        self.specification, self.mode = specification, mode
        self.axes = (specification.plane.x, specification.plane.y)
        self.optimizer_axes = [
            k for k, axis in enumerate(self.axes) if axis.setting not in LAYER_SETTINGS
        ]
        model = specification.model()
        self.weights = np.array([p.data for p in model.parameters()])
        self.indices = [_indices_of_axis(model, axis) for axis in self.axes]
        self.ranges = self._ranges()
        self._refuse_dependent_settings()
        self._program = ModelProgram(
            model,
            specification.samples,
            specification.loss_of,
            mean=specification.mean,
            batch_size=specification.batch_size,
        )
        self._executors: dict[tuple[str, ...], LaneExecutor] = {}
        self._compiling = threading.Lock()
        self._stopped = threading.Event()
        # Compile for the lower ends now: an error must be raised here, not by a worker.
        self._executor_for({self.axes[k].setting: self.axes[k].low for k in self.optimizer_axes})

    def fresh(self) -> PointLanes:
        """A copy with the same native code that is not stopped."""
        other = copy(self)
        other._stopped = threading.Event()
        return other

    def stop(self) -> None:
        """Make all calls return soon; their results are not valid."""
        self._stopped.set()

    def __call__(self, points: Points) -> Array:
        """The measure at each point."""
        measures = np.empty(len(points[0]))
        for indices in self._batches(points):
            measures[indices] = self._measures((points[0][indices], points[1][indices]))
        return measures

    def _batches(self, points: Points) -> Iterator[Array]:
        """The indices of points that one program computes, a limited number at a time."""
        size = max(8, _LOSSES_AT_ONCE // self.specification.steps)
        pattern = np.zeros(len(points[0]), dtype=np.int64)  # which settings are zero, one bit each
        for bit, k in enumerate(self.optimizer_axes):
            pattern += (points[k] == 0.0) * (1 << bit)
        for each in np.unique(pattern):
            indices = np.flatnonzero(pattern == each)
            for start in range(0, len(indices), size):
                yield indices[start : start + size]

    def _measures(self, points: Points) -> Array:
        """The measures of points that have one program."""
        specification = self.specification
        settings = {self.axes[k].setting: points[k] for k in self.optimizer_axes}
        executor = self._executor_for({name: float(x[0]) for name, x in settings.items()})
        varied = [settings[name] for name in executor.family.varied]
        trained = executor.train(
            self._weights(points),
            self._rates(points, executor.family.scheduled),
            specification.steps,
            settings=np.array(varied) if varied else None,
            seed=specification.seed,
            stopped=self._stopped.is_set,
        )
        return convergence_measure(trained.losses)

    def _executor_for(self, settings: Mapping[str, Any]) -> LaneExecutor:
        """The native code for points at which the same settings of the optimiser are zero."""
        varied = tuple([name for name, x in settings.items() if x])
        with self._compiling:
            if varied not in self._executors:
                optimizer = replace(self.specification.optimizer, **settings)
                self._executors[varied] = LaneExecutor(
                    self._program,
                    Family(optimizer, varied, callable(optimizer.lr)),
                    mode=self.mode,
                    ranges=[end for _, end in self.ranges],
                )
            return self._executors[varied]

    def _refuse_dependent_settings(self) -> None:
        """Refuse an optimiser with an attribute that depends on a setting of an axis.

        Raises:
            NativeError: if it has one.
        """
        varying = [self.axes[k] for k in self.optimizer_axes]
        one, other = (
            replace(
                self.specification.optimizer,
                **{axis.setting: axis.values(14, k, 1).item() for axis in varying},
            )
            for k in (1, 2**14 - 1)
        )
        found = family_of([one, other]).varied
        if len(found) > len(varying):
            raise NativeError(
                f"the optimiser has other attributes that vary with {varying[0].name}: {found}"
            )

    def _weights(self, points: Points) -> Array:
        """The initial weights at each point, points x parameters."""
        weights = np.repeat(self.weights[None], len(points[0]), axis=0)
        for k, axis in _single_layers_last(self.axes):
            if axis.setting == "initial_scale":
                weights[:, self.indices[k]] *= points[k][:, None]
        return weights

    def _rates(self, points: Points, scheduled: bool) -> Array:
        """The learning rates: ranges x points, or steps x ranges x points with a schedule."""
        steps = self.specification.steps if scheduled else 1
        shared = np.array(first_rates(self.specification.optimizer, steps))
        rates = np.empty((steps, len(self.ranges), len(points[0])))
        rates[:] = shared[:, None, None]
        for row, (axis, _) in enumerate(self.ranges):
            if axis is not None:
                rates[:, row] = points[axis]
        return rates if scheduled else rates[0]

    def _ranges(self) -> list[tuple[int | None, int]]:
        """Ranges of parameters that share a learning rate: (index of its axis or None, end)."""
        axis_of: list[int | None] = [None] * len(self.weights)
        for k, axis in _single_layers_last(self.axes):
            if axis.setting == "learning_rate":
                for i in self.indices[k].tolist():
                    axis_of[i] = k
        ranges, end = [], 0
        for which, members in groupby(axis_of):
            end += len(list(members))
            ranges.append((which, end))
        return ranges


def _indices_of_axis(model: Any, axis: Axis) -> Array:
    """The indices, among the model's parameters, of those that the setting of an axis applies to.

    Raises:
        NativeError: if one of them is not a parameter of the model.
    """
    index = {id(p): k for k, p in enumerate(model.parameters())}
    chosen = parameters_of_axis(model, axis)
    if any(id(p) not in index for p in chosen):
        raise NativeError(f"{axis.name} applies to Values that are not parameters of the model")
    return np.array([index[id(p)] for p in chosen])


def _single_layers_last(axes: Sequence[Axis]) -> list[tuple[int, Axis]]:
    """The axes with their indices; the setting of a single layer comes after that of all layers."""
    return sorted(enumerate(axes), key=lambda pair: pair[1].layer is not None)
