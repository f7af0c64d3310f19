"""How large a learning rate may be: the largest curvature of the loss.

Near some weights the loss is a parabola in every direction of the weights. A step of gradient
descent along a direction of curvature h multiplies the distance to its lowest point by
1 - lr h: beyond lr = 2/h every step lands further away than the last. The largest curvature,
the largest eigenvalue of the Hessian of the training loss, sets the limit: the *sharpness*.

Start reading at `sharpness`; `SharpnessCallback` follows the number along a training run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from talweg import losses
from talweg._util.deprecation import RenamedAttribute
from talweg.errors import ArgumentError
from talweg.explore.curvature import Curvature
from talweg.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from talweg.schedules import rate_at
from talweg.training.eager_executor import Model, Sample
from talweg.training.loop import Reduction, Step

if TYPE_CHECKING:
    from talweg.explore.curvature import Array

Known: TypeAlias = SGD | Adam | RMSprop
"""The optimisers whose limits are known; AdamW is an Adam."""


@dataclass(frozen=True)
class Sharpness:
    """The largest curvature of a loss at some weights, and the learning rate that it allows.

    Attributes:
        largest: the largest eigenvalue of the Hessian, in units of loss / weight**2.
        max_stable_lr: the largest learning rate at which steps of the optimiser are stable in every
            direction; inf where nothing curves upward.
        gradient_norm: the length of the gradient.
        products: how many products of the Hessian and a vector it took.
    """

    largest: float
    max_stable_lr: float
    gradient_norm: float
    products: int

    in_words = RenamedAttribute("summary")
    limit = RenamedAttribute("max_stable_lr")

    def summary(self, lr: float) -> str:
        """What to expect of a learning rate at these weights.

        Args:
            lr: the learning rate, at least 0.

        Returns:
            One sentence without a full stop.

        Raises:
            ArgumentError: if it is not a number of at least 0.

        Example:
            >>> found = Sharpness(20.0, max_stable_lr=0.1, gradient_norm=1.0, products=8)
            >>> found.summary(0.18)
            '0.18 is 1.8 times the limit at these weights, 0.1: expect a spike first'
        """
        if not (isinstance(lr, (int, float)) and 0.0 <= lr < math.inf):
            raise ArgumentError(argument="lr", expected="a finite number of at least 0", got=lr)
        return beside_limit(lr, self.max_stable_lr, "at these weights")

    def __repr__(self) -> str:
        return (
            f"Sharpness(largest {self.largest:.6g}, limit {self.max_stable_lr:.4g}, gradient norm "
            f"{self.gradient_norm:.4g}, {self.products} products)"
        )


def beside_limit(lr: float, limit: float, where: str) -> str:
    """What to expect of a learning rate, in one sentence without a full stop.

    Args:
        lr: the learning rate.
        limit: the largest stable one, above 0; inf where nothing curves upward.
        where: at which weights that is.

    Example:
        >>> beside_limit(0.18, 0.1, "at the start")
        '0.18 is 1.8 times the limit at the start, 0.1: expect a spike first'
    """
    if math.isinf(limit):
        return (
            f"nothing curves upward {where}, so {lr:g} is below any limit here; "
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
    """The largest eigenvalue of the training loss's Hessian, and the learning rate it allows.

    The loss is that of a step of `train` with all samples. Its Hessian H is never made (unless
    there are few parameters): the Lanczos method finds the largest eigenvalue λ from exact
    products of H and a vector. On a parabola of curvature λ the steps of the optimiser come
    closer to the lowest point only below the limit:

        SGD                        2 / λ
        SGD with momentum m        (2 + 2m) / λ
        the same with nesterov     (2 + 2m) / ((1 + 2m) λ)
        Adam, AdamW                (2 + 2 beta1) / ((1 - beta1) λ')
        RMSprop                    2 / λ'

    where λ' is the largest eigenvalue of D^(-1/2) H D^(-1/2): the Hessian as an optimiser sees
    it that divides each gradient g_i by D_i. What D will be depends on the run; here it is
    D_i = |g_i| + epsilon with the gradient at these weights, as if it had been the same in all
    steps so far. That is exactly what Adam divides by in its first step from here, when
    v / (1 - beta2) is g**2. Left out is what fades in the first steps: Adam's m / (1 - beta1**t),
    which the paper counts into D, and the small s that RMSprop begins with.

    Weight decay w belongs to what is limited: read H + w I for H, or for AdamW, whose decay is
    apart from the gradient, λ' + w (1 + beta1) / (1 - beta1) for λ'. The limit knows nothing of
    batches and of `clip_norm`.

    The limit is that of these weights. Along a run λ changes, and often grows until it meets the
    limit (Cohen et al.): see `SharpnessCallback`.

    Args:
        model: see `train`; it is only looked at.
        data: the samples, see `train`.
        loss: a function (prediction, target) of one sample.
        reduction: "sum" or "mean" over the samples.
        optimizer: whose limit is wanted; SGD without momentum unless given. Its learning rate
            does not matter.
        tolerance: the relative error that λ may have, above 0.
        seed: where the vector that Lanczos starts from is drawn: the same seed, the same bits.

    Returns:
        The `Sharpness`.

    Raises:
        ArgumentError: if a setting makes no sense, the optimiser is not one of the above, or
            the loss or a derivative at these weights is not finite.
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
    chosen = _known(SGD(lr=0.05) if optimizer is None else optimizer)
    curvature = Curvature(model, data, loss, reduction, tolerance, seed)
    gradient = curvature.gradient()
    largest = curvature.largest()
    felt = largest + _decay(chosen)
    if not isinstance(chosen, SGD):
        felt = _preconditioned(chosen, curvature, gradient)
    limit = _factor(chosen) / felt if felt > 0.0 else math.inf
    return Sharpness(largest, limit, math.hypot(*gradient.tolist()), curvature.products)


class SharpnessCallback:
    """A callback for `train` that follows the sharpness along a run.

    It appends to `history.sharpness` the sharpness λ of the weights that a step starts from,
    for step 1 and then every so many steps, and to `history.sharpness_limits` the sharpness
    above which that step's learning rate is unstable: 2/lr for gradient descent. With a fixed
    rate λ typically grows until it meets that line, and then stays about there: progressive
    sharpening, and the edge of stability. `history.plot_stability()` draws both.

    Args:
        model: the model, before it is trained: the sharpness of step 1 is taken now.
        data: the samples, see `train`.
        steps: how many steps lie between two looks.
        loss: the same as for `train`.
        reduction: the same as for `train`.
        optimizer: the same as for `train`, an SGD; SGD(lr=0.05) unless given.
        tolerance: see `sharpness`.
        seed: see `sharpness`.

    Raises:
        ArgumentError: see `sharpness`; or if the optimiser is not SGD, because the limits of
            others depend on what they remember, which a callback is not told.

    Source: Cohen et al., arXiv 2103.00065.

    Example:
        >>> import random
        >>> from talweg import MLP, lesson_data, train
        >>> model = MLP(3, [4, 4, 1], rng=random.Random(42))
        >>> follow = SharpnessCallback(model, lesson_data(), steps=25)
        >>> history = train(model, lesson_data(), steps=50, callbacks=[follow])
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
            raise ArgumentError(f"steps must be a whole number of at least 1, got {steps!r}")
        self.steps = steps
        self.optimizer = SGD(lr=0.05) if optimizer is None else _plain(optimizer)
        self.curvature = Curvature(model, data, loss, reduction, tolerance, seed)
        self.curvature.gradient()  # refuses what has none
        self.start = self.curvature.largest()

    def __call__(self, step: Step) -> None:
        """Look at the weights after a step, if it is time to."""
        history = step.history
        if step.number == 1:
            self._note(step, 1, self.start)
        if step.number % self.steps == 0 and history.status == "running":
            self._note(step, step.number + 1, self._largest())

    def _largest(self) -> float:
        """The sharpness now, or nan: a run that is about to diverge is not to end by an error."""
        try:
            return self.curvature.largest()
        except ArgumentError:
            return math.nan

    def _note(self, step: Step, number: int, largest: float) -> None:
        lr = rate_at(self.optimizer.lr, number - 1)
        most = _factor(self.optimizer) / lr - _decay(self.optimizer) if lr else math.inf
        step.history.sharpness.append((number, largest))
        step.history.sharpness_limits.append((number, most))


# ---- the equations of the limits ---------------------------------------------------------------


def _known(optimizer: Optimizer) -> Known:
    # A class of the user's may have other equations, though it is derived from one of these.
    if isinstance(optimizer, Known) and type(optimizer) in (SGD, Adam, AdamW, RMSprop):
        return optimizer
    raise ArgumentError(
        "optimizer must be tw.SGD, tw.Adam, tw.AdamW or tw.RMSprop, whose limits are known, "
        f"got {optimizer!r}"
    )


def _plain(optimizer: Optimizer) -> SGD:
    if isinstance(optimizer, SGD) and type(optimizer) is SGD:
        return optimizer
    raise ArgumentError(
        f"along a run the sharpness has a limit for tw.SGD only, got {type(optimizer).__name__}; "
        "that of other optimisers depends on what they remember: look at it before the run with "
        "tw.sharpness"
    )


def _factor(optimizer: Known) -> float:
    """The product of learning rate and curvature at which steps just do not come closer.

    Along a direction of curvature h, a step maps (distance, memory) linearly. With the trace T
    and determinant D of that map, it has the eigenvalue -1 where 1 + T + D = 0. For momentum
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


def _decay(optimizer: Known) -> float:
    """The weight decay that is a part of the gradient."""
    return 0.0 if isinstance(optimizer, AdamW) else optimizer.weight_decay


def _preconditioned(optimizer: Adam | RMSprop, curvature: Curvature, gradient: Array) -> float:
    """The largest curvature seen by an optimiser that divides gradients by their size."""
    import numpy as np

    weights = np.array([p.data for p in curvature.parameters])
    decay = _decay(optimizer)
    sizes = np.abs(gradient + decay * weights) + optimizer.epsilon
    if not sizes.all():
        raise ArgumentError(
            f"the gradient of parameter {int(np.argmin(sizes))} is 0, and so is the epsilon of "
            f"{optimizer!r}: the step would be 0/0; give an epsilon above 0"
        )
    largest = curvature.largest(1.0 / np.sqrt(sizes), decay)
    if isinstance(optimizer, AdamW):  # T is smaller by lr w, and D is b (1 - lr w)
        largest += optimizer.weight_decay * (1.0 + optimizer.beta1) / (1.0 - optimizer.beta1)
    return largest
