"""Many training runs of one program by native code, with a model in each SIMD lane.

The first model is traced (`training/example_programs.py`), and the loss of each other one is
compared with the trace (`LaneExecutor.weights_of`). `runtime/lane_trainer.py` then trains them,
each from its own weights, at its own learning rates, and with its own numbers for settings of the
optimiser.

Start reading at `LaneExecutor`, then `LaneExecutor.train`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from talweg import ops
from talweg.autodiff.operation import Number
from talweg.compiler import pipeline
from talweg.compiler.ir import tape as tapes
from talweg.compiler.ir.tape import Array
from talweg.compiler.runtime.buffers import Batches
from talweg.compiler.runtime.lane_trainer import LaneTrainer, Swept
from talweg.errors import CompilerError, NativeError, TalwegError
from talweg.optim import Optimizer
from talweg.schedules import rate_at
from talweg.training.batches import batches_of
from talweg.training.example_programs import ExamplePrograms, perturbed
from talweg.training.objective import Model, Objective, Sample, parameters_of
from talweg.training.update_guard import refuse_hidden_state, refuse_own_rate
from talweg.value import Value

Loss = Callable[[Model, Sample], Any]
"""The loss of a model on one sample."""


class LaneExecutor:
    """A program that trains models side by side.

    Args:
        model: the first of them, which is traced.
        family: the optimisers of the runs, as far as all of them are alike.
        samples: what all models are trained on.
        loss: the loss of a model on a sample.
        mean: whether the loss is the mean of the samples' losses, or their sum.
        mode: "default" or "exact".
        batch_size: how many samples a step takes; None for all of them.
        ranges: groups of parameters, each with a learning rate of its own, in the order of the
            model's parameters; one group unless given.

    Raises:
        NativeError: if the model, the loss, the samples or the optimisers do not fit.
    """

    def __init__(
        self,
        model: Model,
        family: Family,
        samples: Sequence[Sample],
        loss: Loss,
        *,
        mean: bool,
        mode: str,
        batch_size: int | None = None,
        ranges: Sequence[int] = (),
    ) -> None:
        self.model = model
        self.family = family
        self.loss = loss
        self.samples = samples
        self.batch_size = batch_size
        self.exact = mode == "exact"
        objective = Objective(model, lambda sample: loss(model, sample), samples, mean=mean)
        self.parameters = objective.parameters
        self.programs = ExamplePrograms(objective, as_floats=True)
        state = random.getstate()  # tracing calls the loss: it must not change the model's draws
        try:
            refuse_hidden_state(family.example)
            self.sweeper = self._trainer(ranges, mean=mean)
        finally:
            random.setstate(state)

    def _trainer(self, ranges: Sequence[int], *, mean: bool) -> LaneTrainer:
        """Native code for all runs."""
        tape = self.programs.program_of(0).tape
        if len(self.samples) > 1:
            advice = "" if self.batch_size == 1 else "; take batch_size=1"
            self.programs.require_one_program(advice)
        if self.programs.outside:
            raise NativeError("the loss reads Values that are not parameters of the model")
        try:
            return pipeline.lane_trainer(
                tape,
                np.array([numbers for _, numbers in self.programs.flat]),
                update=self.family.update,
                start=self.family.example.initial_state(),
                mean=mean,
                batch=self.batch_size,
                settings=len(self.family.varied),
                range_ends=ranges,
                exact=self.exact,
                scheduled=self.family.scheduled,
            )
        except (CompilerError, NativeError):
            raise
        except (TalwegError, TypeError, AttributeError, ValueError) as error:
            raise NativeError(f"the optimiser cannot be compiled: {error}") from None

    def weights_of(self, model: Model) -> list[float]:
        """The parameters of a model, which must be the same program as the first one.

        Its loss is compared with that by the trace at its own weights and at others.

        Raises:
            NativeError: if it is not.
        """
        parameters = parameters_of(model)
        numbers = [p.data for p in parameters]
        if len(numbers) != len(self.parameters):
            raise NativeError(
                f"the models of the runs have {len(self.parameters)} and {len(numbers)} parameters"
            )
        drawn = random.getstate()
        try:
            self._refuse_another_program(model, parameters, 0)
            for p, x in zip(parameters, numbers, strict=True):
                p.data = perturbed(x)  # weights of 0 would hide what they are multiplied by
            for i in self._telling:
                self._refuse_another_program(model, parameters, i)
        finally:
            random.setstate(drawn)
            for p, x in zip(parameters, numbers, strict=True):
                p.data = x
        return numbers

    def _refuse_another_program(self, model: Model, parameters: Sequence[Value], i: int) -> None:
        """Compare the loss of a model on a sample with that by the program of the first one."""
        own = ops.to_float(self.loss(model, self.samples[i]))
        inputs = {"w": [p.data for p in parameters], "x": self.programs.numbers_of(i)}
        (by_trace,) = tapes.run(self.programs.program_of(i).tape, inputs)
        if repr(own) != repr(by_trace):  # repr: nan is the same as nan
            raise NativeError(
                f"the models of the runs are not one program: the loss of sample {i} is "
                f"{own!r} for one of them, but {by_trace!r} by the program of the first model"
            )

    @cached_property
    def _telling(self) -> tuple[int, ...]:
        """Samples that tell programs apart: the first, and one of many different numbers.

        Numbers that are 0 hide what they are multiplied by, and equal ones which is which.
        """
        found = [numbers for _, numbers in self.programs.flat]
        richest = max(range(len(found)), key=lambda i: len({x for x in found[i] if x}))
        return (0, richest) if richest else (0,)

    # ---- running it ------------------------------------------------------------------------

    def train(
        self,
        weights: Array,
        optimizers: Sequence[Optimizer],
        steps: int,
        *,
        seed: int | None = None,
        target: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Swept:
        """Train models. Several threads may do so at the same time.

        Args:
            weights: the first parameters, shape (models, parameters).
            optimizers: one for each model, of the family.
            steps: how many steps each makes, unless it ends before.
            seed: where the order of samples is drawn, if a step does not take all of them.
            target: a loss at which a run ends; None for none.
            stopped: is asked whether to come back before the end.
        """
        by_step = steps if self.family.scheduled else 1
        rates = np.array([first_rates(o, by_step) for o in optimizers]).T
        varied = [[float(vars(o)[name]) for o in optimizers] for name in self.family.varied]
        return self.sweeper.run(
            weights,
            rates,
            steps,
            settings=np.array(varied) if varied else None,
            batches=self.batches(steps, seed),
            target=-np.inf if target is None else target,
            stopped=stopped,
        )

    def batches(self, steps: int, seed: int | None) -> Batches | None:
        """Which samples the steps take, as `train` chooses them; None for all of them."""
        if self.batch_size is None:
            return None
        taken = batches_of(len(self.samples), self.batch_size, random.Random(seed))
        some = [next(taken) for _ in range(steps)]
        order = [i for batch in some for i in batch or ()]
        return Batches(np.array(order), np.array([len(batch or ()) for batch in some]))


def first_rates(optimizer: Optimizer, steps: int) -> list[float]:
    """The learning rates of the first steps."""
    lr = optimizer.lr
    if callable(lr):
        return [rate_at(lr, step) for step in range(steps)]
    return [float(lr)] * steps


@dataclass(frozen=True)
class Family:
    """Optimisers that are one program: only numbers in them differ.

    Attributes:
        example: one of them.
        varied: the settings, beside the learning rate, that differ; none of them is zero.
        scheduled: whether one of them has a schedule of learning rates.
    """

    example: Optimizer
    varied: tuple[str, ...] = ()
    scheduled: bool = False

    def update(self, settings: tuple[Number, ...]) -> Any:
        """The equation, with numbers of the lanes for the settings that differ."""
        optimizer = copy(self.example)
        for name, number in zip(self.varied, settings, strict=True):
            object.__setattr__(optimizer, name, number)
        return optimizer.update


def family_of(optimizers: Sequence[Optimizer]) -> Family:
    """The family of some optimisers.

    Raises:
        NativeError: if they are not one program.
    """
    first = optimizers[0]
    kind, settings = type(first), _settings(first)
    varied: dict[str, None] = {}
    scheduled = callable(first.lr)
    for optimizer in optimizers[1:]:
        own = _settings(optimizer)
        if type(optimizer) is not kind or own.keys() != settings.keys():
            raise NativeError("the optimisers are of several kinds")
        if repr(optimizer.initial_state()) != repr(first.initial_state()):
            raise NativeError("initial_state() of the optimisers gives other numbers in some runs")
        scheduled = scheduled or callable(optimizer.lr)
        if own == settings:
            continue
        for name, x in own.items():
            if x != settings[name]:
                if not (_is_number(x) and _is_number(settings[name])):
                    raise NativeError(f"the optimisers differ in {name}, which is not a number")
                varied[name] = None
    for name in varied:
        if any(vars(optimizer)[name] == 0.0 for optimizer in optimizers):
            raise NativeError(f"{name} of the optimisers is zero in some runs, and not in others")
    refuse_own_rate(first)
    return Family(first, tuple(varied), scheduled)


def _is_number(x: Any) -> bool:
    return type(x) in (float, int)


_PLAIN = (float, int, bool, str, type(None))


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    """What an optimiser holds but its rate: plain numbers as they are, other things as text."""
    return {
        name: x if type(x) in _PLAIN else repr(x)
        for name, x in vars(optimizer).items()
        if name != "lr"
    }
