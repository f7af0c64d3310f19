"""Every intrinsic: accurate in default mode, the bits of the eager engine in exact mode.

The reference values are mpmath's. bench/ulp.py compiles loops over arrays, and tests millions of
random operands; here there are some thousands, and all special cases.
"""

import functools
import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from mpmath import mp, mpf

from talweg import ops
from talweg.autodiff import ieee
from talweg.autodiff.operation import HELPERS
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.runtime import llvm

LANES = (1, 2, 4, 8)
OPERATIONS = [*ops.REGISTRY.values(), *HELPERS.values()]

SPECIAL = [
    *(0.0, 5e-324, 1e-310, 2.0**-1022, 1e-300, 1e-9, 0.25, 0.5, 1.0 - 2.0**-53, 1.0, 1.5, 2.0),
    *(3.0, 19.0, 22.0, 36.7, 40.0, 708.5, 709.782712893384, 709.7827128933841, 744.5),
    *(745.1332191019411, 745.1332191019412, 746.5, 1e5, 4e5, 400_001.0, 2.0**53, 1e22),
    *(2.0**1023, 1.7976931348623157e308, math.inf),
]
SPECIAL = np.array([sign * x for x in SPECIAL for sign in (1.0, -1.0)] + [math.nan] * 2)


def load_bench():
    path = Path(__file__).parents[3] / "bench" / "ulp.py"
    spec = importlib.util.spec_from_file_location("bench_ulp", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = load_bench()
BUILDERS = {"fused": NumberBuilder, "apart": bench.Unfused}


@functools.cache
def loops(lanes, *, exact=False, builder=NumberBuilder):
    return bench.kernels(OPERATIONS, lanes, exact=exact, builder=builder)


def run(loop, *operands):
    """The results for arrays of any length."""
    count = len(operands[0])
    return loop(*[np.concatenate([x, x[: -count % 8]]) for x in operands])[:count]


def spread(rng, count):
    """Numbers of all exponents and both signs."""
    sizes = np.ldexp(rng.uniform(1.0, 2.0, count), rng.integers(-1074, 1024, count))
    return sizes * rng.choice([-1.0, 1.0], count)


def operands_of(op, rng):
    """All combinations of the special cases, and random numbers of all sizes."""
    special = SPECIAL if op.arity < 3 else SPECIAL[::5]
    grid = [np.array(x) for x in zip(*itertools.product(special, repeat=op.arity), strict=True)]
    count = 400
    near = [rng.uniform(-3.0, 3.0, count) for _ in grid]
    integers = [rng.integers(-4, 5, count).astype(float) for _ in grid]
    wide = [rng.uniform(-760.0, 760.0, count) for _ in grid]
    far = [spread(rng, count) for _ in grid]
    return [np.concatenate(parts) for parts in zip(grid, near, integers, wide, far, strict=True)]


def eager(op, operands):
    return np.array([op.value(*map(float, xs)) for xs in zip(*operands, strict=True)])


def differ(found, expected):
    """Where the bits differ; all nan are equal."""
    same = found.view(np.int64) == expected.view(np.int64)
    return np.flatnonzero(~(same | (np.isnan(found) & np.isnan(expected))))


def differences(operands, found, expected):
    """What a failing test shows: operands, found and expected."""
    shown = differ(found, expected)[:5]
    return [([float(x[i]) for x in operands], float(found[i]), float(expected[i])) for i in shown]


def true_ulps(found, true):
    """The error in units in the last place of `true`; an overflow counts as 2**1024."""
    found, limit = float(found), mpf(2) ** 1024
    if mp.isnan(true) or math.isnan(found):
        return 0.0 if mp.isnan(true) and math.isnan(found) else math.inf
    true = max(-limit, min(limit, true))
    near = mpf(found) if math.isfinite(found) else math.copysign(1.0, found) * limit
    if true == 0:
        return 0.0 if near == 0 else math.inf
    exponent = max(mp.frexp(true)[1] - 1, -1022)
    return float(abs(near - true) / mpf(2) ** (int(exponent) - 52))


# ---- all operations ------------------------------------------------------------------------------


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_every_operation_has_an_intrinsic(op):
    assert callable(op.emit)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_exact_mode_has_the_bits_of_the_eager_engine(op, lanes):
    operands = operands_of(op, np.random.default_rng(1))
    found = run(loops(lanes, exact=True)[op.name], *operands)
    assert differences(operands, found, eager(op, operands)) == []


@pytest.mark.parametrize("builder", BUILDERS.values(), ids=BUILDERS)
@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_the_number_of_lanes_does_not_change_a_bit(op, builder):
    operands = operands_of(op, np.random.default_rng(2))
    one, *others = [run(loops(lanes, builder=builder)[op.name], *operands) for lanes in LANES]
    for other in others:
        assert differences(operands, other, one) == []


NOT_APPROXIMATED = [
    "add",
    "sub",
    "mul",
    "div",
    "neg",
    "sqrt",
    "asin_slope",
    "tanh_slope",
    "sigmoid_slope",
    "hypot",
    "relu",
    "leaky_relu",
    "abs",
    "sign",
    "floor",
    "max",
    "min",
    "clip",
    "where",
    "detach",
    "lt",
    "le",
]


def test_every_operation_is_tested_in_default_mode():
    composed = {"logistic_cdf", "normal_pdf"}  # the sigmoid; the exponential of a square
    names = {op.name for op in OPERATIONS}
    assert set(NOT_APPROXIMATED) | set(bench.FUNCTIONS) | composed == names


@pytest.mark.parametrize("name", NOT_APPROXIMATED)
def test_an_operation_that_is_not_approximated_has_the_bits_of_the_eager_engine(name):
    op = ops.lookup(name)
    operands = operands_of(op, np.random.default_rng(3))
    found = run(loops(llvm.lanes())[name], *operands)
    assert differences(operands, found, eager(op, operands)) == []


# ---- default mode, compared with mpmath ---------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def softplus(x):
    # log1p of mpmath is exact to working precision; exp(x) alone is that log below -400.
    return mp.log1p(mp.exp(x)) if x > -400 else mp.exp(x)


REFERENCE = {
    "exp": mp.exp,
    "log": mp.log,
    "tanh": mp.tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "asin": mp.asin,
    "acos": mp.acos,
    "atan": mp.atan,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "expm1": mp.expm1,
    "log1p": mp.log1p,
    "log2": lambda x: mp.log(x, 2),
    "log10": mp.log10,
    "erf": mp.erf,
    "normal_cdf": lambda x: mp.erfc(-x / mp.sqrt(2)) / 2,
    "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    "silu": lambda x: x * sigmoid(x),
    "logistic_pdf": lambda x: sigmoid(x) * sigmoid(-x),
}
RANGES = [0.01, 0.3, 0.6, 1.0, 2.0, 5.0, 20.0, 40.0, 760.0, 1e5]


@pytest.mark.parametrize("builder", BUILDERS.values(), ids=BUILDERS)
@pytest.mark.parametrize("name", REFERENCE)
def test_functions_are_within_2_ulp(name, builder):
    rng = np.random.default_rng(4)
    parts = [rng.uniform(-r, r, 300) for r in RANGES]
    turns = rng.integers(1, 250_000, 300) * (math.pi / 2)
    # An angle just above a power of two has a sine just below it, of smaller units.
    above = turns + np.exp2(-rng.integers(1, 9, 300))
    denormal = rng.uniform(-745.2, -708.0, 100)
    finite = SPECIAL[np.isfinite(SPECIAL)]
    x = np.concatenate([finite, spread(rng, 600), *parts, turns, above, denormal])
    if name in ("log", "log2", "log10"):
        x = np.concatenate([np.abs(x[x != 0.0]), rng.uniform(0.7, 1.5, 600)])
    if name == "log1p":
        x = x[x > -1.0]
    if name in ("asin", "acos"):
        x = np.concatenate([x[np.abs(x) <= 1.0], rng.uniform(-1.0, 1.0, 600)])
    if name not in ("log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan"):
        x = x[np.abs(x) < 1e6]  # mpmath takes long for the exponential of 1e300
    if name in ("silu", "gelu", "normal_cdf"):
        x = x[x > -744.0 if name == "silu" else x > -37.5]  # they vanish sooner, see FUNCTIONS
    found = run(loops(llvm.lanes(), builder=builder)[name], x)
    with mp.workdps(40):
        errors = [
            true_ulps(y, REFERENCE[name](mpf(a))) for a, y in zip(x.tolist(), found, strict=True)
        ]
    worst = int(np.argmax(errors))
    assert errors[worst] < 2.0, (x[worst], found[worst])


@pytest.mark.parametrize("builder", BUILDERS.values(), ids=BUILDERS)
def test_powers_are_within_2_ulp(builder):
    rng = np.random.default_rng(5)
    bases = [np.abs(spread(rng, 600)), rng.uniform(0.5, 2.0, 600)]
    bases.append(1.0 + rng.choice([-0.5, 1.0], 600) * np.exp2(rng.uniform(-50.0, -1.0, 600)))
    x = np.concatenate(bases)
    y = rng.uniform(-1078.0, 1026.0, x.size) / np.log2(x)  # powers of all sizes
    x = np.concatenate([x, rng.uniform(-10.0, 10.0, 600)])
    y = np.concatenate([y, rng.integers(-40, 41, 600)])
    found = run(loops(llvm.lanes(), builder=builder)["pow"], x, y)
    with mp.workdps(40):
        true = [mp.power(mpf(a), mpf(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        errors = [true_ulps(*pair) for pair in zip(found, true, strict=True)]
    worst = int(np.argmax(errors))
    assert errors[worst] < 2.0, (x[worst], y[worst], found[worst])


@pytest.mark.parametrize("name", bench.FUNCTIONS)
def test_special_results_are_those_of_the_eager_engine(name):
    """Zeros with their signs, infinities and nan, and the limits 1 and -1."""
    op = ops.lookup(name)
    operands = operands_of(op, np.random.default_rng(6))
    found, expected = run(loops(llvm.lanes())[name], *operands), eager(op, operands)
    special = ~np.isfinite(expected) | (expected == 0.0) | ~np.isfinite(found) | (found == 0.0)
    if name in ("tanh", "sigmoid"):
        special |= (np.abs(operands[0]) > 40.0) & (np.abs(expected) == 1.0)
    # At the borders of overflow and of underflow, either side is within 2 ulp.
    sizes = np.abs([found, expected])
    border = (found != expected) & ((sizes.min(axis=0) > 1.797e308) | (sizes.max(axis=0) < 4e-321))
    chosen = np.flatnonzero(special & ~border)
    assert chosen.size >= 4
    operands = [x[chosen] for x in operands]
    assert differences(operands, found[chosen], expected[chosen]) == []


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "sin", "cos"])
def test_results_stay_in_bounds(name):
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.uniform(-45.0, 45.0, 20_000), rng.uniform(-2.0, 2.0, 20_000)])
    found = run(loops(llvm.lanes())[name], x)
    assert found.max() <= 1.0
    assert found.min() >= (0.0 if name == "sigmoid" else -1.0)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_large_angles_are_passed_to_the_c_library_lane_by_lane(name):
    x = np.array([1.0, 1e9, -2.0, -1e300, 3.0, 4.0, 399_999.0, 400_001.0])
    found = run(loops(llvm.lanes())[name], x)
    small = run(loops(llvm.lanes())[name], np.where(np.abs(x) > 4e5, 0.0, x))
    large = np.abs(x) > 4e5
    expected = np.where(large, eager(ops.lookup(name), [x]), small)
    assert differences([x], found, expected) == []


# ---- powers with a constant exponent -----------------------------------------------------

EXPONENTS = [0.0, 1.0, 2.0, 3.0, 4.0, -1.0, -2.0, 0.5, -0.5, 2.5, -7.0, math.inf, math.nan]


class ConstantExponent:
    """The operation x -> x**exponent, with the attributes that bench/ulp.py reads."""

    arity = 1

    def __init__(self, exponent):
        self.exponent = exponent
        self.name = f"power_{EXPONENTS.index(exponent)}"

    def emit(self, e, x):
        return ops.lookup("pow").emit(e, x, e.constant(self.exponent))


@pytest.mark.parametrize("exponent", EXPONENTS[:-2])
def test_a_power_with_a_constant_exponent_is_within_2_ulp(exponent):
    op = ConstantExponent(exponent)
    loop = bench.kernels([op], llvm.lanes(), strict=False)[op.name]
    rng = np.random.default_rng(8)
    x = np.concatenate([spread(rng, 800), rng.uniform(-4.0, 4.0, 800)])
    if exponent % 1.0:
        x = np.abs(x)
    found = run(loop, x)
    with mp.workdps(40):
        pairs = [
            (y, mp.power(mpf(a), mpf(exponent))) for a, y in zip(x.tolist(), found, strict=True)
        ]
        errors = [true_ulps(*pair) for pair in pairs]
    worst = int(np.argmax(errors))
    assert errors[worst] < 2.0, (x[worst], found[worst])


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_special_results_of_a_power_with_a_constant_exponent(exponent):
    op = ConstantExponent(exponent)
    loop = bench.kernels([op], llvm.lanes(), strict=False)[op.name]
    x = np.array([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, -2.0, 1e-320])
    found = run(loop, x)
    expected = np.array([ieee.pow(float(a), exponent) for a in x])
    special = np.ones(x.size, dtype=bool)
    special[-2:] = ~np.isfinite(expected[-2:]) | (expected[-2:] == 0.0)
    assert differences([x[special]], found[special], expected[special]) == []


@pytest.mark.parametrize("exponent", [2.0, 3.0, -1.0, 0.5])
def test_exact_mode_calls_the_c_library_for_exponents_that_are_products(exponent):
    op = ConstantExponent(exponent)
    x = np.random.default_rng(9).uniform(0.1, 10.0, 4000)
    found = run(bench.kernels([op], llvm.lanes(), exact=True)[op.name], x)
    expected = np.array([ieee.pow(a, exponent) for a in x.tolist()])
    assert differences([x], found, expected) == []
