"""Points and windows of zooms, without computing a map."""

import numpy as np
import pytest
from map_points import RATES

from talweg.errors import ArgumentError
from talweg.explore.trainability.tiles import Window
from talweg.explore.trainability.zoom import find_zoom_target, require_inside, zoom_point

WHOLE = Window(5, 0, 0, 32, 32)
NO_BOUNDARY = np.ones((32, 32), dtype=bool)


def halves(window):
    """The outcomes of a plane whose left third converges."""
    columns = (window.column + np.arange(window.columns)) / (1 << window.level)
    return np.broadcast_to(columns < 1 / 3, (window.rows, window.columns))


def test_a_point_is_an_index_of_its_level():
    assert zoom_point(RATES, WHOLE, NO_BOUNDARY, 1e-3, 1e-3, 9) == (0, 0)
    row, column = zoom_point(RATES, WHOLE, halves(WHOLE), None, None, 7)
    assert 0 <= row < 128
    assert abs(column / 128 - 1 / 3) < 2 / 32


def test_without_a_boundary_a_zoom_needs_a_point():
    message = "^this map has no boundary to zoom into; give a point with x and y"
    with pytest.raises(ArgumentError, match=message):
        zoom_point(RATES, WHOLE, NO_BOUNDARY, None, None, 6)
    with pytest.raises(ArgumentError, match=message):
        find_zoom_target(WHOLE, NO_BOUNDARY, 3, halves)


def test_the_target_stays_at_the_boundary_at_every_doubling():
    _, column = find_zoom_target(WHOLE, halves(WHOLE), 6, halves)
    assert abs(column / (1 << 11) - 1 / 3) < 2 / (1 << 11)


def test_the_target_stays_where_finer_maps_show_no_boundary():
    def everything(window):
        return np.ones((window.rows, window.columns), dtype=bool)

    row, column = find_zoom_target(WHOLE, halves(WHOLE), 3, everything)
    first_row, first_column = zoom_point(RATES, WHOLE, halves(WHOLE), None, None, 8)
    assert (row, column) == (first_row, first_column)


def test_a_point_outside_of_the_window_is_refused_with_the_ranges():
    part = Window(5, 8, 16, 16, 16)
    require_inside(RATES, part, 8, 16, 5)
    require_inside(RATES, part, (24 << 3) - 1, (32 << 3) - 1, 8)
    for row, column in ((7, 16), (8, 15), (24, 16), (8, 32)):
        with pytest.raises(ArgumentError, match=r"^the point is not in this map, which shows "):
            require_inside(RATES, part, row, column, 5)
