"""The curvature of a training loss: exact Hessian-vector products, and the largest eigenvalue.

Derivatives are exact: no differences are taken. The Hessian of a model with many parameters is
never computed as a whole. Start reading at `Curvature.largest_eigenvalue`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, TypeAlias

from talweg import losses
from talweg._util.arrays import Array
from talweg.autodiff.higher_order import gradients
from talweg.errors import ArgumentError, CompilerError
from talweg.training.objective import Model, Sample, parameters_of
from talweg.training.settings import Reduction
from talweg.training.train import samples_of
from talweg.value import Value

SampleProduct: TypeAlias = Callable[[Sample, Array], Sequence[float]]
"""The product of the Hessian of one sample's loss and a vector."""

_FEW_PARAMETERS = 20
"""Up to this many parameters the Hessian is computed, with as many products as Lanczos needs."""


class Curvature:
    """The second derivatives of the training loss at the present weights of a model.

    Args:
        model: the model; it is not changed.
        data: the samples.
        loss: a function (prediction, target) of one sample.
        reduction: "sum" or "mean" over the samples.
        tolerance: the largest relative error of an eigenvalue.
        seed: the seed of the vector that the Lanczos method starts from.

    Attributes:
        parameters: the parameters of the model, in order.
        products: the number of products computed so far.

    Raises:
        ArgumentError: if a setting is not valid, or the model has no parameters.
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
        settings = {"loss": loss, "reduction": reduction, "tolerance": tolerance, "seed": seed}
        for name, (expected, is_valid) in _RULES.items():
            if not is_valid(settings[name]):
                raise ArgumentError(argument=name, expected=expected, got=settings[name])
        self.samples = samples_of(data, "data")
        self.weight = 1.0 / len(self.samples) if reduction == "mean" else 1.0
        self.model, self.loss = model, loss
        self.tolerance, self.seed = tolerance, seed
        self.products = 0
        self.methods = self._methods()

    def gradient(self) -> Array:
        """The gradient of the loss; `grad` of the parameters is not changed.

        Raises:
            ArgumentError: if the loss or the gradient is not finite.
        """
        import numpy as np

        total, gradient = 0.0, np.zeros(len(self.parameters))
        with np.errstate(all="ignore"):  # inf - inf is an error below
            for x, y in self.samples:
                part = self._loss_of(x, y)
                total += part.data
                gradient += [g.data for g in gradients(part, self.parameters)]
        if not math.isfinite(total):
            raise ArgumentError(
                f"the loss at these weights is {total!r}, so it has no curvature; check the data "
                "and the weights"
            )
        return self._require_finite(gradient * self.weight, "gradient")

    def product(self, vector: Array) -> Array:
        """The product of the Hessian of the loss and a vector.

        Raises:
            ArgumentError: if the product is not finite.
        """
        import numpy as np

        self.products += 1
        parts = [self._sample_product(sample, vector) for sample in self.samples]
        with np.errstate(all="ignore"):
            return self._require_finite(self.weight * np.sum(parts, axis=0), "Hessian")

    def _sample_product(self, sample: Sample, vector: Array) -> Sequence[float]:
        """The product for one sample, by the first method that is possible."""
        try:
            return self.methods[0](sample, vector)
        except CompilerError:
            raise
        except Exception:  # any error: the program cannot be compiled by this method
            if len(self.methods) == 1:
                raise
            self.methods.pop(0)
            return self._sample_product(sample, vector)

    def largest_eigenvalue(self, scale: Array | None = None, decay: float = 0.0) -> float:
        """The largest eigenvalue of S (H + decay I) S, with the Hessian H.

        An eigenvalue that is 1e13 times smaller than the matrix is a rounding error of 0, and the
        result is 0.

        Args:
            scale: the diagonal of S, one number per parameter; S = I unless given.
            decay: the weight decay, which adds a parabola to the loss.

        Raises:
            ArgumentError: if a product is not finite, or the Lanczos method does not converge.
        """
        import numpy as np

        count = len(self.parameters)
        s = np.ones(count) if scale is None else scale
        norm = 0.0

        def scaled_product(vector: Array) -> Array:
            nonlocal norm
            v = s * vector.ravel()
            result: Array = s * (self.product(v) + decay * v)
            norm = max(norm, float(np.linalg.norm(result) / np.linalg.norm(vector)))
            return result

        if count <= _FEW_PARAMETERS:
            matrix = np.array([scaled_product(row) for row in np.eye(count)])
            found = float(np.linalg.eigvalsh((matrix + matrix.T) / 2.0)[-1])
        else:
            found = self._lanczos(scaled_product)
        return found if abs(found) > 1e-13 * norm else 0.0

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
        if not product(start).any():  # the matrix is 0, and Lanczos cannot start
            return 0.0
        operator = LinearOperator((count, count), matvec=product, dtype=np.float64)
        # SciPy draws new vectors from `rng` if the products span only a part of the space.
        settings: dict[str, Any] = {"v0": start, "tol": self.tolerance, "rng": rng}
        try:
            found = eigsh(operator, k=1, which="LA", return_eigenvectors=False, **settings)
        except ArpackNoConvergence:
            raise ArgumentError(
                f"the largest eigenvalue was not found to a relative error of {self.tolerance:g} "
                f"in {self.products} products; give a larger tolerance"
            ) from None
        return float(found[0])

    def _require_finite(self, numbers: Array, what: str) -> Array:
        import numpy as np

        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            raise ArgumentError(
                f"the {what} at these weights is {float(numbers[wrong[0]])!r} at parameter "
                f"{wrong[0]}; it must be finite: check for a root at 0 or numbers that overflow"
            )
        return numbers

    def _loss_of(self, x: Any, y: Any) -> Value:
        """The loss of one sample."""
        part = self.loss(self.model(x), y)
        if not isinstance(part, Value):
            raise ArgumentError(
                f"the loss of a sample is the bare number {part!r}, which has no derivatives; "
                "compute it from the model's Values without reading .data"
            )
        return part

    def _methods(self) -> list[SampleProduct]:
        """Methods to compute the product for one sample, the fastest first.

        The first is machine code for all samples, with targets as inputs. The second is machine
        code for each class, for a loss that uses the target as an index (the target of a `Dataset`
        is a float). The last is the eager engine, which computes everything.
        """
        from talweg.compiler.derivatives import hvp
        from talweg.compiler.frontend.pytree import tree_map

        native = hvp(lambda model, x, y: self.loss(model(x), y))

        def with_floats(thing: Any) -> Any:
            return tree_map(thing, on_integer=float)

        def compiled_once(sample: Sample, vector: Array) -> Sequence[float]:
            x, y = with_floats(list(sample))
            return list(native(self.model, vector, x, y))

        def compiled_by_class(sample: Sample, vector: Array) -> Sequence[float]:
            x, y = sample
            classes = tree_map(y, on_float=lambda t: int(t) if t.is_integer() else t)
            return list(native(self.model, vector, with_floats(x), classes))

        def eager(sample: Sample, vector: Array) -> Sequence[float]:
            first = gradients(self._loss_of(*sample), self.parameters)
            along = losses.add_up(g * v for g, v in zip(first, vector.tolist(), strict=True))
            return [second.data for second in gradients(along, self.parameters)]

        return [compiled_once, compiled_by_class, eager]


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "loss": ("a function such as tw.losses.squared_error", callable),
    "reduction": ('"sum" or "mean"', lambda x: x in ("sum", "mean")),
    "tolerance": (
        "a number above 0 and below 1",
        lambda x: isinstance(x, float) and 0.0 < x < 1.0,
    ),
    "seed": (
        "an integer of at least 0",
        lambda x: isinstance(x, Integral) and int(x) >= 0,
    ),
}
"""For each setting what it must be, in words and as a test."""
