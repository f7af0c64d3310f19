"""The examples run, and print the numbers that the documentation promises."""

import re
import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed(name, capsys):
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_the_lesson_prints_the_lesson_s_numbers(capsys):
    out = printed("lesson.py", capsys)
    losses = dict(re.findall(r"step +(\d+) +loss (\S+)", out))
    assert losses["1"] == "5.278844"
    assert losses["10"] == "0.488259"
    assert losses["50"] == "0.028227"
    assert list(losses) == ["1", *(str(step) for step in range(5, 51, 5))]
    assert re.findall(r"prediction +(\S+)", out) == ["0.9461", "-0.9023", "-0.9274", "0.9014"]
    assert "the same weights by tw.train: True" in out
    assert "rate     1   stuck at 8, above the start" in out


def test_iris_is_learnt_from_a_csv_file(capsys):
    accuracies = re.findall(r"accuracy on (\d+) .*: (\S+)", printed("iris.py", capsys))
    assert [count for count, _ in accuracies] == ["120", "30"]
    # 29 of 30 flowers that it has not seen: what a network of this size should reach.
    assert all(float(accuracy) >= 0.96 for _, accuracy in accuracies)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the kernel and its libraries, not ours
def test_the_notebook_prints_what_is_stored_in_it():
    stored = nbformat.read(EXAMPLES / "lesson.ipynb", as_version=4)
    fresh = nbformat.read(EXAMPLES / "lesson.ipynb", as_version=4)
    NotebookClient(fresh, timeout=120, kernel_name="python3").execute()
    assert texts(fresh) == texts(stored)
    assert "step  50   loss 0.028227" in "".join(texts(fresh))
    pictures = [kind for kind in kinds(fresh) if kind in ("image/png", "image/svg+xml")]
    assert pictures == ["image/svg+xml", "image/png", "image/png"]


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def texts(notebook):
    """The texts of all outputs. What a cell prints is one text: a slow kernel sends it in parts."""
    found = []
    for cell in notebook.cells:
        stream = "".join(out.text for out in cell.get("outputs", []) if "text" in out)
        values = [out.get("data", {}).get("text/plain", "") for out in cell.get("outputs", [])]
        found += [stream, *values]
    return [text for text in found if text and not text.startswith("<Figure")]


def kinds(notebook):
    return [kind for output in outputs(notebook) for kind in output.get("data", {})]
