"""A missing zero_grad is noticed, with one network and with two, and nothing else is."""

import random
import warnings
from itertools import pairwise

import pytest

import talweg as tw
from talweg.errors import GradientWarning
from talweg.value import Value


def layer(rng, inputs, outputs):
    return [[Value(rng.uniform(-1.0, 1.0)) for _ in range(inputs + 1)] for _ in range(outputs)]


def apply(rows, x):
    return [sum((w * a for w, a in zip(row, x, strict=False)), row[-1]).tanh() for row in rows]


def network(rng, *sizes):
    return [layer(rng, a, b) for a, b in pairwise(sizes)]


def forward(net, x):
    for rows in net:
        x = apply(rows, x)
    return x[0]


def parameters(net):
    return [p for rows in net for row in rows for p in row]


def zero(net):
    for p in parameters(net):
        p.grad = 0.0


def descend(net, rate=0.01):
    for p in parameters(net):
        p.data -= rate * p.grad


def adam(net, state, t):
    for i, p in enumerate(parameters(net)):
        m, v = state.get(i, (0.0, 0.0))
        m, v = 0.9 * m + 0.1 * p.grad, 0.95 * v + 0.05 * p.grad**2
        state[i] = m, v
        p.data -= 0.01 * (m / (1 - 0.9**t)) / ((v / (1 - 0.95**t)) ** 0.5 + 1e-8)


def warned(program):
    """Whether a program gives the warning; any other warning is an error."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        program()
    assert all(w.category is GradientWarning and "set to zero" in str(w.message) for w in seen)
    assert all(w.filename == __file__ for w in seen)
    return bool(seen)


def gan(zeroed, *, steps=6, detach=True, adversary_first=True, zero_after=False, tiny=False):
    """A generator and a discriminator, trained in turn.

    Args:
        zeroed: which are set to zero before their own step: "g", "d" or both.
        detach: whether the discriminator's step takes the generator's output as bare numbers.
        adversary_first: whether the generator's loss begins with nodes of the discriminator only.
        zero_after: whether each is set to zero after its own step instead of before it.
        tiny: whether the generator has a single parameter.
    """
    rng = random.Random(3)
    d = network(rng, 1, 4, 1)
    g = [[[Value(0.3)]]] if tiny else network(rng, 2, 3, 1)

    def fake():
        noise = [rng.gauss(0.0, 1.0), rng.gauss(0.0, 1.0)]
        return g[0][0][0] + noise[0] if tiny else forward(g, noise)

    for _ in range(steps):
        if "d" in zeroed and not zero_after:
            zero(d)
        losses = []
        for _ in range(3):
            x = fake()
            x = x.data if detach else x
            losses.append((forward(d, [x]) + 1.0) ** 2 + (forward(d, [rng.gauss(2, 1)]) - 1.0) ** 2)
        sum(losses).backward()
        descend(d)
        if zero_after:
            zero(d)
        if "g" in zeroed and not zero_after:
            zero(g)
        real = forward(d, [2.0]) * 0.0 if adversary_first else 0.0
        loss = sum((forward(d, [fake()]) - 1.0) ** 2 for _ in range(3)) + real
        loss.backward()
        descend(g)
        if zero_after:
            zero(g)
            zero(d)


CORRECT = [
    {"detach": detach, "adversary_first": first, "zero_after": after, "tiny": tiny}
    for detach in (True, False)
    for first in (True, False)
    for after in (True, False)
    for tiny in (True, False)
]


@pytest.mark.parametrize("settings", CORRECT)
def test_a_right_gan_gives_no_warning(settings):
    assert not warned(lambda: gan("dg", **settings))


@pytest.mark.parametrize("zeroed", ["", "g", "d"])
@pytest.mark.parametrize("detach", [True, False])
def test_a_gan_that_does_not_zero_one_of_its_networks_does(zeroed, detach):
    assert warned(lambda: gan(zeroed, detach=detach))


def regression(*, zeroed=True, wrap=None, steps=5, update="descend", sizes=(2, 6, 1), only=None):
    """One network; `wrap` is how its inputs are made Values."""
    rng = random.Random(1)
    net = network(rng, *sizes)
    samples = [([rng.uniform(-1, 1), rng.uniform(-1, 1)], rng.uniform(-1, 1)) for _ in range(4)]
    kept = [[Value(a) for a in x] for x, _ in samples]
    state = {}
    for t in range(1, steps + 1):
        losses = []
        for (x, y), own in zip(samples, kept, strict=True):
            if wrap == "assigned":
                for v in own:
                    v.data = rng.uniform(-1, 1)
            given = {None: x, "anew": [Value(a) for a in x]}.get(wrap, own)
            losses.append((forward(net, given) - y) ** 2)
        if zeroed:
            for p in parameters(net) if only is None else only(net):
                p.grad = 0.0
        sum(losses).backward()
        if update == "adam":
            adam(net, state, t)
        else:
            descend(net)


@pytest.mark.parametrize("wrap", [None, "anew", "once", "assigned"])
@pytest.mark.parametrize("update", ["descend", "adam"])
def test_one_network(wrap, update):
    assert not warned(lambda: regression(wrap=wrap, update=update, steps=30))
    assert warned(lambda: regression(wrap=wrap, update=update, zeroed=False))


def test_only_the_weights_are_set_to_zero():
    def weights(net):
        return [p for rows in net for row in rows for p in row[:-1]]

    assert warned(lambda: regression(only=weights, steps=8))


def test_relus_that_are_dead_do_not_hide_the_mistake():
    rng = random.Random(0)
    net = layer(rng, 2, 8)
    net[3][:] = [Value(-1.0), Value(-1.0), Value(-5.0)]  # never positive

    def train():
        for _ in range(5):
            outs = [sum((w * a for w, a in zip(r, [0.5, 0.25], strict=False)), r[-1]) for r in net]
            ((sum(o.relu() for o in outs) - 1.0) ** 2).backward()
            descend([net])

    assert warned(train)


def test_graphs_of_changing_length():
    """A recurrent network: other inputs and other lengths at each step."""

    def train(zeroed):
        rng = random.Random(5)
        w, u, b = Value(0.5), Value(-0.3), Value(0.1)
        embedding = [Value(rng.uniform(-1, 1)) for _ in range(5)]
        every = [w, u, b, *embedding]
        for length in (3, 7, 2, 5, 4, 6, 3):
            h = Value(0.0)
            for _ in range(length):
                h = (w * h + u * embedding[rng.randrange(5)] + b).tanh()
            if zeroed:
                for p in every:
                    p.grad = 0.0
            ((h - 0.5) ** 2).backward()
            for p in every:
                p.data -= 0.1 * p.grad

    assert not warned(lambda: train(zeroed=True))
    assert warned(lambda: train(zeroed=False))


def test_two_networks_that_are_trained_in_turn_and_share_nothing():
    def train(*zeroed):
        rng = random.Random(2)
        nets = {"a": network(rng, 2, 3, 1), "b": network(rng, 2, 3, 1)}
        for _ in range(6):
            for name, net in nets.items():
                if name in zeroed:
                    zero(net)
                ((forward(net, [0.5, -0.3]) - 1.0) ** 2).backward()
                descend(net)

    assert not warned(lambda: train("a", "b"))
    assert warned(lambda: train("a"))
    assert warned(lambda: train("b"))
    assert warned(train)


def test_an_actor_and_a_critic():
    """The actor's loss goes through the critic, which is set to zero before its own step."""

    def train(*zeroed):
        rng = random.Random(4)
        actor, critic = network(rng, 2, 3, 1), network(rng, 3, 4, 1)
        for _ in range(6):
            state = [rng.uniform(-1, 1), rng.uniform(-1, 1)]
            if "critic" in zeroed:
                zero(critic)
            ((forward(critic, [*state, forward(actor, state).data]) - 0.3) ** 2).backward()
            descend(critic)
            if "actor" in zeroed:
                zero(actor)
            (-forward(critic, [*state, forward(actor, state)])).backward()
            descend(actor)

    assert not warned(lambda: train("actor", "critic"))
    assert warned(lambda: train("actor"))
    assert warned(lambda: train("critic"))


def test_other_networks_that_are_kept_do_not_hide_a_mistake():
    kept = []
    for seed in range(6):
        net = network(random.Random(seed), 2, 3, 1)
        zero(net)
        forward(net, [0.1, 0.2]).backward()
        kept.append(net)
    assert warned(lambda: regression(zeroed=False))
    assert len(kept) == 6


def test_a_mistake_that_begins_late():
    """After many right steps the program forgets to set gradients to zero."""
    w, b = Value(0.5), Value(0.1)

    def train(steps, zeroed):
        for _ in range(steps):
            if zeroed:
                w.grad = b.grad = 0.0
            ((w * 0.3 + b).tanh() - 0.5).backward()
            for p in (w, b):
                p.data -= 0.001 * p.grad

    assert not warned(lambda: train(1000, zeroed=True))
    assert warned(lambda: train(100, zeroed=False))


def test_another_network_after_many_steps_is_looked_at():
    w = Value(0.5)
    for _ in range(1000):
        w.grad = 0.0
        (w * 2.0).backward()
        w.data -= 0.001 * w.grad
    assert warned(lambda: regression(zeroed=False, steps=2))


def test_a_compiled_function():
    def train(zeroed):
        w, b = Value(0.5), Value(0.1)
        loss = tw.jit(lambda x: ((w * x + b).tanh() - 0.5) ** 2)
        for step in range(5):
            if zeroed:
                w.grad = b.grad = 0.0
            loss(0.3 + 0.1 * step).backward()
            for p in (w, b):
                p.data -= 0.1 * p.grad

    assert not warned(lambda: train(zeroed=True))
    assert warned(lambda: train(zeroed=False))
