"""Training steps by the eager engine: each operation is a node of a graph of Values.

Start reading at `EagerExecutor.step`: forward, loss, backward, update.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from talweg import losses
from talweg.errors import ArgumentError
from talweg.optim import Optimizer
from talweg.optimizer_step import finite_update
from talweg.schedules import rate_at
from talweg.training.batches import Batch
from talweg.training.history import RunRecord
from talweg.training.objective import Objective
from talweg.training.outcome import explain_divergence
from talweg.value import Value


class EagerExecutor:
    """Takes the steps of a run with graphs of Values; see `talweg.training.executor.Executor`.

    Args:
        objective: what is minimised.
        optimizer: the rule of the update.
        clip_norm: the largest length of a gradient; a longer one is scaled to it. None: no limit.
        own_rates: learning rates of single parameters, in place of the optimiser's.

    Attributes:
        states: the optimiser's state of each parameter.
    """

    engine = "eager"

    def __init__(
        self,
        objective: Objective,
        optimizer: Optimizer,
        clip_norm: float | None = None,
        *,
        own_rates: Mapping[Value, float] | None = None,
    ) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.own_rates = own_rates
        self.states = [optimizer.initial_state() for _ in objective.parameters]

    def steps_per_call(self, limit: int) -> int:
        """How many steps the next call of `take_steps` takes: one."""
        return min(1, limit)

    def take_steps(self, batches: Sequence[Batch], record: RunRecord) -> None:
        """Take a step for each batch and record it; stop if one diverges."""
        for batch in batches:
            if record.is_running:
                self.step(batch, record)

    def step(self, batch: Batch, record: RunRecord) -> None:
        """Take one step: forward, loss, backward, update."""
        objective, number = self.objective, record.history.steps + 1
        loss = loss_and_gradient(objective, batch)
        lr = rate_at(self.optimizer.lr, number - 1)
        updated = finite_update(
            self.optimizer.update,
            [p._data for p in objective.parameters],
            [p.grad for p in objective.parameters],
            self.states,
            self._rates(lr),
            float(number),
            loss=loss,
            clip_norm=self.clip_norm,
        )
        if updated is not None:
            numbers, states = updated
            objective.assign(numbers)
            self.states = states
        record.add([loss], [lr], [time.perf_counter() - record.start])
        if updated is None:
            record.stop("diverged", explain_divergence(objective, record.history.losses))

    def _rates(self, lr: float) -> float | list[float]:
        """The learning rate of a step, or that of each parameter if some have their own."""
        if self.own_rates is None:
            return lr
        return [self.own_rates.get(p, lr) for p in self.objective.parameters]

    def evaluate(self, examples: Sequence[object]) -> float:
        """The loss of some examples at the present parameters, without a gradient."""
        return self.objective.evaluate(examples)


def loss_and_gradient(objective: Objective, batch: Batch) -> float:
    """The loss of a batch; its gradient is left in `grad` of the parameters.

    Each example has a graph of its own, so that memory does not grow with the batch. The
    backward pass goes through the graphs from the last to the first. One graph of the whole batch
    has the same order, so the gradients are the same to the last bit.
    """
    examples = objective.examples
    chosen = examples if batch is None else [examples[i] for i in batch]
    weight = 1.0 / len(chosen) if objective.mean else 1.0
    for p in objective.parameters:
        p.grad = 0.0
    parts = []
    for example in reversed(chosen):
        part = objective.loss(example)
        if not isinstance(part, Value):
            raise ArgumentError(
                f"the loss of a sample is the bare number {part!r}, which has no gradient; "
                "compute it from the model's Values without reading .data"
            )
        parts.append(part._data)
        (part * weight).backward()
    total: float = losses.add_up(reversed(parts))
    return total * weight
