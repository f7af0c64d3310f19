"""Readers of CSV and Parquet files; errors are one line with the place and the repair."""

import csv
import math
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talweg.data.columns import Columns
from talweg.data.readers import read_columns, read_csv, read_parquet
from talweg.error_fields import Argument
from talweg.errors import DataError


def write(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def one_line(error: pytest.ExceptionInfo[DataError]) -> str:
    """The message, which must be one line; polars' or csv's own traceback must not show."""
    message = str(error.value)
    assert "\n" not in message
    assert error.value.__cause__ is None
    assert error.value.__context__ is None or error.value.__suppress_context__
    return message


UNREADABLE = {
    "empty": ("", "the file is empty; expected a line of column names"),
    "only blank lines": ("\n\n \n", "the file is empty"),
    "header only": ("a,b\n", "there are no rows below the header (a, b)"),
    "two of one name": ("a,b, a\n1,2,3\n", "columns 1 and 3 are both named 'a'"),
    "no name": (",a\n0,1\n", "column 1 has no name"),
    "header of nothing": (",,\n1,2,3\n", "column 1 has no name"),
    "short row": ("a,b,c\n1,2,3\n\n4,5\n", "line 4: found 2 fields, expected 3"),
    "long row": ("a,b\n1,2\n3,4,\n", "line 3: found 3 fields, expected 2"),
    "row below quoted lines": ('a,b\n"1\n\n2",3\n4\n', "line 5: found 1 field, expected 2"),
    "open quote": ('a,b\n1,2\n3,"4\n5,6\n', "line 3: unexpected end of data"),
    "text after a quote": ('a,b\n1,"2"x\n', "line 2: ',' expected after '\"'"),
    "other encoding": ("a,b\n1,2\n3,é\n".encode("latin-1"), "line 3: byte 0xe9 is not UTF-8"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "this is a binary file or UTF-16"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "this is a binary file or UTF-16"),
}


@pytest.mark.parametrize(("content", "message"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_csv_file_of_wrong_form_is_refused_in_one_line(content, message, tmp_path):
    path = write(tmp_path, content)
    with pytest.raises(DataError) as error:
        read_columns(path)
    assert one_line(error).startswith(f"{path}: {message}")


BAD_CELLS = {
    "text": ("x", "text 'x' where a number is expected; correct the cell, or LEAVE"),
    "underscore": ("1_000", "text '1_000' where a number is expected"),
    "decimal comma": ('"1,5"', "text '1,5' where a number is expected; write the decimal sign"),
    "empty": ("", "the cell is empty; fill it in, or delete the line"),
    "blank": ("  ", "the cell is empty"),
    "NA": ("NA", "'NA' marks a gap"),
    "nan": ("nan", "'nan' where a finite number is expected"),
    "infinity": ("-Infinity", "'-Infinity' where a finite number is expected"),
    "too large": ("1e999", "'1e999' where a finite number is expected"),
    "long text": ("word " * 100, "text 'word word"),
    "two lines": ('"1\n2"', r"text '1\n2' where a number is expected"),
}


@pytest.mark.parametrize(("cell", "message"), BAD_CELLS.values(), ids=BAD_CELLS.keys())
def test_a_bad_cell_is_named_by_line_and_column(cell, message, tmp_path):
    path = write(tmp_path, f"a,b\n1,2\n\n3,{cell}\n5,x\n")
    with pytest.raises(DataError) as error:
        read_csv(path).numbers("b", otherwise="LEAVE")
    assert one_line(error).startswith(f"{path}: line 4, column 'b': {message}")
    assert len(one_line(error)) < len(str(path)) + 200


NUMBERS = {"1": 1.0, " -2.5 ": -2.5, "+.5": 0.5, "1e-3": 0.001, '"7"': 7.0, "-0": -0.0}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
def test_these_texts_are_numbers(text, number, tmp_path):
    found = read_csv(write(tmp_path, f"a,b\n0,{text}\n")).numbers("b")
    assert found == [number]
    assert math.copysign(1.0, found[0]) == math.copysign(1.0, number)


FORMS = {
    "comma": "a,b\n1,2\n3,4\n",
    "semicolon": "a;b\n1;2\n3;4\n",
    "tab": "a\tb\n1\t2\n3\t4\n",
    "other delimiters in a quoted name": '"a";"b"\n1;2\n3;4',
    "Windows lines": "a,b\r\n1,2\r\n3,4\r\n",
    "doubled line ends": "a,b\r\r\n1,2\r\r\n3,4\r\r\n",
    "old Mac lines": "a,b\r1,2\r3,4\r",
    "byte-order mark": "\ufeffa,b\n1,2\n3,4\n",
    "blanks and blank lines": "\n a , b\n\n1, 2\n  \n3 ,4\n\n\n",
    "quotes": '"a", "b"\n"1", "2"\n3,4',
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS.keys())
def test_the_usual_forms_of_csv_have_the_same_columns(content, tmp_path):
    columns = read_columns(write(tmp_path, content, "DATA.TXT"))
    assert columns.names == ("a", "b")
    assert (columns.numbers("a"), columns.numbers("b")) == ([1.0, 3.0], [2.0, 4.0])


def test_the_delimiter_is_found_outside_quotes_and_tsv_prefers_the_tab(tmp_path):
    assert read_csv(write(tmp_path, '"a,x,y";b\n1;2\n')).names == ("a,x,y", "b")
    assert read_csv(write(tmp_path, '"a\n,x";b\n1;2\n')).names == ("a\n,x", "b")
    assert read_csv(write(tmp_path, '"a"\t";"\n1\t2\n')).names == ("a", ";")
    assert read_columns(write(tmp_path, "a,x\tb\n1\t2\n", "data.tsv")).names == ("a,x", "b")


def test_in_one_column_a_blank_line_between_rows_is_an_empty_cell(tmp_path):
    # Skipping it would move every later prediction up by one row.
    columns = read_csv(write(tmp_path, "a\n1\n\n3\n\n"))
    with pytest.raises(DataError, match="line 3, column 'a': the cell is empty"):
        columns.numbers("a")


def test_a_column_is_text_only_if_no_cell_is_a_number(tmp_path):
    columns = read_csv(write(tmp_path, "t,mixed,n,gaps,nan\na,x,1,,nan\n,2,,NA,NA\nNA,y,?,,\n"))
    assert [columns.is_text(name) for name in columns.names] == [True, False, False, False, False]


def test_labels_are_stripped_and_never_missing(tmp_path):
    columns = read_csv(write(tmp_path, "t,u,v\n a ,x,x\nNA,,nan\n"))
    assert columns.labels("t") == ["a", "NA"]
    for name in "uv":
        with pytest.raises(DataError, match=f"line 3, column '{name}': "):
            columns.labels(name)


def test_the_error_for_an_unknown_column_lists_the_known_ones(tmp_path):
    header = ",".join(f"c{i}" for i in range(40))
    columns = read_csv(write(tmp_path, f"{header}\n{header}\n"))
    with pytest.raises(DataError, match=r"no column 'age'; .* c0, c1, .*, \.\.\. \(40 in all\)"):
        columns.numbers("age")


def test_paths_that_are_not_files_and_unknown_suffixes_are_refused(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    cases = {
        tmp_path / "none.csv": "there is no such file",
        tmp_path / "none.parquet": "there is no such file",
        tmp_path / "none.xlsx": "there is no such file",
        tmp_path / "folder.csv": "this is a folder",
        write(tmp_path, b"x", "data.xlsx"): "the suffix '.xlsx' is unknown; save it as one of .csv",
        write(tmp_path, b"x", "data"): "the suffix '' is unknown",
    }
    for path, message in cases.items():
        with pytest.raises(DataError) as error:
            read_columns(str(path))
        assert one_line(error).startswith(f"{path}: {message}")


def test_a_file_that_the_system_does_not_give_is_refused(tmp_path, monkeypatch):
    inside_a_file = write(tmp_path, "a\n1\n") / "data.csv"
    message = f"{inside_a_file}: the file cannot be read (Not a directory); check the path"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read_columns(inside_a_file)

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)  # root may read every file
    message = r"data\.csv: this process may not read the file; change its permissions$"
    with pytest.raises(DataError, match=message):
        read_columns(tmp_path / "data.csv")


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(
    names=st.lists(texts.map(str.strip).filter(bool), min_size=2, max_size=4, unique=True),
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
    words=texts,
    delimiter=st.sampled_from(",;\t"),
)
def test_a_written_file_is_read_back_unchanged(names, numbers, words, delimiter, tmp_path_factory):
    path = tmp_path_factory.mktemp("round") / "data.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(names)
        writer.writerows([[x, *[f"|{words}|"] * (len(names) - 1)] for x in numbers])
    columns = read_csv(path)
    assert columns.names == tuple(names)
    assert columns.numbers(names[0]) == numbers
    assert columns.labels(names[1]) == [f"|{words}|"] * len(numbers)


def parquet(folder: Path, **columns) -> Path:
    path = folder / "data.parquet"
    pl.DataFrame(columns, strict=False).write_parquet(path)
    return path


def test_parquet_gives_numbers_and_text(tmp_path):
    path = parquet(tmp_path, i=[1, 2], f=[0.5, -1.0], s=["x", "y"], b=[True, False])
    columns = read_columns(path)
    assert (columns.numbers("i"), columns.numbers("f")) == ([1.0, 2.0], [0.5, -1.0])
    assert columns.labels("s") == ["x", "y"]
    assert columns.labels("b") == ["True", "False"]
    assert [columns.is_text(name) for name in "ifsb"] == [False, False, True, True]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "the cell is empty; fill it in, or delete the row"),
        (math.nan, "nan where a finite number is expected"),
        (-math.inf, "-inf where a finite number is expected"),
    ],
)
def test_a_bad_parquet_cell_is_named_by_row_and_column(cell, message, tmp_path):
    path = parquet(tmp_path, a=[1.0, 2.0, 3.0], b=[1.0, cell, 3.0])
    with pytest.raises(DataError) as error:
        read_parquet(path).numbers("b")
    assert one_line(error).startswith(f"{path}: row 2, column 'b': {message}")


def test_damaged_and_empty_parquet_files_are_refused(tmp_path):
    whole = parquet(tmp_path, a=[1.0, 2.0], b=["x", "y"]).read_bytes()
    middle = len(whole) // 2
    cases = [
        (b"a,b\n1,2\n", "this is not a whole Parquet file"),
        (whole[:-10], "this is not a whole Parquet file"),
        (b"PAR1" + b"\xff" * 40 + b"PAR1", "the Parquet file is damaged ("),
        (whole[:4] + whole[middle:], "the Parquet file is damaged ("),
    ]
    for content, message in cases:
        path = write(tmp_path, content, "data.pq")
        with pytest.raises(DataError) as error:
            read_columns(path)
        assert one_line(error).startswith(f"{path}: {message}")
    with pytest.raises(DataError, match=r"there are no rows below the header \(a\)"):
        read_columns(parquet(tmp_path, a=[]))
    with pytest.raises(DataError, match="column 1 has no name"):
        read_columns(parquet(tmp_path, **{"": [1]}))


def test_a_parquet_path_is_not_a_pattern(tmp_path):
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "data1.parquet")
    path = tmp_path / "data[1].parquet"
    pl.DataFrame({"a": [2]}).write_parquet(path)
    assert read_columns(path).numbers("a") == [2.0]


def test_polars_is_not_imported_with_the_module():
    code = "import sys, talweg.data; print('polars' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"


def test_columns_can_be_made_without_a_file():
    columns = Columns("made", ("a",), {"a": ["1", "x"]}, (7, 9))
    with pytest.raises(DataError, match=re.escape("made: line 9, column 'a': text 'x'")):
        columns.numbers("a")


def test_an_error_has_the_file_the_place_and_the_repair_as_attributes(tmp_path):
    path = write(tmp_path, "a,b\n1,2\n3,word\n")
    with pytest.raises(DataError) as caught:
        read_csv(path).numbers("b", "leave it out with", Argument("ignore", ["b"]))
    error = caught.value
    assert (error.path, error.line, error.row, error.column) == (str(path), 3, None, "b")
    assert error.problem == "text 'word' where a number is expected"
    assert error.repair == "correct the cell, or leave it out with"
    assert error.suggestion == Argument("ignore", ["b"])
    with pytest.raises(DataError) as caught:
        read_parquet(parquet(tmp_path, a=[1.0, None])).numbers("a")
    assert (caught.value.line, caught.value.row, caught.value.column) == (None, 2, "a")
