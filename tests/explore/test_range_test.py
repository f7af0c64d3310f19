"""The range test: rates, losses and rules compared with other computations; errors; the command."""

import itertools
import json
import math
import random
import threading

import matplotlib as mpl
import numpy as np
import pytest

import talweg as tw
from talweg import MLP, Module, Value, lesson_data, lr_range_test
from talweg.cli import main
from talweg.errors import ArgumentError, DataError, NativeError, ShapeError
from talweg.explore import range_rules
from talweg.optim import Optimizer

mpl.use("Agg")

NAN, INF = math.nan, math.inf
STATUSES = set(range_rules.Status.__args__)


def lesson_model():
    return MLP(3, [4, 4, 1], rng=random.Random(42))


class Weight(Module):
    """The model w x with one parameter."""

    def __init__(self, start=1.0):
        self.w = Value(start)

    def named_parameters(self):
        yield "w", self.w

    def __call__(self, x):
        return self.w * x[0]


def parabola(curvature):
    """Samples for which the squared error of a `Weight` is curvature w**2 / 2."""
    return [([math.sqrt(curvature / 2.0)], 0.0)]


def curve(n=120):
    rng = random.Random(3)
    xs = [rng.uniform(-1.0, 1.0) for _ in range(n)]
    return [([x], math.sin(3.0 * x) + rng.gauss(0.0, 0.1)) for x in xs]


def curve_model():
    return MLP(1, [8, 1], output="linear", rng=random.Random(1), scale="fan_in")


def rates_between(low, high, steps):
    return [low ** (1 - k / (steps - 1)) * high ** (k / (steps - 1)) for k in range(steps)]


# ---- rates and losses --------------------------------------------------------------------------


def test_rates_are_geometric_with_exact_ends():
    test = lr_range_test(lesson_model(), lesson_data(), lr_min=2e-6, lr_max=0.3, steps=37)
    rates = test.learning_rates
    assert (len(rates), rates[0], rates[-1]) == (37, 2e-6, 0.3)
    assert rates == rates_between(2e-6, 0.3, 37)
    ratios = [b / a for a, b in itertools.pairwise(rates)]
    assert ratios == pytest.approx([(0.3 / 2e-6) ** (1 / 36)] * 36, rel=1e-12)


def test_extreme_rates_do_not_overflow():
    test = lr_range_test(Weight(), parabola(2.0), lr_min=1e-300, lr_max=1e300, steps=61)
    assert test.learning_rates[0] == 1e-300
    assert test.learning_rates[30] == pytest.approx(1.0)


def test_losses_equal_those_of_the_lessons_loop():
    test = lr_range_test(lesson_model(), lesson_data(), engine="eager", steps=50)
    model, losses = lesson_model(), []
    for rate in rates_between(1e-5, 10.0, 50):
        loss = sum((model(x) - y) ** 2 for x, y in lesson_data())
        losses.append(loss.data)
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= rate * p.grad
    assert test.losses == losses
    assert test.smoothed == losses  # whole batches are not smoothed unless asked for


def test_losses_of_batches_equal_those_of_a_loop_with_momentum():
    data, rng, order = curve(10), random.Random(5), []
    test = lr_range_test(
        curve_model(),
        data,
        optimizer=tw.SGD(lr=7.0, momentum=0.5),
        batch_size=4,
        seed=5,
        reduction="mean",
        smoothing=0.5,
        steps=20,
        lr_max=0.1,
        engine="eager",
    )
    model, losses = curve_model(), []
    velocity = [0.0] * len(model.parameters())
    for rate in rates_between(1e-5, 0.1, 20):
        if not order:
            order = list(range(10))
            rng.shuffle(order)
        batch, order = order[:4], order[4:]
        total = sum((model(data[i][0]) - data[i][1]) ** 2 for i in batch) / len(batch)
        losses.append(total.data)
        model.zero_grad()
        total.backward()
        velocity = [0.5 * v + p.grad for v, p in zip(velocity, model.parameters(), strict=True)]
        for p, v in zip(model.parameters(), velocity, strict=True):
            p.data -= rate * v
    assert test.losses == pytest.approx(losses, rel=1e-12)  # the mean is divided at another place


@pytest.mark.parametrize("settings", [{}, {"batch_size": 3, "seed": 1}])
def test_native_code_gives_the_same_bits_in_exact_mode(settings):
    given = {"lr_max": 100.0, "steps": 60, "optimizer": tw.SGD(lr=1.0, momentum=0.9), **settings}
    data = curve(24)
    eager = lr_range_test(curve_model(), data, engine="eager", **given)
    exact = lr_range_test(curve_model(), data, engine="native", mode="exact", **given)
    assert eager == exact
    assert len(eager.losses) < 60  # both stopped early, at the same step
    fast = lr_range_test(curve_model(), data, engine="native", **given)
    assert fast.losses[:20] == pytest.approx(eager.losses[:20], rel=1e-9)


@pytest.mark.parametrize("curvature", [0.1, 2.0, 37.0])
def test_on_a_parabola_the_loss_rises_above_the_largest_stable_rate(curvature):
    """With p <- p - r c p, |p| grows if and only if r is over 2 / c."""
    test = lr_range_test(
        Weight(), parabola(curvature), lr_min=0.001 / curvature, lr_max=100.0 / curvature
    )
    assert test.status == "found"
    lowest = test.losses.index(min(test.losses))
    over = [k for k, rate in enumerate(test.learning_rates) if rate > 2.0 / curvature]
    assert lowest == over[0]
    assert len(over) <= 4
    assert "the loss rose over 4 times its lowest" in test.summary
    # Each suggestion is below the largest stable rate.
    assert all(0.0 < rate < 2.0 / curvature for rate in test.suggestions.values())


def test_the_smoothed_loss_is_a_bias_corrected_average():
    test = lr_range_test(
        curve_model(), curve(), batch_size=8, seed=2, smoothing=0.7, lr_max=0.1, steps=40
    )
    for k, smoothed in enumerate(test.smoothed):
        weights = [0.7 ** (k - j) for j in range(k + 1)]
        mean = np.average(test.losses[: k + 1], weights=weights)
        assert smoothed == pytest.approx(mean, rel=1e-12)


# ---- suggestions -------------------------------------------------------------------------------


def by_the_rules(test, smoothing):
    window = round(1 / (1 - smoothing))
    skipped = round(2 * smoothing / (1 - smoothing))
    rates = np.array(test.learning_rates)[skipped:]
    smoothed = np.array(test.smoothed)[skipped:]
    low = np.nanmin(smoothed)
    bottom = np.argmax(smoothed <= low + 0.02 * (smoothed[0] - low))
    lows = np.minimum.accumulate(smoothed)[: bottom + 1]
    quarter = smoothed[0] - 0.25 * (smoothed[0] - lows[-1])
    top = np.flatnonzero(smoothed[:bottom] > quarter)[-1] if smoothing else 0
    window = min(window, bottom - top)
    steepest = top + np.argmax(lows[top:-window] - lows[top + window :]) + window // 2
    new = np.flatnonzero(np.diff(lows, prepend=INF) < 0.0)
    return {
        "steepest": rates[steepest],
        "minimum / 10": rates[bottom] / 10.0,
        "valley": rates[new[2 * (len(new) - 1) // 3]],
    }


def test_the_suggestions_for_the_lesson():
    test = lr_range_test(lesson_model(), lesson_data())
    assert test.suggestions == by_the_rules(test, 0.0)
    rounded = {name: float(f"{rate:.3g}") for name, rate in test.suggestions.items()}
    assert rounded == {"steepest": 0.0327, "minimum / 10": 0.0152, "valley": 0.00614}
    for rate in test.suggestions.values():  # all of them train the lesson
        history = tw.train(lesson_model(), lesson_data(), optimizer=tw.SGD(lr=rate))
        assert history.losses[-1] < 0.2 * history.losses[0]


@pytest.mark.parametrize("smoothing", [None, 0.0, 0.7, 0.9])
@pytest.mark.parametrize("optimizer", [tw.SGD(lr=1.0), tw.Adam()])
def test_the_suggestions_for_batches(smoothing, optimizer):
    test = lr_range_test(
        curve_model(),
        curve(),
        optimizer=optimizer,
        reduction="mean",
        batch_size=16,
        seed=4,
        smoothing=smoothing,
        lr_max=100.0,
    )
    assert test.status == "found"
    assert test.suggestions == by_the_rules(test, 0.8 if smoothing is None else smoothing)


@pytest.mark.parametrize("seed", range(6))
def test_noise_of_batches_is_not_taken_for_a_descent(seed):
    test = lr_range_test(
        curve_model(), curve(), reduction="mean", batch_size=8, seed=seed, lr_max=100.0
    )
    whole = lr_range_test(curve_model(), curve(), reduction="mean", lr_max=100.0)
    assert whole.status == "found"
    if test.status == "found":
        assert min(test.suggestions.values()) > 1e-3
        assert max(test.suggestions.values()) < 1.0
    else:  # the first batches had low losses
        assert test.status == "never fell"
        assert "a larger batch_size" in test.summary


def test_the_rules_on_short_lists():
    rates = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    spike = [10.0, 9.0, 12.0, 5.0, 4.0, 4.0, 30.0]  # 12 -> 5 lowers the minimum by 4
    found = range_rules.suggestions(rates, spike, 0.0)
    assert found == {"steepest": 4.0, "minimum / 10": 1.6, "valley": 8.0}
    status = range_rules.status
    assert status(spike, spike, 0.0, 7, stopped=True) == "found"
    falling = [10.0, 9.0, 8.0, 7.0]
    assert status(falling, falling, 0.0, 4, stopped=False) == "still falling at lr_max"
    assert status(falling, falling, 0.0, 40, stopped=True) == "found"
    below_zero = [-1.0, -2.0, -3.0, -20.0]
    assert not any(range_rules.too_high(x, min(below_zero), 4.0) for x in below_zero)
    assert range_rules.too_high(41.0, -20.0, 4.0)
    assert range_rules.too_high(NAN, 1.0, 4.0)
    assert range_rules.too_high(INF, 1.0, 4.0)


# ---- statuses ----------------------------------------------------------------------------------


ENDINGS = [
    ("still falling at lr_max", lesson_model, lesson_data(), {"lr_max": 0.01}, "a larger lr_max"),
    # At the minimum: the gradients of the two samples cancel.
    ("never fell", lambda: Weight(0.0), [([1.0], 1.0), ([1.0], -1.0)], {}, "not trained yet"),
    ("never fell", lambda: Weight(1e-9), [([1.0], 1.0), ([1.0], -1.0)], {}, "rose over 4 times"),
    ("diverged at once", Weight, parabola(2.0), {"lr_min": 2.0}, "a smaller lr_min"),
    ("diverged at once", lesson_model, lesson_data(), {"lr_min": 30.0, "lr_max": 90.0}, "lr_min"),
    (
        "diverged at once",
        lesson_model,
        lesson_data(),
        {"lr_min": 1e308, "lr_max": 1.7e308},
        "a gradient or an update was not finite",
    ),
    (
        "diverged at once",
        Weight,
        [([1.0], 0.0)],
        {"loss": lambda p, t: (p - p) / (p - p)},
        "the loss was nan",
    ),
    ("diverged at once", Weight, parabola(2.0), {"lr_min": 1.5, "smoothing": 0.8}, "lr_min"),
]


@pytest.mark.parametrize(("status", "make", "data", "settings", "words"), ENDINGS)
def test_the_summary_explains_why_there_is_no_suggestion(status, make, data, settings, words):
    model = make()
    before = [(p.data, p.grad) for p in model.parameters()]
    test = lr_range_test(model, data, **settings)
    assert test.status == status
    assert test.suggestions == {}
    assert test.summary.startswith(f"{status}: ")
    assert "no suggestion" in test.summary
    assert words in test.summary
    assert len(test.learning_rates) == len(test.losses) == len(test.smoothed) >= 1
    assert [(p.data, p.grad) for p in model.parameters()] == before
    assert test.plot().get_title("left") == f"No suggestion: {status}"


def test_every_status_is_tested():
    assert {status for status, *_ in ENDINGS} == STATUSES - {"found", "interrupted"}


def test_noise_alone_is_not_a_fall():
    rng = random.Random(8)
    data = [([0.0], rng.gauss(0.0, 1.0)) for _ in range(400)]  # nothing can be learnt
    found = [lr_range_test(Weight(), data, batch_size=16, seed=seed).status for seed in range(20)]
    assert found.count("never fell") >= 16  # about one of ten passes the rule by chance


@pytest.mark.parametrize("call", [2, 3, 40])
def test_after_ctrl_c_the_result_has_the_steps_so_far(call):
    calls = iter(range(1, 1000))

    def loss(p, t):
        if next(calls) == call + 1:  # the first call inspects the loss
            raise KeyboardInterrupt
        return (p - t) ** 2

    test = lr_range_test(Weight(), parabola(2.0), loss=loss, engine="eager", lr_max=0.01)
    whole = lr_range_test(Weight(), parabola(2.0), engine="eager", lr_max=0.01)
    assert test.status == "interrupted"
    assert test.losses == whole.losses[: call - 1]
    assert test.learning_rates == whole.learning_rates[: call - 1]
    assert test.suggestions == {}
    assert test.summary.startswith(f"interrupted after {call - 1} steps: no suggestion")


def test_a_test_interrupted_before_the_first_step_cannot_be_drawn():
    def loss(p, t):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return (p - t) ** 2

    calls = []
    test = lr_range_test(Weight(), parabola(2.0), loss=loss, engine="eager")
    assert (test.status, test.losses, repr(test)) == (
        "interrupted",
        [],
        "RangeTest(0 steps, interrupted)",
    )
    with pytest.raises(ArgumentError, match="there are no losses to draw"):
        test.plot()


# ---- what is not changed -----------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["eager", "native"])
@pytest.mark.parametrize("settings", [{}, {"lr_min": 5.0, "lr_max": 1e6}])
def test_model_optimizer_and_random_state_are_not_changed(engine, settings):
    model, optimizer = lesson_model(), tw.Adam(lr=0.125)
    (model([1.0, 2.0, 3.0]) ** 2).backward()
    optimizer.step(model.parameters())
    values = list(model.parameters())
    before = [(p.data, p.grad) for p in values]
    about = (optimizer.lr, optimizer._steps, list(optimizer._states))
    random.seed(77)
    drawn = random.getstate()
    lr_range_test(
        model, lesson_data(), optimizer=optimizer, engine=engine, batch_size=2, **settings
    )
    assert all(p is q for p, q in zip(values, model.parameters(), strict=True))
    assert [(p.data, p.grad) for p in values] == before
    assert (optimizer.lr, optimizer._steps, optimizer._states) == about
    assert random.getstate() == drawn


def test_nothing_is_changed_if_the_loss_raises():
    def loss(p, t):
        random.random()
        calls.append(1)
        if len(calls) == 9:
            raise ZeroDivisionError("of the user's")
        return (p - t) ** 2

    calls, model = [], Weight()
    random.seed(5)
    drawn = random.getstate()
    with pytest.raises(ZeroDivisionError, match="of the user's"):
        lr_range_test(model, parabola(2.0), loss=loss, engine="eager")
    assert (model.w.data, model.w.grad) == (1.0, 0.0)
    assert random.getstate() == drawn


def test_equal_seeds_give_equal_bits():
    def test(seed):
        return lr_range_test(curve_model(), curve(), batch_size=8, seed=seed)

    assert test(1) == test(1)
    assert test(1).losses != test(2).losses
    random.seed(3)
    unseeded = test(None)
    assert unseeded == test(None)  # the state of random was restored
    random.seed(4)
    assert unseeded.losses != test(None).losses


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr_min": 0.0}, r"lr_min must be a finite number above 0, got 0\.0"),
        ({"lr_min": NAN}, "lr_min must be a finite number above 0, got nan"),
        ({"lr_max": INF}, "lr_max must be a finite number above 0, got inf"),
        ({"lr_max": "1"}, "lr_max must be a finite number above 0, got '1'"),
        ({"lr_min": 1.0, "lr_max": 1.0}, r"lr_min must be below the last rate, 1\.0, got 1\.0"),
        ({"lr_min": 1.0, "lr_max": 0.1}, "lr_min must be below the last rate"),
        ({"steps": 9}, "steps must be an integer of at least 10 at a smoothing of 0, got 9"),
        ({"steps": 26, "batch_size": 2}, "at least 27 at a smoothing of 0.8, got 26"),
        ({"steps": 99, "smoothing": 0.98}, "at least 297 at a smoothing of 0.98, got 99"),
        ({"steps": 50.0}, r"steps must be .* got 50\.0"),
        ({"smoothing": 1.0}, r"smoothing must be at least 0 and below 1, got 1\.0"),
        ({"smoothing": -0.1}, "smoothing must"),
        ({"smoothing": NAN}, "smoothing must .* got nan"),
        ({"stop_factor": 1.0}, r"stop_factor must be a finite number above 1, got 1\.0"),
        ({"reduction": "max"}, "reduction must"),
        ({"optimizer": 0.1}, "optimizer must be None or an optimiser"),
        ({"batch_size": 0}, "batch_size must"),
        ({"engine": "fast"}, "engine must"),
        ({"loss": 3}, "loss must be a function"),
    ],
)
def test_settings_that_are_not_valid(settings, message):
    with pytest.raises(ArgumentError, match=message):
        lr_range_test(lesson_model(), lesson_data(), **settings)


def test_data_that_do_not_fit_the_model():
    with pytest.raises(DataError, match="data has no samples"):
        lr_range_test(lesson_model(), [])
    for data in (5, [1.0, 2.0]):
        with pytest.raises(ShapeError, match="must be a Dataset or pairs"):
            lr_range_test(lesson_model(), data)
    with pytest.raises(ShapeError):
        lr_range_test(lesson_model(), [([1.0], 1.0)])
    with pytest.raises(ArgumentError, match="the model must have parameters"):
        lr_range_test(object(), lesson_data())


def test_a_model_that_cannot_be_copied():
    model = Weight()
    model.lock = threading.Lock()
    with pytest.raises(ArgumentError, match=r"Weight cannot be copied: TypeError: .*__deepcopy__"):
        lr_range_test(model, parabola(2.0))


def test_a_model_whose_copy_shares_its_parameters():
    w = Value(1.0)

    def model(x):
        return w * x[0]

    model.parameters = lambda: [w]
    with pytest.raises(ArgumentError, match="has the same Values as the model"):
        lr_range_test(model, parabola(2.0))
    assert (w.data, w.grad) == (1.0, 0.0)


def test_a_loss_that_reads_the_parameters_of_the_model():
    model = Weight()

    def loss(p, t):
        return (p - t) ** 2 + 0.1 * model.w**2

    with pytest.raises(ArgumentError, match="reads the original's parameters"):
        lr_range_test(model, parabola(2.0), loss=loss)
    assert (model.w.data, model.w.grad) == (1.0, 0.0)


def test_native_code_that_is_not_possible():
    def loss(p, t):
        return (p - t) ** 2 * round(p.data, 6)

    with pytest.raises(NativeError, match="native code is not possible"):
        lr_range_test(Weight(), parabola(2.0), loss=loss, engine="native")


# ---- figures and text-------------------------------------------------------------------------


def test_repr_summary_html_and_csv(tmp_path):
    test = lr_range_test(lesson_model(), lesson_data())
    assert repr(test) == (
        "RangeTest(100 steps, steepest 0.0327, minimum / 10 0.0152, valley 0.00614)"
    )
    assert test.summary == (
        "found: steepest 0.0327, minimum / 10 0.0152, valley 0.00614; the loss fell from 5.279 "
        "to 0.0004729, most of it by 0.152 (lr_max was reached)"
    )
    page = test._repr_html_()
    assert "<th>steepest</th><td>0.0327</td>" in page
    assert "<p>found: " in page
    lines = test.to_csv(tmp_path / "range.csv").read_text().splitlines()
    assert lines[0] == "step,learning_rate,loss,smoothed_loss"
    assert len(lines) == 101
    assert [float(x) for x in lines[7].split(",")] == [
        7,
        test.learning_rates[6],
        test.losses[6],
        test.smoothed[6],
    ]
    with pytest.raises(AttributeError):
        test.status = "other"


def test_the_figure_without_smoothing_has_one_curve():
    test = lr_range_test(lesson_model(), lesson_data())
    ax = test.plot()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate", "loss")
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    suggested = ["steepest: 0.0327", "minimum / 10: 0.0152", "valley: 0.00614"]
    assert texts == ["loss", *suggested, "limit at the start: 0.348"]
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert list(lines["loss"].get_xdata()) == test.learning_rates
    assert list(lines["loss"].get_ydata()) == test.losses
    place = test.learning_rates.index(test.suggestions["steepest"])
    assert list(lines["steepest: 0.0327"].get_ydata()) == [test.losses[place]]


def test_the_figure_of_batches_has_a_thin_and_a_thick_curve():
    test = lr_range_test(curve_model(), curve(), batch_size=8, seed=1, reduction="mean")
    lines = {line.get_label(): line for line in test.plot().get_lines()}
    thin, thick = lines["loss of each step"], lines["smoothed loss"]
    assert list(thin.get_ydata()) == test.losses
    assert list(thick.get_ydata()) == test.smoothed
    assert thin.get_linewidth() < thick.get_linewidth()
    assert thin.get_color() != thick.get_color()


# ---- talweg lr-find ----------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def command(line):
        code = main(line.split())
        return code, *capsys.readouterr()

    return command


def test_the_command_on_the_lesson(run, tmp_path):
    code, out, err = run("lr-find")
    assert (code, err) == (0, "")
    words = out.split()
    for word in ("0.0327", "0.0152", "0.00614"):
        assert word in words
    assert "Picture saved to talweg-lr-find.png" in out
    assert (tmp_path / "talweg-lr-find.png").read_bytes().startswith(b"\x89PNG")
    last = " ".join(words[words.index("Verdict:") :])
    assert last.startswith("Verdict: found: steepest 0.0327")
    assert last.endswith("(--lr-max was reached)")


def test_the_command_as_json(run, tmp_path):
    code, out, _ = run("lr-find --json --no-plot --optimizer adam --steps 40 --batch 2 --seed 1")
    about = json.loads(out)
    test = lr_range_test(
        MLP(3, [4, 4, 1], rng=random.Random(1)),
        lesson_data(),
        optimizer=tw.Adam(),
        steps=40,
        batch_size=2,
        seed=1,
    )
    assert code == 0
    for name in ("learning_rates", "losses", "smoothed", "suggestions", "status", "summary"):
        assert about[name] == getattr(test, name)
    assert (about["command"], about["optimizer"], about["plots"]) == ("lr-find", "adam", [])
    assert list(tmp_path.iterdir()) == []


def test_the_command_on_a_file_uses_the_network_of_train(run, tmp_path):
    rows = [f"{x[0]},{y}" for x, y in curve()]
    (tmp_path / "curve.csv").write_text("\n".join(["x,y", *rows]))
    code, out, err = run("lr-find curve.csv --target y --plot found.svg")
    assert (code, err) == (0, "")
    assert "MLP(1 -> 16 -> 1, tanh" in out
    assert (tmp_path / "found.svg").is_file()
    found = json.loads(run("lr-find curve.csv --target y --no-plot --json")[1])
    trained = json.loads(run("train curve.csv --target y --no-plot --no-save --json")[1])
    assert found["losses"][0] == trained["losses"][0]  # the same network, batch and loss
    assert found["network"] == trained["network"]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("lr-find --lr-min 30 --lr-max 90", 3, "try a smaller --lr-min"),
        ("lr-find --lr-max 0.01", 0, "still falling at --lr-max"),
    ],
)
def test_the_command_without_a_suggestion(run, line, code, words):
    found, out, _ = run(f"{line} --no-plot")
    assert found == code
    assert words in " ".join(out.split())
    assert "no suggestion" in " ".join(out.split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lr-find --lr-min 1 --lr-max 0.1", "--lr-min must be below the last rate, 0.1, got 1.0"),
        ("lr-find --lr-min nan", "--lr-min must be a finite number above 0, got nan"),
        ("lr-find --steps 5", "at least 10"),
        ("lr-find --batch 0", "--batch: expected an integer of at least 1"),
        ("lr-find --target y", "--target is for a file"),
        ("lr-find --loss cross_entropy", "--loss takes squared_error or hinge"),
        ("lr-find --plot a.gif", "'a.gif' ends in '.gif'"),
        ("lr-find a.csv", "a.csv: name the column to predict with --target, one of x, y"),
        ("lr-find none.csv --target y", "none.csv: there is no such file"),
    ],
)
def test_errors_of_the_command(run, tmp_path, line, words):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n2,3\n")
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_the_command_interrupted(run, monkeypatch):
    from talweg.training import eager_executor

    calls = iter(range(1, 1000))

    def rate(lr, step):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return lr(step)

    monkeypatch.setattr(eager_executor, "rate_at", rate)
    code, out, _ = run("lr-find")
    assert code == 130
    assert "interrupted after 6 steps" in out
    assert "Picture saved" in out


def test_the_largest_stable_rate_before_the_test_is_drawn():
    model = tw.MLP(3, [4, 4, 1], rng=random.Random(42))
    limit = tw.sharpness(model, tw.lesson_data()).max_stable_lr
    test = tw.lr_range_test(model, tw.lesson_data())
    for p in model.parameters():
        p.data = 0.0  # the test has its own copy
    assert test.max_stable_lr == limit
    labels = [text.get_text() for text in test.plot().get_legend().get_texts()]
    assert labels[-1] == "limit at the start: 0.348"
    momentum = tw.SGD(lr=0.1, momentum=0.9)
    model = tw.MLP(3, [4, 4, 1], rng=random.Random(42))
    assert tw.lr_range_test(
        model, tw.lesson_data(), optimizer=momentum
    ).max_stable_lr == pytest.approx(1.9 * limit)


def test_an_unknown_limit_is_not_drawn():
    class Own(Optimizer):
        def update(self, p, g, state, lr, step):
            return p - lr * g, state

    model = tw.MLP(3, [4, 4, 1], rng=random.Random(42))
    test = tw.lr_range_test(model, tw.lesson_data(), optimizer=Own(lr=0.1))
    assert test.max_stable_lr is None
    labels = [text.get_text() for text in test.plot().get_legend().get_texts()]
    assert not any("limit" in label for label in labels)
