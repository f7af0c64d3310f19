"""The table of a sweep: for polars, in files, and in a notebook."""

import io
import math
from html.parser import HTMLParser

import polars as pl
import pytest
from sweep_results import CURVES, run, with_verdicts

from talweg.explore.sweep.result import SweepResult

INF = math.inf


def a_sweep(limit_of=None):
    runs = [
        run(CURVES["converged"], 0.1, 1, momentum=0.9, batch_size=None, layers=(4, 4)),
        run([5.0, 7.0, INF], 10.0, 1, "diverged", momentum=0.9, batch_size=4, layers=(8,)),
        run([5.0], 1.0, 2, "interrupted", momentum=0.0, batch_size=4, layers=(8,)),
    ]
    return SweepResult.of_runs(runs, steps=10, limit_of=limit_of)


def test_the_table_has_one_row_a_run():
    table = a_sweep(lambda k: [0.5, 2.0, None][k]).table
    last = CURVES["converged"][-1]
    assert table.to_dict(as_series=False) == {
        "learning_rate": [0.1, 10.0, 1.0],
        "seed": [1, 1, 2],
        "momentum": [0.9, 0.9, 0.0],
        "batch_size": [None, 4, 4],
        "layers": ["(4, 4)", "(8,)", "(8,)"],
        "steps": [10, 3, 1],
        "first_loss": [5.0, 5.0, 5.0],
        "final_loss": [last, INF, 5.0],
        "best_loss": [last, 5.0, 5.0],
        "verdict": ["converged", "diverged", "stuck"],
        "status": ["finished", "diverged", "interrupted"],
        "max_stable_lr": [0.5, 2.0, None],
        "lr_over_limit": [0.2, 5.0, None],
    }
    assert "max_stable_lr" not in a_sweep().table.columns


def test_files_hold_the_table(tmp_path):
    result = a_sweep(lambda k: 0.5)
    assert result.to_csv(tmp_path / "a.csv") == tmp_path / "a.csv"
    assert pl.read_csv(tmp_path / "a.csv").equals(result.table)
    result.to_parquet(str(tmp_path / "a.parquet"))
    assert pl.read_parquet(tmp_path / "a.parquet").equals(result.table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.parquet"]
    with pytest.raises(FileNotFoundError):
        result.to_csv(tmp_path / "nowhere" / "a.csv")


def test_other_libraries_read_the_table():
    result = a_sweep(lambda k: 0.5)
    assert pl.DataFrame(result).equals(result.table)
    assert type(result.__arrow_c_stream__()).__name__ == "PyCapsule"


class Page(HTMLParser):
    """Notes which tags are open, and that each is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_notebook_shows_picture_and_first_rows():
    result = with_verdicts(*["descending"] * 25, kind="<script>&")
    page = Page(result._repr_html_())
    picture = next(attributes for tag, attributes in page.seen if tag == "img")
    assert picture["src"].startswith("data:image/png;base64,iVBOR")
    assert picture["alt"] == "the losses of 25 runs"
    assert [tag for tag, _ in page.seen].count("tr") == 11
    assert "script" not in [tag for tag, _ in page.seen]
    assert "<script>&" in page.text
    assert "and 15 more" in page.text
    assert page.text.endswith(result.summary)
    assert "more" not in Page(with_verdicts("stuck", "stuck")._repr_html_()).text


def test_a_notebook_shows_why_there_is_no_picture():
    runs = [run(CURVES["stuck"], lr, width=w) for lr in (0.1, 0.2) for w in range(7)]
    page = Page(SweepResult.of_runs(runs, 10)._repr_html_())
    assert "7 combinations of width are too many for one picture" in page.text
    assert "img" not in [tag for tag, _ in page.seen]


def test_the_bytes_of_a_parquet_file_are_reproducible():
    first, second = io.BytesIO(), io.BytesIO()
    a_sweep(lambda k: 0.5).table.write_parquet(first)
    a_sweep(lambda k: 0.5).table.write_parquet(second)
    assert first.getvalue() == second.getvalue()
