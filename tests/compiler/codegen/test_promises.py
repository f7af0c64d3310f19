"""What the IR promises to LLVM: nothing beyond the table in docs/architecture.md."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

import talweg as tw
from gallery import GALLERY
from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.runtime import llvm

DOCS = Path(__file__).parents[3] / "docs" / "architecture.md"
PROMISES = (
    "inbounds nusw nuw nsw exact disjoint nneg samesign inrange noalias nocapture captures nonnull "
    "dereferenceable noundef readonly readnone writeonly memory nounwind willreturn mustprogress "
    "nosync nofree norecurse speculatable returned nobuiltin fast nnan ninf nsz arcp contract afn "
    "reassoc tail musttail volatile unordered monotonic align immarg poison undef "
    "alwaysinline noinline internal"
).split()
"""The words of LLVM for promises; `immarg` and `poison` are none where this compiler writes them:
an operand that must be constant, and a vector all of whose lanes are set next."""

FOUND = {
    False: "inbounds nuw nsw noalias nocapture contract reassoc align memory nounwind willreturn "
    "nobuiltin immarg poison alwaysinline internal",
    True: "inbounds nuw nsw noalias nocapture align memory nounwind willreturn nobuiltin immarg "
    "poison alwaysinline noinline internal",
}
"""Those in the IR of default and of exact mode."""


@pytest.fixture
def texts(monkeypatch):
    """The IR of all programs that a test compiles, which are not compiled."""
    found = []

    class NotCompiledError(Exception):
        pass

    def compile_nothing(ir, **_):
        found.append(ir)
        raise NotCompiledError

    monkeypatch.setattr(llvm, "compile", compile_nothing)

    def collect(make, *args, **settings):
        with pytest.raises(NotCompiledError):
            make(*args, **settings)

    collect.found = found
    return collect


def words(text):
    """The promises in a text without names and constants."""
    return set(re.findall(r"(?<![%@.\w])[a-z]+(?![\w.])", text)) & set(PROMISES)


def collect_all(texts, exact):
    for program in GALLERY.values():
        f, args = program.make()
        tape = trace(f, *args).tape
        for as_table in (False, True):
            texts(pipeline.executable, tape, exact=exact, as_table=as_table)
    model = tw.MLP(4, [8, 8, 1], rng=random.Random(0))
    tape = trace(lambda x, y: tw.softplus(tw.sin(model(x)) - y), [0.1, 0.2, 0.3, 0.4], 1.0).tape
    settings = {"update": tw.Adam(0.1).update, "state_size": 2, "mean": True, "exact": exact}
    trained = len(model.parameters())
    for count, batch in ((3, None), (64, None), (64, 24), (4096, None)):
        texts(
            pipeline.trainer,
            tape,
            np.zeros((count, 5)),
            batch=batch,
            trained=trained,
            clip_norm=None if exact else 1.0,
            **settings,
        )
    for batch in (None, 24):
        update = {"update": lambda _: tw.Adam(0.1).update, "start": (0.0, 0.0), "exact": exact}
        texts(pipeline.lane_trainer, tape, np.zeros((64, 5)), batch=batch, **update)


@pytest.mark.parametrize("exact", [False, True])
def test_the_promises_of_the_ir_are_those_of_the_table(texts, exact):
    collect_all(texts, exact)
    found = set().union(*map(words, texts.found))
    assert found - {"noinline"} == set(FOUND[exact].split()) - {"noinline"}


def test_the_table_names_them():
    text = DOCS.read_text(encoding="utf-8")
    table = text.split("### What the IR promises to LLVM")[1].split("### ")[0]
    named = set(re.findall(r"`([a-z]+)(?:\(none\))?`", table))
    for mode in FOUND.values():
        assert set(mode.split()) - {"immarg", "poison"} <= named


@pytest.mark.parametrize("exact", [False, True])
def test_sums_and_differences_are_not_contracted_by_default(texts, exact):
    """The flag is on products, and on sums that `contracted_sums` chose."""
    collect_all(texts, exact)
    text = "".join(texts.found)
    flagged = set(re.findall(r"= (\w+) contract\b", text))
    assert flagged == (set() if exact else {"fmul", "fadd"})
    assert not re.search(r"\b(?:fsub|fdiv|fneg) contract", text)


def test_addresses_are_one_sum(texts):
    """A moving part of an index alone may lead out of its array."""
    collect_all(texts, exact=False)
    count = 0
    for function in "".join(texts.found).split("\ndefine "):
        made, bases = (
            set(re.findall(pattern, function))
            for pattern in (
                r"(%[\w.]+) = getelementptr inbounds i8",
                r"getelementptr inbounds i8, ptr (%[\w.]+)",
            )
        )
        assert not made & bases
        count += len(made)
    assert count > 1000
