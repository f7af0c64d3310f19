"""Words of an earlier vocabulary do not come back; docs/glossary.md has the standard terms."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").glob("*.py"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ]
)

WORDS = {
    r"the house": "the architecture",
    r"THE TABLE|ops\.TABLE": "the operation registry",
    r"nests?": "pytree",
    r"[Ww]hole numbers?": "integer",
    r"(symbolic )?Whole(?! [a-z])": "SymbolicInt",
    r"evenly(?! spaced)": "stride detection, affine",
    r"(is|are|be|each) written out": "enumerated, reconstructed",
    r"WrittenOut|written_out": "iteration map",
    r"slow.?trainer": "per-sample trainer",
    r"side.by.side": "in lanes, next to each other",
    r"in_words": "summary",
    r"why_eager|why_one_by_one": "fallback_reason",
    r"of_limit": "lr_over_limit",
    r"SharpnessEvery": "SharpnessCallback",
    r"(?<![.\"])remembers|remembered": "optimiser state",
    r"bears?|bore": "allows",
    r"(Share|Keep|Picked)(?! [a-z])|TAKE": "AccumulateAdjoint, SaveForBackward, Gather",
    r"WHOLE|Flat|Look(?! [a-z])": "integer, CallSignature, ObjectGuard",
    r"tw\.Table|tw\.pick": "tw.Embedding, tw.gather",
}
"""What must not come back, as a regular expression, and what is written in its place."""

ALLOWED = {
    "src/talweg/__init__.py",  # the deprecated names
    "src/talweg/_util/deprecation.py",  # an example of one
    "docs/glossary.md",  # names the old words beside the new ones
    "CHANGELOG.md",  # what was renamed
}


def lines_with(pattern, files=FILES):
    """Each line that has a word: (file and line, text)."""
    word = re.compile(rf"(?<![\w`]){pattern}(?!\w)")
    return [
        (f"{path.relative_to(ROOT).as_posix()}:{number}", line.strip())
        for path in files
        if path.relative_to(ROOT).as_posix() not in ALLOWED
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if word.search(line) and "RenamedAttribute" not in line
    ]


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_the_old_vocabulary_does_not_come_back(word):
    found = lines_with(f"(?:{word})")
    assert found == [], f"write {WORDS[word]}"


def test_a_word_is_found_with_its_file_and_line(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("An integer.\n  A whole number, not a wholenumber.\n", "utf-8")
    assert lines_with("whole ?number", [page]) == [
        ("page.md:2", "A whole number, not a wholenumber.")
    ]
    assert lines_with("integers?", [page]) == [("page.md:1", "An integer.")]
    assert lines_with("wholenumbe", [page]) == []
