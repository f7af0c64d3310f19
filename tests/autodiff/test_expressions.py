"""Random expressions, shared subexpressions and all, against dual numbers in 30 digits.

An expression is a list of instructions, each of which may use any earlier result. It runs
three times: on Values, which go backward; on Values, for second derivatives; and on `Dual`,
which goes forward with mpmath and shares no code with talweg.
"""

import itertools
import math

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from talweg import ops
from talweg.autodiff.higher_order import gradients
from talweg.gradcheck import gradcheck
from talweg.value import Value

# ---- the oracle: forward mode ----------------------------------------------------------------


class Dual:
    """A number with its derivatives by every input; `size` sums |contributions| to them."""

    def __init__(self, x, slopes, size):
        self.x, self.slopes, self.size = x, slopes, size


def chain(x, *parts):
    """A result x, and for each operand the derivative by it."""
    count = len(parts[0][1].slopes)
    slopes = [sum(d * operand.slopes[i] for d, operand in parts) for i in range(count)]
    return Dual(x, slopes, sum(abs(d) * operand.size for d, operand in parts))


def dual_sigmoid(a):
    s = 1 / (1 + mp.exp(-a.x))
    return chain(s, (s * (1 - s), a))


def dual_pow(a, b):
    out = a.x**b.x
    return chain(out, (b.x * out / a.x, a), (mp.log(a.x) * out, b))


def dual_silu(a):
    s = 1 / (1 + mp.exp(-a.x))
    return chain(a.x * s, (s * (1 + a.x * (1 - s)), a))


DUAL = {
    "add": lambda a, b: chain(a.x + b.x, (1, a), (1, b)),
    "sub": lambda a, b: chain(a.x - b.x, (1, a), (-1, b)),
    "mul": lambda a, b: chain(a.x * b.x, (b.x, a), (a.x, b)),
    "div": lambda a, b: chain(a.x / b.x, (1 / b.x, a), (-a.x / b.x**2, b)),
    "pow": dual_pow,
    "neg": lambda a: chain(-a.x, (-1, a)),
    "exp": lambda a: chain(mp.exp(a.x), (mp.exp(a.x), a)),
    "log": lambda a: chain(mp.log(a.x), (1 / a.x, a)),
    "sqrt": lambda a: chain(mp.sqrt(a.x), (1 / (2 * mp.sqrt(a.x)), a)),
    "sin": lambda a: chain(mp.sin(a.x), (mp.cos(a.x), a)),
    "cos": lambda a: chain(mp.cos(a.x), (-mp.sin(a.x), a)),
    "tanh": lambda a: chain(mp.tanh(a.x), (mp.sech(a.x) ** 2, a)),
    "sigmoid": dual_sigmoid,
    "softplus": lambda a: chain(mp.log1p(mp.exp(a.x)), (1 / (1 + mp.exp(-a.x)), a)),
    "tan": lambda a: chain(mp.tan(a.x), (1 / mp.cos(a.x) ** 2, a)),
    "atan": lambda a: chain(mp.atan(a.x), (1 / (1 + a.x**2), a)),
    "sinh": lambda a: chain(mp.sinh(a.x), (mp.cosh(a.x), a)),
    "cosh": lambda a: chain(mp.cosh(a.x), (mp.sinh(a.x), a)),
    "log1p": lambda a: chain(mp.log1p(a.x), (1 / (1 + a.x), a)),
    "expm1": lambda a: chain(mp.expm1(a.x), (mp.exp(a.x), a)),
    "log2": lambda a: chain(mp.log(a.x, 2), (1 / (a.x * mp.log(2)), a)),
    "log10": lambda a: chain(mp.log10(a.x), (1 / (a.x * mp.log(10)), a)),
    "erf": lambda a: chain(mp.erf(a.x), (2 / mp.sqrt(mp.pi) * mp.exp(-(a.x**2)), a)),
    "normal_cdf": lambda a: chain(mp.ncdf(a.x), (mp.npdf(a.x), a)),
    "gelu": lambda a: chain(a.x * mp.ncdf(a.x), (mp.ncdf(a.x) + a.x * mp.npdf(a.x), a)),
    "silu": dual_silu,
}


# ---- random programs -------------------------------------------------------------------------

# Operations that need a positive operand, and which one.
POSITIVE_OPERAND = {"log": 0, "sqrt": 0, "pow": 0, "div": 1, "log1p": 0, "log2": 0, "log10": 0}

# Operations that grow so fast, or have poles: their operand is a sine.
BOUNDED_OPERAND = ("exp", "expm1", "sinh", "cosh", "tan")


@st.composite
def programs(draw, longest=14):
    """Inputs, and instructions (operation, numbers of its operands)."""
    inputs = draw(st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=4))
    count = len(inputs)
    instructions = []
    for _ in range(draw(st.integers(1, longest))):
        name = draw(st.sampled_from(list(DUAL)))
        operands = [draw(st.integers(0, count - 1)) for _ in range(ops.REGISTRY[name].arity)]
        instructions.append((name, operands))
        count += 1
    return inputs, instructions


def run(instructions, values, table, constant):
    """The sum of all results, so that none is unused."""
    add, mul = table["add"], table["mul"]
    values = list(values)
    for name, operands in instructions:
        x = [values[i] for i in operands]
        if name in POSITIVE_OPERAND:
            k = POSITIVE_OPERAND[name]
            x[k] = add(mul(x[k], x[k]), constant(0.5))
        if name in BOUNDED_OPERAND:
            x[0] = table["sin"](x[0])
        values.append(table[name](*x))
    total = values[0]
    for v in values[1:]:
        total = add(total, v)
    return total


def on_values(instructions, inputs):
    return run(instructions, inputs, ops.REGISTRY, Value)


def on_duals(instructions, inputs):
    count = len(inputs)
    duals = [
        Dual(mpf(x), [mpf(i == k) for k in range(count)], mpf(1)) for i, x in enumerate(inputs)
    ]
    zeros = [mpf(0)] * count
    return run(instructions, duals, DUAL, lambda c: Dual(mpf(c), zeros, mpf(0)))


def bits(numbers):
    return [float(x + 0.0).hex() for x in numbers]  # + 0.0: -0.0 is as good as 0.0


# ---- the properties --------------------------------------------------------------------------


def test_the_oracle_has_every_smooth_operation():
    smooth = {name for name, op in ops.REGISTRY.items() if not op.not_smooth}
    assert smooth - set(DUAL) == set()


@settings(max_examples=300)
@given(programs())
def test_backward_agrees_with_forward_mode(program):
    inputs, instructions = program
    with mp.workdps(30):
        exact = on_duals(instructions, inputs)
        # Beyond this size rounding errors, not derivatives, are compared.
        assume(exact.size < 1e4)
        values = [Value(x) for x in inputs]
        result = on_values(instructions, values)
        result.backward()
        assert abs(result.data - exact.x) <= 1e-10 * max(1, abs(exact.x), exact.size)
        for v, slope in zip(values, exact.slopes, strict=True):
            assert abs(v.grad - slope) <= 1e-9 * max(1, exact.size**2 / 100)


@settings(max_examples=200)
@given(programs())
def test_gradients_equal_backward_to_the_bit(program):
    inputs, instructions = program
    values = [Value(x) for x in inputs]
    result = on_values(instructions, values)
    slopes = gradients(result, values)
    result.backward()
    assert bits(g.data for g in slopes) == bits(v.grad for v in values)


@settings(max_examples=100)
@given(programs())
def test_backward_is_repeatable_and_restarts(program):
    inputs, instructions = program
    values = [Value(x) for x in inputs]
    result = on_values(instructions, values)
    result.backward()
    first = bits(v.grad for v in values)
    for v in values:
        v.grad = 0.0
    result.backward()
    assert bits(v.grad for v in values) == first


@settings(max_examples=60)
@given(programs(longest=6))
def test_second_derivatives_are_symmetric_and_agree_with_differences(program):
    inputs, instructions = program
    with mp.workdps(30):
        assume(on_duals(instructions, inputs).size < 100)
        values = [Value(x) for x in inputs]
        slopes = gradients(on_values(instructions, values), values)
        hessian = [[h.data for h in gradients(g, values)] for g in slopes]

        step = mpf(10) ** -8
        moves = []
        for k in range(len(inputs)):
            up, down = (
                [mpf(x) + s * (i == k) for i, x in enumerate(inputs)] for s in (step, -step)
            )
            a, b = on_duals(instructions, up), on_duals(instructions, down)
            moves.append([(p - q) / (2 * step) for p, q in zip(a.slopes, b.slopes, strict=True)])
        scale = max([1.0, *(abs(h) for row in hessian for h in row)])
        for i, k in itertools.product(range(len(inputs)), repeat=2):
            assert math.isclose(hessian[i][k], hessian[k][i], rel_tol=1e-9, abs_tol=1e-9 * scale)
            assert abs(hessian[i][k] - moves[k][i]) <= 1e-8 * scale


@settings(max_examples=40)
@given(programs(longest=6))
def test_gradcheck_accepts_right_expressions(program):
    inputs, instructions = program
    with mp.workdps(30):
        assume(on_duals(instructions, inputs).size < 100)
    report = gradcheck(lambda values: on_values(instructions, values), inputs)
    assert report.checked == len(inputs)
