"""Settings as columns: combinations in order, and groups of equal values."""

from hypothesis import given
from hypothesis import strategies as st

from talweg.explore.sweep.columns import column, crossed, groups, matching


def test_columns():
    columns = crossed({"learning_rate": [0.1, 0.2], "layers": [(4,), (4, 4)], "batch_size": [None]})
    assert columns["learning_rate"].tolist() == [0.1, 0.1, 0.2, 0.2]
    assert columns["layers"].tolist() == [(4,), (4, 4)] * 2
    assert columns["batch_size"].tolist() == [None] * 4
    assert column([True, False]).dtype == object
    number, values, first = groups({"a": column([[1], [2], [1]])}, ["a"])  # lists cannot be hashed
    assert (number.tolist(), values, first) == ([0, 1, 0], [([1],), ([2],)], [0, 1])
    assert groups(columns, [])[1] == [()]


VALUES = st.sampled_from([0.5, 0.25, 3.0]) | st.sampled_from([None, "a", (1, 2), True])
ROWS = st.lists(st.tuples(st.integers(-2, 2), VALUES, st.floats(0.0, 1.0)), min_size=1, max_size=30)


@given(ROWS, st.lists(st.sampled_from("abc"), unique=True))
def test_groups_are_numbered_in_the_order_of_their_first_run(rows, names):
    columns = dict(zip("abc", map(column, zip(*rows, strict=True)), strict=True))
    number, values, first = groups(columns, names)
    keys = [tuple(row["abc".index(name)] for name in names) for row in rows]
    distinct = list(dict.fromkeys(keys))
    assert values == distinct
    assert number.tolist() == [distinct.index(key) for key in keys]
    assert first == [keys.index(key) for key in distinct]


def test_values_that_match_one_or_several():
    assert matching(column([1, 2, 3]), 2).tolist() == [False, True, False]
    assert matching(column([1, 2, 3]), range(2, 9)).tolist() == [False, True, True]
    assert matching(column([None, 4]), None).tolist() == [True, False]
    assert matching(column(["a", "b"]), ["b", "c"]).tolist() == [False, True]
