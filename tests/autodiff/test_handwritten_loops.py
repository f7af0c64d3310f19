"""Training loops written by hand: common mistakes are noticed, and runs repeat to the last bit."""

import os
import subprocess
import sys
import warnings

import pytest

from talweg.errors import GradientWarning, NumberError
from talweg.value import Value

# ---- gradients that are probably not what was meant ------------------------------------------

SAMPLES = [(1.0, 2.0), (2.0, 3.0), (-1.0, 0.5)]


def one_loss(w, b, x, t):
    return ((w * x + b).tanh() - t) ** 2


def loop(*, zero=True, per_sample=False, micro_batches=False, twice=False, steps=4):
    """A hand-written training loop, right or wrong."""
    parameters = w, b = Value(0.5), Value(0.1)
    for _ in range(steps):
        for batch in [[s] for s in SAMPLES] if per_sample else [SAMPLES]:
            if zero:
                for p in parameters:
                    p.grad = 0.0
            if micro_batches:
                for x, t in batch:
                    one_loss(w, b, x, t).backward()
            else:
                loss = sum(one_loss(w, b, x, t) for x, t in batch)
                loss.backward()
                if twice:
                    loss.backward()
            for p in parameters:
                p.data -= 0.01 * p.grad


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_missing_zero_grad_gives_a_warning(per_sample):
    with pytest.warns(GradientWarning, match=r"p\.grad = 0\.0.*before backward") as caught:
        loop(zero=False, per_sample=per_sample)
    assert caught[0].filename == __file__  # it points at the user's own line


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"per_sample": True},
        {"micro_batches": True},  # gradients of three samples added up, then one update
        {"twice": True},  # backward() again without an update in between
    ],
)
def test_right_loops_give_no_warning(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop(**options)


def test_summing_gradients_without_any_update_gives_no_warning():
    w = Value(0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x, t in SAMPLES * 2:
            one_loss(w, 0.0, x, t).backward()


def test_an_operation_without_a_derivative_gives_a_warning():
    x = Value(2.0)
    out = Value(4.0, (x,), "square")
    with pytest.warns(GradientWarning, match=r"'square'.*out\._backward") as caught:
        (out * 3.0).backward()
    assert caught[0].filename == __file__
    assert (x.grad, out.grad) == (0.0, 3.0)


def test_assigning_a_value_to_data_is_an_error():
    w, x = Value(0.5), Value(1.0)
    loss = (w * x - 1.0) ** 2
    loss.backward()
    with pytest.raises(NumberError, match=r"p\.data -= lr \* p\.grad"):
        w.data -= 0.1 * w  # for w.grad
    assert w.data == 0.5


# ---- the same to the last bit ----------------------------------------------------------------

TRAINING = """
import random
from talweg.value import Value

random.seed(7)
padding = [object() for _ in range(random.Random().randrange(1000))]  # other addresses


def layer(inputs, outputs):
    return [[Value(random.uniform(-1, 1)) for _ in range(inputs + 1)] for _ in range(outputs)]


def forward(layers, x):
    for rows in layers:
        x = [sum((w * a for w, a in zip(row, x)), row[-1]).tanh() for row in rows]
    return x[0]


layers = [layer(2, 6), layer(6, 6), layer(6, 1)]
parameters = [w for rows in layers for row in rows for w in row]
data = [[random.uniform(-1, 1), random.uniform(-1, 1)] for _ in range(8)]
for _ in range(20):
    loss = sum((forward(layers, x) - x[0] * x[1]) ** 2 for x in data)
    for p in parameters:
        p.grad = 0.0
    loss.backward()
    for p in parameters:
        p.data -= 0.05 * p.grad
print(loss.data.hex(), *(p.data.hex() for p in parameters))
"""


def test_training_is_the_same_to_the_last_bit_in_every_process():
    outputs = []
    for seed in ("0", "1", "2", "12345", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", TRAINING],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(run.stdout)
    assert outputs == outputs[:1] * 5
    assert len(outputs[0].split()) == 1 + 6 * 3 + 6 * 7 + 7
