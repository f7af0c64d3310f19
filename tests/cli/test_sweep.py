"""`talweg sweep` and `talweg sharpness`: ranges of rates, files, and saved tables."""

import json
import random
from pathlib import Path

import polars as pl
import pytest

import talweg as tw
from talweg.cli import option_values
from talweg.cli import sweep as command
from talweg.cli.tabular_training import ProblemSettings, TrainingSettings, fit, prepare
from talweg.errors import NativeError
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.run import Run
from talweg.explore.sweep.specification import Specification
from talweg.training.history import History


@pytest.fixture(autouse=True)
def curve(run, monkeypatch):
    """A terminal of 100 columns, and a file in the folder of the commands."""
    monkeypatch.setenv("COLUMNS", "100")
    noise = random.Random(3)
    rows = [(x / 10.0, (x / 10.0) ** 2 + noise.gauss(0.0, 0.1)) for x in range(30)]
    lines = ["x,y,kind", *(f"{x},{y},{'high' if y > 2 else 'low'}" for x, y in rows)]
    Path("curve.csv").write_text("\n".join(lines))


def lesson_network(rng):
    return tw.MLP(3, [4, 4, 1], rng=rng)


# ---- the lesson ----------------------------------------------------------------------------------


def test_the_lesson_has_a_limit_and_a_conclusion(run):
    code, out, err = run("sweep")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1].split() == "rate first loss final loss best loss of limit verdict".split()
    assert lines[5].split()[:5] == ["1", "5.278844", "8.000000", "5.278844", "2.88"]
    assert "Rate 1 is 2.88 times the limit at the start, 0.348: expect a spike first" in lines
    assert lines[-1] == "Best rate 0.1; stable up to 0.1; at 1 it gets stuck, not unstable"


def test_on_a_narrow_terminal_the_column_of_limits_is_left_out(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run("sweep --no-plot")
    lines = out.splitlines()
    assert lines[1].split() == "rate first loss final loss best loss verdict".split()
    assert max(map(len, lines)) <= 80
    assert lines[5].rstrip().endswith("stuck at 8, above the start")


def test_a_range_of_rates_is_geometric(run):
    _, out, _ = run("sweep --lr 0.01..1:5 --steps 3 --json --no-plot")
    found = [each["learning_rate"] for each in json.loads(out)["runs"]]
    assert found == pytest.approx([0.01 * 10 ** (k / 2) for k in range(5)])
    assert (found[0], found[-1]) == (0.01, 1.0)


def test_twenty_of_many_runs_are_printed_and_all_are_saved(run):
    code, out, _ = run(
        "sweep --lr 0.001..1:15 --seed 1,2 --steps 3 --csv all.csv --parquet all.parquet"
    )
    assert code == 0
    assert "  ... and 10 more; --csv saves all" in out
    assert "Table saved to all.csv and all.parquet" in out
    assert "Picture saved to talweg-sweep.png" in out
    rows = [line.split() for line in out.splitlines() if line[:12].strip()[:1].isdigit()]
    assert len(rows) == 20
    assert [row[1] for row in rows[:3]] == ["1", "2", "1"]
    table = pl.read_csv("all.csv")
    result = tw.sweep(
        lesson_network,
        tw.lesson_data(),
        option_values.learning_rates("--lr", "0.001..1:15"),
        seeds=[1, 2],
        steps=3,
    )
    assert table.equals(result.table)
    assert pl.read_parquet("all.parquet").equals(table)


def test_json_has_limits_and_a_summary(run):
    code, out, err = run("sweep --lr 0.1,1 --json --no-plot")
    assert (code, err) == (0, "")
    about = json.loads(out)
    limit = tw.sharpness(lesson_network(random.Random(42)), tw.lesson_data()).max_stable_lr
    assert [each["max_stable_lr"] for each in about["runs"]] == [limit] * 2
    assert about["runs"][1]["lr_over_limit"] == 1.0 / limit
    assert about["summary"] == "best rate 0.1; stable up to 0.1; at 1 it gets stuck, not unstable"
    assert (about["file"], about["batch"], about["plots"], about["tables"]) == (None, None, [], [])


def test_engine_mode_and_threads(run):
    line = "sweep --lr 0.01,0.1 --steps 5 --no-plot --json"
    eager = json.loads(run(f"{line} --engine eager")[1])
    exact = json.loads(run(f"{line} --engine native --mode exact --threads 2")[1])
    assert eager["fallback_reason"] == "the eager engine was requested"
    assert exact["fallback_reason"] == ""
    assert [r["losses"] for r in eager["runs"]] == [r["losses"] for r in exact["runs"]]


def test_network_loss_and_batch_are_those_of_the_options(run):
    line = "sweep --lr 0.05 --steps 4 --no-plot --json --hidden 5 --loss hinge --batch 2 --seed 3"
    about = json.loads(run(line)[1])
    history = tw.train(
        tw.MLP(3, [5, 1], output="tanh", rng=random.Random(3)),
        tw.lesson_data(),
        loss=tw.losses.hinge,
        steps=4,
        batch_size=2,
        seed=3,
    )
    assert about["runs"][0]["losses"] == history.losses
    assert about["batch"] == 2


def test_momentum_is_a_grid(run, monkeypatch):
    asked = {}

    def pretend(make_model, samples, rates, **settings):
        asked.update(settings)
        runs = [
            Run({"learning_rate": lr, "seed": 42, "momentum": m}, History([5.0, 4.0]))
            for lr in rates
            for m in settings["grid"]["momentum"]
        ]
        return SweepResult.of_runs(runs, 2)

    monkeypatch.setattr(command, "run_sweep", pretend)
    code, out, err = run("sweep --lr 0.1,0.2 --momentum 0,0.9 --no-plot")
    assert (code, err) == (0, "")
    assert asked["grid"] == {"momentum": [0.0, 0.9]}
    assert out.splitlines()[1].split()[:2] == ["rate", "momentum"]
    assert out.splitlines()[3].split()[:2] == ["0.1", "0.9"]
    assert "momentum 0.9: stable at all 2 rates tried" in " ".join(out.split())


def test_without_momentum_there_is_no_grid(run, monkeypatch):
    asked = {}

    def pretend(make_model, samples, rates, **settings):
        asked.update(settings)
        return tw.sweep(make_model, samples, rates, **settings)

    monkeypatch.setattr(command, "run_sweep", pretend)
    assert run("sweep --lr 0.1 --steps 2 --no-plot")[0] == 0
    assert "grid" not in asked


# ---- a file --------------------------------------------------------------------------------------


def test_a_file_is_trained_as_by_talweg_train(run):
    line = (
        "sweep curve.csv --target y --ignore kind --lr 0.02 --steps 6 --batch 16 --json --no-plot"
    )
    code, out, err = run(line)
    assert (code, err) == (0, "")
    about = json.loads(out)
    data = tw.Dataset.from_file("curve.csv", "y", ignore=["kind"])
    prepared = prepare(data, ProblemSettings([16], "tanh", None, seed=1))
    expected = fit(prepared, TrainingSettings(tw.Adam(0.02), steps=6, batch=16))
    assert about["runs"][0]["losses"] == expected.history.losses
    assert (about["file"], about["optimizer"], about["runs"][0]["seed"]) == ("curve.csv", "adam", 1)


def test_a_file_as_text(run):
    code, out, err = run("sweep curve.csv --target kind --ignore y --lr 0.01,0.1 --seed 1,2")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == [
        "curve.csv at each learning rate, 200 steps",
        "Network: MLP(1 -> 16 -> 1, tanh, output linear, 49 parameters)",
        "Loss: binary_cross_entropy, mean over all rows of a step; optimizer adam",
    ]
    assert "times the limit at the start" in out or "of the limit at the start" in out
    assert lines[-1].startswith("Best rate 0.1; ")


def test_sharpness_of_a_file(run):
    code, out, err = run("sharpness curve.csv --target y --ignore kind --json")
    assert (code, err) == (0, "")
    about = json.loads(out)
    parts = tw.Dataset.from_file("curve.csv", "y", ignore=["kind"]).split(0.2, 1)
    data = parts[0].standardise(parts[0].input_scaling(), parts[0].target_scaling())
    model = tw.MLP(1, [16, 1], output="linear", rng=random.Random(1), scale="fan_in")
    found = tw.sharpness(model, list(data), reduction="mean", optimizer=tw.Adam(0.02))
    assert (about["largest"], about["max_stable_lr"]) == (found.largest, found.max_stable_lr)
    assert (about["file"], about["optimizer"], about["learning_rate"]) == (
        "curve.csv",
        "Adam",
        0.02,
    )


def test_sharpness_of_a_file_along_a_run(run):
    line = "sharpness curve.csv --target y --ignore kind --along --steps 4 --hidden 3 --lr 0.1"
    code, out, err = run(line)
    assert (code, err) == (0, "")
    assert "Loss: squared_error, mean over 24 rows, those that talweg train would train on" in out
    assert "Largest stable learning rate of SGD" in out
    assert "Along 4 steps" in out
    assert Path("talweg-sharpness.png").read_bytes().startswith(b"\x89PNG")


# ---- errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sweep --lr 0.1..1", "--lr takes a range as LOW..HIGH:COUNT, such as 0.001..1:50"),
        ("sweep --lr 0.1..x:5", "--lr takes a range as LOW..HIGH:COUNT"),
        ("sweep --lr 1..0.1:5", "--lr takes a range from above 0 to a larger rate"),
        ("sweep --lr 0..1:5", "--lr takes a range from above 0"),
        ("sweep --lr 0.1..1:1", "of at least 2 rates, got '0.1..1:1'"),
        ("sweep --lr 0.1..inf:3", "--lr takes a range from above 0"),
        ("sweep --momentum high", "--momentum takes numbers separated by commas"),
        (
            "sweep --momentum 0.9 --optimizer adam",
            "--momentum is for --optimizer sgd, not for adam",
        ),
        ("sweep curve.csv --momentum 0.9", "--momentum is for --optimizer sgd, not for adam"),
        (
            "sweep --momentum 0,1,2,3,4,5,6",
            "one picture shows up to 6 momenta; give fewer, or --no",
        ),
        ("sweep --threads 0", "--threads: expected an integer of at least 1, got '0'"),
        ("sweep --batch 0", "--batch: expected an integer of at least 1, got '0'"),
        ("sweep --target y", "--target is for a file; name it: talweg sweep FILE --target COLUMN"),
        (
            "sweep curve.csv",
            "curve.csv: name the column to predict with --target, one of x, y, kind",
        ),
        ("sweep --csv table.txt", "'table.txt' ends in '.txt'"),
        ("sweep --parquet nowhere/a.parquet", "there is no folder 'nowhere'"),
        ("sweep --loss cross_entropy", "--loss takes squared_error or hinge"),
        ("sharpness --ignore y", "--ignore is for a file; name it: talweg sharpness FILE"),
        ("sharpness curve.csv", "name the column to predict with --target"),
        ("sharpness curve.csv --target y", "text in kind"),
        ("sharpness --plot a.png", "--plot draws a run; give --along too"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, line, message):
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["curve.csv"]


def test_native_code_that_is_not_possible_is_an_error(run, monkeypatch):
    def refuse(self):
        raise NativeError("the samples have no lanes")

    monkeypatch.setattr(Specification, "require_lanes", refuse)
    code, out, err = run("sweep --engine native --batch 2")
    assert (code, out) == (2, "")
    assert err == (
        "talweg: native code is not possible: the samples have no lanes; allow the eager engine "
        "with --engine auto\n"
    )


def test_a_table_is_saved_even_if_the_picture_cannot_be_saved(run, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("talweg.plotting.figure.save", fail)
    code, _, err = run("sweep --lr 0.1 --steps 2 --csv a.csv")
    assert (code, err) == (1, "talweg: No space left on device\n")
    assert pl.read_csv("a.csv").height == 1


def test_a_store_is_continued_and_stop_at_stops_runs(run, monkeypatch):
    line = "sweep --lr 0.001..0.3:40 --seed 1,2 --stop-at 0.05 --store runs --engine native --json"
    code, out, _ = run(line)
    first = json.loads(out)
    assert code == 0
    ends = [row["verdict"] for row in first["runs"]]
    assert "converged" in ends
    assert all(row["final_loss"] <= 0.05 for row in first["runs"] if len(row["losses"]) < 50)
    assert min(len(row["losses"]) for row in first["runs"]) < 50

    def never(*_):
        raise AssertionError("a run was made again")

    monkeypatch.setattr("talweg.explore.sweep.lane_batch.LaneBatch.__call__", never)
    assert json.loads(run(line)[1])["runs"] == first["runs"]
    code, _, err = run(line.replace("0.05", "0.06"))
    assert code == 2
    assert "runs holds other runs" in err
    assert "stop_at" in err
