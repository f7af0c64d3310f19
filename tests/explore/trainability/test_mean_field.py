"""The published problem: its sizes, and what is refused."""

import random

import pytest

from talweg.errors import ArgumentError
from talweg.explore.trainability.mean_field import default_problem


@pytest.mark.parametrize("width", [1, 3, 8])
def test_there_are_as_many_samples_as_parameters(width):
    make_model, data = default_problem(width)
    assert len(data) == len(make_model(random.Random(1)).parameters()) == width * width + width


@pytest.mark.parametrize("width", [0, -1, 2.0, True])
def test_a_width_that_is_not_a_count_is_refused(width):
    with pytest.raises(ArgumentError, match=rf"^width must be an integer .*, got {width}$"):
        default_problem(width)
