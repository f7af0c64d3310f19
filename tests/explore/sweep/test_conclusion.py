"""The conclusion from a sweep: the runs of one rate as one point, the best rate, stable rates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_results import CALM, CURVES, run, with_verdicts

from talweg.explore.sweep.conclusion import by_rate, stability
from talweg.explore.sweep.result import SweepResult
from talweg.explore.verdicts import VERDICTS

INF = math.inf

# ---- the runs of one rate --------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), CALM), min_size=1, max_size=40))
def test_runs_of_one_rate_are_one_point(runs):
    rates, codes, losses = (np.array(column) for column in zip(*runs, strict=True))
    found = by_rate(rates, codes, losses)
    assert found.rates.tolist() == sorted(set(rates.tolist()))
    sizes = []
    for i, rate in enumerate(found.rates):
        words = codes[rates == rate].tolist()
        heights = np.where(codes == 4, INF, losses)[rates == rate]
        often = max(words.count(code) for code in words)
        assert found.codes[i] == max(code for code in words if words.count(code) == often)
        ordered = sorted(heights.tolist())
        middle = 0.5 * (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2])
        assert found.median[i] == pytest.approx(middle)
        sizes.append(len(ordered))
    assert found.most == max(sizes)
    if max(sizes) < 5:
        assert found.low.tolist() == [
            min(np.where(codes == 4, INF, losses)[rates == rate]) for rate in found.rates
        ]


def test_the_spread_of_many_seeds_is_the_middle_half():
    losses = np.arange(1.0, 10.0)
    found = by_rate(np.ones(9), np.zeros(9, dtype=int), losses)
    assert (found.low[0], found.median[0], found.high[0]) == tuple(
        np.quantile(losses, [0.25, 0.5, 0.75])
    )
    codes = np.array([4] * 5 + [0] * 4)
    assert by_rate(np.ones(9), codes, losses).median[0] == INF


# ---- the summary -----------------------------------------------------------------------------

GOOD, SLOW, SHAKY, FLAT, OFF = "converged", "descending", "oscillating", "stuck", "diverged"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([SLOW, GOOD, FLAT], "stable up to 0.02; at 0.04 it gets stuck, not unstable"),
        ([SLOW, GOOD, FLAT, FLAT], "stable up to 0.02; from 0.04 on it gets stuck, not unstable"),
        ([SLOW, GOOD, OFF, OFF], "stable up to 0.02; from 0.04 on it diverges"),
        ([SLOW, SHAKY], "stable up to 0.01; at 0.02 it oscillates"),
        ([GOOD, SHAKY, OFF, OFF], "stable up to 0.01; from 0.02 on it oscillates or diverges"),
        (
            [GOOD, SHAKY, FLAT, OFF],
            "stable up to 0.01; from 0.02 on it oscillates, gets stuck or diverges",
        ),
        (
            [SLOW, FLAT, SHAKY, GOOD, FLAT],
            "stable up to 0.01; mixed above: from 0.02 on it gets stuck or oscillates, "
            "but 0.08 works again",
        ),
        (
            [FLAT, GOOD],
            "not stable at the smallest rate; mixed above: from 0.01 on it gets stuck, "
            "but 0.02 works again",
        ),
        ([SLOW, GOOD, GOOD], "stable at all 3 rates tried, up to 0.04"),
        (
            [OFF, OFF],
            "stable nowhere: from 0.01 on, the smallest rate tried, it diverges",
        ),
        ([GOOD], "0.01 is the only rate tried, and there it converges"),
        ([SLOW], "0.01 is the only rate tried, and there it descends"),
        ([FLAT], "0.01 is the only rate tried, and there it gets stuck"),
    ],
)
def test_summary_of_verdicts(words, expected):
    result = with_verdicts(*words)
    assert result.summary.endswith(f"; {expected}")
    best = result.best
    named = "no best rate: all diverged" if best is None else f"best rate {best.learning_rate:g}"
    assert result.summary == f"{named}; {expected}"
    assert (
        stability(
            np.array([0.01 * 2**k for k in range(len(words))]),
            np.array([VERDICTS.index(w) for w in words]),
        )
        == expected
    )


def test_the_summary_depends_on_the_rates_not_on_their_order():
    shuffled = with_verdicts(GOOD, FLAT, SLOW, rates=[0.1, 1.0, 0.01])
    assert shuffled.summary == "best rate 0.1; stable up to 0.1; at 1 it gets stuck, not unstable"


def test_the_summary_follows_the_verdict_of_most_seeds():
    words = [GOOD, GOOD, FLAT, FLAT, GOOD, FLAT, OFF, OFF, GOOD]
    result = with_verdicts(*words, seeds=3)
    assert result.summary == (
        "best rate 0.01; stable up to 0.01; from 0.02 on it gets stuck or diverges"
    )
    # The single best run is that of a lucky seed; the rate is that of the median.
    runs = [run([5.0, 1.0], 0.1, k) for k in range(3)]
    runs += [run([5.0, last], 0.2, k) for k, last in enumerate((0.9, 4.0, 4.0))]
    lucky = SweepResult.of_runs(runs, steps=2)
    assert lucky.best.learning_rate == 0.2
    assert lucky.summary.startswith("best rate 0.1;")


def test_runs_that_were_cut_short_do_not_count():
    runs = [run(CURVES[GOOD], 0.1), run(CURVES[FLAT], 0.2, status="interrupted")]
    result = SweepResult.of_runs(runs, steps=10)
    assert result.summary == "best rate 0.1; 0.1 is the only rate tried, and there it converges"
    nothing = SweepResult.of_runs(runs[1:], steps=10)
    assert nothing.summary == "no run was finished"


def test_close_rates_are_printed_with_enough_digits():
    result = with_verdicts(SLOW, FLAT, rates=[0.12341, 0.12349])
    assert "stable up to 0.1234; at 0.1235 " in result.summary


def test_each_combination_of_settings_has_a_summary():
    runs = [
        run(CURVES[word], lr, momentum=m)
        for m, words in ((0.0, (SLOW, SLOW)), (0.9, (GOOD, OFF)))
        for lr, word in zip((0.1, 1.0), words, strict=True)
    ]
    result = SweepResult.of_runs(runs, steps=10)
    assert result.summary == (
        "best rate 0.1 with momentum 0.9; momentum 0: stable at all 2 rates tried, up to 1; "
        "momentum 0.9: stable up to 0.1; at 1 it diverges"
    )
    one = result.where(momentum=0.9)
    assert one.summary == "best rate 0.1; stable up to 0.1; at 1 it diverges"
    many = SweepResult.of_runs(
        [run(CURVES[SLOW], 0.1, width=w, batch_size=b) for w in range(4) for b in (None, 2)], 10
    )
    assert many.summary == (
        "best rate 0.1 with width 0, batch size None; "
        "8 combinations of width and batch size: result.where selects some of them"
    )
