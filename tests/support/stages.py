"""The comparison of every stage of the compiler with the eager engine.

Start reading at `check`.
"""

import re
from collections import defaultdict

import numpy as np

import talweg as tw
from talweg.compiler import explain, pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir import adjoint_program, loop_program, scheduled_program, tape
from talweg.compiler.passes.adjoint import adjoint
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.scheduling import schedule
from talweg.errors import NativeError


def outputs_of(output):
    if isinstance(output, (list, tuple)):
        return [x for part in output for x in outputs_of(part)]
    return [output.data] if isinstance(output, tw.Value) else []


def same(a, b):
    """Equal to the last bit, where any nan equals any other."""
    return np.array_equal(np.array(a), np.array(b), equal_nan=True)


def run_text(text, inputs):
    """Run the text that `explain` returns; arrays are dictionaries."""
    names = dict(tw.ops.REGISTRY)
    names |= {name: defaultdict(float) for name in set(re.findall(r"\b([a-z]\d*)\[", text))}
    names |= inputs
    body = re.sub(r"^return (.*)$", r"result = [\1]", text, flags=re.MULTILINE)
    exec(body, names)
    return [float(x) for x in names["result"]]


COTANGENTS = [1.0, -0.75, 2.5, 0.3]
"""Derivatives of a final result by the outputs of a program, repeated cyclically."""


def backward_on_the_tape(flat, inputs, cotangents):
    """Derivatives by parameters and inputs: the tape in reverse, one operation after the other."""
    spaces = {**inputs, "c": flat.constants.tolist(), "t": []}
    for i in range(len(flat)):
        op = flat.operations[flat.code[i]]
        operands = list(zip(flat.space[i], flat.index[i], strict=True))[: op.arity]
        spaces["t"].append(op.value(*[spaces[flat.spaces[s]][k] for s, k in operands]))
    grads = {name: [0.0] * len(numbers) for name, numbers in spaces.items()}
    for (s, k), cotangent in zip(flat.outputs, cotangents, strict=True):
        grads[flat.spaces[s]][k] += cotangent
    for i in reversed(range(len(flat))):
        op = flat.operations[flat.code[i]]
        operands = list(zip(flat.space[i], flat.index[i], strict=True))[: op.arity]
        numbers = [spaces[flat.spaces[s]][k] for s, k in operands]
        for (s, k), rule in zip(operands, op.derivatives, strict=True):
            grads[flat.spaces[s]][k] += rule(grads["t"][i], *numbers, spaces["t"][i])
    return grads["w"], grads["x"]


def close(a, b):
    """Equal to 1e-12 of the largest number, where any nan equals any other."""
    a, b = np.array(a, float), np.array(b, float)
    finite = np.isfinite(a) & np.isfinite(b)
    largest = np.abs(a[finite]).max(initial=0.0)
    return same(a[~finite], b[~finite]) and np.allclose(
        a[finite], b[finite], rtol=1e-12, atol=1e-12 * largest
    )


def check_native(flat, inputs, eager, cotangents, gradient):
    """Compare native code in all its forms with the eager result."""
    for exact, as_table in [(True, False), (False, False), (True, True), (False, True)]:
        compiled = pipeline.executable(flat, exact=exact, wrt=("w", "x"), as_table=as_table)
        agree = same if exact else close
        for _ in range(2):  # the second call reuses the memory of the first one
            assert agree(compiled.value(inputs["w"], inputs["x"]), eager)
            found = compiled.gradient(inputs["w"], inputs["x"], cotangents)
            assert agree(found["w"] + found["x"], gradient[0] + gradient[1])


def check(f, *args, native=False):
    """Trace f and compare every stage with the eager result; returns the program."""
    traced = trace(f, *args)
    tape.verify(traced.tape)
    program = find_loops(traced.tape)
    inputs = {"w": [p.data for p in traced.parameters], "x": traced.inputs}
    eager = outputs_of(traced.output)
    assert same(tape.run(traced.tape, inputs), eager)
    assert same(loop_program.run(program, inputs), eager)
    shown = explain.text(program)
    if len(eager) <= 5 and "t[" not in shown:  # t[n]: a reader of several instructions
        names = {**inputs, "c": traced.tape.constants.tolist()}
        with np.errstate(all="ignore"):
            assert same(run_text(shown, names), eager)
    cotangents = (COTANGENTS * len(eager))[: len(eager)]
    w, x = gradient = backward_on_the_tape(traced.tape, inputs, cotangents)
    if isinstance(traced.output, tw.Value) and traced.parameters:
        for p in traced.parameters:
            p.grad = 0.0
        traced.output.backward()
        assert same([p.grad for p in traced.parameters], w)
    interpreted = adjoint_program.run(adjoint(program), inputs, cotangents)
    assert same(interpreted["w"], w)
    assert same(interpreted["x"], x)
    try:
        scheduled = schedule(program, ("w", "x"))
    except NativeError:
        pass
    else:
        outputs, found = scheduled_program.run(scheduled, inputs, cotangents)
        assert same(outputs, eager)
        assert same(found["w"], w)
        assert same(found["x"], x)
    if native:
        check_native(traced.tape, inputs, eager, cotangents, gradient)
    return program
