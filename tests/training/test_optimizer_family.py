"""Which optimisers are one program."""

import pytest

import talweg as tw
from talweg.errors import NativeError
from talweg.training.optimizer_family import family_of


@pytest.mark.parametrize(
    ("optimizers", "varied"),
    [
        ([tw.SGD(0.1), tw.SGD(0.2)], ()),
        ([tw.Adam(0.1, beta1=0.8), tw.Adam(0.1, beta1=0.9)], ("beta1",)),
        ([tw.AdamW(0.1, weight_decay=0.1), tw.AdamW(0.3, weight_decay=0.2)], ("weight_decay",)),
    ],
)
def test_the_settings_that_differ(optimizers, varied):
    assert family_of(optimizers).varied == varied


@pytest.mark.parametrize(
    ("optimizers", "message"),
    [
        ([tw.SGD(0.1), tw.Adam(0.1)], "^the optimisers are of several kinds$"),
        ([tw.SGD(0.1, momentum=0.9), tw.SGD(0.1)], "^initial_state\\(\\) of the optimisers gives"),
        (
            [tw.SGD(0.1, weight_decay=0.1), tw.SGD(0.1)],
            "^weight_decay of the optimisers is zero in some runs, and not in others$",
        ),
    ],
)
def test_optimisers_that_are_not_one_program(optimizers, message):
    with pytest.raises(NativeError, match=message):
        family_of(optimizers)
