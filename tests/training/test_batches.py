"""The batches of a run: order, sizes, the generator that shuffles."""

import random
from itertools import islice

import pytest

from talweg.training.batches import batches_of, steps_per_pass


def test_without_a_batch_size_every_step_takes_all_examples():
    assert list(islice(batches_of(5, None, None), 3)) == [None, None, None]


@pytest.mark.parametrize(("count", "size"), [(1, 1), (10, 3), (10, 5), (10, 100)])
def test_a_pass_has_each_example_once_in_batches_of_one_size_but_the_last(count, size):
    batches = batches_of(count, size, random.Random(3))
    steps = steps_per_pass(count, size)
    for _ in range(3):
        batches_of_pass = list(islice(batches, steps))
        assert sorted(i for batch in batches_of_pass for i in batch) == list(range(count))
        assert {len(batch) for batch in batches_of_pass[:-1]} <= {size}
        assert len(batches_of_pass[-1]) == (count - 1) % size + 1


def test_the_order_is_that_of_shuffle():
    order = list(range(7))
    random.Random(5).shuffle(order)
    assert next(batches_of(7, 7, random.Random(5))) == order


@pytest.mark.parametrize(
    ("count", "size", "steps"), [(10, None, 1), (10, 10, 1), (10, 3, 4), (1, 5, 1)]
)
def test_steps_per_pass(count, size, steps):
    assert steps_per_pass(count, size) == steps
