"""What a compiled function reads from outside: a change is noticed at the next call."""

# ruff: noqa: PLW0108, PLW0603 - functions around objects and globals are what is tested

import array
import collections
import contextvars
import enum
import functools
import importlib
import math
import operator
import sys
import types
import weakref

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.errors import TraceError, TraceWarning

W = Value(2.0)
SCALE = 2.0
CONFIG = {"rate": 3.0, "layers": [1.0, 2.0]}


def number(result):
    return result.data if isinstance(result, Value) else result


class Case:
    """A function, the object whose state it reads, and changes of that state."""

    def __init__(self, name, make, *changes, argument=1.5):
        self.name, self.make, self.changes, self.argument = name, make, changes, argument


CASES = []


def case(*changes, argument=1.5):
    """Declare a case: the decorated function returns (function, object to change)."""

    def add(make):
        CASES.append(Case(make.__name__, make, *changes, argument=argument))
        return make

    return add


def assign(name, item):
    return lambda thing: setattr(thing, name, item)


def put(key, item):
    return lambda thing: thing.__setitem__(key, item)


# ---- closures, defaults, functions --------------------------------------------------------------


@case(put(0, 5.0), put(0, 5), put(0, -0.0), put(0, 0.0), put(0, True), put(0, 1))
def a_list_in_the_closure():
    box = [1.0]
    return (
        lambda x: (
            W * x * (1.0 if isinstance(box[0], bool) else 2.0)
            + math.copysign(3.0 if isinstance(box[0], float) else 4.0, box[0])
        ),
        box,
    )


@case(put("t", (1.0, 2)), put("t", (1, 2)), put("t", [1, 2]))
def types_within_a_tuple():
    box = {"t": (1, 2)}
    return (
        lambda x: (
            W
            * x
            * (1.0 if isinstance(box["t"][0], int) else 2.0)
            * (1.0 if isinstance(box["t"], tuple) else 3.0)
        ),
        box,
    )


@case(lambda f: f.set(7.0))
def a_variable_of_an_enclosing_function():
    scale = 1.0

    def f(x):
        return W * x * scale

    def change(number):
        nonlocal scale
        scale = number

    f.set = change
    return f, f


@case(put(0, 3.0))
def a_list_that_is_a_default_argument():
    box = [1.0]

    def f(x, scale=box):
        return W * x * scale[0]

    return f, box


@case(put(0, 6.0))
def the_contents_of_a_partial():
    box = [1.0]
    return functools.partial(lambda scale, x: W * x * scale[0], box), box


@case(assign("scale", 4.0), assign("scale", 4))
def an_attribute_of_the_function():
    def f(x):
        return W * x * (f.scale if isinstance(f.scale, float) else -1.0)

    f.scale = 1.0
    return f, f


@case(put("k", 7.0))
def a_decorator_with_a_closure():
    box = {"k": 2.0}

    def decorated(f):
        @functools.wraps(f)
        def inner(*args):
            return f(*args) * box["k"]

        return inner

    return decorated(lambda x: W * x), box


@case(lambda f: setattr(f, "__code__", (lambda x: x * 5.0).__code__))
def the_code_of_a_helper():
    def helper(x):
        return x * 2.0

    return lambda x: helper(W * x), helper


@case(put(0, 9.0))
def a_helper_of_a_helper():
    box = [1.0]

    def inner(x):
        return x * box[0]

    def outer(x):
        return inner(x) + 1.0

    return lambda x: outer(W * x), box


@case(put(0, 9.0))
def a_compiled_helper():
    box = [1.0]
    inner = tw.jit(lambda x: x * box[0])
    return lambda x: inner(W * x), box


# ---- objects and classes ------------------------------------------------------------------------


class Layer:
    factor = 1.5

    def __init__(self):
        self.training, self.w, self.parts = True, Value(0.5), [Value(1.0), Value(2.0)]

    def activation(self, x):
        return x.tanh()

    @property
    def double(self):
        return 2.0 * self._half if hasattr(self, "_half") else 1.0

    def __call__(self, x):
        if self.training is True:
            return self.activation(self.w * x) * self.factor
        return sum((p * x for p in self.parts), self.w * getattr(self, "extra", 1.0)) * self.double


def fresh_class():
    """A class like Layer whose attributes may be changed."""
    return type("Own", (Layer,), {"factor": 1.5, "__call__": Layer.__call__})


@case(assign("training", False), assign("training", 1), assign("extra", 3.0), assign("_half", 2.0))
def flags_and_attributes_that_appear():
    layer = Layer()
    return lambda x: layer(x), layer


@case(lambda layer: setattr(type(layer), "factor", 9.0), assign("factor", 2.0))
def a_class_attribute():
    layer = fresh_class()()
    return lambda x: layer(x), layer


@case(
    lambda layer: setattr(type(layer), "activation", lambda self, x: x.relu()),
    assign("activation", lambda x: x * 3.0),
)
def a_patched_method():
    layer = fresh_class()()
    return lambda x: layer(x), layer


@case(
    assign("training", False),
    lambda layer: layer.parts.append(Value(5.0)),
    lambda layer: layer.parts.__setitem__(0, Value(7.0)),
    lambda layer: setattr(layer, "parts", layer.parts[::-1]),
    lambda layer: layer.parts[0].__init__(11.0),
)
def values_that_are_replaced():
    layer = Layer()
    return lambda x: layer(x), layer


@case(assign("l1", 7.0))
def an_attribute_with_a_computed_name():
    thing = types.SimpleNamespace(l0=1.0, l1=2.0)
    return lambda x: sum(getattr(thing, f"l{i}") * W * x for i in range(2)), thing


class Slotted:
    __slots__ = ("k", "other")

    def __init__(self):
        self.k = 1.0


@case(assign("k", 2.0), assign("k", 2), assign("other", 3.0))
def an_object_with_slots():
    thing = Slotted()
    return (
        lambda x: (
            W * x * (thing.k if type(thing.k) is float else 9.0) * getattr(thing, "other", 1.0)
        ),
        thing,
    )


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@case(assign("mode", Colour.BLUE))
def an_enumeration():
    thing = types.SimpleNamespace(mode=Colour.RED)
    return lambda x: W * x * (1.0 if thing.mode is Colour.RED else 2.0), thing


# ---- containers that are looked into ------------------------------------------------------------


def first(item):
    return put(0, item)


@case(lambda d: d.append(5.0), lambda d: d.popleft(), first(8.0))
def a_deque():
    window = collections.deque([1.0, 2.0], maxlen=4)
    return lambda x: sum((W * x * k for k in window), 0.0), window


@case(first(9.0))
def an_array_of_the_standard_library():
    numbers = array.array("d", [1.0, 2.0])
    return lambda x: sum((W * x * k for k in numbers), 0.0), numbers


@case(first(9))
def a_bytearray():
    numbers = bytearray(b"\x01\x02")
    return lambda x: sum((W * x * float(k) for k in numbers), 0.0), numbers


@case(first(9))
def a_memoryview():
    view = memoryview(bytearray(b"\x01\x02"))
    return lambda x: W * x * float(view[0]), view


@case(first(9.0), lambda a: a.fill(4.0))
def a_numpy_array():
    numbers = np.array([1.0, 2.0])
    return lambda x: sum((W * x * float(k) for k in numbers), 0.0), numbers


@case(lambda a: a.__setitem__(0, Value(9.0)), lambda a: a[1].__init__(4.0))
def an_array_of_values():
    numbers = np.array([Value(1.0), Value(2.0)], dtype=object)
    return lambda x: numbers[0] * x + numbers[1], numbers


@case(lambda s: s.add("b"), lambda s: s.clear())
def a_set():
    names = {"a"}
    return lambda x: W * x * float(len(names)), names


@case(lambda s: setattr(next(iter(s)), "k", 5.0))
def a_set_of_objects():
    things = {Slotted()}
    return lambda x: sum(W * x * thing.k for thing in things), things


@case(lambda d: d.__setitem__("a", d.pop("a")))
def the_order_of_a_dictionary():
    numbers = {"a": 1.0, "b": 2.0}
    return lambda x: W * x * next(iter(numbers.values())), numbers


@case(lambda v: v.set(4.0))
def a_context_variable():
    variable = contextvars.ContextVar("k", default=1.0)
    return lambda x: W * x * variable.get(), variable


@case(lambda d: [row.__setitem__(1, 9.0) for row in d["rows"]], put("rows", [[1, 2.0]] * 3))
def rows_of_numbers():
    table = {"rows": [[float(i), float(j)] for i in range(12) for j in range(3)]}
    return lambda x: sum((W * x * row[1] for row in table["rows"]), 0.0), table


@case(put(7, 3), put(7, 3.0), put(7, -0.0))
def a_long_list_of_numbers():
    numbers = [float(i) for i in range(20)]
    return (
        lambda x: (
            sum((W * x * k for k in numbers), 0.0) * (1.0 if type(numbers[7]) is float else 2.0)
        ),
        numbers,
    )


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("mode", ["exact", "default"])
def test_a_change_outside_is_noticed(kind, mode):
    f, thing = kind.make()
    g, other = kind.make()
    fast = tw.jit(g, mode=mode)
    found, expected = [number(fast(kind.argument))], [number(f(kind.argument))]
    for change in kind.changes:
        change(thing)
        change(other)
        for x in (kind.argument, 0.25):
            expected.append(number(f(x)))
            found.append(number(fast(x)))
    assert found == (expected if mode == "exact" else pytest.approx(expected, rel=1e-12))
    before = fast.traces
    fast(kind.argument)
    assert fast.traces == before


# ---- globals and modules ------------------------------------------------------------------------


def helper(x):
    return x * SCALE + CONFIG["rate"]


def test_globals_of_a_helper(monkeypatch):
    fast = tw.jit(lambda x: helper(W * x), mode="exact")
    assert fast(1.0).data == 7.0
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 5.0)
    assert fast(1.0).data == 13.0
    monkeypatch.setitem(CONFIG, "rate", 4.0)
    assert fast(1.0).data == 14.0
    monkeypatch.setattr(sys.modules[__name__], "helper", lambda x: x * 100.0)
    assert fast(1.0).data == 200.0
    monkeypatch.undo()
    assert fast(1.0).data == 7.0
    assert fast.traces == 4


def test_attributes_of_modules_of_the_user(tmp_path, monkeypatch):
    tmp_path.joinpath("my_settings.py").write_text(
        "scale = 2.0\n\ndef f(x):\n    return x * scale\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings = importlib.import_module("my_settings")
    direct = tw.jit(lambda x: W * x * settings.scale, mode="exact")
    by_function = tw.jit(lambda x: settings.f(W * x), mode="exact")
    for k in (2.0, 3.0, 3, 2.0):
        settings.scale = k
        assert direct(1.0).data == by_function(1.0).data == 2.0 * k
    assert direct.traces == by_function.traces == 3


def test_a_built_in_function_that_a_global_hides_later(monkeypatch):
    fast = tw.jit(lambda x: abs(W * x), mode="exact")
    assert fast(-1.0).data == 2.0
    monkeypatch.setattr(sys.modules[__name__], "abs", lambda x: x * 10.0, raising=False)
    assert fast(-1.0).data == -20.0
    monkeypatch.undo()
    assert fast(-1.0).data == 2.0


def test_a_class_attribute_of_a_model_that_is_given():
    own = fresh_class()
    fast, model = tw.jit(lambda m, x: m(x), mode="exact"), own()
    assert fast(model, 1.0).data == model(1.0).data
    own.factor = 9.0
    assert fast(model, 1.0).data == model(1.0).data
    own.activation = lambda self, x: x * SCALE
    assert fast(model, 1.0).data == model(1.0).data


def test_globals_of_the_methods_of_a_model_that_is_given(monkeypatch):
    class Model:
        def __init__(self):
            self.p = Value(3.0)

        def __call__(self, x):
            return self.p * x * SCALE

    fast, model = tw.jit(lambda m, x: m(x), mode="exact"), Model()
    assert fast(model, 1.0).data == 6.0
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 5.0)
    assert fast(model, 1.0).data == 15.0
    assert fast.traces == 2


def test_the_closure_of_a_function_that_is_given():
    box = [1.0]
    fast = tw.jit(lambda g, x: g(W * x), mode="exact")

    def scaled(x):
        return x * box[0]

    assert fast(scaled, 1.0).data == 2.0
    box[0] = 5.0
    assert fast(scaled, 1.0).data == 10.0
    assert [fast(lambda v: v * 3.0, 1.0).data for _ in range(3)] == [6.0] * 3  # one code: one trace
    assert fast.traces == 3


# ---- what does not count ------------------------------------------------------------------------


def test_attributes_that_the_code_does_not_name_may_change():
    class Trainer:
        def __init__(self):
            self.model, self.history, self.step = Value(2.0), [], 0
            self.fast = tw.jit(lambda x: self.model * x)

    trainer = Trainer()
    for k in range(5):
        trainer.history.append(trainer.fast(float(k)).data)
        trainer.step += 1
    assert trainer.history == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert trainer.fast.traces == 1


def test_equal_numbers_need_no_new_trace():
    box = {"a": 1000.0, "rows": [[1.5, 2.5]]}
    fast = tw.jit(lambda x: W * x * box["a"] * box["rows"][0][0])
    fast(1.0)
    box["a"] = float("1000")
    box["rows"] = [[float("1.5"), float("2.5")]]
    fast(1.0)
    assert fast.traces == 1


def test_other_values_with_the_same_structure_need_no_new_trace():
    layer = Layer()
    fast = tw.jit(lambda x: layer(x))
    fast(1.0)
    layer.w = Value(7.0)
    result = fast(1.0)
    result.backward()
    assert (result.data, fast.traces) == (layer(1.0).data, 1)
    assert layer.w.grad != 0.0


def test_messages_name_what_differs():
    box = {"k": 0}
    fast = tw.jit(lambda x: W * x ** box["k"])
    for k in range(8):
        box["k"] = k
        fast(1.0)
    box["k"] = 8
    with pytest.warns(TraceWarning, match="`box`: k: int 8, was int 7"):
        fast(1.0)


# ---- what is refused ----------------------------------------------------------------------------


def test_iterators_outside_are_refused():
    numbers = (float(k) for k in range(9))
    with pytest.raises(
        TraceError, match=r"takes `numbers` from outside, a generator.*list\(\.\.\.\)"
    ):
        tw.jit(lambda x: W * x * next(numbers))(1.0)


def test_arrays_that_cannot_be_read_are_refused_by_name():
    class Tensor:
        __module__ = "some_library"

        def __array__(self, *_, **__):
            raise RuntimeError("it is on another device")

    tensor = Tensor()
    with pytest.raises(TraceError, match=r"`tensor` is some_library.*another device.*NumPy array"):
        tw.jit(lambda x: W * x * tensor)(1.0)


# ---- given and captured -------------------------------------------------------------------------


class Scale(tw.Module):
    def __init__(self, number):
        self.p = Value(number)

    def named_parameters(self):
        yield "p", self.p

    def __call__(self, x):
        return self.p * x


@pytest.mark.parametrize("first_is_teacher", [True, False])
def test_a_model_that_is_captured_and_given_has_its_whole_gradient(first_is_teacher):
    teacher, student = Scale(2.0), Scale(3.0)

    def f(net, x):
        return net(x) * teacher(x)

    fast, slope = tw.jit(f, mode="exact"), tw.grad(f)
    order = (teacher, student, teacher) if first_is_teacher else (student, teacher, student)
    for net in order:
        found = []
        for g in (fast, f):
            teacher.p.grad = student.p.grad = 0.0
            g(net, 1.5).backward()
            found.append((teacher.p.grad, student.p.grad))
        assert found[0] == found[1]
        assert slope(net, 1.5) == [found[1][0] if net is teacher else found[1][1]]


def test_a_part_of_a_captured_model_that_is_given():
    layer = Layer()
    layer.training = False

    def f(v, parts, x):
        return layer(x) * v + sum((p * x for p in parts), 0.0)

    fast = tw.jit(f, mode="exact")
    for v, parts in (
        (layer.w, []),
        (Value(1.0), layer.parts),
        (layer.parts[1], [layer.w, Value(3.0)]),
        (Value(1.0), [Value(2.0)]),
    ):
        found = []
        for g in (fast, f):
            every = [layer.w, *layer.parts, v, *parts]
            for p in every:
                p.grad = 0.0
            g(v, parts, 0.5).backward()
            found.append([p.grad for p in every])
        assert found[0] == found[1]


# ---- floats that change often --------------------------------------------------------------------


def schedule_in_an_attribute():
    thing = types.SimpleNamespace(rate=1.0)
    return lambda x: W * x * thing.rate, lambda k: setattr(thing, "rate", k)


def schedule_in_a_closure():
    rate = 1.0

    def change(k):
        nonlocal rate
        rate = k

    return lambda x: W * x * rate, change


def schedule_in_a_global():
    def change(k):
        global SCALE
        SCALE = k

    return lambda x: W * x * SCALE, change


def schedule_in_a_list():
    rates = {"rates": [1.0, 2.0]}
    return lambda x: W * x * rates["rates"][1], lambda k: rates["rates"].__setitem__(1, k)


def schedule_in_a_class():
    class Settings:
        rate = 1.0

    return lambda x: W * x * Settings.rate, lambda k: setattr(Settings, "rate", k)


def schedule_in_a_slot():
    thing = Slotted()
    return lambda x: W * x * thing.k, lambda k: setattr(thing, "k", k)


SCHEDULES = (
    schedule_in_an_attribute, schedule_in_a_closure, schedule_in_a_global, schedule_in_a_list,
    schedule_in_a_class, schedule_in_a_slot,
)  # fmt: skip


@pytest.mark.parametrize("make", SCHEDULES)
def test_a_float_that_changes_often_becomes_an_input(make, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 1.0)
    f, change = make()
    fast = tw.jit(f, mode="exact")
    for k in range(1, 12):
        change(1.0 / k)
        result = fast(1.5)
        assert result.data == f(1.5).data
    assert fast.traces == 3
    change(2)  # an integer is another program
    assert fast(1.5).data == 6.0
    change(0.5)
    assert fast(1.5).data == 1.5
    assert fast.traces == 4


def test_a_float_of_a_model_that_is_given_becomes_an_input():
    def f(layer, x):
        return layer.w * x * layer.rate

    layer, fast = Layer(), tw.jit(f, mode="exact")
    for k in range(6):
        layer.rate = float(k)
        assert fast(layer, 2.0).data == f(layer, 2.0).data
    assert fast.traces == 3


def test_the_float_is_put_back_after_the_trace():
    thing = types.SimpleNamespace(rate=1.0)
    fast = tw.jit(lambda x: W * x * thing.rate)
    for k in range(5):
        thing.rate = float(k)
        fast(1.0)
        assert type(thing.rate) is float
        assert thing.rate == k


def test_a_float_that_decides_a_branch_is_right_too():
    thing = types.SimpleNamespace(rate=1.0)

    def f(x):
        return W * x if thing.rate > 0.5 else W * x * 3.0

    fast = tw.jit(f, mode="exact")
    for k in range(8):
        thing.rate = 0.2 * k
        assert fast(1.0).data == f(1.0).data


# ---- what is found in other ways -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["attrgetter", "match", "import", "weak reference", "user dict"])
def test_attributes_that_are_read_in_other_ways(kind, tmp_path, monkeypatch):
    tmp_path.joinpath("my_numbers.py").write_text("rate = 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    numbers = importlib.import_module("my_numbers")
    numbers.rate = 1.0
    own = type("Own", (), {"__init__": lambda self: setattr(self, "rate", 1.0)})()
    data = collections.UserDict(rate=1.0)
    get, reference = operator.attrgetter("rate"), weakref.ref(own)

    def matched(x):
        match own:
            case object(rate=1.0):
                return W * x
            case _:
                return W * x * 7.0

    def imported(x):
        from my_numbers import rate

        return W * x * rate

    f, thing = {
        "attrgetter": (lambda x: W * x * get(own), own),
        "match": (matched, own),
        "import": (imported, numbers),
        "weak reference": (lambda x: W * x * reference().rate, own),
        "user dict": (lambda x: W * x * data["rate"], data.data),
    }[kind]
    fast = tw.jit(f, mode="exact")
    assert fast(1.0).data == f(1.0).data == 2.0
    if isinstance(thing, dict):
        thing["rate"] = 7.0
    else:
        thing.rate = 7.0
    assert fast(1.0).data == f(1.0).data == 14.0


def test_functions_with_a_cache():
    @functools.lru_cache
    def scaled(x):
        return W * x

    @functools.lru_cache
    def power(n):
        return 2.0**n

    fast = tw.jit(lambda x, n: scaled(x) * power(n), mode="exact")
    for x, n in ((1.0, 2), (2.0, 2), (1.0, 3), (3.0, 2)):
        assert fast(x, n).data == 2.0 * x * 2.0**n
    assert scaled(1.0).data == 2.0  # no number of a trace is left in the cache


def test_a_cache_under_numbers_is_refused():
    cache = {}

    def f(x):
        if x not in cache:
            cache[x] = W * x
        return cache[x] * 1.0

    with pytest.raises(TraceError, match=r"stores an item of `cache` under a number"):
        tw.jit(f)(1.0)
    assert cache == {}
