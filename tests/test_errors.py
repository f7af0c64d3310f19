"""Errors and warnings: their attributes, and the messages made from them."""

import copy
import pickle
import warnings

import pytest

from talweg.error_fields import Argument, Notation
from talweg.errors import ArgumentError, DataError, DataWarning, NativeError

FIELDS = {
    "text": ({"problem": "the file is empty"}, "the file is empty"),
    "argument": ({"problem": "too long", "argument": "name"}, "name: too long"),
    "expectation": (
        {"argument": "steps", "expected": "an integer of at least 1", "got": None},
        "steps must be an integer of at least 1, got None",
    ),
    "repair": ({"problem": "no rows", "repair": "add one"}, "no rows; add one"),
    "repair with a value": (
        {"problem": "text", "repair": "drop it with", "suggestion": Argument("ignore", ["a"])},
        "text; drop it with ignore=['a']",
    ),
    "repair with an argument": (
        {"problem": "used", "repair": "give another", "suggestion": Argument("store")},
        "used; give another store",
    ),
    "value None": ({"problem": "x", "suggestion": Argument("seed", None)}, "x; seed=None"),
    "file": ({"problem": "empty", "path": "a.csv"}, "a.csv: empty"),
    "line": (
        {"problem": "text", "path": "a.csv", "line": 3, "column": "x"},
        "a.csv: line 3, column 'x': text",
    ),
    "row": ({"problem": "text", "path": "a.pq", "row": 3}, "a.pq: row 3: text"),
}


@pytest.mark.parametrize(("fields", "message"), FIELDS.values(), ids=FIELDS.keys())
def test_a_message_is_made_from_the_fields(fields, message):
    for error in (ArgumentError(**fields), DataError(**fields), DataWarning(**fields)):
        assert str(error) == error.message() == message
        assert error.args == (message,)
        assert {name: getattr(error, name) for name in fields} == fields


def test_a_notation_writes_the_arguments():
    class Upper(Notation):
        def name(self, argument):
            return argument.upper()

    error = ArgumentError(
        argument="lr", expected="above 0", got=-1, repair="try", suggestion=Argument("lr", 0.1)
    )
    assert error.message(Upper()) == "LR must be above 0, got -1; try LR=0.1"
    assert str(error) == "lr must be above 0, got -1; try lr=0.1"


@pytest.mark.parametrize("copied", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_an_error_keeps_its_fields_when_it_is_copied_or_sent_to_another_process(copied):
    error = DataError(
        "text", path="a.csv", line=3, column="x", repair="give", suggestion=Argument("store")
    )
    found = copied(error)
    assert (type(found), str(found)) == (DataError, str(error))
    assert vars(found) == vars(error)
    assert not found.suggestion.has_value


def test_long_values_are_shortened_and_in_one_line():
    for value in (10**5000, "a" * 5000, "a\nb", [0.0] * 5000):
        message = str(ArgumentError(argument="x", expected="a number", got=value))
        assert len(message) < 250
        assert "\n" not in message


def test_a_warning_can_be_given_as_text_or_with_fields():
    for warning in (DataWarning("a; b"), DataWarning("a", repair="b")):
        with pytest.warns(DataWarning, match="^a; b$"):
            warnings.warn(warning, stacklevel=1)


def test_native_code_that_is_not_possible_suggests_the_choice_of_the_engine():
    error = NativeError.not_possible(NativeError("the samples differ"))
    assert str(error) == (
        "native code is not possible: the samples differ; allow the eager engine with engine='auto'"
    )
