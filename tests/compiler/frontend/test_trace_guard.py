"""Trace guards: a function is compared with its trace at the first calls that can differ."""

import itertools
import struct
from queue import SimpleQueue
from types import SimpleNamespace

import pytest

import talweg as tw
from talweg import Value
from talweg.compiler.frontend.result_template import ResultTemplate
from talweg.compiler.frontend.signature import SignatureCache, signature_of
from talweg.compiler.frontend.trace import trace
from talweg.compiler.frontend.trace_guard import TraceGuard
from talweg.errors import CompilerError, TraceError


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


def test_equal_numbers_are_not_compared(checked_once):
    calls = []

    def f(x):
        calls.append(x)
        return x * 2.0

    guard, call = guarded(f, 1.0)
    for _ in range(3):
        call(1.0)
    assert guard.is_open
    assert len(calls) == 1  # the trace


def test_one_comparison_closes_the_guard(checked_once):
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


# ---- TALWEG_CHECK=1 ------------------------------------------------------------------------------


def test_the_check_is_repeated_at_powers_of_two_if_asked(monkeypatch):
    calls = SimpleQueue()

    def f(x):
        calls.put(x)
        return x * 2.0

    monkeypatch.setenv("TALWEG_CHECK", "1")
    guard, call = guarded(f, 1.0)
    compared = []
    for k in range(1, 1100):
        before = calls.qsize()
        if guard.is_open:
            call(1.0)
        if calls.qsize() > before:
            compared.append(k)
    assert compared == [2**k for k in range(1, 11)]
    assert not guard.is_open or guard._repeats is False


@pytest.mark.parametrize("value", [None, "0", ""])
def test_the_check_is_not_repeated_otherwise(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("TALWEG_CHECK", raising=False)
    else:
        monkeypatch.setenv("TALWEG_CHECK", value)
    calls = SimpleQueue()

    def f(x):
        calls.put(x)
        return x * 2.0

    guard, call = guarded(f, 1.0)
    call(2.0)
    assert not guard.is_open
    assert calls.qsize() == 2


def test_a_late_change_is_found_by_the_repeated_check(monkeypatch):
    monkeypatch.setenv("TALWEG_CHECK", "1")
    w, hidden = Value(2.0), SimpleQueue()  # the contents of a queue are not looked into
    fast = tw.jit(lambda x: w * x * (1.0 + hidden.qsize()))
    for k in range(3):
        fast(float(k))
    hidden.put(None)
    with pytest.raises(TraceError, match="when it is run, but"):
        fast(1.0)


def test_the_machine_code_is_compared_in_exact_mode(monkeypatch):
    monkeypatch.setenv("TALWEG_CHECK", "1")
    w = Value(2.0)
    fast = tw.jit(lambda x: w * x, mode="exact")
    fast(1.0)
    ((found,),) = fast._specializations.values()
    monkeypatch.setattr(found._guard, "_native", lambda w, x: (6.5,))
    with pytest.raises(CompilerError, match=r"returns \[6\.5\], but the reference .* \[6\.0\]"):
        fast(3.0)


def test_the_oracle_does_not_apply_effects_twice(monkeypatch):
    monkeypatch.setenv("TALWEG_CHECK", "1")
    cell, plain = SimpleNamespace(h=Value(0.0)), SimpleNamespace(h=Value(0.0))

    def step(cell, x):
        cell.h = cell.h * 0.5 + x
        return cell.h

    fast = tw.jit(step, mode="exact")
    for k in range(20):
        assert fast(cell, float(k)).data == step(plain, float(k)).data
    assert cell.h.data == plain.h.data


def test_the_oracle_gets_plain_floats(monkeypatch):
    monkeypatch.setenv("TALWEG_CHECK", "1")
    w, seen = Value(2.0), SimpleQueue()

    def f(x, rest):
        seen.put((type(x), type(rest["a"])))
        return w * x * rest["a"]

    fast = tw.jit(f)
    for k in range(4):
        fast(float(k), {"a": 1.0})
    kinds = [seen.get() for _ in range(seen.qsize())]
    assert kinds[1:] == [(float, float)] * (len(kinds) - 1)
    assert len(kinds) == 4  # the trace, and calls 1 (it asks for the type), 2 and 4
