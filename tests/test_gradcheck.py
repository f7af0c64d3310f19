"""gradcheck accepts what is right, names what is wrong, and leaves everything as it was."""

import random
from collections import namedtuple

import numpy as np
import pytest

from talweg import ops
from talweg.errors import ArgumentError, GradcheckError
from talweg.gradcheck import GradcheckReport, gradcheck
from talweg.value import Value


class Line:
    """A model of two parameters."""

    def __init__(self):
        self.w, self.b = Value(2.0), Value(-1.0)

    def __call__(self, x):
        return self.w * x + self.b

    def parameters(self):
        return [self.w, self.b]


def wrong_sine(x):
    out = Value(x.sin().data, (x,), "wrong sine")

    def step():
        x.grad -= x.cos().data * out.grad

    out._backward = step
    return out


def message(f, *args, error=GradcheckError, **tolerances):
    with pytest.raises(error) as caught:
        gradcheck(f, *args, **tolerances)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- what passes -----------------------------------------------------------------------------

Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    ("f", "args", "checked"),
    [
        (lambda x: x, (2.0,), 1),
        (lambda x: x * 0.0 + 3.0, (2.0,), 1),
        (lambda x, y: Value(1.0), (2.0, 3.0), 2),
        (lambda x: x * x, (Value(3.0),), 1),
        (lambda rows: sum(a * b for row in rows for a, b in [row]), ([(1.0, 2.0), (3.0, 4.0)],), 4),
        (lambda d: d["a"] / d["b"][0], ({"a": 1.0, "b": [0.3]},), 2),
        (lambda p: p.x**p.y, (Pair(2.0, 3.0),), 2),
        (lambda model, x: model(x).tanh(), (Line(), 0.3), 3),
        (lambda x, n: x**n, (1.5, 7), 1),
        (lambda x, name: getattr(x, name)(), (1.5, "softplus"), 1),
        (lambda x, y: [x * y, {"sum": x + y}, (x / y,)], (1.5, 2.5), 6),
        (lambda x: x.sin(), (np.float64(0.5),), 1),
        # what a single step size would get wrong
        (lambda x: x.log(), (1e-9,), 1),
        (lambda x: (1000.0 * x).tanh(), (0.001,), 1),
        (lambda x: x.sin(), (1e5,), 1),
        (lambda x: (x * x).sqrt(), (1e150,), 1),
        (lambda x: x * x, (1e-300,), 1),
        (lambda x: x.relu(), (1e-13,), 1),
        (lambda x: abs(x - 3.0), (3.0,), 1),  # the choice at the kink is the mean slope
        (ops.max, (1.0, 1.0 + 1e-6), 2),
    ],
)
def test_right_derivatives_pass(f, args, checked):
    report = gradcheck(f, *args)
    assert isinstance(report, GradcheckReport)
    assert report.checked == checked
    assert report.worst < 1e-6


def test_a_value_that_occurs_twice_is_one_input():
    x = Value(3.0)
    assert gradcheck(lambda a, pair: a * pair[1], x, [x, x]).checked == 1


def test_the_report_has_the_input_of_the_largest_error():
    report = gradcheck(lambda x, y: [x + y, (x * 3.0).sin() + y], 0.5, 2.0)
    assert report.place == "args[0], f(...)[1]"
    assert 0.0 < report.worst < 1e-9
    assert (
        str(report) == f"4 derivatives agree; largest error {report.worst:.1e}, by {report.place}"
    )
    assert str(gradcheck(lambda x: x, 1.0)).startswith("1 derivative agrees; largest error 0.0")


# ---- failures and their messages ------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "args", "words"),
    [
        # the input by its path, both numbers, the cause
        (
            lambda rows: wrong_sine(rows[0][1]) + rows[0][0],
            ([[1.0, 0.0]],),
            ["args[0][0][1] is -1.0 by", "but 1 by", "own operation 'wrong sine'"],
        ),
        (lambda d: wrong_sine(d["b"]), ({"a": 1.0, "b": 0.0},), ["args[0]['b'] is -1.0"]),
        (
            lambda m: m.w + wrong_sine(m.b + 1.0),
            (Line(),),
            ["args[0].parameters()[1] is -1.0", "(at -1.0)"],
        ),
        (lambda x: [x, wrong_sine(x)], (0.0,), ["of f(...)[1] with respect to args[0] is -1.0"]),
        (lambda x, y: {"r": y * Value(x.data)}, (2.0, 3.0), ["args[0] is 0.0", "3 by", ".data"]),
        (lambda x: x * x.data, (2.0,), ["is 2.0", "but 4 by", ".data", "operations used are '*'"]),
        # kinks
        (lambda x: x.relu(), (0.0,), ["is 0.0", "but 0.5", "kink", "are 0 and 1", "not_smooth"]),
        (lambda x: ops.max(x, 3.0) + x.relu(), (0.0,), ["kink", "are 0 and 1"]),
        (lambda x: ops.lt(x, 2.0), (2.0,), ["kink or a jump"]),
        # no derivative to compare with
        (lambda x: x.log(), (-1.0,), ["f(...) is nan", "inside the domain"]),
        (lambda x: [x, x / 0.0], (1.0,), ["f(...)[1] is inf"]),
        (lambda x: x.sqrt(), (0.0,), ["is inf", "edge of the domain"]),
        (lambda x: x + 1e12, (1.0,), ["has an error of", "rtol or atol"]),
        # not a function that can be checked
        (lambda x: x.data * 2.0, (1.0,), ["f(...) is a float", "`.data`", "lose the derivative"]),
        (lambda x: [x, [float(x)]], (1.0,), ["f(...)[1][0] is a float"]),
        (lambda x: None, (1.0,), ["NoneType, expected a Value"]),
        (lambda x: [], (1.0,), ["returned no Value"]),
        (lambda x: x * random.random(), (1.0,), ["not deterministic", "seed"]),
        (lambda x: [x * random.random()] * 5, (1.0,), [", ...] and [", ", ...]; seed"]),
        (lambda x: [x] if x > 1.0 else [x, x], (1.0,), ["2 Values at first and 1", "args[0]"]),
    ],
)
def test_a_failure_names_the_input_and_the_cause(f, args, words):
    text = message(f, *args)
    assert [w for w in words if w not in text] == [], text


@pytest.mark.parametrize(
    ("args", "tolerances", "words"),
    [
        ((), {}, ["no input"]),
        ((2, "a", True), {}, ["no input", "2.0 for 2"]),
        ((np.ones(3),), {}, ["no input", "tolist"]),
        ((1.0,), {"rtol": -1.0}, ["rtol", "-1.0"]),
        ((1.0,), {"atol": float("nan")}, ["atol", "nan"]),
        (([Value(1.0) * 2.0],), {}, ["args[0][0]", "operation '*'", "v.data"]),
    ],
)
def test_bad_arguments(args, tolerances, words):
    text = message(lambda *x: x[0], *args, error=ArgumentError, **tolerances)
    assert all(w in text for w in words), text


def test_parameters_must_be_values():
    model = Line()
    model.w = 2.0
    assert "args[0].parameters()[0] is a float" in message(
        Line.__call__, model, 1.0, error=ArgumentError
    )


def test_tolerances_decide():
    def slightly_wrong(x):
        out = Value(x.data, (x,), "identity")

        def step():
            x.grad += 1.0001 * out.grad

        out._backward = step
        return out

    message(slightly_wrong, 2.0)
    assert gradcheck(slightly_wrong, 2.0, rtol=1e-3).worst == pytest.approx(1e-4, rel=1e-3)
    assert gradcheck(slightly_wrong, 2.0, rtol=0.0, atol=1e-3).checked == 1


def test_a_wrong_derivative_of_a_registered_operation_is_found():
    rules = (lambda g, x, y, out: g * y * y, lambda g, x, y, out: g * x * y)
    op = ops.register("xyy", lambda x, y: x * y * y, rules, "x y y, with a factor 2 forgotten.")
    try:
        assert "args[1] is 6.0 by backward() but 12 by" in message(op, 2.0, 3.0)
        assert "rule of your own operation 'xyy'" in message(op, 2.0, 3.0)
    finally:
        ops.unregister("xyy")


# ---- what stays as it was --------------------------------------------------------------------


def breaks_when_moved(model, x):
    if x.data > 0.5:
        raise RuntimeError("moved")
    return model(x)


@pytest.mark.parametrize(
    ("f", "error"),
    [
        (lambda model, x: model(x) * x, None),
        (lambda model, x: wrong_sine(model(x)), GradcheckError),
        (lambda model, x: [model(x), 1.0], GradcheckError),
        (breaks_when_moved, RuntimeError),
    ],
)
def test_values_are_left_as_they_were(f, error):
    model, x, captured = Line(), Value(0.5), Value(7.0)
    computed = captured * 2.0  # f reads it too, from outside
    computed.backward()
    x.grad = 0.25
    model.w.grad = -3.0
    everything = [*model.parameters(), x, captured, computed]
    before = [(v.data, v.grad) for v in everything]

    def with_captured(*args):
        result = f(*args)
        return [result, captured * computed]

    if error is None:
        gradcheck(with_captured, model, x)
    else:
        with pytest.raises(error):
            gradcheck(with_captured, model, x)
    assert [(v.data, v.grad) for v in everything] == before


def test_gradients_from_before_the_check_are_ignored():
    x = Value(3.0)
    (x * x).backward()
    assert gradcheck(lambda x: x * x, x).worst < 1e-9
    assert x.grad == 6.0


def test_no_warning_about_gradients_afterwards():
    """The check's own backward() must not be taken for a training step to the next one."""
    model = Line()
    (model(1.0) * model(1.0)).backward()
    gradcheck(lambda m: m(1.0) * m(1.0), model)
    for p in model.parameters():
        p.data -= 0.1 * p.grad
        p.grad = 0.0
    (model(1.0) * model(1.0)).backward()
