"""Programs of parameters and inputs, and their comparison with the eager engine.

Every stage must give the eager bits, forward and backward; native code too in exact mode, and
in the default mode the eager numbers to 1e-12.

Start reading at `case_of`, then `check_stages` and `check_native`.
"""

import dataclasses

import numpy as np

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir import (
    adjoint_program,
    loop_program,
    scheduled_program,
    scheduled_verifier,
    tape,
)
from talweg.compiler.ir.affine import Affine
from talweg.compiler.ir.scheduled_program import Element, ScheduledProgram, VirtualRegister
from talweg.compiler.passes.adjoint import adjoint
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.scheduling import schedule
from talweg.errors import NativeError

COTANGENTS = [1.0, -0.75, 2.5, 0.5]
"""Derivatives of a final result by the outputs; sums of a few of them have no rounding error."""


@dataclasses.dataclass
class Case:
    """A traced program, and its outputs and gradient by the eager engine."""

    tape: tape.Tape
    inputs: dict
    cotangents: list
    outputs: list
    gradient: dict


def eager(f, w, x):
    """Outputs, and derivatives of their combination with the cotangents, by Values alone."""
    ws, xs = [tw.Value(a) for a in w], [tw.Value(a) for a in x]
    outputs = f(ws, xs)
    total = 0.0
    for cotangent, out in zip(COTANGENTS, outputs, strict=False):
        total = total + cotangent * out
    total.backward()
    return [out.data for out in outputs], {"w": [p.grad for p in ws], "x": [p.grad for p in xs]}


def case_of(f, w, x):
    """Trace a program f(parameters, inputs) -> list of Values."""
    outputs, gradient = eager(f, w, x)
    parameters = [tw.Value(a) for a in w]
    traced = trace(f, parameters, x)
    read = [parameters.index(p) for p in traced.parameters]  # the others are not on the tape
    gradient["w"] = [gradient["w"][k] for k in read]
    inputs = {"w": [p.data for p in traced.parameters], "x": traced.inputs}
    return Case(traced.tape, inputs, COTANGENTS[: len(outputs)], outputs, gradient)


def same(a, b):
    """Equal to the bit, where any nan equals any other."""
    a, b = np.array(a, np.float64), np.array(b, np.float64)
    equal = (a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b))
    return a.shape == b.shape and bool(equal.all())


def close(a, b):
    """Equal to 1e-12 of the largest number."""
    a, b = np.array(a, np.float64), np.array(b, np.float64)
    return bool(np.abs(a - b).max(initial=0.0) <= 1e-12 * max(1.0, np.abs(b).max(initial=0.0)))


def check_stages(case):
    """Every interpreter gives the eager bits; returns the scheduled program, if there is one."""
    tape.verify(case.tape)
    assert same(tape.run(case.tape, case.inputs), case.outputs)
    program = find_loops(case.tape)
    assert same(loop_program.run(program, case.inputs), case.outputs)
    found = adjoint_program.run(adjoint(program), case.inputs, case.cotangents)
    assert same(found["w"], case.gradient["w"])
    assert same(found["x"], case.gradient["x"])
    try:
        both = schedule(program, ("w", "x"))
        one = schedule(program, ("w",))
    except NativeError:
        return None
    for scheduled in (both, one):
        scheduled_verifier.verify(scheduled, case.tape.sizes)
        outputs, found = scheduled_program.run(scheduled, case.inputs, case.cotangents)
        assert same(outputs, case.outputs)
        assert tuple(found) == scheduled.wrt
        assert all(same(found[name], case.gradient[name]) for name in found)
    return both


def check_native(case, exact, as_table=False):
    """Native code gives the eager numbers, at the first call and at the second."""
    agree = same if exact else close
    compiled = pipeline.executable(case.tape, exact=exact, wrt=("w", "x"), as_table=as_table)
    w, x = case.inputs["w"], case.inputs["x"]
    for _ in range(2):
        assert agree(compiled.value(w, x), case.outputs)
        found = compiled.gradient(w, x, case.cotangents)
        assert agree(found["w"], case.gradient["w"])
        assert agree(found["x"], case.gradient["x"])


# ---- scheduled programs written by hand ----------------------------------------------------

R0, R1 = VirtualRegister(0), VirtualRegister(1)
W0 = Element("w", Affine(0))


def scheduled_of(forward, backward=(), arrays=None, outputs=(), cotangents=()):
    """A scheduled program of these statements, by whose parameters derivatives are asked for."""
    return ScheduledProgram(
        tuple(forward), tuple(backward), arrays or {}, outputs, cotangents, [], ("w",)
    )
