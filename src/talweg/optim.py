"""Optimisers: the update of a parameter, given its gradient.

Each optimiser is one equation, `update`, for a single parameter: from the parameter p, its
gradient g, the optimiser's state of it, the learning rate and the number of the step (1 for the
first), to the new p and the new state. It does only arithmetic on its arguments.

`train` calls `update` and stores the states itself, so one optimiser can be used in many runs.
In your own loop call `step(parameters)`, which stores the states in the optimiser. The loop over
the parameters is in `talweg.optimizer_step`. Start reading at `Optimizer.update`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from talweg import ops
from talweg._util.deprecation import RenamedAttribute, warn_renamed
from talweg.errors import ArgumentError
from talweg.optimizer_step import Number, State, apply_update
from talweg.schedules import Schedule, rate_at
from talweg.value import Value


@dataclass
class Optimizer:
    """The base class of optimisers: a learning rate, and `step` for your own loops.

    Args:
        lr: the learning rate, a number or a schedule of `talweg.schedules`.
    """

    lr: float | Schedule
    state_names: ClassVar[tuple[str, ...]] = ()
    """The names of the numbers in the state of a parameter; all of them start at 0.0."""

    remembers = RenamedAttribute("state_names")

    _states: list[State] = field(default_factory=list, init=False, repr=False, compare=False)
    _steps: int = field(default=0, init=False, repr=False, compare=False)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "remembers" in cls.__dict__:
            warn_renamed(f"{cls.__name__}.remembers", f"{cls.__name__}.state_names")
            cls.state_names = cls.remembers
            del cls.remembers

    def __post_init__(self) -> None:
        if not callable(self.lr):
            _require_at_least_0(lr=self.lr)

    def initial_state(self) -> State:
        """The state of a parameter before the first step."""
        return (0.0,) * len(self.state_names)

    def update(
        self, p: Number, g: Number, state: State, lr: Number, step: Number
    ) -> tuple[Number, State]:
        """The parameter and its state after one step.

        Args:
            p: the parameter.
            g: its gradient.
            state: its state, from `initial_state` or the last `update`.
            lr: the learning rate of this step.
            step: the number of this step, 1.0 for the first.

        Returns:
            The new parameter and the new state.
        """
        raise TypeError(f"{type(self).__name__} must define update(p, g, state, lr, step)")

    def step(self, parameters: Sequence[Value]) -> None:
        """Update every parameter once, by its gradient from `backward()`.

        Args:
            parameters: the same Values in the same order at every call.

        Raises:
            ArgumentError: if their number has changed since the last call.

        >>> p = Value(1.0)
        >>> optimizer = SGD(lr=0.1, momentum=0.9)
        >>> for _ in range(2):
        ...     p.grad = 0.0
        ...     (p * p).backward()
        ...     optimizer.step([p])
        >>> round(p.data, 6)
        0.46
        """
        if not self._steps:
            self._states = [self.initial_state() for _ in parameters]
        if len(self._states) != len(parameters):
            raise ArgumentError(
                f"step() was given {len(self._states)} parameters before and {len(parameters)} "
                "now; make a new optimiser for another model"
            )
        lr = rate_at(self.lr, self._steps)
        self._steps += 1
        updated = apply_update(
            self.update,
            (p._data for p in parameters),
            (p.grad for p in parameters),
            self._states,
            lr,
            float(self._steps),
        )
        # One after the other: a parameter that is listed twice is updated twice.
        for i, (p, (number, state)) in enumerate(zip(parameters, updated, strict=True)):
            p.data, self._states[i] = number, state


@dataclass
class SGD(Optimizer):
    """Gradient descent, p <- p - lr g, optionally with momentum and weight decay.

    With momentum m it is p <- p - lr v, where v <- m v + g; with `nesterov` it is
    p <- p - lr (g + m v). Weight decay w adds w p to the gradient.

    Args:
        lr: the learning rate, a number or a schedule.
        momentum: m, at least 0 and below 1.
        nesterov: whether to use Nesterov's form of momentum; it needs momentum.
        weight_decay: w, at least 0: the gradient is that of the loss plus w/2 p**2 for each
            parameter.

    Raises:
        ArgumentError: if a setting is not valid.

    Source: Sutskever et al., On the importance of initialization and momentum, 2013. The
    velocity does not contain the learning rate, as in PyTorch.

    >>> SGD(lr=0.1).update(p=1.0, g=2.0, state=(), lr=0.1, step=1.0)
    (0.8, ())
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_below_1(momentum=self.momentum)
        _require_at_least_0(weight_decay=self.weight_decay)
        if self.nesterov and not self.momentum:
            raise ArgumentError("nesterov needs momentum; give momentum=0.9 for example")

    def initial_state(self) -> State:
        """The velocity v, which is part of the state only with momentum."""
        return (0.0,) if self.momentum else ()

    def update(
        self, p: Number, g: Number, state: State, lr: Number, step: Number
    ) -> tuple[Number, State]:
        """The equation of the class."""
        if self.weight_decay:
            g = g + self.weight_decay * p
        if not self.momentum:
            return p - lr * g, ()
        v = self.momentum * state[0] + g
        direction = g + self.momentum * v if self.nesterov else v
        return p - lr * direction, (v,)


@dataclass
class RMSprop(Optimizer):
    """Gradient descent with each gradient divided by its root mean square.

    s <- d s + (1 - d) g**2, then p <- p - lr g / (sqrt(s) + epsilon).

    Args:
        lr: the learning rate, a number or a schedule.
        decay: d, at least 0 and below 1.
        epsilon: a small number, at least 0, against division by zero.
        weight_decay: w, at least 0; adds w p to the gradient.

    Raises:
        ArgumentError: if a setting is not valid.

    Source: Tieleman and Hinton, Coursera lecture 6.5, 2012.

    >>> p, state = RMSprop(lr=0.1).update(p=1.0, g=2.0, state=(0.0,), lr=0.1, step=1.0)
    >>> round(p, 6), round(state[0], 6)
    (0.0, 0.04)
    """

    lr: float | Schedule = 0.01
    decay: float = 0.99
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    state_names: ClassVar[tuple[str, ...]] = ("mean square gradient",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_below_1(decay=self.decay)
        _require_at_least_0(epsilon=self.epsilon, weight_decay=self.weight_decay)

    def update(
        self, p: Number, g: Number, state: State, lr: Number, step: Number
    ) -> tuple[Number, State]:
        """The equation of the class."""
        if self.weight_decay:
            g = g + self.weight_decay * p
        s = self.decay * state[0] + (1.0 - self.decay) * (g * g)
        return p - ops.div(lr * g, ops.sqrt(s) + self.epsilon), (s,)


@dataclass
class Adam(Optimizer):
    """Gradient descent along the mean gradient, divided by its root mean square.

    Both are bias-corrected exponential moving averages: m <- b1 m + (1 - b1) g and
    v <- b2 v + (1 - b2) g**2; at step t, counted from 1,
    p <- p - lr (m / (1 - b1**t)) / (sqrt(v / (1 - b2**t)) + epsilon).

    Args:
        lr: the learning rate, a number or a schedule.
        beta1: b1, at least 0 and below 1.
        beta2: b2, at least 0 and below 1.
        epsilon: a small number, at least 0, against division by zero.
        weight_decay: w, at least 0; adds w p to the gradient. In `AdamW` it is not divided by
            the root mean square.

    Raises:
        ArgumentError: if a setting is not valid.

    Source: Kingma and Ba, Adam, arXiv 1412.6980.

    >>> p, state = Adam(lr=0.1).update(p=1.0, g=2.0, state=(0.0, 0.0), lr=0.1, step=1.0)
    >>> round(p, 6)
    0.9
    """

    lr: float | Schedule = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    state_names: ClassVar[tuple[str, ...]] = ("mean gradient", "mean square gradient")

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_below_1(beta1=self.beta1, beta2=self.beta2)
        _require_at_least_0(epsilon=self.epsilon, weight_decay=self.weight_decay)

    def update(
        self, p: Number, g: Number, state: State, lr: Number, step: Number
    ) -> tuple[Number, State]:
        """The equation of the class."""
        if self.weight_decay:
            g = g + self.weight_decay * p
        return self._update(p, g, state, lr, step)

    def _update(
        self, p: Number, g: Number, state: State, lr: Number, step: Number
    ) -> tuple[Number, State]:
        m = self.beta1 * state[0] + (1.0 - self.beta1) * g
        v = self.beta2 * state[1] + (1.0 - self.beta2) * (g * g)
        mean = ops.div(m, 1.0 - ops.pow(self.beta1, step))
        size = ops.sqrt(ops.div(v, 1.0 - ops.pow(self.beta2, step)))
        return p - lr * ops.div(mean, size + self.epsilon), (m, v)


@dataclass
class AdamW(Adam):
    """Adam with decoupled weight decay: first p <- p - lr w p, then the update of Adam.

    Args:
        lr: the learning rate, a number or a schedule.
        beta1: see `Adam`.
        beta2: see `Adam`.
        epsilon: see `Adam`.
        weight_decay: w, at least 0.

    Raises:
        ArgumentError: if a setting is not valid.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, arXiv 1711.05101.

    >>> p, state = AdamW(lr=0.1).update(p=1.0, g=2.0, state=(0.0, 0.0), lr=0.1, step=1.0)
    >>> round(p, 6)
    0.899
    """

    weight_decay: float = 0.01

    def update(
        self, p: Number, g: Number, state: State, lr: Number, step: Number
    ) -> tuple[Number, State]:
        """The equation of the class."""
        return self._update(p - lr * self.weight_decay * p, g, state, lr, step)


def _require_at_least_0(**settings: float) -> None:
    for name, x in settings.items():
        if not (isinstance(x, (int, float)) and math.isfinite(x) and x >= 0.0):
            raise ArgumentError(argument=name, expected="a finite number of at least 0", got=x)


def _require_below_1(**settings: float) -> None:
    for name, x in settings.items():
        if not (isinstance(x, (int, float)) and 0.0 <= x < 1.0):
            raise ArgumentError(f"{name} must be at least 0 and below 1, got {x!r}")
