"""Trace guards: a function is compared with its trace at the first calls that can differ."""

import itertools
import struct

import pytest

from talweg.compiler.frontend.result_template import ResultTemplate
from talweg.compiler.frontend.signature import SignatureCache, signature_of
from talweg.compiler.frontend.trace import trace
from talweg.compiler.frontend.trace_guard import TraceGuard
from talweg.errors import TraceError


def guarded(f, x):
    """A guard of a function of one float, and a function that makes a call."""
    cache = SignatureCache()
    traced = trace(f, x)
    guard = TraceGuard(
        f, traced.tape, ResultTemplate(traced), signature_of([x], {}, cache), numbers_of(traced)
    )

    def call(x):
        guard(numbers_of(traced), signature_of([x], {}, cache), [x], {})

    return guard, call


def numbers_of(traced):
    return struct.pack(f"={len(traced.parameters)}d", *[p.data for p in traced.parameters])


def test_equal_numbers_are_not_compared():
    calls = []

    def f(x):
        calls.append(x)
        return x * 2.0

    guard, call = guarded(f, 1.0)
    for _ in range(3):
        call(1.0)
    assert guard.is_open
    assert len(calls) == 1  # the trace


def test_one_comparison_closes_the_guard():
    calls = []

    def f(x):
        calls.append(x)
        return x * 2.0

    guard, call = guarded(f, 1.0)
    call(5.0)
    assert not guard.is_open
    assert len(calls) == 2


def test_a_number_that_became_a_constant_is_an_error():
    clock = itertools.count(2)
    _, call = guarded(lambda x: x * next(clock), 1.0)
    with pytest.raises(TraceError, match=r"returns 6\.0 when it is run, but 4\.0 compiled"):
        call(2.0)


def test_the_error_names_the_function_and_is_one_line():
    clock = itertools.count(2)

    def frozen(x):
        return x * next(clock)

    _, call = guarded(frozen, 1.0)
    with pytest.raises(TraceError, match=r"^frozen returns") as caught:
        call(2.0)
    assert "\n" not in str(caught.value)
