"""Which globals and attributes the code of a function names, and which code is constant."""

# ruff: noqa: PLW0108 - the code of functions is what is tested

import dataclasses
import math
import random
import types

import pytest

import talweg as tw
from talweg.compiler.frontend.reachable import (
    Reach,
    is_user_class,
    is_user_function,
    is_user_module,
    names_in,
)

SCALE = 1.0


def names(f):
    return names_in(f.__code__)


def test_globals_and_attributes_with_those_of_inner_functions():
    def f(model, xs):
        def inner(x):
            return model.layer(x) * SCALE

        model.out = [inner(x) for x in xs]
        return sum(model.out) + math.pi

    found = names(f)
    assert found.globals == {"SCALE", "sum", "math"}
    assert found.attributes == {"layer", "out", "pi"}
    assert not found.is_open


@pytest.mark.parametrize(
    "f",
    [
        lambda x: getattr(x, "size"),  # noqa: B009
        lambda x: getattr(x, "size", 1.0),
        lambda x: hasattr(x.part, "size"),
    ],
)
def test_constant_names_of_attributes(f):
    assert "size" in names(f).attributes
    assert not names(f).is_open


@pytest.mark.parametrize(
    "f",
    [
        lambda x, name: getattr(x, name),
        lambda x, i: getattr(x, f"layer{i}"),
        lambda x: vars(x),
        lambda x: x.__dict__["a"],
        lambda x: [getattr(x, f.name) for f in dataclasses.fields(x)],
        lambda x: eval("x.a"),
    ],
)
def test_computed_names_of_attributes(f):
    assert names(f).is_open


def test_code_of_talweg_and_of_packages_is_constant():
    assert is_user_function(test_computed_names_of_attributes)
    assert not is_user_function(random.Random.gauss)
    assert not is_user_function(tw.MLP.__call__)
    assert not is_user_function(tw.Value.tanh)
    assert not is_user_function(tw.Value.__add__)
    assert is_user_class(type("Own", (), {"__module__": __name__}))
    assert not is_user_class(tw.MLP)
    assert not is_user_class(dict)
    assert is_user_module(types.ModuleType("made"))
    assert not is_user_module(math)
    assert not is_user_module(pytest)


def test_methods_count_if_their_name_is_used_and_constructors_if_the_class_is_called():
    class Model:
        size = 2
        other = 3

        def __init__(self):
            self.secret = 1

        def __call__(self):
            return self.size

        def unused(self):
            return self.other

    reach = Reach()
    reach.add((lambda m: m() + m.size).__code__)
    members = [name for _, name, _ in reach.members_of(Model, is_called=False)]
    assert members == ["size", "__call__"]
    called = [name for _, name, _ in reach.members_of(Model, is_called=True)]
    assert called == ["size", "__init__", "__call__"]
    version = reach.version
    reach.add(Model.unused.__code__)
    assert reach.version == version + 1
    assert "other" in [name for _, name, _ in reach.members_of(Model, is_called=False)]
