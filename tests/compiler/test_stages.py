"""Every stage of the compiler computes the bits of the eager engine, and is verified."""

import dataclasses
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stages import check

import talweg as tw
from talweg.compiler import explain
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir import loop_program, loop_verifier, tape
from talweg.compiler.ir.affine import Affine
from talweg.compiler.passes.find_loops import find_loops
from talweg.errors import CompilerError, TraceError

# ---- ordinary programs ---------------------------------------------------------------------


def network_loss(model, xs, ys):
    return sum((p - y) ** 2 for p, y in zip([model(x) for x in xs], ys, strict=True))


def matrix_product(a, b):
    rows = [
        [sum(x * y for x, y in zip(r, c, strict=True)) for c in zip(*b, strict=True)] for r in a
    ]
    return sum(x * x for row in rows for x in row)


def recurrence(w, xs):
    h = 0.0
    for x in xs:
        h = tw.tanh(w[0] * h + w[1] * x + w[2])
    return h


def horner(coefficients, x):
    total = coefficients[0]
    for c in coefficients[1:]:
        total = total * x + c
    return total


def softmax(zs):
    powers = [tw.exp(z) for z in zs]
    total = sum(powers)
    return sum(p / total * z for p, z in zip(powers, zs, strict=True))


def prefix_sums(xs):
    total, sums = 0.0, []
    for x in xs:
        total = total + x * x
        sums.append(total)
    return sum(s * s for s in sums)


def triangular(a):
    total = 0.0
    for i in range(len(a)):
        row = 0.0
        for j in range(i + 1):
            row = row + a[i] * a[j]
        total = total + row * row
    return total


def convolution(xs, kernel):
    n = len(kernel)
    return sum(sum(xs[i + j] * kernel[j] for j in range(n)) ** 2 for i in range(len(xs) - n + 1))


def filtered(observed):
    mean, wrong = 0.0, 0.0
    for k, y in enumerate(observed):
        wrong = wrong + (y - mean) ** 2 * (1.0 / (k + 1))  # a constant that varies
        mean = mean + (y - mean) * 0.3
    return wrong


def monte_carlo(mu, sigma):
    rng = random.Random(0)
    return sum(tw.max(mu + sigma * rng.gauss(0.0, 1.0) - 1.0, 0.0) for _ in range(30)) / 30.0


def pendulum(angle, speed):
    for _ in range(20):
        speed = speed - 0.1 * tw.sin(angle)
        angle = angle + 0.1 * speed
    return angle, speed


def irregular(xs):
    rng = random.Random(1)
    total = xs[0]
    for _ in range(60):
        total = rng.choice([tw.sin, tw.cos, tw.tanh])(total) * rng.choice(xs)
    return total


GALLERY = {
    "matrix product": (matrix_product, ([[0.1 * i + j for j in range(5)] for i in range(4)],
                                        [[0.2 * i - j for j in range(6)] for i in range(5)]), 13),
    "recurrence": (recurrence, ([0.1, 0.2, 0.3], [0.1 * i for i in range(50)]), 16),
    "Horner": (horner, ([0.1 * i for i in range(20)], 1.5), 5),
    "softmax": (softmax, ([0.1 * i for i in range(12)],), 14),
    "prefix sums": (prefix_sums, ([0.1 * i for i in range(30)],), 11),
    "convolution": (convolution, ([0.1 * i for i in range(30)], [0.3, 0.2, 0.5, -1.0]), 15),
    "filter": (filtered, ([math.sin(i) for i in range(40)],), 20),
    "Monte Carlo": (monte_carlo, (0.5, 1.5), 14),
    "pendulum": (pendulum, (1.0, 0.0), 11),
}  # fmt: skip


@pytest.mark.parametrize("name", GALLERY)
def test_gallery_rolls(name):
    f, args, most = GALLERY[name]
    program = check(f, *args, native=True)
    assert program.size <= most
    assert program.loops >= 1
    assert "t[" not in explain.text(program)


def lagged(xs):
    """Reads the old state after the new one is computed."""
    state, total = 0.1 * xs[0], 0.0
    for x in xs:
        new = tw.tanh(state) * x
        total = total + new * state
        state = new
    return total


def fibonacci(a, b):
    for _ in range(12):
        a, b = b, a * 0.5 + b
    return a, b


def leapfrog(x, v):
    total = 0.0
    for _ in range(9):
        old_x, old_v = x, v
        x = old_x + 0.1 * old_v
        v = old_v - 0.1 * old_x * x
        total = total + old_x * v - old_v * x
    return total


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lagged, ([0.3 + 0.1 * i for i in range(10)],)),
        (fibonacci, (0.5, 0.7)),
        (leapfrog, (1.0, 0.0)),
    ],
)
def test_the_text_distinguishes_old_values_from_new_ones(f, args):
    check(f, *args)


@pytest.mark.parametrize(
    ("f", "args"), [(irregular, ([0.1, 0.2, 0.3],)), (triangular, ([0.5] * 9,))]
)
def test_programs_without_a_simple_pattern_are_right(f, args):
    check(f, *args)


@pytest.mark.slow
def test_the_loops_of_a_network_are_recovered():
    rng = random.Random(0)
    xs = [[rng.random(), rng.random()] for _ in range(100)]
    model = tw.MLP(2, [16, 16, 1], rng=rng)
    program = check(network_loss, model, xs, [1.0] * 100)
    assert len(program.tape) == 64_400
    assert program.size == 27
    assert program.loops == 6


@pytest.mark.parametrize("sizes", [[1], [2, 1], [4, 4, 1], [5, 3], [3, 3, 3, 3], [1, 1, 1]])
@pytest.mark.parametrize("samples", [1, 2, 3, 7])
def test_networks_of_every_shape(sizes, samples):
    rng = random.Random(3)
    xs = [[rng.random() for _ in range(3)] for _ in range(samples)]

    def loss(model, rows):
        outs = [model(x) for x in rows]
        return sum(p**2 for out in outs for p in (out if isinstance(out, list) else [out]))

    check(loss, tw.MLP(3, sizes, rng=rng), xs)


def test_loops_are_rotated_to_where_nothing_is_carried():
    """Loops over neurons start with the product and stop with tanh, not the other way round."""
    model = tw.MLP(4, [8, 8, 1], rng=random.Random(0))
    rows = [[0.1 * i * j for j in range(4)] for i in range(10)]
    text = explain.text(check(lambda m, xs: sum(m(x) for x in xs), model, rows))
    assert text.count("for i in range(9):\n    for j in range(8):\n        s") == 1
    assert text.count("        for k in range(7):\n            s") == 1


# ---- random programs -----------------------------------------------------------------------


@st.composite
def programs(draw):
    """A random program of nested loops over two lists, with shared and scattered values."""
    n, m = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    seed = draw(st.integers(0, 10**6))
    depth = draw(st.integers(1, 3))

    def program(xs, ys):
        rng = random.Random(seed)
        pool = [*xs, *ys]

        def expression(values, size):
            out = rng.choice(values)
            for _ in range(size):
                other = rng.choice([*values, 0.5, float(rng.randrange(3))])
                operation = rng.choice(
                    [tw.ops.add, tw.ops.sub, tw.ops.mul, tw.ops.max, tw.ops.tanh, tw.ops.sin]
                )
                out = operation(out, other) if operation.arity == 2 else operation(out)
            return out

        def block(level, values, outer):
            state = rng.getstate()
            total = values[0]
            for i in range(rng.choice([1, 2, 3, 5, outer + 1])):
                rng.setstate(state)  # the same body in every iteration
                rng.random()
                total = expression(
                    [total, xs[i % n], ys[(i + outer) % m], *values], rng.randrange(1, 5)
                )
                if level and rng.random() < 0.7:
                    total = total + block(level - 1, [total, xs[i % n]], i)
                if rng.random() < 0.2:
                    pool.append(total)
            return total

        result = block(depth, [xs[0], ys[0]], 0)
        return result, rng.choice(pool) + result

    xs = draw(st.lists(st.floats(-2.0, 2.0), min_size=n, max_size=n))
    ys = draw(st.lists(st.floats(-2.0, 2.0), min_size=m, max_size=m))
    return program, xs, ys


@settings(max_examples=150)
@given(programs())
def test_random_programs(case):
    program, xs, ys = case
    check(program, xs, ys)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)), max_size=60))
def test_random_tapes(rows):
    """Operations on few numbers: many accidental patterns."""
    binary = [tw.ops.add, tw.ops.mul, tw.ops.sub]

    def program(xs):
        made = list(xs)
        for kind, i, j in rows:
            made.append(binary[kind](made[-1 - i], made[-1 - j]))
        return tw.tanh(made[-1])

    check(program, [0.5, -0.25, 1.5, 0.75])


# ---- tracing -------------------------------------------------------------------------------


def test_parameters_are_captured_or_given_and_numbered_by_age():
    b, a = tw.Value(2.0), tw.Value(3.0)
    traced = trace(lambda v, x: v * x + b, a, 5.0)
    assert traced.parameters == [b, a]
    assert traced.inputs == [5.0]
    assert str(traced.tape) == "t0 = mul w1 x0\nt1 = add t0 w0\nreturn t1"


def test_numbers_are_found_in_every_kind_of_container():
    @dataclasses.dataclass
    class Point:
        x: float
        name: str

    def f(point, table, pair, array, count):
        return point.x + table["a"][0] + pair[1] + array[1][0] * count

    traced = trace(
        f, Point(1.0, "p"), {"a": [2.0], "b": "text"}, (3, 4.0), np.array([[5.0], [6.0]]), 7
    )
    assert traced.inputs == [1.0, 2.0, 4.0, 5.0, 6.0]
    assert traced.output.data == 1.0 + 2.0 + 4.0 + 42.0


def test_what_is_returned_untouched_is_an_input_or_a_parameter():
    w = tw.Value(2.0)
    assert str(trace(lambda x: [x, w], 1.0).tape) == "return x0 w0"


def test_numpy_scalars_are_inputs():
    assert trace(lambda x, y: x * y, np.float32(0.5), np.float64(3.0)).inputs == [0.5, 3.0]


def test_leaves_made_inside_are_constants():
    traced = trace(lambda x: x * tw.Value(3.0), 2.0)
    assert traced.tape.constants.tolist() == [3.0]
    assert traced.parameters == []


def test_where_chooses_in_a_trace():
    program = check(lambda x, y: tw.where(x < y, x * x, y) + tw.where(x >= y, 1.0, x), 1.0, 2.0)
    assert "where(x[0] < x[1]" in explain.text(program)


def test_an_operation_with_its_own_backward_is_refused():
    def f(x):
        out = tw.Value(x.data**3, (x,), "cube")
        out._backward = lambda: None
        return out * 2.0

    with pytest.raises(TraceError, match="cube"):
        trace(f, tw.Value(2.0))


# ---- verifiers -----------------------------------------------------------------------------


def lesson_tape():
    data = tw.lesson_data()
    return trace(network_loss, tw.MLP(3, [4, 4, 1]), data.inputs, data.targets).tape


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda t: t.index.__setitem__((5, 0), 400), "not computed yet|outside its space"),
        (lambda t: t.index.__setitem__((0, 0), -1), "outside its space"),
        (lambda t: t.space.__setitem__((6, 1), 3), "wrong number of operands"),
        (lambda t: t.space.__setitem__((3, 1), -1), "wrong number of operands"),
        (lambda t: t.index.__setitem__((300, 0), 300), "not computed yet"),
    ],
)
def test_the_verifier_of_tapes_refuses_a_broken_tape(damage, words):
    broken = lesson_tape()
    damage(broken)
    with pytest.raises(CompilerError, match=words):
        tape.verify(broken)


def test_the_verifier_of_loops_refuses_every_wrong_number():
    program = find_loops(lesson_tape())
    nodes = [
        (node, around) for node, around in program.walk() if isinstance(node, loop_program.Loop)
    ]
    assert len(nodes) == 6
    for node, _ in nodes:
        original = node.count
        object.__setattr__(node, "count", Affine(original.base + 1, original.strides))
        with pytest.raises(CompilerError):
            loop_verifier.verify(program)
        object.__setattr__(node, "count", original)
    for node, around in program.walk():
        if isinstance(node, loop_program.Instruction) and around:
            original = node.operands
            first = original[0]
            strides = (first.index.strides[0] + 1, *first.index.strides[1:])
            wrong = loop_program.Reference(first.space, Affine(first.index.base, strides))
            object.__setattr__(node, "operands", (wrong, *original[1:]))
            with pytest.raises(CompilerError):
                loop_verifier.verify(program)
            object.__setattr__(node, "operands", original)
    loop_verifier.verify(program)


# ---- the text ------------------------------------------------------------------------------

LESSON = """\
# 304 operations, written as 29 in 6 loops
# w: 41 parameters, oldest first; x: 16 inputs, in order
for i in range(4):
    for j in range(4):
        a[i,j] = tanh(w[4*j+3] + w[4*j]*x[3*i] + w[4*j+1]*x[3*i+1] + w[4*j+2]*x[3*i+2])
    for j in range(4):
        s = w[5*j+20] + w[5*j+16]*a[i,0]
        for k in range(3):
            s += w[5*j+k+17]*a[i,k+1]
        b[i,j] = tanh(s)
    s2 = w[40] + w[36]*b[i,0]
    for j in range(3):
        s2 += w[j+37]*b[i,j+1]
    d[i] = tanh(s2)
s3 = 0 + (d[0] - x[12])**2
for i in range(3):
    s3 += (d[i+1] - x[i+13])**2
return s3"""


def test_the_lesson_s_text():
    data = tw.lesson_data()
    model = tw.MLP(3, [4, 4, 1])
    assert tw.explain(network_loss, model, data.inputs, data.targets) == LESSON
