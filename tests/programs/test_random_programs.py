"""Random Python programs, eager against compiled; and what they have found, each as a test.

`bench/random_python.py` runs thousands of them.
"""

import numpy as np
import pytest
from python_runs import World, compared, judged, written

import talweg as tw
from talweg import Value
from talweg.errors import TraceError

GROUPS = 20


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_random_program_differs(group):
    kinds = []
    for seed in range(10 * group, 10 * group + 10):
        verdicts = judged(written(seed))
        kinds += [verdict.kind for verdict in verdicts.values()]
        assert "different" not in kinds, (seed, verdicts)
    assert kinds.count("same") > len(kinds) / 2


def test_a_difference_is_found():
    """The comparison itself: a compiled function that is wrong in one bit, type or state."""
    program = written(1)
    right = World(program).outcomes()
    assert compared(right, World(program).outcomes(), is_exact=True).kind == "same"

    def wrong(f):
        def called(*args, **kwargs):
            result = f(*args, **kwargs)
            f.__globals__["one"].mean += 2.0**-40
            return result

        return called

    found = World(program, wrong).outcomes()
    assert compared(right, found, is_exact=True).kind == "different"


# ---- found by random programs -------------------------------------------------------------------


class Keeper:
    def __init__(self):
        self.bias, self.scale, self.mean = Value(0.0), 1.5, 0.0
        self.memory = [0.0]
        self.is_on = True


def test_a_float_argument_that_is_wrapped_and_kept_is_a_value():
    keeper = Keeper()

    def f(x):
        keeper.bias = Value(x)
        return keeper.bias

    fast = tw.jit(f, mode="exact")
    for x in (0.5, 2.0):
        assert isinstance(fast(x), Value)
        assert isinstance(keeper.bias, Value)
        assert keeper.bias.data == x


@pytest.mark.parametrize("f", [
    lambda x: abs(x > 0.5), lambda x: -(x > 0.5), lambda x: round(x > 0.5),
    lambda x: (x > 0.5).real, lambda x: +(x > 0.5), lambda x: complex(x > 0.5).real,
    lambda x: [3.0, 4.0][x > 0.5], lambda x: (x > 0.5) // 0.5, lambda x: (x > 0.5) % 1.5,
    lambda x: 2.5 // (1 + (x > 0.5)), lambda x: (x > 0.5) & True, lambda x: ~(x > 0.5),
    lambda x: divmod(x > 0.5, 0.75)[1], lambda x: 3 << (x > 0.5), lambda x: x // 0.5,
    lambda x: 2.0 % x,
])  # fmt: skip
def test_truths_have_the_arithmetic_of_python(f):
    fast = tw.jit(f, mode="exact")
    for x in (0.25, 0.75, 0.25):
        found = fast(x)
        assert found == f(x)
        assert type(found) is type(f(x))


@pytest.mark.parametrize("f", [lambda x: x & 1, lambda x: x << 1, lambda x: ~x, lambda x: x // "a"])
def test_operations_that_floats_do_not_have(f):
    with pytest.raises(TypeError) as expected:
        f(0.5)
    with pytest.raises(TypeError) as caught:
        tw.jit(f)(0.5)
    assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize("x", [0.25, 0.75])
def test_comparisons_of_numpy_numbers_are_those_of_numpy(x):
    def f(xs):
        return xs[0] > 0.5

    found = tw.jit(f, mode="exact")(np.array([x, 1.0]))
    assert found == (x > 0.5)
    assert type(found) is np.bool_
    with pytest.raises(TypeError):  # an integer index, as of a list of Python
        tw.jit(lambda xs: [1.0, 2.0][xs[0] > 0.5])(np.array([x, 1.0]))


def test_data_is_read_in_a_function_that_is_differentiated():
    """There the arguments are floats that stand for Values."""

    def leaky(w, x):
        return sum(v * x if v.data > 0 else 0.01 * v for v in w)

    for mode in ("exact", "default"):
        both = tw.value_and_grad(leaky, mode=mode)
        assert both([1.0, -2.0], 3.0) == (3.0 - 0.02, [3.0, 0.01])
        assert both([-1.0, 2.0], 3.0) == (6.0 - 0.01, [0.01, 3.0])
    assert tw.grad(lambda v: v.data * v)(3.0) == 3.0  # no derivative passes through .data


@pytest.mark.parametrize("make", [tw.grad, tw.value_and_grad, tw.hessian, tw.jacobian])
def test_a_function_that_keeps_numbers_is_not_differentiated(make):
    """It left numbers of the trace in the object before."""
    keeper = Keeper()

    def f(x):
        keeper.mean = 0.5 * keeper.mean + x
        return x * x

    with pytest.raises(TraceError, match=r"f keeps numbers in `keeper\.mean`.*return them"):
        make(f)(3.0)
    assert keeper.mean == 0.0


@pytest.mark.parametrize(
    "f",
    [
        lambda v: np.tanh(v) * v, np.exp, lambda v: np.maximum(v, 0.1) * v,
        np.square, lambda v: np.sqrt(v * v + 1.0), lambda v: np.add(v, 1.0) * v,
        lambda v: np.tanh(np.array([v, v * v])).sum(), lambda v: np.log(v) - np.sin(v),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["exact", "default"])
def test_derivatives_of_numpy_functions(f, mode):
    """`np.tanh(v)` of a number that is differentiated by was a constant."""
    for x in (0.5, 0.75):
        v = Value(x)
        result = f(v)
        result.backward()
        value, gradient = tw.value_and_grad(f, mode=mode)(x)
        assert value == pytest.approx(result.data, rel=1e-14)
        assert gradient == pytest.approx(v.grad, rel=1e-14)


def test_what_happens_once_happens_on_values_before_a_derivative():
    """The first call, which makes parameters, ran on plain floats, which have no `.data`."""
    keeper = Keeper()

    def f(v):
        if keeper.is_on:
            keeper.is_on = False
        return v * v if v.data > 0 else v

    assert tw.grad(f)(3.0) == 6.0
    assert keeper.is_on is False


def test_a_result_that_only_the_first_run_has_is_refused_before_a_derivative():
    """The derivative of the second run was returned."""
    keeper = Keeper()

    def f(v):
        if keeper.is_on:
            keeper.is_on = False
            return v * v
        return 3.0 * v

    with pytest.raises(TraceError, match=r"returns 25\.0, then 15\.0; call it"):
        tw.grad(f)(5.0)
    assert tw.grad(f)(5.0) == 3.0


def test_what_happens_at_each_run_is_refused_before_a_derivative():
    """An internal signal was raised instead."""
    keeper = Keeper()

    def f(v):
        keeper.mean = keeper.scale - 1.0
        keeper.scale = abs(keeper.mean) * 2.0
        return v * v

    with pytest.raises(TraceError, match=r"f changes `keeper\.\w+` from"):
        [tw.grad(f)(x) for x in (3.0, 4.0, 5.0)]


def test_a_number_that_is_appended_is_refused_by_name():
    keeper = Keeper()

    def f(w, x):
        keeper.memory.append(w.data)
        return w * x

    with pytest.raises(TraceError, match=r"f appends to `keeper\.memory`.*append them outside"):
        tw.jit(f)(Value(0.5), 2.0)
    assert keeper.memory == [0.0]


def test_state_may_be_stored_unchanged():
    """At the call that is checked, the number that is stored is the one that was there."""
    keeper = Keeper()

    def f(w, x):
        keeper.scale = abs(x)
        return w * keeper.scale

    fast, w = tw.jit(f, mode="exact"), Value(2.0)
    assert [fast(w, x).data for x in (-1.0, 1.0, -3.0)] == [2.0, 2.0, 6.0]
    assert keeper.scale == 3.0


def test_an_equal_number_in_its_place_is_no_change():
    keeper = Keeper()
    keeper.scale = np.float64(1.5)

    def f(x):
        keeper.scale = np.float64(3.0) / 2
        return x * keeper.scale

    assert tw.jit(f)(2.0) == 3.0


# ---- attributes of Values ------------------------------------------------------------------------


class Weight(Value):
    """A class of the user's, with a method and an attribute of the class."""

    factor = 3.0

    def half(self):
        return self * 0.5


def decayed(w, x):
    return w[0] * x + getattr(w[0], "decay", 0.0) * w[1]


@pytest.mark.parametrize("mode", ["exact", "default"])
@pytest.mark.parametrize("is_given", [True, False])
def test_attributes_of_values_are_guarded(mode, is_given):
    w = [Value(1.0), Value(2.0)]
    w[0].decay = 0.5
    given = tw.jit(decayed, mode=mode)
    captured = tw.jit(lambda x: decayed(w, x), mode=mode)
    for decay in (0.5, 0.75, 0.75, 2, 0.5):
        w[0].decay = decay
        for x in (1.5, -0.5):
            found = given(w, x) if is_given else captured(x)
            assert found.data == decayed(w, x).data
    assert (given if is_given else captured).traces <= 5
    if is_given:
        del w[0].decay
        assert given(w, 1.5).data == 1.5


def test_a_value_of_a_class_of_the_user_keeps_its_class():
    def f(w, x):
        return w.half() * x * w.factor if isinstance(w, Weight) else w * x

    fast = tw.jit(f, mode="exact")
    for cls in (Value, Weight, Value, Weight):
        assert fast(cls(1.0), 2.0).data == f(cls(1.0), 2.0).data
    assert fast.traces == 2


def test_attributes_of_arguments_that_are_changed_are_refused():
    def f(w, x):
        w.velocity = 0.9 * getattr(w, "velocity", 0.0) + x
        return w * x

    w = Value(1.0)
    with pytest.raises(TraceError, match=r"changes the attribute 'velocity' of a Value"):
        tw.jit(f)(w, 2.0)
    assert not hasattr(w, "velocity")


@pytest.mark.parametrize("seed", [429, 2578, 2580, 2956, 3084, 3600])
def test_programs_that_differed(seed):
    kinds = [verdict.kind for verdict in judged(written(seed)).values()]
    assert "different" not in kinds
