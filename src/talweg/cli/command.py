"""`Command`: what `app` needs to know of a command to offer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from talweg.cli.exit_codes import MEANING


@dataclass(frozen=True)
class Command:
    """A command of talweg.

    Attributes:
        run: the function that carries it out; its parameters are the arguments and options, its
            docstring is the help, and it returns the exit code.
        usage: the arguments after the name, for the first line of the help.
        examples: command lines, one a line.
        trains: whether it makes training runs; then the help lists the exit codes.
    """

    run: Callable[..., int]
    usage: str
    examples: tuple[str, ...] = ()
    trains: bool = False

    @property
    def help_epilogue(self) -> str:
        """The end of the help."""
        parts = ["\n  ".join(["Examples:", *self.examples])] if self.examples else []
        return "\n\n".join([*parts, MEANING] if self.trains else parts)
