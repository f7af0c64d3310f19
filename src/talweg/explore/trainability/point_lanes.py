"""Native code for the points of a map: a run in each SIMD lane, and what sends it to workers.

All points have one model, whose weights may be scaled, and one program for each choice of which
numbers of the optimiser are zero (an equation leaves out what is zero). The parameters are cut
into ranges that share a learning rate.

Start reading at `PointLanes.__call__`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from talweg.errors import NativeError
from talweg.explore.trainability.axes import LAYERED, Axis
from talweg.explore.trainability.measure import convergence_measure
from talweg.explore.trainability.point_runs import Plan, parameters_of_axis
from talweg.training.lane_executor import LaneExecutor
from talweg.training.model_program import ModelProgram
from talweg.training.optimizer_family import Family, family_of, first_rates

if TYPE_CHECKING:
    from talweg.compiler.ir.tape import Array

Points = tuple["Array", "Array"]
"""The settings of the x and of the y axis at some points."""


_LOSSES = 2**21
"""About how many losses are in memory at once: 16 MB, by each thread."""


@dataclass(frozen=True)
class PointJob:
    """What is sent to workers; see `talweg.explore.tasks.Job`.

    Attributes:
        plan: what is trained at a point.
        mode: "default" or "exact".
        token: names it.
    """

    plan: Plan
    mode: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def prepare(self) -> PointLanes:
        """What computes points in this process."""
        return PointLanes(self.plan, self.mode)


class PointLanes:
    """Computes the measures of points by native code; see `talweg.explore.tasks.Work`.

    Args:
        plan: what is trained at a point.
        mode: "default" or "exact".

    Raises:
        NativeError: if the model, the loss, the data or the optimiser cannot be compiled.
    """

    def __init__(self, plan: Plan, mode: str) -> None:
        self.plan, self.mode = plan, mode
        self.model = plan.model()
        self.weights = np.array([p.data for p in self.model.parameters()])
        self.axes = (plan.x, plan.y)
        place = {id(p): k for k, p in enumerate(self.model.parameters())}
        chosen = [parameters_of_axis(self.model, axis) for axis in self.axes]
        for axis, some in zip(self.axes, chosen, strict=True):
            if any(id(p) not in place for p in some):
                raise NativeError(f"{axis.name} is of parameters that the model does not train")
        self.concerned = [np.array([place[id(p)] for p in some]) for some in chosen]
        self.ranges = self._ranges()
        self._refuse_hidden_settings()
        self._program = ModelProgram(
            self.model,
            plan.samples,
            lambda model, sample: plan.loss(model(sample[0]), sample[1]),
            mean=plan.reduction == "mean",
            batch_size=plan.batch_size,
        )
        self._lanes: dict[tuple[str, ...], LaneExecutor] = {}
        self._making = threading.Lock()
        self._stopped = threading.Event()
        self._lanes_of({a.setting: a.low for a in self.axes if a.setting not in LAYERED})

    def fresh(self) -> PointLanes:
        """The same with the same native code, but not stopped."""
        other = copy(self)
        other._stopped = threading.Event()
        return other

    def stop(self) -> None:
        """Let all calls come back soon, whatever they return."""
        self._stopped.set()

    def __call__(self, points: Points) -> Array:
        """The measure at each point."""
        plan, own = self.plan, [k for k, a in enumerate(self.axes) if a.setting not in LAYERED]
        measures = np.empty(len(points[0]))
        at_once = max(8, _LOSSES // plan.steps)
        zeros = np.zeros(len(points[0]), dtype=np.int64)  # which numbers are zero, one bit each
        for bit, k in enumerate(own):
            zeros += (points[k] == 0.0) * (1 << bit)
        alike = [np.flatnonzero(zeros == pattern) for pattern in np.unique(zeros)]
        for rows in (all_[k : k + at_once] for all_ in alike for k in range(0, len(all_), at_once)):
            some = (points[0][rows], points[1][rows])
            numbers = {self.axes[k].setting: some[k] for k in own}
            lanes = self._lanes_of({name: float(column[0]) for name, column in numbers.items()})
            varied = [numbers[name] for name in lanes.family.varied]
            swept = lanes.train(
                self._weights(some),
                self._rates(some, lanes.family.scheduled),
                plan.steps,
                settings=np.array(varied) if varied else None,
                seed=plan.seed,
                stopped=self._stopped.is_set,
            )
            measures[rows] = convergence_measure(swept.losses)
        return measures

    def _refuse_hidden_settings(self) -> None:
        """Refuse an optimiser in which more than the settings of the axes depends on them.

        Raises:
            NativeError: if it is one.
        """
        own = [axis for axis in self.axes if axis.setting not in LAYERED]
        one, other = (
            replace(self.plan.optimizer, **{a.setting: a.values(14, k, 1).item() for a in own})
            for k in (1, 2**14 - 1)
        )
        varied = family_of([one, other]).varied
        if len(varied) > len(own):
            raise NativeError(f"what varies in the optimiser is not only {own[0].name}: {varied}")

    def _lanes_of(self, numbers: dict[str, Any]) -> LaneExecutor:
        """The native code for points at which these numbers of the optimiser are zero or not."""
        plan, varied = self.plan, tuple([name for name, x in numbers.items() if x])
        with self._making:
            if varied not in self._lanes:
                optimizer = replace(plan.optimizer, **numbers)
                self._lanes[varied] = LaneExecutor(
                    self._program,
                    Family(optimizer, varied, callable(optimizer.lr)),
                    mode=self.mode,
                    ranges=[end for _, end in self.ranges],
                )
            return self._lanes[varied]

    def _weights(self, points: Points) -> Array:
        """The first weights at each point."""
        weights = np.repeat(self.weights[None], len(points[0]), axis=0)
        for k, axis in _layers_last(self.axes):
            if axis.setting == "initial_scale":
                weights[:, self.concerned[k]] *= points[k][:, None]
        return weights

    def _rates(self, points: Points, scheduled: bool) -> Array:
        """The learning rates at each point, (steps,) ranges x points."""
        steps = self.plan.steps if scheduled else 1
        shared = np.array(first_rates(self.plan.optimizer, steps))
        rates = np.empty((steps, len(self.ranges), len(points[0])))
        rates[:] = shared[:, None, None]
        for row, (axis, _) in enumerate(self.ranges):
            if axis is not None:
                rates[:, row] = points[axis]
        return rates if scheduled else rates[0]

    def _ranges(self) -> list[tuple[int | None, int]]:
        """For each range of parameters which axis is its learning rate, if any, and its end."""
        axis_of: list[int | None] = [None] * len(self.weights)
        for k, axis in _layers_last(self.axes):
            if axis.setting == "learning_rate":
                for i in self.concerned[k].tolist():
                    axis_of[i] = k
        ranges, end = [], 0
        for which, members in groupby(axis_of):
            end += len(list(members))
            ranges.append((which, end))
        return ranges


def _layers_last(axes: Sequence[Axis]) -> list[tuple[int, Any]]:
    """The axes with their numbers; a setting of one layer comes after that of all layers."""
    return sorted(enumerate(axes), key=lambda pair: pair[1].layer is not None)
