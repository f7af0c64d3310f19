"""The commands, and the exit code of every way in which one can end.

The module of a command is imported when the command is called. Start reading at `main`.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError

import talweg
from talweg.cli import exit_codes
from talweg.cli.console import console, finish_output, prepare_output
from talweg.cli.help_format import help_formatter, summary
from talweg.cli.messages import print_error, print_note, print_warning
from talweg.errors import TalwegError, TalwegWarning

if TYPE_CHECKING:
    from talweg.cli.command import Command

_SUMMARY = "Neural networks from single numbers: exact gradients, training, pictures."

_MORE = f"""Examples:
  talweg train                                   the lesson, in a second
  talweg train iris.csv --target species         your own file
  talweg predict talweg-model.safetensors new.csv
  talweg sweep --lr 0.001,0.01,0.1,1.0
  talweg lr-find iris.csv --target species

{exit_codes.MEANING}

Colour is used on a terminal only, and not at all if NO_COLOR is set."""

_SUMMARIES = {
    "train": "Train a network on the lesson's four samples, or on a file.",
    "predict": "Predict the rows of a file with a saved model.",
    "sweep": "Train one network at several learning rates, and compare.",
    "sharpness": "Show how large a learning rate the curvature of the loss allows.",
    "lr-find": "Suggest a learning rate: train briefly while the rate grows, and judge the loss.",
    "map": "Draw a map of two settings: one training run for each point, and whether it converged.",
    "graph": "Draw the computation graph of one sample: every number, and its gradient.",
    "explain": "Show the loops that the compiler recovers from the lesson's scalar loss.",
    "info": "Show versions, the machine, and where things are documented.",
}
"""The commands, each with the first sentence of its help.

They are written here too so that `talweg --help` need not import the modules of all commands.
"""

_TRACEBACK = "TALWEG_TRACEBACK"
"""The environment variable that shows where in talweg an unexpected error was raised."""


def load(name: str) -> Command:
    """Import the module of a command.

    >>> load("lr-find").usage
    '[FILE] [OPTIONS]'
    """
    module = import_module(f"talweg.cli.{name.replace('-', '_')}")
    command: Command = module.COMMAND
    return command


def make_app(words: Sequence[str]) -> App:
    """The command line as cyclopts knows it; a call of it returns the command's exit code.

    Args:
        words: the words after `talweg`. Only the command that they name is imported. If they
            name none, all commands are listed, with their summaries and without options.
    """
    options = Group("Arguments and options", sort_key=-1)
    app = App(
        name="talweg",
        help=_SUMMARY,
        usage="Usage: talweg COMMAND [OPTIONS]",
        help_epilogue=_MORE,
        help_format="plaintext",
        help_formatter=help_formatter,
        group_arguments=options,
        group_parameters=options,
        version=talweg.__version__,
        default_parameter=Parameter(negative=(), show_default=False),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        console=console(),
    )
    name = next((word for word in words if word not in ("--help", "-h")), "")
    if name not in _SUMMARIES:
        for order, (listed, text) in enumerate(_SUMMARIES.items()):
            app.command(App(name=listed, help=text, sort_key=order))
        return app
    command = load(name)
    app.command(
        command.run,
        name=name,
        help=summary(command.run),
        usage=f"Usage: talweg {name} {command.usage}",
        help_epilogue=command.help_epilogue,
        help_formatter=partial(help_formatter, command=name),
    )
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `talweg`; those of the process unless given.

    Returns:
        The exit code: 0 fine, 1 failed, 2 wrong usage or bad input, 3 the training
        diverged, 130 interrupted, 141 the program that reads the output has ended.

    >>> main(["--version"])
    0.1.0
    0
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    prepare_output()
    with warnings.catch_warnings():
        warnings.simplefilter("always", TalwegWarning)
        warnings.showwarning = print_warning
        try:
            code = _run(words)
            if sys.stdout is not None:
                sys.stdout.flush()
        except Exception as error:
            code = _failed(error)
        except KeyboardInterrupt:
            print_note("interrupted")
            code = exit_codes.INTERRUPTED
    return code


def _run(words: Sequence[str]) -> int:
    """Run one command; wrong usage is reported here, other errors are raised."""
    try:
        code = make_app(words)(words, exit_on_error=False, print_error=False, verbose=False)
    except UnusedCliTokensError as error:
        too_many = " ".join(error.unused_tokens or [])
        print_note(f"too many arguments: {too_many}. Try talweg --help")
        return exit_codes.WRONG_USAGE
    except CycloptsError as error:
        error.verbose = False
        stop = "" if str(error).endswith((".", "?")) else "."
        print_note(f"{error}{stop} Try talweg --help")
        return exit_codes.WRONG_USAGE
    return code if isinstance(code, int) else exit_codes.FINE


def _failed(error: Exception) -> int:
    """Print an error in one line, and return its exit code."""
    if isinstance(error, OSError):
        finish_output()
    if isinstance(error, BrokenPipeError):
        return exit_codes.CLOSED_PIPE
    if isinstance(error, TalwegError):
        print_error(error)
        return exit_codes.WRONG_USAGE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        print_note(f"{where}{error.strerror or error}")
        return exit_codes.FAILED
    if os.environ.get(_TRACEBACK):
        traceback.print_exception(error)
    print_note(
        f"{type(error).__name__}: {error}; this is a fault of talweg; please report it with the "
        f"text that {_TRACEBACK}=1 shows"
    )
    return exit_codes.FAILED
