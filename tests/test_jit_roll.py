"""Loops are found where there are some, and a search that leads nowhere ends soon.

The oracle is the tape itself: whatever was found, written out instruction by instruction
here (not by `loops.verify`), must be the tape to the last index.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import talweg as tw
from talweg.compiler import explain, loops
from talweg.compiler.compiled import Compiled
from talweg.compiler.roll import roll, roll_within
from talweg.compiler.trace import trace

XS = [0.1 * i for i in range(20)]


def written_out(nodes, point, lines):
    """The instructions of nodes, one by one, as (operation, ((space, index), ...))."""
    for node in nodes:
        if isinstance(node, loops.Loop):
            for i in range(node.count.at(point)):
                written_out(node.body, (*point, i), lines)
        else:
            operands = [(x.space, x.index.at(point)) for x in node.operands]
            if node.result is not None:
                assert node.result.at(point) == len(lines)
            lines.append((node.op.name, tuple(operands)))
    return lines


def on_the_tape(tape):
    rows = zip(tape.code.tolist(), tape.space.tolist(), tape.index.tolist(), strict=True)
    return [
        (
            tape.operations[code].name,
            tuple([(tape.spaces[s], k) for s, k in zip(space, index, strict=True) if s != -1]),
        )
        for code, space, index in rows
    ]


def shown(program):
    return explain.text(program).split("\n")


def rolled(f, *args):
    """The program of f, after comparing it with its tape."""
    tape = trace(f, *args).tape
    program = loops.program(tape)
    assert written_out(program.nodes, (), []) == on_the_tape(tape)
    return program


# ---- mixtures of regular and irregular parts -----------------------------------------------


def irregular_part(rng, xs, total, size):
    """Operations without any pattern."""
    pool = [*xs, total]
    for _ in range(size):
        function = rng.choice([tw.sin, tw.cos, tw.tanh])
        pool.append(function(rng.choice(pool[-9:])) * rng.choice(pool[-9:]))
    return pool[-1]


def regular_part(rng, xs, total, size):
    """Two nested loops over the inputs."""
    inner = rng.randrange(1, 6)
    for i in range(size):
        row = total
        for j in range(inner):
            row = row + xs[i % 10] * xs[j + 3]
        total = tw.tanh(row)
    return total


def triangle(rng, xs, total, size):
    """A loop whose trip count grows."""
    for i in range(min(size, 12)):
        for j in range(i):
            total = total + xs[i] * xs[j]
    return total


def long_body(rng, xs, total, size):
    """A loop whose body has no pattern."""
    picks = [(rng.choice([tw.sin, tw.cos, tw.exp]), rng.choice(xs)) for _ in range(size)]
    for _ in range(6):
        for function, x in picks:
            total = function(total) * x
    return total


PARTS = [irregular_part, regular_part, triangle, long_body]


@st.composite
def mixtures(draw):
    """A program that is regular here and irregular there."""
    kinds = draw(st.lists(st.tuples(st.sampled_from(PARTS), st.integers(1, 40)), max_size=6))
    seed = draw(st.integers(0, 10**6))

    def program(xs):
        rng = random.Random(seed)
        total = xs[0] * xs[1]
        for part, size in kinds:
            total = part(rng, xs, total, size)
        return total

    return program


@settings(max_examples=100)
@given(mixtures())
def test_what_was_found_is_the_tape(program):
    rolled(program, XS)


@settings(max_examples=100)
@given(mixtures(), st.integers(1, 200))
def test_giving_up_loses_no_short_program_and_finds_no_other(program, longest):
    tape = trace(program, XS).tape
    whole = loops.program(tape)
    found = loops.program_within(tape, longest)
    assert (found is not None) == (whole.size <= longest)
    if found is not None:
        assert shown(found) == shown(whole)


@settings(max_examples=50)
@given(mixtures(), st.integers(0, 300))
def test_giving_up_is_repeatable(program, limit):
    tape = trace(program, XS).tape
    first, second = roll_within(tape, limit), roll_within(tape, limit)
    assert (first is None) == (second is None)
    if first is not None:
        assert first == second == roll(tape)
        assert len(first) <= limit


# ---- known cases ---------------------------------------------------------------------------


def chain(xs):
    """One loop, and the operation before it."""
    total = xs[0] * xs[1]
    for _ in range(50):
        total = tw.tanh(total)
    return total


def nest(xs):
    """Three loops, one in the other."""
    total = xs[0] * xs[1]
    for i in range(5):
        for j in range(6):
            for k in range(7):
                total = total * xs[k] + xs[j]
            total = tw.tanh(total)
        total = tw.sin(total) * xs[i]
    return total


def one_after_the_other(xs):
    total = xs[0] * xs[1]
    for function in (tw.sin, tw.cos, tw.tanh, tw.exp):
        for _ in range(10):
            total = function(total)
    return total


def twice(xs):
    """Two iterations are no loop."""
    return tw.tanh(tw.tanh(xs[0] * xs[1]))


@pytest.mark.parametrize(
    ("f", "size", "count"),
    [(chain, 3, 1), (nest, 9, 3), (one_after_the_other, 9, 4), (twice, 3, 0)],
)
def test_as_many_loops_as_were_written(f, size, count):
    program = rolled(f, XS)
    assert (program.size, program.loops) == (size, count)


@pytest.mark.parametrize("order", [1, -1])
def test_a_long_loop_beside_an_irregular_part_is_found(order):
    """What comes first, the part that rolls or the part that does not, makes no difference."""
    parts = [(irregular_part, 150), (regular_part, 200)][::order]

    def program(xs):
        rng = random.Random(4)
        total = xs[0] * xs[1]
        for part, size in parts:
            total = part(rng, xs, total, size)
        return total

    found = rolled(program, XS)
    assert found.loops >= 1
    assert found.size < len(found.tape) / 2
    assert loops.program_within(found.tape, found.size) is not None
    assert loops.program_within(found.tape, found.size - 1) is None


def test_a_long_body_needs_a_tall_stack_for_a_while():
    """Nothing folds before the third iteration ends: three bodies lie there unfolded."""
    body = [(tw.sin, 3), (tw.cos, 1), (tw.sin, 4), (tw.tanh, 1), (tw.exp, 5), (tw.cos, 9)]

    def program(xs):
        total = xs[0] * xs[1]
        for _ in range(8):
            for function, k in body:
                total = function(total) * xs[k]
        return total

    found = rolled(program, XS)
    assert (found.size, found.loops) == (14, 1)  # the first product, the loop, its body of 12
    assert roll_within(found.tape, 2 * 12) is None
    assert roll_within(found.tape, 3 * 14) is not None
    assert loops.program_within(found.tape, 14) is not None
    assert loops.program_within(found.tape, 13) is None


@pytest.mark.parametrize("limit", [0, 1, 7, 100])
def test_reading_stops_where_the_stack_is_too_tall(limit):
    tape = trace(lambda xs: irregular_part(random.Random(1), xs, xs[0], 100), XS).tape
    assert len(tape) > limit
    assert roll_within(tape, limit) is None
    assert len(roll_within(tape, len(tape))) <= len(tape)


def test_an_empty_tape_has_no_loops():
    tape = trace(lambda xs: xs[0], XS).tape
    assert roll(tape) == roll_within(tape, 0) == []
    assert loops.program(tape).size == 0


def test_a_long_program_without_pattern_is_a_table_with_the_right_numbers():
    def program(xs):
        rng = random.Random(11)
        made = [x * 1.0 for x in xs]
        for _ in range(7_000):
            function = rng.choice([tw.sin, tw.cos, tw.tanh])
            made.append(function(rng.choice(made[-40:])) * rng.choice(made[-20:]))
        return sum(made[-40:])

    traced = trace(program, XS)
    assert len(traced.tape) > 10_000  # more than it reads before it gives up
    compiled = Compiled(traced.tape, exact=True)
    assert compiled.code is None
    assert compiled.value([], traced.inputs) == (traced.output.data,)
