"""Loop rotation, compared with a count of the carried results at every start."""

from hypothesis import given
from hypothesis import strategies as st

from talweg.compiler.passes.loop_rotation import fewest_carried


@st.composite
def bodies(draw):
    """A period, the largest start, and reads from one iteration before up to the next one."""
    period = draw(st.integers(1, 6))
    most = draw(st.integers(0, period - 1))
    pairs = st.integers(-period - 1, period + most - 1).flatmap(
        lambda k: st.tuples(st.integers(max(0, k + 1), period + most), st.just(k))
    )
    return period, most, draw(st.lists(pairs, max_size=8))


@given(bodies())
def test_the_first_start_with_the_fewest_carried_results_is_chosen(case):
    period, most, reads = case
    carried = [
        # the iteration is start .. start + period - 1; k is in the one before, p in this one
        sum(start - period <= k < start <= p < start + period for p, k in reads)
        for start in range(most + 1)
    ]
    found = fewest_carried(period, most, [p for p, _ in reads], [k for _, k in reads])
    assert found == carried.index(min(carried))
