"""Tiles in a folder: resuming after errors and kills, other maps, and damaged files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import map_points
import numpy as np
import pytest
from map_points import MIXED, RATES, Counted, stored, whole
from mean_field_runs import Runs

from talweg.errors import ArgumentError, DataError
from talweg.explore.trainability.pyramid import Pyramid
from talweg.explore.trainability.refinement import refine, serial_evaluator
from talweg.explore.trainability.tiles import Window


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_after_an_error_only_missing_points_are_computed_and_the_bits_are_equal(tmp_path):
    runs = Runs(stop_at=7000)
    with pytest.raises(RuntimeError):
        refine(stored(RATES, {}, tmp_path / "a"), whole(7), serial_evaluator(runs.compute))
    computed = runs.computed
    assert 4096 <= computed <= 7000
    again = Runs()
    refine(stored(RATES, {}, tmp_path / "a"), whole(7), serial_evaluator(again.compute))
    assert again.computed == 128 * 128 - computed
    refine(stored(RATES, {}, tmp_path / "b"), whole(7), serial_evaluator(Runs().compute))
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    in_memory = Pyramid(RATES)
    refine(in_memory, whole(7), serial_evaluator(Runs().compute))
    from_folder = stored(RATES, {}, tmp_path / "a").image(whole(7))
    assert from_folder.tobytes() == in_memory.image(whole(7)).tobytes()


KILLED = """
import os, sys
from map_points import MIXED, Counted, stored, whole
from talweg.explore.trainability.refinement import refine, serial_evaluator

counted = Counted()
def compute(xs, ys):
    if len(counted.points) > 9000:
        os.kill(os.getpid(), 9)
    return counted(xs, ys)
refine(stored(MIXED, {"k": 1}, sys.argv[1]), whole(7), serial_evaluator(compute))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_the_store_of_a_killed_process_is_continued(tmp_path):
    path = os.pathsep.join([str(Path(map_points.__file__).parent), *sys.path])
    env = {**os.environ, "PYTHONPATH": path}
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "map"], env=env, check=False)
    assert killed.returncode == -9
    compute = Counted()
    pyramid = stored(MIXED, {"k": 1}, tmp_path / "map")
    refine(pyramid, whole(7), serial_evaluator(compute))
    assert 0 < len(compute.points) < 128 * 128 - 9000
    fresh = Pyramid(MIXED)
    refine(fresh, whole(7), serial_evaluator(Counted()))
    assert pyramid.image(whole(7)).tobytes() == fresh.image(whole(7)).tobytes()


def test_the_store_of_another_map_is_an_error(tmp_path):
    about = {"steps": 100, "data": {"digest": "ab"}, "batch_size": None}
    stored(RATES, about, tmp_path / "map")
    stored(RATES, dict(reversed(about.items())), tmp_path / "map")
    with pytest.raises(ArgumentError, match="steps is 100 there, and 50 was asked for; give"):
        stored(RATES, {**about, "steps": 50}, tmp_path / "map")
    with pytest.raises(ArgumentError, match=r"data\.digest is 'ab' there, and 'ac' was asked for"):
        stored(RATES, {**about, "data": {"digest": "ac"}}, tmp_path / "map")
    with pytest.raises(ArgumentError, match=r"x\.name is .* was asked for; give"):
        stored(MIXED, about, tmp_path / "map")


def test_folders_that_are_not_a_store(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file; the store of a map is a folder"):
        stored(RATES, {}, tmp_path / "file")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(DataError, match="a folder with other files in it"):
        stored(RATES, {}, tmp_path / "thesis")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    for header in ("{}", "[1]", '{"attributes": {"talweg": 7}}', '{"attributes', "\xff"):
        (tmp_path / "thesis" / "zarr.json").write_text(header, encoding="latin-1")
        with pytest.raises(DataError, match="does not describe a trainability map"):
            stored(RATES, {}, tmp_path / "thesis")


def test_a_store_of_another_format_is_an_error(tmp_path):
    stored(RATES, {}, tmp_path)
    header = json.loads((tmp_path / "zarr.json").read_text())
    header["attributes"]["talweg"]["trainability map"] = 2
    (tmp_path / "zarr.json").write_text(json.dumps(header))
    with pytest.raises(DataError, match="is a map of format 2, and this talweg reads 1"):
        stored(RATES, {}, tmp_path)


def test_a_store_whose_creation_was_killed_is_created_again(tmp_path):
    (tmp_path / "zarr.0123.partial").write_text('{"attri')
    refine(stored(MIXED, {}, tmp_path), whole(3), serial_evaluator(Counted()))
    assert stored(MIXED, {}, tmp_path).finished(whole(3)) == 1.0


@pytest.mark.parametrize("damage", ["short", "empty", "flipped"])
def test_a_damaged_chunk_is_computed_again(tmp_path, damage):
    refine(stored(MIXED, {}, tmp_path), whole(7), serial_evaluator(Counted()))
    before = files_of(tmp_path)
    chunk = tmp_path / "level-07" / "c" / "1" / "0"
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 0x10
    chunk.write_bytes({"short": bytes(raw[:100]), "empty": b"", "flipped": bytes(raw)}[damage])
    compute = Counted()
    refine(stored(MIXED, {}, tmp_path), whole(7), serial_evaluator(compute))
    assert len(compute.points) == 64 * 64 * 3 // 4
    assert files_of(tmp_path) == before


def test_a_damaged_level_is_an_error(tmp_path):
    refine(stored(MIXED, {}, tmp_path), whole(4), serial_evaluator(Counted()))
    header = tmp_path / "level-04" / "zarr.json"
    good = header.read_text()
    for bad in ("", "{}", good[:-20], good.replace('"zarr_format": 3', '"zarr_format": 9')):
        header.write_text(bad)
        with pytest.raises(DataError, match=r"level-04.zarr\.json is damaged"):
            stored(MIXED, {}, tmp_path).image(whole(4))
    header.write_text(good.replace("float64", "float32"))
    with pytest.raises(DataError, match="is not an array of 16 x 16 float64"):
        stored(MIXED, {}, tmp_path).image(whole(4))


def test_a_deep_store_is_a_few_files_that_zarr_reads(tmp_path):
    import zarr

    window = Window(40, 2**39, 2**39 - 64, 64, 64)
    pyramid = stored(RATES, {}, tmp_path)
    refine(pyramid, window, serial_evaluator(Counted()))
    assert len(files_of(tmp_path)) < 20
    array = zarr.open_group(tmp_path, mode="r")["level-40"]
    assert array.shape == (2**40, 2**40)
    found = array[2**39 : 2**39 + 64, 2**39 - 64 : 2**39]
    assert found.tobytes() == pyramid.image(window).tobytes()
    assert np.isnan(array[:64, :64]).all()


def test_a_level_with_other_codecs_is_not_opened(tmp_path):
    refine(stored(MIXED, {}, tmp_path), whole(6), serial_evaluator(Counted()))
    file = tmp_path / "level-06" / "zarr.json"
    header = json.loads(file.read_text())
    header["codecs"].insert(0, {"name": "numcodecs.pickle", "configuration": {}})
    file.write_text(json.dumps(header))
    with pytest.raises(DataError, match=r"level-06.zarr\.json is damaged .*numcodecs\.pickle"):
        stored(MIXED, {}, tmp_path).image(whole(6))
