"""The code of docs/compiled_programs.md prints what the page shows."""

import re
import sys
import types
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "compiled_programs.md"


def test_every_block_prints_the_text_below_it(capsys, monkeypatch):
    page = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)
    shown = 0
    for kind, block in re.findall(
        r"```(python|text)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    ):
        if kind == "python":
            assert not capsys.readouterr().out  # what was printed before was shown
            exec(compile(block, "compiled_programs.md", "exec"), vars(page))
        else:
            assert capsys.readouterr().out == block
            shown += 1
    assert shown == 7
