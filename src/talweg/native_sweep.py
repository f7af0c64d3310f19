"""Many training runs of one program by native code, with a model in each SIMD lane.

`Lanes` asks of a sweep what `NativeRun` asks of one run, and that all its models are one
program: the model of the first seed is traced, and that of each other seed is tried against
the trace. `talweg.compiler.sweeper` then trains them all.

Start reading at `Lanes`, then `Lanes.train`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from talweg import ops
from talweg.compiler import tape as tapes
from talweg.compiler.sweeper import Sweeper, Swept
from talweg.descent import fall
from talweg.eager_run import Model, Sample, parameters_of
from talweg.errors import CompilerError, NativeError, TalwegError
from talweg.history import History
from talweg.native_run import NativeRun
from talweg.optim import Optimizer
from talweg.schedules import rate_at

Loss = Callable[[Model, Sample], Any]
"""The loss of a model on one sample."""


class Lanes(NativeRun):
    """Training runs side by side: each optimiser with each model.

    Args:
        models: one for each seed, with its first parameters.
        optimizers: one for each learning rate.
        samples: what all models are trained on; every step takes all of them.
        loss: the loss of a model on a sample.
        mean: whether the loss is the mean of the samples' losses, or their sum.
        mode: "default" or "exact".
        threads: how many threads share the runs; None for one for each core.

    Raises:
        NativeError: if the models, the loss, the samples or the optimisers do not fit.
    """

    def __init__(
        self,
        models: Sequence[Model],
        optimizers: Sequence[Optimizer],
        samples: Sequence[Sample],
        loss: Loss,
        *,
        mean: bool,
        mode: str,
        threads: int | None,
    ) -> None:
        self.optimizers = optimizers
        self.scheduled = _scheduled(optimizers)
        drawn = random.getstate()  # a model that draws numbers is not to notice that it was tried
        try:
            super().__init__(
                model=models[0],
                samples=samples,
                f=lambda sample: loss(models[0], sample),
                mean=mean,
                optimizer=optimizers[0],
                clip_norm=None,
                mode=mode,
                batch_size=None,
                as_floats=True,
                threads=threads,
            )
            self.weights = np.array([self._weights(model, loss) for model in models])
        finally:
            random.setstate(drawn)

    def _trainer(self, shape: Any) -> Any:
        """Native code for all runs, in place of that for one run."""
        if self.others:
            raise NativeError("the loss reads Values that are not parameters of the model")
        try:
            self.sweeper = Sweeper(
                shape.tape,
                np.array([numbers for _, numbers in self.numbers]),
                update=self.optimizer.update,
                start=self.optimizer.initial_state(),
                mean=self.mean,
                exact=self.exact,
                scheduled=self.scheduled,
                threads=self.threads,
            )
        except (CompilerError, NativeError):
            raise
        except (TalwegError, TypeError, AttributeError, ValueError) as error:
            raise NativeError(f"the optimiser cannot be compiled: {error}") from None
        return self.sweeper

    def _weights(self, model: Model, loss: Loss) -> list[float]:
        """The parameters of a model, which must be the same program as the first one."""
        parameters = parameters_of(model)
        numbers = [p.data for p in parameters]
        if model is self.model:
            return numbers
        if len(numbers) != len(self.parameters):
            raise NativeError(
                f"the models of the seeds have {len(self.parameters)} and {len(numbers)} parameters"
            )
        inputs = {"w": numbers, "x": self.numbers[0][1]}
        own = ops.to_float(loss(model, self.samples[0]))
        (by_trace,) = tapes.run(self._shape(0).tape, inputs)
        if repr(own) != repr(by_trace):  # repr: nan is the same as nan
            raise NativeError(
                f"the models of the seeds are not one program: the loss of the first sample is "
                f"{own!r} for one of them, but {by_trace!r} by the program of the first model"
            )
        return numbers

    # ---- running it ------------------------------------------------------------------------

    def train(self, steps: int, show: Callable[[int, float], None]) -> Swept:
        """Train all of them: rates in order, and for each rate the models.

        Args:
            steps: how many steps each run makes.
            show: is told how many runs are finished, and the last loss of the last of them.

        Returns:
            What became of the runs; after Ctrl-C, of those that were finished.
        """
        models, count = len(self.weights), len(self.optimizers)
        by_step = steps if self.scheduled else 1
        table = np.array([self._first_rates(o, by_step) for o in self.optimizers])
        rates = np.repeat(table.T, models, axis=1)
        begin = time.perf_counter()
        self.swept = self.sweeper.run(
            np.tile(self.weights, (count, 1)), rates if self.scheduled else rates[0], steps, show
        )
        self.seconds_per_step = (time.perf_counter() - begin) / steps
        return self.swept

    def record(self, k: int) -> History:
        """The record of a run, as `train` would have written it.

        `seconds` is the time of the whole sweep, divided evenly among its steps: all runs were
        made at once.
        """
        swept, done = self.swept, int(self.swept.steps[k])
        self.history = history = History(
            losses=swept.losses[k, :done].tolist(),
            learning_rates=self._first_rates(self.optimizers[k // len(self.weights)], done),
            seconds=[self.seconds_per_step * (step + 1) for step in range(done)],
            engine="native, exact" if self.exact else "native",
        )
        if swept.diverged[k]:
            for p, g in zip(self.parameters, swept.gradients[k].tolist(), strict=True):
                p.grad = g
            self.end("diverged", self.why_diverged(done, history.losses[-1]))
        self.end("finished", f"finished {done} steps; {fall(history, batches=False)}")
        return history

    @staticmethod
    def _first_rates(optimizer: Optimizer, steps: int) -> list[float]:
        lr = optimizer.lr
        if callable(lr):
            return [rate_at(lr, step) for step in range(steps)]
        return [float(lr)] * steps


def _scheduled(optimizers: Sequence[Optimizer]) -> bool:
    """Whether the optimisers have schedules; they must differ in their rates alone.

    Raises:
        NativeError: if they differ in something else.
    """
    first = optimizers[0]
    settings = _settings(first)
    moved = _moved(first)
    for optimizer in optimizers[1:]:
        is_like = type(optimizer) is type(first) and _settings(optimizer) == settings
        if not is_like or _moved(optimizer) != moved:
            raise NativeError("the optimisers differ in more than their learning rate")
    return any(callable(optimizer.lr) for optimizer in optimizers)


_PLAIN = (float, int, bool, str, type(None))


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    """What an optimiser holds but its rate: plain numbers as they are, other things as text."""
    return {
        name: x if type(x) in _PLAIN else repr(x)
        for name, x in vars(optimizer).items()
        if name != "lr"
    }


def _moved(optimizer: Optimizer) -> str:
    """What becomes of a number at a given rate: the same for all, unless `update` reads `lr`.

    Talweg's own optimisers do not.
    """
    if type(optimizer).__module__ == Optimizer.__module__:
        return ""
    try:
        return repr(optimizer.update(0.5, 0.25, optimizer.initial_state(), 0.125, 3.0))
    except Exception as error:
        raise NativeError(f"the optimiser: {type(error).__name__}: {error}") from None
