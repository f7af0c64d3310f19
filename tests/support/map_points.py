"""Planes, windows and measures for tests of the points of a map."""

import math

import numpy as np

from talweg.explore.trainability.axes import Axis, Plane
from talweg.explore.trainability.pyramid import Pyramid
from talweg.explore.trainability.tile_store import TileStore
from talweg.explore.trainability.tiles import Window

RATES = Plane(
    Axis("learning_rate[0]", 1e-3, 1e6, "log"), Axis("learning_rate[1]", 1e-3, 1e6, "log")
)
MIXED = Plane(Axis("learning_rate", 0.01, 100.0, "log"), Axis("momentum", 0.0, 0.99, "linear"))


def whole(level):
    """The window of all points of a level."""
    return Window(level, 0, 0, 1 << level, 1 << level)


def stored(plane, about, folder):
    """A pyramid whose tiles are in a folder."""
    return Pyramid(plane, TileStore(folder, {**plane.description(), **about}))


class Counted:
    """A smooth function of points, with a record of the points computed.

    Args:
        stop_at: raise `error` when more points than this are asked for.
    """

    def __init__(self, stop_at=math.inf, error=RuntimeError):
        self.points, self.stop_at, self.error = [], stop_at, error

    def __call__(self, xs, ys):
        if len(self.points) + len(xs) > self.stop_at:
            raise self.error
        self.points += zip(xs.tolist(), ys.tolist(), strict=True)
        return np.sin(xs) + 3.0 * np.cos(ys) + 10.0
