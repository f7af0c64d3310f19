"""Stride detection by fingerprints finds the same segments as a comparison of all indices.

The oracle is a loop over all segments, written here.
"""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import XS, mixtures

from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.stride_detection import (
    CANDIDATES,
    StrideDetector,
    instruction_fingerprints,
    instruction_shapes,
)


def reach_by_comparison(tape, shapes):
    """For each instruction where the first of three segments that stop there starts, or -1."""
    rows = tape.index.tolist()
    found = []
    for p in range(len(tape)):
        earlier = [q for q in range(p) if shapes[q] == shapes[p]][: -1 - CANDIDATES : -1]
        lengths = [p - q for q in earlier if 3 * (p - q) <= p + 1]
        constant = [
            n for n in lengths if all(advances(rows, shapes, q, n) for q in range(p - n + 1, p + 1))
        ]
        found.append(p - 3 * min(constant) + 1 if constant else -1)
    return found


def advances(rows, shapes, q, n):
    a, b, c = (rows[q - k * n] for k in (2, 1, 0))
    same = shapes[q] == shapes[q - n] == shapes[q - 2 * n]
    return same and all(z - y == y - x for x, y, z in zip(a, b, c, strict=True))


@settings(max_examples=60)
@given(mixtures())
def test_fingerprints_find_what_a_comparison_finds(program):
    tape = trace(program, XS).tape
    shapes = instruction_shapes(tape)
    detector = StrideDetector(tape, shapes, instruction_fingerprints(shapes, tape.index))
    expected = reach_by_comparison(tape, shapes.tolist())
    by_shape = [k for k, reach in enumerate(expected) if reach >= 0]
    for start in (0, len(tape) // 2):
        position, found = start, []
        while (position := detector.first(position, start, alone=True)) < len(tape):
            if position not in detector.by_context:
                found.append(position)
            position += 1
        assert found == [k for k in by_shape if k >= start and expected[k] >= start]


@settings(max_examples=30)
@given(mixtures(), st.sampled_from([1, 5000]))
def test_shapes_are_equal_where_operation_and_spaces_are(program, spaces):
    tape = trace(program, XS).tape
    tape = replace(tape, spaces=tape.spaces + ("y",) * spaces)  # many: large keys
    shapes = instruction_shapes(tape).tolist()
    kinds = [
        (code, *space) for code, space in zip(tape.code.tolist(), tape.space.tolist(), strict=True)
    ]
    number = {}
    for kind, shape in zip(kinds, shapes, strict=True):
        assert number.setdefault(kind, shape) == shape
    assert sorted(number.values()) == list(range(len(number)))
