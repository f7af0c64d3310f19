"""micrograd's module `nn`: networks with relu inside and a linear last layer.

They are talweg's networks with other arguments, so `tw.train`, `tw.jit` and saving work with them.
Start reading at `MLP`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from talweg import nn
from talweg.nn import Module

__all__ = ["MLP", "Layer", "Module", "Neuron"]


class Neuron(nn.Neuron):
    """A neuron: relu(b + w[0] x[0] + ... + w[n-1] x[n-1]), or without relu.

    Args:
        nin: the number of inputs n.
        nonlin: whether there is a relu.

    The weights are drawn from Python's `random`, uniform between -1 and 1; the bias is 0.

    Source: Karpathy, micrograd, `nn.py`.

    >>> Neuron(2), Neuron(2, nonlin=False)
    (ReLUNeuron(2), LinearNeuron(2))
    """

    def __init__(self, nin: int, nonlin: bool = True) -> None:
        super().__init__(nin, "relu" if nonlin else "linear")
        self.nonlin = nonlin

    def __repr__(self) -> str:
        return f"{'ReLU' if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(nn.Layer):
    """A layer of neurons, which all have the same inputs.

    Args:
        nin: the number of inputs of each neuron.
        nout: the number of neurons.
        nonlin: whether the neurons have a relu.

    A layer of one neuron returns the output of that neuron, not a list of one output.

    >>> Layer(2, 2, nonlin=False)
    Layer of [LinearNeuron(2), LinearNeuron(2)]
    """

    neurons: list[Any]

    def __init__(self, nin: int, nout: int, nonlin: bool = True) -> None:
        self.neurons = [Neuron(nin, nonlin) for _ in range(nout)]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(nn.MLP):
    """A multi-layer perceptron.

    Args:
        nin: the number of inputs.
        nouts: the number of neurons in each layer. All layers but the last have a relu.

    Raises:
        ArgumentError: if the number of inputs is not an integer of at least 1.
        ShapeError: on a call with a list of another length than `nin`.

    Example:
        >>> import random
        >>> random.seed(1337)
        >>> model = MLP(2, [2, 1])
        >>> model
        MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(2)]]
        >>> round(model([1.0, -1.0]).data, 6)
        -0.112981
    """

    def __init__(self, nin: int, nouts: Sequence[int]) -> None:
        self.sizes = (nin, *nouts)
        self.activation, self.output = "relu", "linear"
        last = len(nouts) - 1
        self.layers = [
            Layer(n, m, nonlin=i != last) for i, (n, m) in enumerate(pairwise(self.sizes))
        ]

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"
