"""Axes and their points, what is computed and what is not, stores on disk."""

import json
import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import mpmath
import numpy as np
import pytest
from mean_field_runs import Runs

from talweg.errors import ArgumentError, DataError
from talweg.explore.trainability.axes import axis
from talweg.explore.trainability.pyramid import Box, Frame, Pyramid
from talweg.explore.trainability.refinement import fill, one_by_one

RATES = Frame(
    axis(("learning_rate[0]", 1e-3, 1e6), "x"), axis(("learning_rate[1]", 1e-3, 1e6), "y")
)
MIXED = Frame(axis(("learning_rate", 0.01, 100.0), "x"), axis(("momentum", 0.0, 0.99), "y"))


def whole(level):
    return Box(level, 0, 0, 1 << level, 1 << level)


class Counted:
    """A smooth function of the point, with a record of the points it was asked for."""

    def __init__(self, stop_at=math.inf, error=RuntimeError):
        self.points, self.stop_at, self.error = [], stop_at, error

    def __call__(self, xs, ys):
        if len(self.points) + len(xs) > self.stop_at:
            raise self.error
        self.points += zip(xs.tolist(), ys.tolist(), strict=True)
        return np.sin(xs) + 3.0 * np.cos(ys) + 10.0


# ---- axes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        ("learning_rate", 1e-3, 1e6),
        ("learning_rate", 0.3, 47.0),
        ("momentum", 0.1, 0.95),
        ("initial_scale", 0.5, 3.0, "log"),
    ],
)
def test_points_of_a_level_are_every_second_of_the_next(given):
    a = axis(given, "x")
    for level in (0, 3, 9, 20, 39):
        first = (1 << level) // 3
        count = min(64, (1 << level) - first)
        coarse, fine = a.values(level, first, count), a.values(level + 1, 2 * first, 2 * count)
        assert fine[::2].tobytes() == coarse.tobytes()
        assert (np.diff(fine) > 0.0).all()


def test_points_deep_down_are_exact_to_rounding():
    a, level, first = axis(("learning_rate", 1e-3, 1e6), "x"), 40, 987_654_321_012
    found = a.values(level, first, 200)
    with mpmath.workdps(40):
        for i, value in enumerate(found.tolist()):
            exact = mpmath.mpf(10) ** (-3 + mpmath.mpf(9) * (first + i) / 2**level)
            assert abs(value / exact - 1) < 1e-14
    steps = np.diff(np.log10(found)) / (9.0 / 2**level)
    assert abs(steps - 1.0).max() < 0.2
    assert [a.index(x, level) - first for x in found[:3].tolist()] == [0, 1, 2]


def test_finest_level_is_where_points_still_differ():
    for given in [("momentum", 0.5, 0.500001), ("learning_rate", 1.0, 1.001, "log")]:
        a = axis(given, "x")
        found = a.values(a.finest_level, (1 << a.finest_level) - 64, 64)
        assert len(set(found.tolist())) == 64
        beyond = a.finest_level + 8
        assert len(set(a.values(beyond, (1 << beyond) - 64, 64).tolist())) < 64
    pyramid = Pyramid(Frame(a, a))
    with pytest.raises(ArgumentError, match="too close to each other for floats"):
        next(pyramid.tasks(Box(a.finest_level + 1, 0, 0, 8, 8)))


@pytest.mark.parametrize(
    ("given", "scale"),
    [
        (("learning_rate", 1.0, 10.0), "log"),
        (("learning_rate", 1.0, 9.9), "linear"),
        (("learning_rate", 0.0, 9.9), "linear"),
        (("learning_rate", 1, 2, "log"), "log"),
        (["learning_rate[3]", 1e-3, 1.0, "linear"], "linear"),
    ],
)
def test_scale(given, scale):
    assert axis(given, "x").scale == scale


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("learning_rate", r"x must be \(name, low, high\) such as"),
        (("learning_rate", 1.0), r"x must be \(name, low, high\) such as"),
        (("learning rate", 1.0, 2.0), "x must be the name of a setting"),
        (("learning_rate[-1]", 1.0, 2.0), "x must be the name of a setting"),
        (("momentum[0]", 0.0, 0.9), "momentum is the same for all layers"),
        (("momentum", 0.9, 0.0), "from a low number to a higher one"),
        (("momentum", 0.0, math.inf), "finite numbers, got inf"),
        (("momentum", "0", 1.0), "finite numbers, got '0'"),
        (("momentum", 0.0, True), "finite numbers, got True"),
        (("momentum", -1e308, 1e308), "from a low number to a higher one"),
        (("momentum", 0.0, 1.0, "log"), "starts above 0"),
        (("momentum", 0.0, 1.0, "square"), '"log" or "linear"'),
    ],
)
def test_axes_that_make_no_sense(given, message):
    with pytest.raises(ArgumentError, match=message):
        axis(given, "x")


# ---- what is computed --------------------------------------------------------------------------


def test_every_point_is_computed_once_and_lands_in_its_place():
    pyramid, compute = Pyramid(MIXED), Counted()
    done = []
    fill(pyramid, whole(8), one_by_one(compute), done.append)
    assert len(set(compute.points)) == len(compute.points) == 256 * 256
    assert done[-1] == 256 * 256
    assert all(a < b for a, b in pairwise(done))
    xs, ys = MIXED.x.values(8, 0, 256), MIXED.y.values(8, 0, 256)
    expected = np.sin(xs)[None, :] + 3.0 * np.cos(ys)[:, None] + 10.0
    assert np.array_equal(pyramid.image(whole(8)), expected)
    assert pyramid.finished(whole(8)) == 1.0


@pytest.mark.parametrize("store", [False, True])
def test_a_finer_map_computes_three_quarters_of_its_points(tmp_path, store):
    pyramid, compute = Pyramid(MIXED, store=tmp_path / "map.zarr" if store else None), Counted()
    fill(pyramid, whole(6), one_by_one(compute))
    fill(pyramid, whole(7), one_by_one(compute))
    assert len(compute.points) == 128 * 128
    fill(pyramid, whole(7), one_by_one(compute))
    assert len(compute.points) == 128 * 128


def test_a_zoom_computes_three_quarters_of_its_points():
    pyramid, compute = Pyramid(MIXED), Counted()
    fill(pyramid, whole(7), one_by_one(compute))
    before = len(compute.points)
    fill(pyramid, Box(8, 77, 31, 128, 128), one_by_one(compute))  # across tiles, odd
    assert len(compute.points) - before == 128 * 128 * 3 // 4
    fill(pyramid, Box(13, 32 * 80, 32 * 40, 64, 64), one_by_one(compute))  # five levels on
    known = 64 // 32 * (64 // 32)
    assert len(compute.points) - before == 128 * 128 * 3 // 4 + 64 * 64 - known


def test_results_may_come_in_any_order():
    def backward(tasks):
        for index in reversed(range(len(tasks))):
            yield index, Counted()(tasks[index].xs, tasks[index].ys)

    one, other = Pyramid(MIXED), Pyramid(MIXED)
    fill(one, whole(7), one_by_one(Counted()))
    fill(other, whole(7), backward)
    assert one.image(whole(7)).tobytes() == other.image(whole(7)).tobytes()


def test_coarse_points_stand_in_for_missing_ones():
    pyramid, compute = Pyramid(MIXED), Counted()
    fill(pyramid, whole(4), one_by_one(compute))
    fill(pyramid, Box(6, 0, 0, 32, 64), one_by_one(compute))
    image, coarse = pyramid.image(whole(6)), pyramid.image(whole(4))
    assert np.array_equal(image[32:], coarse[8:].repeat(4, axis=0).repeat(4, axis=1))
    assert pyramid.finished(whole(6)) == pytest.approx(0.5 + 0.5 / 16)
    assert np.isnan(Pyramid(MIXED).image(whole(3))).all()


def test_deep_windows_without_what_is_above():
    pyramid, compute = Pyramid(RATES), Counted()
    window = Box(40, 2**39 + 12345, 2**38 + 777, 32, 32)
    fill(pyramid, window, one_by_one(compute))
    assert len(set(compute.points)) == len(compute.points) == 32 * 32
    assert pyramid.finished(window) == 1.0


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_measures_that_are_none_are_refused(bad):
    pyramid = Pyramid(MIXED)
    (task,) = pyramid.tasks(whole(3))
    with pytest.raises(ArgumentError, match="64 finite measures other than 0"):
        pyramid.put(task, np.where(np.arange(64) == 5, bad, 1.0))
    with pytest.raises(ArgumentError, match=r"got an array of shape \(63,\)"):
        pyramid.put(task, np.ones(63))
    assert pyramid.finished(whole(3)) == 0.0


# ---- stores ------------------------------------------------------------------------------------


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_after_an_error_the_rest_is_computed_and_the_bits_are_the_same(tmp_path):
    runs = Runs(stop_at=7000)
    with pytest.raises(RuntimeError):
        fill(Pyramid(RATES, {}, tmp_path / "a"), whole(7), one_by_one(runs.compute))
    there = runs.computed
    assert 4096 <= there <= 7000
    again = Runs()
    fill(Pyramid(RATES, {}, tmp_path / "a"), whole(7), one_by_one(again.compute))
    assert again.computed == 128 * 128 - there
    fill(Pyramid(RATES, {}, tmp_path / "b"), whole(7), one_by_one(Runs().compute))
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    in_memory = Pyramid(RATES)
    fill(in_memory, whole(7), one_by_one(Runs().compute))
    stored = Pyramid(RATES, {}, tmp_path / "a").image(whole(7))
    assert stored.tobytes() == in_memory.image(whole(7)).tobytes()


KILLED = """
import os, sys
from test_pyramid import MIXED, Counted, whole
from talweg.explore.trainability.refinement import fill, one_by_one
from talweg.explore.trainability.pyramid import Pyramid

counted = Counted()
def compute(xs, ys):
    if len(counted.points) > 9000:
        os.kill(os.getpid(), 9)
    return counted(xs, ys)
fill(Pyramid(MIXED, {"k": 1}, sys.argv[1]), whole(7), one_by_one(compute))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_process_leaves_a_store_to_go_on_with(tmp_path):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "map"], env=env, check=False)
    assert killed.returncode == -9
    compute = Counted()
    pyramid = Pyramid(MIXED, {"k": 1}, tmp_path / "map")
    fill(pyramid, whole(7), one_by_one(compute))
    assert 0 < len(compute.points) < 128 * 128 - 9000
    fresh = Pyramid(MIXED)
    fill(fresh, whole(7), one_by_one(Counted()))
    assert pyramid.image(whole(7)).tobytes() == fresh.image(whole(7)).tobytes()


def test_the_store_of_another_map_is_refused(tmp_path):
    about = {"steps": 100, "data": {"digest": "ab"}, "batch_size": None}
    Pyramid(RATES, about, tmp_path / "map")
    Pyramid(RATES, dict(reversed(about.items())), tmp_path / "map")
    with pytest.raises(ArgumentError, match="steps is 100 there, and 50 was asked for; give"):
        Pyramid(RATES, {**about, "steps": 50}, tmp_path / "map")
    with pytest.raises(ArgumentError, match=r"data\.digest is 'ab' there, and 'ac' was asked for"):
        Pyramid(RATES, {**about, "data": {"digest": "ac"}}, tmp_path / "map")
    with pytest.raises(ArgumentError, match=r"x\.name is .* was asked for; give"):
        Pyramid(MIXED, about, tmp_path / "map")


def test_folders_that_are_no_store(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file; the store of a map is a folder"):
        Pyramid(RATES, {}, tmp_path / "file")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(DataError, match="a folder with other things in it"):
        Pyramid(RATES, {}, tmp_path / "thesis")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    for header in ("{}", "[1]", '{"attributes": {"talweg": 7}}', '{"attributes', "\xff"):
        (tmp_path / "thesis" / "zarr.json").write_text(header, encoding="latin-1")
        with pytest.raises(DataError, match="does not describe a trainability map"):
            Pyramid(RATES, {}, tmp_path / "thesis")


def test_a_store_of_another_format_is_refused(tmp_path):
    Pyramid(RATES, {}, tmp_path)
    header = json.loads((tmp_path / "zarr.json").read_text())
    header["attributes"]["talweg"]["trainability map"] = 2
    (tmp_path / "zarr.json").write_text(json.dumps(header))
    with pytest.raises(DataError, match="is a map of format 2, and this talweg reads 1"):
        Pyramid(RATES, {}, tmp_path)


def test_a_store_killed_while_it_was_made_is_made_again(tmp_path):
    (tmp_path / "zarr.0123.partial").write_text('{"attri')
    fill(Pyramid(MIXED, {}, tmp_path), whole(3), one_by_one(Counted()))
    assert Pyramid(MIXED, {}, tmp_path).finished(whole(3)) == 1.0


@pytest.mark.parametrize("damage", ["short", "empty", "flipped"])
def test_a_damaged_chunk_is_computed_again(tmp_path, damage):
    fill(Pyramid(MIXED, {}, tmp_path), whole(7), one_by_one(Counted()))
    before = files_of(tmp_path)
    chunk = tmp_path / "level-07" / "c" / "1" / "0"
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 0x10
    chunk.write_bytes({"short": bytes(raw[:100]), "empty": b"", "flipped": bytes(raw)}[damage])
    compute = Counted()
    fill(Pyramid(MIXED, {}, tmp_path), whole(7), one_by_one(compute))
    assert len(compute.points) == 64 * 64 * 3 // 4
    assert files_of(tmp_path) == before


def test_a_damaged_level_is_an_error(tmp_path):
    fill(Pyramid(MIXED, {}, tmp_path), whole(4), one_by_one(Counted()))
    header = tmp_path / "level-04" / "zarr.json"
    good = header.read_text()
    for bad in ("", "{}", good[:-20], good.replace('"zarr_format": 3', '"zarr_format": 9')):
        header.write_text(bad)
        with pytest.raises(DataError, match=r"level-04.zarr\.json is damaged"):
            Pyramid(MIXED, {}, tmp_path).image(whole(4))
    header.write_text(good.replace("float64", "float32"))
    with pytest.raises(DataError, match="is not an array of 16 x 16 float64"):
        Pyramid(MIXED, {}, tmp_path).image(whole(4))


def test_a_deep_store_is_a_few_files_that_zarr_reads(tmp_path):
    import zarr

    window = Box(40, 2**39, 2**39 - 64, 64, 64)
    pyramid = Pyramid(RATES, {}, tmp_path)
    fill(pyramid, window, one_by_one(Counted()))
    assert len(files_of(tmp_path)) < 20
    array = zarr.open_group(tmp_path, mode="r")["level-40"]
    assert array.shape == (2**40, 2**40)
    found = array[2**39 : 2**39 + 64, 2**39 - 64 : 2**39]
    assert found.tobytes() == pyramid.image(window).tobytes()
    assert np.isnan(array[:64, :64]).all()


def test_a_level_that_is_packed_in_another_way_is_not_opened(tmp_path):
    fill(Pyramid(MIXED, {}, tmp_path), whole(6), one_by_one(Counted()))
    file = tmp_path / "level-06" / "zarr.json"
    said = json.loads(file.read_text())
    said["codecs"].insert(0, {"name": "numcodecs.pickle", "configuration": {}})
    file.write_text(json.dumps(said))
    with pytest.raises(DataError, match=r"level-06.zarr\.json is damaged .*numcodecs\.pickle"):
        Pyramid(MIXED, {}, tmp_path).image(whole(6))
