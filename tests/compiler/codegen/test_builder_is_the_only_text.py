"""Only the builders contain text of LLVM IR: no other file of the compiler writes instructions."""

import ast
import re
from pathlib import Path

import pytest

import talweg

COMPILER = Path(talweg.__file__).parent / "compiler"

BUILDERS = {"codegen/builder.py", "codegen/number_builder.py"}

READERS = {"runtime/llvm.py": ["target datalayout", "llvm."]}
"""What reads text of IR, and the words by which it finds its way."""

WORDS = (
    "getelementptr insertelement extractelement shufflevector alloca memset memcpy memmove fadd "
    "fsub fmul fdiv fneg fcmp icmp sext zext trunc bitcast fptosi sitofp lshr zeroinitializer "
    "poison inbounds noalias nocapture alwaysinline noinline nsw nuw"
).split()
TYPES = r"(?:double|float|i1|i8|i32|i64|ptr|void|<\d+ x \w+>|\{\})"
LOOKS_LIKE_LLVM = re.compile(
    rf"\b(?:{'|'.join(WORDS)})\b"
    rf"|\b(?:load|store|phi|ret|call|switch|add|sub|mul|sdiv|srem|and|or|xor|select) {TYPES}"
    rf"|\b(?:ptr|i1|i8|i32|i64|double) [%@]|\b(?:define|declare) (?:internal\b|{TYPES})"
    r"|\blabel %|\bbr i1\b|\bllvm\.|^%[\w.{]|^@[\w.{]|align \{|\btarget datalayout"
)
"""A text of which `{}` stands for each expression of an f-string."""


def texts(source):
    """The strings and f-strings of a program, but for docstrings."""
    tree = ast.parse(source)
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped.update(map(id, node.values))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces = [x.value if isinstance(x, ast.Constant) else "{}" for x in node.values]
            yield node.lineno, "".join(pieces)
        elif id(node) not in skipped and isinstance(getattr(node, "value", None), str):
            yield node.lineno, node.value


def looks_like_llvm(source):
    return [(line, text) for line, text in texts(source) if LOOKS_LIKE_LLVM.search(text)]


FILES = {str(path.relative_to(COMPILER)): path for path in sorted(COMPILER.rglob("*.py"))}


@pytest.mark.parametrize("name", sorted(FILES.keys() - BUILDERS - READERS.keys()))
def test_no_text_of_llvm_outside_the_builders(name):
    assert looks_like_llvm(FILES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", READERS)
def test_what_reads_the_text_knows_only_these_words(name):
    found = looks_like_llvm(FILES[name].read_text(encoding="utf-8"))
    assert all(any(word in text for word in READERS[name]) for _, text in found)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_text_of_llvm_is_recognised_in_the_builders(name):
    assert len(looks_like_llvm(FILES[name].read_text(encoding="utf-8"))) > 20


@pytest.mark.parametrize(
    "line",
    [
        'f.new(f"add i64 {i}, 1")',
        'f.new("load double, ptr %x")',
        'put(f"store {kind} {x}, ptr {p}, align {n}")',
        'put("br label %loop")',
        'put("ret void")',
        'Function(module, f"define void @{name}(ptr noalias %table)")',
        'name = "%table"',
        'name = f"%i.{head}"',
        'name = "llvm.memset.p0.i64"',
        'f"fmul contract {t} {x}, {y}"',
    ],
)
def test_these_lines_would_be_found(line):
    assert looks_like_llvm(line)


@pytest.mark.parametrize(
    "line",
    [
        '"""Docstring: add i64 %x, 1."""',
        'f"{name}: expected a number, got {x!r}"',
        '"compare and select the label of each row"',
        'f"{100 * share:.0f} %"',
    ],
)
def test_these_lines_would_not_be_found(line):
    assert not looks_like_llvm(line)
