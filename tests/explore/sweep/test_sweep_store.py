"""Sweeps on disk: they are resumed after any interruption, with the same bits."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import talweg as tw
from talweg.errors import ArgumentError, DataError
from talweg.explore.sweep import sweep as sweeping

LESSON = tw.lesson_data()
RATES = np.geomspace(0.001, 2.0, 61).tolist()


def network(rng):
    return tw.MLP(3, [4, 4, 1], rng=rng)


@pytest.fixture
def small_tasks(monkeypatch):
    """Sixteen runs a task."""
    monkeypatch.setattr(sweeping, "_LOSSES_OF_A_TASK", 16 * 10)


def asked(**more):
    return {"seeds": [1, 2, 3], "steps": 10, "engine": "native", "threads": 1, **more}


def test_losses_on_disk_are_those_in_memory(tmp_path, small_tasks):
    one = tw.sweep(network, LESSON, RATES, **asked())
    other = tw.sweep(network, LESSON, RATES, store=tmp_path / "runs", **asked())
    assert other.losses.tolist() == one.losses.tolist()
    assert other.verdicts == one.verdicts
    assert other.best.history.losses == one.best.history.losses
    assert other.best.history.verdict == one.best.history.verdict
    assert repr(other) == repr(one)


def test_a_finished_sweep_is_read_and_not_trained_again(tmp_path, small_tasks, monkeypatch):
    first = tw.sweep(network, LESSON, RATES, store=tmp_path / "runs", **asked())

    def never(self, task):
        raise AssertionError("a run was made again")

    monkeypatch.setattr("talweg.explore.sweep.lane_batch.LaneBatch.__call__", never)
    again = tw.sweep(network, LESSON, RATES, store=tmp_path / "runs", **asked(threads=2))
    assert again.losses.tolist() == first.losses.tolist()
    assert not again.interrupted


def test_ctrl_c_keeps_finished_chunks_and_the_next_call_resumes(tmp_path, small_tasks, monkeypatch):
    from talweg.explore.sweep.lane_batch import LaneBatch

    whole = tw.sweep(network, LESSON, RATES, **asked())
    done, call = [], LaneBatch.__call__

    def three(self, task):
        done.append(task)
        if len(done) == 4:
            raise KeyboardInterrupt
        return call(self, task)

    monkeypatch.setattr(LaneBatch, "__call__", three)
    result = tw.sweep(network, LESSON, RATES, store=tmp_path / "runs", **asked())
    assert result.interrupted
    assert len(result.runs) == 48
    assert result.losses.tolist() == whole.losses[:48].tolist()
    assert result.runs[47].history.losses == whole.runs[47].history.losses
    assert len(result.verdicts) == 48
    done.extend([None] * 9)  # never the fourth again
    result = tw.sweep(network, LESSON, RATES, store=tmp_path / "runs", **asked())
    assert done[13:] == [(k, min(k + 16, 183)) for k in range(48, 183, 16)]
    assert result.losses.tolist() == whole.losses.tolist()


@pytest.mark.parametrize("engine", ["native", "eager"])
def test_ctrl_c_before_anything_was_finished_leaves_no_runs(tmp_path, monkeypatch, engine):
    whole = tw.sweep(network, LESSON, RATES[:9], **asked(engine=engine))
    with monkeypatch.context() as patched:

        def interrupt(self, task):
            raise KeyboardInterrupt

        patched.setattr("talweg.explore.sweep.lane_batch.LaneBatch.__call__", interrupt)
        nothing = tw.sweep(network, LESSON, RATES[:9], store=tmp_path / "r", **asked(engine=engine))
    assert nothing.interrupted
    assert len(nothing) == len(nothing.losses) == len(nothing.table) == 0
    again = tw.sweep(network, LESSON, RATES[:9], store=tmp_path / "r", **asked(engine=engine))
    assert again.losses.tolist() == whole.losses.tolist()


def test_ctrl_c_loses_few_of_the_runs_that_are_trained_one_by_one(tmp_path):
    seen = []

    def interrupted_late(prediction, target):
        seen.append(target)
        if len(seen) == (2 * 8 + 3) * 10 * len(LESSON):  # of the twentieth run
            raise KeyboardInterrupt
        return tw.losses.squared_error(prediction, target)

    runs = asked(engine="eager", loss=interrupted_late)
    result = tw.sweep(network, LESSON, RATES, store=tmp_path / "runs", **runs)
    assert result.interrupted
    assert len(result) == 16


def test_another_engine_resumes_a_store(tmp_path, small_tasks, monkeypatch):
    runs = {"mode": "exact", "store": tmp_path / "runs"}
    whole = tw.sweep(network, LESSON, RATES, **asked(mode="exact"))
    seen = []

    def interrupted(prediction, target):
        seen.append(target)
        if len(seen) == 20 * 10 * len(LESSON):
            raise KeyboardInterrupt
        return tw.losses.squared_error(prediction, target)

    interrupted.__qualname__ = tw.losses.squared_error.__qualname__
    kept = tw.sweep(network, LESSON, RATES, loss=interrupted, **asked(engine="eager", **runs))
    assert len(kept) == 16
    rest = {"loss": tw.losses.squared_error, **asked(**runs)}
    result = tw.sweep(network, LESSON, RATES, **rest)
    assert result.losses.tolist() == whole.losses.tolist()
    engines = [run.history.engine for run in result.runs]
    assert engines == ["eager"] * 16 + ["native, exact"] * (len(engines) - 16)


def test_arrays_that_differ_in_entries_that_are_not_printed_are_other_data(tmp_path):
    class First:
        def __init__(self, rng):
            self.weight = tw.Value(0.5)

        def parameters(self):
            return [self.weight]

        def __call__(self, x):
            return self.weight * x[0]

    data, other = np.ones(3000), np.ones(3000)
    other[1500] = 2.0
    tw.sweep(First, [(data, 1.0)], [0.1], steps=2, store=tmp_path / "runs")
    with pytest.raises(ArgumentError, match="samples"):
        tw.sweep(First, [(other, 1.0)], [0.1], steps=2, store=tmp_path / "runs")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 11}, "steps"),
        ({"seeds": [1, 2, 4]}, "seed"),
        ({"optimizer": tw.Adam}, "optimizer"),
        ({"mode": "exact"}, "mode"),
        ({"stop_at": 0.1}, "stop_at"),
        ({"loss": lambda p, t: (p - t) * (p - t) * 2.0}, "loss"),
        ({"reduction": "mean"}, "reduction"),
        ({"grid": {"momentum": [0.0, 0.9]}}, "runs is 9 there, and 18 was"),
        ({"grid": {"momentum": [0.9]}}, "momentum"),
    ],
)
def test_a_store_of_another_sweep_is_refused(tmp_path, change, named):
    tw.sweep(network, LESSON, RATES[:3], store=tmp_path / "runs", **asked())
    with pytest.raises(ArgumentError, match=f"runs holds other runs: .*{named}"):
        tw.sweep(network, LESSON, RATES[:3], store=tmp_path / "runs", **asked(**change))


def test_other_data_and_another_model_are_other_sweeps(tmp_path):
    tw.sweep(network, LESSON, RATES[:3], store=tmp_path / "runs", **asked())
    others = [
        (network, [*LESSON][:3]),
        (network, [(x, 0.5 * y) for x, y in LESSON]),
        (lambda rng: tw.MLP(3, [4, 1], rng=rng), LESSON),
        (lambda rng: tw.MLP(3, [4, 4, 1], activation="relu", rng=rng), LESSON),
    ]
    for make_model, data in others:
        with pytest.raises(ArgumentError, match="holds other runs"):
            tw.sweep(make_model, data, RATES[:3], store=tmp_path / "runs", **asked())


PROGRAM = """
import numpy as np, talweg as tw
from talweg.explore.sweep import sweep as sweeping
sweeping._LOSSES_OF_A_TASK = 16 * 200
tw.sweep(lambda rng: tw.MLP(3, [4, 4, 1], rng=rng), tw.lesson_data(),
         np.geomspace(0.001, 2.0, 400).tolist(), seeds=range(10), steps=200, engine="native",
         store="runs")
print("finished")
"""


@pytest.mark.slow
def test_a_sweep_that_is_killed_repeatedly_is_finished_at_last(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(tw.__file__).parents[1])}
    kills = 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM)],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if kills < 3:
            wait_for_chunks(tmp_path / "runs" / "losses", 20 * (kills + 1), process)
            process.send_signal(signal.SIGKILL)
            kills += 1
        out, _ = process.communicate(timeout=120)
        if "finished" in out:
            break
        assert process.returncode == -signal.SIGKILL
    chunks = list((tmp_path / "runs" / "losses").glob("c.*"))
    assert len(chunks) == 250
    rates = np.geomspace(0.001, 2.0, 400).tolist()
    given = {"seeds": range(10), "steps": 200, "engine": "native"}
    whole = tw.sweep(network, LESSON, rates, **given)
    import zarr

    stored = zarr.open_group(tmp_path / "runs", mode="r")["losses"][:]
    assert stored.tolist() == whole.losses.tolist()


def wait_for_chunks(folder, count, process):
    """Until so many chunks are there; or the process has ended, which is found out later."""
    while process.poll() is None and len(list(folder.glob("c.*"))) < count:
        pass


def test_the_store_of_a_map_is_refused(tmp_path):
    tw.trainability_map(resolution=8, steps=2, store=tmp_path / "map")
    with pytest.raises(DataError, match=r"not a store of runs: its zarr\.json describes someth"):
        tw.sweep(network, LESSON, RATES, store=tmp_path / "map", **asked())
