"""Specializations: one compiled trace, its results as Values, and its backward passes."""

import pytest

from talweg import Value
from talweg.compiler.frontend.signature import SignatureCache, signature_of
from talweg.compiler.runtime.executable import Executable
from talweg.compiler.specialization import Specialization


def specialized(f, *args):
    """A specialization, and a function that calls it with arguments of the same signature."""
    cache = SignatureCache()
    made = Specialization(f, signature_of(args, {}, cache), args, {}, exact=True)
    return made, lambda *args: made.call(signature_of(args, {}, cache), args, {})


@pytest.fixture
def native_calls(monkeypatch, checked_once):
    """The names of the native functions that are called, in order."""
    calls = []
    for name in ("value", "value_and_gradient"):
        method = getattr(Executable, name)
        monkeypatch.setattr(
            Executable,
            name,
            lambda *args, method=method, name=name: (calls.append(name), method(*args))[1],
        )
    return calls


def test_values_are_read_at_their_position_or_from_outside():
    captured = Value(10.0)
    made, call = specialized(lambda u, v: u * captured, Value(1.0), Value(2.0))
    assert made.captured == (captured,)
    assert call(Value(3.0), Value(4.0)).data == 30.0
    captured.data = 20.0
    assert call(Value(3.0), Value(4.0)).data == 60.0


def test_the_gradient_is_computed_with_the_result_once_backward_is_expected(native_calls):
    made, call = specialized(lambda u: u * u, Value(1.0))
    for expected in (["value", "value_and_gradient"], ["value_and_gradient"]):
        native_calls.clear()
        u = Value(3.0)
        call(u).backward()
        assert u.grad == 6.0
        assert native_calls == expected
        assert made.expects_backward


def test_an_unusual_backward_pass_ends_the_expectation(native_calls):
    made, call = specialized(lambda u: u * u, Value(1.0))
    for _ in range(2):
        u = Value(3.0)
        (call(u) * 2.0).backward()
        assert u.grad == 12.0
        assert not made.expects_backward
    u = Value(3.0)
    u.grad = 1.0
    call(u).backward()
    assert u.grad == 7.0
    assert not made.expects_backward


def test_a_backward_pass_through_some_results_compiles_those_alone():
    made, call = specialized(lambda u: [u * 2.0, u * u, u.exp()], Value(1.0))
    u = Value(3.0)
    first, second, _ = call(u)
    (first + second).backward()
    assert u.grad == 8.0
    assert set(made._executables) == {(True, True, True), (True, True, False)}
    u = Value(3.0)
    call(u)[1].backward()
    assert u.grad == 6.0
    assert len(made._executables) == 3


def test_results_that_are_given_need_no_native_code(native_calls):
    made, call = specialized(lambda u, x: (u, x), Value(1.0), 2.0)
    assert made.count == 0
    u = Value(5.0)
    assert call(u, 7.0) == (u, 7.0)
    assert native_calls == []
