"""The curvature of a training loss: exact Hessian products, and the largest eigenvalue.

Nothing here makes the Hessian of a large model, and nothing is approximated by differences.
Start reading at `Curvature.largest`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg import losses
from talweg.autodiff.higher_order import gradients
from talweg.errors import ArgumentError, CompilerError
from talweg.training.eager_executor import Model, Sample, parameters_of
from talweg.training.loop import Reduction
from talweg.training.train import samples_of
from talweg.value import Value

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]
    Way: TypeAlias = Callable[[Sample, Array], Sequence[float]]

_FEW = 20
"""Up to this many parameters the whole Hessian is made, of as many products as Lanczos would
begin with."""


class Curvature:
    """The second derivatives of the loss that `train` sees, at the model's present weights.

    Args:
        model: the model; it is only looked at.
        data: the samples.
        loss: a function (prediction, target) of one sample.
        reduction: "sum" or "mean" over the samples.
        tolerance: the relative error that an eigenvalue may have.
        seed: where the first vector of Lanczos is drawn.

    Attributes:
        parameters: the model's parameters, in order.
        products: how many products were computed so far.

    Raises:
        ArgumentError: if a setting makes no sense, or the model has no parameters.
        DataError: if there are no samples.
    """

    def __init__(
        self,
        model: Model,
        data: Iterable[Sample],
        loss: losses.Loss,
        reduction: Reduction,
        tolerance: float,
        seed: int,
    ) -> None:
        if not callable(model):
            raise ArgumentError(f"the model must be callable and have parameters(), got {model!r}")
        self.parameters = parameters_of(model)
        if len(set(self.parameters)) < len(self.parameters):
            raise ArgumentError("parameters() of the model returns the same Value twice")
        for name, (expected, holds) in _RULES.items():
            setting = {"loss": loss, "reduction": reduction, "tolerance": tolerance, "seed": seed}
            if not holds(setting[name]):
                raise ArgumentError(argument=name, expected=expected, got=setting[name])
        self.samples = samples_of(data, "data")
        self.weight = 1.0 / len(self.samples) if reduction == "mean" else 1.0
        self.model, self.loss = model, loss
        self.tolerance, self.seed = tolerance, seed
        self.products = 0
        self.ways = self._ways()

    def gradient(self) -> Array:
        """The gradient of the loss; nothing is written into the parameters.

        Raises:
            ArgumentError: if the loss or the gradient is not finite.
        """
        import numpy as np

        total, gradient = 0.0, np.zeros(len(self.parameters))
        with np.errstate(all="ignore"):  # inf - inf is found below
            for x, y in self.samples:
                part = self._part(x, y)
                total += part.data
                gradient += [g.data for g in gradients(part, self.parameters)]
        if not math.isfinite(total):
            raise ArgumentError(
                f"the loss at these weights is {total!r}, so it has no curvature; look at the "
                "data and the weights"
            )
        return self._finite(gradient * self.weight, "gradient")

    def times(self, vector: Array) -> Array:
        """The Hessian of the loss times a vector.

        Raises:
            ArgumentError: if the product is not finite.
        """
        import numpy as np

        self.products += 1
        shares = [self._of_sample(sample, vector) for sample in self.samples]
        with np.errstate(all="ignore"):
            return self._finite(self.weight * np.sum(shares, axis=0), "Hessian")

    def _of_sample(self, sample: Sample, vector: Array) -> Sequence[float]:
        try:
            return self.ways[0](sample, vector)
        except CompilerError:
            raise
        except Exception:  # whatever a program says that cannot be compiled so
            if len(self.ways) == 1:
                raise
            self.ways.pop(0)
            return self._of_sample(sample, vector)

    def largest(self, scale: Array | None = None, decay: float = 0.0) -> float:
        """The largest eigenvalue of S (H + decay I) S, with the Hessian H.

        What rounding may have made of 0 is 0: an eigenvalue 1e13 times smaller than the matrix.

        Args:
            scale: the diagonal matrix S, one number a parameter; I unless given.
            decay: weight decay, which adds a parabola to the loss.

        Raises:
            ArgumentError: if a product is not finite, or Lanczos does not come to an end.
        """
        import numpy as np

        count = len(self.parameters)
        s = np.ones(count) if scale is None else scale
        size = 0.0

        def scaled(vector: Array) -> Array:
            nonlocal size
            v = s * vector.ravel()
            product: Array = s * (self.times(v) + decay * v)
            size = max(size, float(np.linalg.norm(product) / np.linalg.norm(vector)))
            return product

        if count <= _FEW:
            matrix = np.array([scaled(row) for row in np.eye(count)])
            found = float(np.linalg.eigvalsh((matrix + matrix.T) / 2.0)[-1])
        else:
            found = self._lanczos(scaled)
        return found if abs(found) > 1e-13 * size else 0.0

    def _lanczos(self, product: Callable[[Array], Array]) -> float:
        import numpy as np
        from scipy.sparse.linalg import (  # type: ignore[import-untyped]
            ArpackNoConvergence,
            LinearOperator,
            eigsh,
        )

        count = len(self.parameters)
        rng = np.random.default_rng(self.seed)
        start = rng.standard_normal(count)
        if not product(start).any():  # all zeros, which Lanczos cannot begin with
            return 0.0
        operator = LinearOperator((count, count), matvec=product, dtype=np.float64)
        # The generator draws new vectors where the products span a part of the space only.
        settings: dict[str, Any] = {"v0": start, "tol": self.tolerance, "rng": rng}
        try:
            found = eigsh(operator, k=1, which="LA", return_eigenvectors=False, **settings)
        except ArpackNoConvergence:
            raise ArgumentError(
                f"the largest eigenvalue was not found to a relative error of {self.tolerance:g} "
                f"in {self.products} products; give a larger tolerance"
            ) from None
        return float(found[0])

    def _finite(self, numbers: Array, what: str) -> Array:
        """The numbers, if all of them are finite."""
        import numpy as np

        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            raise ArgumentError(
                f"the {what} at these weights is {float(numbers[wrong[0]])!r} at parameter "
                f"{wrong[0]}; it must be finite, so look for a root at 0 or numbers that overflow"
            )
        return numbers

    def _part(self, x: Any, y: Any) -> Value:
        """The loss of one sample."""
        part = self.loss(self.model(x), y)
        if not isinstance(part, Value):
            raise ArgumentError(
                f"the loss of a sample is the bare number {part!r}, which has no derivatives; "
                "compute it from the model's Values without reading .data"
            )
        return part

    def _ways(self) -> list[Way]:
        """Ways to compute the product for one sample, the fastest first.

        Machine code for all samples; machine code for each class, if the loss picks by the
        target (a `Dataset` has it as a float); the eager engine, which computes everything.
        """
        from talweg.compiler.derivatives import hvp
        from talweg.compiler.frontend.pytree import tree_map

        native = hvp(lambda model, x, y: self.loss(model(x), y))

        def with_floats(thing: Any) -> Any:
            return tree_map(thing, on_integer=float)

        def of_floats(sample: Sample, vector: Array) -> Sequence[float]:
            x, y = with_floats(list(sample))
            return list(native(self.model, x, y, vector.tolist()))

        def of_classes(sample: Sample, vector: Array) -> Sequence[float]:
            x, y = sample
            classes = tree_map(y, on_float=lambda t: int(t) if t.is_integer() else t)
            return list(native(self.model, with_floats(x), classes, vector.tolist()))

        def eager(sample: Sample, vector: Array) -> Sequence[float]:
            first = gradients(self._part(*sample), self.parameters)
            along = losses.add_up(g * v for g, v in zip(first, vector.tolist(), strict=True))
            return [second.data for second in gradients(along, self.parameters)]

        return [of_floats, of_classes, eager]


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "loss": ("a function such as tw.losses.squared_error", callable),
    "reduction": ('"sum" or "mean"', lambda x: x in ("sum", "mean")),
    "tolerance": (
        "a number above 0 and below 1",
        lambda x: isinstance(x, float) and 0.0 < x < 1.0,
    ),
    "seed": (
        "a whole number of at least 0",
        lambda x: isinstance(x, Integral) and int(x) >= 0,
    ),
}
"""For each setting: what it must be, in words and as a test."""
