"""The objective of a training run: the loss of a model over a set of examples.

`train` and `minimize` make an `Objective`; every executor computes it and its gradient in its own
way. Start reading at `Objective`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from talweg import losses, ops
from talweg.errors import ArgumentError
from talweg.value import Value

Sample: TypeAlias = tuple[Sequence[float], Any]
"""An example of `train`: inputs and target."""


class Model(Protocol):
    """What `train` needs of a model: a call on inputs, and a list of parameters."""

    def __call__(self, x: Sequence[float], /) -> Any:
        """The prediction for one sample."""

    def parameters(self) -> Sequence[Value]:
        """All Values that training may change, in a fixed order."""


class Objective:
    """The function that training minimises: the loss of a model over examples.

    It is the sum of loss(x) over the examples x of a batch, or with `mean` that sum divided by
    their number.

    Args:
        model: the model; anything with `parameters()`, a Value, or a list or dictionary of those.
        loss: the loss of one example, a function of the example that reads the model.
        examples: what the model is trained on, at least one.
        mean: whether the losses of a batch are averaged, or summed.

    Attributes:
        parameters: the Values of the model, which training changes.

    Raises:
        ArgumentError: if the model has no parameters.

    Example:
        >>> w = Value(3.0)
        >>> objective = Objective([w], lambda x: (w - x) ** 2, [1.0, 2.0], mean=True)
        >>> objective.evaluate([1.0, 2.0])
        2.5
    """

    def __init__(
        self, model: Any, loss: Callable[[Any], Any], examples: Sequence[Any], *, mean: bool
    ) -> None:
        self.model = model
        self.loss = loss
        self.examples = examples
        self.mean = mean
        self.parameters = parameters_of(model)

    def evaluate(self, examples: Sequence[Any]) -> float:
        """The loss of some examples at the present parameters, without a gradient."""
        total: float = losses.add_up(ops.to_float(self.loss(x)) for x in examples)
        return total / len(examples) if self.mean else total

    def assign(self, numbers: Sequence[float]) -> None:
        """Set all parameters. A Ctrl-C during the assignment is raised after its end."""
        try:
            for p, x in zip(self.parameters, numbers, strict=True):
                p._data = x if type(x) is float else ops.to_float(x)
        except KeyboardInterrupt:
            self.assign(numbers)
            raise


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
