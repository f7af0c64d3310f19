"""Points of a map: which are computed, where they are stored, and what stands for missing ones."""

import math
from itertools import pairwise

import numpy as np
import pytest
from map_points import MIXED, RATES, Counted, stored, whole

from talweg.errors import ArgumentError
from talweg.explore.trainability.axes import Axis, Plane
from talweg.explore.trainability.pyramid import Pyramid
from talweg.explore.trainability.refinement import refine, serial_evaluator
from talweg.explore.trainability.tiles import Window


def test_every_point_is_computed_once_and_stored_at_its_index():
    pyramid, compute = Pyramid(MIXED), Counted()
    done = []
    refine(pyramid, whole(8), serial_evaluator(compute), done.append)
    assert len(set(compute.points)) == len(compute.points) == 256 * 256
    assert done[-1] == 256 * 256
    assert all(a < b for a, b in pairwise(done))
    xs, ys = MIXED.x.values(8, 0, 256), MIXED.y.values(8, 0, 256)
    expected = np.sin(xs)[None, :] + 3.0 * np.cos(ys)[:, None] + 10.0
    assert np.array_equal(pyramid.image(whole(8)), expected)
    assert pyramid.finished(whole(8)) == 1.0


@pytest.mark.parametrize("store", [False, True])
def test_a_finer_map_computes_three_quarters_of_its_points(tmp_path, store):
    pyramid = stored(MIXED, {}, tmp_path / "map.zarr") if store else Pyramid(MIXED)
    compute = Counted()
    refine(pyramid, whole(6), serial_evaluator(compute))
    refine(pyramid, whole(7), serial_evaluator(compute))
    assert len(compute.points) == 128 * 128
    refine(pyramid, whole(7), serial_evaluator(compute))
    assert len(compute.points) == 128 * 128


def test_a_zoom_computes_three_quarters_of_its_points():
    pyramid, compute = Pyramid(MIXED), Counted()
    refine(pyramid, whole(7), serial_evaluator(compute))
    before = len(compute.points)
    refine(pyramid, Window(8, 77, 31, 128, 128), serial_evaluator(compute))  # four tiles
    assert len(compute.points) - before == 128 * 128 * 3 // 4
    refine(pyramid, Window(13, 32 * 80, 32 * 40, 64, 64), serial_evaluator(compute))
    known = 64 // 32 * (64 // 32)
    assert len(compute.points) - before == 128 * 128 * 3 // 4 + 64 * 64 - known


def test_results_may_arrive_in_any_order():
    def backward(tasks):
        for index in reversed(range(len(tasks))):
            yield index, Counted()(tasks[index].xs, tasks[index].ys)

    one, other = Pyramid(MIXED), Pyramid(MIXED)
    refine(one, whole(7), serial_evaluator(Counted()))
    refine(other, whole(7), backward)
    assert one.image(whole(7)).tobytes() == other.image(whole(7)).tobytes()


def test_missing_points_have_the_measures_of_coarser_ones():
    pyramid, compute = Pyramid(MIXED), Counted()
    refine(pyramid, whole(4), serial_evaluator(compute))
    refine(pyramid, Window(6, 0, 0, 32, 64), serial_evaluator(compute))
    image, coarse = pyramid.image(whole(6)), pyramid.image(whole(4))
    assert np.array_equal(image[32:], coarse[8:].repeat(4, axis=0).repeat(4, axis=1))
    assert pyramid.finished(whole(6)) == pytest.approx(0.5 + 0.5 / 16)
    assert np.isnan(Pyramid(MIXED).image(whole(3))).all()


def test_a_window_of_level_40_without_coarser_levels():
    pyramid, compute = Pyramid(RATES), Counted()
    window = Window(40, 2**39 + 12345, 2**38 + 777, 32, 32)
    refine(pyramid, window, serial_evaluator(compute))
    assert len(set(compute.points)) == len(compute.points) == 32 * 32
    assert pyramid.finished(window) == 1.0


def test_a_level_beyond_the_finest_is_an_error():
    axis = Axis("momentum", 0.5, 0.500001, "linear")
    pyramid = Pyramid(Plane(axis, axis))
    with pytest.raises(ArgumentError, match="too close to each other for floats"):
        next(pyramid.missing_points(Window(axis.finest_level + 1, 0, 0, 8, 8)))


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_measures_that_are_0_or_not_finite_are_an_error(bad):
    pyramid = Pyramid(MIXED)
    (missing,) = pyramid.missing_points(whole(3))
    with pytest.raises(ArgumentError, match="64 finite measures other than 0"):
        pyramid.put(missing, np.where(np.arange(64) == 5, bad, 1.0))
    with pytest.raises(ArgumentError, match=r"got an array of shape \(63,\)"):
        pyramid.put(missing, np.ones(63))
    assert pyramid.finished(whole(3)) == 0.0
