"""Signatures of calls: the numbers of the arguments, and the key for everything else."""

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.compiler.frontend.key_difference import key_difference
from talweg.compiler.frontend.signature import SignatureCache, signature_of


@pytest.mark.parametrize(
    "thing",
    [
        [1.0, [2.0, -0.0], (3.0,), {"a": 4.0, 5: None}],
        ([], {}, (), [[]], 0.5),
        {"inf": float("inf"), "text": "gäbe", "n": 2**70, "yes": True},
        [1.5, np.float64(2.5), 3],
        (np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 2]), np.float32(0.1)),
        np.arange(6.0).reshape(2, 3).T,
        [Value(1.0), 2.0, [Value(3.0)]],
    ],
)
def test_the_key_has_everything_but_the_numbers(thing):
    def changed(x):
        if isinstance(x, (list, tuple)):
            return type(x)(map(changed, x))
        if isinstance(x, dict):
            return {name: changed(part) for name, part in x.items()}
        if isinstance(x, np.ndarray):
            return x * 3.0 if x.dtype.kind == "f" else x
        return type(x)(x.data * 3.0 if isinstance(x, Value) else x * 3.0) if is_float(x) else x

    def is_float(x):
        return isinstance(x, (float, np.floating, Value))

    def numbers(x):
        if isinstance(x, (list, tuple)):
            return [y for part in x for y in numbers(part)]
        if isinstance(x, dict):
            return numbers(list(x.values()))
        if isinstance(x, np.ndarray):
            return x.ravel().tolist() if x.dtype.kind == "f" else []
        return [float(x)] if isinstance(x, (float, np.floating)) else []

    cache = SignatureCache()
    first, other = signature_of([thing], {}, cache), signature_of([changed(thing)], {}, cache)
    again, fresh = signature_of([thing], {}, cache), signature_of([thing], {}, SignatureCache())
    assert first.key == other.key == again.key == fresh.key
    assert first.floats == again.floats == fresh.floats == numbers(thing)
    assert other.floats == numbers(changed(thing))


def test_arguments_that_marshal_writes_alike_have_different_keys():
    array = np.array([1.0, 2.0])
    cache, keys = SignatureCache(), set()
    for x in ([array], [array.tobytes()], [[1.0, 2.0]], [(1.0, 2.0)], [[1, 2]], [[True, 2.0]]):
        keys.add(signature_of([x], {}, cache).key)
        assert signature_of([x], {}, cache).key in keys
    assert len(keys) == 6


@pytest.mark.parametrize(
    ("new", "old", "words"),
    [
        ([1.0, 2.0], [1.0], "argument 1: list of 2, was list of 1"),
        ([[1.0, 2], 3.0], [[1.0, 3], 3.0], "argument 1: int 2, was int 3"),
        (2, 2.0, "argument 1: int 2, was a number"),
        ((1.0,), [1.0], "argument 1: tuple of 1, was list of 1"),
        ({"a": 1.0}, {"b": 1.0}, "argument 1: 'a', was 'b'"),
        (np.zeros(3), np.zeros((3, 1)), "argument 1: an array (3,), was an array (3, 1)"),
        (
            tw.MLP(1, [1]),
            tw.MLP(1, [1], activation="relu"),
            "argument 1: activation: str 'tanh', was str 'relu'",
        ),
    ],
)
def test_the_first_difference_of_two_keys(new, old, words):
    cache = SignatureCache()
    a, b = signature_of([new], {}, cache), signature_of([old], {}, cache)
    assert key_difference(a.key, b.key) == words
    assert key_difference(
        signature_of([], {"x": 1}, cache).key, signature_of([], {"y": 1}, cache).key
    ) == ("the arguments named x, were y")
