"""Data sets from lists, arrays and files; splitting, scaling, and what is refused."""

import gc
import math
import statistics
import warnings
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talweg.data import Dataset, Scaling, lesson_data, read_inputs
from talweg.errors import ArgumentError, DataError, DataWarning, ShapeError


def write(folder, content, name="data.csv"):
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def contents(data):
    names = (data.input_names, data.target_name, data.classes)
    return (data.inputs, data.targets, *names, data.kind, data.n_inputs, data.n_outputs)


# ---- from lists and arrays ----------------------------------------------------------------


def test_lists_tuples_and_arrays_make_the_same_data_set_of_plain_floats():
    rows, targets = [[1, 2.5], [3, -4]], [1, 0]
    sources = [
        (rows, targets),
        (tuple(map(tuple, rows)), tuple(targets)),
        (np.array(rows), np.array(targets)),
        (np.array(rows, dtype=np.float32), np.array([[1.0], [0.0]])),
        ([np.array(row) for row in rows], [np.float64(1), np.int8(0)]),
        (rows, [[1], [0]]),
    ]
    for inputs, y in sources:
        data = Dataset(inputs, y)
        assert list(data) == [([1.0, 2.5], 1.0), ([3.0, -4.0], 0.0)]
        assert {type(x) for row in data.inputs for x in row} == {float}
        assert {type(y) for y in data.targets} == {float}
        assert (data.kind, data.n_inputs, data.n_outputs, len(data)) == ("regression", 2, 1, 2)
        assert data.input_names == ("x0", "x1")


def test_a_data_set_copies_its_lists():
    inputs, targets = [[1.0]], [2.0]
    data = Dataset(inputs, targets)
    inputs[0][0] = targets[0] = 9.0
    assert list(data) == [([1.0], 2.0)]


def test_several_outputs_and_classes():
    several = Dataset([[1], [2]], np.array([[1, 2, 3], [4, 5, 6]]))
    assert several.targets == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert (several.kind, several.n_outputs) == ("regression", 3)
    classes = Dataset([[1], [2]], np.array([1, 0], dtype=np.uint8), classes=["a", "b", "c"])
    assert classes.targets == [1, 0]
    assert {type(y) for y in classes.targets} == {int}
    assert (classes.kind, classes.n_outputs) == ("classification", 3)
    assert repr(several) == "Dataset(2 rows; inputs: x0; target: target, 3 numbers)"


REFUSED = {
    "one dimension": ([1.0, 2.0], [1, 2], {}, "inputs[0] is 1.0, not a row; write each row as a"),
    "array of one dimension": (np.ones(2), [1, 2], {}, "inputs[0] is 1.0, not a row"),
    "row of text": (["ab", "cd"], [1, 2], {}, "inputs[0] is 'ab', not a row"),
    "a dict": ({1: 2}, [1], {}, "inputs is a dict; expected a list or a NumPy array"),
    "a data frame": (pl.DataFrame({"a": [1]}), [1], {}, "inputs is a DataFrame; expected a list"),
    "an iterator": (iter([[1]]), [1], {}, "inputs is a list_iterator; expected a list"),
    "no rows": ([], [], {}, "inputs is empty"),
    "rows of nothing": ([[], []], [1, 2], {}, "inputs[0] is empty"),
    "ragged": ([[1, 2], [3, 4], [5]], [1, 2, 3], {}, "inputs[2] has 1 numbers, inputs[0] has 2"),
    # As many numbers as two rows of three: only the lengths of the rows tell.
    "ragged, right total": ([[1, 2, 3], [4, 5], [6]], [1, 2, 3], {}, "inputs[1] has 2 numbers"),
    "text": ([[1, 2], [3, "4"]], [1, 2], {}, "inputs[1][1] must be a finite number, got '4'"),
    "gap": ([[1, None]], [1], {}, "inputs[0][1] must be a finite number, got None"),
    "nan": ([[1.0], [math.nan]], [1, 2], {}, "inputs[1][0] must be a finite number, got nan"),
    "too large": ([[10**400]], [1], {}, "inputs[0][0] must be a finite number, got 1000"),
    "three dimensions": (
        np.ones((2, 2, 2)),
        [1, 2],
        {},
        "inputs[0][0] must be a finite number, got [1.0, 1.0]",
    ),
    "masked array": (
        np.ma.masked_equal([[1.0, 2.0]], 2.0),
        [1],
        {},
        "inputs[0][1] must be a finite number, got None",
    ),
    "complex": ([[1j]], [1], {}, "inputs[0][0] must be a finite number, got 1j"),
    "fewer targets": ([[1], [2]], [1], {}, "there are 2 inputs and 1 targets"),
    "infinite target": (
        [[1], [2]],
        [1, math.inf],
        {},
        "targets[1] must be a finite number, got inf",
    ),
    "missing target": ([[1], [2]], [1, None], {}, "targets[1] must be a finite number, got None"),
    "bad output": (
        [[1], [2]],
        [[1, 2], [3, "x"]],
        {},
        "targets[1][1] must be a finite number, got 'x'",
    ),
    "number among rows": ([[1], [2]], [[1, 2], 3], {}, "targets[1] is 3, not a row"),
    "one target for all": ([[1]], 1.0, {}, "targets is a float; expected a list"),
    "names": ([[1, 2]], [1], {"input_names": ["a"]}, "there are 1 input_names for 2 inputs"),
    "equal names": (
        [[1, 2]],
        [1],
        {"input_names": ["a", "a"]},
        "input_names are a, a; give at least 1, all different",
    ),
    "names as text": (
        [[1, 2]],
        [1],
        {"input_names": "ab"},
        "input_names must be a list of names, got 'ab'",
    ),
    "one class": ([[1]], [0], {"classes": ["a"]}, "classes are a; give at least 2, all different"),
    "equal classes": ([[1]], [0], {"classes": ["a", "a"]}, "classes are a, a; give at least 2"),
    "class out of range": (
        [[1], [2]],
        [0, 2],
        {"classes": ["a", "b"]},
        "targets[1] must be the index of a class, an integer from 0 to 1 (a, b), got 2",
    ),
    "negative class": (
        [[1]],
        [-1],
        {"classes": ["a", "b"]},
        "targets[0] must be the index of a class, an integer from 0 to 1 (a, b), got -1",
    ),
    "class as a float": (
        [[1]],
        [1.0],
        {"classes": ["a", "b"]},
        "targets[0] must be the index of a class, an integer from 0 to 1 (a, b), got 1.0",
    ),
    "class by name": (
        [[1]],
        ["a"],
        {"classes": ["a", "b"]},
        "targets[0] must be the index of a class, an integer from 0 to 1 (a, b), got 'a'",
    ),
}


@pytest.mark.parametrize(("x", "y", "names", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_lists_of_wrong_form_are_refused_with_the_position(x, y, names, message):
    with pytest.raises(DataError) as error:
        Dataset(x, y, **names)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_subset_has_the_same_names_and_refuses_rows_that_do_not_exist():
    data = Dataset(
        [[1], [2], [3]], [0, 1, 0], input_names=["w"], target_name="t", classes=["a", "b"]
    )
    part = data.subset(np.array([2, 0, 2]))
    assert contents(part) == ([[3.0], [1.0], [3.0]], [0, 0, 0], *contents(data)[2:])
    assert len(data) == 3
    for indices, what in [([3], "3"), ([0, -1], "-1"), ([True, False], "True"), ([0.0], "0.0")]:
        with pytest.raises(DataError, match=f"^{what} is not a row number; .* rows 0 to 2$"):
            data.subset(indices)
    with pytest.raises(DataError, match="there are no indices"):
        data.subset([])


def test_lesson_data_are_the_four_samples_of_the_lesson():
    data = lesson_data()
    assert data.inputs == [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    assert data.targets == [1.0, -1.0, -1.0, 1.0]
    data.inputs[0][0] = 99.0
    assert lesson_data().inputs[0][0] == 2.0


# ---- from files ---------------------------------------------------------------------------

PETS = "id,weight,age,pet\nk1,4,3,cat\nk2,30.5,5,dog\nk3,5,8, cat\n"


def test_a_csv_and_a_parquet_file_of_the_same_cells_make_the_same_data_set(tmp_path):
    csv_path = write(tmp_path, PETS)
    pl.read_csv(csv_path).write_parquet(tmp_path / "data.parquet")
    from_csv = Dataset.from_csv(csv_path, target="pet", ignore=["id"])
    assert contents(from_csv) == (
        [[4.0, 3.0], [30.5, 5.0], [5.0, 8.0]],
        [0, 1, 0],
        ("weight", "age"),
        "pet",
        ("cat", "dog"),
        "classification",
        2,
        2,
    )
    parquet = Dataset.from_parquet(tmp_path / "data.parquet", target="pet", ignore="id")
    assert contents(parquet) == contents(from_csv)
    for name in ("data.csv", "data.parquet"):
        found = Dataset.from_file(tmp_path / name, target="weight", ignore=("id", "pet"))
        assert (found.inputs, found.targets) == ([[3.0], [5.0], [8.0]], [4.0, 30.5, 5.0])
        assert found.kind == "regression"


@pytest.mark.parametrize(
    ("targets", "kind", "classes"),
    [
        (["1", "-1"] * 5, "auto", ("-1", "1")),
        (["1", "-1"] * 4 + ["1"], "auto", ()),  # 9 rows for 2 values: too few
        ([str(i) for i in range(10)] * 5, "auto", tuple("0123456789")),
        ([str(i) for i in range(11)] * 9, "auto", ()),  # 11 values: too many
        (["10", "9.0", "9"] * 9, "auto", ("9", "10")),  # in numeric order, 9 and 9.0 as one
        (["1.5", "2"] * 9, "auto", ()),
        (["1.5", "2"], "classification", ("1.5", "2")),
        (["1", "2"] * 9, "regression", ()),
        (["b", "a", "B"], "auto", ("B", "a", "b")),
        (["1", "2b"], "classification", ("1", "2b")),
    ],
)
def test_the_target_column_decides_the_kind(targets, kind, classes, tmp_path):
    rows = "".join(f"{i},{target}\n" for i, target in enumerate(targets))
    data = Dataset.from_csv(write(tmp_path, "x,y\n" + rows), target="y", kind=kind)
    assert data.classes == classes
    if classes and "9" not in targets:
        assert [classes[y] for y in data.targets] == targets
    elif not classes:
        assert data.targets == list(map(float, targets))


FILE_FAULTS = {
    "no target": (PETS, {}, "no target was named; pass target= one of id, weight, age, pet"),
    "unknown target": (PETS, {"target": "Pet"}, "there is no column 'Pet'; its columns are id, "),
    "unknown ignore": (PETS, {"target": "pet", "ignore": ["x"]}, "there is no column 'x'; its "),
    "target ignored": (PETS, {"target": "pet", "ignore": ["pet"]}, "column 'pet' is both the "),
    "text inputs": (
        "a,b,c,d,y\nu,x,1,k,1\nv,z,2,l,2\n",
        {"target": "y", "ignore": ["a"]},
        "inputs must be numbers, but there is text in b, d; leave such columns out with "
        "ignore=['a', 'b', 'd']",
    ),
    "no inputs": ("a,y\n1,2\n", {"target": "y", "ignore": "a"}, "no column is left as input"),
    "text among inputs": (
        "a,y\n1,2\noops,4\n",
        {"target": "y"},
        "line 3, column 'a': text 'oops' where a number is expected; correct the cell, or leave "
        "it out with ignore=['a']",
    ),
    "text among targets": (
        "a,y\n1,2\n3,oops\n",
        {"target": "y"},
        "line 3, column 'y': text 'oops' where a number is expected; correct the cell, or take "
        "texts as classes with kind='classification'",
    ),
    "text target as number": (PETS, {"target": "pet", "ignore": "id", "kind": "regression"},
                              "line 2, column 'pet': text 'cat'"),
    "missing number": ("a,y\n1,2\n3,\n", {"target": "y"}, "line 3, column 'y': the cell is empty"),
    "missing class": ("a,y\n1,u\n3,\n", {"target": "y"}, "line 3, column 'y': the cell is empty"),
    "one class": ("a,y\n1,u\n3,u\n", {"target": "y"}, "the target 'y' is 'u' in every row; a cla"),
    "one number as class": ("a,y\n1,5\n3,5.0\n", {"target": "y", "kind": "classification"},
                            "the target 'y' is '5' in every row"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "arguments", "message"), FILE_FAULTS.values(), ids=FILE_FAULTS.keys()
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(content, arguments, message, tmp_path):
    path = write(tmp_path, content)
    with pytest.raises(DataError) as error:
        Dataset.from_file(path, **arguments)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_a_gap_in_a_parquet_column_is_not_a_class(tmp_path):
    path = tmp_path / "data.parquet"
    pl.DataFrame({"a": [1, 2, 3], "y": [1.0, math.nan, 2.0]}).write_parquet(path)
    with pytest.raises(DataError, match="row 2, column 'y': nan marks a gap"):
        Dataset.from_parquet(path, target="y", kind="classification")


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="kind must be 'auto', 'regression' or 'class"):
        Dataset.from_csv(write(tmp_path, PETS), target="pet", ignore="id", kind="classify")


def test_constant_columns_give_a_warning_at_the_line_that_reads_the_file(tmp_path):
    path = write(tmp_path, "a,b,c,y\n1,2,5,7\n1,3,5,7\n")
    with pytest.warns(DataWarning) as caught:
        data = Dataset.from_csv(path, target="y")
    assert data.n_inputs == 3
    inputs, target = (str(warning.message) for warning in caught)
    assert inputs.startswith(f"{path}: the number is the same in every row of a, c; ")
    assert inputs.endswith("ignore=['a', 'c']")
    assert target.startswith(f"{path}: the target 'y' is 7.0 in every row")
    assert {warning.filename for warning in caught} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Dataset.from_csv(write(tmp_path, "a,y\n1,2\n"), target="y")  # one row: nothing to warn of


def test_read_inputs_returns_the_named_columns_in_the_given_order(tmp_path):
    path = write(tmp_path, "note,b,a\nhello,1,2\n,3,4\n")
    assert read_inputs(path, ["a", "b"]) == [[2.0, 1.0], [4.0, 3.0]]
    with pytest.raises(DataError, match=r"there is no column 'c'; its columns are note, b, a$"):
        read_inputs(path, ["a", "c"])
    with pytest.raises(DataError, match=r"line 2, column 'note': text .* correct the cell$"):
        read_inputs(path, ["note"])


# ---- splitting ----------------------------------------------------------------------------


def numbered(targets, classes=None):
    """Row i holds the input i; classes are the letters of a text."""
    classes = classes and list(classes)
    return Dataset([[i] for i in range(len(targets))], targets, classes=classes)


def row_numbers(data):
    return [int(row[0]) for row in data.inputs]


@given(
    targets=st.lists(st.integers(0, 3), min_size=2, max_size=60),
    classify=st.booleans(),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
)
def test_a_split_is_a_partition_with_the_documented_sizes(targets, classify, fraction, seed):
    data = numbered(targets, "abcd" if classify else None)
    sizes = Counter(targets)
    if classify and max(sizes.values()) == 1:
        with pytest.raises(DataError, match="only one row in any class"):
            data.split(fraction, seed)
        return
    training, validation = data.split(fraction, seed)
    assert sorted(row_numbers(training) + row_numbers(validation)) == list(range(len(data)))
    assert min(len(training), len(validation)) >= 1
    assert all(targets[int(x[0])] == y for part in (training, validation) for x, y in part)
    if classify:
        kept = Counter(training.targets)
        assert all(kept[label] >= 1 for label in sizes)
        assert training.classes == validation.classes == data.classes
    else:
        expected = math.floor(fraction * len(data) + 0.5)
        assert len(validation) == min(max(expected, 1), len(data) - 1)


@given(
    sizes=st.lists(st.integers(10, 40), min_size=2, max_size=5),
    fraction=st.floats(0.1, 0.9),
)
def test_a_split_takes_the_same_fraction_of_every_class(sizes, fraction):
    targets = [label for label, size in enumerate(sizes) for _ in range(size)]
    _, validation = numbered(targets, "abcde").split(fraction)
    assert len(validation) == math.floor(fraction * len(targets) + 0.5)
    held = Counter(validation.targets)
    for label, size in enumerate(sizes):
        assert abs(held[label] - fraction * size) <= 2.0


def test_a_split_is_shuffled_and_depends_only_on_the_seed():
    data = numbered(list(range(50)))
    first, again, other = data.split(seed=3), data.split(seed=3), data.split(seed=4)
    assert [row_numbers(part) for part in first] == [row_numbers(part) for part in again]
    assert sorted(row_numbers(first[1])) != sorted(row_numbers(other[1]))
    assert [len(part) for part in first] == [40, 10]
    assert row_numbers(first[0]) != sorted(row_numbers(first[0]))
    classes = numbered([0] * 20 + [1] * 20, "ab").split()[0].targets
    assert classes != sorted(classes)


def test_larger_classes_give_the_validation_rows_that_single_row_classes_cannot():
    for seed in range(20):
        _, validation = numbered([0, 0, 1, 2, 3], "abcd").split(seed=seed)
        assert validation.targets == [0]


def test_impossible_splits_are_refused():
    with pytest.raises(DataError, match="only one row in the data set; two are needed"):
        numbered([1.0]).split()
    for fraction in (0.0, 1.0, -0.5, 20, math.nan):
        with pytest.raises(ArgumentError, match="fraction must be a number between 0 and 1, got"):
            numbered([1, 2, 3]).split(fraction)


# ---- scaling ------------------------------------------------------------------------------

ordinary = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(ordinary, ordinary), min_size=1, max_size=30))
def test_a_scaling_is_the_mean_and_population_deviation_and_inverts(rows):
    scaling = Scaling.of(rows)
    for j, column in enumerate(zip(*rows, strict=True)):
        if min(column) == max(column):
            assert (scaling.means[j], scaling.deviations[j]) == (column[0], 1.0)
            continue
        assert scaling.means[j] == pytest.approx(statistics.fmean(column), rel=1e-12, abs=1e-300)
        assert scaling.deviations[j] == pytest.approx(statistics.pstdev(column), rel=1e-9)
    for row in rows:
        back = scaling.invert(scaling.apply(row))
        for x, y, mean in zip(row, back, scaling.means, strict=True):
            assert abs(x - y) <= 1e-14 * (abs(x) + 2 * abs(mean))


@pytest.mark.parametrize("unit", [1e308, 1e-160, 1e-300, 5e-324])
def test_a_scaling_neither_overflows_nor_underflows(unit):
    scaling = Scaling.of([[unit], [-unit], [unit], [-unit]])
    assert (scaling.means, scaling.deviations) == ((0.0,), (unit,))
    assert [scaling.apply([unit]), scaling.apply([-unit])] == [[1.0], [-1.0]]
    assert math.isfinite(Scaling.of([[unit], [0.0], [0.0], [0.0], [0.0]]).apply([unit])[0])


def test_a_constant_column_becomes_zero_exactly():
    assert Scaling.of([[0.1]] * 3).apply([0.1]) == [0.0]  # 0.1 + 0.1 + 0.1 is not 0.3


def test_standardise_uses_the_given_scalings():
    training = Dataset([[0, 10], [2, 30]], [100, 300], input_names=["a", "b"], target_name="t")
    other = Dataset([[4, 20]], [200], input_names=["a", "b"], target_name="t")
    inputs, targets = training.input_scaling(), training.target_scaling()
    assert targets == Scaling((200.0,), (100.0,))
    scaled = training.standardise(inputs, targets)
    assert (scaled.inputs, scaled.targets) == ([[-1.0, -1.0], [1.0, 1.0]], [-1.0, 1.0])
    assert contents(other.standardise(inputs)) == ([[3.0, 0.0]], [200.0], *contents(other)[2:])
    assert other.standardise(inputs, targets).targets == [0.0]
    assert training.inputs == [[0.0, 10.0], [2.0, 30.0]]


@given(st.lists(st.tuples(ordinary, ordinary), min_size=2, max_size=30))
def test_standardise_has_the_same_bits_as_apply_row_by_row(rows):
    data = Dataset(rows, rows)
    scaling = data.input_scaling()
    expected = [scaling.apply(row) for row in data.inputs]
    scaled = data.standardise(scaling, scaling)
    assert scaled.inputs == scaled.targets == expected


def test_a_number_too_large_for_the_scaling_is_refused_with_its_position():
    data = Dataset([[1.0], [1e300]], [1, 2])
    with pytest.raises(DataError, match=r"^inputs\[1\]\[0\] must be a finite number, got inf"):
        data.standardise(Scaling((0.0,), (1e-300,)))


def test_garbage_collection_is_enabled_again_after_an_error():
    assert gc.isenabled()
    with pytest.raises(DataError):
        Dataset([["text"]], [1])
    assert gc.isenabled()


def test_standardise_several_outputs_and_classes():
    several = Dataset([[1], [3]], [[1, 10], [3, 30]])
    scaled = several.standardise(several.input_scaling(), several.target_scaling())
    assert scaled.targets == [[-1.0, -1.0], [1.0, 1.0]]
    classes = numbered([0, 1], "ab")
    assert classes.standardise(classes.input_scaling()).targets == [0, 1]
    with pytest.raises(ArgumentError, match="is a class, which has no scale"):
        classes.target_scaling()
    with pytest.raises(ArgumentError, match="is a class, which has no scale"):
        classes.standardise(classes.input_scaling(), Scaling((0.0,), (1.0,)))


def test_a_scaling_for_other_columns_is_refused():
    with pytest.raises(ShapeError, match="the row has 3 numbers, the scaling was made for 2"):
        lesson_data().standardise(Scaling((0.0, 0.0), (1.0, 1.0)))
    with pytest.raises(ShapeError, match="the row has 1 numbers, the scaling was made for 2"):
        Scaling((0.0, 0.0), (1.0, 1.0)).invert([1.0])
