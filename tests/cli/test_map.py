"""`talweg map`: the published problem, the lesson and files, as text, JSON and pictures."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import talweg as tw
from talweg.cli.rate_threshold import describe_threshold
from talweg.cli.tabular_training import ProblemSettings, prepare
from talweg.explore.trainability import result as map_result
from talweg.explore.trainability.axes import Plane, parse_axis
from talweg.explore.trainability.pyramid import Pyramid
from talweg.explore.trainability.refinement import serial_evaluator
from talweg.explore.trainability.tiles import Window


@pytest.fixture(autouse=True)
def curve(run, monkeypatch):
    """A terminal of 100 columns, and a file in the folder of the commands."""
    monkeypatch.setenv("COLUMNS", "100")
    noise = random.Random(3)
    rows = [(x / 10.0, (x / 10.0) ** 2 + noise.gauss(0.0, 0.1)) for x in range(30)]
    Path("curve.csv").write_text("\n".join(["x,y", *(f"{x},{y}" for x, y in rows)]))


class Filling:
    """Count the points that each map computes; raise Ctrl-C after a number of them."""

    def __init__(self):
        self.refine = map_result.refine
        self.computed = []
        self.stop_map, self.stop_at = -1, 0

    def interrupt(self, points, which=0):
        self.stop_map, self.stop_at = which, points

    def __call__(self, pyramid, window, evaluator, report):
        which = len(self.computed)
        self.computed.append(0)

        def shown(done):
            report(done)
            self.computed[which] = done
            if which == self.stop_map and done >= self.stop_at:
                raise KeyboardInterrupt

        self.refine(pyramid, window, evaluator, shown)


@pytest.fixture
def filling(monkeypatch):
    counting = Filling()
    monkeypatch.setattr(map_result, "refine", counting)
    return counting


def outcomes(found):
    return np.array(json.loads(found)["converged"], float)


def is_png(name):
    return Path(name).read_bytes().startswith(b"\x89PNG")


# ---- the published problem ----------------------------------------------------------------------


def test_without_a_file_the_published_map_is_computed(run):
    code, out, err = run("map --resolution 64")
    assert (code, err) == (0, "")
    expected = tw.trainability_map(resolution=64)
    lines = out.splitlines()
    assert lines[:5] == [
        "The published problem: a map of 64 x 64 runs of 100 steps",
        "Network: MeanFieldNet(8 -> 8 -> 1, tanh, 72 parameters), seed 42",
        "Loss: squared_error, mean over 72 samples of a step; optimizer sgd",
        "Along x: learning_rate[0], 0.001 to 1e+06, logarithmic",
        "Along y: learning_rate[1], 0.001 to 1e+06, logarithmic",
    ]
    share, about_boundary = expected.summary.replace("±", "+-").split("; ")
    assert lines[-4:-1] == ["Picture saved to talweg-map.png", share, about_boundary.capitalize()]
    assert lines[-1].startswith("Up to learning_rate[1] 3")
    assert is_png("talweg-map.png")


def test_as_json(run):
    line = "map --json --no-plot --resolution 32 --steps 30 --optimizer adam --seed 3 --batch 60"
    code, out, err = run(line)
    assert (code, err) == (0, "")
    about = json.loads(out)
    expected = tw.trainability_map(
        resolution=32, steps=30, optimizer=tw.Adam(0.05), seed=3, batch_size=60
    )
    assert about["converged"] == expected.converged.astype(int).tolist()
    assert about["share_converged"] == expected.converged.mean()
    assert about["x"]["values"] == expected.x.tolist()
    assert [about["y"][key] for key in ("setting", "low", "high", "scale")] == [
        "learning_rate[1]", 1e-3, 1e6, "log"
    ]  # fmt: skip
    assert (about["dimension"], about["dimension_error"]) == (
        expected.dimension.value,
        expected.dimension.error,
    )
    assert (about["finished"], about["summary"]) == (1.0, expected.summary)
    assert (about["optimizer"], about["steps"], about["batch"], about["seed"]) == (
        "adam",
        30,
        60,
        3,
    )
    assert (about["plots"], about["animation"], about["file"]) == ([], None, None)
    assert [path.name for path in Path().iterdir()] == ["curve.csv"]


# ---- the lesson and files -----------------------------------------------------------------------


def test_the_lesson(run):
    code, out, err = run("map --lesson --resolution 32 --json --plot lesson.svg")
    assert (code, err) == (0, "")
    expected = tw.trainability_map(
        lambda rng: tw.MLP(3, [4, 4, 1], rng=rng),
        tw.lesson_data(),
        ("learning_rate", 1e-3, 10.0),
        ("initial_scale", 0.1, 10.0),
        resolution=32,
        reduction="sum",
    )
    assert json.loads(out)["converged"] == expected.converged.astype(int).tolist()
    assert json.loads(out)["network"] == "MLP(3 -> 4 -> 4 -> 1, tanh, 41 parameters)"
    assert json.loads(out)["plots"] == ["lesson.svg"]
    assert Path("lesson.svg").read_bytes().startswith(b"<?xml")


def test_a_file(run):
    code, out, err = run("map curve.csv --target y --hidden 3 --resolution 16 --json --no-plot")
    assert (code, err) == (0, "")
    settings = ProblemSettings([3], "tanh", None, seed=1)
    prepared = prepare(tw.Dataset.from_file("curve.csv", "y"), settings)
    expected = tw.trainability_map(
        prepared.network,
        prepared.training.samples,
        ("learning_rate", 1e-3, 100.0),
        ("initial_scale", 0.1, 10.0),
        resolution=16,
        optimizer=tw.Adam(0.02),
        seed=1,
    )
    assert json.loads(out)["converged"] == expected.converged.astype(int).tolist()
    assert json.loads(out)["file"] == "curve.csv"


def test_axes_and_the_learning_rate_that_no_axis_has(run):
    line = "map --lesson --x momentum,0,0.9 --y initial-scale[1],0.5,4,linear --lr 0.2"
    code, out, err = run(f"{line} --resolution 16 --json --no-plot")
    assert (code, err) == (0, "")
    expected = tw.trainability_map(
        lambda rng: tw.MLP(3, [4, 4, 1], rng=rng),
        tw.lesson_data(),
        ("momentum", 0.0, 0.9),
        ("initial_scale[1]", 0.5, 4.0, "linear"),
        resolution=16,
        reduction="sum",
        optimizer=tw.SGD(0.2),
    )
    about = json.loads(out)
    assert about["converged"] == expected.converged.astype(int).tolist()
    assert 0.0 < about["share_converged"] <= 1.0
    assert (about["x"]["scale"], about["y"]["scale"]) == ("linear", "linear")
    assert about["about_learning_rates"] == ""  # there is none


def test_engine_mode_and_threads_do_not_change_exact_bits(run):
    line = "map --lesson --resolution 8 --steps 9 --no-plot --json"
    eager = run(f"{line} --engine eager")[1]
    exact = run(f"{line} --engine native --mode exact --threads 2")[1]
    assert json.loads(eager)["fallback_reason"] == "the eager engine was requested"
    assert json.loads(exact)["fallback_reason"] == ""
    assert (outcomes(eager) == outcomes(exact)).all()
    words = run("map --lesson --resolution 8 --steps 9 --no-plot --engine eager")[1]
    assert "Runs were made one by one: the eager engine was requested" in words


def test_if_nothing_converges_the_code_is_3(run):
    code, out, _ = run("map --resolution 8 --x learning_rate,1e5,1e6 --y initial_scale,1,2")
    assert code == 3
    assert "0 % of the runs converged" in out
    assert "Up to" not in out


# ---- zoom ------------------------------------------------------------------------------


def test_zoom_at_a_point(run):
    code, out, err = run("map --zoom 4 --at 10,40 --resolution 32 --json --colours published")
    assert (code, err) == (0, "")
    expected = tw.trainability_map(resolution=32).zoom(10.0, 40.0, 4)
    about = json.loads(out)
    assert about["converged"] == expected.converged.astype(int).tolist()
    assert about["x"]["values"] == expected.x.tolist()
    assert (about["x"]["low"], about["x"]["high"]) == (1e-3, 1e6)
    assert is_png("talweg-map.png")


def test_a_zoom_prints_the_part_that_it_shows(run):
    _, out, _ = run("map --zoom 4 --at 10,40 --resolution 32 --no-plot")
    part = tw.trainability_map(resolution=32).zoom(10.0, 40.0, 4)
    low, high = float(part.x[0]), float(part.x[-1])
    shown = f"{low:.3g} to {high:.3g}, logarithmic; of 0.001 to 1e+06"
    assert f"Along x: learning_rate[0], {shown}" in out.splitlines()


def test_animate(run):
    code, out, err = run("map --resolution 32 --animate zoom.gif --doublings 1 --no-plot")
    assert (code, err) == (0, "")
    assert "Animation saved to zoom.gif" in out
    with Image.open("zoom.gif") as animation:
        assert (animation.n_frames, animation.size) == (13, (16, 16))


# ---- Ctrl-C and the store -----------------------------------------------------------------------


def test_ctrl_c_saves_the_points_so_far_and_the_store_is_continued(run, filling):
    filling.interrupt(1024)
    line = "map --resolution 64 --store points --animate a.gif --doublings 1 --json"
    code, out, err = run(line)
    assert code == 130
    about = json.loads(out)
    assert (about["finished"], about["dimension"]) == (0.25, None)
    assert is_png("talweg-map.png")
    assert (about["animation"], Path("a.gif").exists()) == (None, False)
    assert err == (
        "talweg: interrupted: 25 % of the points were computed; the same command continues with "
        "those in --store\n"
    )
    code, out, err = run("map --resolution 64 --store points --json")
    assert (code, err) == (0, "")
    assert filling.computed == [1024, 3072]
    whole = tw.trainability_map(resolution=64)
    assert json.loads(out)["converged"] == whole.converged.astype(int).tolist()


def test_ctrl_c_as_text(run, filling):
    filling.interrupt(256)
    code, out, err = run("map --resolution 64 --store points")
    assert (code, err.count("\n")) == (130, 1)
    lines = out.splitlines()
    assert lines[-4] == "Points saved to points"
    assert lines[-3].startswith("6 % computed; ")
    assert lines[-2] == "Its boundary is not computed yet"


def test_ctrl_c_before_the_first_point(run, monkeypatch):
    def refine(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(map_result, "refine", refine)
    code, out, err = run("map --resolution 8 --json")
    assert (code, err) == (130, "talweg: interrupted: 0 % of the points were computed\n")
    about = json.loads(out)
    assert about["converged"] == [[None] * 8] * 8
    assert about["plots"] == []
    assert not Path("talweg-map.png").exists()


def test_ctrl_c_during_a_zoom(run, filling):
    filling.interrupt(64, which=1)
    code, out, err = run("map --resolution 32 --zoom 8 --json")
    assert code == 130
    about = json.loads(out)
    assert about["finished"] < 1.0
    assert about["x"]["values"][-1] / about["x"]["values"][0] < 20.0
    assert err.startswith("talweg: interrupted: ")


def test_ctrl_c_during_an_animation(run, monkeypatch):
    def write(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("talweg.plotting.zoom.write_animation", write)
    code, out, err = run("map --resolution 8 --animate a.gif --doublings 1")
    assert (code, err) == (130, "talweg: interrupted: there is no animation\n")
    assert "Picture saved" in out


# ---- the threshold ------------------------------------------------------------------------------


def made(measures, y=("initial_scale", 1.0, 2.0)):
    """A map whose measures are a function of x, from 0.01 to 100, and of y."""
    plane = Plane(parse_axis(("learning_rate", 0.01, 100.0), "x"), parse_axis(y, "y"))
    window, evaluator = Window(5, 0, 0, 32, 32), serial_evaluator(measures)
    return map_result.compute_map(Pyramid(plane), window, evaluator, steps=1)


def test_the_threshold_is_the_rate_with_the_best_separation():
    clear = made(lambda xs, ys: np.where(xs < 1.0, -5.0, 5.0))
    last = f"{clear.x[clear.x < 1.0][-1]:.3g}"
    assert describe_threshold(clear) == (
        f"Up to learning_rate {last}: 100 % of the runs converged; above: 0 %"
    )
    half = made(lambda xs, ys: np.where((xs < 1.0) | (ys < 1.5), -5.0, 5.0))
    assert describe_threshold(half) == (
        f"Up to learning_rate {last}: 100 % of the runs converged; above: 50 %"
    )


def test_of_two_axes_the_one_with_the_better_separation_has_the_threshold():
    by_y = made(
        lambda xs, ys: np.where((ys < 1.0) ^ (xs > 99.0), -5.0, 5.0),
        ("learning_rate[1]", 0.01, 100.0),
    )
    assert describe_threshold(by_y).startswith("Up to learning_rate[1] 0.75")


@pytest.mark.parametrize(
    "measures",
    [
        lambda xs, ys: np.full(len(xs), -5.0),
        lambda xs, ys: np.full(len(xs), 5.0),
        lambda xs, ys: np.where(xs < 1.0, 5.0, -5.0),
        lambda xs, ys: np.where(ys < 1.5, 5.0, -5.0),
    ],
    ids=["all", "none", "large rates only", "not by rate"],
)
def test_there_is_no_threshold_where_rates_do_not_separate_runs(measures):
    assert describe_threshold(made(measures)) == ""


# ---- errors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--x lr", "--x takes NAME,LOW,HIGH or NAME,LOW,HIGH,SCALE, such as"),
        ("--x learning_rate,low,1", "--x takes NAME,LOW,HIGH or NAME,LOW,HIGH,SCALE"),
        ("--y momentum,0,1,linear,2", "--y takes NAME,LOW,HIGH,SCALE and no more"),
        ("--y momentum,0,1,cubic", '--y: the scale must be "log" or "linear", got \'cubic\''),
        ("--y momentum,0,1,log", "--y: a logarithmic axis must start above 0, this one"),
        (
            "--x learning_rate,3,1",
            "--x must be a range from a low number to a higher one, got",
        ),
        ("--x learning_rate,0,inf", "--x: both ends must be finite numbers, got inf"),
        ("--x tempo,0,1", "--x: 'tempo' is no setting of a run with SGD; there are learning_rate"),
        ("--x momentum,0,1 --optimizer adam", "--x: 'momentum' is no setting of a run with Adam"),
        ("--x learning_rate[2],0,1", "learning_rate[2] names layer 2, but the model has 2 layers"),
        ("--x learning_rate[1],0,1", "--y: learning_rate[1] is the setting along x too"),
        ("--y momentum[0],0,1", "--y: momentum is the same for all layers"),
        ("--zoom 2 --at 1,1e7", "--at 1,1e7 is not on the map: learning_rate[1] is mapped from"),
        ("--zoom 2 --at nan,1", "--at nan,1 is not on the map"),
        ("--zoom 2 --at 1", "--at takes X,Y, two numbers, got '1'"),
        ("--at 1,1", "--at is the point of a zoom; give --zoom or --animate too"),
        ("--zoom 3", "--zoom must be a power of two, such as 16, got 3"),
        ("--zoom 0", "--zoom must be a power of two"),
        ("--doublings 3", "--doublings is for an animation; give --animate too"),
        (
            "--animate a.gif --doublings 0",
            "--doublings: expected an integer of at least 1, got '0'",
        ),
        ("--animate a.mp4", "the file of --animate is saved as .gif, .webp"),
        ("--lesson curve.csv", "--lesson and a file contradict each other"),
        ("curve.csv", "curve.csv: name the column to predict with --target, one of x, y"),
        ("--target y", "--target is for a file; name it: talweg map FILE --target COLUMN\n"),
        ("--kind regression", "--kind is for a file; name it: talweg map FILE --target COLUMN\n"),
        ("--lesson --target y", "--target is for a file; name it: talweg map FILE"),
        ("--hidden 4", "--hidden is for a file; name it: talweg map FILE --target COLUMN, or --l"),
        ("--loss hinge", "--loss is for a file"),
        ("--lesson --loss cross_entropy", "--loss takes squared_error or hinge"),
        ("--resolution 100", "--resolution must be a power of two from 8 to 16384, got 100"),
        ("--resolution 4", "--resolution must be a power of two"),
        ("--steps 0", "--steps: expected an integer of at least 1, got '0'"),
        ("--batch 0", "--batch: expected an integer of at least 1, got '0'"),
        ("--threads 0", "--threads: expected an integer of at least 1, got '0'"),
        ("--lesson --lr 0.1", "--lr is for maps without learning_rate along --x or --y"),
        ("--colours mud", "--colours: unknown colours 'mud'"),
        ("--plot a.gif", "'a.gif' ends in '.gif'"),
        ("--plot a.png --no-plot", "--plot and --no-plot contradict each other"),
        ("--store curve.csv --resolution 8", "curve.csv is a file; the store of a map is a folder"),
        ("--animate a.gif --doublings 60 --resolution 8 --no-plot", "--doublings: 60 lead to"),
        (
            "--lesson --x learning_rate,1e-3,2e-3 --y initial_scale,1,1.1 --resolution 8 --zoom 4",
            "this map has no boundary to zoom into; give a point with --at X,Y",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(run, line, message):
    code, out, err = run(f"map {line}")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["curve.csv"]


def test_the_store_of_another_map_is_refused(run):
    run("map --resolution 8 --store points --no-plot")
    code, out, err = run("map --resolution 8 --store points --no-plot --steps 7")
    assert (code, out) == (2, "")
    assert "points is the store of another map: steps" in err
    assert "give another --store" in err
