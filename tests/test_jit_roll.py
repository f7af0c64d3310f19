"""Loops are found where there are some, and a search that leads nowhere ends soon.

The oracle is the tape itself: whatever was found, written out instruction by instruction
here (not by `loops.verify`), must be the tape to the last index.
"""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import talweg as tw
from talweg.compiler import explain, loops
from talweg.compiler.compiled import Compiled
from talweg.compiler.evenly import CANDIDATES, Ends, fingerprints
from talweg.compiler.roll import roll, roll_within
from talweg.compiler.tape import shapes_of
from talweg.compiler.trace import trace
from talweg.errors import CompilerError

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


def butterflies(xs):
    """A transform by recursion: two halves, then a loop over both."""
    if len(xs) == 1:
        return [xs[0] * 0.5]
    a, b = butterflies(xs[0::2]), butterflies(xs[1::2])
    turned = [x * (0.1 * k) for k, x in enumerate(b)]
    return [x + y for x, y in zip(a, turned, strict=True)] + [
        x - y for x, y in zip(a, turned, strict=True)
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
        (butterflies, [0.1 * i for i in range(32)], 240, 22),
        (attention, [0.1 * i for i in range(12)], 240, 30),
    ],
)
def test_recursion_and_a_growing_past(f, xs, size, count):
    program = rolled(f, xs)
    assert program.size <= size
    assert program.loops >= count


def test_two_groups_of_three_are_no_loop():
    """The third differs in its middle only; no part of it repeats the others three times."""
    functions = [tw.sin, tw.cos, tw.tanh, tw.exp]

    def program(xs):
        rng = random.Random(3)
        picks = [(rng.randrange(4), rng.choice(xs)) for _ in range(200)]
        total = xs[0]
        for group in range(3):
            for j, (k, x) in enumerate(picks):
                total = functions[(k + (group == 2 and j == 100)) % 4](total) * x
        return total

    found = rolled(program, XS)
    assert found.loops == 0
    assert found.size == len(found.tape) == 1200


@pytest.mark.parametrize("reactions", [5, 40, 200])
def test_a_long_body_of_few_shapes_is_found(reactions):
    """Its instructions have the shape of many others in it, so that their contexts must tell."""
    rng = random.Random(1)
    picks = [[rng.randrange(9) for _ in range(3)] for _ in range(reactions)]

    def program(rates, amounts):
        for _ in range(12):
            change = [0.0 * x for x in amounts]
            for k, (a, b, c) in enumerate(picks):
                speed = rates[k % 20] * amounts[a] * amounts[b]
                change[a] = change[a] - speed
                change[c] = change[c] + speed
            amounts = [x + 0.01 * d for x, d in zip(amounts, change, strict=True)]
        return sum(amounts)

    found = rolled(program, XS, [0.1 * i for i in range(9)])
    body = len(found.tape) / 12
    assert found.loops >= 1
    assert found.size < 2.5 * body  # one iteration before the loop, and the one in it


# ---- where groups can end ------------------------------------------------------------------


def reach_by_trying(tape, shapes):
    """For each instruction where the shortest groups begin that end there, or -1."""
    rows = tape.index.tolist()
    found = []
    for p in range(len(tape)):
        places = [q for q in range(p) if shapes[q] == shapes[p]][: -1 - CANDIDATES : -1]
        lengths = [p - q for q in places if 3 * (p - q) <= p + 1]
        even = [
            n for n in lengths if all(advances(rows, shapes, q, n) for q in range(p - n + 1, p + 1))
        ]
        found.append(p - 3 * min(even) + 1 if even else -1)
    return found


def advances(rows, shapes, q, n):
    a, b, c = (rows[q - k * n] for k in (2, 1, 0))
    same = shapes[q] == shapes[q - n] == shapes[q - 2 * n]
    return same and all(z - y == y - x for x, y, z in zip(a, b, c, strict=True))


@settings(max_examples=60)
@given(mixtures())
def test_fingerprints_tell_what_trying_tells(program):
    tape = trace(program, XS).tape
    shapes = shapes_of(tape)
    ends = Ends(tape, shapes, fingerprints(shapes, tape.index))
    expected = reach_by_trying(tape, shapes.tolist())
    by_shape = [k for k, reach in enumerate(expected) if reach >= 0]
    for start in (0, len(tape) // 2):
        here, named = start, []
        while (here := ends.first(here, start, alone=True)) < len(tape):
            if here not in ends.by_context:
                named.append(here)
            here += 1
        assert named == [k for k in by_shape if k >= start and expected[k] >= start]


@settings(max_examples=30)
@given(mixtures(), st.sampled_from([1, 5000]))
def test_shapes_are_equal_where_operation_and_spaces_are(program, spaces):
    tape = trace(program, XS).tape
    tape = replace(tape, spaces=tape.spaces + ("y",) * spaces)  # many: other keys, other ways
    shapes = shapes_of(tape).tolist()
    kinds = [
        (code, *space) for code, space in zip(tape.code.tolist(), tape.space.tolist(), strict=True)
    ]
    number = {}
    for kind, shape in zip(kinds, shapes, strict=True):
        assert number.setdefault(kind, shape) == shape
    assert sorted(number.values()) == list(range(len(number)))


# ---- what is in no loop stays on the tape --------------------------------------------------


def test_straight_instructions_become_nodes_when_asked_for():
    tape = trace(lambda xs: irregular_part(random.Random(1), xs, xs[0], 300), XS).tape
    program = loops.program(tape)
    assert "nodes" not in vars(program)
    assert program.size == len(program.nodes) + sum(
        len(node.body) for node in program.nodes if isinstance(node, loops.Loop)
    )
    assert program.nodes is program.nodes
    same = loops.Program(program.nodes, tape)
    loops.verify(same)
    assert (same.size, same.loops) == (program.size, program.loops)


# ---- the verifier ------------------------------------------------------------------------


def long_loop():
    def program(xs):
        total = xs[0]
        for _ in range(20_000):
            total = tw.sin(total) * xs[1]
        return total

    tape = trace(program, XS).tape
    return replace(tape, index=tape.index.copy(), code=tape.code.copy())


@pytest.mark.parametrize("at", [0, 1, 17, 39_998, 39_999])
@pytest.mark.parametrize("array", ["index", "code", "space"])
def test_one_wrong_number_far_inside_a_loop_is_noticed(at, array):
    program = loops.program(long_loop())
    assert program.size == 3 + 1
    spoiled = getattr(program.tape, array)
    spoiled.reshape(len(program.tape), -1)[at, 0] += 1
    with pytest.raises(CompilerError, match=f"instruction {at} differs"):
        loops.verify(program)


def test_a_program_shorter_or_longer_than_its_tape_is_noticed():
    tape = trace(lambda xs: irregular_part(random.Random(1), xs, xs[0], 50), XS).tape
    n = len(tape)
    for parts in ([(0, n - 1)], [(0, 3), (4, n)], [(0, 4), (3, n)]):
        wrong = loops.Program(tuple([loops.Straight(a, b) for a, b in parts]), tape)
        with pytest.raises(CompilerError, match="loops: "):
            loops.verify(wrong)
    short = loops.program(long_loop())
    cut = replace(short.tape, code=short.tape.code[:-1], space=short.tape.space[:-1],
                  index=short.tape.index[:-1])  # fmt: skip
    with pytest.raises(CompilerError, match="the tape has 39999"):
        loops.verify(loops.Program(short.parts, cut))


def test_a_wrong_space_is_noticed():
    program = loops.program(long_loop())
    loop = next(part for part in program.parts if isinstance(part, loops.Loop))
    node = loop.body[0]
    wrong = loops.Reference("w", node.operands[0].index)
    object.__setattr__(node, "operands", (wrong, *node.operands[1:]))
    with pytest.raises(CompilerError, match="differs"):
        loops.verify(program)


def test_loops_whose_count_varies_are_written_out_with_every_count():
    """One loop within another whose count it sets, and one more that it does not, inside."""
    index = loops.Affine
    read = loops.Reference("x", index(0, (1, 2, 0)))
    node = loops.Instruction(tw.ops.sin, (read,), None)
    inner = loops.Loop(index(3, (0, 0)), (node,))
    middle = loops.Loop(index(0, (1,)), (inner,))
    outer = loops.Loop(index(4), (middle,))
    expected = [i + 2 * j for i in range(4) for j in range(i) for _ in range(3)]
    flat = trace(lambda xs: [tw.sin(xs[k]) for k in expected], XS).tape
    assert flat.index[:, 0].tolist() == expected
    loops.verify(loops.Program((outer,), flat))
    for k in range(len(expected)):
        wrong = replace(flat, index=flat.index + 1 * (np.arange(len(flat)) == k)[:, None])
        with pytest.raises(CompilerError, match=f"instruction {k} differs"):
            loops.verify(loops.Program((outer,), wrong))
