"""What the peers train: three networks with their data, the same for everybody.

Start reading at `problem`. All numbers are Python floats, all randomness comes from
`random.Random` with a fixed seed, and the start weights are those that talweg's `MLP` draws.
"""

import math
import random
from dataclasses import dataclass, replace
from functools import cached_property

import talweg as tw


@dataclass(frozen=True)
class Problem:
    """A network, its samples, its loss and its learning rates.

    The loss is scale * (sum of the samples' losses) + decay * (sum of all squared parameters).

    Attributes:
        sizes: the number of inputs, then of each layer's neurons.
        output: the last layer's activation, "tanh" or "linear"; the others have tanh.
        inputs, targets: one list of numbers a sample.
        hinge: the hinge loss for targets of -1 and 1; otherwise squared errors.
        mean: scale is 1 over the number of samples; otherwise 1.
        rates: the learning rates of the first steps, from then on over again.
        steps: after how many steps the losses of the peers are compared.
        few: how many samples are enough work for a peer that is scalar.
        start: the parameters before the first step, in the lesson's order.
    """

    sizes: tuple[int, ...]
    output: str
    inputs: list[list[float]]
    targets: list[list[float]]
    hinge: bool
    mean: bool
    decay: float
    rates: list[float]
    steps: int
    few: int
    start: list[float]

    @cached_property
    def scale(self):
        return 1.0 / len(self.inputs) if self.mean else 1.0

    @cached_property
    def squashes(self):
        """For each layer, whether it has tanh."""
        return [True] * (len(self.sizes) - 2) + [self.output == "tanh"]

    @cached_property
    def layers(self):
        """(inputs, neurons, index of the first parameter) of each layer."""
        found, first = [], 0
        for nin, nout in zip(self.sizes, self.sizes[1:]):
            found.append((nin, nout, first))
            first += nout * (nin + 1)
        return found

    def small_enough(self):
        """The same problem with a few of its samples."""
        return replace(self, inputs=self.inputs[: self.few], targets=self.targets[: self.few])

    def learning_rates(self, steps):
        return [self.rates[k % len(self.rates)] for k in range(steps)]

    def model(self):
        """talweg's model with the start weights."""
        model = tw.MLP(self.sizes[0], self.sizes[1:], output=self.output)
        set_parameters(model, self.start)
        return model


def set_parameters(model, numbers):
    for p, x in zip(model.parameters(), numbers, strict=True):
        p.data = x


def drawn(sizes, **how):
    """The start weights: what `MLP` draws with seed 42."""
    model = tw.MLP(sizes[0], sizes[1:], rng=random.Random(42), **how)
    return [p.data for p in model.parameters()]


def lesson():
    """The lesson: 4 samples, the sum of their squared errors."""
    data, sizes = tw.lesson_data(), (3, 4, 4, 1)
    return Problem(
        sizes=sizes,
        output="tanh",
        inputs=data.inputs,
        targets=[[y] for y in data.targets],
        hinge=False,
        mean=False,
        decay=0.0,
        rates=[0.05],
        steps=50,
        few=4,
        start=drawn(sizes),
    )


def moons():
    """Two half moons: the hinge loss, weight decay and falling learning rate of micrograd's demo.

    micrograd has relu, this has tanh. The rate falls from 1.0 to 0.1 within 100 steps; longer
    runs, made to take the time, begin again with 1.0.
    """
    rng, sizes, inputs, targets = random.Random(1), (2, 16, 16, 1), [], []
    for i in range(50):
        angle = math.pi * i / 49
        upper = (math.cos(angle), math.sin(angle), -1.0)
        lower = (1.0 - math.cos(angle), 0.5 - math.sin(angle), 1.0)
        for x, y, side in (upper, lower):
            inputs.append([x + rng.gauss(0.0, 0.1), y + rng.gauss(0.0, 0.1)])
            targets.append([side])
    return Problem(
        sizes=sizes,
        output="linear",
        inputs=inputs,
        targets=targets,
        hinge=True,
        mean=True,
        decay=1e-4,
        rates=[1.0 - 0.9 * k / 100 for k in range(100)],
        steps=100,
        few=100,
        start=drawn(sizes, output="linear"),
    )


def wide():
    """A network wide enough for matrix libraries: 1,024 samples of noise, 10 outputs."""
    rng, sizes = random.Random(0), (64, 64, 64, 10)
    return Problem(
        sizes=sizes,
        output="tanh",
        inputs=[[rng.gauss(0.0, 1.0) for _ in range(64)] for _ in range(1024)],
        targets=[[rng.uniform(-0.9, 0.9) for _ in range(10)] for _ in range(1024)],
        hinge=False,
        mean=True,
        decay=0.0,
        rates=[0.05],
        steps=20,
        few=4,
        start=drawn(sizes, scale="fan_in"),
    )


PROBLEMS = {"lesson": lesson, "moons": moons, "wide": wide}


def problem(workload):
    """The problem of a workload: "hand-moons" is that of "moons" in another loop."""
    return PROBLEMS[workload.removeprefix("hand-")]()
