"""A training run by native code: many steps are one call.

The loss of one sample is traced and compiled once; `talweg.compiler.trainer` then takes steps for
all samples. What the eager engine does in its own way is asked of it here too: the model is
called in Python once, to be traced, and once more to see that nothing was frozen into the
trace that may change.

Start reading at `NativeRun`, then `NativeRun.take`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from talweg import losses, ops
from talweg.compiler import tape as tapes
from talweg.compiler.compiled import Compiled
from talweg.compiler.tape import Array, Tape
from talweg.compiler.trace import Trace, trace
from talweg.compiler.trainer import Trainer
from talweg.eager_run import Batch, EagerRun, Sample
from talweg.errors import CompilerError, NativeError, TalwegError
from talweg.schedules import rate_at
from talweg.value import Value

_SLICE = 0.05
"""Seconds that a call of native code may take before Python looks up: for Ctrl-C and the
progress bar."""


class NativeRun(EagerRun):
    """A training run whose steps are native code; see `EagerRun`.

    Args:
        mode: "default" or "exact".
        batch_size: how many samples a step takes; None for all of them.
        **settings: those of `EagerRun`.

    Raises:
        NativeError: if the model, the loss or the samples cannot be compiled.
    """

    def __init__(self, *, mode: str, batch_size: int | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.exact = mode == "exact"
        self.batch_size = batch_size
        if self.exact and self.clip_norm is not None:
            raise NativeError("the length of a gradient (clip_norm) is not computed exactly there")
        rows = [_numbers(i, x, y) for i, (x, y) in enumerate(islice(self.samples, 1))]
        self.shape = rows[0].shape
        traced = self._traced()
        self.rows = self._rows()
        self.tape, self.others = _parameters_first(traced, self.parameters)
        self._refuse_frozen_numbers()
        self.trainer = self._trainer()
        self._valuer: Compiled | None = None
        self.pace = 1  # how many steps fit into a slice
        self.history.engine = "native, exact" if self.exact else "native"

    # ---- making it -------------------------------------------------------------------------

    def _traced(self) -> Trace:
        """The loss of the first sample, traced with all its numbers as inputs."""
        x, y = _as_floats(*self.samples[0])
        try:
            return trace(lambda x, y: self.loss(self.model(x), y), x, y)
        except TalwegError as error:
            raise NativeError(str(error)) from None

    def _rows(self) -> Array:
        """The numbers of all samples, one row each."""
        rows = [_numbers(i, x, y) for i, (x, y) in enumerate(self.samples)]
        for i, row in enumerate(rows):
            if row.shape != self.shape:
                raise NativeError(
                    f"sample {i} has {len(row)} numbers, the first has {self.shape[0]}"
                )
        return np.array(rows)

    def _refuse_frozen_numbers(self) -> None:
        """Compare the trace with the model on other numbers than it was traced with."""
        numbers = [p.data for p in self.parameters]
        chosen = sorted({0, 1, len(self.samples) // 2, len(self.samples) - 1})
        try:
            for k, p in enumerate(self.parameters):
                p.data = numbers[k] * 1.015625 + 0.0078125
            for i in chosen[: len(self.samples)]:
                own = ops.to_float(self.loss(self.model(self.samples[i][0]), self.samples[i][1]))
                (traced,) = tapes.run(self.tape, self._inputs(i))
                if not (own == traced or (math.isnan(own) and math.isnan(traced))):
                    raise NativeError(
                        f"the loss of sample {i} depends on numbers in a way that tracing does "
                        f"not see (it is {own!r}, but {traced!r} by the trace): the model or the "
                        "loss reads .data, or branches on a number of the sample"
                    )
        finally:
            for p, x in zip(self.parameters, numbers, strict=True):
                p.data = x

    def _inputs(self, i: int) -> dict[str, list[float]]:
        """What the program of sample i reads."""
        return {"w": [p.data for p in [*self.parameters, *self.others]], "x": self.rows[i].tolist()}

    def _trainer(self) -> Trainer:
        try:
            return Trainer(
                self.tape,
                self.rows,
                update=self.optimizer.update,
                remembered=len(self.optimizer.initial_state()),
                trained=len(self.parameters),
                batch=self.batch_size,
                mean=self.mean,
                clip_norm=self.clip_norm,
                exact=self.exact,
            )
        except (NativeError, CompilerError):
            raise
        except (TalwegError, TypeError) as error:
            raise NativeError(f"the optimiser cannot be compiled: {error}") from None

    # ---- running it ------------------------------------------------------------------------

    def steps_at_once(self, most: int) -> int:
        """How many steps fit into a slice of time."""
        return max(1, min(most, self.pace))

    def take(self, batches: Sequence[Batch]) -> None:
        """Take a step for each batch, until one diverges."""
        number = self.history.steps
        rates = self._rates(number, len(batches))
        parameters = [p.data for p in [*self.parameters, *self.others]]
        self.trainer.parameters[:] = parameters
        begin = time.perf_counter()
        taken = self.trainer.take(batches, rates, number + 1)
        end = time.perf_counter()
        self._keep_pace(len(batches), end - begin)
        try:
            self._note(taken.losses, rates, begin - self.start, end - self.start)
            for p, g in zip(self.parameters, self.trainer.gradient.tolist(), strict=True):
                p.grad = g
            self.assign(self.trainer.parameters[: len(self.parameters)].tolist())
        except KeyboardInterrupt:  # the steps were taken: none of them is to be lost
            self.history.drop_half_a_step()
            self._note(taken.losses[self.history.steps - number :], rates, begin, end)
            self.assign(self.trainer.parameters[: len(self.parameters)].tolist())
            raise
        if taken.diverged:
            self.end("diverged", self.why_diverged(self.history.steps, taken.losses[-1]))

    def _rates(self, first: int, count: int) -> list[float]:
        """The learning rates of some steps."""
        lr = self.optimizer.lr
        if callable(lr):
            return [rate_at(lr, first + k) for k in range(count)]
        return [lr] * count

    def _keep_pace(self, steps: int, seconds: float) -> None:
        """Take as many steps at once as fit into a slice, but at most twice as many as before."""
        fitting = steps * _SLICE / max(seconds, 1e-9)
        self.pace = max(1, min(int(fitting), 2 * max(steps, self.pace), self.trainer.most_steps))

    def _note(
        self, losses_seen: Sequence[float], rates: Sequence[float], begin: float, end: float
    ) -> None:
        """Write steps into the history; the time of a slice is divided among its steps."""
        history, count = self.history, len(losses_seen)
        history.learning_rates += rates[:count]
        history.seconds += np.linspace(begin, end, count + 1)[1:].tolist()
        history.losses += losses_seen

    def mean_loss(self, samples: Sequence[Sample]) -> float:
        """The loss of samples that are only looked at, reduced as in training."""
        if self._valuer is None:
            self._valuer = Compiled(self.tape, exact=self.exact)
        parameters = [p.data for p in [*self.parameters, *self.others]]
        parts: list[float] = []
        for i, (x, y) in enumerate(samples):
            row = _numbers(i, x, y)
            if row.shape != self.shape:
                return super().mean_loss(samples)
            parts += self._valuer.value(parameters, row.tolist())
        total: float = losses.add_up(parts)
        return total / len(samples) if self.mean else total


def _as_floats(x: Any, y: Any) -> tuple[list[float], Any]:
    """A sample with floats for all its numbers, so that tracing takes them for inputs."""
    target = [float(t) for t in y] if hasattr(y, "__len__") else float(y)
    return [float(a) for a in x], target


def _numbers(i: int, x: Any, y: Any) -> Array:
    """All numbers of sample i, in the order in which tracing finds them."""
    try:
        inputs, target = _as_floats(x, y)
    except (TypeError, ValueError):
        raise NativeError(
            f"sample {i} is not a list of numbers with a number or a list of numbers as target"
        ) from None
    return np.array(inputs + (target if isinstance(target, list) else [target]))


def _parameters_first(traced: Trace, parameters: Sequence[Value]) -> tuple[Tape, list[Value]]:
    """The tape with the model's parameters first, in their order, then others that it reads."""
    place = {p: k for k, p in enumerate(parameters)}
    others = [p for p in traced.parameters if p not in place]
    place |= {p: len(place) + k for k, p in enumerate(others)}
    tape = traced.tape
    number = np.array([place[p] for p in traced.parameters], dtype=np.int64)
    is_parameter = tape.space == tape.spaces.index("w")
    index = tape.index.copy()
    index[is_parameter] = number[index[is_parameter]]
    return replace(tape, index=index, sizes={**tape.sizes, "w": len(place)}), others
