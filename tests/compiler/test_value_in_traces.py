"""What programs do with Values beside arithmetic, compiled, against the eager engine."""

import copy
import math
import pickle

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.errors import TraceError

NUMBERS = [1.0, 2.0, -0.5, 3.0, 2.0, 0.25]


def agree(program):
    """The compiled program has the results and gradients of the eager one, at several numbers."""
    for mode in ("exact", "default"):
        eager_w, w = Value(0.5), Value(0.5)
        fast = tw.jit(lambda x, w=w: program(w, x), mode=mode)
        for k, x in enumerate(NUMBERS):
            eager_w.grad = w.grad = 0.0
            eager_w.data = w.data = 0.5 + 0.25 * k
            expected, found = program(eager_w, x), fast(x)
            expected.backward()
            found.backward()
            assert found.data == pytest.approx(expected.data, rel=1e-14)
            assert w.grad == pytest.approx(eager_w.grad, rel=1e-13)


def forgets(w, x):
    h = w * x
    h._prev = set()  # truncated backpropagation in time
    return h * w


def cuts(w, x):
    h = (w * x).tanh()
    y = h * w
    y._prev = {w}
    return y


def renames(w, x):
    h = w * x
    h._op, h.note = "mine", "a note"
    return h.exp()


def deep(w, x):
    h = w * x
    return copy.deepcopy(h) * w


def shallow(w, x):
    return copy.copy(w * x) * w


def shallow_leaf(w, x):
    return copy.copy(w) * w * x


def pickled(w, x):
    return pickle.loads(pickle.dumps(w * x)) * w


def truth(w, x):
    y = w * x
    if w:
        y = y + w
    return y if y and not [] else 0.0 * w


def arrays(w, x):
    a = np.array([x, 2.0])
    return np.sum(np.tanh(w * a) + np.dot(a, [w, w]) - np.exp(-w))


def float_of(w, x):
    return w * float(w) * x


def shown_slopes(w, x):
    return w * (w * w)._local_grads[0] * x


PROGRAMS = [
    forgets, cuts, renames, deep, shallow, shallow_leaf, pickled, truth, arrays, float_of,
    shown_slopes,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore::talweg.errors.TraceWarning")
def test_compiled_is_eager(program):
    agree(program)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (lambda w, x: Value(w.data * x, (w,), (x,)), "'local_grads'.*cannot be compiled"),
        (lambda w, x: Value(1.0, (w,), "mine") * x, "'mine'.*cannot be compiled"),
    ],
)
def test_operations_of_the_user_are_refused(program, words):
    w = Value(0.5)
    with pytest.raises(TraceError, match=words):
        tw.jit(lambda x: program(w, x))(2.0)


def test_math_functions_of_a_value_are_refused_in_a_compiled_function():
    w = Value(0.5)
    with pytest.raises(TypeError, match=r"use tw\.exp"):
        tw.jit(lambda x: w * math.exp(w * x))(1.0)
