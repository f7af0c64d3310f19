"""Loops are found where there are some, and a search without success stops early."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import XS, irregular_part, mixtures, regular_part, rolled

import talweg as tw
from talweg.compiler import explain, pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.find_loops import find_loops, find_loops_within
from talweg.compiler.passes.roll import roll, roll_within


def shown(program):
    return explain.text(program).split("\n")


@pytest.mark.slow
@settings(max_examples=100)
@given(mixtures())
def test_the_loops_expand_to_the_tape(program):
    rolled(program, XS)


@settings(max_examples=100)
@given(mixtures(), st.integers(1, 200))
def test_the_limit_loses_no_short_program_and_finds_no_other(program, longest):
    tape = trace(program, XS).tape
    unlimited = find_loops(tape)
    found = find_loops_within(tape, longest)
    assert (found is not None) == (unlimited.size <= longest)
    if found is not None:
        assert shown(found) == shown(unlimited)


@settings(max_examples=50)
@given(mixtures(), st.integers(0, 300))
def test_stopping_at_the_limit_is_deterministic(program, limit):
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


def nested(xs):
    """Three nested loops."""
    total = xs[0] * xs[1]
    for i in range(5):
        for j in range(6):
            for k in range(7):
                total = total * xs[k] + xs[j]
            total = tw.tanh(total)
        total = tw.sin(total) * xs[i]
    return total


def consecutive(xs):
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
    [(chain, 3, 1), (nested, 9, 3), (consecutive, 9, 4), (twice, 3, 0)],
)
def test_as_many_loops_as_in_the_source(f, size, count):
    program = rolled(f, XS)
    assert (program.size, program.loops) == (size, count)


@pytest.mark.parametrize("order", [1, -1])
def test_a_long_loop_next_to_an_irregular_part_is_found(order):
    """The order of the part that rolls and the part that does not makes no difference."""
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
    assert find_loops_within(found.tape, found.size) is not None
    assert find_loops_within(found.tape, found.size - 1) is None


def test_a_long_body_needs_a_high_stack_temporarily():
    """Nothing folds before the third iteration is complete: three bodies are on the stack."""
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
    assert find_loops_within(found.tape, 14) is not None
    assert find_loops_within(found.tape, 13) is None


@pytest.mark.parametrize("limit", [0, 1, 7, 100])
def test_reading_stops_where_the_stack_is_too_high(limit):
    tape = trace(lambda xs: irregular_part(random.Random(1), xs, xs[0], 100), XS).tape
    assert len(tape) > limit
    assert roll_within(tape, limit) is None
    assert len(roll_within(tape, len(tape))) <= len(tape)


def test_an_empty_tape_has_no_loops():
    tape = trace(lambda xs: xs[0], XS).tape
    assert roll(tape) == roll_within(tape, 0) == []
    assert find_loops(tape).size == 0


def test_a_long_program_without_pattern_runs_as_a_table_with_the_right_numbers():
    def program(xs):
        rng = random.Random(11)
        made = [x * 1.0 for x in xs]
        for _ in range(7_000):
            function = rng.choice([tw.sin, tw.cos, tw.tanh])
            made.append(function(rng.choice(made[-40:])) * rng.choice(made[-20:]))
        return sum(made[-40:])

    traced = trace(program, XS)
    assert len(traced.tape) > 10_000  # more than is read before the search stops
    compiled = pipeline.executable(traced.tape, exact=True)
    assert compiled.scheduled is None
    assert compiled.value([], traced.inputs) == (traced.output.data,)


def butterflies(xs):
    """A transform by recursion: two halves, then a loop over both."""
    if len(xs) == 1:
        return [xs[0] * 0.5]
    a, b = butterflies(xs[0::2]), butterflies(xs[1::2])
    twiddled = [x * (0.1 * k) for k, x in enumerate(b)]
    return [x + y for x, y in zip(a, twiddled, strict=True)] + [
        x - y for x, y in zip(a, twiddled, strict=True)
    ]


def attention(xs):
    """Every position reads all positions before it."""
    keys, total = [], xs[0]
    for x in xs:
        keys.append([x * xs[j] for j in range(4)])
        logits = [sum(a * b for a, b in zip(keys[-1], key, strict=True)) for key in keys]
        powers = [tw.exp(z) for z in logits]
        weight = sum(powers)
        total = total + sum(p / weight * key[0] for p, key in zip(powers, keys, strict=True))
    return total


@pytest.mark.parametrize(
    ("f", "xs", "size", "count"),
    [
        (butterflies, [0.1 * i for i in range(32)], 170, 21),
        (attention, [0.1 * i for i in range(12)], 716, 109),
    ],
)
def test_recursion_and_a_growing_past(f, xs, size, count):
    program = rolled(f, xs)
    assert program.size <= size < len(program.tape)
    assert program.loops >= count


def test_two_equal_segments_of_three_are_no_loop():
    """The third differs only in its middle; no part of it repeats the others three times."""
    functions = [tw.sin, tw.cos, tw.tanh, tw.exp]

    def program(xs):
        rng = random.Random(3)
        choices = [(rng.randrange(4), rng.choice(xs)) for _ in range(200)]
        total = xs[0]
        for segment in range(3):
            for j, (k, x) in enumerate(choices):
                total = functions[(k + (segment == 2 and j == 100)) % 4](total) * x
        return total

    found = rolled(program, XS)
    assert found.loops == 0
    assert found.size == len(found.tape) == 1200


@pytest.mark.parametrize(("species", "reactions"), [(9, 40), (30, 100)])
def test_a_long_body_of_few_shapes_is_found(species, reactions):
    """Its instructions share their shape with many others, so that their contexts must decide."""
    rng = random.Random(1)
    choices = [[rng.randrange(species) for _ in range(3)] for _ in range(reactions)]

    def program(rates, amounts):
        for _ in range(12):
            change = [0.0] * species
            for rate, (a, b, c) in zip(rates, choices, strict=True):
                speed = rate * amounts[a] * amounts[b]
                change[a] = change[a] - speed
                change[b] = change[b] - speed
                change[c] = change[c] + speed
            amounts = [x + 0.01 * d for x, d in zip(amounts, change, strict=True)]
        return sum(amounts)

    found = rolled(program, [0.1] * reactions, [0.1 * i for i in range(species)])
    assert found.loops >= 1
    assert found.size < len(found.tape) / 3  # the first iteration and the last are different


def test_a_loop_followed_by_a_long_irregular_part_three_times():
    """The third repetition stops far behind the last inner loop, and nothing follows it."""
    rng = random.Random(5)
    choices = [(rng.choice([tw.sin, tw.cos, tw.exp]), rng.randrange(20)) for _ in range(30)]

    def program(xs):
        total = xs[0] * xs[1]
        for _ in range(3):
            for _ in range(5):
                total = tw.tanh(total)
            for function, k in choices:
                total = function(total) * xs[k]
            total = tw.relu(total)
        return total

    found = rolled(program, XS)
    assert (found.size, found.loops) == (1 + 1 + 2 + 61, 2)


@pytest.mark.parametrize("followed", [False, True])
def test_a_long_loop_that_is_found_in_the_middle_of_its_body_is_rotated(followed):
    """The first iteration is like all others only at its end. One result is carried."""
    rng = random.Random(6)
    functions = [tw.sin, tw.cos, tw.exp, tw.tanh]
    choices = [rng.randrange(4) for _ in range(40)]

    def program(xs):
        total = xs[7] * xs[8]  # where the sum of an iteration before would be
        for i in range(6):
            row = xs[i]
            for j, k in enumerate(choices):
                row = functions[(k + (i == 0 and j < 10)) % 4](row)
            total = total + row
        return tw.tanh(total) if followed else total

    found = rolled(program, XS)
    first, loop, *rest = found.parts
    assert (first.start, first.stop) == (0, 42)
    assert (loop.count.base, len(loop.body)) == (5, 41)
    assert len(rest) == followed
