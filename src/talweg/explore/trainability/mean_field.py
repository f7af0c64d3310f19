"""The problem of the published trainability map: a small network, and random data.

Start reading at `default_problem`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from talweg.errors import ArgumentError
from talweg.losses import add_up
from talweg.matrices import Matrix
from talweg.nn import Module, Number
from talweg.ops import tanh
from talweg.value import Value


class MeanFieldNet(Module):
    """A network with one hidden layer and no biases: w1 . tanh(sqrt(2 / n) W0 x) / m.

    n is the number of inputs and m the number of hidden neurons. The weights are drawn from a
    normal distribution with mean 0 and standard deviation 1. The factors make the arguments of
    tanh of order 1 for any n; 1 / m is the factor of the mean-field limit.

    Args:
        inputs: n.
        width: m.
        rng: draws the weights.

    Source: Sohl-Dickstein, The boundary of neural network trainability is fractal,
    arXiv 2402.06184.

    Example:
        >>> net = MeanFieldNet(2, 3, random.Random(0))
        >>> round(net([1.0, -1.0]).data, 6), [len(layer.parameters()) for layer in net.layers]
        (0.596896, [6, 3])
    """

    def __init__(self, inputs: int, width: int, rng: random.Random) -> None:
        self.layers = [
            Matrix(width, inputs, std=1.0, rng=rng),
            Matrix(1, width, std=1.0, rng=rng),
        ]

    def __call__(self, x: Sequence[Number]) -> Number:
        """The output for the inputs x."""
        first, last = self.layers
        gain = math.sqrt(2.0 / len(first[0]))
        hidden = [tanh(_product(row, x) * gain) for row in first]
        return _product(last[0], hidden) / float(len(first))

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """The weights of the hidden layer, then those of the output layer, with their names."""
        for i, layer in enumerate(self.layers):
            for name, p in layer.named_parameters():
                yield f"layers.{i}.{name}", p

    def __repr__(self) -> str:
        hidden = self.layers[0]
        sizes = f"{len(hidden[0])} -> {len(hidden)} -> 1"
        return f"MeanFieldNet({sizes}, tanh, {len(self.parameters())} parameters)"


def default_problem(
    width: int = 8, seed: int = 0
) -> tuple[Callable[[random.Random], MeanFieldNet], list[tuple[list[float], float]]]:
    """The published problem: a function that makes the network, and the data.

    There are as many samples as parameters, width (width + 1). Inputs and targets are drawn from a
    normal distribution. The published map is that of the mean squared error, with the learning
    rates of the two layers as axes, both from 1e-3 to 1e6.

    Args:
        width: the number of inputs and of hidden neurons; the published 8 gives 72 samples.
        seed: the seed of the data.

    Returns:
        (make_model, data) for `trainability_map`.

    Raises:
        ArgumentError: if `width` is not an integer of at least 1.

    Example:
        >>> make_model, data = default_problem()
        >>> len(data), len(make_model(random.Random(1)).parameters())
        (72, 72)
    """
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ArgumentError(f"width must be an integer of at least 1, got {width!r}")
    rng = random.Random(seed)

    def draw() -> float:
        return rng.gauss(0.0, 1.0)

    data = [([draw() for _ in range(width)], draw()) for _ in range(width * (width + 1))]

    return partial(MeanFieldNet, width, width), data  # a partial can be pickled, a closure cannot


def _product(a: Sequence[Number], b: Sequence[Number]) -> Number:
    return add_up(p * q for p, q in zip(a, b, strict=True))
