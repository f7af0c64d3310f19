"""A training run, step by step, by the eager engine.

Start reading at `EagerExecutor.step`: forward, loss, backward, update.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from talweg import losses, ops
from talweg.errors import ArgumentError
from talweg.optim import Optimizer
from talweg.schedules import rate_at
from talweg.training.history import ADVICE, History, Status
from talweg.value import Value

Sample: TypeAlias = tuple[Sequence[float], Any]

Batch: TypeAlias = Sequence[int] | None
"""The samples of a step, by number; None for all of them."""


class Model(Protocol):
    """What `train` asks of a model: to be called on inputs, and to name its parameters."""

    def __call__(self, x: Sequence[float], /) -> Any:
        """The prediction for one sample."""

    def parameters(self) -> Sequence[Value]:
        """All Values that training may change, in a fixed order."""


class EagerExecutor:
    """The state of a training run: the parameters, what the optimiser remembers, the record.

    Args:
        model: what is trained.
        samples: what it is trained on.
        f: the loss of one sample, a function of it.
        mean: whether a batch's loss is the mean of its samples' losses, or their sum.
        optimizer: how parameters move.
        clip_norm: the length to which gradients are cut, or None.
    """

    def __init__(
        self,
        model: Model,
        samples: Sequence[Sample],
        f: Callable[[Any], Any],
        mean: bool,
        optimizer: Optimizer,
        clip_norm: float | None,
    ) -> None:
        self.model = model
        self.samples = samples
        self.f = f
        self.mean = mean
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.parameters = parameters_of(model)
        self.states = [optimizer.initial_state() for _ in self.parameters]
        self.history = History()
        self.start = time.perf_counter()

    def steps_at_once(self, most: int) -> int:
        """How many steps to take before looking up again: one."""
        return min(1, most)

    def take(self, batches: Sequence[Batch]) -> None:
        """Take a step for each batch, until one diverges."""
        for batch in batches:
            if self.history.status == "running":
                self.step(batch)

    def step(self, batch: Batch) -> None:
        """Forward, loss, backward, update."""
        number = self.history.steps + 1
        chosen = self.samples if batch is None else [self.samples[i] for i in batch]
        loss = self.loss_and_gradient(chosen)
        gradient = [p.grad for p in self.parameters]
        lr = rate_at(self.optimizer.lr, number - 1)
        now = zip(self.parameters, self.clipped(gradient), self.states, strict=True)
        moved = [self.optimizer.update(p.data, g, state, lr, float(number)) for p, g, state in now]
        numbers = [number for number, _ in moved]
        if all(map(math.isfinite, [loss, *gradient, *numbers])):
            self.assign(numbers)
            self.states = [state for _, state in moved]
        else:
            self.end("diverged", self.why_diverged(number, loss))
        self.history.learning_rates.append(lr)
        self.history.seconds.append(time.perf_counter() - self.start)
        self.history.losses.append(loss)

    def loss_and_gradient(self, batch: Sequence[Sample]) -> float:
        """The loss of a batch; its gradient is left in the parameters.

        Each sample has a graph of its own, so that memory does not grow with the batch.
        They go backward from the last to the first, which is the order in which one graph
        of the whole batch would: the gradients are the same to the last bit.
        """
        weight = 1.0 / len(batch) if self.mean else 1.0
        for p in self.parameters:
            p.grad = 0.0
        parts = []
        for sample in reversed(batch):
            part = self.f(sample)
            if not isinstance(part, Value):
                raise ArgumentError(
                    f"the loss of a sample is the bare number {part!r}, so nothing can be learnt "
                    "from it; compute it from the model's Values without reading .data"
                )
            parts.append(part.data)
            (part * weight).backward()
        total: float = losses.add_up(reversed(parts))
        return total * weight

    def mean_loss(self, samples: Sequence[Sample]) -> float:
        """The loss of samples that are only looked at, reduced as in training."""
        total: float = losses.add_up(ops.to_float(self.f(sample)) for sample in samples)
        return total / len(samples) if self.mean else total

    def clipped(self, gradient: list[float]) -> list[float]:
        """The gradient, scaled down to `clip_norm` if it is longer."""
        if self.clip_norm is None:
            return gradient
        length = math.hypot(*gradient)
        if length <= self.clip_norm:
            return gradient
        return [g * (self.clip_norm / length) for g in gradient]

    def assign(self, numbers: Sequence[float]) -> None:
        """Set all parameters; a Ctrl-C in between does not leave half of them old."""
        try:
            for p, x in zip(self.parameters, numbers, strict=True):
                p.data = x
        except KeyboardInterrupt:
            self.assign(numbers)
            raise

    def why_diverged(self, number: int, loss: float) -> str:
        """One sentence: the step, what became of the loss, the largest gradient, what to try."""
        sizes = [(math.inf if math.isnan(p.grad) else abs(p.grad)) for p in self.parameters]
        largest = max(range(len(sizes)), key=sizes.__getitem__)
        before = f" after {self.history.losses[number - 2]:.6g}" if number > 1 else ""
        overflows = math.isfinite(loss) and math.isfinite(sizes[largest])
        return (
            f"diverged at step {number}: the loss is {loss:.6g}{before}, the largest gradient "
            f"{self.parameters[largest].grad:.6g} ({self.name_of(largest)})"
            f"{', and the update is not finite' if overflows else ''}; {ADVICE}"
        )

    def name_of(self, index: int) -> str:
        """The name of a parameter, or its number in a model without names."""
        named = getattr(self.model, "named_parameters", None)
        return list(named())[index][0] if named else f"parameter {index}"

    def end(self, status: Status, verdict: str) -> None:
        """Note how the run ended, unless it had ended already."""
        if self.history.status == "running":
            self.history.status, self.history.verdict = status, verdict


def parameters_of(model: Any) -> list[Value]:
    """The parameters of a model, or of a list or dictionary of models and Values.

    Raises:
        ArgumentError: if there are none.
    """
    parameters = list(_parameters_in(model))
    if not parameters or not all(isinstance(p, Value) for p in parameters):
        raise ArgumentError(
            "the model must have parameters(), which returns a list of Values, "
            f"got {type(model).__name__} {model!r}"
        )
    return parameters


def _parameters_in(model: Any) -> Iterator[Any]:
    method = getattr(model, "parameters", None)
    if isinstance(model, Value):
        yield model
    elif callable(method):
        yield from method()
    elif isinstance(model, (list, tuple)):
        for part in model:
            yield from _parameters_in(part)
    elif isinstance(model, dict):
        for part in model.values():
            yield from _parameters_in(part)
