"""Instructions on lanes of numbers: what they compute with 1, 2, 4 and 8 lanes."""

import math

import numpy as np
import pytest
from native_functions import NativeFunction

from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.reductions import horizontal_sums
from talweg.compiler.codegen.types import DOUBLE, I64, PTR, Parameter

LANES = (1, 2, 4, 8)
X = np.array([1.5, -2.5, 0.0, math.nan, 3.0, -math.inf, 1e300, 0.1])
Y = np.array([1.5, 2.5, -0.0, 1.0, math.nan, math.inf, -1e300, 0.3])


def computed(lanes, of, *arrays, exact=False, strict=False):
    """The array whose vectors are `of(builder, *vectors)`, each of `lanes` numbers."""
    names = [f"x{k}" for k in range(len(arrays))]
    parameters = [Parameter(name, PTR) for name in (*names, "y")]
    f = Module(exact).function("f", [*parameters, Parameter("n", I64)])
    b = NumberBuilder(f, lanes, strict=strict)

    def vector(i):
        first = f.imul(i, lanes)
        operands = [b.load(f.gep(f.parameters[name], first), align=8) for name in names]
        b.store(of(b, *operands), f.gep(f.parameters["y"], first), align=8)

    f.for_range(f.parameters["n"], vector)
    f.ret()
    y = np.full(len(arrays[0]), 99.0)
    NativeFunction(f)(*arrays, y, len(y) // lanes)
    return y


def text_of(lanes, of, *, exact=False, strict=False):
    """The instructions that `of(builder, x, y)` appends."""
    f = Module(exact).function("f", [Parameter("x", DOUBLE), Parameter("y", DOUBLE)])
    of(NumberBuilder(f, lanes, strict=strict), *f.parameters.values())
    return [line.strip() for line in str(f).split("\n")[2:-1]]


def same(a, b):
    return np.array_equal(np.asarray(a, float).view(np.int64), np.asarray(b, float).view(np.int64))


# ---- text ---------------------------------------------------------------------------------------


def product_and_sum(b, x, y):
    b.contracted_add(b.mul(x, y), b.div(x, b.sub(x, b.add(x, y))))


def test_only_the_default_mode_lets_products_and_sums_be_fused():
    names = (
        "fmul {0}double %x, %y|fadd double %x, %y|fsub double %x, %.2|fdiv double %x, %.3|"
        "fadd {0}double %.1, %.4"
    )
    for exact, strict, flags in [
        (False, False, "contract "),
        (False, True, ""),
        (True, False, ""),
        (True, True, ""),
    ]:
        found = text_of(1, product_and_sum, exact=exact, strict=strict)
        assert [line.split(" = ")[1] for line in found] == names.format(flags).split("|")


def test_the_text_of_instructions_on_four_lanes():
    def body(b, x, y):
        v = b.broadcast(x)
        w = b.join([x, y, x, y])
        b.select(b.lt(v, w), b.constant(0.5), b.sqrt(w))

    half = "<double 0x3FE0000000000000, " + ", ".join(["double 0x3FE0000000000000"] * 3) + ">"
    assert text_of(4, body) == [
        "%.1 = insertelement <4 x double> poison, double %x, i64 0",
        "%.2 = shufflevector <4 x double> %.1, <4 x double> poison, <4 x i32> zeroinitializer",
        "%.3 = insertelement <4 x double> poison, double %x, i64 0",
        "%.4 = insertelement <4 x double> %.3, double %y, i64 1",
        "%.5 = insertelement <4 x double> %.4, double %x, i64 2",
        "%.6 = insertelement <4 x double> %.5, double %y, i64 3",
        "%.7 = fcmp olt <4 x double> %.2, %.6",
        "%.8 = call <4 x double> @llvm.sqrt.v4f64(<4 x double> %.6)",
        f"%.9 = select <4 x i1> %.7, <4 x double> {half}, <4 x double> %.8",
    ]


def test_one_lane_is_a_scalar():
    def body(b, x, _):
        assert b.broadcast(x) == b.join([x]) == b.lane(x, 0) == x
        assert b.horizontal_sum(x) == b.horizontal_max(x) == x

    assert text_of(1, body) == []


# ---- numbers ------------------------------------------------------------------------------------

ARITHMETIC = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
}  # fmt: skip


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name, lanes):
    found = computed(lanes, lambda b, x, y: getattr(b, name)(x, y), X, Y)
    with np.errstate(all="ignore"):
        expected = ARITHMETIC[name](X, Y)
    assert np.array_equal(found, expected, equal_nan=True)


UNARY = {"neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "round_even": np.round}


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_number(name, lanes):
    found = computed(lanes, lambda b, x: getattr(b, name)(x), X)
    with np.errstate(all="ignore"):
        expected = UNARY[name](X)
    assert np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize("lanes", LANES)
def test_a_fused_multiply_add_is_rounded_once(lanes):
    x = np.full(8, 1.0 + 2.0**-30)
    once, twice = 2.0**-29 + 2.0**-60, 2.0**-29
    found = computed(lanes, lambda b, x: b.fma(x, x, b.constant(-1.0)), x)
    assert found.tolist() == [once] * 8
    found = computed(lanes, lambda b, x: b.muladd(x, x, b.constant(-1.0)), x)
    assert set(found.tolist()) <= {once, twice}


# ---- masks --------------------------------------------------------------------------------------

COMPARISONS = {"lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal}


def as_number(b, mask):
    return b.select(mask, b.constant(1.0), b.constant(0.0))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name, lanes):
    found = computed(lanes, lambda b, x, y: as_number(b, getattr(b, name)(x, y)), X, Y)
    assert found.tolist() == COMPARISONS[name](X, Y).astype(float).tolist()


@pytest.mark.parametrize("lanes", LANES)
def test_the_mask_of_numbers_that_are_not_finite(lanes):
    found = computed(lanes, lambda b, x: as_number(b, b.not_finite(x)), Y)
    assert found.tolist() == (~np.isfinite(Y)).astype(float).tolist()


@pytest.mark.parametrize("lanes", LANES)
def test_operations_on_masks(lanes):
    x, y = [np.array(a, float) for a in ([0, 0, 1, 1] * 2, [0, 1, 0, 1] * 2)]

    def of(what):
        def body(b, x, y):
            half = b.constant(0.5)
            return as_number(b, what(b, b.lt(half, x), b.lt(half, y)))

        return computed(lanes, body, x, y).tolist()

    assert of(lambda b, m, n: b.mask_and(m, n)) == [0, 0, 0, 1] * 2
    assert of(lambda b, m, n: b.mask_or(m, n)) == [0, 1, 1, 1] * 2
    assert of(lambda b, m, n: b.mask_not(m)) == [1, 1, 0, 0] * 2
    assert of(lambda b, m, n: b.mask_or(b.mask_constant(False), n)) == [0, 1, 0, 1] * 2
    assert of(lambda b, m, n: b.mask_and(m, b.mask_constant(True))) == [0, 0, 1, 1] * 2


@pytest.mark.parametrize("lanes", LANES)
def test_whether_a_mask_holds_in_some_lane(lanes):
    def body(b, x):
        some = b.any(b.lt(b.constant(0.5), x))
        return b.broadcast(as_number(NumberBuilder(b.function), some))

    for k in range(8):
        found = computed(lanes, body, (np.arange(8) == k).astype(float))
        assert found.tolist() == [float(i // lanes == k // lanes) for i in range(8)]


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("first", [-3, 0, 2, 9])
def test_the_mask_of_lanes_below_a_count(lanes, first):
    found = computed(lanes, lambda b, _: as_number(b, b.lanes_below(first, 5)), X)
    assert found[:lanes].tolist() == [float(first + k < 5) for k in range(lanes)]


# ---- integers, one a lane -----------------------------------------------------------------------

INTEGERS = {
    "integer_add": np.add, "integer_sub": np.subtract, "integer_and": np.bitwise_and,
    "integer_or": np.bitwise_or, "integer_xor": np.bitwise_xor,
}  # fmt: skip


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", INTEGERS)
def test_arithmetic_of_the_bits_of_numbers(name, lanes):
    found = computed(
        lanes, lambda b, x, y: b.from_bits(getattr(b, name)(b.to_bits(x), b.to_bits(y))), X, Y
    )
    assert same(found, INTEGERS[name](X.view(np.int64), Y.view(np.int64)).view(float))


@pytest.mark.parametrize("lanes", LANES)
def test_shifts_and_odd_integers(lanes):
    numbers = X.view(np.int64)
    up = computed(lanes, lambda b, x: b.from_bits(b.shift_left(b.to_bits(x), 3)), X)
    down = computed(lanes, lambda b, x: b.from_bits(b.shift_right(b.to_bits(x), 3)), X)
    assert same(up, (numbers << 3).view(float))
    assert same(down, (numbers.view(np.uint64) >> np.uint64(3)).view(float))

    def odd(b, x):
        return as_number(b, b.is_odd(b.integer_add(b.to_bits(x), b.integer_constant(1))))

    assert computed(lanes, odd, X).tolist() == ((numbers + 1) % 2).astype(float).tolist()


# ---- lanes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", LANES)
def test_lanes_are_taken_out_and_joined_in_reverse(lanes):
    found = computed(
        lanes, lambda b, x: b.join([b.lane(x, lanes - 1 - k) for k in range(lanes)]), X
    )
    assert same(found, X.reshape(-1, lanes)[:, ::-1].reshape(-1))


@pytest.mark.parametrize("lanes", LANES[1:])
def test_a_shuffle_chooses_lanes_of_two_vectors(lanes):
    chosen = [(3 * k + 1) % (2 * lanes) for k in range(lanes)]
    found = computed(lanes, lambda b, x, y: b.shuffle(x, y, chosen), X, Y)
    pairs = np.concatenate([X.reshape(-1, lanes), Y.reshape(-1, lanes)], axis=1)
    assert same(found, pairs[:, chosen].reshape(-1))


@pytest.mark.parametrize("lanes", LANES)
def test_the_sum_and_the_maximum_of_all_lanes(lanes):
    x = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0])
    rows = x.reshape(-1, lanes)
    total = computed(lanes, lambda b, x: b.broadcast(b.horizontal_sum(x)), x)
    most = computed(lanes, lambda b, x: b.broadcast(b.horizontal_max(x)), x)
    assert total.tolist() == np.repeat(rows.sum(axis=1), lanes).tolist()
    assert most.tolist() == np.repeat(rows.max(axis=1), lanes).tolist()


@pytest.mark.parametrize("lanes", LANES[1:])
def test_the_sums_of_the_lanes_of_eight_vectors(lanes):
    f = Module().function("f", [Parameter("x", PTR), Parameter("y", PTR)])
    b = NumberBuilder(f, lanes)
    x, y = f.parameters.values()
    vectors = [b.load(f.gep(x, lanes * k), align=8) for k in range(8)]
    NumberBuilder(f, 8).store(horizontal_sums(f, vectors, lanes), y, align=8)
    f.ret()
    x, y = np.random.default_rng(1).integers(-99, 99, 8 * lanes).astype(float), np.zeros(8)
    NativeFunction(f)(x, y)
    assert y.tolist() == x.reshape(8, lanes).sum(axis=1).tolist()


# ---- the C library ------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", LANES)
def test_functions_of_the_c_library(lanes):
    x = np.array([0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 700.0])
    found = computed(lanes, lambda b, x: b.libm("exp", x), x)
    assert found.tolist() == [math.exp(a) for a in x]
    powers = computed(lanes, lambda b, x: b.libm("pow", x, b.constant(2.0)), x)
    assert powers.tolist() == [math.pow(a, 2.0) for a in x]


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("limit", [-1.0, 1.2, 99.0])
def test_a_function_of_the_c_library_where_a_mask_holds(lanes, limit):
    def body(b, x):
        return b.libm_where(b.lt(b.constant(limit), x), "exp", [x], b.neg(x))

    x = np.array([0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0])
    expected = [math.exp(a) if a > limit else -a for a in x]
    assert computed(lanes, body, x).tolist() == expected


def test_constants_are_known():
    f = Module().function("f", [Parameter("x", DOUBLE)])
    b = NumberBuilder(f, 4)
    assert b.known(b.constant(0.25)) == 0.25
    assert b.known(f.parameters["x"]) is None
    assert b.known(NumberBuilder(f).constant(0.5)) == 0.5  # constants belong to the module
