"""The largest eigenvalue where the Lanczos method fails."""

import random

import pytest

import talweg as tw
from talweg.errors import ArgumentError
from talweg.explore.curvature import Curvature


def test_a_lanczos_method_that_does_not_converge_is_an_error_with_the_repair(monkeypatch):
    from scipy.sparse import linalg

    def fails(operator, **settings):
        for _ in range(3):
            operator @ settings["v0"]
        raise linalg.ArpackNoConvergence("no convergence", [], [])

    monkeypatch.setattr(linalg, "eigsh", fails)
    model = tw.MLP(3, [4, 4, 1], rng=random.Random(1))
    curvature = Curvature(model, tw.lesson_data(), tw.losses.squared_error, "sum", 1e-9, 1)
    message = (
        r"^the largest eigenvalue was not found to a relative error of 1e-09 in 4 products; give "
        "a larger tolerance$"
    )
    with pytest.raises(ArgumentError, match=message):
        curvature.largest_eigenvalue()
