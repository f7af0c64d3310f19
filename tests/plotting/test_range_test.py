"""The figure of a range test: where curves end."""

import math

from talweg.plotting.range_test import range_test

NAN = math.nan


def test_a_curve_above_the_axis_ends_with_a_mark():
    ax = range_test([0.1, 1.0, 10.0], [4.0, 2.0, 1e9], [4.0, 2.0, 1e9], {})
    assert ax.get_ylim()[1] == 4.5
    marks = [line for line in ax.get_lines() if line.get_marker() == "^"]
    assert [(list(m.get_xdata()), list(m.get_ydata())) for m in marks] == [([10.0], [4.5])]
    ax = range_test([0.1, 1.0, 10.0], [4.0, 2.0, NAN], [4.0, 2.0, NAN], {})
    marks = [line for line in ax.get_lines() if line.get_marker() == "x"]
    assert [list(m.get_xdata()) for m in marks] == [[1.0]]
    raw = [500.0, 1.0, 0.0, 9e9]  # 0 is not on a log axis
    ax = range_test([0.1, 1.0, 10.0, 100.0], raw, [500.0, 1.0, 2.0, 9e9], {"far": 1e-300})
    ax.figure.canvas.draw()
    assert ax.get_yscale() == "log"
    assert 0.5 < ax.get_ylim()[0] < 1.0
    for losses in ([NAN], [5.0], [0.0, 0.0], [-1.0, -5.0, -4.0]):
        rates = [10.0**k for k in range(len(losses))]
        range_test(rates, losses, losses, {"below": 0.01}).figure.canvas.draw()
