"""The end of standard output: what cannot be written is discarded."""

import os
import sys
from pathlib import Path

import pytest

from talweg.cli import main
from talweg.cli.console import finish_output


def test_without_standard_output_there_is_nothing_to_finish(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    finish_output()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_a_full_disk_does_not_take_is_discarded(monkeypatch):
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        full.write("text in the buffer")
        finish_output()
        assert os.fstat(full.fileno()).st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116


def test_a_dependency_that_is_missing_is_listed(monkeypatch, capsys):
    from importlib.metadata import PackageNotFoundError

    from talweg.cli import info

    def nothing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(info, "version", nothing)
    assert main(["info"]) == 0
    assert capsys.readouterr().out.count("not installed") == len(info.DEPENDENCIES)
