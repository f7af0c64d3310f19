"""Neurons, layers and multi-layer perceptrons, as the lesson builds them.

They compute with single numbers of any type: a neuron is
`activation(b + w[0] * x[0] + w[1] * x[1] + ...)`. Start reading at `Neuron`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias

from talweg import ops
from talweg.errors import ArgumentError, ShapeError
from talweg.value import Value

Number: TypeAlias = Any
Activation: TypeAlias = str | Callable[[Number], Number]
Scale: TypeAlias = float | Literal["fan_in"]


def linear(x: Number) -> Number:
    """The identity, as an activation: x.

    >>> linear(3.0)
    3.0
    """
    return x


ACTIVATIONS: Mapping[str, Callable[[Number], Number]] = {
    "tanh": Value.tanh,
    "relu": Value.relu,
    "sigmoid": Value.sigmoid,
    "softplus": Value.softplus,
    "sin": Value.sin,
    "linear": linear,
}
"""The activations that have a name. A function of one number is an activation too."""


class Module:
    """The base class of models: parameters in a fixed order, each with a name.

    A subclass defines `named_parameters`; the other methods follow from it.

    Example:
        >>> class Line(Module):
        ...     def __init__(self):
        ...         self.slope, self.start = Value(2.0), Value(1.0)
        ...     def named_parameters(self):
        ...         yield "slope", self.slope
        ...         yield "start", self.start
        ...     def __call__(self, x):
        ...         return self.slope * x + self.start
        >>> Line().state_dict()
        {'slope': 2.0, 'start': 1.0}
    """

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """The parameters with their names, in the order of `parameters()`."""
        raise TypeError(
            f"{type(self).__name__} must define named_parameters(), which yields (name, Value)"
        )

    def parameters(self) -> list[Value]:
        """All parameters, in the order of the lesson."""
        return [p for _, p in self.named_parameters()]

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0.0; do this before each `backward()`."""
        for p in self.parameters():
            p.grad = 0.0

    def state_dict(self) -> dict[str, float]:
        """The number of every parameter, by name.

        >>> MLP(1, [1], rng=random.Random(0)).state_dict()
        {'layers.0.neurons.0.w.0': 0.6888437030500962, 'layers.0.neurons.0.b': 0.0}
        """
        return {name: p._data for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Set every parameter to the number of its name in `state`.

        Args:
            state: the result of `state_dict()` of a model of the same shape.

        Raises:
            ShapeError: if a name is missing or unknown; no parameter is changed then.
            NumberError: if an entry is not a number; no parameter is changed then.
        """
        own = dict(self.named_parameters())
        missing = [name for name in own if name not in state]
        unknown = [name for name in state if name not in own]
        if missing or unknown:
            raise ShapeError(
                f"the state does not fit {self!r}: {_listed('missing', missing)}"
                f"{'; ' if missing and unknown else ''}{_listed('unknown', unknown)}"
            )
        numbers = {name: ops.to_float(state[name]) for name in own}
        for name, p in own.items():
            p._data = numbers[name]


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what} {', '.join(names[:3])}{rest}"


class Neuron(Module):
    """A neuron: activation(b + w[0] x[0] + ... + w[n-1] x[n-1]).

    Args:
        nin: the number of inputs n.
        activation: a name in `ACTIVATIONS`, or a function of one number.
        rng: the generator of the weights, which are uniform between -scale and scale: a
            `random.Random`, or None for Python's own `random`, as in the lesson.
        scale: the largest weight, or "fan_in" for 1/sqrt(nin), with which the argument of the
            activation has order 1 for any number of inputs.

    Raises:
        ArgumentError: if an argument is not valid.
        ShapeError: on a call with a list of another length than `nin`.

    Example:
        >>> neuron = Neuron(2, rng=random.Random(0))
        >>> round(neuron([1.0, 2.0]).data, 6)
        0.937943
    """

    def __init__(
        self,
        nin: int,
        activation: Activation = "tanh",
        *,
        rng: random.Random | None = None,
        scale: Scale = 1.0,
    ) -> None:
        _require_count("nin", nin)
        self.activation = activation
        self._activate = _function_of(activation)
        bound = _largest_weight(scale, nin)
        uniform = _source_of(rng).uniform
        self.w = [Value(uniform(-bound, bound)) for _ in range(nin)]
        self.b = Value(0.0)

    def __call__(self, x: Sequence[Number]) -> Number:
        """The output for a list of `nin` numbers."""
        if not hasattr(x, "__len__") or len(x) != len(self.w):
            raise ShapeError(_wrong_length(self, len(self.w), x))
        total: Number = self.b
        for w, number in zip(self.w, x, strict=True):
            total = total + w * number
        return self._activate(total)

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """The weights `w.0`, `w.1`, ... and then the bias `b`."""
        for i, w in enumerate(self.w):
            yield f"w.{i}", w
        yield "b", self.b

    def parameters(self) -> list[Value]:
        """The weights and then the bias."""
        return [*self.w, self.b]

    def __repr__(self) -> str:
        return f"Neuron({len(self.w)}, {_name_of(self.activation)})"


class Layer(Module):
    """A layer of neurons, which all have the same inputs.

    Args:
        nin: the number of inputs of each neuron.
        nout: the number of neurons.
        activation: the activation of the neurons.
        rng: the generator of the weights, see `Neuron`.
        scale: the largest weight, see `Neuron`.

    A layer of one neuron returns the output of that neuron, not a list of one output.

    Example:
        >>> len(Layer(2, 3)([1.0, 2.0]))
        3
    """

    def __init__(
        self,
        nin: int,
        nout: int,
        activation: Activation = "tanh",
        *,
        rng: random.Random | None = None,
        scale: Scale = 1.0,
    ) -> None:
        _require_count("nout", nout)
        self.neurons = [Neuron(nin, activation, rng=rng, scale=scale) for _ in range(nout)]

    def __call__(self, x: Sequence[Number] | Number) -> list[Number] | Number:
        """The outputs of the neurons. If `nin` is 1, x may be a single number."""
        numbers = x if hasattr(x, "__len__") else [x]
        out = [neuron(numbers) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """The parameters of each neuron under `neurons.i.`."""
        yield from _prefixed("neurons", self.neurons)

    def parameters(self) -> list[Value]:
        """The parameters of the first neuron, of the second, and so on."""
        return [p for neuron in self.neurons for p in neuron.parameters()]

    def __repr__(self) -> str:
        first = self.neurons[0]
        return f"Layer({len(first.w)} -> {len(self.neurons)}, {_name_of(first.activation)})"


class MLP(Module):
    """A multi-layer perceptron: each layer takes the outputs of the one before.

    Args:
        nin: the number of inputs.
        nouts: the number of neurons in each layer; the last is the number of outputs.
        activation: the activation of every layer but the last.
        output: the activation of the last layer, for example "linear"; by default
            `activation`, as in the lesson.
        rng: the generator of the weights, see `Neuron`.
        scale: the largest weight, see `Neuron`.

    Raises:
        ArgumentError: if an argument is not valid.
        ShapeError: on a call with a list of another length than `nin`.

    Example:
        >>> random.seed(42)
        >>> model = MLP(3, [4, 4, 1])
        >>> model
        MLP(3 -> 4 -> 4 -> 1, tanh, 41 parameters)
        >>> model([2.0, 3.0, -1.0])
        Value(data=0.7343153652653036, op='tanh')
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: Activation = "tanh",
        output: Activation | None = None,
        *,
        rng: random.Random | None = None,
        scale: Scale = 1.0,
    ) -> None:
        if not hasattr(nouts, "__len__") or not len(nouts):
            raise ArgumentError(
                f"nouts must be a list of layer sizes such as [4, 4, 1], got {nouts!r}"
            )
        self.sizes = (nin, *nouts)
        self.activation = activation
        self.output = activation if output is None else output
        activations = [activation] * (len(nouts) - 1) + [self.output]
        self.layers = [
            Layer(n, m, act, rng=rng, scale=scale)
            for n, m, act in zip(self.sizes, nouts, activations, strict=False)
        ]

    def __call__(self, x: Sequence[Number]) -> list[Number] | Number:
        """The outputs for a list of `nin` numbers: one number, or a list if there are several."""
        out: Any = x
        for layer in self.layers:
            out = layer(out)
        return out

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """The parameters of each layer under `layers.i.`."""
        yield from _prefixed("layers", self.layers)

    def parameters(self) -> list[Value]:
        """The parameters of the first layer, of the second, and so on."""
        return [p for layer in self.layers for p in layer.parameters()]

    def __repr__(self) -> str:
        shape = " -> ".join(map(str, self.sizes))
        activation, output = _name_of(self.activation), _name_of(self.output)
        shown = activation if output == activation else f"{activation}, output {output}"
        return f"MLP({shape}, {shown}, {len(self.parameters())} parameters)"


def _prefixed(part: str, modules: Sequence[Module]) -> Iterator[tuple[str, Value]]:
    for i, module in enumerate(modules):
        for name, p in module.named_parameters():
            yield f"{part}.{i}.{name}", p


def _function_of(activation: Activation) -> Callable[[Number], Number]:
    if callable(activation):
        return activation
    try:
        return ACTIVATIONS[activation]
    except (KeyError, TypeError):
        raise ArgumentError(
            f"unknown activation {activation!r}; known are {', '.join(ACTIVATIONS)}, "
            "or give a function of one number"
        ) from None


def _name_of(activation: Activation) -> str:
    if isinstance(activation, str):
        return activation
    name: str = getattr(activation, "name", getattr(activation, "__name__", repr(activation)))
    return name


def _require_count(what: str, count: object) -> None:
    if isinstance(count, bool) or not isinstance(count, Integral) or int(count) < 1:
        raise ArgumentError(f"{what} must be an integer of at least 1, got {count!r}")


def _largest_weight(scale: Any, nin: int) -> float:
    if scale == "fan_in":
        return float(nin**-0.5)
    if not isinstance(scale, Real) or not 0.0 <= float(scale) < math.inf:
        raise ArgumentError(
            f'scale must be a finite number of at least 0, or "fan_in", got {scale!r}'
        )
    return float(scale)


def _source_of(rng: Any) -> Any:
    """The generator given, or Python's own `random`."""
    if rng is None:
        return random
    if not hasattr(rng, "uniform"):
        raise ArgumentError(f"rng must be a generator such as random.Random(42), got {rng!r}")
    return rng


def _wrong_length(neuron: Neuron, expected: int, x: Sequence[Number]) -> str:
    found = f"has {len(x)} numbers" if hasattr(x, "__len__") else f"is {x!r}, not a list"
    return (
        f"the input {found}, but {neuron!r} takes {expected}; "
        "the first argument of MLP, Layer or Neuron is the length of an input"
    )
