"""The shared options, and messages that write arguments as options, without a process."""

from dataclasses import fields
from pathlib import Path

import pytest

from talweg.cli import messages
from talweg.cli.lr_find import RangeTestOptions, lr_find
from talweg.cli.options import (
    DataOptions,
    ExecutionOptions,
    ModelOptions,
    OutputOptions,
    given,
    refuse_without_file,
)
from talweg.error_fields import Argument
from talweg.errors import ArgumentError, DataError, DataWarning


def test_a_command_is_a_function_of_its_groups_of_options(run):
    options = RangeTestOptions(steps=30), OutputOptions(plot=Path("a.svg"))
    assert lr_find(run=options[0], output=options[1]) == 0
    assert Path("a.svg").exists()


@pytest.mark.parametrize("group", [DataOptions, ModelOptions, ExecutionOptions, OutputOptions])
def test_no_option_of_a_group_is_required(group):
    assert given(group()) == []
    assert all(f.name in group.__doc__ or f.name == "as_json" for f in fields(group))


def test_options_for_a_file_are_refused_without_one():
    refuse_without_file("sweep", given(DataOptions()))
    with pytest.raises(ArgumentError, match="--ignore is for a file; name it: talweg sweep"):
        refuse_without_file("sweep", given(DataOptions(ignore="id")))


def test_the_picture_of_a_command_has_its_name(run):
    assert OutputOptions().picture("map") == Path("talweg-map.png")
    assert OutputOptions(no_plot=True).picture("map") is None


MESSAGES = {
    "argument": (ArgumentError("too long", argument="batch_size"), "--batch: too long"),
    "expectation": (
        ArgumentError(argument="lr_max", expected="above 0", got=-1),
        "--lr-max must be above 0, got -1",
    ),
    "entry of an argument": (
        DataError(argument="inputs[1][0]", expected="a finite number", got="4"),
        "inputs[1][0] must be a finite number, got '4'",
    ),
    "list": (
        DataWarning("text", repair="drop", suggestion=Argument("ignore", ["a", "d,e"])),
        "text; drop --ignore 'a,\"d,e\"'",
    ),
    "word": (
        DataError("text", repair="take", suggestion=Argument("kind", "classification")),
        "text; take --kind classification",
    ),
    "other error": (ValueError("batch_size is set"), "batch_size is set"),
}


@pytest.mark.parametrize(("error", "message"), MESSAGES.values(), ids=MESSAGES.keys())
def test_messages_write_arguments_as_options(error, message, capsys):
    assert messages.describe(error) == message
    messages.print_error(error)
    messages.print_warning(error)
    line = " ".join(message.split())
    assert capsys.readouterr() == ("", f"talweg: {line}\ntalweg: warning: {line}\n")
