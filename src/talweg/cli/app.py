"""The commands, and what every way to end one becomes: an exit code and one line.

Start reading at `main`.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError

import talweg
from talweg.cli import (
    ending,
    explain,
    graph,
    info,
    lr_find,
    predict,
    sharpness,
    sweep,
    train,
    trainability,
)
from talweg.cli.console import console, finish_output, note, prepare_output, show_warning
from talweg.cli.help_text import help_formatter, summary
from talweg.errors import TalwegError, TalwegWarning

_SUMMARY = "Neural networks from single numbers: exact gradients, training, pictures."

_MORE = f"""Examples:
  talweg train                                   the lesson, in a second
  talweg train iris.csv --target species         a file of yours
  talweg predict talweg-model.safetensors new.csv
  talweg sweep --lr 0.001,0.01,0.1,1.0
  talweg lr-find iris.csv --target species

{ending.MEANING}

Colour is used on a terminal only, and not at all if NO_COLOR is set."""

_TRACEBACK = "TALWEG_TRACEBACK"
"""The environment variable that shows where in talweg an unexpected error came from."""


def make_app() -> App:
    """The command line as cyclopts knows it; calling it returns the command's exit code."""
    options = Group("Arguments and options", sort_key=0)
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
    commands: list[tuple[Callable[..., int], str, str]] = [
        (train.train, "[FILE] [OPTIONS]", f"{train.EXAMPLES}\n\n{ending.MEANING}"),
        (predict.predict, "MODEL FILE [OPTIONS]", predict.EXAMPLES),
        (sweep.sweep, "[FILE] [OPTIONS]", f"{sweep.EXAMPLES}\n\n{ending.MEANING}"),
        (sharpness.sharpness, "[FILE] [OPTIONS]", f"{sharpness.EXAMPLES}\n\n{ending.MEANING}"),
        (lr_find.lr_find, "[FILE] [OPTIONS]", lr_find.EXAMPLES),
        (trainability.map_, "[FILE] [OPTIONS]", f"{trainability.EXAMPLES}\n\n{ending.MEANING}"),
        (graph.graph, "[OPTIONS]", graph.EXAMPLES),
        (explain.explain, "[OPTIONS]", explain.EXAMPLES),
        (info.info, "[--json]", ""),
    ]
    for order, (command, usage, more) in enumerate(commands):
        app.command(
            command,
            help=summary(command),
            usage=f"Usage: talweg {command.__name__.replace('_', '-').strip('-')} {usage}",
            help_epilogue=more,
            sort_key=order,
        )
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `talweg`; those of the process unless given.

    Returns:
        The exit code: 0 fine, 1 failed, 2 wrong usage or bad input, 3 the training
        diverged, 130 interrupted, 141 the reader of the output went away.

    >>> main(["--version"])
    0.1.0
    0
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    prepare_output()
    with warnings.catch_warnings():
        warnings.simplefilter("always", TalwegWarning)
        warnings.showwarning = show_warning
        try:
            code = _run(words)
            if sys.stdout is not None:
                sys.stdout.flush()
        except Exception as error:
            code = _failed(error)
        except KeyboardInterrupt:
            note("interrupted")
            code = ending.INTERRUPTED
    return code


def _run(words: Sequence[str]) -> int:
    try:
        code = make_app()(words, exit_on_error=False, print_error=False, verbose=False)
    except UnusedCliTokensError as error:
        too_many = " ".join(error.unused_tokens or [])
        note(f"too many arguments: {too_many}. Try talweg --help")
        return ending.WRONG_USAGE
    except CycloptsError as error:
        error.verbose = False
        stop = "" if str(error).endswith((".", "?")) else "."
        note(f"{error}{stop} Try talweg --help")
        return ending.WRONG_USAGE
    return code if isinstance(code, int) else ending.FINE


def _failed(error: Exception) -> int:
    """Say in one line what went wrong, and give the exit code for it."""
    if isinstance(error, OSError):
        finish_output()
    if isinstance(error, BrokenPipeError):
        return ending.CLOSED_PIPE
    if isinstance(error, TalwegError):
        note(str(error))
        return ending.WRONG_USAGE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        note(f"{where}{error.strerror or error}")
        return ending.FAILED
    if os.environ.get(_TRACEBACK):
        traceback.print_exception(error)
    note(
        f"{type(error).__name__}: {error}; this is a fault of talweg, please report it with what "
        f"{_TRACEBACK}=1 shows"
    )
    return ending.FAILED
