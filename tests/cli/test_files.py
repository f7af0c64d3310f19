"""`talweg train FILE` and `talweg predict`: from a CSV file to a model and its predictions."""

import csv
import json
import math
import random
from pathlib import Path

import pytest

import talweg as tw


@pytest.fixture(autouse=True)
def files(tmp_path):
    """The files of this module, in the folder of the commands."""
    write_csv(tmp_path / "moons.csv", ["x", "y", "side"], moons())
    write_csv(tmp_path / "line.csv", ["id", "a", "b", "z"], line())


def write_csv(path, header, rows):
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def read_csv(text):
    return list(csv.reader(text.splitlines()))


def moons():
    """Two half circles: three decimals, and no straight line between them."""
    rng = random.Random(3)
    for i in range(80):
        angle, upper = rng.uniform(0.0, math.pi), i % 2
        x, y = math.cos(angle), math.sin(angle)
        x, y = (x, y) if upper else (1.0 - x, 0.4 - y)
        yield f"{x + rng.gauss(0, 0.08):.3f}", f"{y:.3f}", "upper" if upper else "lower"


def line():
    """z = 3000 a - 500 b + 20000, on scales far from 1."""
    rng = random.Random(4)
    for i in range(60):
        a, b = rng.uniform(50.0, 90.0), rng.uniform(-4.0, 4.0)
        yield i, f"{a:.2f}", f"{b:.3f}", f"{3000 * a - 500 * b + 20000:.0f}"


def real_data(name, target):
    """A data set of scikit-learn as the CSV file that a user would have."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    names = [str(name) for name in bunch.feature_names]
    rows = [[*x, bunch.target_names[y]] for x, y in zip(bunch.data, bunch.target, strict=True)]
    write_csv(f"{name}.csv", [*names, target], rows)
    return bunch


def document(out):
    return json.loads(out)


# ---- training ---------------------------------------------------------------------------------


def test_iris_from_csv_to_predictions(run):
    bunch = real_data("iris", "species")
    code, out, err = run("train iris.csv --target species")
    assert (code, err) == (0, "")
    assert "iris.csv: 150 rows, 4 inputs" in out
    assert "(classification): setosa (50 rows), versicolor" in out
    assert "Network: MLP(4 -> 16 -> 3, tanh, output linear, 131 parameters)" in out
    assert "Loss: cross_entropy" in out
    parts = {row[0]: row[1:] for line in out.splitlines() if len(row := line.split()) > 3}
    assert (parts["training"][0], parts["validation"][0]) == ("120", "30")
    assert float(parts["validation"][2]) >= 95.0
    confusion = [[int(n) for n in parts[name]] for name in bunch.target_names]
    assert [sum(row) for row in confusion] == [10, 10, 10]  # equal shares of each class
    hits = sum(row[i] for i, row in enumerate(confusion))
    assert float(parts["validation"][2]) == round(100 * hits / 30, 2)
    for name in ("talweg-train.png", "talweg-train-predictions.png", "talweg-model.safetensors"):
        assert name in out
        assert Path(name).stat().st_size > 1000

    code, out, err = run("predict talweg-model.safetensors iris.csv")
    assert code == 0
    table = read_csv(out)
    assert table[0] == ["row", "prediction"]
    assert [row[0] for row in table[1:]] == [str(i) for i in range(1, 151)]
    true = [bunch.target_names[y] for y in bunch.target]
    right = sum(row[1] == name for row, name in zip(table[1:], true, strict=True))
    assert right >= 0.95 * 150
    told = f"accuracy {right / 150:.2%} ({right} of 150) against the column 'species'"
    assert err == f"talweg: {told}\n"


@pytest.mark.slow
def test_breast_cancer_reaches_95_percent(run):
    real_data("breast_cancer", "diagnosis")
    # Fewer than the default of 200 steps, to save time.
    words = "--steps 80 --no-plot --no-save --json"
    code, out, err = run(f"train breast_cancer.csv --target diagnosis {words}")
    assert (code, err) == (0, "")
    about = document(out)
    assert (about["kind"], about["loss"]) == ("classification", "binary_cross_entropy")
    assert about["network"].startswith("MLP(30 -> 16 -> 1,")
    assert about["validation"]["accuracy"] >= 0.95
    assert about["training"]["rows"] + about["validation"]["rows"] == about["rows"] == 569


def test_regression_in_the_targets_own_unit(run):
    code, out, err = run("train line.csv --target z --ignore id --json --save z.safetensors")
    assert (code, err) == (0, "")
    about = document(out)
    assert (about["kind"], about["loss"], about["inputs"]) == (
        "regression", "squared_error", ["a", "b"]
    )  # fmt: skip
    assert about["classes"] == []
    assert about["confusion_matrix"] is None
    assert about["validation"]["r_squared"] > 0.95
    assert about["plots"] == ["talweg-train.png", "talweg-train-predictions.png"]
    assert all(Path(path).is_file() for path in about["plots"])

    code, out, err = run("predict z.safetensors line.csv --output with.csv")
    assert code == 0
    assert out == "60 predictions saved to with.csv\n"
    assert err.startswith("talweg: R2 0.9")
    before, after = read_csv(Path("line.csv").read_text()), read_csv(Path("with.csv").read_text())
    assert [row[:-1] for row in after] == before
    assert after[0][-1] == "prediction"
    for row in after[1:]:
        assert float(row[-1]) == pytest.approx(float(row[-2]), abs=30_000)


def test_scaling_comes_from_the_training_part_alone(run):
    run("train line.csv --target z --ignore id --seed 5 --validation 0.3 --steps 2 --no-plot")
    training, _ = tw.Dataset.from_csv("line.csv", "z", ignore=["id"]).split(0.3, 5)
    predictor = tw.Predictor.load("talweg-model.safetensors")
    assert predictor.inputs == training.input_scaling()
    assert predictor.targets == training.target_scaling()


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [("binary_cross_entropy", 1), ("hinge", 1), ("squared_error", 1), ("cross_entropy", 2)],
)
def test_each_loss_separates_two_classes(run, loss, outputs):
    command = f"train moons.csv --target side --loss {loss} --steps 150 --lr 0.05 --json --no-plot"
    code, out, _ = run(command)
    about = document(out)
    assert code == 0
    assert about["loss"] == loss
    assert about["network"].startswith(f"MLP(2 -> 16 -> {outputs},")
    assert about["training"]["accuracy"] > 0.9
    _, out, err = run("predict talweg-model.safetensors moons.csv --json")
    scores = [about[part]["accuracy"] * about[part]["rows"] for part in ("training", "validation")]
    assert document(out)["accuracy"] == pytest.approx(sum(scores) / 80)
    assert err.startswith("talweg: accuracy ")


def test_training_on_a_file_uses_all_options(run):
    words = "--hidden 5,3 --activation relu --optimizer sgd --lr 0.1 --batch 7 --seed 9 --steps 11"
    _, out, _ = run(f"train moons.csv --target side {words} --validation 0.25 --json --no-plot")
    about = document(out)
    data = tw.Dataset.from_csv("moons.csv", "side")
    training, validation = data.split(0.25, 9)
    scaling = training.input_scaling()
    model = tw.MLP(2, [5, 3, 1], "relu", "linear", rng=random.Random(9), scale="fan_in")
    history = tw.train(
        model,
        training.standardise(scaling),
        loss=tw.losses.binary_cross_entropy,
        reduction="mean",
        optimizer=tw.SGD(0.1),
        steps=11,
        batch_size=7,
        seed=9,
        validation=validation.standardise(scaling),
    )
    assert about["losses"] == history.losses
    assert [tuple(pair) for pair in about["validation_losses"]] == history.validation_losses


def test_patience_stops_early_with_a_verdict(run):
    code, out, _ = run("train moons.csv --target side --patience 1 --lr 0.5 --no-plot --no-save")
    assert code == 0
    assert "Verdict: stopped before step" in out


@pytest.mark.parametrize(
    ("file", "target", "words"),
    [("moons.csv", "side", "fill-opacity"), ("line.csv", "z", "R² = ")],
)
def test_the_second_picture_is_saved_in_the_folder_of_the_first(run, file, target, words):
    Path("out").mkdir()
    run(f"train {file} --target {target} --steps 3 --plot out/a.svg --no-save")
    assert sorted(p.name for p in Path("out").iterdir()) == ["a-predictions.svg", "a.svg"]
    assert words in Path("out/a-predictions.svg").read_text()


def test_a_confusion_matrix_too_wide_for_the_terminal_is_not_printed(run):
    names = [f"a class with a long name, {i}" for i in range(6)]
    write_csv("many.csv", ["x", "class"], [[i, names[i % 6]] for i in range(36)])
    code, out, _ = run("train many.csv --target class --steps 2 --hidden none --no-save")
    assert code == 0
    assert "The confusion matrix of 6 classes is too wide to print" in out
    assert "MLP(1 -> 6," in out
    assert max(len(text.rstrip()) for text in out.splitlines()) <= 80


def test_control_characters_in_names_are_escaped(run):
    names = ["red \x1b[31m", "bell \x07"]
    write_csv("evil.csv", ["x\x1b[2J", "c"], [[i, names[i % 2]] for i in range(20)])
    code, out, err = run("train evil.csv --target c --steps 2 --no-save")
    assert code == 0
    assert "\x1b" not in out + err
    assert "\x07" not in out + err
    assert r"red \x1b[31m" in out


def test_a_divergence_exits_3_and_does_not_replace_the_model(run):
    Path("talweg-model.safetensors").write_text("a good model")
    words = "train line.csv --target z --optimizer sgd --lr 1e200"
    code, out, _ = run(words)
    assert code == 3
    assert "Verdict: diverged at step 2" in out
    assert "not saved" in out
    assert Path("talweg-model.safetensors").read_text() == "a good model"
    code, out, _ = run(f"{words} --json")
    assert code == 3
    assert document(out)["status"] == "diverged"
    assert document(out)["model"] is None
    assert "NaN" not in out
    assert "Infinity" not in out


def test_a_constant_column_is_one_warning(run):
    write_csv("constant.csv", ["x", "same", "y"], [[i, 1, 2.5 * i] for i in range(20)])
    code, _, err = run("train constant.csv --target y --steps 2 --no-save --no-plot --json")
    assert code == 0
    assert err.startswith("talweg: warning: constant.csv: the number is the same in every row")
    assert "--ignore same\n" in err
    assert err.count("\n") == 1


# ---- predicting -------------------------------------------------------------------------------


@pytest.fixture
def digit_model(run):
    """A model whose classes are the numbers 1 and 2.5, by the sign of its one input."""
    model = tw.MLP(1, [1], output="linear", rng=random.Random(0))
    model.load_state_dict({"layers.0.neurons.0.w.0": 1.0, "layers.0.neurons.0.b": 0.0})
    tw.Predictor(model, ["x"], "y", classes=["1", "2.5"]).save("digit.safetensors")
    return run


def test_predict_compares_classes_that_are_numbers(digit_model):
    write_csv("some.csv", ["y", "x"], [["1.0", -3], ["2.50", 4], ["1", 2]])
    code, out, err = digit_model("predict digit.safetensors some.csv")
    assert code == 0
    assert out == "row,prediction\n1,1\n2,2.5\n3,2.5\n"
    assert err == "talweg: accuracy 66.67% (2 of 3) against the column 'y'\n"


def test_predict_one_row_of_a_parquet_file(digit_model):
    import polars as pl

    pl.DataFrame({"x": [0.5], "y": [2.5]}).write_parquet("one.parquet")
    code, out, err = digit_model("predict digit.safetensors one.parquet --json")
    assert code == 0
    assert document(out)["predictions"] == ["2.5"]
    assert document(out)["accuracy"] == 1.0
    assert err.count("\n") == 1


def test_predict_without_targets_or_with_gaps(digit_model):
    write_csv("none.csv", ["x", "other"], [[1, "text"]])
    assert digit_model("predict digit.safetensors none.csv") == (0, "row,prediction\n1,2.5\n", "")
    write_csv("gap.csv", ["x", "y"], [[1, "1"], [1, ""]])
    code, out, err = digit_model("predict digit.safetensors gap.csv")
    assert (code, out) == (0, "row,prediction\n1,2.5\n2,2.5\n")
    assert err.startswith("talweg: warning: the predictions are not compared with the target: ")
    assert "line 3" in err


def test_predict_several_outputs(run):
    model = tw.MLP(1, [2], output="linear", rng=random.Random(0))
    tw.Predictor(model, ["x"], "both").save("two.safetensors")
    write_csv("x.csv", ["x"], [[0]])
    assert run("predict two.safetensors x.csv")[1] == "row,prediction_0,prediction_1\n1,0.0,0.0\n"


def test_validation_losses_decide_whether_a_run_diverged():
    """The losses of single rows differ by a factor of more than 10."""
    from talweg.cli.run_outcome import exit_code
    from talweg.training.history import History

    noisy = History(losses=[0.1, 3.0], validation_losses=[(1, 1.0), (3, 0.2)], status="finished")
    assert exit_code(noisy) == 0
    rising = History(losses=[0.1, 0.1], validation_losses=[(1, 1.0), (3, 50.0)], status="finished")
    assert exit_code(rising) == 3
