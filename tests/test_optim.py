"""Optimisers: the papers' equations in NumPy, loops of one's own, and what is refused."""

import random

import numpy as np
import pytest

import talweg as tw
from talweg import MLP, SGD, Adam, AdamW, RMSprop, Value
from talweg.errors import ArgumentError
from talweg.optim import Optimizer

STEPS = 20
START = np.array([1.5, -0.7, 0.0, 3.0])
CURVATURE = np.array([1.0, 0.2, 3.0, 0.01])


def gradient(p):
    """Of sum(c p**2 / 2 + cos(2 p)): different in size from parameter to parameter."""
    return CURVATURE * p - 2.0 * np.sin(2.0 * p)


def sgd(p, lr, *, momentum=0.0, nesterov=False, weight_decay=0.0):
    # Sutskever et al. 2013, with the rate outside the velocity.
    v = np.zeros_like(p)
    for _ in range(STEPS):
        g = gradient(p) + weight_decay * p
        v = momentum * v + g
        p = p - lr * (g + momentum * v if nesterov else v)
    return p


def rmsprop(p, lr, *, decay=0.99, epsilon=1e-8, weight_decay=0.0):
    # Tieleman and Hinton 2012, epsilon outside the root.
    s = np.zeros_like(p)
    for _ in range(STEPS):
        g = gradient(p) + weight_decay * p
        s = decay * s + (1 - decay) * g**2
        p = p - lr * g / (np.sqrt(s) + epsilon)
    return p


def adam(p, lr, *, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, decoupled=False):
    # Kingma and Ba 2015, algorithm 1; decoupled as in Loshchilov and Hutter 2019, algorithm 2.
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t in range(1, STEPS + 1):
        g = gradient(p) + (0.0 if decoupled else weight_decay) * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        decay = lr * weight_decay * p if decoupled else 0.0
        p = p - decay - lr * m_hat / (np.sqrt(v_hat) + epsilon)
    return p


def adamw(p, lr, weight_decay=0.01, **settings):
    return adam(p, lr, weight_decay=weight_decay, decoupled=True, **settings)


CASES = [
    (SGD, sgd, {"lr": 0.1}),
    (SGD, sgd, {"lr": 0.1, "weight_decay": 0.3}),
    (SGD, sgd, {"lr": 0.05, "momentum": 0.9}),
    (SGD, sgd, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    (SGD, sgd, {"lr": 0.05, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1}),
    (RMSprop, rmsprop, {"lr": 0.02}),
    (RMSprop, rmsprop, {"lr": 0.02, "decay": 0.5, "epsilon": 0.1, "weight_decay": 0.2}),
    (Adam, adam, {"lr": 0.1}),
    (Adam, adam, {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "epsilon": 0.1, "weight_decay": 0.2}),
    (AdamW, adamw, {"lr": 0.1}),
    (AdamW, adamw, {"lr": 0.1, "weight_decay": 0.5, "beta1": 0.8, "beta2": 0.95}),
]
IDS = [f"{make.__name__}-{i}" for i, (make, _, _) in enumerate(CASES)]


def by_steps(optimizer):
    parameters = [Value(p) for p in START]
    for _ in range(STEPS):
        for p, g in zip(parameters, gradient(np.array([p.data for p in parameters])), strict=True):
            p.grad = float(g)
        optimizer.step(parameters)
    return [p.data for p in parameters]


@pytest.mark.parametrize(("make", "reference", "settings"), CASES, ids=IDS)
def test_twenty_steps_of_the_equations(make, reference, settings):
    expected = reference(START, **settings)
    assert by_steps(make(**settings)) == pytest.approx(list(expected), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("make", "reference", "settings"), CASES, ids=IDS)
def test_twenty_steps_of_torch(make, reference, settings):
    torch = pytest.importorskip("torch")
    names = {"beta1": None, "beta2": None, "epsilon": "eps", "decay": "alpha"}
    theirs = {names.get(k, k): v for k, v in settings.items() if names.get(k, k)}
    if issubclass(make, Adam):
        theirs["betas"] = (settings.get("beta1", 0.9), settings.get("beta2", 0.999))
    p = torch.tensor(START, requires_grad=True)
    optimizer = getattr(torch.optim, make.__name__)([p], **theirs)
    for _ in range(STEPS):
        p.grad = torch.tensor(gradient(p.detach().numpy()))
        optimizer.step()
    assert by_steps(make(**settings)) == pytest.approx(p.detach().tolist(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("make", "reference", "settings"), CASES, ids=IDS)
def test_a_hand_written_loop_equals_train_to_the_last_bit(make, reference, settings):
    model, trained = (MLP(3, [2, 1], rng=random.Random(4)) for _ in range(2))
    optimizer = make(**settings)
    losses = []
    for _ in range(10):
        loss = sum((model(x) - t) ** 2 for x, t in tw.lesson_data())
        losses.append(loss.data)
        model.zero_grad()
        loss.backward()
        optimizer.step(model.parameters())
    history = tw.train(trained, tw.lesson_data(), optimizer=make(**settings), steps=10)
    assert history.losses == losses
    assert trained.state_dict() == model.state_dict()


def test_one_optimiser_in_several_runs():
    optimizer = Adam(lr=0.1)
    runs = [
        tw.train(MLP(3, [1], rng=random.Random(0)), tw.lesson_data(), optimizer=optimizer, steps=5)
        for _ in range(2)
    ]
    assert runs[0].losses == runs[1].losses


def test_the_defaults_are_those_of_the_papers():
    assert Adam() == Adam(lr=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0)
    assert AdamW() == AdamW(0.001, 0.9, 0.999, 1e-8, 0.01)
    assert RMSprop() == RMSprop(0.01, 0.99, 1e-8, 0.0)
    assert SGD(0.1) == SGD(0.1, 0.0, False, 0.0)


def test_a_schedule_in_a_hand_written_loop():
    p = Value(0.0)
    optimizer = SGD(lr=lambda step: 10.0**-step)
    seen = []
    for _ in range(3):
        p.grad, before = -1.0, p.data
        optimizer.step([p])
        seen.append(p.data - before)
    assert seen == pytest.approx([1.0, 0.1, 0.01])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(-0.1), "lr must be a finite number of at least 0, got -0.1"),
        (lambda: SGD("0.1"), "lr must .* got '0.1'"),
        (lambda: Adam(lr=float("nan")), "lr must .* got nan"),
        (lambda: Adam(lr=float("inf")), "lr must .* got inf"),
        (lambda: SGD(0.1, momentum=1.0), "momentum must be at least 0 and below 1, got 1.0"),
        (lambda: SGD(0.1, momentum=-0.1), "momentum must"),
        (lambda: SGD(0.1, nesterov=True), "nesterov needs momentum"),
        (lambda: SGD(0.1, weight_decay=-1), "weight_decay must"),
        (lambda: RMSprop(lr=-1.0), "lr must"),
        (lambda: RMSprop(decay=1.0), "decay must"),
        (lambda: RMSprop(epsilon=-1.0), "epsilon must"),
        (lambda: RMSprop(weight_decay=-1.0), "weight_decay must"),
        (lambda: Adam(beta1=1.0), "beta1 must"),
        (lambda: Adam(beta2=1.5), "beta2 must"),
        (lambda: AdamW(weight_decay="x"), "weight_decay must"),
        (lambda: AdamW(epsilon=-1e-8), "epsilon must"),
    ],
)
def test_settings_that_are_not_valid(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_the_state_of_an_optimiser_is_not_a_setting():
    used = SGD(0.1)
    used.step([Value(1.0)])
    assert used == SGD(0.1)
    assert repr(used) == "SGD(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)"


def test_another_model_needs_another_optimiser():
    optimizer = SGD(0.1)
    optimizer.step([Value(1.0)])
    with pytest.raises(ArgumentError, match="1 parameters before and 2 now; make a new optimiser"):
        optimizer.step([Value(1.0), Value(2.0)])


def test_an_optimiser_must_define_update():
    with pytest.raises(TypeError, match="must define update"):
        Optimizer(0.1).step([Value(1.0)])


def test_a_parameter_that_is_listed_twice_moves_twice():
    p = Value(1.0)
    p.grad = 2.0
    SGD(lr=0.125).step([p, p])
    assert p.data == 1.0 - 2 * 0.25
