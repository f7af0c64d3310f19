"""The code of docs/learning_rates.md prints what the page shows; files named in docs exist."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
PAGE = (DOCS / "learning_rates.md").read_text(encoding="utf-8")


@pytest.mark.slow
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


def named(path):
    """The file or folder that a page names: relative to the repository or to the package."""
    found = [folder / path for folder in (ROOT, ROOT / "src" / "talweg")]
    return next((f for f in found if f.exists()), None)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_file_that_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"`(\w[\w./-]*(?:\.py|/))`", text)
    assert [path for path in paths if named(path) is None] == []


def definitions(tree):
    """The functions, classes and assigned names of a module or a class, each with its node."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
    return found


def defines(path, name):
    """Whether a file defines a name such as `f` or `Class.method`."""
    node = ast.parse(path.read_text(encoding="utf-8"))
    for part in name.split("."):
        node = definitions(node).get(part) if hasattr(node, "body") else None
        if node is None:
            return False
    return True


def test_every_name_that_the_architecture_gives_with_a_file_is_defined_there():
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    pairs = re.findall(r"`([A-Za-z_][\w.]*)`\s+in\s+`([\w./-]+\.py)`", text)
    assert len(pairs) > 40
    missing = [
        f"{name} in {path}"
        for name, path in pairs
        if named(path) is None or not defines(named(path), name)
    ]
    assert missing == []


def test_a_name_that_a_file_does_not_define_is_found():
    here = Path(__file__)
    assert defines(here, "defines")
    assert defines(here, "PAGES")
    assert not defines(here, "nothing")
    assert not defines(here, "defines.nothing")


def test_the_picture_of_the_layers_is_that_of_the_import_contract():
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    (picture,) = re.findall(r"```\n(cli/.*?)```", text, re.DOTALL)
    lines = [set(re.findall(r"\w+", line[:68])) for line in picture.splitlines()]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    assert contract["name"] == "The layers of the package"
    above = -1
    for layer in contract["layers"]:
        names = [module.split(".")[-1] for module in re.findall(r"[\w.]+", layer)]
        drawn = [k for name in names for k, words in enumerate(lines) if name in words]
        assert len(drawn) == len(names), layer
        assert min(drawn) > above, layer
        above = max(drawn)
