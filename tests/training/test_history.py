"""History: what it writes, draws and shows."""

import csv

import pytest

from talweg import History
from talweg.errors import ArgumentError


def example():
    return History(
        losses=[4.0, 2.0, 1.0 / 3.0],
        learning_rates=[0.1, 0.1, 0.05],
        seconds=[0.5, 1.0, 1.5],
        validation_losses=[(1, 5.0), (3, 1.5), (4, 2.5)],
        metrics={"accuracy": [(1, 0.25), (4, 0.75)], "loss": [(3, 7.0)], "never": []},
        status="finished",
        verdict="finished 3 steps",
    )


def test_csv_has_one_line_a_step_and_one_for_the_evaluation_after_the_last(tmp_path):
    path = example().to_csv(tmp_path / "h.csv")
    assert path.read_bytes() == (
        b"step,loss,learning_rate,seconds,validation_loss,accuracy,loss\n"
        b"1,4.0,0.1,0.5,5.0,0.25,\n"
        b"2,2.0,0.1,1.0,,,\n"
        b"3,0.3333333333333333,0.05,1.5,1.5,,7.0\n"
        b"4,,,,2.5,0.75,\n"
    )


def test_csv_of_little_and_of_names_with_commas(tmp_path):
    assert History().to_csv(tmp_path / "a").read_text() == "step,loss,learning_rate,seconds\n"
    alone = History(losses=[1.0, float("inf")])
    assert alone.to_csv(tmp_path / "b").read_text().splitlines()[1:] == ["1,1.0,,", "2,inf,,"]
    odd = History([1.0], [0.1], [0.2], metrics={'a, "b"': [(1, 2.0)]})
    with odd.to_csv(tmp_path / "c").open(newline="") as file:
        assert next(csv.reader(file))[4:] == ['a, "b"']


def test_the_best_step():
    assert example().best_step == 3
    assert History(losses=[3.0, 1.0, 2.0, 1.0]).best_step == 2  # the first at a tie
    assert History(losses=[3.0, float("nan"), float("-inf")]).best_step == 1
    assert History(losses=[float("nan")]).best_step is None
    assert History().best_step is None


def test_plot_draws_the_losses_at_their_steps():
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    ax = example().plot()
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.get_lines()}
    assert lines["training"] == [[1.0, 4.0], [2.0, 2.0], [3.0, 1.0 / 3.0]]
    assert lines["validation"] == [[1.0, 5.0], [3.0, 1.5], [4.0, 2.5]]
    assert lines["best: step 3"][0][0] == 3.0
    _, own = plt.subplots()
    assert History(losses=[2.0, 1.0]).plot(own) is own
    assert len(own.get_lines()) == 1
    with pytest.raises(ArgumentError):
        History().plot()
    plt.close("all")


def test_repr_and_html():
    assert repr(example()) == "History(3 steps, loss 4 -> 0.333333, finished)"
    assert repr(History()) == "History(no steps)"
    html = example()._repr_html_()
    for row in (
        "<tr><th>steps</th><td>3</td></tr>",
        "<tr><th>status</th><td>finished</td></tr>",
        "<tr><th>first loss</th><td>4</td></tr>",
        "<tr><th>last loss</th><td>0.333333</td></tr>",
        "<tr><th>last validation loss</th><td>2.5</td></tr>",
        "<tr><th>accuracy</th><td>0.75</td></tr>",
    ):
        assert row in html
    assert "never" not in html
    assert "steps</th><td>0<" in History()._repr_html_()


def test_html_escapes_names_and_verdict():
    history = History([1.0], metrics={"<b>&": [(1, 2.0)]}, verdict="diverged (<script>)")
    html = history._repr_html_()
    assert "<th>&lt;b&gt;&amp;</th>" in html
    assert "(&lt;script&gt;)" in html
    assert "<script>" not in html
