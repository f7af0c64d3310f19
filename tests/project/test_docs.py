"""The code of docs/learning_rates.md prints what the page shows."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "learning_rates.md").read_text(encoding="utf-8")


def test_every_block_prints_the_text_below_it(capsys):
    names, shown_blocks = {}, 0
    blocks = re.findall(r"```(python|text)\n(.*?)```", PAGE, re.DOTALL)
    for kind, block in blocks:
        if kind == "python":
            assert not capsys.readouterr().out  # what was printed before was shown
            exec(compile(block, "learning_rates.md", "exec"), names)
        else:
            assert capsys.readouterr().out == block
            shown_blocks += 1
    assert shown_blocks == 12


def test_the_pictures_are_there_with_their_commands():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)\n\n<sub>`(talweg [^`]+)`</sub>", PAGE)
    assert len(pictures) == PAGE.count("![") == 8
    for path, command in pictures:
        assert (DOCS / path).is_file()
        assert command.endswith(f"--plot docs/{path}")
