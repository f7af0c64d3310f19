"""The verifier of loop programs refuses every wrong index; straight-line code stays on the tape."""

import random
from dataclasses import replace

import numpy as np
import pytest
from mixtures import XS, irregular_part

import talweg as tw
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir import loop_program, loop_verifier
from talweg.compiler.ir.affine import Affine
from talweg.compiler.passes.find_loops import find_loops
from talweg.errors import CompilerError


def test_straight_line_instructions_become_nodes_at_the_first_access():
    tape = trace(lambda xs: irregular_part(random.Random(1), xs, xs[0], 300), XS).tape
    program = find_loops(tape)
    assert "nodes" not in vars(program)
    assert program.size == len(program.nodes) + sum(
        len(node.body) for node in program.nodes if isinstance(node, loop_program.Loop)
    )
    assert program.nodes is program.nodes
    same = loop_program.LoopProgram(program.nodes, tape)
    loop_verifier.verify(same)
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


@pytest.mark.parametrize("at", [1, 2, 17, 32_768, 39_998])
@pytest.mark.parametrize(
    ("array", "other"),
    [("index", lambda k: k + 1), ("code", lambda k: 1 - k), ("space", lambda s: 3 - s)],
)
def test_one_wrong_number_far_inside_a_loop_is_refused(at, array, other):
    program = find_loops(long_loop())
    assert program.size == 5  # the first product, the loop, its body of 2, the last product
    rows = getattr(program.tape, array).reshape(len(program.tape), -1)
    rows[at, 0] = other(rows[at, 0])
    with pytest.raises(CompilerError, match=f"instruction {at} differs"):
        loop_verifier.verify(program)


def test_a_program_shorter_or_longer_than_its_tape_is_refused():
    tape = trace(lambda xs: irregular_part(random.Random(1), xs, xs[0], 50), XS).tape
    n = len(tape)
    for parts in ([(0, n - 1)], [(0, 3), (4, n)], [(0, 4), (3, n)]):
        wrong = loop_program.LoopProgram(
            tuple([loop_program.StraightLine(a, b) for a, b in parts]), tape
        )
        with pytest.raises(CompilerError, match="loops: "):
            loop_verifier.verify(wrong)
    short = find_loops(long_loop())
    cut = replace(short.tape, code=short.tape.code[:-1], space=short.tape.space[:-1],
                  index=short.tape.index[:-1])  # fmt: skip
    with pytest.raises(CompilerError, match="the tape has 39999"):
        loop_verifier.verify(loop_program.LoopProgram(short.parts, cut))


def test_a_wrong_space_is_refused():
    program = find_loops(long_loop())
    loop = next(part for part in program.parts if isinstance(part, loop_program.Loop))
    node = loop.body[0]
    wrong = loop_program.Reference("w", node.operands[0].index)
    object.__setattr__(node, "operands", (wrong, *node.operands[1:]))
    with pytest.raises(CompilerError, match="differs"):
        loop_verifier.verify(program)


def test_loops_with_varying_trip_counts_are_expanded_with_every_count():
    """A loop whose trip count depends on the outer one, with a loop of constant count in it."""
    index = Affine
    read = loop_program.Reference("x", index(0, (1, 2, 0)))
    node = loop_program.Instruction(tw.ops.sin, (read,), None)
    inner = loop_program.Loop(index(3, (0, 0)), (node,))
    middle = loop_program.Loop(index(0, (1,)), (inner,))
    outer = loop_program.Loop(index(4), (middle,))
    expected = [i + 2 * j for i in range(4) for j in range(i) for _ in range(3)]
    flat = trace(lambda xs: [tw.sin(xs[k]) for k in expected], XS).tape
    assert flat.index[:, 0].tolist() == expected
    loop_verifier.verify(loop_program.LoopProgram((outer,), flat))
    for k in range(len(expected)):
        wrong = replace(flat, index=flat.index + 1 * (np.arange(len(flat)) == k)[:, None])
        with pytest.raises(CompilerError, match=f"instruction {k} differs"):
            loop_verifier.verify(loop_program.LoopProgram((outer,), wrong))
