"""Pictures of a zoom, and animations that are not valid."""

from itertools import pairwise

import numpy as np
import pytest

from talweg.errors import ArgumentError
from talweg.plotting import zoom


def test_the_point_stays_and_successive_pictures_differ_little():
    """Maps of two half planes whose boundary passes through the point."""
    rows, columns = np.indices((128, 128)) / 128.0
    point = 0.625, 0.25
    measures, points = [], []
    for k in range(4):
        coordinates = [p + (a - p) / 2.0**k for a, p in zip((rows, columns), point, strict=True)]
        signs = np.where(coordinates[0] + coordinates[1] < 0.875, -1.0, 1.0)
        measures.append(signs * (2.0 + coordinates[0]))
        points.append((0.625 * 128, 0.25 * 128))
    pictures = [np.array(p, float) for p in zoom.frames(measures, points, 6)]
    assert len(pictures) == 19
    edges = []
    for picture in pictures:
        is_warm = picture[..., 0] > picture[..., 2]
        place = 64 - round(0.625 * 64)  # rows go down in a picture
        edges.append(np.flatnonzero(np.diff(is_warm[place]))[0])
    assert max(abs(edge - 16) for edge in edges) <= 1
    changes = [np.abs(b - a).mean() for a, b in pairwise(pictures)]
    assert max(changes) < 3.0 * np.median(changes)


def test_an_animation_needs_a_picture_and_a_time(tmp_path):
    with pytest.raises(ArgumentError, match="at least one picture"):
        zoom.write_animation([], tmp_path / "zoom.gif")
    with pytest.raises(ArgumentError, match="seconds must be above 0"):
        zoom.write_animation([], tmp_path / "zoom.gif", seconds=0.0)
    assert not list(tmp_path.iterdir())
