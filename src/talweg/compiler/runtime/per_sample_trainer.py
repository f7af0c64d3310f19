"""Training sample by sample: each sample is a native call.

A `PerSampleTrainer` has the methods of `runtime/trainer.Trainer`. It serves programs that have no
scheduled form, and samples that differ in their programs. Native code computes the loss of a sample
and its gradient; the update is `optimizer_step.finite_update`, as in the eager engine.

Start reading at `PerSampleTrainer.take`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from talweg.compiler.ir.tape import Array
from talweg.compiler.runtime.executable import Executable
from talweg.compiler.runtime.trainer import TrainedSteps, Trainer
from talweg.optimizer_step import Update, finite_update


class PerSampleTrainer:
    """Training on one set of samples, sample by sample.

    Args:
        program_of: the loss of sample i at the parameters w (given as the bytes of doubles), a
            function (i, w).
        samples: the numbers of each sample.
        parameters: how many parameters the programs read, trained or not.
        update: the optimiser's equation.
        state_size: how many numbers it keeps for each parameter.
        trained: how many of the parameters are trained; they come first.
        mean: whether a batch's loss is the mean of its samples' losses, or their sum.
        clip_norm: the largest length of the gradient, or None.

    Attributes:
        parameters: the parameters, trained ones first; what is written into this array is used.
        state: the optimiser's state, shape (state size, trained parameters); it may be written to.
        gradient: the derivatives of the last step by the trained parameters.
        most_steps: how many steps one call takes at most.
    """

    most_steps = 4096

    def __init__(
        self,
        program_of: Callable[[int, bytes], Executable],
        samples: Sequence[Sequence[float]] | Array,
        *,
        parameters: int,
        update: Update,
        state_size: int,
        trained: int,
        mean: bool,
        clip_norm: float | None = None,
    ) -> None:
        self.program_of = program_of
        self.samples = [np.asarray(numbers, dtype=np.float64).tobytes() for numbers in samples]
        self.update = update
        self.mean = mean
        self.clip_norm = clip_norm
        self.parameters = np.zeros(parameters)
        self.state = np.zeros((state_size, trained))
        self.gradient = np.zeros(trained)
        self._batches: Sequence[Sequence[int] | None] = ()
        self._rates: Sequence[float] = ()
        self._losses: list[float] = []

    def share_parameters(self, owner: Trainer | PerSampleTrainer) -> None:
        """Train the parameters, with the state, that another trainer has."""
        self.parameters, self.state = owner.parameters, owner.state

    def take(
        self, batches: Sequence[Sequence[int] | None], rates: Sequence[float] | float, first: int
    ) -> TrainedSteps:
        """Take steps of training; see `Trainer.take`."""
        self.load(batches, rates)
        goes_on = self.run(0, len(batches), first)
        return TrainedSteps(self.losses(), diverged=not goes_on)

    def load(self, batches: Sequence[Sequence[int] | None], rates: Sequence[float] | float) -> None:
        """Prepare steps, which `run` takes; see `Trainer.load`."""
        self._batches = batches
        self._rates = [rates] * len(batches) if isinstance(rates, float) else rates
        self._losses.clear()

    def run(self, start: int, stop: int, first: int) -> bool:
        """Take some of the prepared steps; see `Trainer.run`."""
        for k in range(start, stop):
            batch = self._batches[k]
            chosen = range(len(self.samples)) if batch is None else batch
            self._losses.append(self._loss_and_gradient(chosen))
            if not self._update(self._rates[k], float(first + k - start), self._losses[-1]):
                return False
        return True

    def losses(self) -> list[float]:
        """The losses of the prepared steps that were taken, each before its update."""
        return list(self._losses)

    def _loss_and_gradient(self, batch: Sequence[int]) -> float:
        """The loss; its gradient is added up from the last sample to the first."""
        weight = 1.0 / len(batch) if self.mean else 1.0
        w, gradient = self.parameters.tobytes(), (0.0,) * len(self.parameters)
        parts = []
        for i in reversed(batch):
            (part,), derivatives = self.program_of(i, w).value_and_gradient(
                w, self.samples[i], [weight], {"w": gradient}
            )
            parts.append(part)
            gradient = derivatives["w"]
        self.gradient[:] = gradient[: len(self.gradient)]
        total = parts[-1]
        for part in parts[-2::-1]:
            total = total + part
        return total * weight

    def _update(self, rate: float, step: float, loss: float) -> bool:
        """Update every trained parameter; False, and no change, if the step has diverged."""
        gradient = self.gradient.tolist()
        updated = finite_update(
            self.update,
            self.parameters[: len(gradient)].tolist(),
            gradient,
            [tuple(state) for state in self.state.T.tolist()],
            rate,
            step,
            loss=loss,
            clip_norm=self.clip_norm,
        )
        if updated is None:
            return False
        numbers, states = updated
        self.parameters[: len(gradient)] = numbers
        self.state[:] = np.array(states).T.reshape(self.state.shape)
        return True
