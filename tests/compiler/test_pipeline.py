"""The driver of the compiler: its choice of a form, and the stages that it prints."""

import random

import numpy as np
import pytest

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.runtime.per_sample_trainer import PerSampleTrainer
from talweg.compiler.runtime.trainer import Trainer
from talweg.errors import ArgumentError, CompilerError, NativeError, TalwegWarning


def sum_of_squares(xs):
    return sum(x * x for x in xs)


def without_pattern(xs):
    """More than LONGEST_TEXT operations in an order that has no loops."""
    rng, total = random.Random(0), xs[0]
    for _ in range(3 * pipeline.LONGEST_TEXT):
        total = rng.choice([tw.sin, tw.cos, tw.tanh])(total) + rng.choice(xs)
    return total


def printed(capsys):
    """The stages on standard error: their names, and the text of each."""
    parts = capsys.readouterr().err.split("==== ")[1:]
    return [part.split("\n", 1) for part in parts]


# ---- which form a program has --------------------------------------------------------------------


def test_a_short_program_is_scheduled_and_a_long_one_without_loops_is_a_table():
    short = trace(sum_of_squares, [1.0, 2.0, 3.0]).tape
    assert pipeline.executable(short).scheduled is not None
    assert pipeline.executable(short, as_table=True).scheduled is None
    assert pipeline.executable(trace(without_pattern, [0.1, 0.2]).tape).scheduled is None


SETTINGS = {"update": tw.SGD(0.1).update, "state_size": 0, "trained": 1, "mean": False}


def test_a_long_program_without_loops_is_trained_sample_by_sample():
    w = tw.Value(0.5)
    samples = np.array([[0.1, 0.2]])
    short = trace(lambda xs: sum_of_squares(xs) * w, [0.1, 0.2]).tape
    long = trace(lambda xs: without_pattern(xs) * w, [0.1, 0.2]).tape
    assert isinstance(pipeline.trainer(short, samples, **SETTINGS), Trainer)
    assert isinstance(pipeline.trainer(long, samples, **SETTINGS), PerSampleTrainer)
    with pytest.raises(NativeError, match=r"more than 2,000 instructions after its loops are fou"):
        pipeline.lane_trainer(long, samples, update=lambda _: tw.SGD(0.1).update)


def test_every_driver_verifies_its_tape():
    tape = trace(sum_of_squares, [1.0, 2.0, 3.0]).tape
    tape.index[-1, 0] = 99
    samples = np.ones((1, 3))
    for compiled in (
        lambda: pipeline.executable(tape),
        lambda: pipeline.executable(tape, as_table=True),
        lambda: pipeline.loop_program(tape),
        lambda: pipeline.trainer(tape, samples, **SETTINGS),
        lambda: pipeline.lane_trainer(tape, samples, update=lambda _: tw.SGD(0.1).update),
    ):
        with pytest.raises(CompilerError, match="tape: instruction"):
            compiled()


def test_modes():
    assert pipeline.is_exact("exact")
    assert not pipeline.is_exact("default")
    with pytest.raises(ArgumentError, match='mode must be "default" or "exact", got \'fast\''):
        pipeline.is_exact("fast")


# ---- printed stages ------------------------------------------------------------------------------


def test_nothing_is_printed_unless_asked_for(capsys, monkeypatch):
    monkeypatch.delenv("TALWEG_DUMP", raising=False)
    tw.jit(sum_of_squares)([1.0, 2.0, 3.0])
    monkeypatch.setenv("TALWEG_DUMP", "")
    tw.jit(sum_of_squares)([1.0, 2.0, 3.0, 4.0])
    assert capsys.readouterr() == ("", "")


def test_the_stages_of_a_compiled_function_are_printed_in_order(capsys, monkeypatch):
    monkeypatch.setenv("TALWEG_DUMP", "llvm, scheduled,loops,tape")
    tw.jit(lambda w, xs: sum_of_squares([w * x for x in xs]))(
        tw.Value(0.5), [0.1 * k for k in range(10)]
    )
    stages = printed(capsys)
    assert [name for name, _ in stages] == ["tape", "loops", "scheduled", "llvm"]
    texts = dict(stages)
    assert texts["tape"].startswith("t0 = mul w0 x0\n")
    assert texts["scheduled"].count("for i in range(9)") == 2  # forward and backward
    assert "define void @gradient(" in texts["llvm"]


def test_only_the_stages_that_are_named_are_printed(capsys, monkeypatch):
    monkeypatch.setenv("TALWEG_DUMP", "scheduled")
    tw.jit(sum_of_squares)([1.0, 2.0, 3.0])
    tw.hessian(sum_of_squares)([1.0, 2.0, 3.0])
    assert [name for name, _ in printed(capsys)] == ["scheduled"] * 2


@pytest.mark.parametrize(
    ("compiled", "stages"),
    [
        (lambda: tw.explain(sum_of_squares, [1.0, 2.0, 3.0]), ["tape", "loops"]),
        (lambda: tw.grad(sum_of_squares)([1.0, 2.0, 3.0]), list(pipeline.STAGES)),
        (lambda: tw.jit(without_pattern)([0.1, 0.2]), ["tape", "llvm"]),
        (
            lambda: tw.train(tw.MLP(3, [1]), tw.lesson_data(), steps=1, engine="native"),
            list(pipeline.STAGES),
        ),
        (
            lambda: tw.sweep(
                lambda rng: tw.MLP(3, [1], rng=rng),
                tw.lesson_data(),
                [0.1, 0.2],
                steps=1,
                engine="native",
            ),
            list(pipeline.STAGES),
        ),
    ],
    ids=["explain", "grad", "table", "train", "sweep"],
)
def test_every_caller_goes_through_the_pipeline(compiled, stages, capsys, monkeypatch):
    monkeypatch.setenv("TALWEG_DUMP", ",".join(pipeline.STAGES))
    compiled()
    assert [name for name, _ in printed(capsys)] == stages


def test_a_stage_that_does_not_exist_is_warned_of_once(capsys, monkeypatch):
    monkeypatch.setenv("TALWEG_DUMP", "tape,lops")
    message = "TALWEG_DUMP names no stage 'lops'; expected some of tape, loops, scheduled, llvm"
    with pytest.warns(TalwegWarning, match=message) as caught:
        tw.jit(sum_of_squares)([1.0, 2.0, 3.0])
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert [name for name, _ in printed(capsys)] == ["tape"]
