"""The code of docs/derivatives.md prints what the page shows."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "derivatives.md"


def test_every_block_prints_the_text_below_it(capsys):
    names, shown = {}, 0
    for kind, block in re.findall(
        r"```(python|text)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    ):
        if kind == "python":
            assert not capsys.readouterr().out  # what was printed before was shown
            exec(compile(block, "derivatives.md", "exec"), names)
        else:
            assert capsys.readouterr().out == block
            shown += 1
    assert shown == 8
