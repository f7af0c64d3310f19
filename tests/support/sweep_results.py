"""Results of sweeps made by hand, from one typical curve of losses for each verdict."""

from hypothesis import strategies as st

from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.run import Run
from talweg.training.history import History

CURVES = {
    "converged": [5.0 * 0.3**k for k in range(10)],
    "descending": [5.0 * 0.9**k for k in range(10)],
    "oscillating": [4.0, 1.0] * 5,
    "stuck": [5.0, *[8.0] * 9],
    "diverged": [5.0, 60.0, *[70.0] * 8],
}
"""For each verdict a run of ten losses."""


def run(losses, lr=0.1, seed=1, status="finished", stop_at=None, **others):
    """A run with these losses and settings."""
    history = History(list(losses), [lr] * len(losses), status=status)
    return Run({"learning_rate": lr, "seed": seed, **others}, history, stop_at)


def with_verdicts(*words, rates=None, seeds=1, **others):
    """A sweep whose runs have these verdicts, one rate after the other."""
    chosen = rates or [0.01 * 2**k for k in range(len(words) // seeds)]
    runs = [
        run(CURVES[word], chosen[k // seeds], k % seeds, **others) for k, word in enumerate(words)
    ]
    return SweepResult.of_runs(runs, steps=10)


ANY = st.floats() | st.floats(-10.0, 10.0) | st.integers(-3, 3).map(float)
CALM = st.integers(0, 200).map(lambda x: x / 10.0)
CURVE = st.one_of(
    st.lists(ANY, min_size=1, max_size=40),
    st.lists(CALM, min_size=1, max_size=40),
    st.lists(CALM, min_size=1, max_size=40).map(lambda xs: sorted(xs, reverse=True)),
    st.tuples(CALM, st.floats(0.3, 1.02), st.integers(1, 60)).map(
        lambda t: [t[0] * t[1] ** k for k in range(t[2])]
    ),
)
"""A strategy of Hypothesis: runs of 1 to 60 losses, among them any floats."""
