"""tw.jit: results, gradients, errors and warnings of compiled functions."""

import dataclasses
import gc
import math
import random
import threading
import weakref
from queue import SimpleQueue

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.compiler.runtime import llvm
from talweg.errors import ArgumentError, OperationError, TraceWarning

MODES = ["exact", "default"]


def agree(a, b, mode):
    assert a == b if mode == "exact" else a == pytest.approx(b, rel=1e-12, abs=1e-14)


def loss(model, xs, ys):
    return sum((model(x) - y) ** 2 for x, y in zip(xs, ys, strict=True))


def lesson():
    model = tw.MLP(3, [4, 4, 1], rng=random.Random(42))
    data = tw.lesson_data()
    return model, [list(x) for x, _ in data], [y for _, y in data]


def gradient(result, parameters):
    for p in parameters:
        p.grad = 0.0
    result.backward()
    return [p.grad for p in parameters]


# ---- compared with the eager engine --------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_training_loop_by_hand(mode):
    (model, xs, ys), (other, _, _) = lesson(), lesson()
    fast = tw.jit(loss, mode=mode)
    for _ in range(20):
        a, b = fast(model, xs, ys), loss(other, xs, ys)
        agree(a.data, b.data, mode)
        agree(gradient(a, model.parameters()), gradient(b, other.parameters()), mode)
        for p in [*model.parameters(), *other.parameters()]:
            p.data -= 0.05 * p.grad
    assert fast.traces == 1


@pytest.mark.parametrize("mode", MODES)
def test_captured_parameters(mode):
    model, xs, ys = lesson()
    fast = tw.jit(lambda: loss(model, xs, ys), mode=mode)
    for _ in range(3):
        agree(
            gradient(fast(), model.parameters()),
            gradient(loss(model, xs, ys), model.parameters()),
            mode,
        )
        for p in model.parameters():
            p.data *= 0.9
    assert fast.traces == 1


def test_gradients_accumulate_in_the_eager_order():
    model, xs, ys = lesson()
    fast, parameters = tw.jit(loss, mode="exact"), model.parameters()
    for f in (fast, loss):
        model.zero_grad()
        f(model, xs, ys).backward()
        f(model, xs[:2], ys[:2]).backward()
        f(model, xs, ys).backward()
        if f is fast:
            first = [p.grad for p in parameters]
    assert first == [p.grad for p in parameters]


@pytest.mark.parametrize("mode", MODES)
def test_values_in_the_middle_of_a_graph(mode):
    def f(u, v):
        return u * v + u.tanh()

    fast = tw.jit(f, mode=mode)
    found = []
    for g in (fast, f):
        a, b = Value(0.3), Value(0.7)
        h = a * b
        (g(h, b) * h).backward()
        found.append((a.grad, b.grad))
    agree(*found, mode)


@pytest.mark.parametrize("mode", MODES)
def test_several_results_are_a_pytree(mode):
    def f(u, x):
        p = u * x
        return {"p": p, "rest": (p.tanh(), [x, u, 3, "text"]), "same": p}

    fast = tw.jit(f, mode=mode)
    for _ in range(2):
        u = Value(0.4)
        r = fast(u, 1.5)
        assert r["p"].data == 0.4 * 1.5
        assert r["same"] is r["p"]
        assert r["rest"][1] == [1.5, u, 3, "text"]
        (r["p"] * r["rest"][0]).backward()
        own = Value(0.4)
        e = f(own, 1.5)
        (e["p"] * e["rest"][0]).backward()
        agree(u.grad, own.grad, mode)


def test_results_that_backward_does_not_reach_have_no_effect():
    fast = tw.jit(lambda u: (u * 2.0, u.log()), mode="exact")
    u = Value(0.0)
    a, b = fast(u)
    assert b.data == -math.inf
    a.backward()
    assert u.grad == 2.0  # and not nan, as 0 * inf would make
    b.backward()
    assert u.grad == math.inf
    b.backward()


@pytest.mark.parametrize("mode", MODES)
def test_one_of_several_results_that_read_many_numbers(mode):
    """Inputs and parameters have higher indices than there are instructions."""
    ws, xs = [Value(float(k + 1)) for k in range(5)], [float(k) for k in range(10)]
    fast = tw.jit(lambda ws, xs: [ws[0] * ws[1], ws[2] * ws[3], ws[4] * xs[9]], mode=mode)
    _first, second, third = fast(ws, xs)
    third.backward()
    assert [w.grad for w in ws] == [0.0, 0.0, 0.0, 0.0, 9.0]
    second.backward()
    assert [w.grad for w in ws] == [0.0, 0.0, 4.0, 3.0, 9.0]


def test_results_that_are_not_computed():
    u = Value(2.0)
    assert tw.jit(lambda v, x: v)(u, 1.0) is u
    _a, b = tw.jit(lambda v, x: (v * 1.0, v))(u, 1.0)
    assert b is u
    assert tw.jit(lambda x: Value(7.0) * 1.0)(1.0).data == 7.0


# ---- arguments -----------------------------------------------------------------------------------


@dataclasses.dataclass
class Point:
    x: float
    y: Value
    name: str = "p"


def test_numbers_are_found_in_every_kind_of_container():
    def f(point, table, array, *, scale):
        return (point.x * point.y + table["a"][0] * array[1, 0] + table["b"]) * scale

    fast = tw.jit(f, mode="exact")
    for k in range(3):
        arguments = (
            Point(1.0 + k, Value(0.5 * k)),
            {"a": (2.0, 3.0 * k), "b": Value(1.5)},
            np.array([[1.0, 2.0], [k, 4.0]]),
        )
        assert fast(*arguments, scale=0.5 + k).data == f(*arguments, scale=0.5 + k).data
    assert fast.traces == 1


@pytest.mark.parametrize(
    "changed",
    [
        ([1.0, 2.0, 3.0], 2, "a"),
        ([1.0], 2, "a"),
        ([1.0, 2.0], 3, "a"),
        ([1.0, 2.0], 2, "b"),
        ((1.0, 2.0), 2, "a"),
        ([1.0, Value(2.0)], 2, "a"),
    ],
)
def test_everything_but_numbers_is_part_of_the_program(changed):
    def f(xs, power, name):
        return sum(x**power for x in xs) * (1.0 if name == "a" else 2.0)

    fast = tw.jit(f)
    fast([1.0, 2.0], 2, "a")
    fast([3.0, 4.0], 2, "a")
    assert fast.traces == 1
    result = fast(*changed)
    assert fast.traces == 2
    expected = f(*changed)
    assert type(result) is type(expected)
    assert float(result) == pytest.approx(float(expected))


def test_another_model_with_the_same_structure_needs_no_new_trace():
    fast = tw.jit(lambda model, x: model(x), mode="exact")
    for seed in range(3):
        model = tw.MLP(2, [3, 1], rng=random.Random(seed))
        assert fast(model, [0.5, -1.0]).data == model([0.5, -1.0]).data
    assert fast.traces == 1
    wider = tw.MLP(2, [4, 1], rng=random.Random(0))
    assert fast(wider, [0.5, -1.0]).data == wider([0.5, -1.0]).data
    other = tw.MLP(2, [3, 1], activation="relu", rng=random.Random(0))
    assert fast(other, [0.5, -1.0]).data == other([0.5, -1.0]).data
    assert fast.traces == 3


def test_a_model_that_has_changed_is_inspected_again():
    class Scaled(tw.Module):
        def __init__(self):
            self.w, self.factor, self.extra = Value(2.0), 3.0, []

        def named_parameters(self):
            yield "w", self.w

        def __call__(self, x):
            return self.w * self.factor * x + sum(self.extra)

    model = Scaled()
    fast = tw.jit(lambda m, x: m(x), mode="exact")
    assert fast(model, 1.0).data == 6.0
    model.factor = 4.0
    assert fast(model, 1.0).data == 8.0
    model.extra.append(Value(0.5))
    assert fast(model, 1.0).data == 8.5
    model.w = Value(1.0)
    result = fast(model, 1.0)
    assert result.data == 4.5
    result.backward()
    assert model.w.grad == 4.0


def test_one_value_in_two_places():
    fast = tw.jit(lambda a, b: a * b)
    a, b = Value(3.0), Value(4.0)
    fast(a, b).backward()
    assert (a.grad, b.grad) == (4.0, 3.0)
    a.grad = 0.0
    fast(a, a).backward()
    assert a.grad == 6.0
    assert fast.traces == 2
    captured = Value(2.0)
    both = tw.jit(lambda v: v * captured)
    both(captured).backward()
    assert captured.grad == 4.0


def test_a_float_has_the_attributes_of_a_float():
    with pytest.raises(AttributeError, match="'float' object has no attribute 'tanh'"):
        tw.jit(lambda x: x.tanh())(1.0)
    f = tw.jit(lambda x: x * 2.0 if x.is_integer() else x)
    assert [f(x) for x in (1.0, 0.5, 2.0)] == [2.0, 0.5, 4.0]


# ---- one trace, or many --------------------------------------------------------------------------


def test_the_second_call_neither_traces_nor_compiles(monkeypatch, checked_once):
    calls = SimpleQueue()

    w = Value(0.5)

    @tw.jit
    def f(x):
        calls.put("traced")
        return tw.sin(x * w) * x

    f(1.0)
    f(2.0)  # is also run eagerly once, to be compared
    monkeypatch.setattr(llvm, "compile", lambda *a, **k: calls.put("compiled"))
    before = calls.qsize()
    for k in range(5):
        f(0.1 * k).backward()
    assert calls.qsize() == before


def test_the_warning_about_many_traces_has_the_reason():
    power = tw.jit(lambda n, x: x**n)
    for n in range(8):
        power(n, 1.1)
    words = r"traced for the 9th time, because of argument 1: int 8, was int 7"
    with pytest.warns(TraceWarning, match=words):
        power(8, 1.1)
    assert power.traces == 9


def test_a_compiled_function_within_another_is_part_of_its_trace():
    inner = tw.jit(lambda x: x * x)
    outer = tw.jit(lambda x: inner(x) + 1.0)
    assert outer(3.0) == 10.0
    assert (inner.traces, outer.traces) == (0, 1)
    assert tw.grad(outer)(3.0) == 6.0


def test_decorated_methods_names_and_wrong_arguments():
    class Curve:
        power = 3

        @tw.jit(mode="exact")
        def at(self, x):
            """The curve's height."""
            return x**self.power

    assert Curve().at(2.0) == 8.0
    assert Curve.at.__doc__ == "The curve's height."
    assert "Curve.at" in repr(Curve.at)
    assert "exact" in repr(Curve.at)
    for wrong in (3, Value, None):
        with pytest.raises((ArgumentError, TypeError)):
            tw.jit(wrong)(1.0)
    with pytest.raises(ArgumentError, match="mode must be"):
        tw.jit(abs, mode="fast")


def test_threads_get_their_own_numbers():
    f = tw.jit(lambda xs, w: sum(tw.sin(x) * w for x in xs), mode="exact")
    f([0.0] * 50, Value(1.0))
    wrong = []

    def work(seed):
        rng = random.Random(seed)
        for _ in range(100):
            xs, w = [rng.random() for _ in range(50)], Value(rng.random())
            result = f(xs, w)
            result.backward()
            own = sum(tw.sin(x) * Value(w.data) for x in xs)
            if result.data != own.data or w.grad != pytest.approx(sum(map(math.sin, xs))):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_results_are_not_kept_alive():
    f = tw.jit(lambda w: w * w)
    w = Value(2.0)
    result = f(w)
    seen = weakref.ref(result)
    other = weakref.ref(w)
    del result, w
    gc.collect()
    assert seen() is None
    assert other() is None


# ---- registered operations -----------------------------------------------------------------------


@pytest.fixture
def registered():
    names = []

    def register(name, *args, **kwargs):
        names.append(name)
        return tw.ops.register(name, *args, **kwargs)

    yield register
    for name in names:
        tw.ops.unregister(name)


@pytest.mark.parametrize("mode", MODES)
def test_a_registered_operation_is_compiled(registered, mode):
    bump = registered("bump", lambda x: x * x * (1.0 - x), "g * x * (2.0 - 3.0 * x)", "A bump.")
    smooth = registered(
        "smooth", tw.ops.softplus.value, "g * sigmoid(x)", "Softplus again.",
        emit=tw.ops.softplus.emit,
    )  # fmt: skip

    def f(ws):
        return sum(bump(w) * smooth(w) for w in ws)

    results = []
    for g in (f, tw.jit(f, mode=mode)):
        ws = [Value(0.1 * k) for k in range(12)]
        out = g(ws)
        out.backward()
        results.append((out.data, *[w.grad for w in ws]))
    agree(*map(list, results), mode)


def test_a_registered_operation_without_machine_code_is_an_error(registered):
    odd = registered("odd", math.erf, "g", "From Python's math.")
    with pytest.raises(OperationError, match=r"odd: its value cannot be compiled .*emit="):
        tw.jit(odd)(1.0)
