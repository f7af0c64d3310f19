"""The outcome of a run as one number: the published convergence measure.

It is negative for a run that converged and positive for one that did not, and larger in size the
longer that took.

Source: Sohl-Dickstein, The boundary of neural network trainability is fractal, arXiv 2402.06184.
"""

from __future__ import annotations

from talweg._util.arrays import Array
from talweg.errors import ArgumentError, DataError

LARGEST_LOSS = 1e6
"""What a loss that is not finite is replaced by, and the largest multiple of the first loss."""

LAST_LOSSES = 20
"""How many losses at the end of a run decide, by their mean, whether it converged."""


def convergence_measure(losses: Array) -> Array:
    """The published measure of runs, from their losses.

    Losses v that are not finite are replaced by 1e6. Then v <- min(v / v[first], 1e6). A run whose
    last 20 losses have a mean below 1 converged, and its measure is -sum(v); that of any other run
    is sum(1 / v). The first loss is 1 after the division, so the size of a measure is at least 1:
    a measure is never 0 or nan.

    The published formula divides by zero in some cases, which are defined here. If the first loss
    is 0 it counts as 1; then a later loss of 0 stays 0, and any other later loss becomes 1e6.
    1 / v is at most 1e300. A run whose first loss is not finite has v = 1 throughout, and did not
    converge.

    Args:
        losses: the loss before each step, at least 0, runs x steps; nan after the end of a run
            that diverged.

    Returns:
        One number for each run.

    Raises:
        DataError: if there are no steps.
        ArgumentError: if a loss is negative, because the measure is made of ratios.

    Source: Sohl-Dickstein, arXiv 2402.06184, and the code published with it.

    Example:
        >>> import numpy as np
        >>> convergence_measure(np.array([[8.0, 4.0, 2.0], [8.0, 16.0, np.nan]])).tolist()
        [-1.75, 1.500008]
    """
    import numpy as np

    v = np.array(losses, float, order="C")  # the bits of sums depend on the memory layout
    if v.ndim != 2 or not v.shape[1]:
        raise DataError(f"expected losses of runs x steps, at least one step, got {v.shape}")
    if (v < 0.0).any():
        raise ArgumentError(
            f"a map needs losses of at least 0, but one is {float(np.nanmin(v))!r}; "
            "give a loss whose minimum is 0 or above"
        )
    v[~np.isfinite(v)] = LARGEST_LOSS
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        v /= v[:, :1].copy()
    v[np.isnan(v)] = 0.0  # 0 / 0
    v[:, 0] = 1.0
    np.minimum(v, LARGEST_LOSS, out=v)
    converged = v[:, -LAST_LOSSES:].mean(axis=1) < 1.0
    not_converged_measure = (1.0 / np.maximum(v, 1e-300)).sum(axis=1)
    measures: Array = np.where(converged, -v.sum(axis=1), not_converged_measure)
    return measures
