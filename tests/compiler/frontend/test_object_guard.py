"""Object guards: what a model holds, and whether it has changed."""

import gc
import weakref

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.compiler.frontend.object_guard import ObjectGuards


class Model:
    def __init__(self):
        self.w = Value(1.0)
        self.layers = [Value(2.0), self.w]
        self.settings = {"rate": 0.5, "name": "model"}

    def parameters(self):
        return [self.w, self.layers[0]]


def test_a_guard_has_every_value_once_and_in_order():
    model = Model()
    guard = ObjectGuards().guard(model)
    assert guard.values == [model.w, model.layers[0]]


def test_a_known_object_is_not_inspected_again():
    guards, model = ObjectGuards(), Model()
    guard = guards.guard(model)
    assert guards.known(model) is guard
    assert guards.guard(model) is guard
    model.w.data = 7.0  # the numbers of Values are no part of the program
    assert guards.guard(model) is guard


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "w", Value(1.0)),
        lambda m: setattr(m, "extra", 1),
        lambda m: m.layers.append(Value(3.0)),
        lambda m: m.settings.update(rate=0.25),
        lambda m: delattr(m, "settings"),
    ],
)
def test_an_object_that_has_changed_gets_another_guard(change):
    guards, model = ObjectGuards(), Model()
    before = guards.guard(model)
    change(model)
    assert guards.known(model) is None
    after = guards.guard(model)
    assert after.serial != before.serial
    assert guards.known(model) is after


def test_objects_with_equal_keys_share_one_structure():
    guards = ObjectGuards()
    a, b, c = (guards.guard(tw.MLP(2, [n, 1])) for n in (3, 3, 4))
    assert a.structure is b.structure
    assert a.structure is not c.structure


def test_arrays_are_compared_by_their_bytes():
    class WithArray:
        def __init__(self):
            self.scale = np.array([1.0, 2.0])

    guards, thing = ObjectGuards(), WithArray()
    before = guards.guard(thing)
    assert guards.known(thing) is before
    thing.scale[0] = 3.0
    assert guards.known(thing) is None
    assert guards.guard(thing).structure is not before.structure


def test_an_object_that_contains_itself():
    model = Model()
    model.itself = model
    guard = ObjectGuards().guard(model)
    assert guard.values == [model.w, model.layers[0]]


def test_an_equality_that_raises_counts_as_a_change():
    class Broken:
        def __eq__(self, other):
            raise RuntimeError

        __hash__ = None

    model, guards = Model(), ObjectGuards()
    model.part = Broken()
    guards.guard(model)
    model.part = Broken()
    assert guards.known(model) is None


def test_guards_do_not_keep_objects_alive_and_are_limited_in_number():
    guards, models = ObjectGuards(), [Model() for _ in range(40)]
    for model in models:
        guards.guard(model)
    assert len(guards._guards) == ObjectGuards._MOST
    gone = weakref.ref(models[-1])
    del models, model
    gc.collect()
    assert gone() is None
    assert guards._guards == {}
