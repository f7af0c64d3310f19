"""README's Python runs as written, and its commands are the ones that CI runs."""

import re
from pathlib import Path

import pytest

import talweg as tw

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_python_blocks_run_one_after_the_other(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.splitlines()[:2] == ["0.028227", "0.9461"]
    (shown,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    assert printed.endswith(shown)
    assert f"{names['history'].losses[-1]:.6f}" == "0.028227"
    assert names["x"].grad == pytest.approx(0.24149444)
    assert "# 0.24149..." in README


def test_each_of_the_two_commands_is_one_line_that_makes_its_own_environment():
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith(".venv/bin/talweg train")
    assert commands[1].endswith(".venv/bin/python -m pytest")


def test_every_link_and_picture_is_there():
    for page in (README, *((ROOT / "docs" / name).read_text() for name in ("architecture.md",))):
        for target in re.findall(r"\]\(([^)#]+)\)", page):
            if not target.startswith("http"):
                assert (ROOT / target).exists() or (ROOT / "docs" / target).exists(), target


def test_every_name_that_readme_mentions_exists():
    for name in re.findall(r"\btw\.(\w+)", README):
        assert hasattr(tw, name), name
