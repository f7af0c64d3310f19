"""The update of all parameters: each one's equation, the clipped gradient, numbers not finite."""

import math

import numpy as np
import pytest

from talweg import SGD, Adam
from talweg.optimizer_step import apply_update, clip_gradient, finite_update

START = np.array([1.5, -0.7, 0.0, 3.0])
GRADIENT = np.array([1.25, 1.8, -0.3, 0.6])


@pytest.mark.parametrize("lr", [0.1, [0.1, 0.02, 0.3, 0.0]])
@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.1)])
def test_apply_update_gives_each_parameter_what_update_gives_it_alone(optimizer, lr):
    p, g = START.tolist(), GRADIENT.tolist()
    states = [tuple([0.5 + k] * len(optimizer.initial_state())) for k in range(len(p))]
    rates = lr if isinstance(lr, list) else [lr] * len(p)
    expected = [optimizer.update(*x, 3.0) for x in zip(p, g, states, rates, strict=True)]
    assert list(apply_update(optimizer.update, p, g, states, lr, 3.0)) == expected


def test_apply_update_refuses_a_gradient_of_another_length():
    with pytest.raises(ValueError, match="shorter"):
        list(apply_update(SGD(0.1).update, [1.0, 2.0], [1.0], [(), ()], 0.1, 1.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient", "updated parameter"])
def test_an_update_with_a_number_that_is_not_finite_is_none(where, bad):
    p, g, loss = [1.0, 2.0], [0.5, 0.25], 1.0

    def update(p, g, state, lr, step):
        return (bad if where == "updated parameter" and p == 2.0 else p - lr * g), state

    if where == "loss":
        loss = bad
    if where == "gradient":
        g = [0.5, bad]
    assert finite_update(update, p, g, [(), ()], 0.5, 1.0, loss=loss) is None


def test_a_finite_update_returns_numbers_and_states():
    found = finite_update(
        SGD(0.1, momentum=0.5).update, [1.0, 2.0], [3.0, 4.0], [(0.0,), (2.0,)], 0.5, 1.0,
        loss=0.0, clip_norm=2.5,
    )  # fmt: skip
    assert found == ([1.0 - 0.5 * 1.5, 2.0 - 0.5 * 3.0], [(1.5,), (3.0,)])


def test_the_length_of_a_clipped_gradient():
    g = GRADIENT
    clipped = np.array(clip_gradient(g.tolist(), 0.25))
    assert np.linalg.norm(clipped) == pytest.approx(0.25, rel=1e-15)
    np.testing.assert_allclose(clipped / 0.25, g / np.linalg.norm(g), rtol=1e-14)
    assert clip_gradient(g.tolist(), 100.0) == g.tolist()
    assert clip_gradient([1e200, 0.0], 1.0) == [1.0, 0.0]  # no square overflows
