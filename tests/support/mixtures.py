"""Programs with regular and irregular parts, and an independent check of the loops found in them.

The oracle is the tape itself: the loops that were found, expanded instruction by instruction
here (not by `loop_verifier.verify`), must be the tape to the last index.

Start reading at `rolled`, then `mixtures`.
"""

import random

from hypothesis import strategies as st

import talweg as tw
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir import loop_program
from talweg.compiler.passes.find_loops import find_loops

XS = [0.1 * i for i in range(20)]


def expanded(nodes, point, lines):
    """The instructions of nodes, iteration by iteration, as (operation, ((space, index), ...))."""
    for node in nodes:
        if isinstance(node, loop_program.Loop):
            for i in range(node.count.at(point)):
                expanded(node.body, (*point, i), lines)
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


def rolled(f, *args):
    """The program of f, after comparing it with its tape."""
    tape = trace(f, *args).tape
    program = find_loops(tape)
    assert expanded(program.nodes, (), []) == on_the_tape(tape)
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
    choices = [(rng.choice([tw.sin, tw.cos, tw.exp]), rng.choice(xs)) for _ in range(size)]
    for _ in range(6):
        for function, x in choices:
            total = function(total) * x
    return total


def products(rng, xs, total, size):
    """A matrix that is squared again and again: each product reads the one before."""
    n = rng.randrange(2, 5)
    matrix = [[x * total for x in xs[i : i + n]] for i in range(n)]
    for _ in range(min(size, 4)):
        columns = list(zip(*matrix, strict=True))
        matrix = [
            [sum(a * b for a, b in zip(row, c, strict=True)) * 0.3 for c in columns]
            for row in matrix
        ]
    return matrix[0][0] + total


PARTS = [irregular_part, regular_part, triangle, long_body, products]


@st.composite
def mixtures(draw):
    """A program with regular and irregular parts."""
    kinds = draw(st.lists(st.tuples(st.sampled_from(PARTS), st.integers(1, 40)), max_size=6))
    return mixed(kinds, draw(st.integers(0, 10**6)))


def mixed(kinds, seed):
    """The program of some parts, each with its size."""

    def program(xs):
        rng = random.Random(seed)
        total = xs[0] * xs[1]
        for part, size in kinds:
            total = part(rng, xs, total, size)
        return total

    return program
