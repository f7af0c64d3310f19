"""What tw.jit takes: functions of all kinds; and arguments: named ones in order, data classes."""

# ruff: noqa: PLW0108 - a function around an object is what is tested

import collections
import dataclasses
import functools

import pytest

import talweg as tw
from talweg import Value
from talweg.errors import ArgumentError

W = Value(2.0)


class Thing:
    scale = 2.0

    def __init__(self, own=1.0):
        self.own = own

    @tw.jit
    @staticmethod
    def static(x):
        return W * x

    @staticmethod
    @tw.jit
    def static_too(x):
        return W * x

    @tw.jit
    @classmethod
    def of_class(cls, x):
        return W * x * cls.scale

    @classmethod
    @tw.jit
    def of_class_too(cls, x):
        return W * x * cls.scale

    @property
    @tw.jit
    def double(self):
        return W * self.own

    @tw.jit(mode="exact")
    def method(self, x):
        return W * x * self.own * self.scale

    def __call__(self, x):
        return W * x * self.own

    def plain(self, x):
        return W * x * self.own


class Other(Thing):
    scale = 3.0


def test_methods_of_all_kinds():
    for owner in (Thing, Thing()):
        assert owner.static(1.5).data == owner.static_too(1.5).data == 3.0
        assert owner.of_class(1.5).data == owner.of_class_too(1.5).data == 6.0
    assert Other.of_class(1.5).data == Other.of_class_too(1.5).data == 9.0
    assert Thing(3.0).double.data == 6.0
    assert Thing(5.0).method(1.0).data == 20.0
    assert Other(5.0).method(1.0).data == 30.0
    assert tw.jit(Thing.of_class)(1.5).data == 6.0


def test_objects_bound_methods_partials_and_lambdas():
    thing = Thing(3.0)
    for f in (
        thing,
        thing.plain,
        functools.partial(Thing.plain, thing),
        functools.partial(thing),
        lambda x: thing(x),
        functools.wraps(thing.plain)(lambda *args: thing.plain(*args)),
    ):
        thing.own = 3.0
        fast = tw.jit(f)
        assert [fast(x).data for x in (1.0, 2.0)] == [6.0, 12.0]
        thing.own = 4.0
        assert fast(1.0).data == 8.0


def test_functions_that_call_themselves():
    @tw.jit
    def power(n, x):
        return x if n == 0 else power(n - 1, x) * W

    def even(n, x):
        return x if n == 0 else odd(n - 1, x * W)

    def odd(n, x):
        return even(n - 1, x * 3.0)

    assert power(3, Value(1.0)).data == 8.0
    assert tw.jit(even)(4, 1.0).data == 36.0


def a_generator(x):
    yield W * x


async def a_coroutine(x):
    return W * x


async def an_asynchronous_generator(x):
    yield W * x


class YieldsNumbers:
    def __call__(self, x):
        yield W * x


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (a_generator, r"a_generator, a generator; return a list"),
        (functools.partial(a_generator, 1.0), r"a generator; return a list"),
        (YieldsNumbers(), r"a generator; return a list"),
        (a_coroutine, r"a_coroutine, a coroutine; compile the arithmetic"),
        (an_asynchronous_generator, r"a generator; return a list"),
        (property(lambda self: 1.0), r"a property; write @property above @tw\.jit"),
        (functools.partialmethod(lambda self: 1.0), r"a partialmethod; give tw\.jit the function"),
        (Thing, r"the class Thing; give a function"),
        (3.0, r"float 3\.0"),
    ],
)
def test_what_is_no_function_is_refused_with_a_repair(f, words):
    with pytest.raises(ArgumentError, match=rf"jit takes a function, got .*{words}") as caught:
        tw.jit(f)
    assert "\n" not in str(caught.value)


# ---- named arguments ----------------------------------------------------------------------------


def test_named_arguments_keep_their_order_where_it_counts():
    def first(**named):
        return next(iter(named.values())) * W

    fast = tw.jit(first)
    for named in ({"b": 1.0, "a": 2.0}, {"a": 2.0, "b": 1.0}, {"b": 3.0, "a": 4.0}):
        assert fast(**named).data == first(**named).data
    assert fast.traces == 2
    assert tw.grad(lambda x, **named: x * next(iter(named.values())))(1.0, b=3.0, a=4.0) == 3.0


def test_the_order_of_parameters_with_names_does_not_count():
    fast = tw.jit(lambda *, a, b: (a - b) * W)
    by_partial = tw.jit(functools.partial(lambda c, *, a, b: (a - b) * W * c, 1.0))
    for f in (fast, by_partial):
        assert f(a=3.0, b=1.0).data == f(b=1.0, a=3.0).data == 4.0
        assert f.traces == 1


# ---- data classes -------------------------------------------------------------------------------


@dataclasses.dataclass
class Plain:
    a: float
    n: int = dataclasses.field(default=1, init=False)


@dataclasses.dataclass
class Doubled:
    a: float

    def __post_init__(self):
        self.a = 2.0 * self.a


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: float
    rest: tuple = (1.0, 2.0)


@dataclasses.dataclass(slots=True)
class Slotted:
    a: float
    b: float = dataclasses.field(default=3.0, init=False)


@dataclasses.dataclass
class WithInitVar:
    a: float
    k: dataclasses.InitVar[float] = 2.0
    scale: dataclasses.field() = dataclasses.field(init=False, default=0.0)

    def __post_init__(self, k):
        self.scale = k


@dataclasses.dataclass
class WithMethods:
    a: float
    factor = 3.0

    @property
    def area(self):
        return self.a * self.factor


def changed(thing, **attributes):
    for name, item in attributes.items():
        object.__setattr__(thing, name, item)
    return thing


@pytest.mark.parametrize(
    ("make", "f"),
    [
        (lambda k: changed(Plain(k), n=int(k)), lambda c: c.a * W * float(c.n)),
        (lambda k: changed(Plain(k), extra=k), lambda c: c.a * W * getattr(c, "extra", 1.0)),
        (Doubled, lambda c: c.a * W),
        (Frozen, lambda c: c.a * W * c.rest[1]),
        (lambda k: changed(Slotted(k), b=k), lambda c: c.a * W * c.b),
        (lambda k: WithInitVar(k, 5.0 * k), lambda c: c.a * W * c.scale),
        (WithMethods, lambda c: c.area * W),
        (lambda k: collections.deque([k, 2.0], maxlen=2), lambda c: c[0] * W + c.maxlen),
    ],
)
def test_data_classes_are_copied_without_their_constructor(make, f):
    fast = tw.jit(f, mode="exact")
    for k in (2.0, 3.0, 2.0):
        assert fast(make(k)).data == f(make(k)).data


def test_the_class_of_a_data_class_is_part_of_the_program(monkeypatch):
    fast = tw.jit(lambda c: c.area * W)
    assert fast(WithMethods(1.0)).data == 6.0
    monkeypatch.setattr(WithMethods, "factor", 5.0)
    assert fast(WithMethods(1.0)).data == 10.0


def test_data_classes_are_returned_as_they_are():
    fast = tw.jit(lambda c, x: Doubled(c.a * x))
    result = fast(Plain(1.0), Value(3.0))
    assert type(result) is Doubled
    assert result.a.data == 6.0
