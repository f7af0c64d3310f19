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
from talweg.compiler.runtime.trainer import TrainedSteps
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

    def take(
        self, batches: Sequence[Sequence[int] | None], rates: Sequence[float] | float, first: int
    ) -> TrainedSteps:
        """Take steps of training; see `Trainer.take`."""
        losses: list[float] = []
        every = [rates] * len(batches) if isinstance(rates, float) else rates
        for k, (batch, rate) in enumerate(zip(batches, every, strict=True)):
            chosen = range(len(self.samples)) if batch is None else batch
            losses.append(self._loss_and_gradient(chosen))
            if not self._update(rate, float(first + k), losses[-1]):
                return TrainedSteps(losses, diverged=True)
        return TrainedSteps(losses, diverged=False)

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
