"""The settings of a run: one declaration, the same defaults everywhere."""

import inspect
from dataclasses import fields

import pytest

import talweg as tw
from talweg.errors import ArgumentError
from talweg.training.settings import Settings

NAMES = [f.name for f in fields(Settings)]
DEFAULTS = {f.name: f.default for f in fields(Settings)}


@pytest.mark.parametrize("function", [tw.train, tw.minimize])
def test_the_functions_have_the_defaults_of_the_settings(function):
    parameters = inspect.signature(function).parameters
    declared = {name: x.default for name, x in parameters.items() if name in DEFAULTS}
    assert declared == {name: DEFAULTS[name] for name in declared}
    assert list(declared) == [name for name in NAMES if name in declared]


def test_train_has_all_settings_and_minimize_those_without_validation():
    assert set(NAMES) <= set(inspect.signature(tw.train).parameters)
    missing = set(NAMES) - set(inspect.signature(tw.minimize).parameters)
    assert missing == {"early_stopping", "metrics"}


def test_settings_are_found_among_the_arguments():
    found = Settings.among({"f": abs, "steps": 7, "mode": "exact"})
    assert found == Settings(steps=7, mode="exact")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reduction": "max"}, 'reduction must be "sum" or "mean", got \'max\''),
        ({"optimizer": 0.1}, r"optimizer must be None or an optimiser such as tw.Adam\(lr=0.01\)"),
        ({"steps": -1}, "steps must be an integer of at least 0, got -1"),
        ({"batch_size": 0}, "batch_size must be None or an integer of at least 1, got 0"),
        ({"seed": 0.5}, "seed must be None or an integer, got 0.5"),
        ({"threads": 0}, "threads must be None or an integer of at least 1, got 0"),
        ({"engine": "fast"}, 'engine must be "auto", "eager" or "native", got \'fast\''),
        ({"mode": "fast"}, 'mode must be "default" or "exact", got \'fast\''),
        ({"early_stopping": 3}, r"early_stopping must be None or .*EarlyStopping\(patience=10\)"),
        ({"clip_norm": 0.0}, "clip_norm must be None or a number above 0, got 0.0"),
        ({"metrics": [abs]}, "metrics must be None or functions by name such as"),
        ({"callbacks": [1]}, r"callbacks must be a list of functions, got \[1\]"),
    ],
)
def test_settings_that_are_not_valid(given, message):
    with pytest.raises(ArgumentError, match=f"^{message}"):
        Settings(**given)
