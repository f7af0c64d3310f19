"""Neurons, layers and networks: the lesson's numbers, names, shapes, and what is refused."""

import math
import random
from itertools import pairwise

import numpy as np
import pytest

from talweg import MLP, Layer, Module, Neuron, Value
from talweg.errors import ArgumentError, NumberError, ShapeError, TalwegError
from talweg.nn import ACTIVATIONS


def by_hand(sizes, weights, x, activation=math.tanh):
    """The network's output from a flat list of weights in the lesson's order, in plain floats."""
    weights = iter(weights)
    for nin, nout in pairwise(sizes):
        out = []
        for _ in range(nout):
            w, b = [next(weights) for _ in range(nin)], next(weights)
            total = b
            for a, c in zip(w, x, strict=True):
                total = total + a * c
            out.append(activation(total))
        x = out
    return x


# ---- the lesson's numbers --------------------------------------------------------------------


def test_the_lessons_41_numbers():
    draw = random.Random(42)
    expected = []
    for nin, nout in [(3, 4), (4, 4), (4, 1)]:
        for _ in range(nout):
            expected += [draw.uniform(-1, 1) for _ in range(nin)] + [0.0]
    random.seed(42)
    model = MLP(3, [4, 4, 1])
    assert [p.data for p in model.parameters()] == expected
    assert len(expected) == 41
    out = model([2.0, 3.0, -1.0])
    assert out.data == by_hand([3, 4, 4, 1], expected, [2.0, 3.0, -1.0])[0]


def test_rng_leaves_pythons_own_random_alone_and_draws_the_same():
    random.seed(42)
    lesson = [p.data for p in MLP(3, [4, 4, 1]).parameters()]
    before = random.getstate()
    own = [p.data for p in MLP(3, [4, 4, 1], rng=random.Random(42)).parameters()]
    assert random.getstate() == before
    assert own == lesson


@pytest.mark.parametrize("sizes", [[1], [4, 1, 4], [2, 3], [1, 1, 1], [5, 1]])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_any_shape_computes_its_formula(sizes, activation):
    model = MLP(3, sizes, activation, rng=random.Random(1))
    function = math.tanh if activation == "tanh" else lambda x: max(x, 0.0)
    x = [0.5, -1.25, 2.0]
    expected = by_hand([3, *sizes], model.state_dict().values(), x, function)
    out = model(x)
    assert [v.data for v in (out if sizes[-1] > 1 else [out])] == expected


def test_a_layer_of_one_neuron_gives_its_output_itself():
    layer = Layer(2, 1, rng=random.Random(0))
    assert isinstance(layer([1.0, 2.0]), Value)
    assert layer([1.0, 2.0]).data == layer.neurons[0]([1.0, 2.0]).data
    assert isinstance(Layer(2, 2)([1.0, 2.0]), list)
    assert isinstance(MLP(1, [2, 1])(0.5), Value)  # one input may be a single number


# ---- settings --------------------------------------------------------------------------------


def test_scale_bounds_the_weights():
    for scale, bound in [(1.0, 1.0), (0.01, 0.01), ("fan_in", 0.1)]:
        w = [abs(w.data) for w in Neuron(100, scale=scale, rng=random.Random(3)).w]
        assert 0.9 * bound < max(w) <= bound
    assert {w.data for w in Neuron(3, scale=0).w} == {0.0}


def test_activations_by_name_by_function_and_for_the_output_alone():
    rng = random.Random(5)
    own = MLP(2, [3, 1], activation=lambda x: x * 3.0, output="linear", rng=rng)
    expected = by_hand([2, 3, 1], own.state_dict().values(), [1.0, 2.0], lambda x: x * 3.0)[0] / 3.0
    assert own([1.0, 2.0]).data == pytest.approx(expected, rel=1e-15)
    logistic = MLP(2, [3, 1], output="sigmoid", rng=rng)
    assert [layer.neurons[0].activation for layer in logistic.layers] == ["tanh", "sigmoid"]
    assert 0.0 < logistic([5.0, 5.0]).data < 1.0


def test_every_named_activation():
    formulas = {
        "tanh": math.tanh,
        "relu": lambda x: max(x, 0.0),
        "sigmoid": lambda x: 1.0 / (1.0 + math.exp(-x)),
        "softplus": lambda x: math.log(1.0 + math.exp(x)),
        "sin": math.sin,
        "linear": lambda x: x,
    }
    assert set(formulas) == set(ACTIVATIONS)
    for name, formula in formulas.items():
        for b in (-1.5, 0.7):
            neuron = Neuron(1, name, scale=0.0)
            neuron.b.data = b
            assert neuron([1.0]).data == pytest.approx(formula(b), rel=1e-14)


def test_repr_shows_shape_activation_and_size():
    def own(x):
        return x

    assert repr(MLP(3, [4, 4, 1])) == "MLP(3 -> 4 -> 4 -> 1, tanh, 41 parameters)"
    assert repr(MLP(2, [2], "relu", "linear")) == "MLP(2 -> 2, relu, output linear, 6 parameters)"
    assert repr(Layer(2, 3, own)) == "Layer(2 -> 3, own)"
    assert repr(Neuron(2)) == "Neuron(2, tanh)"


# ---- parameters and states -------------------------------------------------------------------


def test_names_are_in_the_order_of_parameters():
    model = MLP(2, [2, 1], rng=random.Random(0))
    names, values = zip(*model.named_parameters(), strict=True)
    assert list(values) == model.parameters()
    assert names[:4] == (
        "layers.0.neurons.0.w.0",
        "layers.0.neurons.0.w.1",
        "layers.0.neurons.0.b",
        "layers.0.neurons.1.w.0",
    )
    assert names[-1] == "layers.1.neurons.0.b"
    for part in (model.layers[0], model.layers[0].neurons[0]):
        assert part.parameters() == [p for _, p in part.named_parameters()]


def test_a_loaded_state_is_the_saved_one():
    model, other = MLP(2, [3, 1], rng=random.Random(1)), MLP(2, [3, 1], rng=random.Random(2))
    assert other.state_dict() != model.state_dict()
    other.load_state_dict(dict(reversed(model.state_dict().items())))
    assert other.state_dict() == model.state_dict()
    other.parameters()[0].data = 7.0  # a copy, not a view
    assert model.parameters()[0].data != 7.0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.pop("layers.0.neurons.0.b"), ShapeError, r"missing layers\.0\.neurons\.0\.b$"),
        (lambda s: s.update(extra=1.0), ShapeError, "unknown extra$"),
        (lambda s: (s.clear(), s.update(a=1.0)), ShapeError, "missing .* and 10 more; unknown a$"),
        (lambda s: s.update({"layers.1.neurons.0.b": "x"}), NumberError, "text 'x'"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    model = MLP(2, [3, 1], rng=random.Random(1))
    before = model.state_dict()
    state = dict.fromkeys(before, 9.0)
    change(state)
    with pytest.raises(error, match=message):
        model.load_state_dict(state)
    assert model.state_dict() == before


def test_zero_grad():
    model = MLP(2, [2, 1], rng=random.Random(1))
    model([1.0, 2.0]).backward()
    assert any(p.grad != 0.0 for p in model.parameters())
    model.zero_grad()
    assert [p.grad for p in model.parameters()] == [0.0] * 9


def test_a_module_of_your_own_must_name_its_parameters():
    class Forgetful(Module):
        pass

    with pytest.raises(TypeError, match=r"Forgetful must define named_parameters"):
        Forgetful().parameters()


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Neuron(3), Layer(3, 2), MLP(3, [2, 1])])
@pytest.mark.parametrize("x", [[1.0, 2.0], [1.0] * 4, [], 5.0, np.zeros(2)])
def test_an_input_of_the_wrong_length(model, x):
    with pytest.raises(ShapeError, match=r"^the input .* Neuron\(3, tanh\) takes 3") as caught:
        model(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(3, 4), "nouts must be a list of layer sizes"),
        (lambda: MLP(3, None), "nouts must be a list"),
        (lambda: MLP(3, []), "nouts must be a list"),
        (lambda: MLP(3, [4, 0]), "nout must be an integer of at least 1, got 0"),
        (lambda: MLP(3, [4, 1.0]), "nout must .* got 1.0"),
        (lambda: MLP(3, "41"), "nout must .* got '4'"),
        (lambda: MLP(0, [1]), "nin must .* got 0"),
        (lambda: MLP(True, [1]), "nin must .* got True"),
        (lambda: Neuron(2.5), "nin must"),
        (lambda: Layer(2, -1), "nout must"),
        (lambda: MLP(2, [1], "tahn"), "unknown activation 'tahn'; known are tanh, relu"),
        (lambda: MLP(2, [1], output=["tanh"]), "unknown activation"),
        (lambda: MLP(2, [1], scale="fanin"), "scale must be .* \"fan_in\", got 'fanin'"),
        (lambda: MLP(2, [1], scale=math.nan), "scale must"),
        (lambda: MLP(2, [1], scale=-1.0), "scale must"),
        (lambda: MLP(2, [1], scale=math.inf), "scale must"),
        (lambda: MLP(2, [1], rng=42), r"rng must be a generator such as random\.Random\(42\)"),
    ],
)
def test_settings_that_are_not_valid(make, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_inputs_that_are_no_numbers():
    with pytest.raises(TalwegError):
        MLP(2, [1])(["a", "b"])
    assert MLP(2, [1], rng=random.Random(0))(np.array([1, 2])).data == (
        MLP(2, [1], rng=random.Random(0))([1.0, 2.0]).data
    )


def test_numpy_integers_are_sizes():
    assert repr(MLP(np.int64(2), [np.int32(1)])) == "MLP(2 -> 1, tanh, 3 parameters)"
