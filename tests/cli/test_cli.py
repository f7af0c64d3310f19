"""The commands `train` without a file, `sweep`, `graph`, `info`: what they print and save."""

import html
import json
import random
import tomllib
import warnings
from pathlib import Path

import pytest

import talweg as tw
from talweg.cli import console, options
from talweg.errors import DataWarning
from talweg.losses import LOSSES
from talweg.nn import ACTIVATIONS
from talweg.training import eager_executor

PNG = b"\x89PNG"


def document(out):
    """The one JSON document of an output, without the NaN that Python would accept."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(out, parse_constant=refuse)


def rows(out, columns):
    """The lines of that many words, all of them numbers."""
    found = [line.split() for line in out.splitlines()]
    return [row for row in found if len(row) == columns and all(map(is_number, row))]


def is_number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


# ---- the lesson -------------------------------------------------------------------------------


def test_train_shows_the_lesson(run):
    code, out, err = run("train")
    assert (code, err) == (0, "")
    assert rows(out, 5) == [
        ["0", "2.0", "3.0", "-1.0", "1.0"],
        ["1", "3.0", "-1.0", "0.5", "-1.0"],
        ["2", "0.5", "1.0", "1.0", "-1.0"],
        ["3", "1.0", "1.0", "-1.0", "1.0"],
    ]
    losses = dict(rows(out, 2))
    assert list(losses) == [str(step) for step in (1, *range(5, 51, 5))]
    assert (losses["1"], losses["10"], losses["50"]) == ("5.278844", "0.488259", "0.028227")
    assert rows(out, 3) == [
        ["0", "0.9461", "1.0000"],
        ["1", "-0.9023", "-1.0000"],
        ["2", "-0.9274", "-1.0000"],
        ["3", "0.9014", "1.0000"],
    ]
    assert "Picture saved to talweg-train.png" in out
    assert Path("talweg-train.png").read_bytes().startswith(PNG)
    assert [path.name for path in Path().iterdir()] == ["talweg-train.png"]


def test_train_as_json(run):
    code, out, err = run("train --json --no-plot")
    assert (code, err) == (0, "")
    about = document(out)
    assert len(about["losses"]) == about["steps"] == 50
    assert round(about["losses"][-1], 6) == 0.028227
    assert [round(p, 4) for p in about["predictions"]] == [0.9461, -0.9023, -0.9274, 0.9014]
    assert about["targets"] == [1.0, -1.0, -1.0, 1.0]
    assert (about["status"], about["plots"], about["model"]) == ("finished", [], None)
    assert not list(Path().iterdir())


LESSONS = [
    # options, and the same in Python: network, optimiser, more for train()
    ("--lr 0.1", {}, tw.SGD(0.1), {}),
    ("--steps 7", {}, tw.SGD(0.05), {"steps": 7}),
    ("--seed 3", {"seed": 3}, tw.SGD(0.05), {}),
    ("--seed -3", {"seed": -3}, tw.SGD(0.05), {}),
    ("--optimizer adam --lr 0.02", {}, tw.Adam(0.02), {}),
    ("--optimizer adamw", {}, tw.AdamW(0.05), {}),
    ("--optimizer rmsprop --lr 1e-2", {}, tw.RMSprop(0.01), {}),
    ("--hidden 5", {"nouts": [5, 1]}, tw.SGD(0.05), {}),
    ("--hidden none", {"nouts": [1]}, tw.SGD(0.05), {}),
    ("--activation relu", {"activation": "relu"}, tw.SGD(0.05), {}),
    ("--loss hinge", {}, tw.SGD(0.05), {"loss": tw.losses.hinge}),
    ("--batch 3", {}, tw.SGD(0.05), {"batch_size": 3}),
]


@pytest.mark.parametrize(
    ("line", "network", "optimizer", "more"), LESSONS, ids=[line for line, *_ in LESSONS]
)
def test_train_takes_options(run, line, network, optimizer, more):
    seed = network.get("seed", 42)
    model = tw.MLP(
        3,
        network.get("nouts", [4, 4, 1]),
        network.get("activation", "tanh"),
        "tanh",
        rng=random.Random(seed),
    )
    history = tw.train(model, tw.lesson_data(), optimizer=optimizer, seed=seed, **more)
    code, out, _ = run(f"train {line} --no-plot --json")
    assert code == 0
    assert document(out)["losses"] == history.losses


def test_long_runs_print_about_twenty_losses(run):
    _, out, _ = run("train --steps 1003 --no-plot")
    steps = [int(step) for step, _ in rows(out, 2)]
    assert (steps[0], steps[1], steps[-1], len(steps)) == (1, 50, 1003, 22)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_picture_is_saved_at_the_given_path(run, suffix):
    Path("deep er").mkdir()
    code, out, _ = run(["train", "--plot", f"deep er/loss{suffix}"])
    assert code == 0
    assert f"Picture saved to deep er/loss{suffix}" in out
    start = {".png": PNG, ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert Path(f"deep er/loss{suffix}").read_bytes().startswith(start)


def test_saved_lesson_predicts_the_same(run):
    _, out, _ = run("train --json --no-plot --save lesson.safetensors")
    about = document(out)
    assert about["model"] == "lesson.safetensors"
    predictor = tw.Predictor.load("lesson.safetensors")
    assert predictor.predict(tw.lesson_data().inputs) == about["predictions"]


def test_a_diverged_lesson_has_a_verdict_and_exit_code_3(run):
    Path("old.safetensors").write_text("a good model")
    code, out, err = run("train --activation relu --lr 1e300 --save old.safetensors")
    assert (code, err) == (3, "")
    assert "Verdict: diverged at step 2" in " ".join(out.split())
    assert "try a smaller learning rate" in " ".join(out.split())
    assert "clip_norm" not in out  # which is not an option
    assert Path("old.safetensors").read_text() == "a good model"


def test_an_interrupted_lesson_reports_and_saves_the_steps_made(run, interrupt_at_step):
    interrupt_at_step(7)
    code, out, err = run("train")
    assert (code, err) == (130, "")
    assert "Verdict: interrupted after 6 of 50 steps" in out
    assert [step for step, _ in rows(out, 2)] == ["1", "5", "6"]
    assert Path("talweg-train.png").is_file()


@pytest.mark.parametrize("command", ["train", "sweep", "train --json", "sweep --json"])
def test_interrupted_before_the_first_step(run, interrupt_at_step, command):
    interrupt_at_step(1)
    code, out, err = run(command)
    assert code == 130
    sweep = "talweg: interrupted: 0 of 4 runs were finished\n"
    assert err == (sweep if "sweep" in command else "")
    assert not list(Path().iterdir())
    if "--json" in command:
        document(out)


@pytest.fixture
def interrupt_at_step(monkeypatch):
    """Ctrl-C in the middle of a step: when `train` asks for its learning rate."""

    def at(number):
        calls = iter(range(1, 1000))

        def rate(lr, step):
            if next(calls) == number:
                raise KeyboardInterrupt
            return lr

        monkeypatch.setattr(eager_executor, "rate_at", rate)

    return at


# ---- sweep ------------------------------------------------------------------------------------


def test_sweep_of_the_lesson_prints_its_losses(run):
    code, out, err = run("sweep")
    assert (code, err) == (0, "")
    table = [line.split(maxsplit=4) for line in out.splitlines() if is_number(line[:8])]
    assert [row[:3] for row in table] == [
        ["0.001", "5.278844", "3.346645"],
        ["0.01", "5.278844", "0.401654"],
        ["0.1", "5.278844", "0.011888"],
        ["1", "5.278844", "8.000000"],
    ]
    assert [row[4].strip() for row in table][2:] == [
        "converged to 0.01189",
        "stuck at 8, above the start",
    ]
    assert out.splitlines()[-1] == (
        "Best rate 0.1; stable up to 0.1; at 1 it gets stuck, not unstable"
    )
    assert "Rate 1 is 2.88 times the limit at the start, 0.348: expect a spike first" in out
    assert Path("talweg-sweep.png").read_bytes().startswith(PNG)


def test_sweep_as_json_with_seeds(run):
    code, out, err = run("sweep --lr 0.05,0.1 --seed 1,42 --steps 9 --optimizer adam --json")
    assert (code, err) == (0, "")
    about = document(out)
    result = tw.sweep(
        lambda rng: tw.MLP(3, [4, 4, 1], rng=rng),
        tw.lesson_data(),
        [0.05, 0.1],
        seeds=[1, 42],
        steps=9,
        optimizer=tw.Adam,
    )
    assert [(r["learning_rate"], r["seed"]) for r in about["runs"]] == [
        (0.05, 1), (0.05, 42), (0.1, 1), (0.1, 42)
    ]  # fmt: skip
    assert [r["losses"] for r in about["runs"]] == result.losses.tolist()
    assert about["best_learning_rate"] == result.best.learning_rate
    assert about["plots"] == ["talweg-sweep.png"]


def test_sweep_prints_seeds_if_there_are_several(run):
    _, out, _ = run("sweep --lr 0.1 --seed 42,1 --steps 2 --no-plot")
    found = [line.split()[:3] for line in out.splitlines() if line.startswith("   0.1")]
    assert [row[1] for row in found] == ["42", "1"]


def test_sweep_in_which_all_diverge_exits_3(run, monkeypatch):
    # The lesson's network ends in a tanh, so its loss has an upper bound; this one's has not.
    network = lambda rng, *_: tw.MLP(3, [4, 1], "linear", rng=rng)  # noqa: E731
    monkeypatch.setattr("talweg.cli.lesson.network", network)
    code, out, _ = run("sweep --lr 1,2 --steps 30")
    assert code == 3
    assert out.count("diverged at step") == 2
    assert "No best rate: all diverged; stable nowhere" in out


# ---- explain ----------------------------------------------------------------------------------


def test_explain_shows_the_lesson_s_loops(run):
    code, out, err = run("explain")
    assert (code, err) == (0, "")
    assert out.startswith("# 304 operations, written as 29 in 6 loops\n")
    assert "\n        a[i,j] = tanh(w[4*j+3] + w[4*j]*x[3*i] + " in out
    assert out.endswith("return s3\n")


def test_explain_with_other_layers(run):
    _, out, _ = run("explain --hidden 16,16")
    assert "range(16)" in out
    assert run("explain --hidden 0")[0] == 2


# ---- graph and info ---------------------------------------------------------------------------


@pytest.mark.parametrize("sample", [0, 3])
def test_graph_draws_one_sample(run, sample):
    code, out, err = run(f"graph --sample {sample}")
    assert (code, err) == (0, "")
    model = tw.MLP(3, [4, 4, 1], rng=random.Random(42))
    x, y = list(tw.lesson_data())[sample]
    prediction = model(x)
    (prediction - y).__pow__(2.0).backward()
    assert f"prediction {prediction.data:.4f}, target {y:.4f}" in out
    picture = html.unescape(Path("talweg-graph.svg").read_text())
    nodes = picture.count('class="node"')
    assert f"has {nodes} nodes" in out
    for label in ("x0", "x2", "L0.n3.b", "L1.n0.w3", "L2.n0.b", "prediction: tanh", "loss: **"):
        assert label in picture
    assert f"grad {model.layers[0].neurons[1].w[2].grad:.4g}" in picture


def test_graph_as_dot(run):
    code, out, _ = run("graph --output g.dot")
    assert code == 0
    assert "Graph saved to g.dot" in out
    assert Path("g.dot").read_text().startswith("digraph")


def test_info(run):
    code, out, err = run("info")
    assert (code, err) == (0, "")
    about = document(run("info --json")[1])
    assert about["talweg"] == tw.__version__
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    required = [text.partition(">=")[0] for text in project["project"]["dependencies"]]
    assert list(about["dependencies"]) == [name.partition("[")[0] for name in required]
    printed = [row.split() for row in out.splitlines()]
    assert all([name, found] in printed for name, found in about["dependencies"].items())


# ---- help -------------------------------------------------------------------------------------


COMMANDS = (
    "train",
    "predict",
    "sweep",
    "sharpness",
    "lr-find",
    "map",
    "graph",
    "explain",
    "info",
)


def test_help_names_commands_and_exit_codes(run):
    for line in ("", "--help", "-h"):
        code, out, err = run(line)
        assert (code, err) == (0, "")
        found = [row.split()[0] for row in out.splitlines() if row.startswith("  ")]
        assert all(command in found for command in COMMANDS)
        assert [word for word in found if word.isdigit()] == ["0", "1", "2", "3", "130", "141"]
        assert "Examples:" in out


def test_each_command_is_listed_with_the_first_sentence_of_its_help(run):
    _, listed, _ = run("--help")
    listed = " ".join(listed.split())
    for command in COMMANDS:
        sentence = run(f"{command} --help")[1].split("\n\n")[1]
        assert f" {command} {' '.join(sentence.split())} " in listed


TRAINING_COMMANDS = ("train", "sweep", "sharpness", "lr-find", "map")


@pytest.mark.parametrize("command", TRAINING_COMMANDS)
def test_help_has_the_same_groups_in_each_command_that_trains(run, command):
    _, out, _ = run(f"{command} --help")
    titles = [line[:-1] for line in out.splitlines() if line.endswith(":") and line[0] != " "]
    own = {"sweep": ["Execution"], "map": ["Map", "Execution"]}.get(command, [])
    expected = ["Data", "Model", "Map", "Training", "Execution", "Output", "Examples", "Exit codes"]
    assert titles == [t for t in expected if t not in {"Map", "Execution"} or t in own]
    assert f"talweg-{command}.png" in out
    option = {"train": "the learning rate. Unless given: 0.05; with a file, 0.02."}.get(command, "")
    assert option in " ".join(out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_option_has_a_help_text(run, command):
    code, out, err = run(f"{command} --help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: talweg {command}")
    for line in out.splitlines():
        if line.startswith("  --"):
            assert len(line.split("  ", 2)[2].strip()) > 5, line


def test_version(run):
    assert run("--version") == (0, f"{tw.__version__}\n", "")


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize(
    "line",
    [
        "--help",
        *(f"{command} --help" for command in COMMANDS),
        "train",
        "sweep",
        "lr-find",
        "map --resolution 32",
        "map --lesson --resolution 32 --zoom 2",
        "graph",
    ],
)
def test_lines_are_not_longer_than_the_terminal_is_wide(run, monkeypatch, line, width):
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = run(line)
    assert max(len(text.rstrip()) for text in out.splitlines()) <= width
    assert all(c.isprintable() or c == "\n" for c in out)
    assert out.isascii()


# ---- text ------------------------------------------------------------------------------------


def test_choices_of_options_are_those_of_the_library():
    assert list(options.ActivationName.__args__) == list(ACTIVATIONS)
    assert list(options.LossName.__args__) == list(LOSSES)
    assert list(options.OptimizerName.__args__) == list(options.OPTIMIZERS)


def test_numbers_that_are_not_finite_become_null(capsys):
    console.print_json({"a": [float("nan"), 1.0, (float("-inf"),)], "b": {"c": float("inf")}})
    assert document(capsys.readouterr().out) == {"a": [None, 1.0, [None]], "b": {"c": None}}


def test_a_long_path_is_not_divided_and_control_characters_are_escaped(run, capsys):
    console.print_line("saved to " + "x" * 200 + " with \x1b[31m [bold]")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["saved to", "x" * 200]
    assert lines[-1].endswith(r"\x1b[31m [bold]")


def test_warnings_are_one_line_and_showwarning_is_restored(run, monkeypatch):
    before = warnings.showwarning

    def graph(*args, **kwargs):
        warnings.warn("a\nb\x1b", DataWarning, stacklevel=1)
        return 0

    monkeypatch.setattr("talweg.cli.graph.lesson_data", graph)
    code, _, err = run("graph")
    assert err.splitlines()[0] == r"talweg: warning: a b\x1b"
    assert code == 1  # lesson_data returns no data: an unexpected error
    assert err.splitlines()[1].startswith("talweg: TypeError: ")
    assert "please report it" in err
    assert len(err.splitlines()) == 2
    assert warnings.showwarning is before
