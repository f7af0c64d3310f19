"""Saved figures: format, size, equal bytes each time, and figures in a notebook."""

import os
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from talweg.errors import ArgumentError
from talweg.plotting import curves, figure, style

LESSON = [5.278844, 2.0, 0.488259, 0.1, 0.028227]


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")]
)
def test_saving_twice_writes_the_same_bytes(tmp_path, suffix, start):
    first = figure.save(curves.loss(LESSON, [(2, 3.0)]), tmp_path / f"a{suffix}")
    second = figure.save(curves.loss(LESSON, [(2, 3.0)]), tmp_path / f"b{suffix}")
    assert first.read_bytes().startswith(start)
    assert first.read_bytes() == second.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2  # no temporary file stays behind


def test_a_png_has_150_dots_per_inch(tmp_path):
    raw = figure.save(curves.loss(LESSON), tmp_path / "a.png").read_bytes()
    assert [int.from_bytes(raw[i : i + 4], "big") for i in (16, 20)] == [1050, 600]


def test_text_in_an_svg_stays_text(tmp_path):
    ax = curves.loss(LESSON, [(2, 3.0)], title="Loss of <A & B> in $")
    text = figure.save(ax, tmp_path / "a.svg").read_text(encoding="utf-8")
    for word in ("training", "validation", "step", "Loss of &lt;A &amp; B&gt; in $"):
        assert f">{word}</text>" in text
    assert "<dc:date>" not in text


@pytest.mark.parametrize(("name", "found"), [("a.gif", "'.gif'"), ("a", "no suffix")])
def test_an_unknown_suffix_is_an_error_and_nothing_is_written(tmp_path, name, found):
    with pytest.raises(ArgumentError, match=rf"{found}.*\.png, \.svg, \.pdf.*'a\.png'"):
        figure.save(curves.loss(LESSON), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_stays_if_drawing_fails(tmp_path, monkeypatch):
    def broken(*_args, **_settings):
        raise RuntimeError("the renderer broke")

    (tmp_path / "a.png").write_text("old")
    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(RuntimeError):
        figure.save(curves.loss(LESSON), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "old"


PROGRAM = """
import sys
from talweg.plotting import curves, figure
runs = [(0.1, [5.0, 1.0, 0.01]), (1.0, [5.0, 500.0, float("nan")])]
figure.save(curves.rates(runs), sys.argv[1])
curves.loss([5.0, 0.1]).figure.savefig(sys.argv[2])
assert "matplotlib.pyplot" not in sys.modules
"""


def test_figures_are_the_same_in_every_process_and_do_not_load_pyplot(tmp_path):
    def drawn(hash_seed):
        path = tmp_path / f"{hash_seed}.svg"
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-W", "error", "-c", PROGRAM, path, tmp_path / "own.png"]
        subprocess.run(command, env=environment, check=True)
        return path.read_bytes()

    assert drawn("1") == drawn("2")
    assert (tmp_path / "own.png").stat().st_size > 0


def test_a_notebook_displays_the_figure(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    code = "from talweg.plotting import curves\nax = curves.loss([5.0, 0.1])"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    kinds = [kind for out in notebook.cells[0].outputs for kind in out.get("data", {})]
    assert "image/png" in kinds


def test_text_is_escaped_and_shortened():
    assert style.plain_text("a $ and\n b $") == r"a \$ and b \$"
    assert style.shorten("x" * 30) == "x" * 23 + "…"


def test_axes_of_a_subfigure_are_saved_with_the_whole_figure():
    whole = Figure()
    left, right = whole.subfigures(1, 2)
    ax = left.subplots()
    right.subplots()
    assert figure.figure_bytes(ax) == figure.figure_bytes(right.axes[0])
