"""Several processes and one store: one process creates it; locks end with their process."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import talweg
from talweg._util import atomic_files
from talweg.errors import ArgumentError, DataError
from talweg.explore import store_lock
from talweg.explore.store_lock import CREATION_LOCK, GROUP_FILE, FileLock, create_group
from talweg.explore.sweep import store as run_store
from talweg.explore.sweep.store import RunStore, StoredRuns
from talweg.explore.trainability.axes import Axis, Plane
from talweg.explore.trainability.pyramid import Pyramid
from talweg.explore.trainability.refinement import refine, serial_evaluator
from talweg.explore.trainability.tile_store import TileStore
from talweg.explore.trainability.tiles import Window

PLANE = Plane(Axis("learning_rate", 0.01, 100.0, "log"), Axis("momentum", 0.0, 0.99, "linear"))
DIFFERENCE = "seed is 1 there, and 2 was asked for; "


def runs(folder, seed=1):
    return RunStore(folder, {"seed": seed}, runs=10, steps=3, chunk=4)


def tiles(folder, seed=1):
    return Pyramid(PLANE, TileStore(folder, {**PLANE.description(), "seed": seed}))


KINDS = [runs, tiles]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "a" / "store"


def names(folder):
    return sorted(os.listdir(folder))  # noqa: PTH208 - including names with a leading dot


class Thread(threading.Thread):
    """Calls a function; `result` is what it returned or raised."""

    def __init__(self, *call):
        super().__init__(daemon=True)
        self.call, self.result = call, None
        self.start()

    def run(self):
        function, *arguments = self.call
        try:
            self.result = function(*arguments)
        except Exception as error:
            self.result = error


def program(code, *arguments):
    """A process that has printed "ready"."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(talweg.__file__).parents[1])},
    )
    assert process.stdout.readline() == "ready\n"
    return process


def killed(process):
    process.kill()
    process.wait()
    process.stdout.close()


# ---- creating a store ------------------------------------------------------------------------


@pytest.fixture
def race(monkeypatch):
    """Open a store in a second thread after the first found none and before it creates one."""
    threads, write = [], atomic_files._write_through

    def open_in_second_thread(kind, folder, seed, locks=True):
        def second_first(*arguments):
            if not threads:
                threads.append(None)  # the second thread calls this function too
                threads[0] = Thread(kind, folder, seed)
                threads[0].join(0.3 if locks else None)
                assert threads[0].is_alive() == locks
            write(*arguments)

        monkeypatch.setattr(atomic_files, "_write_through", second_first)
        return threads

    return open_in_second_thread


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_waits_and_its_error_names_the_difference(folder, race, kind):
    threads = race(kind, folder, 2)
    first = kind(folder, 1)
    threads[0].join()
    assert isinstance(threads[0].result, ArgumentError)
    assert str(folder) in str(threads[0].result)
    assert DIFFERENCE in str(threads[0].result)
    del first
    kind(folder, 1)
    assert not [name for name in names(folder) if name.startswith(".")]


def test_the_second_waits_and_shares_the_store_of_a_map(folder, race):
    threads = race(tiles, folder, 1)
    first = tiles(folder, 1)
    threads[0].join()
    window = Window(3, 0, 0, 8, 8)
    refine(first, window, serial_evaluator(lambda xs, ys: xs + ys + 1.0))
    assert threads[0].result.finished(window) == 1.0


def test_the_second_is_refused_while_the_first_writes_runs(folder, race):
    threads = race(runs, folder, 1)
    with runs(folder, 1):
        threads[0].join()
        assert "is in use: another process" in str(threads[0].result)
        with pytest.raises(ArgumentError, match=DIFFERENCE):  # not an error that asks to wait
            runs(folder, 2)
    runs(folder, 1).close()


@pytest.mark.parametrize("kind", KINDS)
def test_without_locks_only_one_creates_the_store(folder, race, monkeypatch, kind):
    def no_locks(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(store_lock, "_lock", no_locks)
    race(kind, folder, 1, locks=False)
    with pytest.raises(ArgumentError, match=DIFFERENCE):
        kind(folder, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_process_creates_a_store_if_the_first_was_killed(folder, monkeypatch, kind):
    code = f"""
import sys, time
from pathlib import Path
from talweg.explore.store_lock import FileLock
folder = Path(sys.argv[1])
folder.mkdir(parents=True)
lock = FileLock(folder / {CREATION_LOCK!r}, temporary=True)
(folder / ".{GROUP_FILE}.1a2b3c4d").write_text('{{"attri')
print("ready", flush=True)
time.sleep(60)
"""
    process = program(code, folder)
    monkeypatch.setattr(store_lock, "LOCK_TIMEOUT", 0.05)
    with pytest.raises(ArgumentError, match="store is in use: another process"):
        kind(folder)
    monkeypatch.setattr(store_lock, "LOCK_TIMEOUT", 30.0)
    waiting = Thread(kind, folder)
    time.sleep(0.05)
    assert waiting.is_alive()
    killed(process)
    waiting.join(10.0)
    assert type(waiting.result) is type(kind(folder.parent / "another"))
    assert CREATION_LOCK not in names(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_is_being_created_is_not_taken_for_another_folder(folder, monkeypatch, kind):
    """Its files appear after the folder was found empty, before the group's file is tested."""
    scandir = os.scandir

    def then_created(path="."):
        entries = scandir(path)
        if Path(path) == folder and not (folder / GROUP_FILE).exists():
            monkeypatch.undo()
            create_group(folder, {})
            (folder / "finished").mkdir()
        return entries

    folder.mkdir(parents=True)
    monkeypatch.setattr(os, "scandir", then_created)
    with pytest.raises(DataError, match="describe") as error:
        kind(folder)
    assert "other files" not in str(error.value)


def test_a_folder_with_other_files_is_not_changed(folder):
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("chapter 1")
    assert not create_group(folder, {})
    assert names(folder) == ["thesis.tex"]


# ---- locks -----------------------------------------------------------------------------------


def test_a_file_that_was_removed_before_it_was_locked_is_not_a_lock(tmp_path, monkeypatch):
    first = FileLock(tmp_path / "lock", temporary=True)
    attempt = store_lock._try_to_lock

    def release_before(descriptor):
        first.release()
        return attempt(descriptor)

    monkeypatch.setattr(store_lock, "_try_to_lock", release_before)
    with FileLock(tmp_path / "lock", temporary=True) as second:
        assert second.in_place
        with pytest.raises(ArgumentError, match="is in use"):
            FileLock(tmp_path / "lock", temporary=True)


def test_a_process_that_waits_locks_the_file_that_is_in_place(tmp_path):
    file = tmp_path / "lock"
    first = FileLock(file, temporary=True)
    waiting = [Thread(lambda: FileLock(file, timeout=10.0, temporary=True)) for _ in range(3)]
    first.release()
    first.release()  # a second call has no effect
    order = []
    while len(order) < 3:
        order += [t for t in waiting if not t.is_alive() and t not in order]
        if order:
            held = [t.result for t in order if t.result.held]
            assert len(held) <= 1
            assert all(lock.in_place for lock in held)
            for lock in held:
                lock.release()
    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_child_does_not_keep_the_lock_of_a_parent_that_was_killed(folder):
    """The children of a process pool may outlive the sweep's process."""
    code = """
import os, sys, time
from talweg.explore.sweep.store import RunStore
store = RunStore(sys.argv[1], {"seed": 1}, runs=10, steps=3, chunk=4)
ours, theirs = os.pipe()
child = os.fork()
if child == 0:
    os.write(theirs, b"x")
    time.sleep(60)
    os._exit(0)
os.read(ours, 1)
print("ready", flush=True)
print(child, flush=True)
time.sleep(60)
"""
    process = program(code, folder)
    child = int(process.stdout.readline())
    try:
        with pytest.raises(ArgumentError, match="is in use"):
            runs(folder)
        killed(process)
        os.kill(child, 0)  # it is alive
        runs(folder).close()
    finally:
        os.kill(child, signal.SIGKILL)


# ---- writing with the lock -------------------------------------------------------------------


def test_the_description_is_compared_again_with_the_lock(folder, monkeypatch):
    runs(folder, 1).close()

    def created_anew(file):
        shutil.rmtree(folder)
        monkeypatch.setattr(run_store, "FileLock", FileLock)
        runs(folder, 2).close()
        return FileLock(file)

    monkeypatch.setattr(run_store, "FileLock", created_anew)
    with pytest.raises(ArgumentError, match="seed is 2 there, and 1 was asked for"):
        runs(folder, 1)
    runs(folder, 2).close()  # the store with the error has released its lock


def test_runs_are_not_put_into_a_store_that_has_replaced_theirs(folder):
    chunk = {"losses": np.ones((4, 3))}
    with runs(folder, 1) as store:
        store.put(0, chunk)
        shutil.rmtree(folder)
        with pytest.raises(ArgumentError, match="was deleted or replaced while it was written"):
            store.put(1, chunk)
        with runs(folder, 2), pytest.raises(ArgumentError, match="was deleted or replaced"):
            store.put(1, chunk)
    assert StoredRuns(folder).missing() == [0, 1, 2]


def test_points_are_not_put_into_a_map_that_has_replaced_theirs(folder):
    pyramid = tiles(folder, 1)
    (missing,) = pyramid.missing_points(Window(3, 0, 0, 8, 8))
    shutil.rmtree(folder)
    other = tiles(folder, 2)
    with pytest.raises(ArgumentError, match="seed is 2 there, and 1 was asked for"):
        pyramid.put(missing, np.ones(64))
    assert other.finished(Window(3, 0, 0, 8, 8)) == 0.0


def test_two_processes_that_write_one_tile_keep_the_points_of_each_other(folder, monkeypatch):
    one, other = tiles(folder), tiles(folder)
    left, right = Window(6, 0, 0, 64, 32), Window(6, 0, 32, 64, 32)
    (ours,), (theirs,) = one.missing_points(left), other.missing_points(right)
    known = Pyramid.known

    def then_the_other_puts(self, window):
        measures = known(self, window)
        if self is one:
            monkeypatch.undo()
            other.put(theirs, theirs.xs + 1.0)
        return measures

    monkeypatch.setattr(Pyramid, "known", then_the_other_puts)
    one.put(ours, ours.xs + 1.0)
    for pyramid in (one, other, tiles(folder)):
        assert pyramid.finished(Window(6, 0, 0, 64, 64)) == 1.0


def test_two_processes_may_create_a_level_at_the_same_time(folder, monkeypatch):
    one, other = tiles(folder), tiles(folder)
    left, right = Window(6, 0, 0, 64, 32), Window(6, 0, 32, 64, 32)
    (ours,), (theirs,) = one.missing_points(left), other.missing_points(right)
    create, threads = TileStore._create, []

    def then_the_other_puts(self, level):
        if not threads:
            threads.append(Thread(other.put, theirs, theirs.xs + 1.0))
            threads[0].join(0.3)
        return create(self, level)

    monkeypatch.setattr(TileStore, "_create", then_the_other_puts)
    one.put(ours, ours.xs + 1.0)
    threads[0].join()
    assert threads[0].result is None
    assert tiles(folder).finished(Window(6, 0, 0, 64, 64)) == 1.0


def test_a_finished_map_is_read_while_another_process_writes(folder):
    window = Window(3, 0, 0, 8, 8)
    refine(tiles(folder), window, serial_evaluator(lambda xs, ys: xs + 1.0))
    with FileLock(folder / GROUP_FILE):
        assert tiles(folder).finished(window) == 1.0
