"""What a compiled function changes: numbers are stored after each call, all else is an error."""

# ruff: noqa: PLW0603, T201 - functions that do so are what is tested

import array
import collections
import functools
import itertools
import logging
import queue
import random
import types

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.errors import TraceError, TraceWarning

W = Value(2.0)
STATE = 0.0
COUNT = 0


def number(result):
    return result.data if isinstance(result, Value) else result


# ---- state --------------------------------------------------------------------------------------


class Cell:
    """A recurrent cell that keeps its state in an attribute."""

    def __init__(self, state=0.0):
        self.w, self.u, self.h = Value(0.5), Value(-0.3), Value(state)

    def parameters(self):
        return [self.w, self.u]

    def __call__(self, x):
        self.h = (self.w * self.h + self.u * x).tanh()
        return self.h


def global_state():
    def f(x):
        global STATE
        STATE = (W * x + STATE).tanh()
        return STATE * 1.0

    global STATE
    STATE = 0.0
    return f


def nonlocal_state():
    h = Value(0.1)

    def f(x):
        nonlocal h
        h = (W * x + h).tanh()
        return h

    return f


def dictionary_state():
    state = {"h": Value(0.1), "c": Value(0.0)}

    def f(x):
        state["c"] = state["c"] + state["h"]
        state["h"] = state["h"] * W + x
        return state["h"] * state["c"]

    return f


def slots_of_a_list():
    state = [Value(0.1), Value(0.2)]

    def f(x):
        state[0], state[1] = state[1], state[0] * W + x
        return state[1] * 1.0

    return f


def list_state():
    class Layer:
        def __init__(self):
            self.h, self.u = [Value(0.0), Value(0.5)], Value(0.3)

        def __call__(self, x):
            self.h = [(h * self.u + x * W).tanh() for h in self.h]
            return self.h[0] + self.h[1]

    return Layer()


def tuple_state():
    cell = types.SimpleNamespace(state=None)

    def f(x):
        h, c = cell.state or (Value(0.0), Value(1.0))
        cell.state = ((W * x + h).tanh(), c * 0.9)
        return cell.state[0] * cell.state[1]

    return f


def window_of_values():
    window = collections.deque([Value(0.0)] * 3, maxlen=3)

    def f(x):
        window.append(W * x)
        return sum(window, 0.0)

    return f


def slots_of_an_array():
    state = np.array([Value(0.0), Value(1.0)], dtype=object)

    def f(x):
        state[0] = state[0] * 0.5 + W * x
        return state[0] * state[1]

    return f


def class_attribute():
    class Cell:
        h = Value(0.0)

        def __call__(self, x):
            Cell.h = (Cell.h * W + x).tanh()
            return Cell.h

    return Cell()


def slot_of_an_object():
    class Cell:
        __slots__ = ("h",)

    cell = Cell()
    cell.h = Value(0.0)

    def f(x):
        cell.h = (cell.h * W + x).tanh()
        return cell.h

    return f


def kept_for_inspection():
    class Layer:
        def __init__(self):
            self.out = None

        def __call__(self, x):
            self.out = (W * x).tanh()
            return self.out * 2.0

    layer = Layer()
    return lambda x: [layer(x), layer.out]


def state_that_is_begun_anew():
    cell = types.SimpleNamespace(h=Value(0.5))

    def f(x):
        y = cell.h * W + x
        cell.h = Value(0.0)
        return y

    return f


def an_attribute_that_appears():
    class Cell:
        def __call__(self, x):
            if not hasattr(self, "h"):
                self.h = Value(0.0)
            self.h = (self.h + W * x).tanh()
            return self.h

    return Cell()


def two_slots_that_are_exchanged():
    pair = types.SimpleNamespace(a=Value(1.0), b=Value(2.0))

    def f(x):
        pair.a, pair.b = pair.b, pair.a
        return pair.a * x

    return f


def running_mean_of_data():
    class Norm:
        def __init__(self):
            self.mean, self.g = 0.0, Value(1.5)

        def __call__(self, x):
            y = self.g * x
            self.mean = 0.9 * self.mean + 0.1 * y.data
            return (y - self.mean) * W

    return Norm()


def running_mean_of_floats():
    state = {"mean": 0.5, "count": 1.0}

    def f(x):
        state["count"] = state["count"] + x
        state["mean"] = state["mean"] + (x - state["mean"]) / 2.0
        return W * state["mean"] * state["count"]

    return f


def state_on_two_paths():
    cell = types.SimpleNamespace(h=Value(0.0), kept=Value(1.0))

    def f(x):
        cell.h = cell.h * 0.5 + W * x
        if x > 0.0:
            cell.kept = cell.kept + cell.h
        return cell.h * cell.kept

    return f


STATEFUL = (
    running_mean_of_data, running_mean_of_floats, state_on_two_paths,
    global_state, nonlocal_state, dictionary_state, slots_of_a_list, list_state, tuple_state,
    window_of_values, slots_of_an_array, class_attribute, slot_of_an_object, kept_for_inspection,
    state_that_is_begun_anew, an_attribute_that_appears, two_slots_that_are_exchanged,
)  # fmt: skip


@pytest.mark.parametrize("make", STATEFUL)
@pytest.mark.parametrize("mode", ["exact", "default"])
def test_state_is_carried_from_call_to_call(make, mode):
    numbers = [1.0, 0.5, -0.3, 0.8, 0.1, -0.9, 0.25]
    found = []
    for wrap in (functools.partial(tw.jit, mode=mode), lambda f: f):
        f = wrap(make())
        W.grad = 0.0
        results = [f(x) for x in numbers]
        results = [r if isinstance(r, Value) else r[0] for r in results]
        sum(results).backward()
        found.append([*map(number, results), W.grad])
    assert found[0] == (found[1] if mode == "exact" else pytest.approx(found[1], rel=1e-12))


@pytest.mark.parametrize("given", [True, False])
def test_gradients_flow_through_the_state(given):
    found = []
    for compiled in (True, False):
        cell = Cell()
        f = cell if given else lambda x, cell=cell: cell(x)
        f = tw.jit(f, mode="exact") if compiled else f
        for _ in range(3):
            cell.h, total = Value(0.0), Value(0.0)
            for x in (1.0, -0.5, 0.7, 0.2):
                total = total + (f(x) - 0.3) ** 2
            for p in cell.parameters():
                p.grad = 0.0
            total.backward()
            for p in cell.parameters():
                p.data -= 0.1 * p.grad
        found.append([total.data, cell.h.data, *[p.data for p in cell.parameters()]])
    assert found[0] == found[1]
    assert f is not cell or found


def test_each_object_keeps_its_own_state():
    def step(cell, x):
        return cell(x)

    fast, found = tw.jit(step, mode="exact"), []
    for f in (fast, step):
        a, b = Cell(0.1), Cell(0.2)
        found.append([f(cell, x).data for x in (1.0, 2.0, 3.0) for cell in (a, b, b)])
        found[-1] += [a.h.data, b.h.data]
    assert found[0] == found[1]
    assert fast.traces == 1


def test_the_result_and_the_state_are_one_value():
    cell = Cell()
    fast = tw.jit(cell)
    for x in (1.0, 2.0, 3.0):
        assert fast(x) is cell.h


def test_state_may_be_reset_between_calls():
    resets = [
        lambda cell: setattr(cell, "h", Value(0.0)),
        lambda cell: setattr(cell, "h", 0.0),
        lambda cell: setattr(cell, "h", Value(0.25)),
    ]
    fast_cell, cell = Cell(), Cell()
    fast = tw.jit(fast_cell, mode="exact")
    for x in (1.0, 0.5):
        assert fast(x).data == cell(x).data
    for reset in resets:
        reset(fast_cell)
        reset(cell)
        for x in (0.3, -0.2, 0.7):
            assert fast(x).data == cell(x).data
    assert fast.traces == 2


def test_a_list_that_was_replaced_by_an_equal_one_is_written():
    box = types.SimpleNamespace(state=[Value(0.0), Value(1.0)])

    def f(x):
        box.state[0] = box.state[0] + W * x
        return box.state[0] * box.state[1]

    fast = tw.jit(f, mode="exact")
    assert fast(1.0).data == 2.0
    old = box.state
    box.state = list(old)
    assert fast(1.0).data == 4.0
    assert (box.state[0].data, old[0].data) == (4.0, 2.0)


# ---- what happens once --------------------------------------------------------------------------


class Lazy:
    """Makes its parameters at the first call."""

    def __init__(self, rng=None):
        self.w, self.rng = None, rng

    def __call__(self, xs):
        if self.w is None:
            draw = self.rng.gauss if self.rng else random.gauss
            self.w = [Value(draw(0.0, 1.0)) for _ in xs]
        return sum((w * x for w, x in zip(self.w, xs, strict=True)), 0.0)


@pytest.mark.parametrize("own_generator", [True, False])
def test_parameters_that_are_made_at_the_first_call(own_generator):
    found = []
    for wrap in (lambda f: tw.jit(f, mode="exact"), lambda f: f):
        random.seed(1)
        model = Lazy(random.Random(1) if own_generator else None)
        f = wrap(lambda xs, model=model: model(xs))
        for xs in ([1.0, 2.0], [3.0, -1.0], [0.5, 0.5]):
            f(xs).backward()
        model.w[0].data = 9.0
        found.append([f([1.0, 1.0]).data, *[w.grad for w in model.w], random.random()])
    assert found[0] == found[1]


def test_parameters_in_a_dictionary():
    made = {}

    def get(name):
        if name not in made:
            made[name] = Value(0.5)
        return made[name]

    fast = tw.jit(lambda x: get("w") * x + get("b"))
    fast(1.0).backward()
    assert (made["w"].grad, made["b"].grad) == (1.0, 1.0)
    fast(2.0).backward()
    assert made["w"].grad == 3.0
    made["w"].data = 9.0
    assert fast(3.0).data == 27.5
    assert fast.traces == 1


def test_a_cached_property():
    class Model:
        def __init__(self):
            self.k = Value(1.5)

        @functools.cached_property
        def scale(self):
            return self.k * W

    model = Model()
    fast = tw.jit(lambda x: model.scale * x, mode="exact")
    for x in (1.0, 2.0, 3.0):
        model.k.grad = 0.0
        result = fast(x)
        result.backward()
        assert (result.data, model.k.grad) == (3.0 * x, 2.0 * x)


# ---- what is refused ----------------------------------------------------------------------------


def counter_of_an_object():
    thing = types.SimpleNamespace(calls=0)

    def f(x):
        thing.calls += 1
        return W * x

    return f


def counter_in_a_closure():
    calls = 0

    def f(x):
        nonlocal calls
        calls += 1
        return W * x * calls

    return f


def global_counter():
    def f(x):
        global COUNT
        COUNT += 1
        return W * x

    return f


def counter_of_the_function():
    def f(x):
        f.calls += 1
        return W * x

    f.calls = 0
    return f


def counter_of_a_class():
    class Thing:
        made = 0

        def __init__(self):
            Thing.made += 1

    def f(x):
        Thing()
        return W * x

    return f


def history():
    losses = []

    def f(x):
        losses.append(W * x)
        return losses[-1]

    return f


def set_that_grows():
    seen, names = set(), itertools.count()

    def f(x):
        seen.add(f"call {next(names)}")
        return W * x

    return f


def bytes_that_change():
    numbers = bytearray(1)

    def f(x):
        numbers[0] += 1
        return W * x

    return f


def array_that_changes():
    numbers = np.zeros(2)

    def f(x):
        numbers[0] += 1.0
        return W * x

    return f


def standard_array_that_changes():
    numbers = array.array("d", [0.0])

    def f(x):
        numbers[0] += 1.0
        return W * x

    return f


def object_that_is_kept():
    class Record:
        def __init__(self, number):
            self.number = number

    thing = types.SimpleNamespace(last=None)

    def f(x):
        thing.last = Record(W * x)
        return W * x

    return f


def switch():
    thing = types.SimpleNamespace(on=True)

    def f(x):
        thing.on = not thing.on
        return W * x * (2.0 if thing.on else 3.0)

    return f


def iterator():
    thing = types.SimpleNamespace(ids=itertools.count())

    def f(x):
        return W * x * float(next(thing.ids))

    return f


def parameter_made_at_every_call():
    thing = types.SimpleNamespace(w=None)

    def f(x):
        thing.w = Value(0.5)
        return thing.w * x

    return f


REFUSED = {
    counter_of_an_object: r"changes `thing\.calls` from 0 to 1, .*return the new one",
    counter_in_a_closure: r"changes `calls` from 0 to 1",
    global_counter: r"changes `COUNT` from 0 to 1",
    counter_of_the_function: r"changes `f\.calls` from 0 to 1",
    counter_of_a_class: r"changes `Thing\.made` from 0 to 1",
    history: r"appends to `losses`.*append them outside",
    set_that_grows: r"changes the contents of `(seen|names)`",
    bytes_that_change: r"changes the contents of `numbers`, which is a bytearray",
    array_that_changes: r"changes the contents of `numbers`, which is a ndarray",
    standard_array_that_changes: r"changes the contents of `numbers`, which is an array",
    object_that_is_kept: r"changes `thing\.last`",
    switch: r"changes `thing\.on` from True to False",
    iterator: r"changes the contents of `thing\.ids`, which is a count",
    parameter_made_at_every_call: r"changes `thing\.w`",
}


@pytest.mark.parametrize("make", REFUSED)
def test_changes_at_every_call_are_refused_with_the_name_and_the_repair(make):
    f = make()
    fast = tw.jit(f)
    with pytest.raises(TraceError, match=REFUSED[make]) as caught:
        fast(1.0)
    assert "\n" not in str(caught.value)
    with pytest.raises(TraceError, match=REFUSED[make]):  # nothing has changed by the first error
        fast(1.0)


def test_what_a_refused_function_has_changed_is_undone():
    thing, log = types.SimpleNamespace(calls=0, h=Value(1.0)), []
    h = thing.h

    def f(x):
        thing.calls += 1
        thing.h = thing.h + W * x
        log.append(thing.h)
        return thing.h

    random.seed(3)
    state = random.getstate()
    with pytest.raises(TraceError):
        tw.jit(f)(1.0)
    assert (thing.calls, thing.h, log) == (0, h, [])
    assert random.getstate() == state


def test_what_a_function_that_raises_has_changed_is_undone():
    cell = Cell()
    h = cell.h

    def f(x):
        cell(x)
        raise KeyError("not found")

    with pytest.raises(KeyError):
        tw.jit(f)(1.0)
    assert cell.h is h


def test_containers_that_are_given_may_not_be_changed():
    def appended(xs):
        xs.append(1.0)
        return W * sum(xs)

    def assigned(d):
        d["y"] = W * d["x"]
        return d["y"]

    for f, given in ((appended, [1.0]), (assigned, {"x": 1.0})):
        with pytest.raises(TraceError, match=r"changes argument 1, a (list|dict) that it is given"):
            tw.jit(f)(given)


def test_a_default_of_a_dictionary_may_be_read():
    table = collections.defaultdict(float, a=1.0)
    fast = tw.jit(lambda x: W * x * (table["a"] + table["missing"]))
    assert [fast(x).data for x in (1.0, 2.0)] == [2.0, 4.0]


# ---- derivatives ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [counter_of_an_object, global_counter, history])
def test_derivatives_of_functions_that_change_something_are_refused(make):
    f = make()
    for derivative in (tw.grad(f), tw.value_and_grad(f), tw.hessian(f)):
        with pytest.raises(TraceError, match=REFUSED[make]):
            derivative(1.0)


def test_derivatives_of_functions_that_keep_state_or_draw_are_refused():
    cell = Cell()
    with pytest.raises(TraceError, match=r"keeps numbers in `cell\.h`.*use tw\.jit"):
        tw.grad(lambda x: cell(x) * 1.0)(1.0)
    assert cell.h.data == 0.0
    with pytest.raises(TraceError, match="draws random numbers"):
        tw.grad(lambda x: x * x * random.random())(1.0)


def test_derivatives_of_functions_that_make_their_parameters():
    made = {}

    def f(x):
        if "w" not in made:
            made["w"] = Value(0.5)
        return made["w"] * x * x

    slope = tw.grad(f)
    assert [float(number(slope(x))) for x in (3.0, 1.0)] == [3.0, 1.0]
    made["w"].data = 2.0
    assert float(number(slope(3.0))) == 12.0


# ---- random numbers -----------------------------------------------------------------------------

GENERATOR = random.Random(0)
NUMPY_GENERATOR = np.random.default_rng(0)
RANDOM_STATE = np.random.RandomState(0)

DRAWS = {
    "random": lambda x: W * x * random.random(),
    "numpy.random": lambda x: W * x * float(np.random.rand()),
    "a random.Random": lambda x: W * x * GENERATOR.random(),
    "a numpy.Generator": lambda x: W * x * float(NUMPY_GENERATOR.random()),
    "a numpy.RandomState": lambda x: W * x * float(RANDOM_STATE.rand()),
}


@pytest.mark.parametrize("source", DRAWS)
def test_random_draws_are_refused_with_a_repair(source):
    state = random.getstate(), GENERATOR.getstate()
    words = rf"draws random numbers from {source}, .*a mask; or give a seed"
    for _ in range(2):
        with pytest.raises(TraceError, match=words):
            tw.jit(DRAWS[source])(1.0)
    assert (random.getstate(), GENERATOR.getstate()) == state


def test_a_generator_that_is_given_may_not_be_drawn_from():
    with pytest.raises(TraceError, match=r"draws random numbers from a numpy\.Generator"):
        tw.jit(lambda x, rng: W * x * float(rng.random()))(1.0, np.random.default_rng(0))


def test_dropout_with_a_mask_and_with_a_seed():
    masked = tw.jit(lambda xs, mask: sum(W * x * m for x, m in zip(xs, mask, strict=True)))
    seeded = tw.jit(lambda x, seed: W * x * float(random.Random(seed).random() < 0.5))
    rng = random.Random(0)
    for seed in range(6):
        mask = [float(rng.random() < 0.5) for _ in range(3)]
        assert masked([1.0, 2.0, 3.0], mask).data == pytest.approx(
            2.0 * np.dot(mask, [1.0, 2.0, 3.0])
        )
        assert seeded(1.0, seed).data == 2.0 * (random.Random(seed).random() < 0.5)


# ---- gradients ----------------------------------------------------------------------------------


def test_gradients_may_not_be_read_or_changed():
    v = Value(3.0)

    def goes_backward(x):
        loss = (v * x - 1.0) ** 2
        loss.backward()
        return loss

    def zeroes(x):
        v.grad = 0.0
        return v * x

    def branches(x):
        return v * x if v.grad != 0.0 else v * x * 2.0

    def of_its_own(x):
        y = Value(x)
        (y * y).backward()
        return v * y.grad

    for f, words in (
        (of_its_own, r"calls backward\(\)"),
        (lambda x: v * x + v.grad, r"reads \.grad"),
        (goes_backward, r"calls backward\(\)"),
        (zeroes, r"assigns \.grad of a Value"),
        (branches, r"reads \.grad"),
    ):
        v.grad = 0.5
        with pytest.raises(TraceError, match=words):
            tw.jit(f)(1.0)
        assert v.grad == 0.5


def test_gradients_may_be_printed(capsys):
    v = Value(3.0)
    v.grad = 0.5

    def f(x):
        print(v, v.grad, f"{v.grad:.2f}")
        return v * x

    with pytest.warns(TraceWarning, match="prints a number"):
        assert tw.jit(f)(2.0).data == 6.0
    assert "grad=0.5" in capsys.readouterr().out


# ---- what happens only while the function is traced ---------------------------------------------


def test_prints_logs_and_queues_are_constants(caplog, checked_once):
    seen, log = queue.SimpleQueue(), logging.getLogger("test")

    def f(x):
        seen.put("traced")
        log.warning("traced")
        return W * x

    fast = tw.jit(f)
    results = [fast(x).data for x in (1.0, 2.0, 3.0, 4.0)]
    assert results == [2.0, 4.0, 6.0, 8.0]
    assert seen.qsize() == len(caplog.records) == 2  # the trace, and the comparison
