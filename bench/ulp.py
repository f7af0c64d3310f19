"""The accuracy and the speed of the intrinsics.

    python bench/ulp.py [--points 2000000] [--functions tanh,exp] [--seed 1]
    python bench/ulp.py --speed

The first command prints the largest error of each function, in units in the last place of a
double, and its operands: once with fused multiply-add, once with product and sum rounded
separately. `--points` operands are drawn from each range of a function and compared with NumPy's
long double, which has 64 bits on x86; the worst of each range are computed again with mpmath, with
60 decimals.

The second prints nanoseconds a number: for vectors, for one lane, and for exact mode, which calls
the C library.

Start reading at `FUNCTIONS`.
"""

import argparse
import ctypes
import functools
import time
from typing import NamedTuple

import numpy as np
from mpmath import mp, mpf

from talweg import ops
from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.types import I64, PTR, Parameter
from talweg.compiler.runtime import llvm

mp.dps = 60
LONG = np.longdouble
RECHECKED = 8  # the worst operands of each range that are computed again with mpmath


# ---- the functions and the ranges of their operands ---------------------------------------------


class Tried(NamedTuple):
    """A function: its value by mpmath and by NumPy, ranges to draw from, arguments to time."""

    precise: object
    quick: object
    ranges: tuple
    timed: tuple


def uniform(low, high):
    return lambda rng, n: (rng.uniform(low, high, n),)


def all_exponents(rng, n):
    """Numbers of either sign of which every exponent is equally likely, denormals included."""
    exponents = rng.integers(-1074, 1024, n)
    return (np.ldexp(rng.uniform(1.0, 2.0, n), exponents) * rng.choice([-1.0, 1.0], n),)


def sizes(rng, n):
    return (np.abs(all_exponents(rng, n)[0]),)


def quarters_of_a_turn(rng, n):
    """The doubles next to multiples of pi / 2, where a sine or a cosine is nearly zero."""
    return (rng.integers(1, 254_000, n) * (np.pi / 2) * (1 + rng.integers(-2, 3, n) * 2.0**-52),)


def powers(draw):
    """Bases as drawn, exponents such that the powers are of all sizes."""

    def drawn(rng, n):
        (x,) = draw(rng, n)
        with np.errstate(all="ignore"):
            y = rng.uniform(-1078.0, 1026.0, n) / np.log2(x)
        return x, np.where(np.isfinite(y), y, 1.0)

    return drawn


def near_one(rng, n):
    return (1.0 + rng.choice([-0.5, 1.0], n) * np.exp2(rng.uniform(-52.0, -1.0, n)),)


def whole_powers(rng, n):
    return rng.uniform(-10.0, 10.0, n), rng.integers(-40, 41, n).astype(float)


def precise_sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def quick_sigmoid(x):
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


def precise_softplus(x):
    return mp.log1p(mp.exp(x))


def quick_softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def precise_slope(x):
    e = mp.exp(-abs(x))
    return e / (1 + e) ** 2


def quick_slope(x):
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


def precise_silu(x):
    return x / (1 + mp.exp(-x))


def precise_elu(x, y):
    return x if x > 0 else y * mp.expm1(x)


def precise_asin_slope(x):
    return 1 / mp.sqrt((1 - x) * (1 + x)) if abs(x) <= 1 else mp.nan


def within(f, low, high):
    """The function of mpmath, nan outside of its domain, where mpmath computes a complex number."""
    return lambda x: f(x) if low <= x <= high else mp.nan


def precise_normal_cdf(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def near(point):
    """Numbers whose distance from a point has any exponent down to 2**-52."""
    return lambda rng, n: (point + rng.choice([-1.0, 1.0], n) * np.exp2(rng.uniform(-52, -1, n)),)


def above(draw, least):
    return lambda rng, n: tuple([np.maximum(x, least) for x in draw(rng, n)])


def pairs(draw):
    return lambda rng, n: (*draw(rng, n), *draw(rng, n))


def scaled(draw):
    """A number, and a factor near 1."""
    return lambda rng, n: (*draw(rng, n), rng.uniform(0.5, 2.0, n))


AROUND_ZERO = (uniform(-1.0, 1.0), uniform(-5.0, 5.0))
DENORMAL = uniform(-745.2, -708.0)
TURNS = (
    all_exponents,
    *AROUND_ZERO,
    uniform(-100.0, 100.0),
    uniform(-4e5, 4e5),
    quarters_of_a_turn,
)
EASY = (uniform(-4.0, 4.0),)
UNIT = (uniform(-1.0, 1.0),)
WITHIN_ONE = (all_exponents, *UNIT, near(1.0), near(0.5), near(-0.5), near(-1.0))
HYPERBOLIC = (
    all_exponents,
    *AROUND_ZERO,
    uniform(-0.4, 0.4),
    uniform(-40.0, 40.0),
    uniform(-711.0, 711.0),
)
SLOW = 4000
"""So many points are drawn from a range for functions that NumPy does not have."""

FUNCTIONS = {
    "exp": Tried(
        mp.exp,
        np.exp,
        (all_exponents, *AROUND_ZERO, DENORMAL, uniform(-700.0, 709.8)),
        EASY,
    ),
    "log": Tried(
        mp.log,
        np.log,
        (sizes, uniform(0.0, 4.0), uniform(0.7, 0.71), uniform(0.999, 1.001), uniform(1.4, 1.5)),
        (uniform(0.1, 10.0),),
    ),
    "tanh": Tried(
        mp.tanh,
        np.tanh,
        (all_exponents, *AROUND_ZERO, uniform(0.25, 0.3), uniform(0.5, 0.6), uniform(-20.0, 20.0)),
        EASY,
    ),
    "sigmoid": Tried(
        precise_sigmoid,
        quick_sigmoid,
        (all_exponents, *AROUND_ZERO, DENORMAL, uniform(-40.0, 0.0), uniform(-700.0, 40.0)),
        EASY,
    ),
    "softplus": Tried(
        precise_softplus,
        quick_softplus,
        (all_exponents, *AROUND_ZERO, DENORMAL, uniform(-40.0, 40.0), uniform(-0.6, -0.3)),
        EASY,
    ),
    "sin": Tried(mp.sin, np.sin, TURNS, EASY),
    "cos": Tried(mp.cos, np.cos, TURNS, EASY),
    "tan": Tried(mp.tan, np.tan, TURNS, EASY),
    "asin": Tried(within(mp.asin, -1, 1), np.arcsin, WITHIN_ONE, UNIT),
    "acos": Tried(within(mp.acos, -1, 1), np.arccos, WITHIN_ONE, UNIT),
    "asin_slope": Tried(
        precise_asin_slope, lambda x: 1 / np.sqrt((1 - x) * (1 + x)), WITHIN_ONE, UNIT
    ),
    "atan": Tried(mp.atan, np.arctan, (all_exponents, *AROUND_ZERO, uniform(0.4, 2.5)), EASY),
    "atan2": Tried(
        mp.atan2,
        np.arctan2,
        (pairs(all_exponents), pairs(uniform(-1.0, 1.0)), pairs(near(1.0))),
        (*EASY, *EASY),
    ),
    "sinh": Tried(mp.sinh, np.sinh, HYPERBOLIC, EASY),
    "cosh": Tried(mp.cosh, np.cosh, HYPERBOLIC, EASY),
    "expm1": Tried(mp.expm1, np.expm1, HYPERBOLIC, EASY),
    "log1p": Tried(
        within(mp.log1p, -1, mp.inf),
        np.log1p,
        (sizes, uniform(-1.0, 1.0), uniform(-0.5, 3.0), near(0.0), near(-0.29), near(0.41)),
        (uniform(0.1, 10.0),),
    ),
    "log2": Tried(mp.log2, np.log2, (sizes, uniform(0.0, 4.0), near(1.0)), (uniform(0.1, 10.0),)),
    "log10": Tried(
        mp.log10, np.log10, (sizes, uniform(0.0, 4.0), near(1.0)), (uniform(0.1, 10.0),)
    ),
    "hypot": Tried(
        mp.hypot, np.hypot, (pairs(all_exponents), pairs(uniform(-1.0, 1.0))), (*EASY, *EASY)
    ),
    "erf": Tried(mp.erf, None, (all_exponents, *AROUND_ZERO, uniform(0.5, 1.5)), EASY),
    "normal_cdf": Tried(
        precise_normal_cdf, None, (*AROUND_ZERO, uniform(-38.0, 8.0), uniform(-3.0, 0.0)), EASY
    ),
    "gelu": Tried(
        lambda x: x * precise_normal_cdf(x),
        None,
        (*AROUND_ZERO, uniform(-38.0, 8.0), uniform(-3.0, 0.0)),
        EASY,
    ),
    "silu": Tried(
        precise_silu,
        lambda x: x * quick_sigmoid(x),
        # Below -744, where its size is below 1e-320, the sigmoid in it vanishes before it does.
        (above(all_exponents, -744.0), *AROUND_ZERO, uniform(-40.0, 0.0), uniform(-744.0, 40.0)),
        EASY,
    ),
    "elu": Tried(
        precise_elu,
        lambda x, y: np.where(x > 0, x, y * np.expm1(x)),
        (scaled(all_exponents), scaled(uniform(-5.0, 5.0)), scaled(uniform(-1.0, 0.0))),
        (*EASY, uniform(0.5, 2.0)),
    ),
    "logistic_pdf": Tried(
        precise_slope,
        quick_slope,
        (all_exponents, *AROUND_ZERO, DENORMAL, uniform(-40.0, 40.0)),
        EASY,
    ),
    "pow": Tried(
        mp.power,
        np.power,
        (powers(sizes), powers(uniform(0.5, 2.0)), powers(near_one), whole_powers),
        (uniform(0.1, 10.0), uniform(-4.0, 4.0)),
    ),
}


# ---- loops over arrays ---------------------------------------------------------------------


class Unfused(NumberBuilder):
    """A builder for a machine without fused multiply-add."""

    def muladd(self, x, y, z):
        return self.add(self.mul(x, y), z)


def kernels(chosen, lanes, *, exact=False, builder=NumberBuilder, strict=True):
    """Native loops by name, one for each operation; lanes must divide the arrays' length."""
    module = Module(exact)
    for op in chosen:
        write_loop(module, op, lanes, functools.partial(builder, strict=strict))
    library = llvm.compile(str(module))
    return {op.name: Kernel(library, f"loop_{op.name}") for op in chosen}


def write_loop(module, op, lanes, builder):
    """A function of three arrays of operands, one of results, and their length."""
    pointers = [Parameter(name, PTR) for name in ("x0", "x1", "x2", "y")]
    function = module.function(f"loop_{op.name}", [*pointers, Parameter("n", I64)])
    *arrays, results, n = function.parameters.values()
    b = builder(function, lanes)

    def chunk(i):
        first = function.imul(i, lanes)
        operands = [b.load(function.gep(x, first), align=8) for x in arrays[: op.arity]]
        b.store(op.emit(b, *operands), function.gep(results, first), align=8)

    function.for_range(function.isdiv(n, lanes), chunk)
    function.ret()


class Kernel:
    """A native loop over arrays. It keeps its library, for code lives as long as that."""

    def __init__(self, library, name):
        self.library = library
        kinds = [ctypes.c_void_p] * 4 + [ctypes.c_int64]
        self.go = ctypes.CFUNCTYPE(None, *kinds)(library.address(name))

    def __call__(self, *xs):
        """The array of results."""
        xs = [np.ascontiguousarray(x, dtype=float) for x in xs]
        y = np.empty_like(xs[0])
        self.go(*self.places(xs, y))
        return y

    def places(self, xs, y):
        """The arguments of `go`."""
        unused = [None] * (3 - len(xs))
        return [*(x.ctypes.data for x in xs), *unused, y.ctypes.data, y.size]


# ---- errors -----------------------------------------------------------------------------------


def ulps(found, true):
    """|found - true| in units of the last place, for arrays; `true` is of more digits."""
    with np.errstate(all="ignore"):
        rounded = true.astype(float)
        exponent = np.frexp(true)[1] - 1
        unit = np.ldexp(LONG(1), np.maximum(exponent, -1022) - 52)
        error = (np.abs(found.astype(LONG) - true) / unit).astype(float)
    same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
    finite = np.isfinite(found) & np.isfinite(rounded)
    return np.where(finite, error, np.where(same, 0.0, np.inf))


def precise_ulps(found, true):
    """The same for one number, by mpmath."""
    if not mp.isfinite(found) or not mp.isfinite(true) or true == 0:
        return 0.0 if found == true or (mp.isnan(found) and mp.isnan(true)) else mp.inf
    exponent = max(int(mp.floor(mp.log(abs(true), 2))), -1022)
    return float(abs(mpf(found) - true) / mpf(2) ** (exponent - 52))


def worst_error(name, run, rng, points):
    """(ulps, operands) where the function was worst."""
    tried = FUNCTIONS[name]
    worst = (0.0, ())
    for draw in tried.ranges:
        operands = draw(rng, points if tried.quick else min(points, SLOW))
        found = run(*operands)
        if tried.quick:
            with np.errstate(all="ignore"):
                errors = ulps(found, tried.quick(*[x.astype(LONG) for x in operands]))
        else:
            true = [tried.precise(*map(mpf, map(float, at))) for at in zip(*operands)]
            errors = np.array([precise_ulps(float(y), t) for y, t in zip(found, true)])
        for i in np.argsort(errors)[-RECHECKED:]:
            at = tuple(float(x[i]) for x in operands)
            error = errors[i]
            if np.isfinite(found[i]):
                error = precise_ulps(float(found[i]), tried.precise(*map(mpf, at)))
            worst = max(worst, (error, at))
    return worst


def print_errors(names, points, seed):
    print(
        f"| function | fused: worst error, ulp | at | apart: worst error, ulp | at |\n{'|---' * 5}|"
    )
    chosen = [ops.lookup(name) for name in names]
    fused, apart = (kernels(chosen, llvm.lanes(), builder=b) for b in (NumberBuilder, Unfused))
    for name in names:
        cells = []
        for run in (fused[name], apart[name]):
            error, at = worst_error(name, run, np.random.default_rng(seed), points)
            cells.append(f"{error:.2f} | {', '.join(map(repr, at))}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


# ---- speed ------------------------------------------------------------------------------------


def print_speed(names):
    lanes = llvm.lanes()
    chosen = [ops.lookup(name) for name in names]
    columns = [
        kernels(chosen, lanes),
        kernels(chosen, 1),
        kernels(chosen, lanes, exact=True),
    ]
    print(f"| ns a number | {lanes} lanes | 1 lane | exact, {lanes} lanes |\n{'|---' * 4}|")
    for name in names:
        rng = np.random.default_rng(1)
        operands = [x for draw in FUNCTIONS[name].timed for x in draw(rng, 2048)]
        times = [min(timed(column[name], operands) for _ in range(50)) for column in columns]
        print(f"| {name} | {' | '.join(f'{t:.2f}' for t in times)} |", flush=True)


def timed(run, operands):
    repeats, y = 20, np.empty_like(operands[0])
    places = run.places(operands, y)
    start = time.perf_counter()
    for _ in range(repeats):
        run.go(*places)
    return (time.perf_counter() - start) / repeats / y.size * 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=2_000_000, help="from each range")
    parser.add_argument("--functions", default=",".join(FUNCTIONS), help="with commas between")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", action="store_true")
    given = parser.parse_args()
    names = given.functions.split(",")
    if given.speed:
        print_speed(names)
    elif np.finfo(LONG).nmant < 63:
        parser.error("a long double of 64 digits is needed, and this machine's has fewer")
    else:
        print_errors(names, given.points - given.points % llvm.lanes(), given.seed)


if __name__ == "__main__":
    main()
