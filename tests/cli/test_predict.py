"""The names of classes in a file to predict."""

import pytest

from talweg.cli.predict import _class_name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("1.0", "1"),
        ("1", "1"),
        ("1.50", "1.5"),
        ("setosa", "setosa"),
        ("nan", "nan"),
        ("inf", "inf"),
    ],
)
def test_a_class_has_the_name_that_training_gave_it(label, name):
    assert _class_name(label) == name
