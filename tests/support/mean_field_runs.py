"""The network of `talweg.explore.trainability.mean_field` in NumPy, many runs at once."""

import random

import numpy as np

from talweg.explore.trainability.mean_field import default_problem
from talweg.explore.trainability.measure import convergence_measure


class Runs:
    """Runs of the default problem, for a map of two learning rates.

    Attributes:
        computed: the number of points computed so far.
        stop_at: `error` is raised in place of computing more points than this.
    """

    def __init__(self, width=4, steps=40, seed=42, stop_at=None, error=RuntimeError):
        self.make_model, self.data = default_problem(width)
        self.seed, self.steps = seed, steps
        first, last = self.make_model(random.Random(seed)).layers
        self.w0 = np.array([[w.data for w in row] for row in first])
        self.w1 = np.array([w.data for w in last[0]])
        self.inputs = np.array([x for x, _ in self.data])
        self.targets = np.array([y for _, y in self.data])
        self.computed, self.stop_at, self.error = 0, stop_at, error

    def losses(self, rates0, rates1):
        """Mean squared errors, runs x steps; nan after the end of a run."""
        count, width = len(rates0), len(self.w1)
        w0, w1 = np.repeat(self.w0[None], count, 0), np.repeat(self.w1[None], count, 0)
        gain = np.sqrt(2.0 / self.inputs.shape[1])
        table = np.full((count, self.steps), np.nan)
        alive = np.ones(count, bool)
        with np.errstate(all="ignore"):
            for step in range(self.steps):
                hidden = np.tanh(gain * (self.inputs @ w0.transpose(0, 2, 1)))
                off = (hidden @ w1[:, :, None])[:, :, 0] / width - self.targets
                table[alive, step] = (off[alive] ** 2).mean(axis=1)
                g = 2.0 * off / (width * len(self.targets))
                g1 = (g[:, None] @ hidden)[:, 0]
                before = g[:, :, None] * w1[:, None, :] * (1.0 - hidden**2) * gain
                g0 = before.transpose(0, 2, 1) @ self.inputs
                w0, w1 = w0 - rates0[:, None, None] * g0, w1 - rates1[:, None] * g1
                alive &= np.isfinite(table[:, step])
                alive &= np.isfinite(w0).all(axis=(1, 2)) & np.isfinite(w1).all(axis=1)
        return table

    def compute(self, xs, ys):
        """The measure at each point."""
        if self.stop_at is not None and self.computed + len(xs) > self.stop_at:
            raise self.error
        self.computed += len(xs)
        parts = np.array_split(np.arange(len(xs)), max(1, len(xs) // 256))
        return np.concatenate([convergence_measure(self.losses(xs[p], ys[p])) for p in parts])
