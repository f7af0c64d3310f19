"""The program of many models that differ in their weights alone: their loss on a sample.

The first model is traced (`talweg.training.example_programs`). The loss of each other one is
compared with the trace, because its weights are all that native code takes from it.

Start reading at `ModelProgram`, then `ModelProgram.weights_of`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from talweg import ops
from talweg.compiler.ir import tape as tapes
from talweg.compiler.ir.tape import Array, Tape
from talweg.errors import NativeError
from talweg.training.example_programs import ExamplePrograms, perturbed
from talweg.training.objective import Model, Objective, Sample, parameters_of
from talweg.value import Value

Loss = Callable[[Model, Sample], Any]
"""The loss of a model on one sample."""


class ModelProgram:
    """The loss of models that are one program, on samples of one shape.

    Args:
        model: the first of the models, which is traced.
        samples: what all models are trained on.
        loss: the loss of a model on a sample.
        mean: whether the loss is the mean of the samples' losses, or their sum.
        batch_size: how many samples a step takes; None for all of them.

    Raises:
        NativeError: if the model, the loss or the samples cannot be compiled.
    """

    def __init__(
        self,
        model: Model,
        samples: Sequence[Sample],
        loss: Loss,
        *,
        mean: bool,
        batch_size: int | None = None,
    ) -> None:
        self.samples = samples
        self.loss = loss
        self.mean = mean
        self.batch_size = batch_size
        objective = Objective(model, lambda sample: loss(model, sample), samples, mean=mean)
        self.parameter_count = len(objective.parameters)
        self._programs = ExamplePrograms(objective, as_floats=True)
        with _random_state_kept():  # tracing calls the loss: it must not change the model's draws
            self.tape: Tape = self._programs.program_of(0).tape
            advice = "" if batch_size == 1 or len(samples) == 1 else "; take batch_size=1"
            self._programs.require_one_program(advice)
        if self._programs.outside:
            raise NativeError(
                "the loss reads Values that are not parameters of the model; add them to "
                "parameters()"
            )

    def inputs(self) -> Array:
        """The numbers of all samples, shape (samples, inputs)."""
        return np.array([numbers for _, numbers in self._programs.flat])

    def weights_of(self, model: Model) -> list[float]:
        """The parameters of a model, which must be the same program as the first one.

        Its loss is compared with that by the trace at its own weights and at others.

        Raises:
            NativeError: if it is another program.
        """
        parameters = parameters_of(model)
        numbers = [p._data for p in parameters]
        if len(numbers) != self.parameter_count:
            raise NativeError(
                f"the models of the runs have {self.parameter_count} and {len(numbers)} parameters"
            )
        with _random_state_kept():
            try:
                self._refuse_another_program(model, parameters, 0)
                for p, x in zip(parameters, numbers, strict=True):
                    p._data = perturbed(x)  # weights of 0 would hide what they are multiplied by
                for i in self._distinctive_samples:
                    self._refuse_another_program(model, parameters, i)
            finally:
                for p, x in zip(parameters, numbers, strict=True):
                    p._data = x
        return numbers

    def _refuse_another_program(self, model: Model, parameters: Sequence[Value], i: int) -> None:
        """Compare the loss of a model on sample i with that by the trace of the first one."""
        own = ops.to_float(self.loss(model, self.samples[i]))
        inputs = {"w": [p._data for p in parameters], "x": self._programs.numbers_of(i)}
        (by_trace,) = tapes.run(self.tape, inputs)
        if repr(own) != repr(by_trace):  # repr: nan is the same as nan
            raise NativeError(
                f"the models of the runs are not one program: the loss of sample {i} is "
                f"{own!r} for one of them, but {by_trace!r} by the program of the first model"
            )

    @cached_property
    def _distinctive_samples(self) -> tuple[int, ...]:
        """Samples on which programs differ: the first, and that of the most different numbers.

        Numbers that are 0 hide what they are multiplied by, and equal ones which is which.
        """
        found = [numbers for _, numbers in self._programs.flat]
        richest = max(range(len(found)), key=lambda i: len({x for x in found[i] if x}))
        return (0, richest) if richest else (0,)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Restore the state of `random` at the end: a probe must not change what a model draws."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
