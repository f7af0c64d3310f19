"""The sentences of a verdict, from recorded data alone."""

import math

import pytest

from talweg import MLP, History, Value
from talweg.training.objective import Objective
from talweg.training.outcome import (
    describe_divergence,
    describe_loss_change,
    explain_divergence,
    largest_gradient,
    parameter_name,
)

ADVICE = "; try a smaller learning rate or clip_norm"


@pytest.mark.parametrize(
    ("losses", "gradient", "sentence"),
    [
        ([math.nan], 2.0, "diverged at step 1: the loss is nan, the largest gradient 2 (w)"),
        (
            [3.0, 1e300, math.inf],
            -math.inf,
            "diverged at step 3: the loss is inf after 1e+300, the largest gradient -inf (w)",
        ),
        (
            [2.0, 1.0],
            1e200,
            "diverged at step 2: the loss is 1 after 2, the largest gradient 1e+200 (w), and the "
            "update is not finite",
        ),
    ],
)
def test_the_sentence_of_a_divergence(losses, gradient, sentence):
    assert describe_divergence(losses, gradient, "w") == sentence + ADVICE


@pytest.mark.parametrize(
    ("gradient", "index"),
    [([0.0], 0), ([1.0, -3.0, 3.0], 1), ([1.0, math.nan, math.inf], 1), ([math.inf, math.nan], 0)],
)
def test_the_largest_gradient(gradient, index):
    assert largest_gradient(gradient) == index


def test_the_gradient_of_the_parameters_explains_a_divergence():
    model = MLP(2, [1])
    for p, g in zip(model.parameters(), [1.0, -7.0, 2.0], strict=True):
        p.grad = g
    objective = Objective(model, lambda x: x, [1.0], mean=False)
    expected = describe_divergence([math.inf], -7.0, "layers.0.neurons.0.w.1")
    assert explain_divergence(objective, [math.inf]) == expected


def test_a_parameter_without_a_name_has_its_index():
    assert parameter_name([Value(1.0), Value(2.0)], 1) == "parameter 1"


@pytest.mark.parametrize(
    ("history", "batches", "sentence"),
    [
        (History(), False, "no step was made"),
        (History(losses=[4.0, 0.5]), False, "the loss went from 4 to 0.5"),
        (
            History(losses=[4.0, 0.5]),
            True,
            "the loss was 4 on the first batch and 0.5 on the last",
        ),
        (
            History(losses=[4.0, 0.5], validation_losses=[(1, 9.0), (3, 1.0)]),
            True,
            "the validation loss went from 9 to 1",
        ),
        (
            History(losses=[4.0, 0.5], validation_losses=[(1, 9.0), (3, 1.0)]),
            False,
            "the loss went from 4 to 0.5",
        ),
    ],
)
def test_how_the_loss_changed(history, batches, sentence):
    assert describe_loss_change(history, batches=batches) == sentence
