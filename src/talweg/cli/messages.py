"""Standard error: notes, warnings and errors, one line each.

Errors and warnings of talweg carry the argument at fault and the argument that repairs it in
attributes (`talweg.errors.Fields`). Here they are written as options: `batch_size` is --batch.
"""

from __future__ import annotations

import csv
import io
import shlex
import sys
from typing import Any

from talweg.cli.console import printable
from talweg.error_fields import Argument, Fields, Notation

_OPTIONS = {"batch_size": "--batch", "factor": "--zoom", "x and y": "--at X,Y"}
"""The options whose names are not those of the arguments."""


class OptionNotation(Notation):
    """How messages write arguments on the command line: as options.

    >>> OPTIONS.name("lr_min"), OPTIONS.name("batch_size"), OPTIONS.name("inputs[0]")
    ('--lr-min', '--batch', 'inputs[0]')
    >>> OPTIONS.setting(Argument("ignore", ["age", "id no"]))
    "--ignore 'age,id no'"
    """

    def name(self, argument: str) -> str:
        """The option for an argument; an entry such as inputs[0] stays as it is."""
        if argument in _OPTIONS:
            return _OPTIONS[argument]
        return f"--{argument.replace('_', '-')}" if argument.isidentifier() else argument

    def setting(self, argument: Argument) -> str:
        """The option with its value, as a shell takes it."""
        option = self.name(argument.name)
        if not argument.has_value:
            return option
        values = argument.value if isinstance(argument.value, list) else [argument.value]
        listed = io.StringIO()
        csv.writer(listed, lineterminator="").writerow(values)
        return f"{option} {shlex.quote(listed.getvalue())}"


OPTIONS = OptionNotation()


def describe(error: Exception) -> str:
    """The message of an error or a warning, with arguments written as options.

    >>> from talweg.errors import ArgumentError
    >>> describe(ArgumentError(argument="lr_min", expected="above 0", got=-1.0))
    '--lr-min must be above 0, got -1.0'
    """
    return error.message(OPTIONS) if isinstance(error, Fields) else str(error)


def print_note(text: str) -> None:
    """Print one line on standard error, after the name of the program."""
    if sys.stderr is not None:
        sys.stderr.write(f"talweg: {printable(' '.join(text.split()))}\n")
        sys.stderr.flush()


def print_error(error: Exception) -> None:
    """Print an error as one line, with arguments written as options."""
    print_note(describe(error))


def print_warning(message: Warning | str, *place: Any, **more: Any) -> None:
    """`warnings.showwarning` while a command runs: one line, without the place in the code."""
    print_note(f"warning: {message if isinstance(message, str) else describe(message)}")
