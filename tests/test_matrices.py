"""Matrices and embeddings: sizes, names, and an index that is a Value."""

import random

import pytest

import talweg as tw
from talweg.errors import ArgumentError


def test_a_row_of_an_embedding_is_selected_by_an_integer():
    table = tw.Embedding(3, 2, rng=random.Random(1))
    assert table[2] is table.rows[2]
    assert [name for name, _ in table.named_parameters()][:3] == ["0.0", "0.1", "1.0"]


def test_a_value_as_index_without_compilation_has_no_backward_pass():
    table = tw.Embedding(3, 2, rng=random.Random(1))
    first, second = table[tw.Value(1.0)]
    assert (first.data, second.data) == tuple(value.data for value in table.rows[1])
    with pytest.raises(ArgumentError, match=r"^the index of an Embedding is a Value.*an integer$"):
        (first * second).backward()
