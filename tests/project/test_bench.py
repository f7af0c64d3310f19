"""The benchmark driver runs, its peers train alike, and it says so when one does not.

No time is compared with anything. The losses are compared between programs that share no
arithmetic: the lesson's class, talweg, NumPy, C.
"""

import importlib.util
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import talweg as tw

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(autouse=True)
def the_limit_of_recursion_is_put_back():
    """The lesson's class needs a high one, with which others would run out of stack."""
    before = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(before)


def run_driver(*words, driver="peers.py"):
    command = [sys.executable, str(BENCH / driver), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def loaded(name):
    spec = importlib.util.spec_from_file_location("bench_driver", BENCH / name)
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    return driver


@pytest.fixture
def bench(monkeypatch):
    """The folder bench/peers as the package `peers`, and the driver as a module."""
    monkeypatch.syspath_prepend(str(BENCH))
    yield loaded("peers.py")
    for name in [name for name in sys.modules if name.split(".")[0] in ("peers", "lesson_class")]:
        del sys.modules[name]


@pytest.mark.slow
def test_the_driver_times_the_lesson_and_the_losses_agree(tmp_path):
    path = tmp_path / "out.json"
    words = ["--workload", "lesson", "--peers", "lesson,eager,numpy", "--seconds", 0.01]
    done = run_driver(*words, "--repeats", 2, "--json", path)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = found["tables"]["lesson"]
    assert list(rows) == ["lesson", "eager", "numpy"]
    model = tw.MLP(3, [4, 4, 1], rng=random.Random(42))
    history = tw.train(model, tw.lesson_data(), steps=51)
    for name, row in rows.items():
        assert row["agrees"], (name, row)
        assert row["loss_steps"] == 50
        assert row["loss"] == pytest.approx(history.losses[50], rel=1e-9)
        assert 0.0 < row["best_us"] <= row["median_us"]
        assert f"| {name} " in done.stdout
    assert found["command"] in done.stdout
    assert found["versions"]["talweg"] == tw.__version__


@pytest.mark.slow
@pytest.mark.parametrize("workload", ["lesson", "moons", "wide"])
@pytest.mark.parametrize("made_by", ["by_talweg.eager", "by_loop.eager", "by_c.prepare"])
def test_a_peer_trains_as_numpy_does(bench, workload, made_by):
    from peers import measure
    from peers.problems import problem

    if made_by == "by_c.prepare" and not shutil.which("gcc"):
        pytest.skip("no gcc")
    task = problem(workload).small_enough()
    module, function = made_by.split(".")
    train = getattr(importlib.import_module(f"peers.{module}"), function)(task)
    parameters = train(2)
    reached = measure.agreement(task, parameters, 2)
    assert reached["agrees"], reached
    assert reached["loss"] == pytest.approx(reached["loss_expected"], rel=1e-12)
    assert train(2) == parameters, "a run begins with the start weights"


@pytest.mark.parametrize(
    "made_by", ["by_talweg.native_sweep", "by_talweg.sweep", "by_loop.sweep", "by_c.sweep"]
)
def test_a_peer_of_a_sweep_has_the_losses_of_numpy(bench, made_by):
    import numpy as np

    from peers import by_numpy
    from peers.problems import problem

    if made_by == "by_c.sweep" and not shutil.which("gcc"):
        pytest.skip("no gcc")
    task, rates = problem("lesson"), np.geomspace(1e-3, 0.1, 11)  # no multiple of a vector
    module, function = made_by.split(".")
    run = getattr(importlib.import_module(f"peers.{module}"), function)(task, rates, 6)
    expected = by_numpy.sweep(task, rates, 6)()
    assert expected.shape == (11, 6)
    np.testing.assert_allclose(run(), expected, rtol=1e-12)
    np.testing.assert_allclose(run(), expected, rtol=1e-12, err_msg="a run begins anew")


def test_the_sweep_is_timed_and_a_wrong_loss_is_told(bench):
    import numpy as np

    from peers import SWEEPERS, rounds
    from peers.problems import problem

    two = [peer for peer in SWEEPERS if peer.name in ("lesson", "numpy")]
    found = rounds.rows(two, problem("lesson"), np.geomspace(0.01, 0.1, 4), 3, 2, 1)
    assert [row["models"] for row in found.values()] == [2, 4]
    assert all(row["agrees"] and row["best_s"] > 0.0 for row in found.values())
    expected = np.ones((2, 8))
    other = rounds.agreement(expected + np.array([[0.0], [1e-6]]), expected, np.array([0.01, 0.1]))
    assert not other["agrees"]
    assert other["leapt"] == 1


def test_the_sweep_driver_compares_talweg_with_numpy():
    words = ["--peers", "native,sweep,numpy", "--rounds", 1]
    done = run_driver(*words, driver="sweep.py")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["native", "sweep", "numpy"]
    assert "WRONG" not in done.stdout


def test_the_trainability_driver_compares_maps(bench):
    import numpy as np

    driver = loaded("trainability.py")
    own = np.zeros((4, 4), bool)
    own[0, 0] = True
    edge = driver.next_to_another(own)
    assert edge.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    other = own.copy()
    other[1, 1] = other[3, 3] = True
    lines = list(driver.comparison({driver.TALWEG: own, "JAX": other}))
    assert "14 of 16 pixels agree (87.500%), 2 differ, 50.0% of them" in lines[1]
    rows, converged = driver.measured(8, 1)
    assert rows[driver.TALWEG]["seconds"] > 0.0
    for found in converged.values():  # one of the 64 points hangs on the last bit
        assert (found == converged[driver.TALWEG]).sum() >= 62


def test_another_loss_is_reported_loudly(bench, capsys):
    from peers import measure
    from peers.problems import problem

    task = problem("lesson")
    nearly = [p * (1.0 + 1e-5) for p in task.start]
    row = {"best_us": 1.0, "median_us": 1.0, "first_s": 0.0, "begin_ms": 0.0, "core_share": 1.0}
    row |= {"samples": 4, "samples_of": 4, **measure.agreement(task, nearly, 1)}
    assert not row["agrees"]
    assert bench.report_trouble({"lesson": {"numpy": row}}) == 1
    assert "lesson: numpy: WRONG LOSS" in capsys.readouterr().err
    assert "WRONG 5.2" in bench.table("lesson", {"numpy": row})


def test_a_busy_core_is_reported_too(bench):
    row = {"agrees": True, "samples": 4, "samples_of": 1024, "core_share": 0.5}
    assert bench.remark(row) == (
        "timed on 4 of 1,024 samples and scaled up; "
        "TOO SLOW, others took the core: it had 50% of it"
    )


def test_a_peer_that_is_not_there_is_one_line(bench):
    from peers import Skip, by_talweg
    from peers.problems import problem

    with pytest.raises(Skip, match="no argument 'warp' in this version of talweg"):
        by_talweg.trainer(problem("lesson"), warp=9)
    with pytest.raises(Skip, match="engine must be"):
        by_talweg.trainer(problem("lesson"), engine="steam")(1)
    text = bench.table("lesson", {"numba": {"skipped": "numba is not installed"}})
    assert text.splitlines()[-1] == "numba: skipped, numba is not installed"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--peers", "abacus"], "--peers: 'abacus' is none of lesson, eager"),
        (["--repeats", "0"], "--repeats must be above 0, got 0"),
        (["--workload", "hand-moons", "--peers", "c"], "none of these peers takes part"),
    ],
)
def test_a_wrong_option_is_one_line(words, message):
    done = run_driver(*words)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]


def test_four_processes_that_create_one_store_keep_their_runs_apart():
    done = run_driver("--races", 4, driver="store_race.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of 4 races of 4 processes wrong" in done.stdout


def test_a_race_that_mixed_runs_is_wrong():
    is_right = loaded("store_race.py").is_right
    later = [(1, "right", True), (2, "refused", True)]
    assert is_right([(1, "right", False), (1, "refused", False), (2, "refused", False), *later])
    assert not is_right([(1, "right", False), (2, "right", False), *later])
    assert not is_right([(1, "right", False), (2, "ContainsArrayError", False), *later])
    assert not is_right([(1, "right", False), (2, "wrong numbers", False), *later])
    assert not is_right([(1, "right", False), (1, "right", True), (2, "right", True)])


def test_the_eager_programs_train_alike_with_both_classes(monkeypatch):
    """What bench/eager.py asserts before it measures, at one step."""
    monkeypatch.syspath_prepend(str(BENCH))
    driver = loaded("eager.py")
    for name, (_, *makers) in driver.ROWS.items():
        ours, theirs = (make() for make in makers)
        assert abs(ours.step(0) - theirs.step(0)) < 1e-9, name
        assert len(ours.parameters) == len(theirs.parameters)
        differences = [
            abs(p.data - q.data) for p, q in zip(ours.parameters, theirs.parameters, strict=True)
        ]
        assert max(differences) < 1e-9
    for name in ("eager_programs", "local_gradients_class", "lesson_class"):
        sys.modules.pop(name, None)
