"""Sharpness: eigenvalues, limits of optimisers, sharpness along a run, and the command."""

import json
import math
import random

import numpy as np
import pytest

import talweg as tw
from talweg import losses
from talweg.cli import main
from talweg.errors import ArgumentError, DataError, OperationError, ShapeError
from talweg.explore.curvature import Curvature
from talweg.optim import Optimizer

NOISE = random.Random(7)
SINE = [([x / 5.0], math.sin(0.4 * x)) for x in range(-10, 11)]
CLASSES = [([NOISE.gauss(0, 1), NOISE.gauss(0, 1)], k % 3) for k in range(9)]


def network(inputs, sizes, seed=3, **settings):
    return tw.MLP(inputs, sizes, rng=random.Random(seed), **settings)


class Weights(tw.Module):
    """The linear model w . x, whose squared error is a parabola."""

    def __init__(self, start):
        self.w = [tw.Value(x) for x in start]

    def named_parameters(self):
        return ((f"w{i}", w) for i, w in enumerate(self.w))

    def __call__(self, x):
        return sum((w * a for w, a in zip(self.w, x, strict=True)), 0.0)


def half_square(p, t):
    return 0.5 * (p - t) ** 2


def bowl(curvatures):
    """Samples whose half squared errors have the sum sum_i c_i w_i**2 / 2."""
    rows = np.diag(np.sqrt(curvatures))
    return [(row.tolist(), 0.0) for row in rows]


# ---- the largest eigenvalue --------------------------------------------------------------------


def hessian_by_differences(model, data, loss, weight, h=1e-5):
    """Central differences of the gradient from backward()."""
    parameters = model.parameters()

    def gradient():
        for p in parameters:
            p.grad = 0.0
        for x, y in data:
            (loss(model(x), y) * weight).backward()
        return np.array([p.grad for p in parameters])

    rows = []
    for p in parameters:
        middle = p.data
        p.data = middle + h
        above = gradient()
        p.data = middle - h
        rows.append((above - gradient()) / (2.0 * h))
        p.data = middle
    for p in parameters:
        p.grad = 0.0
    matrix = np.array(rows)
    return (matrix + matrix.T) / 2.0


CASES = {
    "lesson": (network(3, [4, 4, 1]), list(tw.lesson_data()), losses.squared_error),
    "few parameters": (network(1, [3, 1], output="linear"), SINE[::4], losses.squared_error),
    "relu": (  # without the sample at 0, where all of these relus have their kink
        network(1, [8, 1], activation="relu", output="linear"),
        [(x, y) for x, y in SINE if x != [0.0]],
        losses.squared_error,
    ),
    "hinge": (network(3, [5, 1]), list(tw.lesson_data()), losses.hinge),
    "logits": (
        network(2, [5, 1], output="linear"),
        [(x, k % 2) for x, k in CLASSES],
        losses.binary_cross_entropy,
    ),
    "classes": (network(2, [4, 3], output="linear"), CLASSES, losses.cross_entropy),
}


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("name", CASES)
def test_largest_is_the_largest_eigenvalue_of_the_hessian_by_differences(name, reduction):
    model, data, loss = CASES[name]
    weight = 1.0 if reduction == "sum" else 1.0 / len(data)
    dense = hessian_by_differences(model, data, loss, weight)
    found = tw.sharpness(model, data, loss=loss, reduction=reduction)
    assert found.largest == pytest.approx(np.linalg.eigvalsh(dense)[-1], rel=2e-6)
    assert found.max_stable_lr == 2.0 / found.largest


def test_largest_is_that_of_the_exact_hessian():
    model, data = network(3, [4, 4, 1], seed=42), tw.lesson_data()
    pairs = list(data)

    def total(model, xs, ys):
        return sum(losses.squared_error(model(x), y) for x, y in zip(xs, ys, strict=True))

    dense = tw.hessian(total)(model, [x for x, _ in pairs], [y for _, y in pairs])
    found = tw.sharpness(model, data, tolerance=1e-12)
    assert found.largest == pytest.approx(np.linalg.eigvalsh(np.array(dense))[-1], rel=1e-11)
    slope = tw.grad(total)(model, [x for x, _ in pairs], [y for _, y in pairs])
    assert found.gradient_norm == pytest.approx(math.hypot(*slope), rel=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 20, 21, 40])
def test_the_largest_curvature_of_a_parabola(count):
    curvatures = [float(k + 1) for k in range(count)]
    found = tw.sharpness(Weights([1.0] * count), bowl(curvatures), loss=half_square)
    assert found.largest == pytest.approx(count, rel=1e-6)
    assert found.gradient_norm == pytest.approx(math.hypot(*curvatures), rel=1e-12)
    assert found.products >= min(count, 20)


def test_a_hessian_of_low_rank_and_one_of_zeros():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(3, 50))
    data = [(row.tolist(), 1.0) for row in rows]
    found = tw.sharpness(Weights([0.0] * 50), data, loss=half_square)
    assert found.largest == pytest.approx(np.linalg.eigvalsh(rows.T @ rows)[-1], rel=1e-6)
    again = tw.sharpness(Weights([0.0] * 50), data, loss=half_square)
    assert again == found  # Lanczos draws new vectors here
    for count in (2, 50):
        flat = tw.sharpness(Weights([0.5] * count), [([1.0] * count, 0.0)], loss=lambda p, t: p - t)
        assert (flat.largest, flat.max_stable_lr) == (0.0, math.inf)
        assert flat.summary(3.0).startswith("no curvature is positive at these weights, so 3 is")


def test_a_loss_without_positive_curvature_has_no_limit():
    found = tw.sharpness(Weights([0.5]), [([1.0], 0.0)], loss=lambda p, t: -half_square(p, t))
    assert (found.largest, found.max_stable_lr) == (-1.0, math.inf)


@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_a_curvature_of_0_with_rounding_errors_is_0(count, size):
    rng = np.random.default_rng(8)
    data = [(row.tolist(), 0.0) for row in size * rng.normal(size=(2, count))]
    model = Weights(rng.normal(size=count))
    found = tw.sharpness(model, data, loss=lambda p, t: -half_square(p, t))
    assert (found.largest, found.max_stable_lr) == (0.0, math.inf)


def test_a_loss_that_cannot_be_compiled_is_computed_by_the_eager_engine():
    def forked(p, t):
        return half_square(p, t) if p.data > 0.0 else 3.0 * half_square(p, t)

    model, data = Weights([1.0, -1.0]), bowl([2.0, 1.0])
    found = tw.sharpness(model, data, loss=forked)
    assert found.largest == pytest.approx(3.0)  # the second sample's, 3 times 1


def test_all_methods_compute_the_same_product():
    model, data, loss = CASES["classes"]
    rng = np.random.default_rng(5)
    vector = rng.standard_normal(len(model.parameters()))
    products = []
    for skipped in (1, 2):
        curvature = Curvature(model, data, loss, "sum", 1e-6, 0)
        del curvature.methods[:skipped]
        products.append(curvature.product(vector))
    assert np.allclose(products[0], products[1], rtol=1e-12, atol=1e-13)


def test_classes_are_paths_of_one_program_as_integers_and_as_floats():
    model, data, loss = CASES["classes"]
    as_floats = tw.Dataset([x for x, _ in data], [float(k) for _, k in data])
    products = []
    for given in (data, as_floats):
        curvature = Curvature(model, given, loss, "sum", 1e-6, 0)
        products.append(curvature.product(np.ones(len(model.parameters()))))
        assert len(curvature.methods) == 3  # the first one serves all classes
    assert (products[0] == products[1]).all()


# ---- what is not changed -----------------------------------------------------------------------


def test_the_model_and_random_states_are_not_changed():
    model = network(3, [4, 4, 1])
    for k, p in enumerate(model.parameters()):
        p.grad = 0.1 * k
    before = [(p.data, p.grad) for p in model.parameters()]
    python, numpy = random.getstate(), np.random.get_state()[1].tolist()
    tw.sharpness(model, tw.lesson_data(), optimizer=tw.Adam())
    assert [(p.data, p.grad) for p in model.parameters()] == before
    assert random.getstate() == python
    assert np.random.get_state()[1].tolist() == numpy


def test_the_same_seed_gives_the_same_bits():
    found = [tw.sharpness(network(3, [6, 6, 1]), tw.lesson_data(), seed=s) for s in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[2].largest == pytest.approx(found[0].largest, rel=1e-6)


# ---- the limits are limits ---------------------------------------------------------------------


class Frozen(Optimizer):
    """Adam with the divisor of its first step in all steps, and without bias correction."""

    state_names = ("mean", "divisor")

    def __init__(self, lr, beta, l2=0.0, decay=0.0):
        super().__init__(lr)
        self.beta, self.l2, self.decay = beta, l2, decay

    def update(self, p, g, state, lr, step):
        g = g + self.l2 * p
        d = state[1] or abs(g) + 1e-8
        m = self.beta * state[0] + (1.0 - self.beta) * g
        return p - lr * self.decay * p - lr * m / d, (m, d)


LIMITS = {
    "gradient descent": (tw.SGD(1.0), tw.SGD),
    "with weight decay": (tw.SGD(1.0, weight_decay=0.7), lambda lr: tw.SGD(lr, weight_decay=0.7)),
    "momentum": (tw.SGD(1.0, momentum=0.8), lambda lr: tw.SGD(lr, momentum=0.8)),
    "nesterov": (
        tw.SGD(1.0, momentum=0.8, nesterov=True),
        lambda lr: tw.SGD(lr, momentum=0.8, nesterov=True),
    ),
    "momentum and decay": (
        tw.SGD(1.0, momentum=0.5, weight_decay=0.3),
        lambda lr: tw.SGD(lr, momentum=0.5, weight_decay=0.3),
    ),
    "Adam": (tw.Adam(beta1=0.9), lambda lr: Frozen(lr, 0.9)),
    "Adam with decay": (tw.Adam(weight_decay=0.5), lambda lr: Frozen(lr, 0.9, l2=0.5)),
    "AdamW": (tw.AdamW(weight_decay=0.5), lambda lr: Frozen(lr, 0.9, decay=0.5)),
    "RMSprop": (tw.RMSprop(), lambda lr: Frozen(lr, 0.0)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_runs_converge_just_below_the_limit_and_diverge_just_above(name):
    optimizer, make = LIMITS[name]
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(4, 3))
    data = [(row.tolist(), 0.0) for row in rows]
    start = [1.0, -2.0, 0.5]
    found = tw.sharpness(Weights(start), data, loss=half_square, optimizer=optimizer)
    for factor, fits in ((0.97, lambda far: far < 1e-3), (1.03, lambda far: not far < 1e3)):
        model = Weights(start)
        tw.train(
            model,
            data,
            loss=half_square,
            optimizer=make(factor * found.max_stable_lr),
            steps=3000,
            engine="eager",
        )
        assert fits(max(abs(w.data) for w in model.w)), factor


def test_the_formulas_at_beta_nine_tenths():
    def limit(optimizer):
        return tw.sharpness(
            Weights([2.0]), bowl([4.0]), loss=half_square, optimizer=optimizer
        ).max_stable_lr

    assert limit(tw.SGD(1.0)) == pytest.approx(2.0 / 4.0)
    assert limit(tw.SGD(1.0, momentum=0.9)) == pytest.approx(3.8 / 4.0)
    assert limit(tw.SGD(1.0, 0.9, nesterov=True)) == pytest.approx(3.8 / 2.8 / 4.0)
    # The gradient is 8, so the preconditioned curvature 4/8 (Cohen et al. 2022: 38 / lr).
    assert limit(tw.Adam()) == pytest.approx(38.0 / 0.5)
    assert limit(tw.RMSprop()) == pytest.approx(2.0 / 0.5)


def test_the_divisor_is_that_of_adams_first_step():
    moved, _ = tw.Adam(lr=0.1, epsilon=0.25).update(1.0, -2.0, (0.0, 0.0), 0.1, 1.0)
    assert moved == pytest.approx(1.0 - 0.1 * -2.0 / (2.0 + 0.25))


# ---- along a run -------------------------------------------------------------------------------


def train_on_sine(lr, steps, **settings):
    model, optimizer = network(1, [8, 1], seed=1, output="linear"), tw.SGD(lr)
    callback = tw.SharpnessCallback(model, SINE, steps=200, reduction="mean", optimizer=optimizer)
    return tw.train(
        model,
        SINE,
        reduction="mean",
        optimizer=optimizer,
        steps=steps,
        callbacks=[callback],
        **settings,
    )


def test_sharpness_grows_to_the_limit_and_stays_there():
    history = train_on_sine(0.1, 4000)
    assert history.status == "finished"
    assert [step for step, _ in history.sharpness] == [1, *range(201, 4002, 200)]
    assert set(history.sharpness_limits) == {(step, 20.0) for step, _ in history.sharpness}
    curve = [largest for _, largest in history.sharpness]
    assert curve[0] < 10.0
    assert all(18.0 < largest < 22.0 for largest in curve[-10:])


def test_both_engines_record_the_same_and_training_is_not_changed():
    native = train_on_sine(0.1, 400, engine="native", mode="exact")
    eager = train_on_sine(0.1, 400, engine="eager")
    assert (native.engine, eager.engine) == ("native, exact", "eager")
    assert native.sharpness == eager.sharpness
    model = network(1, [8, 1], seed=1, output="linear")
    alone = tw.train(model, SINE, reduction="mean", optimizer=tw.SGD(0.1), steps=400)
    assert alone.losses == pytest.approx(native.losses, rel=1e-9)
    own = tw.sharpness(model, SINE, reduction="mean")
    assert own.largest == pytest.approx(native.sharpness[-1][1], rel=1e-5)


def test_the_limit_with_a_schedule_momentum_and_decay():
    schedule = tw.schedules.Exponential(0.1, 0.5)
    optimizer = tw.SGD(schedule, momentum=0.5, weight_decay=0.25)
    model, data = Weights([1.0]), bowl([3.0])
    callback = tw.SharpnessCallback(model, data, steps=1, loss=half_square, optimizer=optimizer)
    history = tw.train(
        model, data, loss=half_square, optimizer=optimizer, steps=3, callbacks=[callback]
    )
    assert [largest for _, largest in history.sharpness] == pytest.approx([3.0] * 4)
    expected = [3.0 / (0.1 * 0.5**k) - 0.25 for k in range(4)]
    assert [limit for _, limit in history.sharpness_limits] == pytest.approx(expected)
    zero_rate = tw.SGD(0.0)
    callback = tw.SharpnessCallback(model, data, steps=1, loss=half_square, optimizer=zero_rate)
    history = tw.train(
        model, data, loss=half_square, optimizer=zero_rate, steps=1, callbacks=[callback]
    )
    assert history.sharpness_limits == [(1, math.inf), (2, math.inf)]
    assert len(history.plot_stability().lines) == 2


def test_a_run_that_diverges_is_recorded_to_its_end():
    def quartic(p, t):
        return (p - t) ** 4

    model, data = Weights([3.0]), [([1.0], 0.0)]
    callback = tw.SharpnessCallback(model, data, steps=1, loss=quartic, optimizer=tw.SGD(1.0))
    history = tw.train(
        model, data, loss=quartic, optimizer=tw.SGD(1.0), steps=50, callbacks=[callback]
    )
    assert history.status == "diverged"
    assert len(history.sharpness) == history.steps
    assert history.sharpness[0] == (1, pytest.approx(12.0 * 9.0))
    history.plot_stability()


def test_the_record_is_written_to_csv(tmp_path):
    model, data = Weights([1.0]), bowl([4.0])
    callback = tw.SharpnessCallback(model, data, steps=2, loss=half_square)
    history = tw.train(model, data, loss=half_square, steps=2, callbacks=[callback])
    lines = history.to_csv(tmp_path / "run.csv").read_text().splitlines()
    assert lines[0] == "step,loss,learning_rate,seconds,sharpness,sharpness_limit"
    ends = [line.split(",")[4:] for line in lines[1:]]
    assert ends == [["4.0", "40.0"], ["", ""], ["4.0", "40.0"]]


# ---- the figure --------------------------------------------------------------------------------


def test_the_figure_has_the_curve_and_the_limit():
    history = tw.History(sharpness=[(1, 8.0), (11, 21.0)], sharpness_limits=[(1, 20.0), (11, 20.0)])
    ax = history.plot_stability()
    curve, limit = ax.lines
    assert (list(curve.get_xdata()), list(curve.get_ydata())) == ([1, 11], [8.0, 21.0])
    assert set(limit.get_ydata()) == {20.0}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "sharpness",
        "stability limit of the learning rate",
    ]
    assert (ax.get_yscale(), ax.get_ylim()[0], ax.get_xlabel()) == ("linear", 0.0, "step")
    history.sharpness_limits = [(1, 20.0), (11, 900.0)]
    ax = history.plot_stability()
    assert ax.get_yscale() == "log"
    assert list(ax.lines[1].get_ydata()) == [20.0, 900.0]
    history.sharpness[0] = (1, -8.0)
    ax = history.plot_stability()
    assert ax.get_yscale() == "linear"
    assert ax.get_ylim()[0] < -8.0


def test_without_a_record_there_is_no_figure():
    with pytest.raises(ArgumentError, match=r"no sharpness to draw; train with callbacks=\[tw"):
        tw.History(losses=[1.0]).plot_stability()


# ---- summary -----------------------------------------------------------------------------------


def test_summary_and_repr():
    found = tw.Sharpness(largest=20.0, max_stable_lr=0.1, gradient_norm=2.0, products=30)
    assert found.summary(0.05) == (
        "0.05 is 0.5 of the limit at these weights, 0.1: steps are stable here"
    )
    assert found.summary(0.25) == (
        "0.25 is 2.5 times the limit at these weights, 0.1: expect a spike first"
    )
    assert repr(found) == "Sharpness(largest 20, limit 0.1, gradient norm 2, 30 products)"
    for bad in (-1.0, math.inf, math.nan, "fast"):
        with pytest.raises(ArgumentError, match="lr must be a finite number of at least 0, got"):
            found.summary(bad)


# ---- errors ------------------------------------------------------------------------------------


class Empty(tw.Module):
    def named_parameters(self):
        return iter(())

    def __call__(self, x):
        return x[0]


def root(p, t):
    return tw.sqrt(p)


def own_backward(p, t):
    out = tw.Value(p.data, (p,), "mine")
    out._backward = lambda: None
    return out


ONE = [([1.0], 0.0)]


@pytest.mark.parametrize(
    ("error", "message", "model", "data", "settings"),
    [
        (ArgumentError, "the model must have parameters", Empty(), ONE, {}),
        (ArgumentError, "the model must be callable", [tw.Value(1.0)], ONE, {}),
        (DataError, "data has no samples", Weights([1.0]), [], {}),
        (ShapeError, "data must be a Dataset or pairs", Weights([1.0]), [1.0], {}),
        (ArgumentError, "loss must be a function", Weights([1.0]), ONE, {"loss": "mse"}),
        (ArgumentError, 'reduction must be "sum"', Weights([1.0]), ONE, {"reduction": "max"}),
        (ArgumentError, "tolerance must be", Weights([1.0]), ONE, {"tolerance": 0.0}),
        (ArgumentError, "seed must be", Weights([1.0]), ONE, {"seed": -1}),
        (ArgumentError, "optimizer must be tw.SGD", Weights([1.0]), ONE, {"optimizer": "sgd"}),
        (
            ArgumentError,
            "optimizer must be tw.SGD",
            Weights([1.0]),
            ONE,
            {"optimizer": Frozen(0.1, 0.9)},
        ),
        (ArgumentError, "the loss at these weights is inf", Weights([1e200]), ONE, {}),
        (
            ArgumentError,
            "the gradient at these weights is inf",
            Weights([0.0]),
            ONE,
            {"loss": root},
        ),
        (
            ArgumentError,
            "the gradient at these weights is nan",
            Weights([0.0]),
            [([1.0], 0.0), ([1.0], 1.0)],
            {"loss": lambda p, t: tw.sqrt(p) * (1.0 - 2.0 * t)},
        ),
        (
            ArgumentError,
            "the Hessian at these weights is inf",
            Weights([0.0]),
            ONE,
            {"loss": lambda p, t: p**1.5},
        ),
        (
            ArgumentError,
            "the loss of a sample is the bare number 1.0",
            Weights([1.0]),
            ONE,
            {"loss": lambda p, t: p.data},
        ),
        (
            OperationError,
            "has no second derivative; declare it",
            Weights([1.0]),
            ONE,
            {"loss": own_backward},
        ),
        (
            ArgumentError,
            "the gradient of parameter 0 is 0, and so is the epsilon",
            Weights([0.0]),
            ONE,
            {"optimizer": tw.Adam(epsilon=0.0)},
        ),
    ],
)
def test_arguments_that_are_not_valid(error, message, model, data, settings):
    with pytest.raises(error) as refused:
        tw.sharpness(model, data, **settings)
    assert str(refused.value).startswith(message) or message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_parameter_listed_twice_is_an_error():
    model = Weights([1.0])
    model.parameters = lambda: [model.w[0], model.w[0]]
    with pytest.raises(ArgumentError, match="returns the same Value twice"):
        tw.sharpness(model, ONE)


def test_the_callback_takes_sgd_and_an_integer_of_steps():
    with pytest.raises(ArgumentError, match=r"for tw\.SGD only, got Adam; .*tw\.sharpness"):
        tw.SharpnessCallback(Weights([1.0]), ONE, optimizer=tw.Adam())
    for bad in (0, 2.5, True):
        with pytest.raises(ArgumentError, match="steps must be an integer of at least 1"):
            tw.SharpnessCallback(Weights([1.0]), ONE, steps=bad)


# ---- the command -------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def command(line):
        code = main(line.split())
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_the_lesson_at_its_start(run, tmp_path):
    code, out, err = run("sharpness")
    assert (code, err) == (0, "")
    assert "Largest curvature at the start: 5.75286\n" in out
    assert "Largest stable learning rate of SGD: 0.347653\n" in out
    assert out.endswith(
        "Learning rate 0.05 is 0.144 of the limit at these weights, 0.348: steps are\n"
        "stable here.\n"
    )
    assert list(tmp_path.iterdir()) == []
    assert "times the limit at these weights" in run("sharpness --lr 1")[1]
    assert "stable learning rate of Adam" in run("sharpness --optimizer adam --hidden 3")[1]


def test_along_the_lesson(run, tmp_path):
    code, out, err = run("sharpness --lr 0.1 --along")
    assert (code, err) == (0, "")
    assert "Along 50 steps the largest was 24.5042, at step 6\n" in out
    assert (
        "Above 20, unstable at this learning rate: 2 of 51 measurements, first at step 2\n" in out
    )
    assert "Verdict: converged to 0.01189\n" in out
    assert (tmp_path / "talweg-sharpness.png").read_bytes()[:4] == b"\x89PNG"


def test_the_document(run, tmp_path):
    code, out, err = run("sharpness --along --steps 4 --every 2 --plot run.svg --json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["command"] == "sharpness"
    assert found["largest"] == pytest.approx(5.752864821543493, rel=1e-6)
    assert found["max_stable_lr"] == pytest.approx(2.0 / found["largest"])
    assert [step for step, _ in found["sharpness"]] == [1, 3, 5]
    assert found["sharpness_limits"] == [[1, 40.0], [3, 40.0], [5, 40.0]]
    assert len(found["losses"]) == found["steps"] == 4
    assert found["plots"] == ["run.svg"]
    assert (tmp_path / "run.svg").exists()
    alone = json.loads(run("sharpness --json")[1])
    assert alone["plots"] == []
    assert "sharpness" not in alone


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--plot x.png", "--plot draws a run; give --along too"),
        ("--along --steps 0", "--steps: expected an integer of at least 1"),
        ("--along --every 0", "--every: expected an integer of at least 1"),
        ("--along --plot x.txt", "ends in '.txt'"),
        ("--lr nan", "lr must be a finite number"),
        ("--along --optimizer adam", "for tw.SGD only, got Adam"),
        ("--hidden 0", "--hidden takes sizes"),
    ],
)
def test_wrong_usage_is_one_line(run, line, message):
    code, out, err = run(f"sharpness {line}")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
