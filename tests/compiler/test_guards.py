"""Guards on numbers: compiled functions compute what they compute on plain floats and Values.

Every function of the table is called several times in both modes. Each result must be that of the
function itself, in type and number, or the same exception, or a TraceError.
"""

# ruff: noqa: PLR0124, T201, UP031 - comparisons of x with x, prints and % are what is tested

import fractions
import json
import math
import statistics

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.errors import NumberError, TraceError, TraceWarning

W = Value(2.0)


def plain(x):
    """A result in a form in which equality is strict."""
    if isinstance(x, Value):
        return "Value", x.data
    if isinstance(x, (tuple, list)):
        return type(x).__name__, [plain(part) for part in x]
    if isinstance(x, dict):
        return {key: plain(part) for key, part in x.items()}
    if isinstance(x, np.ndarray):
        return x.dtype.kind, x.shape, [plain(part) for part in x.ravel().tolist()]
    return type(x).__name__, repr(x)


def outcome(f, args):
    try:
        return plain(f(*args))
    except Exception as error:
        return type(error)


def vs(*numbers):
    return [Value(x) for x in numbers]


def matched(x):
    match x:
        case 0.0:
            return W * 5.0
        case _:
            return W * x


def grouped(pairs):
    total = {}
    for key, x in pairs:
        total[key] = total.get(key, 0.0) + W * x
    return sum((s * s for s in total.values()), 0.0)


A, B = np.array([0.3, -1.2, 2.5]), np.array([1.0, math.nan, -2.0])

EXACT = {  # the function, and the arguments of each call
    # arithmetic has the type and the exceptions of Python's numbers
    "power": (lambda x: x**2, (3.0,), (-2.0,), (0.0,)),
    "root": (lambda x: x**0.5, (4.0,), (-2.0,), (0.0,), (9.0,)),
    "reciprocal": (lambda x: x**-1, (4.0,), (0.0,), (2.0,)),
    "two powers": (
        lambda x, y: x**y,
        (2.0, 3.0),
        (2.0, -1.0),
        (-2.0, 2.0),
        (-2.0, 0.5),
        (0.0, -1.0),
    ),
    "division": (lambda x: 1.0 / x, (4.0,), (0.0,), (-0.0,), (5.0,)),
    "division of NumPy": (lambda x: 1.0 / x, (np.float64(0.1),), (np.float64(0.0),)),
    "single precision": (lambda x: x * x, (np.float32(0.1),), (np.float32(0.3),)),
    "remainder": (lambda x: (x % 3, x // 2, divmod(x, 2)), (4.0,), (5.5,), (-1.0,)),
    "signs": (lambda x: (-x, +x, abs(x)), (0.0,), (-0.0,), (-3.0,)),
    "with integers": (lambda x: 2 * x + x * 3 - 1, (0.5,), (0.25,)),
    "a float beside a Value": (lambda x: (W * x, x * 3.0, sum([x, x])), (0.5,), (0.25,)),
    # comparisons
    "truth": (lambda x: (W if x else -W, not x, bool(x)), (0.0,), (1.0,), (math.nan,)),
    "a comparison": (lambda x: (x > 1.0, x == 1.0, x != 1.0, x <= 1), (0.0,), (1.0,), (2.0,)),
    "nan": (lambda x: (x != x, x == x), (math.nan,), (1.0,)),
    "between": (lambda x: W * (0 < x < 1), (0.5,), (2.0,)),
    "a sum of comparisons": (lambda xs: sum(x > 0 for x in xs), ([1.0, -1.0],), ([1.0, 2.0],)),
    "all and any": (lambda xs: (any(x > 1 for x in xs), all(xs)), ([1.0, 2.0],), ([0.5, 0.0],)),
    "and, or": (lambda x, y: (x and y, x or y), (1.0, 2.0), (0.0, 1.0), (2.0, 0.0)),
    "order": (lambda xs: (max(xs), min(xs), sorted(xs)), ([0.5, 0.1],), ([0.1, 0.2],)),
    "search": (
        lambda xs: (xs.index(max(xs)), xs.count(1.0), 1.0 in xs, len(set(xs))),
        ([1.0, 0.1],),
        ([1.0, 1.0],),
        ([0.5, 3.0],),
    ),
    "lists": (lambda xs, ys: (xs == ys, xs < ys), ([1.0], [1.0]), ([1.0], [2.0])),
    "match": (matched, (0.0,), (1.0,), (0.5,)),
    "a loop": (lambda x: next(k for k in range(100) if x * 2**k > 10), (1.0,), (3.0,)),
    "large integers": (lambda x: x > 10**30, (0.5,), (1e31,)),
    # a number becomes a plain number, an integer, text or a key
    "conversions": (lambda x: (int(x), round(x, 1), float(x), math.floor(x)), (4.37,), (5.55,)),
    "an index": (lambda x: [10, 20, 30][int(x)] * W, (0.0,), (2.0,)),
    "a count": (lambda n: sum(W for _ in range(int(n))), (2.0,), (3.0,)),
    "math": (lambda x: (W * math.sin(x), math.copysign(1.0, x)), (0.5,), (-0.0,), (0.0,)),
    "fsum": (lambda xs: W * math.fsum(xs), ([0.5, 0.1],), ([0.7, 0.2],)),
    "statistics": (lambda xs: W * statistics.mean(xs), ([0.5, 0.1],), ([0.7, 0.2],)),
    "fractions": (lambda x: float(fractions.Fraction(x) * 3), (0.5,), (0.25,)),
    "text": (lambda x: (str(x), f"{x:.2f}", repr(x), "%.1f" % x), (1.25,), (2.0,)),
    "json": (lambda x: json.dumps({"a": float(x)}), (1.25,), (2.0,)),
    "keys": (lambda x: {0.0: "zero", 1.0: "one"}.get(x, "other"), (0.0,), (1.0,), (2.0,)),
    "grouped": (
        grouped,
        ([(1.0, 2.0), (1.0, 3.0)],),
        ([(1.0, 2.0), (2.0, 3.0)],),
    ),
    "attributes": (lambda x: (x.is_integer(), x.as_integer_ratio(), x.real), (1.0,), (1.5,)),
    "types": (lambda x: [isinstance(x, t) for t in (float, int, Value)], (1.0,), (2.0,)),
    "constants": (lambda x: (3.0, None, "text"), (0.5,), (1.0,)),
    # Values
    "data": (lambda v: (v * v.data, v.data), vs(2.0), vs(3.0)),
    "a branch on data": (lambda v: v if v.data > 0 else v * 0.01, vs(2.0), vs(-3.0), vs(4.0)),
    "a Value in comparisons": (lambda v: (v > 2.5, v == 2.0, v != v), vs(2.0), vs(3.0)),
    "a Value as a number": (lambda v: (float(v) * v, int(v), round(v, 1)), vs(2.25), vs(3.5)),
    "a Value is true": (lambda v: 1 if v else 0, vs(0.0), vs(3.0)),
    "the largest": (lambda v: max(v) * 2.0, (vs(1.0, 2.0),), (vs(3.0, 2.0),)),
    "sorted Values": (lambda v: [x * 1.0 for x in sorted(v)], (vs(1.0, 2.0),), (vs(3.0, 2.0),)),
    "argmax": (lambda v: max(range(2), key=lambda i: v[i].data), (vs(1.0, 2.0),), (vs(3.0, 2.0),)),
    "wrapped": (lambda xs: sum(Value(x) * W for x in xs), ([1.0, 2.0],), ([3.0, 4.0],)),
    # NumPy
    "an array": (lambda a: (a * 2.0, a + a, -a), (A,), (B,)),
    "elements": (lambda a: (a == 1.0).sum() * W, (A,), (B,)),
    "a mask": (lambda a: (len(a[a > 0]), np.argmax(a), np.where(a > 0, a, 0.1 * a)), (A,), (-A,)),
    "nan of NumPy": (lambda a: W * (0.0 if np.isnan(a).any() else 1.0), (A,), (B,)),
    "functions of NumPy": (lambda a: (W * np.exp(-a)[0], np.clip(a, 0, 1)), (A,), (-A,)),
    "single precision in arrays": (lambda a: W * (a[0] * a[1]), (A.astype(np.float32),)),
    "an array of a list": (lambda xs: np.array(xs) * W, ([1.0, 0.1],), ([1.0, 3.0],)),
}

ROUNDED = {  # NumPy adds in another order than Python: to the last bit in exact mode only
    "a product of matrices": (lambda a, b: W * (a @ b), (A, A), (A, -A)),
    "sums": (lambda a: W * a.sum() + W * np.mean(a) + W * np.linalg.norm(a), (A,), (-2.0 * A,)),
}


@pytest.mark.parametrize("mode", ["exact", "default"])
@pytest.mark.parametrize("name", EXACT)
def test_compiled_code_computes_what_python_does(name, mode):
    f, *calls = EXACT[name]
    fast = tw.jit(f, mode=mode)
    for args in [*calls, *calls]:
        assert outcome(fast, args) == outcome(f, args)


@pytest.mark.parametrize("name", ROUNDED)
def test_sums_of_numpy_have_the_same_bits_in_exact_mode(name):
    f, *calls = ROUNDED[name]
    exact, fast = tw.jit(f, mode="exact"), tw.jit(f)
    for args in [*calls, *calls]:
        assert exact(*args).data == f(*args).data
        assert fast(*args).data == pytest.approx(f(*args).data, rel=1e-13)


# ---- paths ---------------------------------------------------------------------------------------


def leaky(v):
    return v * 1.0 if v.data > 0 else v * 0.01


@pytest.mark.parametrize("mode", ["exact", "default"])
def test_each_path_has_its_gradient(mode):
    fast = tw.jit(lambda v: leaky(v) * v, mode=mode)
    for x in (2.0, -3.0, 1.0, -1.0, 0.0):
        v = Value(x)
        fast(v).backward()
        assert v.grad == pytest.approx(2.0 * x if x > 0 else 0.02 * x)
    assert fast.traces == 2


def test_a_branch_on_a_parameter_is_decided_at_each_call():
    w = Value(1.0)
    fast = tw.jit(lambda x: w * x if w.data * x > 1.0 else w * 0.0 + x)
    for number in (1.0, 3.0, -2.0, 0.1):
        w.data = number
        for x in (0.5, 2.0, -1.0):
            assert fast(x).data == (number * x if number * x > 1.0 else x)
    assert fast.traces == 2


def test_no_derivative_passes_through_data():
    v = Value(3.0)
    tw.jit(lambda v: v * v.data + (v.data * 2.0 + 1.0) * v)(v).backward()
    assert v.grad == 3.0 + 7.0


def test_too_many_paths_are_an_error_with_the_line_and_a_repair():
    fast = tw.jit(lambda v: v * math.sin(v.data))
    for k in range(16):
        fast(Value(0.1 * k))
    with pytest.raises(TraceError) as caught:
        fast(Value(9.0))
    message = str(caught.value)
    assert "has more than 16 paths" in message
    assert "test_guards.py, line" in message
    assert "tw.where" in message
    assert "\n" not in message
    assert fast(Value(0.5)).data == 0.5 * math.sin(0.5)  # the paths that are known stay


def test_derivatives_choose_the_path_too():
    f = lambda x: x * 3.0 if x == 0.0 else x * x  # noqa: E731
    slope, curvature = tw.grad(f), tw.hessian(f)
    assert [slope(x) for x in (0.0, 2.0, 0.0, -1.0)] == [3.0, 4.0, 3.0, -2.0]
    assert [curvature(x) for x in (0.0, 2.0)] == [0.0, 2.0]
    choose = tw.value_and_grad(lambda v, y: v * 2.0 if y == 1.0 else v * 5.0)
    assert [choose(1.0, y) for y in (1.0, 0.0, 1.0)] == [(2.0, 2.0), (5.0, 5.0), (2.0, 2.0)]
    assert tw.grad(lambda x: x.tanh() if x > 1.0 else tw.exp(x))(0.0) == 1.0


def test_no_derivative_is_lost_in_a_function_of_math():
    with pytest.raises(NumberError, match=r"math\.tanh of a Value .* use tw\.tanh"):
        tw.grad(lambda x: math.tanh(2.0 * x) * x)(0.5)
    with pytest.raises(NumberError, match=r"math\.exp"):
        tw.hessian(lambda v: v[0] * math.exp(v[1]))([1.0, 2.0])
    # Another argument is a plain number, and so is float(x).
    scaled = tw.grad(lambda x, k: x * math.exp(k))
    assert [scaled(0.5, k) for k in (0.0, 1.0)] == [1.0, math.e]
    assert tw.grad(lambda x: float(x) * x)(0.5) == 0.5
    assert tw.grad(lambda v: v[0] * math.exp(v[0].data))([1.0]) == [math.e]


def test_printing_is_no_use_of_a_number(capsys):
    def f(v):
        print(v.data, f"{v.data:.3f}", v)
        return v * v

    fast = tw.jit(f)
    with pytest.warns(TraceWarning, match="compiled code does not print"):
        fast(Value(2.0))
    for x in (3.0, 4.0, 5.0):
        assert fast(Value(x)).data == x * x
    assert fast.traces == 1
    assert "2.000" in capsys.readouterr().out


def test_assigning_data_in_a_traced_function_is_an_error():
    def f(v):
        v.data = 5.0
        return v * 2.0

    with pytest.raises(TraceError, match=r"\.data"):
        tw.jit(f)(Value(1.0))
    assert Value(1.0).data == 1.0  # the property is that of Value again


def test_a_traced_number_that_was_kept_is_refused_after_the_trace():
    kept = []
    tw.explain(lambda x: kept.append(x) or W * x, 2.0)
    with pytest.raises(TraceError, match="used after the trace"):
        kept[0] + 1.0


def test_explain_prints_guards_as_if():
    text = tw.explain(lambda x, y: W * x if y == 1.0 and x > 0 else W * float(x), -2.0, 1.0)
    assert text.startswith("if (x[1] == 1.0 ")
    assert "and not (0.0 < x[0])" in text
    assert "and x[0] == -2.0" in text
    assert "# test_guards.py, line" in text


# ---- training ------------------------------------------------------------------------------------


class Line(tw.Module):
    def __init__(self):
        self.w, self.b = Value(0.5), Value(0.2)

    def named_parameters(self):
        yield "w", self.w
        yield "b", self.b

    def __call__(self, x):
        return self.w * x[0] + self.b


def cross_entropy(z, y):
    p = tw.sigmoid(z)
    return -tw.log(p) if y == 1.0 else -tw.log(1.0 - p)


class Leaky(Line):
    def __call__(self, x):
        return leaky(super().__call__(x))


DATA = [([k / 10.0], float(k % 3 == 0)) for k in range(1, 31)]


@pytest.mark.parametrize("batch_size", [None, 7, 1])
@pytest.mark.parametrize(
    ("model", "loss"), [(Line, cross_entropy), (Leaky, tw.losses.squared_error)]
)
def test_training_takes_the_branches_of_each_sample(model, loss, batch_size):
    results = []
    for engine, mode in (("eager", "default"), ("native", "exact"), ("native", "default")):
        own = model()
        history = tw.train(
            own, DATA, loss=loss, engine=engine, mode=mode, steps=60, batch_size=batch_size,
            seed=3, optimizer=tw.Adam(lr=0.1), reduction="mean", validation=DATA[:5],
        )  # fmt: skip
        assert history.engine.startswith(engine)
        results.append((history.losses, history.validation_losses, own.w.data, own.b.data))
    assert results[0] == results[1]
    assert results[2][2:] == pytest.approx(results[0][2:], rel=1e-9)


def test_a_run_with_too_many_paths_is_continued_by_the_eager_engine():
    def loss(z, y):
        return (z - y) ** 2 * (1.0 + round(z.data, 2))

    results = []
    for engine in ("eager", "auto"):
        model = Line()
        if engine == "auto":
            with pytest.warns(TraceWarning, match="the eager engine continues the run"):
                history = tw.train(model, DATA[:4] * 40, loss=loss, engine=engine, steps=300,
                                   optimizer=tw.Adam(lr=0.01), mode="exact")  # fmt: skip
        else:
            history = tw.train(model, DATA[:4] * 40, loss=loss, engine=engine, steps=300,
                               optimizer=tw.Adam(lr=0.01))  # fmt: skip
        results.append((history.losses, model.w.data, model.b.data))
    assert results[0] == results[1]
    assert history.engine == "eager"
    assert "more than 16 paths" in history.fallback_reason
