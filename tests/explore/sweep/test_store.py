"""Stores of runs: arrays are read as they were put, also after a process was killed."""

import gc
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import talweg
from talweg._util.atomic_files import write_whole
from talweg.errors import ArgumentError, DataError
from talweg.explore.sweep.store import RunStore, StoredRuns

ABOUT = {"seeds": [1, 2], "model": {"hidden": [4, 4], "rate": 0.1}}
ASKED = {"runs": 10, "steps": 3, "chunk": 4}


def numbers(chunk, runs=4, steps=3):
    """What a chunk of runs might give; all kinds of bits, from the chunk's number alone."""
    rng = np.random.default_rng(chunk)
    losses = rng.integers(0, 2**64, (runs, steps), dtype=np.uint64).view(np.float64)
    taken = rng.integers(0, steps, runs)
    return {
        "losses": losses,
        "taken": taken,
        "diverged": taken == 0,
        "last": rng.random((runs, 2, 2)),
    }


def chunk_of(k, asked=ASKED):
    return numbers(k, min(asked["chunk"], asked["runs"] - k * asked["chunk"]), asked["steps"])


def same(found, put):
    assert sorted(found) == sorted(put)
    for name in put:
        assert found[name].dtype == put[name].dtype
        assert found[name].shape == put[name].shape
        assert found[name].tobytes() == put[name].tobytes(), name


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs.zarr"


def full(folder):
    with RunStore(folder, ABOUT, **ASKED) as store:
        for k in store.missing():
            store.put(k, chunk_of(k))
    return folder


# ---- writing and reading ---------------------------------------------------------------------


def test_arrays_that_were_put_are_read(folder):
    with RunStore(folder, ABOUT, **ASKED) as store:
        assert store.missing() == [0, 1, 2]
        for k in (2, 0, 1):
            store.put(k, chunk_of(k))
        assert store.missing() == []
        for k in range(3):
            same(store.read(k), chunk_of(k))
    stored = StoredRuns(folder)
    assert (stored.description, stored.runs, stored.steps, stored.chunk) == (ABOUT, 10, 3, 4)
    assert stored.missing() == []
    assert stored.names == ["diverged", "last", "losses", "taken"]
    losses = stored.array("losses")
    assert losses.shape == (10, 3)
    assert losses[7].tobytes() == chunk_of(1)["losses"][3].tobytes()


def test_any_zarr_reader_opens_it(folder):
    import zarr

    group = zarr.open_group(full(folder), mode="r")
    assert sorted(group) == ["diverged", "finished", "last", "losses", "taken"]
    assert group["finished"][:].tolist() == [True] * 3
    assert group["last"].shape == (10, 2, 2)
    assert group.attrs["talweg"]["description"] == ABOUT


def test_rows_that_are_not_written_yet_are_nan(folder):
    with RunStore(folder, ABOUT, **ASKED) as store:
        assert np.isnan(store.array("losses")[:]).all()
        with pytest.raises(ArgumentError, match=r"^chunk 1 of .* is not finished$"):
            store.read(1)


def test_a_store_is_resumed(folder):
    with RunStore(folder, ABOUT, **ASKED) as store:
        store.put(1, chunk_of(1))
    with RunStore(folder, ABOUT, **ASKED) as store:
        assert store.missing() == [0, 2]
        same(store.read(1), chunk_of(1))
        store.put(0, chunk_of(0))
    assert StoredRuns(folder).missing() == [2]


def test_a_chunk_of_zeros_counts(folder):
    zeros = {"losses": np.zeros((4, 3)), "diverged": np.zeros(4, bool)}
    with RunStore(folder, ABOUT, **ASKED) as store:
        store.put(0, zeros)
        store.put(1, {**zeros, "losses": np.full((4, 3), np.nan)})
    assert StoredRuns(folder).missing() == [2]


def test_threads_put_at_the_same_time(folder):
    asked = {"runs": 64, "steps": 3, "chunk": 2}
    with RunStore(folder, ABOUT, **asked) as store:
        each = [threading.Thread(target=store.put, args=(k, chunk_of(k, asked))) for k in range(32)]
        for thread in each:
            thread.start()
        for thread in each:
            thread.join()
    stored = StoredRuns(folder)
    assert stored.missing() == []
    for k in range(32):
        same(stored.read(k), chunk_of(k, asked))


def test_more_chunks_than_entries_in_a_file(folder):
    asked = {"runs": 10_000, "steps": 1, "chunk": 1}
    with RunStore(folder, ABOUT, **asked) as store:
        for k in (0, 4095, 4096, 9999):
            store.put(k, {"losses": [[float(k)]]})
    stored = StoredRuns(folder)
    assert sorted(set(range(10_000)) - set(stored.missing())) == [0, 4095, 4096, 9999]
    assert stored.read(9999)["losses"].tolist() == [[9999.0]]


# ---- processes that are killed ---------------------------------------------------------------

WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from test_store import ABOUT, RunStore, chunk_of
asked = {"runs": 301, "steps": 5, "chunk": 2}
with RunStore(sys.argv[2], ABOUT, **asked) as store:
    print("open", flush=True)
    for k in store.missing():
        store.put(k, chunk_of(k, asked))
        print(k, flush=True)
"""


@pytest.mark.slow
def test_a_killed_process_loses_no_finished_chunk(folder):
    """SIGKILL, wherever the process happens to be; the next one goes on."""
    rng = random.Random(5)
    finished, kills = [], 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(talweg.__file__).parents[1])},
        )
        with process:
            assert process.stdout.readline() == "open\n"
            told = [process.stdout.readline() for _ in range(rng.randint(0, 40))]
            time.sleep(rng.random() * 0.01)  # where in a put it is, chance decides
            process.kill()
            told += process.stdout.readlines()
        assert process.returncode in (0, -9)
        now = [int(line) for line in told if line.endswith("\n")]
        assert not set(now) & set(finished)
        stored = StoredRuns(folder)
        there = sorted(set(range(151)) - set(stored.missing()))
        # The last one may have been finished and not told.
        assert set(finished + now) <= set(there) <= {*finished, *now, max(there, default=0)}
        for k in there:
            same(stored.read(k), chunk_of(k, {"runs": 301, "steps": 5, "chunk": 2}))
        finished = there
        if process.returncode == 0 or not stored.missing():
            break
        kills += 1
    assert stored.missing() == []
    assert kills >= 3
    RunStore(folder, ABOUT, runs=301, steps=5, chunk=2).close()
    assert not list(folder.rglob("*.partial"))  # the halves of files that the killed left


def test_an_entry_is_written_after_the_files_are(folder, monkeypatch):
    from talweg.explore.sweep import store as module

    def the_power_fails(file):
        raise OSError("no power")

    with RunStore(folder, ABOUT, **ASKED) as store:
        store.put(0, chunk_of(0))
        monkeypatch.setattr(module, "force_to_disk", the_power_fails)
        with pytest.raises(OSError, match="no power"):
            store.put(1, chunk_of(1))
        assert store.missing() == [1, 2]
    assert StoredRuns(folder).missing() == [1, 2]


@pytest.mark.parametrize("name", ["losses/c.1.0", "taken/c.1", "last/c.1.0.0"])
def test_an_entry_without_a_file_does_not_count(folder, name):
    (full(folder) / name).write_bytes(b"")
    assert StoredRuns(folder).missing() == [1]
    (folder / name).unlink()
    with RunStore(folder, ABOUT, **ASKED) as store:
        assert store.missing() == [1]
        store.put(1, chunk_of(1))
    assert StoredRuns(folder).missing() == []


# ---- one writer ------------------------------------------------------------------------------


def test_one_process_writes_at_a_time(folder):
    with RunStore(folder, ABOUT, **ASKED) as store:
        with pytest.raises(ArgumentError, match=r"is in use: .*; wait"):
            RunStore(folder, ABOUT, **ASKED)
        assert StoredRuns(folder).missing() == [0, 1, 2]  # reading is allowed
    with pytest.raises(ArgumentError, match="is closed; open it again"):
        store.put(0, chunk_of(0))
    other = RunStore(folder, ABOUT, **ASKED)
    del other  # forgotten, not closed
    gc.collect()
    RunStore(folder, ABOUT, **ASKED).close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are looked up there")
def test_a_forked_child_does_not_hold_the_lock(folder):
    """Workers of a process pool outlive the sweep that began them."""
    reading, writing = os.pipe()
    with RunStore(folder, ABOUT, **ASKED):
        code = "import os, sys; os.read(int(sys.argv[1]), 1)"
        lock = next(
            int(fd.name)
            for fd in Path("/proc/self/fd").iterdir()
            if fd.exists() and fd.resolve() == (folder / "zarr.json").resolve()
        )
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(reading)], pass_fds=[reading, lock]
        )
    try:
        RunStore(folder, ABOUT, **ASKED).close()
        assert child.poll() is None
    finally:
        os.write(writing, b"x")
        child.wait()
        os.close(reading)
        os.close(writing)


# ---- invalid arguments -----------------------------------------------------------------------

OTHERS = {
    "seeds[1] is 2 there, and 3 was asked for": {**ABOUT, "seeds": [1, 3]},
    "seeds has 2 entries there, and 1 were asked for": {**ABOUT, "seeds": [1]},
    "model.rate is 0.1 there, and 0.2 was asked for": {
        **ABOUT,
        "model": {"hidden": [4, 4], "rate": 0.2},
    },
    "model was given there, and was not asked for": {"seeds": [1, 2]},
    "mode was not given there, and 'exact' was asked for": {**ABOUT, "mode": "exact"},
    "seeds is [1, 2] there, and None was asked for": {**ABOUT, "seeds": None},
}


@pytest.mark.parametrize("line", OTHERS)
def test_runs_of_another_description_are_refused(folder, line):
    full(folder)
    with pytest.raises(ArgumentError, match=f" holds other runs: {re.escape(line)}; choose"):
        RunStore(folder, OTHERS[line], **ASKED)
    same(StoredRuns(folder).read(1), chunk_of(1))


@pytest.mark.parametrize("name", ASKED)
def test_other_counts_are_refused(folder, name):
    full(folder)
    line = rf"{name} is {ASKED[name]} there, and 5 was asked for"
    if name != "chunk":
        with pytest.raises(ArgumentError, match=line):
            RunStore(folder, ABOUT, **{**ASKED, name: 5})
    with pytest.raises(ArgumentError, match=f"^{name} must be an integer of at least 1, got 0"):
        RunStore(folder, ABOUT, **{**ASKED, name: 0})


def test_a_store_keeps_its_chunks(folder):
    full(folder)
    with RunStore(folder, ABOUT, **{**ASKED, "chunk": 5}) as store:
        assert (store.chunk, store.chunks) == (4, 3)
        same(store.read(1), chunk_of(1))


def test_tuples_are_lists_in_a_description(folder):
    with RunStore(folder, {**ABOUT, "seeds": (1, 2)}, **ASKED) as store:
        assert store.description == ABOUT
    full(folder)


@pytest.mark.parametrize("entry", [object(), float("nan"), {1, 2}], ids=type)
def test_a_description_that_is_not_plain_data_is_refused(folder, entry):
    with pytest.raises(ArgumentError, match=r"^the description must be plain data, as in JSON: "):
        RunStore(folder, {"entry": entry}, **ASKED)
    assert not folder.exists()


BAD = {
    "has the arrays ['losses'], got ['taken']": {"taken": np.zeros(4, int)},
    "losses has the shape (4, 2) and": {"losses": np.zeros((4, 2))},
    "numbers of float32, but": {"losses": np.zeros((4, 3), np.float32)},
    "losses must have 4 rows, one a run, got the shape (3, 3)": {"losses": np.zeros((3, 3))},
    "more must be numbers, got an array of object": {"more": np.array([None] * 4)},
    "more must be numbers, got an array of <U1": {"more": np.array(["a"] * 4)},
    "more must have 4 rows, one a run, got the shape (4, 0)": {"more": np.zeros((4, 0))},
    "an array cannot be named '../more'": {"../more": np.zeros(4)},
    "an array cannot be named 'finished'": {"finished": np.zeros(4)},
}


@pytest.mark.parametrize("line", BAD)
def test_arrays_that_do_not_fit_are_refused(folder, line):
    arrays = BAD[line] if "taken" in line else {"losses": np.zeros((4, 3)), **BAD[line]}
    with RunStore(folder, ABOUT, **ASKED) as store:
        with pytest.raises(ArgumentError, match=re.escape(line)):
            store.put(0, arrays)
        assert store.missing() == [0, 1, 2]


def test_all_chunks_have_the_same_arrays(folder):
    with RunStore(folder, ABOUT, **ASKED) as store:
        store.put(0, chunk_of(0))
        with pytest.raises(ArgumentError, match=r"has the arrays \['diverged', .*, got \['losses'"):
            store.put(1, {"losses": chunk_of(1)["losses"]})
        with pytest.raises(ArgumentError, match=r"^chunk must be from 0 to 2, got 3$"):
            store.put(3, chunk_of(0))
        with pytest.raises(ArgumentError, match=r"has no array 'weights'; there are \['diverged'"):
            store.array("weights")


def test_foreign_folders_are_refused_and_left_alone(tmp_path):
    import zarr

    (tmp_path / "a file").write_text("mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("mine")
    zarr.create_group(tmp_path / "another's", attributes={"runs": 3})
    for name, line in (
        ("a file", "is a file; runs are stored in a folder"),
        ("photos", "has files but no zarr.json: it is not a store of runs"),
        ("another's", "is not a store of runs: its zarr.json describes something else"),
    ):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(DataError, match=line):
            RunStore(tmp_path / name, ABOUT, **ASKED)
        assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(
        DataError, match=r"is not a store of runs: there is no file zarr.json in it"
    ):
        StoredRuns(tmp_path / "nothing")


def test_halves_of_files_are_removed_when_a_store_is_opened(folder):
    half = full(folder) / "losses" / "c.0.0.4711.partial"
    half.write_bytes(b"half")
    with RunStore(folder, ABOUT, **ASKED) as store:
        assert not half.exists()
        same(store.read(0), chunk_of(0))


def test_an_empty_folder_becomes_a_store(folder):
    folder.mkdir()
    (folder / ".zarr.json.1a2b3c4d").write_text("{")  # of a process killed at its first file
    assert StoredRuns(full(folder)).missing() == []


# ---- damage ----------------------------------------------------------------------------------


def replaced(**entries):
    return lambda text: json.dumps({**json.loads(text), **entries})


def talweg_says(**entries):
    return lambda text: json.dumps(
        {
            **json.loads(text),
            "attributes": {"talweg": {**json.loads(text)["attributes"]["talweg"], **entries}},
        }
    )


DAMAGED = {
    "half of it": ("zarr.json", lambda text: text[:90], "zarr.json is damaged: "),
    "no object": ("zarr.json", lambda text: "[1]", "zarr.json is damaged: it holds no object"),
    "bytes": ("zarr.json", lambda text: "\0\1", "zarr.json is damaged: "),
    "runs": ("zarr.json", talweg_says(runs="10"), "damaged: it does not describe runs"),
    "newer": ("zarr.json", talweg_says(format=2), "has the format 2, and this talweg reads 1; "),
    "array": ("losses/zarr.json", lambda text: text[:90], "losses/zarr.json is damaged: "),
    "no codecs": ("losses/zarr.json", lambda text: "{}", "damaged: KeyError: 'codecs'"),
    "objects": (
        "losses/zarr.json",
        replaced(data_type="variable_length_bytes"),
        "does not describe 10 rows of numbers as talweg writes them",
    ),
    "other codec": (
        "losses/zarr.json",
        replaced(codecs=[{"name": "numcodecs.pickle"}]),
        "does not describe 10 rows of numbers as talweg writes them",
    ),
    "other shape": ("losses/zarr.json", replaced(shape=[9, 3]), "does not describe 10 rows"),
    "a codec's setting": (
        "losses/zarr.json",
        replaced(codecs=[{"name": "bytes"}, {"name": "zstd", "configuration": {"level": "x"}}]),
        "losses/zarr.json is damaged: ",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_description_is_reported_in_one_line(folder, case):
    name, damage, line = DAMAGED[case]
    file = full(folder) / name
    write_whole(file, damage(file.read_text()))

    def read():
        return StoredRuns(folder).read(0)

    def write():
        with RunStore(folder, ABOUT, **ASKED) as store:
            store.put(0, chunk_of(0))

    for use in (read, write):
        with pytest.raises(DataError) as error:
            use()
        assert line in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_changed_byte_is_detected_and_can_be_repaired(folder, place):
    file = full(folder) / "losses" / "c.1.0"
    raw = bytearray(file.read_bytes())
    raw[place] ^= 4
    write_whole(file, bytes(raw))
    line = r"losses/c\.1\.0 is damaged: [^\n]*; delete that file and call the sweep again"
    with pytest.raises(DataError, match=line):
        StoredRuns(folder).read(1)
    same(StoredRuns(folder).read(2), chunk_of(2))
    file.unlink()
    with RunStore(folder, ABOUT, **ASKED) as store:
        assert store.missing() == [1]
        store.put(1, chunk_of(1))
    same(StoredRuns(folder).read(1), chunk_of(1))


def test_damaged_entries_are_reported_and_can_be_repaired(folder):
    import shutil

    (full(folder) / "finished" / "c.0").write_bytes(b"nothing of the kind")
    for opening in (StoredRuns, lambda path: RunStore(path, ABOUT, **ASKED)):
        with pytest.raises(DataError, match=r"finished is damaged: [^\n]*; delete that folder"):
            opening(folder)
    shutil.rmtree(folder / "finished")
    assert StoredRuns(full(folder)).missing() == []
