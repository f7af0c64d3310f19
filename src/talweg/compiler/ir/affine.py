"""Affine functions of loop variables: the indices and the trip counts of loops.

An affine function has the form base + strides[0] * i + strides[1] * j + ..., with integer
coefficients and the loop variables i, j, ... of the surrounding loops, outermost first. Every
index in a loop program and in a scheduled program is one.

Start reading at `Affine`; `compose` substitutes affine functions for the loop variables, and
`fit_affine` finds the function that has given values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from talweg.compiler.ir.tape import Array

Point: TypeAlias = tuple[int, ...]
"""The values of the loop variables, outermost first: one iteration of nested loops."""


@dataclass(frozen=True, slots=True)
class Affine:
    """An affine function of the loop variables, outermost first.

    >>> Affine(3, (4, 1)).at((2, 5)), str(Affine(3, (4, 1)))
    (16, '4*i+j+3')
    """

    base: int
    strides: tuple[int, ...] = ()

    def at(self, point: Sequence[int]) -> int:
        """The value at a point."""
        return self.base + sum([s * i for s, i in zip(self.strides, point, strict=True)])

    def __str__(self) -> str:
        parts = [
            f"{ {1: '', -1: '-'}.get(stride, f'{stride}*') }{loop_variable(depth)}"
            for depth, stride in enumerate(self.strides)
            if stride
        ]
        if self.base or not parts:
            parts.append(str(self.base))
        return "+".join(parts).replace("+-", "-")


def loop_variable(depth: int) -> str:
    """The name of the loop variable at a depth: i, j, k, ..."""
    letters = "ijklmnopqr"
    return letters[depth] if depth < len(letters) else f"i{depth}"


def sampled_iterations(count: int) -> list[int]:
    """The first two iterations of a loop and the last one: those that verifiers visit.

    They determine an affine function of the loop variable, and its extreme values are at the
    first and at the last.

    >>> sampled_iterations(9), sampled_iterations(2), sampled_iterations(0)
    ([0, 1, 8], [0, 1], [])
    """
    return sorted({i for i in (0, 1, count - 1) if 0 <= i < count})


def compose(outer: Affine, inner: Sequence[Affine]) -> Affine:
    """An affine function of affine functions.

    Args:
        outer: the function.
        inner: what to substitute for each of its loop variables; functions of the same depth.

    >>> str(compose(Affine(3, (4,)), [Affine(9, (-1,))]))
    '-4*i+39'
    """
    depth = len(inner[0].strides) if inner else 0
    base = outer.base + sum(s * x.base for s, x in zip(outer.strides, inner, strict=True))
    strides = [
        sum(s * x.strides[d] for s, x in zip(outer.strides, inner, strict=True))
        for d in range(depth)
    ]
    return Affine(base, tuple(strides))


def fit_affine(points: Array, values: Array) -> Affine | None:
    """The affine function that has these values at these points, if there is one.

    The stride along a loop is taken from a point that differs from the first one in that loop
    only; then all values are compared. Where there is no such point the stride is taken to be 0,
    so that a function of triangular loops may be missed.

    Args:
        points: the iterations, shape (m, depth); at least one.
        values: integers, shape (m,).

    Returns:
        The function, or None if none is found.

    >>> print(fit_affine(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([5, 6, 9, 10])))
    4*i+j+5
    """
    first, offsets = points[0], points - points[0]
    differs = offsets != 0
    in_one_loop = differs.sum(axis=1) == 1
    strides = np.zeros(points.shape[1], dtype=np.int64)
    for d in range(points.shape[1]):
        along = in_one_loop & differs[:, d]
        k = along.argmax()  # the first such point, if there is one
        if along[k]:
            strides[d] = (values[k] - values[0]) // offsets[k, d]
    if not (values == values[0] + offsets @ strides).all():
        return None
    base = int(values[0] - first @ strides)
    return Affine(base, tuple(strides.tolist()))
