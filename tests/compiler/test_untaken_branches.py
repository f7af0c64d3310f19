"""The branch that `where` does not take adds nothing to a derivative, not even 0 times infinity.

The oracle is the same function with Python's `if` in place of `where`, on Values.
"""

import math
import random
import struct

import pytest

import talweg as tw
from talweg import Value, ops
from talweg.autodiff.higher_order import gradients
from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.guarded_adjoints import guarded_results
from talweg.compiler.passes.scheduling import schedule


def choose(condition, then, otherwise):
    """`where` of functions; while it is an oracle, only one of them is called."""
    return tw.where(condition, then(), otherwise())


def by_python(condition, then, otherwise):
    return then() if getattr(condition, "data", condition) != 0.0 else otherwise()


def positive(x):
    return ops.lt(0.0, x)


PROGRAMS = {
    "sqrt": lambda x, pick: pick(positive(x), lambda: tw.sqrt(x), lambda: 0.0 * x),
    "log": lambda x, pick: pick(positive(x), lambda: x * tw.log(x), lambda: x * x),
    "sinc": lambda x, pick: pick(x, lambda: tw.sin(x) / x, lambda: 1.0 - x * x / 6.0),
    "other_side": lambda x, pick: pick(ops.le(x, 0.0), lambda: 2.0 * x, lambda: tw.log(x)),
    "overflow": lambda x, pick: pick(
        ops.lt(x, 700.0), lambda: x * tw.exp(x) * 1e-300, lambda: x * x
    ),
    "power": lambda x, pick: pick(positive(x), lambda: x**0.5, lambda: -x),
    "chain": lambda x, pick: pick(
        positive(x), lambda: tw.tanh(-tw.log(tw.sqrt(x) + x) * 2.0 + 1.0), lambda: x + 1.0
    ),
    "nested": lambda x, pick: pick(
        ops.lt(x, 1.0),
        lambda: pick(positive(x), lambda: tw.sqrt(x) / x, lambda: x * x),
        lambda: pick(ops.lt(x, 2.0), lambda: tw.log(x - 1.0), lambda: 3.0 * x),
    ),
    "also_used": lambda x, pick: (
        x * 3.0 + pick(positive(x), lambda: tw.log(x), lambda: x) + tw.sin(x)
    ),
    "asin": lambda x, pick: pick(
        ops.lt(tw.abs(x), 1.0), lambda: tw.asin(x), lambda: 1.5 * tw.sign(x) + x
    ),
    "norm": lambda x, pick: pick(positive(x), lambda: 1.0 / tw.hypot(x, 0.0 * x), lambda: x),
}
POINTS = (-1.0, -0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 800.0)

every_program = pytest.mark.parametrize("name", PROGRAMS)


def bits(x):
    return "nan" if math.isnan(x) else struct.pack("<d", x + 0.0)


def derivatives(f, at):
    """The value and two derivatives of a function of one number, by the eager engine."""
    x = Value(at)
    y = f(x)
    y.backward()
    (first,) = gradients(y, [x])
    (second,) = gradients(first, [x])
    assert bits(first.data) == bits(x.grad)
    return y.data, x.grad, second.data


def expected(name, at):
    return derivatives(lambda x: PROGRAMS[name](x, by_python), at)


def of_where(name):
    return lambda x: PROGRAMS[name](x, choose)


@every_program
def test_eager(name):
    for at in POINTS:
        assert list(map(bits, derivatives(of_where(name), at))) == list(
            map(bits, expected(name, at))
        ), at


@every_program
def test_exact_mode_has_the_bits_of_the_eager_engine(name):
    f = of_where(name)
    first, second = tw.value_and_grad(f, mode="exact"), tw.hessian(f, mode="exact")
    inner = tw.jit(tw.grad(f), mode="exact")
    jitted = tw.jit(f, mode="exact")
    for at in POINTS:
        value, slope, curvature = map(bits, expected(name, at))
        assert [*map(bits, first(at)), bits(second(at))] == [value, slope, curvature], at
        assert bits(inner(at).data) == slope, at
        x = Value(at)
        jitted(x).backward()
        assert bits(x.grad) == slope, at


@every_program
def test_default_mode(name):
    f = of_where(name)
    first, second = tw.grad(f), tw.hessian(f)
    for at in POINTS:
        _, slope, curvature = expected(name, at)
        assert first(at) == pytest.approx(slope, rel=1e-12, abs=1e-20, nan_ok=True), at
        assert second(at) == pytest.approx(curvature, rel=1e-12, abs=1e-20, nan_ok=True), at


@every_program
@pytest.mark.parametrize("as_table", [False, True], ids=["loops", "table"])
def test_in_loops_and_in_a_table(name, as_table):
    """The sum over many numbers, of which some take one branch and some the other."""
    rng = random.Random(name)
    numbers = [rng.choice(POINTS) for _ in range(40)]

    def total(xs):
        return sum((PROGRAMS[name](x, choose) for x in xs), 0.0)

    tape = trace(total, [0.5] * len(numbers)).tape  # x / 0.0 of plain floats is an error
    for exact in (True, False):
        native = pipeline.executable(tape, exact=exact, wrt=["x"], as_table=as_table)
        _, by_space = native.value_and_gradient([], numbers, [1.0])
        slopes = [expected(name, at)[1] for at in numbers]
        if exact:
            assert list(map(bits, by_space["x"])) == list(map(bits, slopes))
        else:
            assert by_space["x"] == pytest.approx(slopes, rel=1e-12, abs=1e-20, nan_ok=True)


def loss_with_a_branch(prediction, target):
    """The square root has an infinite slope, for the samples whose target is 0 on both sides."""
    distance = (prediction - prediction) * (1.0 - target)  # 0 for target 0
    root = tw.where(target, tw.sqrt(tw.abs(prediction) + 0.5), tw.sqrt(distance) * 0.0 + 1.0)
    return tw.where(target, ops.pow(root - 1.0, 2.0), ops.pow(prediction - 0.5, 2.0))


SAMPLES = [([0.25 * k - 1.0, 0.5 - 0.125 * k], float(k % 2)) for k in range(11)]


def losses_of(engine, mode="default", batch_size=None):
    model = tw.MLP(2, [3, 1], rng=random.Random(1))
    history = tw.train(
        model,
        SAMPLES,
        loss=loss_with_a_branch,
        reduction="mean",
        optimizer=tw.SGD(lr=0.05),
        steps=6,
        engine=engine,
        mode=mode,
        batch_size=batch_size,
        seed=1,
    )
    return [*history.losses, *[p.data for p in model.parameters()]]


@pytest.mark.parametrize("batch_size", [None, 3])
def test_training_steps(batch_size):
    eager = losses_of("eager", batch_size=batch_size)
    assert all(map(math.isfinite, eager))
    assert list(map(bits, losses_of("native", "exact", batch_size))) == list(map(bits, eager))
    assert losses_of("native", batch_size=batch_size) == pytest.approx(eager, rel=1e-12)


def test_model_lanes():
    def final_losses(engine):
        runs = tw.sweep(
            lambda rng: tw.MLP(2, [3, 1], rng=rng),
            SAMPLES,
            [0.01, 0.05],
            seeds=[1, 2],
            loss=loss_with_a_branch,
            steps=4,
            engine=engine,
        )
        assert engine == "eager" or not runs.fallback_reason
        return runs.final_losses.tolist()

    assert final_losses("native") == pytest.approx(final_losses("eager"), rel=1e-12)


# ---- conditions, detach, gather ------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["default", "exact"])
@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda x: tw.where(ops.lt(tw.sqrt(x), 1.0), 3.0 * x, x), 3.0),
        (lambda x: 2.0 * x + tw.detach(tw.sqrt(x)), 2.0),
        (lambda x: 2.0 * x + tw.floor(tw.log(x + 1e-300)) * 0.0, 2.0),
        (lambda x: 2.0 * x * tw.sign(tw.sqrt(x) + 1.0), 2.0),
        (lambda x: tw.gather([tw.sqrt(x), 5.0 * x], tw.detach(1.0 + x)), 5.0),
    ],
)
def test_what_no_derivative_passes_has_no_part_in_one(f, slope, mode):
    x = Value(0.0)
    f(x).backward()
    assert x.grad == tw.grad(f, mode=mode)(0.0) == tw.jit(tw.grad(f), mode=mode)(0.0).data == slope


def test_nan_of_the_branch_that_is_taken_is_not_hidden():
    """0 * inf is nan where the program says so: the root of 0, multiplied by 0."""

    def f(x):
        return tw.where(ops.le(x, 1.0), tw.sqrt(x) * tw.sqrt(x), x)

    x = Value(0.0)
    f(x).backward()
    assert math.isnan(x.grad)
    assert math.isnan(tw.grad(f)(0.0))
    assert math.isnan(tw.grad(f, mode="exact")(0.0))


# ---- what it costs -------------------------------------------------------------------------


def test_programs_without_a_choice_have_no_guards():
    def f(xs):
        return sum((tw.tanh(x) * tw.relu(x) + tw.max(x, 0.5) + abs(x) for x in xs), 0.0)

    tape = trace(f, [0.5] * 6).tape
    assert not guarded_results(tape, ["x"]).any()
    assert not schedule(find_loops(tape), ["x"]).guarded


def test_the_cross_entropy_of_a_traced_class_has_no_guards():
    """`gather` selects with `where`, but all logits are used by the logarithm too."""
    from talweg.compiler.frontend.symbolic_int import SymbolicInt

    def f(logits):
        return tw.losses.cross_entropy([z * 2.0 for z in logits], SymbolicInt(1))

    tape = trace(f, [0.5] * 4).tape
    assert any(op.name == "where" for op in tape.operations)
    assert not guarded_results(tape, ["x"]).any()


def test_only_the_operations_of_a_branch_are_guarded():
    tape = trace(lambda x: tw.where(x, tw.sqrt(tw.sin(x)), tw.sin(x) + 1.0) + tw.cos(x), 0.5).tape
    guarded = guarded_results(tape, ["x"])
    names = [tape.operations[code].name for code in tape.code]
    assert [name for name, is_guarded in zip(names, guarded, strict=True) if is_guarded] == [
        "sin",
        "sqrt",
        "sin",
        "add",
    ]
    text = str(schedule(find_loops(tape), ["x"]))
    assert "guarded: dr" in text
