"""Every error of the command line is one line on standard error, with exit code 1 or 2."""

import json
import random
from pathlib import Path

import pytest

import talweg as tw
from talweg.cli import main

SMALL = "x,y,name\n1,2,a\n2,4,b\n3,6,a\n4,8,b\n5,10,a\n"

FILES = {
    "small.csv": SMALL,
    "text.csv": "x,y\n1,2\ntwo,4\n",
    "street.csv": "x,street,my street,y\n1,a,b,2\n2,c,d,4\n",
    "ragged.csv": "x,y\n1,2\n3\n",
    "empty.csv": "",
    "gap.csv": "x,y\n1,\n2,3\n",
    "nan.csv": "x,y\nnan,1\n2,3\n",
    "one.csv": "x,y\n1,2\n",
    "binary.csv": "x\0y",
    "same.csv": "x,c\n1,a\n2,a\n",
    "prediction.csv": "x,prediction\n1,2\n",
    "bad.safetensors": "not a model",
    "data.xlsx": "x",
}

ERRORS = [
    # the command, words of the line that it prints
    ("trian", ["Unknown command", '"trian"', 'Did you mean "train"?']),
    ("--lr 0.1", ["Unknown command", '"--lr"']),
    ("train --lrr 0.1", ["Unknown option: --lrr", "Did you mean --lr?"]),
    ("train --lr", ["--lr requires an argument"]),
    ("train --lr fast", ["--lr", '"fast"', "float"]),
    ("train --lr -1", ["--lr must be a finite number of at least 0, got -1.0"]),
    ("train --lr nan", ["--lr must be a finite number", "nan"]),
    ("train --lr 1 --lr 2", ["--lr specified multiple times"]),
    ("train --steps 1.5", ["--steps: expected an integer of at least 1, got '1.5'. Try"]),
    ("train --steps 0", ["--steps: expected an integer of at least 1, got '0'"]),
    ("train --batch -2", ["--batch: expected an integer of at least 1, got '-2'"]),
    ("train --optimizer adm", ['"adm"', "--optimizer", 'Did you mean "adam"?']),
    ("train --activation step", ['"step"', '"tanh"', '"relu"']),
    ("train --loss mse", ['"mse"', '"squared_error"']),
    ("train --loss cross_entropy", ["lesson's targets are -1 and 1", "hinge"]),
    ("train --hidden 4,x", ["--hidden takes integers separated by commas, got '4,x'"]),
    ("train --hidden 4,0", ["--hidden takes sizes of at least 1", "'4,0'"]),
    ("train --plot a.jpg", ["'a.jpg' ends in '.jpg'", "--plot", ".png, .svg, .pdf"]),
    ("train --plot nowhere/a.png", ["--plot nowhere/a.png: there is no folder 'nowhere'"]),
    ("train --plot folder.png", ["--plot folder.png: this is a folder"]),
    ("train --plot a.png --no-plot", ["--plot and --no-plot contradict each other"]),
    ("train --save model.csv", ["'model.csv' ends in '.csv'", "--save", ".safetensors"]),
    ("train --target y", ["--target is for a file", "talweg train FILE --target"]),
    ("train --ignore y", ["--ignore is for a file"]),
    ("train --kind regression", ["--kind is for a file"]),
    ("train --validation 0.5", ["--validation is for a file"]),
    ("train --patience 3", ["--patience is for a file"]),
    ("train small.csv", ["small.csv: name the column to predict with --target, one of x, y, name"]),
    ("train small.csv y", ["too many arguments: y"]),
    ("train nowhere.csv --target y", ["nowhere.csv: there is no such file"]),
    ("train folder.png --target y", ["folder.png: this is a folder"]),
    ("train data.xlsx --target y", ["data.xlsx: the suffix '.xlsx' is unknown", ".csv"]),
    ("train small.csv --target z", ["no column 'z'", "x, y, name"]),
    ("train small.csv --target y", ["text in name", "--ignore name"]),
    ("train small.csv --target y --ignore name,q", ["no column 'q'"]),
    ("train small.csv --target y --ignore name,x", ["no column is left as input"]),
    ("train street.csv --target y", ["--ignore 'street,my street'"]),
    ("train small.csv --target y --kind class", ['"class"', '"classification"']),
    ("train small.csv --target name --kind regression", ["line 2", "--kind classification"]),
    ("train small.csv --target name --loss cross_entropy --validation 2", ["--validation", "2.0"]),
    ("train small.csv --target y --ignore name --loss hinge", ["hinge", "use squared_error"]),
    ("train text.csv --target y", ["text.csv: line 3, column 'x': text 'two'"]),
    ("train ragged.csv --target y", ["ragged.csv: line 3: found 1 field, expected 2"]),
    ("train empty.csv --target y", ["empty.csv: the file is empty"]),
    ("train gap.csv --target y", ["gap.csv: line 2, column 'y': the cell is empty"]),
    ("train nan.csv --target y", ["nan.csv: line 2, column 'x'", "finite"]),
    ("train binary.csv --target y", ["binary.csv: this is a binary file"]),
    ("train same.csv --target c", ["'c' is 'a' in every row"]),
    ("predict", ["MODEL requires an argument"]),
    ("predict good.safetensors", ["FILE requires an argument"]),
    ("predict nowhere.safetensors small.csv", ["nowhere.safetensors: there is no such file"]),
    ("predict bad.safetensors small.csv", ["bad.safetensors: not a saved model"]),
    ("predict small.csv good.safetensors", ["small.csv: not a saved model"]),
    ("predict good.safetensors nowhere.csv", ["nowhere.csv: there is no such file"]),
    ("predict good.safetensors street.csv --output street.csv", ["street.csv", "file to read"]),
    ("predict good.safetensors text.csv", ["text.csv: line 3, column 'x': text 'two'"]),
    ("predict good.safetensors empty.csv", ["empty.csv: the file is empty"]),
    ("predict good.safetensors same.csv --output o.txt", ["'o.txt' ends in '.txt'", ".csv"]),
    ("predict good.safetensors prediction.csv --output o.csv", ["already", "'prediction'"]),
    ("predict other.safetensors small.csv", ["no column 'weight'", "x, y, name"]),
    ("sweep --lr 0.1,high", ["--lr takes numbers separated by commas, got '0.1,high'"]),
    ("sweep --lr 0.1,-1", ["--lr must be a finite number of at least 0"]),
    ("sweep --seed 1.5", ["--seed takes integers separated by commas, got '1.5'"]),
    ("sweep --steps 0", ["--steps: expected an integer of at least 1, got '0'"]),
    ("sweep --plot a.gif", ["'a.gif' ends in '.gif'"]),
    ("graph --sample 0.5", ["--sample: expected an integer, got '0.5'"]),
    ("graph --sample 4", ["--sample takes 0 to 3, got 4"]),
    ("graph --output g.png", ["'g.png' ends in '.png'", ".svg, .dot"]),
    ("info extra", ["too many arguments: extra"]),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    Path("folder.png").mkdir()
    for name, column in (("good", "x"), ("other", "weight")):
        model = tw.MLP(1, [1], output="linear", rng=random.Random(0))
        tw.Predictor(model, [column], "target").save(f"{name}.safetensors")
    return tmp_path


@pytest.mark.parametrize(("line", "words"), ERRORS, ids=[line for line, _ in ERRORS])
def test_wrong_usage_is_one_line_and_code_2(folder, capsys, line, words):
    before = sorted(folder.iterdir())
    code = main(line.split())
    out, err = capsys.readouterr()
    assert code == 2
    assert err.startswith("talweg: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert all(word in err for word in words), err
    assert out == ""
    assert "=" not in err.replace("'='", "")  # no argument of Python
    assert sorted(folder.iterdir()) == before


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_training(folder, capsys):
    # Root has the permission to write to /proc; only a trial shows that the file system refuses.
    code = main(["train", "--plot", "/proc/loss.png"])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert "/proc/loss.png" in err
    assert err.count("\n") == 1


def test_a_file_that_cannot_be_written_is_code_1_after_the_report(folder, capsys, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("talweg.plotting.figure.write_whole", full)
    code = main(["train", "--plot", "loss.png"])
    out, err = capsys.readouterr()
    assert code == 1
    assert "0.028227" in out
    assert err == "talweg: loss.png: No space left on device\n"


def test_a_file_of_one_row_cannot_be_split(folder, capsys):
    assert main(["train", "one.csv", "--target", "y"]) == 2
    err = capsys.readouterr().err
    assert err == ("talweg: cannot split: there is only one row in the data set; two are needed\n")


def test_with_json_an_error_prints_nothing_on_standard_output(folder, capsys):
    assert main(["train", "small.csv", "--json"]) == 2
    assert capsys.readouterr().out == ""
    assert main(["train", "--json", "--no-plot"]) == 0
    json.loads(capsys.readouterr().out)


def test_an_unexpected_error_is_one_line_with_a_traceback_on_request(folder, capsys, monkeypatch):
    def broken():
        raise ZeroDivisionError("a bug\nin two lines")

    monkeypatch.setattr("talweg.cli.graph.lesson_data", broken)
    assert main(["graph"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(
        "talweg: ZeroDivisionError: a bug in two lines; this is a fault of talweg"
    )
    assert err.count("\n") == 1
    monkeypatch.setenv("TALWEG_TRACEBACK", "1")
    assert main(["graph"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_outside_training_is_one_line(folder, capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("talweg.cli.graph.lesson_data", interrupted)
    assert main(["graph"]) == 130
    assert capsys.readouterr() == ("", "talweg: interrupted\n")
