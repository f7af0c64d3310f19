"""Sweeps and maps by processes, joblib and a Dask cluster: the same bits as in one process."""

import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from jobs import Network

import talweg as tw
from talweg.errors import ArgumentError
from talweg.explore.trainability.mean_field import default_problem
from talweg.explore.trainability.trainability import trainability_map

LESSON = tw.lesson_data()
RATES = [*np.geomspace(0.001, 2.0, 90).tolist(), 1e308]
ASKED = {"seeds": range(1, 9), "grid": {"momentum": [0.0, 0.9]}, "steps": 12}


def same(one, other):
    assert str(one.losses.tolist()) == str(other.losses.tolist())  # str: nan is the same as nan
    assert one.verdicts == other.verdicts
    for name, column in one.settings.items():
        assert column.tolist() == other.settings[name].tolist()
    for k in (0, 700, len(one.runs) - 1):
        mine, others = one.runs[k].history, other.runs[k].history
        assert (mine.status, mine.verdict, mine.engine) == (
            others.status,
            others.verdict,
            others.engine,
        )
    assert not one.interrupted
    assert not other.interrupted


@pytest.fixture(scope="module")
def here():
    result = tw.sweep(Network(), LESSON, RATES, engine="native", threads=1, **ASKED)
    assert len(result.runs) == 91 * 8 * 2
    assert "diverged" in result.verdicts
    return result


def test_a_process_pool_gives_the_bits_of_one_process(here):
    with ProcessPoolExecutor(2) as pool:
        same(here, tw.sweep(Network(), LESSON, RATES, engine="native", executor=pool, **ASKED))


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib_gives_the_bits_of_one_process(here, backend):
    joblib = pytest.importorskip("joblib")
    with joblib.Parallel(n_jobs=2, backend=backend) as parallel:
        same(here, tw.sweep(Network(), LESSON, RATES, engine="native", executor=parallel, **ASKED))


def test_dask_gives_the_same_bits_although_a_worker_is_killed(here, client, tmp_path):
    network = Network(os.getpid(), str(tmp_path / "a worker was killed"))
    same(here, tw.sweep(network, LESSON, RATES, engine="native", executor=client, **ASKED))
    assert (tmp_path / "a worker was killed").exists()


def test_dask_writes_results_to_a_store(here, client, tmp_path):
    asked = {"engine": "native", **ASKED}
    result = tw.sweep(Network(), LESSON, RATES, executor=client, store=tmp_path / "runs", **asked)
    same(here, result)
    again = tw.sweep(Network(), LESSON, RATES, store=tmp_path / "runs", **asked)
    same(here, again)


def test_dask_trains_runs_one_by_one(client):
    asked = {"steps": 4, "clip_norm": 1.0, "seeds": [1, 2]}
    alone = tw.sweep(Network(), LESSON, RATES[:5], **asked)
    far = tw.sweep(Network(), LESSON, RATES[:5], executor=client, **asked)
    reason = "clip_norm is set, which needs runs one by one"
    assert alone.fallback_reason == far.fallback_reason == reason
    assert [run.history.losses for run in alone.runs] == [run.history.losses for run in far.runs]


def test_dask_computes_a_map(client):
    make_model, data = default_problem(width=2)
    axes = {"x": ("learning_rate", 1e-2, 1e3), "y": ("momentum", 0.0, 1.0)}
    asked = {"resolution": 64, "steps": 20, "engine": "native", **axes}
    alone = trainability_map(make_model, data, **asked)
    far = trainability_map(make_model, data, executor=client, **asked)
    assert alone.measure.tolist() == far.measure.tolist()


def test_an_object_that_is_no_executor_is_refused():
    with pytest.raises(ArgumentError, match=r"executor must be None, a dask"):
        tw.sweep(Network(), LESSON, RATES, executor="dask", **ASKED)
