"""Executables: native functions of numbers, with memory of their own for each call."""

import struct
import threading

import pytest

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace


def product(as_table=False, wrt=("w", "x")):
    w = tw.Value(2.0)
    tape = trace(lambda x, y: [w * x, x * y], 3.0, 5.0).tape
    return pipeline.executable(tape, exact=True, wrt=wrt, as_table=as_table)


@pytest.mark.parametrize("as_table", [False, True])
def test_outputs_and_derivatives(as_table):
    compiled = product(as_table)
    assert compiled.value([2.0], [3.0, 5.0]) == (6.0, 15.0)
    outputs, derivatives = compiled.value_and_gradient([2.0], [3.0, 5.0], [1.0, 10.0])
    assert outputs == (6.0, 15.0)
    assert derivatives == {"w": (3.0,), "x": (2.0 + 50.0, 30.0)}


@pytest.mark.parametrize("as_table", [False, True])
def test_derivatives_are_added_to_those_given(as_table):
    compiled = product(as_table)
    found = compiled.gradient([2.0], [3.0, 5.0], [1.0, 0.0], {"w": [100.0]})
    assert found == {"w": (103.0,), "x": (2.0, 0.0)}


def test_derivatives_are_computed_by_the_spaces_asked_for():
    compiled = product(wrt=("x",))
    assert compiled.gradient([2.0], [3.0, 5.0], [1.0, 0.0]) == {"x": (2.0, 0.0)}


def test_numbers_may_be_given_as_bytes():
    compiled = product()
    w, x = struct.pack("=d", 2.0), struct.pack("=2d", 3.0, 5.0)
    assert compiled.value(w, x) == (6.0, 15.0)
    assert compiled.gradient(w, x, struct.pack("=2d", 1.0, 0.0))["w"] == (3.0,)


def test_threads_do_not_share_memory():
    compiled, wrong = product(), []

    def work(k):
        found = {compiled.value([float(k)], [3.0, 5.0]) for _ in range(200)}
        wrong.extend(found - {(3.0 * k, 15.0)})

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
