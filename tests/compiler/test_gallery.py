"""Realistic programs: native code computes what the eager engine does, value and gradient."""

import runpy
import struct
from pathlib import Path

import numpy as np
import pytest

from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.find_loops import find_loops

GALLERY = runpy.run_path(str(Path(__file__).parents[1] / "support" / "gallery.py"))["GALLERY"]


def bits(numbers):
    """The numbers as text that shows every bit."""
    return [struct.pack(">d", x).hex() for x in numbers]


def eager(f, args, parameters):
    """The value and the gradient by the parameters, by the eager engine."""
    for p in parameters:
        p.grad = 0.0
    result = f(*args)
    result.backward()
    return result.data, [p.grad for p in parameters]


@pytest.fixture(scope="module")
def traced():
    """Every program, traced once."""
    made = {name: program.make() for name, program in GALLERY.items()}
    return {name: (f, args, trace(f, *args)) for name, (f, args) in made.items()}


@pytest.mark.parametrize("name", GALLERY)
def test_a_program_rolls(name, traced):
    tape = traced[name][2].tape
    program = find_loops(tape)
    assert program.size <= GALLERY[name].most
    assert len(tape) > 600  # none is so small that nothing was shown


@pytest.mark.parametrize("name", GALLERY)
def test_exact_code_has_the_eager_bits(name, traced):
    f, args, found = traced[name]
    compiled = pipeline.executable(found.tape, exact=True)
    w = [p.data for p in found.parameters]
    value, gradient = eager(f, args, found.parameters)
    assert bits(compiled.value(w, found.inputs)) == bits([value])
    assert bits(compiled.gradient(w, found.inputs, [1.0])["w"]) == bits(gradient)


@pytest.mark.parametrize("name", GALLERY)
def test_default_code_agrees_to_rounding_errors(name, traced):
    f, args, found = traced[name]
    compiled = pipeline.executable(found.tape)
    w = [p.data for p in found.parameters]
    value, gradient = eager(f, args, found.parameters)
    assert compiled.value(w, found.inputs) == pytest.approx([value], rel=1e-12)
    own = compiled.gradient(w, found.inputs, [1.0])["w"]
    largest = np.abs(gradient).max()
    assert largest > 0.0
    assert np.abs(np.subtract(own, gradient)).max() <= 1e-12 * largest
