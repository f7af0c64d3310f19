"""Training code for CPUs with narrower vectors than this one: run here, and cross-compiled."""

import random
import re

import pytest

import talweg as tw
from talweg.compiler.runtime import llvm, trainer

CPUS = {  # lanes, the target for LLVM, its multiply-add of full vectors, registers it has not
    "AVX2": (4, {"cpu": "x86-64-v3", "triple": "x86_64-linux-gnu"}, r"vfn?m\w+pd.*ymm", "zmm"),
    "NEON": (2, {"triple": "aarch64-linux-gnu"}, r"fml[as]\s+v\d+\.2d", "zmm|ymm|xmm"),
}


def trained(engine):
    rng = random.Random(1)
    data = [([rng.uniform(-1, 1), rng.uniform(-1, 1)], rng.choice([-1.0, 1.0])) for _ in range(30)]
    model = tw.MLP(2, [16, 16, 1], rng=rng)
    history = tw.train(model, data, loss=tw.losses.hinge, engine=engine, steps=20, reduction="mean")
    return history.losses, [p.data for p in model.parameters()]


@pytest.mark.parametrize(("lanes", "target", "multiply_add", "absent"), CPUS.values(), ids=CPUS)
def test_training_with_the_lanes_of(lanes, target, multiply_add, absent, monkeypatch):
    texts = []
    compiled = llvm.compile
    monkeypatch.setattr(llvm, "lanes", lambda: lanes)
    monkeypatch.setattr(llvm, "compile", lambda ir: (texts.append(ir), compiled(ir))[1])
    losses, weights = trained("native")
    wrt, moved = trained("eager")
    assert losses == pytest.approx(wrt, rel=1e-11)
    assert weights == pytest.approx(moved, rel=1e-10)

    (ir,) = [ir for ir in texts if "step" in ir or len(ir) > 50_000]  # not that of the guards
    check_code_for(ir, lanes, target, multiply_add, absent)


def check_code_for(ir, lanes, target, multiply_add, absent):
    """Check that LLVM compiles the IR to vectors of so many lanes, on a CPU that has them."""
    assert f"<{lanes} x double>" in ir
    text = llvm.assembly(ir, **target)
    assert len(re.findall(multiply_add, text)) > 50
    assert not re.search(rf"\b(?:{absent})\d", text)
    assert not re.search(r"\b(?:tanh|exp|fma)@|\bbl\s+(?:tanh|exp|fma)\b", text)  # none by libm


@pytest.mark.parametrize(("lanes", "target", "multiply_add", "absent"), CPUS.values(), ids=CPUS)
def test_sweeps_with_the_lanes_of(lanes, target, multiply_add, absent, monkeypatch):
    texts = []
    compiled = llvm.compile
    monkeypatch.setattr(llvm, "compile", lambda ir: (texts.append(ir), compiled(ir))[1])
    settings = {"seeds": [1, 2], "steps": 9, "engine": "native"}

    def swept(mode):
        return tw.sweep(
            lambda rng: tw.MLP(3, [4, 4, 1], rng=rng),
            tw.lesson_data(),
            [0.01, 0.1, 1e308, 0.03, 0.2],
            mode=mode,
            **settings,
        )

    wide = swept("exact")
    monkeypatch.setattr(llvm, "lanes", lambda: lanes)
    assert str(swept("exact").losses) == str(wide.losses)
    texts.clear()
    assert swept("default").losses == pytest.approx(wide.losses, rel=1e-11, nan_ok=True)
    assert swept("default").verdicts == wide.verdicts
    check_code_for(texts[0], lanes, target, multiply_add, absent)


def test_the_lanes_of_this_cpu_are_those_that_training_uses():
    assert trainer.lanes_and_blocks(1000, 10)[0] == llvm.lanes()
