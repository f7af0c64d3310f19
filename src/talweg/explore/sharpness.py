"""The sharpness: the largest curvature of the loss, and the largest stable learning rate.

Near given weights the loss is approximately a parabola along every direction. A step of gradient
descent along a direction of curvature h multiplies the distance to the minimum of the parabola by
1 - lr h: if lr > 2 / h the distance grows with each step. So the largest curvature, which is the
largest eigenvalue of the Hessian of the training loss and is called the sharpness, limits the
learning rate.

Start reading at `sharpness`. `SharpnessCallback` records the sharpness along a training run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from talweg import losses
from talweg._util.arrays import Array
from talweg._util.deprecation import RenamedAttribute
from talweg.errors import ArgumentError
from talweg.explore.curvature import Curvature
from talweg.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from talweg.schedules import rate_at
from talweg.training.callbacks import Step
from talweg.training.objective import Model, Sample
from talweg.training.settings import Reduction

SupportedOptimizer: TypeAlias = SGD | Adam | RMSprop
"""The optimisers whose limits are known; AdamW is a subclass of Adam."""


@dataclass(frozen=True)
class Sharpness:
    """The largest curvature of a loss at some weights, and the learning rate that it allows.

    Attributes:
        largest: the largest eigenvalue of the Hessian, in units of loss / weight**2.
        max_stable_lr: the largest learning rate at which steps of the optimiser are stable along
            every direction; inf if no curvature is positive.
        gradient_norm: the Euclidean norm of the gradient.
        products: the number of Hessian-vector products that were computed.
    """

    largest: float
    max_stable_lr: float
    gradient_norm: float
    products: int

    in_words = RenamedAttribute("summary")
    limit = RenamedAttribute("max_stable_lr")

    def summary(self, lr: float) -> str:
        """Compare a learning rate with the largest stable one, in words.

        Args:
            lr: the learning rate, at least 0.

        Returns:
            One sentence without a full stop.

        Raises:
            ArgumentError: if `lr` is not a finite number of at least 0.

        Example:
            >>> found = Sharpness(20.0, max_stable_lr=0.1, gradient_norm=1.0, products=8)
            >>> found.summary(0.18)
            '0.18 is 1.8 times the limit at these weights, 0.1: expect a spike first'
        """
        if not (isinstance(lr, (int, float)) and 0.0 <= lr < math.inf):
            raise ArgumentError(argument="lr", expected="a finite number of at least 0", got=lr)
        return compare_with_limit(lr, self.max_stable_lr, "at these weights")

    def __repr__(self) -> str:
        return (
            f"Sharpness(largest {self.largest:.6g}, limit {self.max_stable_lr:.4g}, gradient norm "
            f"{self.gradient_norm:.4g}, {self.products} products)"
        )


def compare_with_limit(lr: float, limit: float, where: str) -> str:
    """Compare a learning rate with the largest stable one, in one sentence without a full stop.

    Args:
        lr: the learning rate.
        limit: the largest stable learning rate, above 0; inf if no curvature is positive.
        where: the weights at which that is the limit, in words.

    Example:
        >>> compare_with_limit(0.18, 0.1, "at the start")
        '0.18 is 1.8 times the limit at the start, 0.1: expect a spike first'
    """
    if math.isinf(limit):
        return (
            f"no curvature is positive {where}, so {lr:g} is below any limit here; "
            "a step may change that"
        )
    ratio, name = lr / limit, f"the limit {where}, {limit:.3g}"
    if ratio > 1.0:
        return f"{lr:g} is {ratio:.3g} times {name}: expect a spike first"
    return f"{lr:g} is {ratio:.3g} of {name}: steps are stable here"


def sharpness(
    model: Model,
    data: Iterable[Sample],
    *,
    loss: losses.Loss = losses.squared_error,
    reduction: Reduction = "sum",
    optimizer: Optimizer | None = None,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> Sharpness:
    """The largest eigenvalue of the Hessian of the training loss, and the largest stable rate.

    The loss is that of a step of `train` with all samples. The Lanczos method finds the largest
    eigenvalue λ of its Hessian H from exact products of H and vectors; only for few parameters is
    H itself computed. On a parabola of curvature λ the steps of the optimiser converge to the
    minimum only below the limit:

        SGD                        2 / λ
        SGD with momentum m        (2 + 2m) / λ
        the same with nesterov     (2 + 2m) / ((1 + 2m) λ)
        Adam, AdamW                (2 + 2 beta1) / ((1 - beta1) λ')
        RMSprop                    2 / λ'

    where λ' is the largest eigenvalue of D^(-1/2) H D^(-1/2), the Hessian preconditioned by an
    optimiser that divides each derivative g_i by D_i. In a run D depends on all steps so far; here
    D_i = |g_i| + epsilon with the gradient at these weights, as if it had been the same in all
    steps. That is exactly the divisor of Adam's first step from here, in which v / (1 - beta2) is
    g**2. Terms that vanish after the first steps are left out: Adam's m / (1 - beta1**t), which
    the paper includes in D, and the small initial s of RMSprop.

    Weight decay w changes the curvature: H + w I takes the place of H. For AdamW, whose decay is
    not part of the gradient, λ' + w (1 + beta1) / (1 - beta1) takes the place of λ'. The limit
    does not take account of batches and of `clip_norm`.

    The limit holds at these weights. Along a run λ changes, and often grows until it reaches the
    limit (Cohen et al.): see `SharpnessCallback`.

    Args:
        model: see `train`; it is not changed.
        data: the samples, see `train`.
        loss: a function (prediction, target) of one sample.
        reduction: "sum" or "mean" over the samples.
        optimizer: the optimiser whose limit is computed; SGD without momentum unless given. Its
            learning rate has no effect.
        tolerance: the largest relative error of λ, above 0.
        seed: the seed of the vector that the Lanczos method starts from; equal seeds give equal
            bits.

    Returns:
        The `Sharpness`.

    Raises:
        ArgumentError: if a setting is not valid, the optimiser is not one of the above, or the
            loss or a derivative at these weights is not finite.
        DataError: if there are no samples.
        ShapeError: if a sample does not fit the model or the loss.
        OperationError: if an operation has no second derivative.

    Source: Cohen et al., Gradient descent on neural networks typically occurs at the edge of
    stability, arXiv 2103.00065; for Adam Cohen et al., arXiv 2207.14484.

    Example:
        >>> import random
        >>> from talweg import MLP, lesson_data
        >>> found = sharpness(MLP(3, [4, 4, 1], rng=random.Random(42)), lesson_data())
        >>> round(found.largest, 4), round(found.max_stable_lr, 4)
        (5.7529, 0.3477)
        >>> found.summary(0.05)
        '0.05 is 0.144 of the limit at these weights, 0.348: steps are stable here'
    """
    supported = _require_supported(SGD(lr=0.05) if optimizer is None else optimizer)
    curvature = Curvature(model, data, loss, reduction, tolerance, seed)
    gradient = curvature.gradient()
    largest = curvature.largest_eigenvalue()
    effective = largest + _decay(supported)
    if not isinstance(supported, SGD):
        effective = _preconditioned(supported, curvature, gradient)
    limit = _factor(supported) / effective if effective > 0.0 else math.inf
    return Sharpness(largest, limit, math.hypot(*gradient.tolist()), curvature.products)


class SharpnessCallback:
    """A callback for `train` that records the sharpness along a run.

    For step 1 and then every `steps` steps it appends to `history.sharpness` the sharpness λ at the
    weights that the step starts from, and to `history.sharpness_limits` the largest sharpness at
    which the learning rate of that step is stable: 2 / lr for gradient descent. With a constant
    rate λ typically grows until it reaches that limit (progressive sharpening), and then stays near
    it (the edge of stability). `history.plot_stability()` draws both.

    Args:
        model: the model, before it is trained: the sharpness for step 1 is computed at once.
        data: the samples, see `train`.
        steps: the number of steps from one record to the next.
        loss: the same as for `train`.
        reduction: the same as for `train`.
        optimizer: the same as for `train`, an SGD; SGD(lr=0.05) unless given.
        tolerance: see `sharpness`.
        seed: see `sharpness`.

    Raises:
        ArgumentError: see `sharpness`; or if the optimiser is not SGD, because the limit of another
            depends on its state, which a callback does not know.

    Source: Cohen et al., arXiv 2103.00065.

    Example:
        >>> import random
        >>> from talweg import MLP, lesson_data, train
        >>> model = MLP(3, [4, 4, 1], rng=random.Random(42))
        >>> callback = SharpnessCallback(model, lesson_data(), steps=25)
        >>> history = train(model, lesson_data(), steps=50, callbacks=[callback])
        >>> [(step, round(largest, 3)) for step, largest in history.sharpness]
        [(1, 5.753), (26, 4.547), (51, 1.748)]
        >>> history.sharpness_limits[0]
        (1, 40.0)
    """

    def __init__(
        self,
        model: Model,
        data: Iterable[Sample],
        *,
        steps: int = 10,
        loss: losses.Loss = losses.squared_error,
        reduction: Reduction = "sum",
        optimizer: Optimizer | None = None,
        tolerance: float = 1e-6,
        seed: int = 0,
    ) -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ArgumentError(f"steps must be an integer of at least 1, got {steps!r}")
        self.steps = steps
        self.optimizer = SGD(lr=0.05) if optimizer is None else _require_sgd(optimizer)
        self.curvature = Curvature(model, data, loss, reduction, tolerance, seed)
        self.curvature.gradient()  # raises an error if the loss has no finite gradient
        self.start = self.curvature.largest_eigenvalue()

    def __call__(self, step: Step) -> None:
        """Record the sharpness after a step, if it is one of those to record."""
        history = step.history
        if step.number == 1:
            self._record(step, 1, self.start)
        if step.number % self.steps == 0 and history.status == "running":
            self._record(step, step.number + 1, self._sharpness())

    def _sharpness(self) -> float:
        """The sharpness now; nan in place of an error, which would end a run that diverges."""
        try:
            return self.curvature.largest_eigenvalue()
        except ArgumentError:
            return math.nan

    def _record(self, step: Step, number: int, largest: float) -> None:
        lr = rate_at(self.optimizer.lr, number - 1)
        limit = _factor(self.optimizer) / lr - _decay(self.optimizer) if lr else math.inf
        step.history.sharpness.append((number, largest))
        step.history.sharpness_limits.append((number, limit))


# ---- the equations of the limits ---------------------------------------------------------------


def _require_supported(optimizer: Optimizer) -> SupportedOptimizer:
    # A subclass of one of these may have other equations, and is not supported.
    if isinstance(optimizer, SupportedOptimizer) and type(optimizer) in (SGD, Adam, AdamW, RMSprop):
        return optimizer
    raise ArgumentError(
        "optimizer must be tw.SGD, tw.Adam, tw.AdamW or tw.RMSprop, whose limits are known, "
        f"got {optimizer!r}"
    )


def _require_sgd(optimizer: Optimizer) -> SGD:
    if isinstance(optimizer, SGD) and type(optimizer) is SGD:
        return optimizer
    raise ArgumentError(
        f"SharpnessCallback computes the limit for tw.SGD only, got {type(optimizer).__name__}; "
        "that of another optimiser depends on its state: call tw.sharpness before the run"
    )


def _factor(optimizer: SupportedOptimizer) -> float:
    """The product of learning rate and curvature at the limit of stability.

    Along a direction of curvature h, a step maps (distance, optimiser state) linearly. With the
    trace T and determinant D of that map, it has the eigenvalue -1 if 1 + T + D = 0. For momentum
    T = 1 - lr h + m and D = m; with nesterov T = 1 - lr (1 + m) h + m and D = m (1 - lr h); for
    Adam T = 1 - lr (1 - b) h + b and D = b.
    """
    match optimizer:
        case Adam(beta1=b):
            return (2.0 + 2.0 * b) / (1.0 - b)
        case SGD(momentum=m, nesterov=True):
            return (2.0 + 2.0 * m) / (1.0 + 2.0 * m)
        case SGD(momentum=m):
            return 2.0 + 2.0 * m
    return 2.0


def _decay(optimizer: SupportedOptimizer) -> float:
    """The weight decay, if it is part of the gradient; else 0."""
    return 0.0 if isinstance(optimizer, AdamW) else optimizer.weight_decay


def _preconditioned(optimizer: Adam | RMSprop, curvature: Curvature, gradient: Array) -> float:
    """The largest eigenvalue of the preconditioned Hessian, with weight decay; see `sharpness`."""
    import numpy as np

    weights = np.array([p.data for p in curvature.parameters])
    decay = _decay(optimizer)
    sizes = np.abs(gradient + decay * weights) + optimizer.epsilon
    if not sizes.all():
        raise ArgumentError(
            f"the gradient of parameter {int(np.argmin(sizes))} is 0, and so is the epsilon of "
            f"{optimizer!r}: the step would be 0/0; give an epsilon above 0"
        )
    largest = curvature.largest_eigenvalue(1.0 / np.sqrt(sizes), decay)
    if isinstance(optimizer, AdamW):  # T is smaller by lr w, and D is b (1 - lr w)
        largest += optimizer.weight_decay * (1.0 + optimizer.beta1) / (1.0 - optimizer.beta1)
    return largest
