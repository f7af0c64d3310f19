"""What an error or a warning reports, in attributes, and the message that they make.

A program reads the attributes: the argument at fault, the line of a file, the argument that
repairs it. The command line writes arguments as options (`Notation`). Start reading at `Fields`.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Argument:
    """An argument of a function that a message names, and a value for it if there is one.

    Attributes:
        name: the name of the argument in Python.
        value: the value that is suggested for it.
    """

    name: str
    value: Any = ...  # no value; None may be one

    @property
    def has_value(self) -> bool:
        """Whether there is a value."""
        return self.value is not ...


class Notation:
    """How a message writes arguments: as Python does. The command line writes its options."""

    def name(self, argument: str) -> str:
        """The name of an argument.

        >>> Notation().name("batch_size")
        'batch_size'
        """
        return argument

    def setting(self, argument: Argument) -> str:
        """An argument with its value.

        >>> Notation().setting(Argument("ignore", ["id"])), Notation().setting(Argument("store"))
        ("ignore=['id']", 'store')
        """
        name = self.name(argument.name)
        return f"{name}={argument.value!r}" if argument.has_value else name


PYTHON = Notation()


class Fields:
    """What an error or a warning reports, in attributes, and the message made from them.

    The message is `path: line 3, column 'x': problem; repair`, without the parts that are not
    given. The problem is one of

        text                                  Fields("the file is empty")
        argument: text                        Fields("the file is empty", argument="data")
        argument must be expected, got got    Fields(argument="steps", expected="...", got=0)

    Args:
        problem: what was found.
        argument: the name of the argument at fault, or the place of an entry of it, such as
            "inputs[3][0]".
        expected: what the argument must be.
        got: what it was.
        repair: how to repair it.
        suggestion: an argument that repairs it; the message names it after `repair`.
        path: the file at fault.
        line: the line of a text file, from 1.
        row: the row of a table, from 1.
        column: the name of the column.

    Example:
        >>> from talweg.errors import ArgumentError
        >>> error = ArgumentError(argument="steps", expected="an integer of at least 1", got=0)
        >>> print(error)
        steps must be an integer of at least 1, got 0
        >>> error.argument, error.got
        ('steps', 0)
    """

    args: tuple[Any, ...]

    def __init__(
        self,
        problem: str = "",
        *,
        argument: str = "",
        expected: str = "",
        got: Any = None,
        repair: str = "",
        suggestion: Argument | None = None,
        path: str = "",
        line: int | None = None,
        row: int | None = None,
        column: str = "",
    ) -> None:
        self.problem, self.argument, self.expected, self.got = problem, argument, expected, got
        self.repair, self.suggestion = repair, suggestion
        self.path, self.line, self.row, self.column = path, line, row, column
        self.args = (self.message(),)

    def message(self, notation: Notation = PYTHON) -> str:
        """The message.

        Args:
            notation: how arguments are written.

        Returns:
            One line.
        """
        what = self.problem
        if self.expected:
            name = notation.name(self.argument)
            what = f"{name} must be {self.expected}, got {_REPR.repr(self.got)}"
        elif self.argument:
            what = f"{notation.name(self.argument)}: {self.problem}"
        how = [self.repair] if self.repair else []
        how += [notation.setting(self.suggestion)] if self.suggestion else []
        return f"{self._place()}{what}{'; ' if how else ''}{' '.join(how)}"

    def _place(self) -> str:
        """The file, and the place in it."""
        parts = [f"{unit} {n}" for unit, n in (("line", self.line), ("row", self.row)) if n]
        parts += [f"column {self.column!r}"] if self.column else []
        place = ", ".join(parts)
        return "".join(f"{part}: " for part in (self.path, place) if part)


class _Repr(reprlib.Repr):
    """`repr` in one line, cut in the middle where it is very long."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxlong = 80
        self.maxother = 200
        self.maxlist = self.maxtuple = self.maxdict = 20

    def repr(self, x: Any) -> str:
        return " ".join(super().repr(x).split())

    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # Python writes no integers of more than 4300 digits
            return f"an integer of {x.bit_length()} bits"


_REPR = _Repr()
